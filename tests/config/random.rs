//! Whatever is said, by whomever: no panic, the same read again, and the higher source wins.

use std::ffi::OsString;

use polypool::config::PoolConfig;
use proptest::prelude::*;

use crate::file;

/// Each key with values that it may have, as TOML; the text of the environment is the same without its quotes.
fn setting() -> impl Strategy<Value = (&'static str, String)> {
    let time = || {
        prop_oneof![
            any::<u32>().prop_map(|n| (u64::from(n) + 1).to_string()),
            (1..u64::MAX).prop_map(|n| format!("'{}'", humantime(n))),
            (0.001..1e9_f64).prop_map(|n| format!("{n:?}")),
        ]
    };
    let bytes = || {
        prop_oneof![
            (1..i64::MAX).prop_map(|n| n.to_string()),
            (1..1000_u16).prop_map(|n| format!("'{n} MiB'"))
        ]
    };
    let number = || prop_oneof![(1..i64::MAX).prop_map(|n| n.to_string()), Just("'none'".to_owned())];
    let text = || {
        "[a-zäöü \"\\\\\u{1}-\u{1f}\u{7f}-\u{9f}#=,]{0,8}x"
            .prop_map(|text| toml::Value::String(text).to_string())
    };
    let one_of =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(|word| format!("'{word}'"));
    let flag = || any::<bool>().prop_map(|flag| flag.to_string());
    prop_oneof![
        (Just("debug"), flag()),
        (
            Just("n_workers"),
            prop_oneof![(1..1_000_000).prop_map(|n: i32| n.to_string()), Just("'auto'".to_owned())]
        ),
        (Just("parallel_backend"), one_of(&["serial", "threads", "tasks", "nobody"])),
        (Just("cancel"), one_of(&["none", "pending", "running", "all", "pending|running"])),
        (Just("task_timeout"), time()),
        (Just("retries"), any::<u32>().prop_map(|n| n.to_string())),
        (Just("max_pending"), number()),
        (Just("on_serial"), one_of(&["error", "warn", "ignore"])),
        (Just("spin"), one_of(&["off", "adaptive"])),
        (Just("name"), text()),
        (Just("runtime"), one_of(&["detect", "tokio", "async-std", "smol", "standalone"])),
        (Just("start_method"), one_of(&["loky", "forkserver", "fork"])),
        (Just("transport"), one_of(&["shared-memory", "socket"])),
        (Just("idle_timeout"), time()),
        (Just("max_memory_growth"), bytes()),
        (Just("env"), text().prop_map(|value| format!("{{ 'A b' = {value}, B = 'x' }}"))),
        (Just("current_dir"), text()),
        (Just("grace_period"), time()),
        (Just("prefetch"), flag()),
    ]
}

fn humantime(millis: u64) -> String {
    format!("{}s {}ms", millis / 1000, millis % 1000)
}

/// Settings of different keys, also of those that choose the pool by one word.
fn settings() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let way = prop::sample::select(&["false", "true", "0", "7", "'auto'", "'threads'", "'nobody'"][..]);
    (prop::collection::vec(setting(), 0..8), prop::option::of(way)).prop_map(|(mut settings, way)| {
        settings.sort();
        settings.dedup_by_key(|(key, _)| *key);
        if let Some(way) = way {
            settings.retain(|(key, _)| !["n_workers", "parallel_backend"].contains(key));
            settings.push(("parallel", way.to_owned()));
        }
        settings
    })
}

fn as_file(settings: &[(&str, String)]) -> String {
    let lines: Vec<_> = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("[parallel]\n{}", lines.concat())
}

/// What is in effect, without where it comes from.
fn values(config: &PoolConfig) -> toml::Table {
    toml::Table::try_from(config).expect("all of it is TOML")
}

/// The same without what the list keeps to itself.
fn told(config: &PoolConfig) -> toml::Table {
    let mut values = values(config);
    values.remove("env");
    values
}

/// What a list of settings means in a file.
fn read_again(text: &str) -> PoolConfig {
    PoolConfig::new().toml_str(&format!("[parallel]\n{text}"), "again.toml").expect(text)
}

proptest! {
    #[test]
    fn what_is_shown_is_read_as_the_same(settings in settings(), above in settings()) {
        let text = as_file(&settings);
        let config = file(&text).expect(&text).toml_str(&as_file(&above), "above.toml").expect("the same kind");
        let again = read_again(&config.to_string());
        prop_assert_eq!(told(&again), told(&config), "{}", config);
        let embedded: PoolConfig = values(&config).try_into().expect("it was written by us");
        prop_assert_eq!(values(&embedded), values(&config));
    }

    #[test]
    fn the_higher_source_wins_whatever_both_say(below in settings(), above in settings()) {
        let alone = PoolConfig::new().toml_str(&as_file(&above), "above.toml").expect("well formed");
        let both = file(&as_file(&below)).and_then(|config| config.toml_str(&as_file(&above), "above.toml"));
        let both = both.expect("well formed");
        // Where nothing turns all else off, what holds alone holds above others.
        if !both.is_debug() {
            let (wanted, got) = (values(&alone), values(&both));
            for (key, value) in &wanted {
                prop_assert!(got.get(key) == Some(value), "{} of {:?} in {:?}", key, wanted, got);
            }
        }
    }

    #[test]
    fn what_is_well_formed_makes_a_pool_or_says_why_not(settings in settings()) {
        let config = file(&as_file(&settings)).expect("well formed");
        match config.executor() {
            Ok(pool) => prop_assert!(pool.max_workers() > 0),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in ".*", name in prop::option::of(".*")) {
        let config = match name {
            Some(name) => PoolConfig::new().table(name),
            None => PoolConfig::new(),
        };
        if let Err(error) = config.toml_str(&text, "any.toml") {
            prop_assert!(error.to_string().starts_with("any.toml, line ") || error.to_string().contains(" in any.toml"));
        }
    }

    #[test]
    fn any_values_are_taken_or_refused(
        settings in prop::collection::vec((
            prop_oneof![setting().prop_map(|(key, _)| key.to_owned()), "[a-z_]{1,12}"],
            prop_oneof![
                setting().prop_map(|(_, value)| value),
                any::<i128>().prop_map(|n| n.to_string()),
                any::<f64>().prop_map(|n| format!("{n:?}")),
                ".*".prop_map(|text| toml::Value::String(text).to_string()),
                Just("[1, [2]]".to_owned()),
                Just("{ a = { b = 1 } }".to_owned()),
            ],
        ), 0..6)
    ) {
        let text: Vec<_> = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Ok(config) = file(&format!("[parallel]\n{}", text.concat())) {
            drop((config.to_string(), config.executor()));
        }
    }

    #[test]
    fn any_environment_is_taken_or_refused(
        variables in prop::collection::vec((
            prop_oneof![
                setting().prop_map(|(key, _)| format!("POLYPOOL_{}", key.to_uppercase()).into()),
                "POLYPOOL_[A-Z_]{0,12}".prop_map(OsString::from),
                any::<OsString>(),
            ],
            prop_oneof![any::<OsString>(), setting().prop_map(|(_, value)| value.replace('\'', "").into())],
        ), 0..6)
    ) {
        if let Ok(config) = PoolConfig::new().environment_from(variables) {
            drop((config.to_string(), config.executor()));
        }
    }
}
