//! Holds the manual to the crate: each error has an entry on the page that lists them, and each text on that page is one that the
//! crate prints. Reads the sources as text.

use std::fs;
use std::path::Path;

/// What stands on the page for what differs from case to case.
const HOLE: &str = "…";

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)).expect("a source")
}

/// The page, without the comment marks.
fn page() -> String {
    let source = source("manual/troubleshooting.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

#[test]
fn every_error_has_an_entry() {
    let (errors, page) = (source("error.rs"), page());
    let entries: Vec<&str> = page.split("\n## ").skip(1).collect();
    let mut missing = Vec::new();
    for name in ["TaskError", "BuildError"] {
        let variants = variants(&errors, name);
        assert!(variants.len() > 10, "{name} was not found: {variants:?}");
        for (variant, message) in variants {
            let (heading, text) = match message.as_str() {
                // All of it is said where the error is made.
                HOLE => (format!("`{name}::{variant}`"), format!("{name}::{variant}")),
                message => (message.to_owned(), format!("{name}::{variant}")),
            };
            let link = format!("[`{text}`](crate::{text})");
            let is_there = entries.iter().any(|entry| {
                let (head, body) = entry.split_once('\n').unwrap_or((entry, ""));
                head.contains(&heading) && body.contains(&link)
            });
            if !is_there {
                missing.push(format!("`## ``{heading}`` ` with {link}"));
            }
        }
    }
    assert!(missing.is_empty(), "src/manual/troubleshooting.rs has no entry\n{}\n", missing.join("\n"));
}

#[test]
fn every_message_on_the_page_is_the_crates_own() {
    let printed = literals();
    assert!(printed.len() > 500, "no sources found");
    let page = page();
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split(" | ").next());
    let heads = page.lines().filter_map(|line| line.strip_prefix("## "));
    let messages: Vec<&str> = rows.chain(heads).filter_map(code).collect();
    let is_name = |text: &&str| ["TaskError::", "BuildError::"].iter().any(|name| text.starts_with(name));
    let messages: Vec<&str> = messages.into_iter().filter(|text| !is_name(text)).collect();
    assert!(messages.len() > 50, "the page was not read: {messages:?}");
    let unknown: Vec<_> = messages.into_iter().filter(|message| !is_printed(message, &printed)).collect();
    assert!(unknown.is_empty(), "nothing in src/ prints\n{}\n", unknown.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = source("manual/mod.rs");
    let pages: Vec<_> = contents
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|page| !contents.contains(&format!("[`{page}`]")))
        .collect();
    assert!(pages.is_empty(), "the table in src/manual/mod.rs is without {pages:?}");
}

/// What is in a code span that is the whole text.
fn code(text: &str) -> Option<&str> {
    let ticks = text.len() - text.trim_start_matches('`').len();
    let inner = text.trim().strip_prefix(&"`".repeat(ticks))?.strip_suffix(&"`".repeat(ticks))?;
    (ticks > 0).then_some(inner.trim())
}

/// Is the message a text of the source, or a part of one? A hole may be filled by another text.
fn is_printed(message: &str, printed: &[String]) -> bool {
    let parts: Vec<&str> = message.split(HOLE).filter(|part| part.chars().any(char::is_alphabetic)).collect();
    printed.iter().any(|text| text.contains(message))
        // Put together of several texts.
        || parts.iter().all(|part| printed.iter().any(|text| text.contains(part)))
}

/// The variants of an enum of thiserror, each with what it prints.
fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source.split_once(&format!("pub enum {name} {{")).expect("the enum").1;
    let body = body.split_once("\n}").expect("its end").0;
    let mut variants = Vec::new();
    for part in body.split("#[error(").skip(1) {
        let message = strings(part).into_iter().next().expect("a message");
        let after = part.split_once(")]\n").expect("the end of the attribute").1;
        let variant = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().expect("a name");
        variants.push((variant.to_owned(), message));
    }
    variants
}

/// All string literals in the sources.
fn literals() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(strings(&fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// The string literals in a source, without its comments; what `format!` would fill in is a hole.
fn strings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, here) = rest.split_at(at);
        if let Some(comment) = here.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(other) =
            ["'\"'", r"'\''", r#"'\"'"#].iter().find_map(|quote| here.strip_prefix(quote))
        {
            rest = other;
        } else if let Some(text) = here.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = before[..before.len() - hashes].ends_with('r');
            let (text, other) = if is_raw {
                text.split_once(&format!("\"{}", "#".repeat(hashes))).expect("its end")
            } else {
                let end = end_of_string(text);
                (&text[..end], &text[end + 1..])
            };
            found.push(with_holes(&unescaped(text)));
            rest = other;
        } else {
            rest = &here[1..];
        }
    }
    found
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|&(_, c)| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    end.expect("a string ends").0
}

/// A line that goes on is one line.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let mut line = parts.next().unwrap_or("").to_owned();
    parts.for_each(|part| line.push_str(part.trim_start()));
    line.replace("\\\"", "\"").replace("\\n", "\n")
}

fn with_holes(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = match rest[at..].split_once('}') {
            _ if rest[at..].starts_with("{{") => {
                out.push('{');
                &rest[at + 2..]
            }
            Some((_, after)) => {
                out.push_str(HOLE);
                after
            }
            None => "",
        };
    }
    out + rest
}

#[test]
fn strings_are_found_with_their_holes() {
    let source = r##"// "no" isn't one
        let a = 'x'; let b = '"'; f("a {b} and {c:?}", r#"raw "q""#, "one \
             line");"##;
    assert_eq!(strings(source), ["a … and …", "raw \"q\"", "one line"]);
    let source = "pub enum Oops {\n    /// A \"thing\".\n    #[error(\"gone: {0}\")]\n    Gone(String),\n    #[error(\n        \"{} left\",\n        f(path)\n    )]\n    Left {\n        path: u8,\n    },\n}\n";
    let found = variants(source, "Oops");
    assert_eq!(found, [("Gone".to_owned(), "gone: …".to_owned()), ("Left".to_owned(), "… left".to_owned())]);
    assert_eq!((code("``a `b` ``"), code("plain"), code("`a` b")), (Some("a `b`"), None, None));
    assert!(is_printed("a … and", &["xa … and …".to_owned()]));
    assert!(!is_printed("never … said", &["xa … and …".to_owned()]));
}
