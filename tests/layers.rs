//! Keeps the picture of the house true: a room of `src/` imports only from rooms above it in [`ORDER`]. Reads
//! the sources as text, which needs no compiler and sees every feature at once.
//!
//! What counts as an import: `use` trees and paths in code that start at `crate`, at the crate's own name, at
//! `self` or `super`, or at a module declared in the same file (`mod serial; pub use serial::Serial;`). What
//! does not: comments, strings, items under `#[cfg(test)]` with the files they declare, `mod x;` itself,
//! `pub(in path)`, exported macros (`crate::name!`), and `$crate`, which is a path of the crate that uses the
//! macro.
//!
//! One file, and a long one: half of it is the checker's own tests, which nobody but the checker needs.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The rooms, from those that know nothing to those that know everything. Rooms of one line do not know each
/// other.
const ORDER: &[&[&str]] = &[
    &["sys"],
    &["error", "policy", "cpu"],
    &["wire"],
    &["runtime"],
    &["function"],
    &["task"],
    &["primitives"],
    // The contract: `backend/mod.rs` and the files beside it that are not a backend.
    &["backend"],
    &["worker"],
    &[
        "backend/serial",
        "backend/threads",
        "backend/tasks",
        "backend/processes",
        "backend/engine",
        "backend/mpi",
        "backend/dask",
        "backend/ray",
    ],
    &["executor"],
    &["stream", "sync", "parallel"],
    &["graph", "config", "timeline", "tower"],
];

/// Who may look across: the importing room first.
const ACROSS: &[(&str, &str)] = &[
    ("policy", "error"),
    // A worker elsewhere is looked after as one here is.
    ("backend/engine", "backend/processes"),
    ("backend/mpi", "backend/engine"),
    ("backend/dask", "backend/engine"),
    ("backend/ray", "backend/engine"),
];

/// May import anything, and no room may import them.
const FREE: &[&str] = &["lib", "manual", "fuzz", "models"];

/// Files with more lines say why in their first ten, with the word "long".
const LONG: usize = 600;

#[test]
fn every_room_imports_only_from_rooms_above_it() {
    let files = sources();
    assert!(files.iter().any(|(path, _)| path == "lib.rs"), "no sources found");
    let broken = imports_upward(&files);
    assert!(broken.is_empty(), "\n{}\n\n{}\n", broken.join("\n"), order());
}

#[test]
fn every_file_says_what_it_owns() {
    let broken: Vec<_> = sources().iter().flat_map(|(path, source)| without_head(path, source)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn unsafe_stays_in_sys() {
    let broken: Vec<_> =
        sources().iter().flat_map(|(path, source)| unsafe_outside_of_sys(path, source)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// All sources as (path below `src/`, text), in order of their paths.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).expect("src/ can be listed") {
            let path = entry.expect("an entry").path();
            let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
            if path.is_dir() {
                walk(&path, &format!("{name}/"), files);
            } else if name.ends_with(".rs") {
                files.push((name, fs::read_to_string(&path).expect("sources are UTF-8")));
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    files.sort();
    files
}

// The rules.

fn imports_upward(files: &[(String, String)]) -> Vec<String> {
    let house = House::new(files);
    let mut broken = Vec::new();
    for (path, source) in files {
        let room = room(&segments(path));
        if FREE.contains(&room.as_str()) || house.is_test(path) {
            continue;
        }
        if level(&room).is_none() {
            broken.push(format!(
                "src/{path}:1: `{room}` is not a room; give it a place in tests/layers.rs and STYLE.md"
            ));
            continue;
        }
        let tokens = without_tests(&lex(source)).0;
        if room == "backend"
            && let Some(line) = implements_backend(&tokens)
        {
            broken.push(format!(
                "src/{path}:{line}: is a backend, and its room is not listed; give it a place beside `backend/threads` in tests/layers.rs"
            ));
        }
        for import in imports(&house.module(path), &tokens) {
            let Some(reason) = house.objection(&room, &import.path) else {
                continue;
            };
            let line = format!(
                "src/{path}:{}: `{room}` imports `crate::{}`: {reason}",
                import.line,
                import.path.join("::")
            );
            if !broken.contains(&line) {
                broken.push(line);
            }
        }
    }
    broken
}

/// The line of an `impl Backend for`, which is for backends and not for their contract.
fn implements_backend(tokens: &[Token]) -> Option<usize> {
    let is = |pair: &[Token]| pair[0].text == "Backend" && pair[1].text == "for";
    tokens.windows(2).find(|pair| is(pair)).map(|pair| pair[0].line)
}

fn without_head(path: &str, source: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if path != "lib.rs" && !source.starts_with("//!") {
        broken.push(format!(
            "src/{path}:1: does not start with `//!`: say what the file owns and what it must not know"
        ));
    }
    let lines = source.lines().count();
    let explained = || {
        source.lines().take(10).any(|line| line.starts_with("//") && words(line).any(|word| word == "long"))
    };
    if lines > LONG && !explained() {
        broken
            .push(format!("src/{path}:1: has {lines} lines; split it, or say in its head why it is so long"));
    }
    broken
}

fn unsafe_outside_of_sys(path: &str, source: &str) -> Vec<String> {
    if room(&segments(path)) == "sys" {
        return Vec::new();
    }
    let tokens = lex(source);
    let tokens = tokens.iter().filter(|token| token.text == "unsafe");
    tokens.map(|token| format!("src/{path}:{}: `unsafe` belongs into src/sys/", token.line)).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphabetic())
}

fn level(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

fn order() -> String {
    let lines: Vec<_> = ORDER.iter().map(|rooms| rooms.join(", ")).collect();
    format!("a room may import from the rooms above it:\n    {}", lines.join("\n    "))
}

/// The room of a path of modules, as named in [`ORDER`]. What is in `backend/` and not a backend is the
/// contract.
fn room(path: &[String]) -> String {
    match path {
        [backend, name, ..] if backend == "backend" && level(&format!("backend/{name}")).is_some() => {
            format!("backend/{name}")
        }
        [first, ..] => first.clone(),
        [] => "lib".to_owned(),
    }
}

/// The modules that a path below `src/` stands for, by its name alone: `a/b/mod.rs` and `a/b.rs` are both
/// `a::b`.
fn segments(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// What can be known only from all files together.
struct House {
    /// Rooms that lib.rs mounts under another name: `#[path = "worker/mod.rs"] mod inside;` is `inside` →
    /// `worker`. The name of the room itself is then a facade for users.
    renamed: HashMap<String, String>,
    /// Modules that exist in tests only, as paths without `.rs`.
    tests: Vec<String>,
}

impl House {
    fn new(files: &[(String, String)]) -> Self {
        let mut house = Self { renamed: HashMap::new(), tests: Vec::new() };
        for (path, source) in files {
            let tokens = lex(source);
            if path == "lib.rs" {
                house.renamed = renamed(&tokens);
            }
            let stem = path.strip_suffix(".rs").unwrap_or(path);
            let owner = ["/mod", "lib"].iter().find_map(|own| stem.strip_suffix(own)).unwrap_or(stem);
            let slash = if owner.is_empty() { "" } else { "/" };
            let (_, modules) = without_tests(&tokens);
            house.tests.extend(modules.iter().map(|module| format!("{owner}{slash}{module}")));
        }
        house
    }

    fn is_test(&self, path: &str) -> bool {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        self.tests
            .iter()
            .any(|test| stem.strip_prefix(test).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// The path of a file's module, as the compiler knows it.
    fn module(&self, path: &str) -> Vec<String> {
        let mut module = segments(path);
        if let Some((name, _)) = self.renamed.iter().find(|(_, room)| **room == module[0]) {
            module[0].clone_from(name);
        }
        module
    }

    /// Why `from` may not import `path`, if so.
    fn objection(&self, from: &str, path: &[String]) -> Option<String> {
        let mut path = path.to_vec();
        if let Some(first) = path.first_mut() {
            match self.renamed.get(first) {
                Some(room) => first.clone_from(room),
                None => {
                    if let Some((name, _)) = self.renamed.iter().find(|(_, room)| *room == first) {
                        return Some(format!(
                            "`{first}` is a facade for users; inside, the room is `crate::{name}`"
                        ));
                    }
                }
            }
        }
        let to = room(&path);
        if to == from || ACROSS.contains(&(from, &to)) {
            return None;
        }
        let above = level(from).unwrap_or(0);
        match level(&to) {
            None => Some("the crate root is for users; name the room that owns it".to_owned()),
            Some(level) if level < above => None,
            Some(level) if level == above => {
                Some(format!("`{to}` stands beside `{from}`, and they do not know each other"))
            }
            Some(_) => Some(format!(
                "`{to}` comes after `{from}`, which may know only {}",
                ORDER[..above].concat().join(", ")
            )),
        }
    }
}

/// The modules of lib.rs that have a `#[path]`, with the rooms they are.
fn renamed(tokens: &[Token]) -> HashMap<String, String> {
    let mut renamed = HashMap::new();
    let mut path = None;
    for (index, token) in tokens.iter().enumerate() {
        let after = |ahead: usize| tokens.get(index + ahead).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "path" if after(1) == "=" => path = Some(after(2).trim_matches('"')),
            "mod" => {
                if let Some(room) =
                    path.take().map(|path| room(&segments(path))).filter(|room| room != after(1))
                {
                    renamed.insert(after(1).to_owned(), room);
                }
            }
            ";" | "}" => path = None,
            _ => {}
        }
    }
    renamed
}

// Imports.

#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    /// From the crate root; empty for the root itself, and `*` for all of a module.
    path: Vec<String>,
}

/// Lists all paths of a file that lead into this crate. `module` is the file's own.
fn imports(module: &[String], tokens: &[Token]) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut names = declared(tokens);
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
        let before = |back: usize| at.checked_sub(back).map_or("", text);
        let here: Vec<String> = module.iter().chain(inline.iter().map(|(_, name)| name)).cloned().collect();
        let starts_a_path = text(at + 1) == "::" && before(1) != "::" && is_name(text(at));
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(outside, _)| *outside < depth);
            }
            "mod" if text(at + 2) == "{" => inline.push((depth, text(at + 1).to_owned())),
            "use" if text(at + 1) != "<" => {
                let (paths, end) = tree(tokens, at + 1);
                for (path, alias) in paths {
                    let Some(path) = resolve(&here, &names, path) else {
                        continue;
                    };
                    if path == ["backend"] {
                        names.insert(alias, path.clone());
                    }
                    imports.push(Import { line: tokens[at].line, path });
                }
                at = end;
                continue;
            }
            _ if starts_a_path => {
                let (paths, end) = tree(tokens, at);
                let visibility = before(1) == "in" && before(2) == "(" && before(3) == "pub";
                let macro_call = text(at) == "crate" && text(at + 3) == "!";
                if before(1) != "$" && !visibility && !macro_call {
                    let paths = paths.into_iter().filter_map(|(path, _)| resolve(&here, &names, path));
                    imports.extend(paths.map(|path| Import { line: tokens[at].line, path }));
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    imports
}

/// Names of the modules declared in the file. Only the path below the file's module is known here, hence the
/// `self`.
fn declared(tokens: &[Token]) -> HashMap<String, Vec<String>> {
    let declarations =
        tokens.windows(3).filter(|t| t[0].text == "mod" && matches!(t[2].text.as_str(), ";" | "{"));
    declarations.map(|t| (t[1].text.clone(), vec!["self".to_owned(), t[1].text.clone()])).collect()
}

/// Reads a `use` tree, or a path in code, at `at`. Returns its leaves, each with the name that it binds, and
/// the index of the first token behind it.
fn tree(tokens: &[Token], mut at: usize) -> (Vec<(Vec<String>, String)>, usize) {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut path: Vec<String> = Vec::new();
    if text(at) == "::" {
        at += 1;
    }
    loop {
        match text(at) {
            "{" => {
                let mut leaves = Vec::new();
                at += 1;
                while !matches!(text(at), "}" | "") {
                    let (inner, end) = tree(tokens, at);
                    if end == at {
                        at += 1; // A comma, or what no tree has in it.
                        continue;
                    }
                    leaves.extend(
                        inner.into_iter().map(|(inner, alias)| ([&path[..], &inner].concat(), alias)),
                    );
                    at = end;
                }
                return (leaves, at + 1);
            }
            name if is_name(name) || name == "*" => path.push(name.to_owned()),
            _ => break,
        }
        at += 1;
        match (text(at), text(at + 1)) {
            ("::", "<") => break,
            ("::", _) => at += 1,
            _ => break,
        }
    }
    let mut alias = path.last().cloned().unwrap_or_default();
    if text(at) == "as" && is_name(text(at + 1)) {
        alias = text(at + 1).to_owned();
        at += 2;
    }
    (vec![(path, alias)], at)
}

/// Turns a path as written in module `here` into one from the crate root; `None` for the paths of other
/// crates, of types and of what has been imported (and looked at) before.
fn resolve(here: &[String], names: &HashMap<String, Vec<String>>, path: Vec<String>) -> Option<Vec<String>> {
    let own_name = env!("CARGO_PKG_NAME").replace('-', "_");
    let first = path.first()?;
    let (mut whole, rest) = match first.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" | "super" => (here.to_vec(), &path[..]),
        name if *name == own_name => (Vec::new(), &path[1..]),
        name => match names.get(name)?.split_first()? {
            (start, below) if start == "self" => ([here, below].concat(), &path[1..]),
            _ => (names[name].clone(), &path[1..]),
        },
    };
    for name in rest {
        match name.as_str() {
            "self" => {}
            "super" => drop(whole.pop()),
            _ => whole.push(name.clone()),
        }
    }
    Some(whole)
}

// Text.

#[derive(Debug, Clone, PartialEq)]
struct Token {
    line: usize,
    /// A word, `::`, one other character, or a literal with a `"` in front.
    text: String,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Cuts a source into tokens; comments, and the insides of characters, are gone.
fn lex(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let char = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    while at < chars.len() {
        let start = at;
        let text: String = match char(at) {
            '/' if char(at + 1) == '/' => {
                while at < chars.len() && char(at) != '\n' {
                    at += 1;
                }
                continue;
            }
            '/' if char(at + 1) == '*' => {
                let mut depth = 0;
                loop {
                    let step = match (char(at), char(at + 1)) {
                        ('/', '*') => (1, 2),
                        ('*', '/') => (-1, 2),
                        _ => (0, 1),
                    };
                    depth += step.0;
                    at += step.1;
                    if depth == 0 || at >= chars.len() {
                        break;
                    }
                }
                String::new()
            }
            '"' => {
                at = end_of_quote(&chars, at + 1, '"');
                format!("\"{}", chars[start + 1..at.max(start + 2) - 1].iter().collect::<String>())
            }
            // A lifetime has a name and no second quote behind its first character.
            '\'' if char(at + 1) != '\\' && char(at + 2) != '\'' => {
                at += 1;
                "'".to_owned()
            }
            '\'' => {
                at = end_of_quote(&chars, at + 1, '\'');
                "\"".to_owned()
            }
            ':' if char(at + 1) == ':' => {
                at += 2;
                "::".to_owned()
            }
            c if is_word(c) => {
                while is_word(char(at)) {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
                match word.as_str() {
                    "r" | "br" | "cr" if char(at + hashes) == '"' => {
                        at = end_of_raw(&chars, at + hashes + 1, hashes);
                        "\"".to_owned()
                    }
                    // The quote behind it is a token of its own.
                    "b" | "c" if matches!(char(at), '"' | '\'') => String::new(),
                    "r" if hashes == 1 => {
                        at += 1;
                        String::new()
                    }
                    _ => word,
                }
            }
            c => {
                at += 1;
                if c.is_whitespace() { String::new() } else { c.to_string() }
            }
        };
        if !text.is_empty() {
            tokens.push(Token { line, text });
        }
        line += chars[start..at.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn end_of_quote(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw(chars: &[char], mut at: usize, hashes: usize) -> usize {
    let closes = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    while at < chars.len() && !closes(at) {
        at += 1;
    }
    (at + 1 + hashes).min(chars.len())
}

/// Takes out what is under `#[cfg(test)]`, and names the modules in files of their own among it.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let inner = text(at) == "#" && text(at + 1) == "!";
        let bracket = at + 1 + usize::from(inner);
        if text(at) != "#" || text(bracket) != "[" {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = closing(tokens, bracket);
        let attribute = &tokens[bracket..end];
        let mentions = |word| attribute.iter().any(|token| token.text == word);
        if !(text(bracket + 1) == "cfg" && mentions("test") && !mentions("not")) {
            kept.extend_from_slice(&tokens[at..end]);
            at = end;
            continue;
        }
        if inner {
            return (Vec::new(), modules);
        }
        at = end;
        while text(at) == "#" {
            at = closing(tokens, at + 1);
        }
        if text(at) == "pub" {
            at = if text(at + 1) == "(" { closing(tokens, at + 1) } else { at + 1 };
        }
        if text(at) == "mod" && text(at + 2) == ";" {
            modules.push(text(at + 1).to_owned());
        }
        at = end_of_item(tokens, at);
    }
    (kept, modules)
}

/// The index behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The index behind the item at `at`: behind its semicolon or its braces; a field or a variant ends at its
/// comma or where its parent does.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    const ITEMS: [&str; 13] = [
        "mod", "use", "fn", "impl", "const", "static", "struct", "enum", "trait", "type", "async", "unsafe",
        "extern",
    ];
    let is_item = tokens.get(at).is_some_and(|token| ITEMS.contains(&token.text.as_str()));
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The checker itself, on houses of a few lines.
mod checker {
    use super::*;

    fn house(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> =
            files.iter().map(|(path, source)| (path.to_string(), source.to_string())).collect();
        imports_upward(&files)
    }

    /// The imported paths of one file that stands in the way of nobody, with their lines.
    fn paths(source: &str) -> Vec<String> {
        let module = ["backend".to_owned(), "queue".to_owned()];
        let imports = imports(&module, &without_tests(&lex(source)).0);
        imports.iter().map(|import| format!("{} {}", import.line, import.path.join("::"))).collect()
    }

    #[track_caller]
    fn allowed(path: &str, source: &str) {
        assert_eq!(house(&[(path, source)]), [""; 0], "{path}: {source}");
    }

    #[track_caller]
    fn refused(path: &str, source: &str, reason: &str) {
        let broken = house(&[(path, source)]);
        assert!(broken.len() == 1 && broken[0].contains(reason), "{path}: {source}\n{broken:?}");
    }

    #[test]
    fn a_room_that_reaches_upward_is_named_with_its_line() {
        let source = "//! Frames.\n\nuse crate::error::E;\nuse crate::task::Handle;\n";
        let path = "src/wire/frame.rs:4: `wire` imports `crate::task::Handle`: ";
        let reason = "`task` comes after `wire`, which may know only sys, error, policy, cpu";
        assert_eq!(house(&[("wire/frame.rs", source)]), [[path, reason].concat()]);
    }

    #[test]
    fn order_of_the_rooms() {
        allowed("policy.rs", "use crate::error::TaskError;");
        refused("error.rs", "use crate::policy::Cancel;", "beside");
        refused("cpu/mod.rs", "use crate::error::TaskError;", "beside");
        refused("sys/mod.rs", "use crate::error::TaskError;", "may know only");
        allowed("worker/mod.rs", "use crate::backend::queue::Queue;");
        refused("backend/queue.rs", "use crate::worker::Loop;", "comes after");
        refused("worker/mod.rs", "use crate::backend::threads::Threads;", "comes after");
        allowed("executor/backends.rs", "use crate::backend::{serial::Serial, threads::Threads};");
        refused("stream/mod.rs", "use crate::sync::Lock;", "beside");
        refused("backend/mod.rs", "use crate::executor::Executor;", "comes after");
    }

    #[test]
    fn backends_know_the_contract_and_not_each_other() {
        allowed(
            "backend/threads/lane.rs",
            "use crate::backend::{Backend, queue::Queue}; use super::super::job::Job;",
        );
        allowed("backend/threads/lane.rs", "use super::Threads; use crate::backend::threads::run;");
        refused("backend/threads/mod.rs", "use crate::backend::{queue, serial::Serial};", "beside");
        refused("backend/threads.rs", "use super::serial::Serial;", "beside");
        refused("backend/processes/mod.rs", "use crate::backend::engine::Engine;", "beside");
        allowed("backend/mpi/mod.rs", "use crate::backend::engine::Engine;");
        refused("backend/engine/mod.rs", "use crate::backend::mpi::Mpi;", "beside");
        refused("backend/threads.rs", "use crate::backend;\nfn f() { backend::serial::run() }", "beside");
    }

    #[test]
    fn a_backend_without_a_room_is_named() {
        refused("backend/attic/mod.rs", "impl Backend for Attic {}", "is a backend");
        refused("backend/attic.rs", "impl super::Backend for Attic {}", "is a backend");
        allowed("backend/threads.rs", "impl Backend for Threads {}");
        allowed("backend/mod.rs", "/// impl Backend for Plain\npub trait Backend: Send {}");
    }

    #[test]
    fn declaring_a_backend_is_not_importing_it() {
        allowed(
            "backend/mod.rs",
            "pub mod serial;\npub(crate) mod threads;\nmod queue;\npub use queue::Queue;",
        );
        refused("backend/mod.rs", "mod serial;\npub use serial::Serial;", "comes after");
        refused("backend/mod.rs", "mod serial;\nfn f() { self::serial::run() }", "comes after");
    }

    #[test]
    fn the_crate_root_is_for_users() {
        for source in
            ["use crate::TaskError;", "use crate::*;", "use crate as all;", "use super::super::Task;"]
        {
            refused("task/handle.rs", source, "crate root");
        }
        refused("task/handle.rs", "fn f() -> polypool::TaskError {}", "crate root");
        refused("error.rs", "use super::thing;", "crate root");
        allowed("task/handle.rs", "fn f() { crate::trace!(); }");
        allowed("lib.rs", "mod task; pub use crate::task::Task; pub use task::Handle;");
        refused("attic.rs", "", "not a room");
    }

    #[test]
    fn a_room_under_another_name_has_a_facade_that_the_house_does_not_use() {
        let lib = (
            "lib.rs",
            "#[path = \"worker/mod.rs\"]\nmod inside;\npub mod worker { pub use crate::inside::id; }",
        );
        assert_eq!(house(&[lib, ("executor/mod.rs", "use crate::inside::Loop;")]), [""; 0]);
        assert_eq!(house(&[lib, ("worker/run.rs", "use super::Loop; use crate::inside::context;")]), [""; 0]);
        for source in ["use crate::worker::id;", "fn f() { super::super::worker::id() }"] {
            let broken = house(&[lib, ("executor/mod.rs", source)]);
            assert!(broken.len() == 1 && broken[0].contains("facade"), "{broken:?}");
        }
        let broken = house(&[lib, ("task/mod.rs", "use crate::inside::Loop;")]);
        assert!(broken.len() == 1 && broken[0].contains("`worker` comes after `task`"), "{broken:?}");
    }

    #[test]
    fn paths_are_found_in_every_form() {
        assert_eq!(paths("use crate::{a::{b, c::d as e}, f};"), ["1 a::b", "1 a::c::d", "1 f"]);
        assert_eq!(paths("use {crate::a, std::b::{crate_c, d}};"), ["1 a"]);
        assert_eq!(paths("pub(crate) use super::{self, x::*};"), ["1 backend", "1 backend::x::*"]);
        assert_eq!(
            paths("let x = crate::a::B::<crate::c::D>::new(\n&crate::e::F);"),
            ["1 a::B", "1 c::D", "2 e::F"]
        );
        assert_eq!(
            paths("mod inner { use super::super::x; }\nuse super::y;"),
            ["1 backend::x", "2 backend::y"]
        );
        assert_eq!(paths("mod inner { fn f() {} }\nfn f() { inner::f() }"), ["2 backend::queue::inner::f"]);
        assert_eq!(paths("impl crate::a::T for super::super::b::U {}"), ["1 a::T", "1 b::U"]);
        assert_eq!(
            paths("fn f(x: &'static crate::a::T) -> impl Sized + use<'_> { 'c'; '\\''; crate::b::c }"),
            ["1 a::T", "1 b::c"]
        );
        assert_eq!(paths("for x in (crate::a::all()) {}"), ["1 a::all"]);
        assert_eq!(paths("use crate::r#async::x;"), ["1 async::x"]);
    }

    #[test]
    fn what_is_no_import_is_not_taken_for_one() {
        assert_eq!(
            paths("// use crate::a;\n/// [`crate::a::B`]\n/* crate::a /* crate::b */ crate::c */"),
            [""; 0]
        );
        assert_eq!(
            paths(r####"f("crate::a::b \" crate::c::d", r#"" crate::e::f"#, b"crate::g::h", '"', "'");"####),
            [""; 0]
        );
        assert_eq!(
            paths("pub(in crate::backend) fn f() { $crate::task::x() } pub(crate) struct S;"),
            [""; 0]
        );
        assert_eq!(
            paths("#[cfg(test)]\nmod tests { use crate::executor::E; mod x { fn f() {} } }\nuse crate::a;"),
            ["3 a"]
        );
        assert_eq!(
            paths("#[cfg(all(test, unix))] #[allow(x)] pub(crate) fn f() -> [u8; 2] { crate::a::b() }"),
            [""; 0]
        );
        assert_eq!(
            paths("struct S { #[cfg(test)] x: crate::a::X, y: crate::b::Y, #[cfg(test)] z: crate::c::Z }"),
            ["1 b::Y"]
        );
        assert_eq!(paths("#[cfg(not(test))] use crate::a;"), ["1 a"]);
        assert_eq!(paths("#![cfg(test)] use crate::a;"), [""; 0]);
    }

    #[test]
    fn files_that_only_tests_declare_are_free() {
        let upward = "use crate::executor::Executor;";
        assert_eq!(house(&[("task/mod.rs", "#[cfg(test)] mod tests;"), ("task/tests.rs", upward)]), [""; 0]);
        assert_eq!(
            house(&[("task/mod.rs", "#[cfg(test)] mod tests;"), ("task/tests/one.rs", upward)]),
            [""; 0]
        );
        assert_eq!(house(&[("task/state.rs", "#[cfg(test)] mod t;"), ("task/state/t.rs", upward)]), [""; 0]);
        assert_eq!(house(&[("task/mod.rs", "mod tests;"), ("task/tests.rs", upward)]).len(), 1);
        assert_eq!(house(&[("task/mod.rs", "#[cfg(test)] mod test;"), ("task/tests.rs", upward)]).len(), 1);
    }

    #[test]
    fn heads_and_lengths() {
        let (short, long) = ("//! Owns x.\n", "fn f() {}\n".repeat(LONG));
        assert_eq!(without_head("task/mod.rs", short), [""; 0]);
        assert_eq!(without_head("lib.rs", "mod x;"), [""; 0]);
        assert_eq!(without_head("task/mod.rs", "\n//! Owns x.").len(), 1);
        assert_eq!(without_head("task/mod.rs", &format!("{short}{long}")).len(), 1);
        assert_eq!(
            without_head("task/mod.rs", &format!("{short}// fn belongs_to() is short.\n{long}")).len(),
            1
        );
        assert_eq!(
            without_head("task/mod.rs", &format!("{short}//! It is long, as a table is.\n{long}")),
            [""; 0]
        );
    }

    #[test]
    fn the_keyword_unsafe_and_only_that() {
        assert_eq!(unsafe_outside_of_sys("task/mod.rs", "// x\nunsafe { f() }").len(), 1);
        assert!(
            unsafe_outside_of_sys("task/mod.rs", "// x\nunsafe { f() }")[0]
                .starts_with("src/task/mod.rs:2: ")
        );
        assert_eq!(
            unsafe_outside_of_sys("task/mod.rs", "#![deny(unsafe_code)] // unsafe\nf(\"unsafe\")"),
            [""; 0]
        );
        assert_eq!(unsafe_outside_of_sys("sys/shm.rs", "unsafe { f() }"), [""; 0]);
    }
}
