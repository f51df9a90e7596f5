//! The setting as text: what users write and what is printed. Owns the words; builds nothing.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
    ser::Error,
};

use super::Parallel;
use crate::{
    error::BuildError,
    executor::{check_name, check_workers},
};

/// The first of each is the one that is printed.
const OFF: [&str; 4] = ["off", "false", "no", "none"];
const ON: [&str; 3] = ["on", "true", "yes"];
const AUTO: [&str; 1] = ["auto"];

impl FromStr for Parallel {
    type Err = BuildError;

    /// Reads `off`, `on`, `auto` and their like in any case, a number, or the name or address of a backend, as it is written, which
    /// has to be known by then. Builds nothing.
    ///
    /// # Errors
    /// [`BuildError::UnknownBackend`] with what would have been understood; [`BuildError::FeatureDisabled`] for a backend that this
    /// build is without; [`BuildError::OutOfRange`] for a number that is none of workers.
    fn from_str(text: &str) -> Result<Self, BuildError> {
        let text = text.trim();
        let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if is(&OFF) {
            return Ok(Self::Off);
        }
        if is(&ON) {
            return Ok(Self::On);
        }
        if is(&AUTO) {
            return Ok(Self::Auto);
        }
        if text.contains(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok() {
            return number(text.parse().ok(), text);
        }
        match check_name(text) {
            Ok(()) => Ok(Self::Backend(text.to_owned())),
            Err(BuildError::UnknownBackend { name, known }) => {
                let words = [OFF[0], ON[0], AUTO[0]].map(str::to_owned);
                Err(BuildError::UnknownBackend { name, known: words.into_iter().chain(known).collect() })
            }
            Err(other) => Err(other),
        }
    }
}

fn number(n: Option<usize>, text: &str) -> Result<Parallel, BuildError> {
    n.map(NonZeroUsize::new)
        .and_then(|n| match n {
            None => Some(Parallel::Off),
            Some(n) => check_workers(n.get()).is_ok().then_some(Parallel::Workers(n)),
        })
        .ok_or_else(|| {
            BuildError::OutOfRange(format!(
                "{text} is no number of workers; it must be a whole number from 1 to 1048576, or 0 for serial"
            ))
        })
}

impl fmt::Display for Parallel {
    /// Prints what [`FromStr`] reads. Of an executor, the name of its backend is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.pad(OFF[0]),
            Self::On => f.pad(ON[0]),
            Self::Auto => f.pad(AUTO[0]),
            Self::Workers(n) => n.fmt(f),
            Self::Backend(name) => f.pad(name),
            Self::With(executor) => f.pad(executor.backend_name()),
        }
    }
}

impl Serialize for Parallel {
    /// Gives `true`, `false`, a number, or text; always text where the format does not describe itself.
    ///
    /// # Errors
    /// For [`Parallel::With`]: an executor stays where it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::With(executor) => Err(S::Error::custom(format!(
                "an executor cannot be written down; name its backend, `{}`, by `Parallel::Backend`",
                executor.backend_name()
            ))),
            _ if !serializer.is_human_readable() => serializer.collect_str(self),
            Self::Off => serializer.serialize_bool(false),
            Self::On => serializer.serialize_bool(true),
            Self::Workers(n) => serializer.serialize_u64(n.get() as u64),
            Self::Auto | Self::Backend(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Parallel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Setting)
        } else {
            deserializer.deserialize_str(Setting)
        }
    }
}

struct Setting;

impl Visitor<'_> for Setting {
    type Value = Parallel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, a number of workers up to 1048576, \"auto\", or the name of a backend")
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Parallel, E> {
        Ok(yes.into())
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Parallel, E> {
        number(n.try_into().ok(), "").map_err(|_| E::invalid_value(Unexpected::Signed(n), &self))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Parallel, E> {
        number(n.try_into().ok(), "").map_err(|_| E::invalid_value(Unexpected::Unsigned(n), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Parallel, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Executor,
        backend::{WorkerKind, register},
    };

    fn read(text: &str) -> Result<String, String> {
        text.parse::<Parallel>().map(|read| format!("{read:?}")).map_err(|error| error.to_string())
    }

    fn from_json(text: &str) -> Result<String, String> {
        serde_json::from_str::<Parallel>(text)
            .map(|read| format!("{read:?}"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_word_is_read_in_any_case() {
        for (words, meaning) in [(&OFF[..], "Off"), (&ON[..], "On"), (&AUTO[..], "Auto")] {
            for word in words {
                assert_eq!(read(word).as_deref(), Ok(meaning));
                assert_eq!(read(&format!(" {} ", word.to_uppercase())).as_deref(), Ok(meaning));
            }
        }
        assert_eq!(read("0").as_deref(), Ok("Off"));
        assert_eq!(read("1").as_deref(), Ok("Workers(1)"));
        assert_eq!(read("1048576").as_deref(), Ok("Workers(1048576)"));
        assert_eq!(read("serial").as_deref(), Ok("Backend(\"serial\")"));
        assert_eq!(read("thread").as_deref(), Ok("Backend(\"thread\")"));
    }

    #[test]
    fn no_backend_can_be_registered_under_a_word_or_a_number() {
        let words = OFF.iter().chain(&ON).chain(&AUTO).copied();
        for name in words.chain(["Auto", "4", "0.5", "-1", "1e3"]) {
            let refused = register(name, WorkerKind::Threads, || Ok::<_, BuildError>(crate::Threads::new()));
            assert!(matches!(refused, Err(BuildError::OutOfRange(_))), "{name}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let workers = NonZeroUsize::new(7).expect("not 0");
        let settings = [Parallel::Off, Parallel::On, Parallel::Auto, Parallel::Workers(workers)];
        for setting in settings.into_iter().chain([Parallel::Backend("threads".to_owned())]) {
            let shown = format!("{setting:?}");
            assert_eq!(read(&setting.to_string()), Ok(shown.clone()));
            assert_eq!(from_json(&serde_json::to_string(&setting).expect("plain")), Ok(shown.clone()));
            let bytes = postcard::to_stdvec(&setting).expect("plain");
            assert_eq!(format!("{:?}", postcard::from_bytes::<Parallel>(&bytes).expect("plain")), shown);
        }
        assert_eq!(Parallel::With(Executor::serial()).to_string(), "serial");
    }

    #[test]
    fn the_forms_in_a_file_are_those_of_the_language() {
        let json = |setting: Parallel| serde_json::to_string(&setting).expect("plain");
        assert_eq!(json(false.into()), "false");
        assert_eq!(json(true.into()), "true");
        assert_eq!(json(0.into()), "false");
        assert_eq!(json(4.into()), "4");
        assert_eq!(json(Parallel::Auto), "\"auto\"");
        assert_eq!(json(Parallel::Backend("threads".to_owned())), "\"threads\"");
        assert_eq!(from_json("0").as_deref(), Ok("Off"));
        assert_eq!(from_json("\"4\"").as_deref(), Ok("Workers(4)"));
        assert_eq!(from_json("\"Yes\"").as_deref(), Ok("On"));
        let error = serde_json::to_string(&Parallel::With(Executor::serial())).expect_err("an executor");
        assert_eq!(
            error.to_string(),
            "an executor cannot be written down; name its backend, `serial`, by `Parallel::Backend`"
        );
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_does() {
        let no_number = |text: &str| {
            format!(
                "{text} is no number of workers; it must be a whole number from 1 to 1048576, or 0 for serial"
            )
        };
        for text in ["-1", "3.5", "1e3", "1048577", "99999999999999999999999"] {
            assert_eq!(read(text), Err(no_number(text)));
        }
        for text in ["thread-pool", "", "4x", "inf", "nan", "Threads", "on off", "nope://here"] {
            let error = read(text).expect_err(text);
            assert!(
                error.starts_with(&format!("unknown backend `{text}`; known are off, on, auto, serial, ")),
                "{error}"
            );
            assert_eq!(
                from_json(&format!("{text:?}")).expect_err(text).split(" at line").next(),
                Some(&*error)
            );
        }
        if !cfg!(all(feature = "dask", target_os = "linux")) {
            let error = read("dask://here:8786").expect_err("not built");
            assert!(error.contains("`dask` is not part of this build"), "{error}");
        }
        let known =
            "expected true, false, a number of workers up to 1048576, \"auto\", or the name of a backend";
        for (text, value) in [
            ("-3", "invalid value: integer `-3`"),
            ("1048577", "invalid value: integer `1048577`"),
            ("1.5", "invalid type: floating point `1.5`"),
            ("{\"n\": 1}", "invalid type: map"),
            ("[4]", "invalid type: sequence"),
            ("null", "invalid type: null"),
        ] {
            let error = from_json(text).expect_err(text);
            assert!(error.starts_with(&format!("{value}, {known}")), "{error}");
        }
        assert!(from_json("99999999999999999999999").expect_err("huge").contains(known));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_it_is_printed_or_refused(text in "\\PC{0,12}|[-+]?[0-9]{1,24}(\\.[0-9]*)?|[a-z]{2,8}(://)?") {
            if let Ok(setting) = text.parse::<Parallel>() {
                proptest::prop_assert_eq!(read(&setting.to_string()), Ok(format!("{setting:?}")));
            }
            let quoted = serde_json::to_string(&text).expect("plain");
            proptest::prop_assert_eq!(from_json(&quoted).is_ok(), read(&text).is_ok());
            let _ = from_json(&text);
        }
    }

    #[test]
    fn a_file_in_toml_says_where_it_is_wrong() {
        #[derive(Debug, Deserialize)]
        struct File {
            parallel: Parallel,
        }
        let file = |value: &str| toml::from_str::<File>(&format!("parallel = {value}\n"));
        assert!(matches!(file("\"auto\"").expect("right").parallel, Parallel::Auto));
        assert!(matches!(file("4").expect("right").parallel, Parallel::Workers(n) if n.get() == 4));
        for (value, said) in [("-3", "integer `-3`"), ("{ n = 1 }", "map"), ("\"trheads\"", "`trheads`")] {
            let error = file(value).expect_err(value).to_string();
            assert!(error.contains("line 1") && error.contains(said) && error.contains("auto"), "{error}");
        }
    }
}
