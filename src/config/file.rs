//! Settings from TOML. Owns where in a file they may be, and in which line they are.

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Found,
    key::{find, instead_of, names, nearest},
    place::{Place, plain},
    read as read_value,
    value::Raw,
};

/// What a table of settings is called.
const NAME: &str = "parallel";

/// Keys that a program's own table has for nobody but us.
const UNMISTAKABLE: [&str; 2] = ["n_workers", "parallel_backend"];

pub(super) fn read(text: &str, file: &str, named: Option<&str>) -> Result<Vec<Found>, Vec<String>> {
    let reader = Reader { text, file: file.into() };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        vec![format!("{file}, line {}: {}", reader.line(at), plain(&message))]
    })?;
    let tables = match named {
        Some(name) => reader.named(document.get_ref(), name)?,
        None => anywhere(document.get_ref()),
    };
    match &tables[..] {
        [] => Ok(Vec::new()),
        [table] => reader.settings(table),
        [one, two, ..] => Err(vec![format!(
            "two tables of settings in {file}: [{}] in line {} and [{}] in line {}; keep one of them, or have the program name \
             the one that it means",
            one.path,
            reader.line(one.at),
            two.path,
            reader.line(two.at)
        )]),
    }
}

/// The number of the line in which the byte at `at` is, from 1.
pub(super) fn line(text: &[u8], at: usize) -> usize {
    text.iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// A table with settings in it.
struct Table<'a> {
    path: String,
    at: usize,
    content: &'a DeTable<'a>,
    /// It holds the program's own keys, too.
    is_shared: bool,
}

/// All tables of our name, in their order in the file. What is below one is its own affair.
fn anywhere<'a>(document: &'a DeTable<'a>) -> Vec<Table<'a>> {
    let (mut found, mut rest) = (Vec::new(), vec![(String::new(), document)]);
    while let Some((path, content)) = rest.pop() {
        for (key, value) in content {
            let DeValue::Table(below) = value.get_ref() else { continue };
            let name = key.get_ref();
            let path = if path.is_empty() { plain(name) } else { format!("{path}.{}", plain(name)) };
            if name == NAME {
                found.push(Table { path, at: key.span().start, content: below, is_shared: false });
            } else {
                rest.push((path, below));
            }
        }
    }
    found.sort_by_key(|table| table.at);
    found
}

struct Reader<'t> {
    text: &'t str,
    file: Arc<str>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        line(self.text.as_bytes(), at)
    }

    /// The table that the program has named, or the one of our name in it.
    fn named<'a>(&self, document: &'a DeTable<'a>, name: &str) -> Result<Vec<Table<'a>>, Vec<String>> {
        let (mut content, mut at) = (document, 0);
        for part in name.split('.') {
            let Some((key, value)) = content.get_key_value(part) else { return Ok(Vec::new()) };
            at = key.span().start;
            let DeValue::Table(below) = value.get_ref() else {
                let place = format!("{} in {}, line {}", plain(name), self.file, self.line(at));
                return Err(vec![format!("{place}: expected a table of settings")]);
            };
            content = below;
        }
        let is_shared = name.rsplit('.').next() != Some(NAME);
        let named = Table { path: plain(name), at, content, is_shared };
        let Some((key, DeValue::Table(below))) =
            content.get_key_value(NAME).filter(|_| is_shared).map(|(key, value)| (key, value.get_ref()))
        else {
            return Ok(vec![named]);
        };
        let inner = Table {
            path: format!("{}.{NAME}", named.path),
            at: key.span().start,
            content: below,
            is_shared: false,
        };
        let has_more = UNMISTAKABLE.iter().any(|key| content.contains_key(*key));
        Ok(if has_more { vec![named, inner] } else { vec![inner] })
    }

    /// What is set in a table, in the order of the file, or all that is wrong with it.
    fn settings(&self, table: &Table<'_>) -> Result<Vec<Found>, Vec<String>> {
        let mut keys: Vec<_> = table.content.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in keys {
            match self.setting(key.get_ref(), value, self.line(key.span().start), table.is_shared) {
                Some(Ok(setting)) => found.push(setting),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// None for what is the program's own.
    fn setting(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        line: usize,
        is_shared: bool,
    ) -> Option<Result<Found, String>> {
        if let Some(key) = find(name) {
            let place = Place::File { file: Arc::clone(&self.file), line };
            return Some(read_value(key, raw(value.get_ref()), place));
        }
        // Beside keys of others, only what is all but one of ours was meant to be it.
        if is_shared && nearest(name, names(), 0.8).is_none() {
            return None;
        }
        Some(Err(format!("unknown key {name:?} in {}, line {line}: {}", self.file, instead_of(name))))
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Integer(n) => {
            Raw::Integer(i128::from_str_radix(n.as_str(), n.radix()).unwrap_or_else(|_| {
                // Only for want of room.
                if n.as_str().starts_with('-') { i128::MIN } else { i128::MAX }
            }))
        }
        DeValue::Float(n) => n.as_str().parse().map_or(Raw::Other, Raw::Float),
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Table(table) => Raw::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), raw(value.get_ref()))).collect(),
        ),
        DeValue::Array(_) | DeValue::Datetime(_) => Raw::Other,
    }
}
