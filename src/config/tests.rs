//! That the list of settings agrees with the rest of the crate.

use std::{fs, path::Path};

use super::{
    Entry, PoolConfig,
    environment::{OTHERS, variable},
    key::{KEYS, Of},
    place::ALL_POOLS,
    value::Kind,
};
use crate::runtime::Runtime;

/// A value for each setting that is not the default, as TOML.
fn other_than_default(name: &str) -> &'static str {
    match name {
        "debug" | "parallel" => "true",
        "parallel_backend" => "'tasks'",
        "cancel" => "'all'",
        "n_workers" | "max_pending" | "retries" | "max_tasks_per_worker" | "inner_threads" => "7",
        "task_timeout" | "idle_timeout" | "grace_period" => "7",
        "max_memory_growth" | "memory_limit" | "max_payload" => "'7 MB'",
        "on_serial" => "'warn'",
        "spin" => "'adaptive'",
        "runtime" => "'standalone'",
        "start_method" => "'forkserver'",
        "transport" => "'socket'",
        "env" => "{ A = 'b' }",
        "prefetch" => "false",
        _ => "'seven'",
    }
}

fn described(text: &str) -> String {
    let config = PoolConfig::new().toml_str(&format!("[parallel]\n{text}"), "app.toml").expect(text);
    format!("{:?}", config.builder().expect(text))
}

#[test]
fn every_setting_reaches_the_builder() {
    let is_there = |of| of != Of::Processes || cfg!(all(feature = "processes", target_os = "linux"));
    for key in KEYS.iter().filter(|key| is_there(key.of)) {
        let text = format!("{} = {}", key.name, other_than_default(key.name));
        // `parallel = true` is what it is already.
        let text = if key.name == "parallel" { "parallel = false" } else { &text };
        assert_ne!(described(text), described(""), "{text}");
    }
}

#[test]
fn words_are_those_that_the_crate_reads() {
    for key in KEYS {
        let Kind::Word(words) = key.kind else { continue };
        for word in words {
            match key.name {
                "runtime" => {
                    let problem =
                        word.parse::<Runtime>().map_or_else(|error| error.to_string(), |_| String::new());
                    assert!(!problem.starts_with("unknown"), "{problem}");
                }
                #[cfg(all(feature = "processes", target_os = "linux"))]
                "start_method" => {
                    let method = word.parse::<crate::backend::processes::StartMethod>().expect(word);
                    assert_eq!(method.to_string(), *word);
                }
                _ => {}
            }
        }
    }
}

/// All of `src/`, but for the words of documentation.
fn code(folder: &Path) -> String {
    let entries =
        fs::read_dir(folder).expect("src/ can be listed").map(|entry| entry.expect("an entry").path());
    let texts = entries.map(|path| match path.is_dir() {
        true => code(&path),
        false if path.extension().is_some_and(|extension| extension == "rs") => {
            let text = fs::read_to_string(path).expect("sources are UTF-8");
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
        }
        false => String::new(),
    });
    texts.collect()
}

#[test]
fn every_variable_that_the_crate_knows_is_known_here() {
    let code = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    for (at, _) in code.match_indices("\"POLYPOOL_") {
        let name: String = code[at + 1..].chars().take_while(|c| is_name(*c)).collect();
        let is_known = OTHERS.contains(&name.as_str()) || KEYS.iter().any(|key| variable(key) == name);
        let is_ours = name == ALL_POOLS || name == "POLYPOOL_" || is_known;
        assert!(is_ours, "{name} is read somewhere: add it to OTHERS in src/config/environment.rs");
    }
}

#[test]
fn what_is_set_aside_and_what_is_shown_are_all_that_was_said() {
    let text = "[parallel]\nn_workers = 3\nparallel_backend = 'threads'\nidle_timeout = 3\nname = 'a'";
    let config = PoolConfig::new().toml_str(text, "app.toml").expect("fine");
    let config = config.environment_from([("POLYPOOL_PARALLEL".into(), "off".into())]).expect("fine");
    let settled = config.settle();
    let names = |entries: Vec<&Entry>| entries.iter().map(|entry| entry.key.name).collect::<Vec<_>>();
    assert_eq!(
        names(settled.aside.iter().map(|(entry, _)| *entry).collect()),
        ["n_workers", "parallel_backend", "idle_timeout"]
    );
    assert_eq!(names(settled.shown().iter().map(|(.., entry)| *entry).collect()), ["parallel", "name"]);
}

#[test]
fn a_format_that_does_not_describe_itself_carries_it_as_text() {
    let text =
        "[parallel]\nparallel = 'threads'\nenv = { \"a b\" = \"\\\\ \\\" # \\n\" }\ngrace_period = 0.25";
    let config = PoolConfig::new().toml_str(text, "app.toml").expect("fine");
    let bytes = postcard::to_stdvec(&config).expect("plain");
    let back: PoolConfig = postcard::from_bytes(&bytes).expect("plain");
    let values = |config: &PoolConfig| toml::Table::try_from(config).expect("all of it is TOML");
    assert_eq!((values(&back), values(&back).len()), (values(&config), 3));
    let bad = postcard::to_stdvec("n_worker = 4").expect("plain");
    assert!(postcard::from_bytes::<PoolConfig>(&bad).is_err());
}
