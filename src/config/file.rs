//! Settings from TOML. Owns where in a file they may be, and in which line they are.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::Path,
    sync::Arc,
};

use toml::de::{DeTable, DeValue};

use super::{
    Found,
    key::{UNMISTAKABLE, find, instead_of, is_near},
    place::{Place, plain},
    read as read_value,
    value::Raw,
};

/// What a table of settings is called.
const NAME: &str = "parallel";

/// No settings are as large as that.
const MOST_BYTES: u64 = 16 << 20;

/// More problems than that nobody reads at once.
const MOST_PROBLEMS: usize = 20;

/// What to do about a name that is ours, and was not meant so.
const OR_NAME: &str = "or have the program name the table that it means";

/// All of a file, but nothing of what has no end, or may never begin.
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let refused = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why));
    // Before it is opened: a pipe that nobody writes to does not even open.
    if !fs::metadata(path)?.is_file() {
        return refused("it is no regular file");
    }
    let mut bytes = Vec::new();
    if File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)? as u64 > MOST_BYTES {
        return refused("it has more than 16 MiB; keep the settings in a file of their own");
    }
    Ok(bytes)
}

pub(super) fn read(text: &str, file: &str, named: Option<&str>) -> Result<Vec<Found>, Vec<String>> {
    let breaks = text.match_indices('\n').map(|(at, _)| at).collect();
    let reader = Reader { breaks, file: file.into() };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().unwrap_or(text.len()..text.len());
        let line = reader.line(at.start);
        let message = plain(&error.message().lines().collect::<Vec<_>>().join("; "));
        let key = text.get(at).filter(|_| message == "duplicate key");
        let key = key.map(|key| format!(" `{}`", plain(key))).unwrap_or_default();
        vec![format!("{file}, line {line}: {message}{key}")]
    })?;
    let tables = match named {
        Some(name) => reader.named(document.get_ref(), name)?,
        None => reader.anywhere(document.get_ref())?,
    };
    match &tables[..] {
        [] => Ok(Vec::new()),
        [table] => reader.settings(table),
        [one, two, ..] => Err(vec![format!(
            "two tables of settings in {file}: [{}] in line {} and [{}] in line {}; keep one of them, {OR_NAME}",
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

struct Reader {
    /// Where lines end.
    breaks: Vec<usize>,
    file: Arc<str>,
}

impl Reader {
    fn line(&self, at: usize) -> usize {
        self.breaks.partition_point(|end| *end < at) + 1
    }

    /// All tables of our name, in their order in the file, or what was meant to be one. What is below one is its own affair.
    fn anywhere<'a>(&self, document: &'a DeTable<'a>) -> Result<Vec<Table<'a>>, Vec<String>> {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        let mut rest = vec![(String::new(), document)];
        while let Some((path, content)) = rest.pop() {
            let is_top = path.is_empty();
            // There each table is of another program.
            let is_others = path.starts_with("tool.");
            for (key, value) in content {
                let (name, at) = (key.get_ref().as_ref(), key.span().start);
                let path = || if is_top { plain(name) } else { format!("{path}.{}", plain(name)) };
                let problem = match value.get_ref() {
                    DeValue::Table(content) if name == NAME => {
                        found.push(Table { path: path(), at, content, is_shared: false });
                        continue;
                    }
                    _ if name == NAME && !is_others => {
                        format!("expected a table of settings, as in [{}]; make it one, {OR_NAME}", path())
                    }
                    _ if is_top && !document.contains_key(NAME) && is_near(name, &[NAME]) => {
                        format!("did you mean [{NAME}]? call it so, {OR_NAME}")
                    }
                    DeValue::Table(below) => {
                        rest.push((path(), below));
                        continue;
                    }
                    _ if is_top && UNMISTAKABLE.contains(&name) => {
                        format!("it is in no table of settings; put it below [{NAME}], {OR_NAME}")
                    }
                    _ => continue,
                };
                let place = format!("{} in {}, line {}", path(), self.file, self.line(at));
                problems.push((at, format!("{place}: {problem}")));
            }
        }
        found.sort_by_key(|table| table.at);
        problems.sort_unstable();
        self.unless(problems.into_iter().map(|(_, problem)| problem).collect(), found)
    }

    /// What was found, unless there are problems, of which the first are told.
    fn unless<T>(&self, mut problems: Vec<String>, found: T) -> Result<T, Vec<String>> {
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        if more > 0 {
            problems.truncate(MOST_PROBLEMS);
            problems.push(format!("and {more} more in {}", self.file));
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
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
        let has_more =
            content.keys().any(|key| *key.get_ref() != NAME && is_near(key.get_ref(), &UNMISTAKABLE));
        Ok(if has_more { vec![named, inner] } else { vec![inner] })
    }

    /// What is set in a table, in the order of the file, or what is wrong with it.
    fn settings(&self, table: &Table<'_>) -> Result<Vec<Found>, Vec<String>> {
        let mut keys: Vec<_> = table.content.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in keys {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            let read = match find(name) {
                // Beside keys of others, only what can be nobody else's is ours.
                _ if table.is_shared && !is_near(name, &UNMISTAKABLE) => continue,
                Some(key) => {
                    let place = Place::File { file: Arc::clone(&self.file), line: self.line(at) };
                    read_value(key, raw(value.get_ref()), place)
                }
                // Of those that are not told, how many there are will do.
                None if problems.len() >= MOST_PROBLEMS => Err(String::new()),
                None => {
                    let (line, instead) = (self.line(at), instead_of(name));
                    Err(format!("unknown key {name:?} in {}, line {line}: {instead}", self.file))
                }
            };
            match read {
                Ok(setting) => found.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        self.unless(problems, found)
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
