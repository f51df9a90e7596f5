//! What a setting may be: how it is read from TOML, from text and from Rust, and how it is written again. Owns the words of what is
//! wrong with a value; knows neither where it came from nor what becomes of it.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::place::{is_unseen, plain};
use crate::{error::BuildError, parallel::Parallel, policy::CancellationPolicy};

/// As it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Flag(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Table(Vec<(String, Raw)>),
    /// Something that no setting is: a list, a date.
    Other,
}

/// As it was meant. What has no limit is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Flag(bool),
    Parallel(Way),
    /// How many; `None` for all CPUs but one.
    Workers(Option<usize>),
    Policy(CancellationPolicy),
    Number(Option<u64>),
    Time(Option<Duration>),
    Word(&'static str),
    Text(String),
    Table(BTreeMap<String, String>),
}

/// What a `parallel` setting may mean.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    Off,
    On,
    Auto,
    Workers(usize),
    Backend(String),
}

/// What a setting may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Parallel,
    Workers,
    Backend,
    Policy,
    Number {
        least: u64,
        most: u64,
        none: bool,
    },
    Bytes,
    /// A limit is more than 0, and there may be none.
    Time {
        limit: bool,
    },
    Word(&'static [&'static str]),
    Text,
    Table,
}

const MOST_WORKERS: i128 = 1 << 20;

impl Raw {
    /// Reads what has no types: the environment and the command line.
    pub(super) fn untyped(text: &str, kind: Kind) -> Self {
        let word = text.trim();
        if matches!(kind, Kind::Text | Kind::Backend | Kind::Table) {
            return Self::Text(text.to_owned());
        }
        if let Ok(flag) = word.to_ascii_lowercase().parse() {
            return Self::Flag(flag);
        }
        match (kind, word) {
            (Kind::Flag, "1") => return Self::Flag(true),
            (Kind::Flag, "0") => return Self::Flag(false),
            _ => {}
        }
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        match (word.parse(), word.parse()) {
            (Ok(integer), _) if is_number => Self::Integer(integer),
            (_, Ok(float)) if is_number => Self::Float(float),
            _ => Self::Text(word.to_owned()),
        }
    }
}

impl Kind {
    /// What a value may be, for errors and for the documentation.
    pub(super) fn expected(self) -> String {
        let none =
            |what: &str, none: bool| if none { format!("{what} or \"none\"") } else { what.to_owned() };
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Parallel => "true, false, a number, \"auto\" or the name of a backend".to_owned(),
            Self::Workers => "a number, \"auto\" or \"all-but-one\"".to_owned(),
            Self::Backend => "the name or the address of a backend".to_owned(),
            Self::Policy => "\"none\", \"pending\", \"running\", \"all\", true or false".to_owned(),
            Self::Number { none: may_be_none, .. } => none("a number", may_be_none),
            Self::Bytes => {
                "a number of bytes, a size such as \"300 MB\" or \"2 GiB\", or \"none\"".to_owned()
            }
            Self::Time { limit: true } => "seconds, a time such as \"1m 30s\", or \"none\"".to_owned(),
            Self::Time { limit: false } => "seconds, or a time such as \"1m 30s\"".to_owned(),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) =
                    words.split_last().map_or((String::new(), String::new()), |(last, others)| {
                        (last.clone(), others.join(", "))
                    });
                format!("{others} or {last}")
            }
            Self::Text => "a string that is not empty".to_owned(),
            Self::Table => "strings by name, { KEY = \"value\" } or \"KEY=value,OTHER=value\"".to_owned(),
        }
    }

    /// Reads a value; else says what is wrong, as a sentence that stands behind the setting's name and place.
    pub(super) fn read(self, raw: Raw) -> Result<Value, String> {
        let expected = || format!("expected {}", self.expected());
        let is_none = |text: &str| text.trim().eq_ignore_ascii_case("none");
        match (self, raw) {
            (Self::Flag, Raw::Flag(flag)) => Ok(Value::Flag(flag)),
            (Self::Backend | Self::Parallel | Self::Text, Raw::Text(text)) if text.contains('\0') => {
                Err("expected a string without NUL bytes".to_owned())
            }
            (Self::Parallel, raw) => way(raw).ok_or_else(expected)?.map(Value::Parallel),
            (Self::Workers, Raw::Integer(n)) => workers(n).map(|n| Value::Workers(Some(n))),
            (Self::Workers, Raw::Text(text)) if is_all_but_one(&text) => Ok(Value::Workers(None)),
            (Self::Backend, Raw::Text(text)) if !text.trim().is_empty() => {
                Ok(Value::Text(text.trim().to_owned()))
            }
            (Self::Text, Raw::Text(text)) if !text.trim().is_empty() => Ok(Value::Text(text)),
            (Self::Policy, Raw::Flag(flag)) => Ok(Value::Policy(flag.into())),
            (Self::Policy, Raw::Text(text)) => text.parse().map(Value::Policy).map_err(|_| expected()),
            (Self::Number { none: true, .. } | Self::Bytes | Self::Time { limit: true }, Raw::Text(text))
                if is_none(&text) =>
            {
                Ok(if matches!(self, Self::Time { .. }) { Value::Time(None) } else { Value::Number(None) })
            }
            (Self::Number { least, most, none }, Raw::Integer(n)) => {
                within(n, least.into(), most.into(), none).map(|n| Value::Number(Some(n)))
            }
            (Self::Bytes, Raw::Integer(n)) => {
                within(n, 1, i64::MAX.into(), true).map(|n| Value::Number(Some(n)))
            }
            (Self::Bytes, Raw::Text(text)) => {
                within(bytes(&text).ok_or_else(expected)?, 1, i64::MAX.into(), true)
                    .map(|n| Value::Number(Some(n)))
            }
            (Self::Time { limit }, raw) => {
                let time = time(raw).ok_or_else(expected)?;
                if limit && time.is_zero() {
                    return Err("0 is too short; it must be longer, and \"none\" is for no limit".to_owned());
                }
                Ok(Value::Time(Some(time)))
            }
            (Self::Word(words), Raw::Text(text)) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
                word.map(|word| Value::Word(word)).ok_or_else(expected)
            }
            (Self::Table, raw) => table(raw).ok_or_else(expected)?.map(Value::Table),
            _ => Err(expected()),
        }
    }
}

fn is_all_but_one(text: &str) -> bool {
    ["auto", "all-but-one"].iter().any(|word| word.eq_ignore_ascii_case(text.trim()))
}

fn within(n: i128, least: i128, most: i128, none: bool) -> Result<u64, String> {
    let or_none = if none { "; \"none\" is for no limit" } else { "" };
    if n < least {
        // That one stands for all for which there is no room.
        let n = if n == i128::MIN { "the number".to_owned() } else { n.to_string() };
        return Err(format!("{n} is too small; the least is {least}{or_none}"));
    }
    match u64::try_from(n) {
        Ok(fits) if n <= most => Ok(fits),
        _ => Err(format!("the number is too large; the most is {most}{or_none}")),
    }
}

fn workers(n: i128) -> Result<usize, String> {
    let n = within(n, 1, MOST_WORKERS, false)?;
    Ok(usize::try_from(n).unwrap_or(1))
}

/// `None` for what cannot be read at all.
fn way(raw: Raw) -> Option<Result<Way, String>> {
    Some(Ok(match raw {
        Raw::Flag(false) | Raw::Integer(0) => Way::Off,
        Raw::Flag(true) => Way::On,
        Raw::Integer(n) => return Some(workers(n).map(Way::Workers)),
        Raw::Text(text) if !text.trim().is_empty() => match text.parse() {
            Ok(Parallel::Off) => Way::Off,
            Ok(Parallel::On) => Way::On,
            Ok(Parallel::Auto) => Way::Auto,
            Ok(Parallel::Workers(n)) => Way::Workers(n.get()),
            Err(error @ BuildError::OutOfRange(_)) => return Some(Err(plain(&error.to_string()))),
            // Also one that nobody knows: it may be registered yet, before there is a pool.
            _ => Way::Backend(text.trim().to_owned()),
        },
        _ => return None,
    }))
}

fn time(raw: Raw) -> Option<Duration> {
    match raw {
        Raw::Integer(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
        Raw::Float(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Raw::Text(text) => humantime::parse_duration(text.trim()).ok(),
        _ => None,
    }
}

/// Reads `300 MB`, `1.5GiB`, `4096 B`.
fn bytes(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 9] = [
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if number.contains('.') {
        let number: f64 = number.parse().ok()?;
        return Some((number * *size as f64) as i128);
    }
    number.parse::<i128>().ok().map(|number| number.saturating_mul(*size))
}

/// `None` for what is no table of strings at all.
fn table(raw: Raw) -> Option<Result<BTreeMap<String, String>, String>> {
    let pairs: Vec<(String, String)> = match raw {
        Raw::Table(pairs) => {
            let text = |(name, value)| match value {
                Raw::Text(value) => Ok((name, value)),
                _ => Err(format!("the value of {name:?} is no string; write it in quotes")),
            };
            match pairs.into_iter().map(text).collect() {
                Ok(pairs) => pairs,
                Err(problem) => return Some(Err(problem)),
            }
        }
        Raw::Text(text) => {
            let pair = |pair: &str| {
                pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
            };
            text.split(',').map(pair).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let is_bad = |(name, value): &&(String, String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    Some(match pairs.iter().find(is_bad) {
        Some((name, _)) => Err(format!(
            "{name:?} cannot be an environment variable: a name has no `=`, neither has a NUL byte, and it is not empty"
        )),
        None => Ok(pairs.into_iter().collect()),
    })
}

impl Value {
    pub(super) fn raw(&self) -> Raw {
        let none = || Raw::Text("none".to_owned());
        match self {
            Self::Flag(flag) => Raw::Flag(*flag),
            Self::Parallel(Way::Off) => Raw::Flag(false),
            Self::Parallel(Way::On) => Raw::Flag(true),
            Self::Parallel(Way::Auto) => Raw::Text("auto".to_owned()),
            Self::Parallel(Way::Workers(n)) | Self::Workers(Some(n)) => Raw::Integer(*n as i128),
            Self::Parallel(Way::Backend(name)) => Raw::Text(name.clone()),
            Self::Workers(None) => Raw::Text("all-but-one".to_owned()),
            Self::Policy(policy) => Raw::Text(policy.to_string()),
            Self::Number(n) => n.map_or_else(none, |n| Raw::Integer(n.into())),
            Self::Time(time) => time.map_or_else(none, Raw::from),
            Self::Word(word) => Raw::Text((*word).to_owned()),
            Self::Text(text) => Raw::Text(text.clone()),
            Self::Table(table) => Raw::Table(
                table.iter().map(|(name, value)| (name.clone(), Raw::Text(value.clone()))).collect(),
            ),
        }
    }
}

impl From<Duration> for Raw {
    fn from(time: Duration) -> Self {
        Self::Text(humantime::format_duration(time).to_string())
    }
}

impl fmt::Display for Value {
    /// As TOML, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write(raw: &Raw, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match raw {
                Raw::Flag(flag) => write!(f, "{flag}"),
                Raw::Integer(n) => write!(f, "{n}"),
                Raw::Float(n) => write!(f, "{n}"),
                Raw::Text(text) => string(text, f),
                Raw::Table(pairs) if pairs.is_empty() => f.write_str("{}"),
                Raw::Table(pairs) => {
                    for (i, (name, value)) in pairs.iter().enumerate() {
                        f.write_str(if i == 0 { "{ " } else { ", " })?;
                        string(name, f)?;
                        f.write_str(" = ")?;
                        write(value, f)?;
                    }
                    f.write_str(" }")
                }
                Raw::Other => f.write_str("?"),
            }
        }
        write(&self.raw(), f)
    }
}

/// A string of TOML that has no line breaks, and nothing that a terminal takes for a command.
fn string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if is_unseen(c) => write!(f, "\\u{:04X}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
