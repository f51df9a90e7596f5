//! TOML key by key, with errors that say where. Knows what a value may be, and nothing of tasks.

use std::{borrow::Cow, collections::BTreeMap, error::Error, fmt::Display, ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::file::Check;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn wrong<T>(what: impl Display) -> Result<T> {
    Err(what.to_string().into())
}

pub struct Source<'a> {
    name: &'a str,
    text: &'a str,
    /// Where the lines end.
    ends: Vec<usize>,
}

impl<'a> Source<'a> {
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    pub fn parse(&self) -> Result<DeTable<'a>> {
        DeTable::parse(self.text).map(Spanned::into_inner).or_else(|error| {
            let message = error.message().trim_end().replace('\n', ", ");
            wrong(format_args!("{}: {message}", self.place(error.span().unwrap_or_default())))
        })
    }

    pub fn place(&self, at: Range<usize>) -> String {
        let line = 1 + self.ends.partition_point(|&end| end < at.start);
        format!("{}, line {line}", self.name)
    }
}

/// A table that is read key by key; what is left in the end is nobody's.
pub struct Section<'a> {
    source: &'a Source<'a>,
    path: String,
    table: DeTable<'a>,
    known: Vec<&'static str>,
    /// Where the keys stand, as messages begin.
    pub places: BTreeMap<&'static str, String>,
}

impl<'a> Section<'a> {
    pub fn new(source: &'a Source<'a>, path: String, table: DeTable<'a>) -> Self {
        Self { source, path, table, known: Vec::new(), places: BTreeMap::new() }
    }

    pub fn key<T>(&mut self, key: &'static str, Kind(expected, read): Kind<T>) -> Result<Option<T>> {
        self.take(key, expected, read)
    }

    pub fn take<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(DeValue<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        self.known.push(key);
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let place = format!("{}{key} in {}", self.path, self.source.place(value.span()));
        let read = read(value.into_inner()).ok_or_else(|| format!("{place}: expected {expected}"))?;
        self.places.insert(key, place);
        Ok(Some(read))
    }

    pub fn end(mut self) -> Result<()> {
        // The first in the file, not in the alphabet.
        let Some(key) = self.table.keys().min_by_key(|key| key.span().start) else { return Ok(()) };
        let (path, name, place) = (&self.path, key.get_ref(), self.source.place(key.span()));
        self.known.sort_unstable();
        wrong(format_args!("unknown key \"{path}{name}\" in {place}: {}", nearest(name, &self.known)))
    }
}

/// What the user may have meant.
pub fn nearest<S: AsRef<str>>(word: &str, known: &[S]) -> String {
    let likeness = |name: &S| strsim::jaro_winkler(word, name.as_ref());
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) > 0.8) {
        Some(name) => format!("did you mean {:?}?", name.as_ref()),
        None => format!("known are {}", known.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")),
    }
}

/// What a value may be, in words, and how it is read.
pub struct Kind<T>(&'static str, fn(DeValue<'_>) -> Option<T>);

pub const TEXT: Kind<String> = Kind("a text", text);
pub const TEXTS: Kind<Vec<String>> = Kind("a list of texts", texts);
pub const FLAG: Kind<bool> = Kind("true or false", |value| match value {
    DeValue::Boolean(flag) => Some(flag),
    _ => None,
});
pub const NUMBER: Kind<i32> = Kind("a whole number", |value| match value {
    DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok(),
    _ => None,
});
pub const CHECK: Kind<Check> = Kind("\"mtime\" or \"hash\"", |value| match &*text(value)? {
    "mtime" => Some(Check::Mtime),
    "hash" => Some(Check::Hash),
    _ => None,
});
pub const COMMAND: Kind<Vec<String>> =
    Kind("a line for the shell, or a list of a program and its arguments", |value| match value {
        DeValue::String(line) => Some(vec!["sh".to_owned(), "-c".to_owned(), line.into_owned()]),
        list => texts(list).filter(|list| !list.is_empty()),
    });
pub const VARIABLES: Kind<BTreeMap<String, String>> = Kind("a table of texts", |value| {
    let variable = |(name, value): (Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        Some((name.into_inner().into_owned(), text(value.into_inner())?))
    };
    table(value)?.into_iter().map(variable).collect()
});
pub const TIME: Kind<Duration> = Kind("a number of seconds above 0, or a time like \"1m 30s\"", |value| {
    let time = match value {
        DeValue::String(text) => humantime::parse_duration(&text).ok(),
        DeValue::Integer(number) => number.as_str().parse().ok().map(Duration::from_secs),
        DeValue::Float(number) => Duration::try_from_secs_f64(number.as_str().parse().ok()?).ok(),
        _ => None,
    };
    time.filter(|time| !time.is_zero())
});

pub fn table(value: DeValue<'_>) -> Option<DeTable<'_>> {
    if let DeValue::Table(table) = value { Some(table) } else { None }
}

fn text(value: DeValue<'_>) -> Option<String> {
    if let DeValue::String(text) = value { Some(text.into_owned()) } else { None }
}

fn texts(value: DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(list) = value else { return None };
    list.into_iter().map(|item| text(item.into_inner())).collect()
}
