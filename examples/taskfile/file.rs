//! The Taskfile: what may stand in it, which of its tasks depend on which, and what is wrong with that. Knows nothing of running.
//!
//! ```toml
//! default = ["test"]           # what runs when nothing is named; else all
//! check = "hash"               # a file has changed when its content has; "mtime", its time or size
//! dir = ".."                   # what paths are relative to; else the folder of this file
//!
//! [parallel]                   # as `PoolConfig` reads it
//! n_workers = "auto"
//!
//! [tasks.test]
//! description = "all tests"
//! command = "cargo test"       # for the shell; ["cargo", "test"] goes without one
//! needs = ["build"]            # go before it, and when one of them runs, so does it
//! inputs = ["src"]             # files, and folders for what is in them; who makes one goes before it
//! outputs = ["report.txt"]     # what it makes; nobody else may
//! env = { RUST_BACKTRACE = "1" }
//! dir = "tests"                # where the command runs
//! timeout = "5m"               # or seconds
//! priority = 1                 # higher goes first
//! always = true                # runs, whatever has changed
//! check = "mtime"
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use crate::keys::{
    CHECK, COMMAND, FLAG, NUMBER, Result, Section, Source, TEXT, TEXTS, TIME, VARIABLES, nearest, table,
    wrong,
};

/// A task as the file has it. It is part of what is sent to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
    pub description: String,
    /// A program and its arguments. Empty where the task only stands for those that it needs.
    pub command: Vec<String>,
    pub dir: String,
    pub env: BTreeMap<String, String>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// The tasks that go before this one, each with whether this one runs again when that one has. It does for those that the
    /// file names; what those did that make an input of it, is seen in that input.
    pub after: BTreeMap<String, bool>,
    pub priority: i32,
    pub timeout: Option<Duration>,
    pub always: bool,
    pub check: Check,
    #[serde(skip)]
    places: BTreeMap<&'static str, String>,
}

/// How a change of a file is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// By its time and size.
    #[default]
    Mtime,
    /// By what is in it; its time and size only say when that need not be read.
    Hash,
}

pub struct Taskfile {
    /// As the user wrote it.
    pub name: String,
    pub text: String,
    /// What all paths in it are relative to.
    pub dir: PathBuf,
    /// In the order of the file.
    tasks: Vec<Task>,
    /// Their names.
    names: Vec<String>,
    default: Vec<String>,
    makers: Makers,
}

/// Which of the tasks makes what.
type Makers = BTreeMap<PathBuf, usize>;

impl Taskfile {
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let source = Source::new(&name, &text);
        let mut file = Section::new(&source, String::new(), source.parse()?);
        // That one is for `PoolConfig`.
        file.take("parallel", "", Some)?;
        let check = file.key("check", CHECK)?.unwrap_or_default();
        let dir = file.key("dir", TEXT)?.unwrap_or_default();
        let default = file.key("default", TEXTS)?;
        let mut tables: Vec<_> =
            file.take("tasks", "a table of tasks", table)?.into_iter().flatten().collect();
        let places = std::mem::take(&mut file.places);
        file.end()?;

        tables.sort_by_key(|(name, _)| name.span().start);
        let mut tasks = Vec::new();
        for (name, task) in tables {
            tasks.push(Task::read(&source, name.get_ref(), name.span(), task.into_inner(), check)?);
        }
        let names: Vec<_> = tasks.iter().map(|task| task.name.clone()).collect();
        let known: BTreeSet<_> = names.iter().collect();
        let needs = tasks.iter().flat_map(|task| task.after.keys().map(|name| (task.place("needs"), name)));
        let targets = default.iter().flatten().map(|name| (&*places["default"], name));
        if let Some((place, name)) = needs.chain(targets).find(|(_, name)| !known.contains(name)) {
            return wrong(format_args!("{place}: no task {name:?}: {}", nearest(name, &names)));
        }
        // The file was read, so it is in a folder.
        let dir = clean(&std::path::absolute(path)?.parent().unwrap_or(Path::new("/")).join(dir));
        let makers = connect(&mut tasks, &dir)?;
        let default = default.unwrap_or_else(|| names.clone());
        Ok(Self { name: name.clone(), text: text.clone(), dir, tasks, names, default, makers })
    }

    /// The tasks to run for these targets, in the order of the file.
    pub fn select(&self, targets: &[String]) -> Result<Vec<&Task>> {
        let places: BTreeMap<_, _> = self.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let mut open: Vec<_> = if targets.is_empty() { &self.default } else { targets }.iter().collect();
        let mut wanted = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some(&place) = places.get(name) else {
                return wrong(format_args!(
                    "no task {name:?} in {}: {}",
                    self.name,
                    nearest(name, &self.names)
                ));
            };
            if wanted.insert(place) {
                open.extend(self.tasks[place].after.keys());
            }
        }
        Ok(wanted.into_iter().map(|place| &self.tasks[place]).collect())
    }

    /// Sees that there are all inputs which none of the tasks makes.
    pub fn check(&self, tasks: &[&Task]) -> Result<()> {
        for (task, input) in tasks.iter().flat_map(|task| task.inputs.iter().map(move |input| (task, input)))
        {
            let path = clean(&self.dir.join(input));
            if !path.exists() && overlapping(&self.makers, &path).is_empty() {
                let place = task.place("inputs");
                return wrong(format_args!("{place}: {input:?} is not there, and no task makes it"));
            }
        }
        Ok(())
    }
}

/// Finds out who makes what, and has those wait for them who read it.
fn connect(tasks: &mut [Task], dir: &Path) -> Result<Makers> {
    let mut makers = Makers::new();
    for (n, task) in tasks.iter().enumerate() {
        for output in &task.outputs {
            let path = clean(&dir.join(output));
            if let Some(other) = overlapping(&makers, &path).into_iter().find(|&other| other != n) {
                let (place, other) = (task.place("outputs"), &tasks[other].name);
                return wrong(format_args!(
                    "{place}: {output:?} is made by the task {other:?}; take it out of one of them"
                ));
            }
            makers.insert(path, n);
        }
    }
    for n in 0..tasks.len() {
        for input in tasks[n].inputs.clone() {
            for maker in
                overlapping(&makers, &clean(&dir.join(input))).into_iter().filter(|&maker| maker != n)
            {
                let maker = tasks[maker].name.clone();
                tasks[n].after.entry(maker).or_insert(false);
            }
        }
    }
    Ok(makers)
}

/// The tasks that make this path, something in it, or a folder that it is in.
fn overlapping(makers: &Makers, path: &Path) -> Vec<usize> {
    // What is in a folder comes right behind it, for paths are compared part by part.
    let inside = makers.range(path.to_owned()..).take_while(|(made, _)| made.starts_with(path));
    let around = path.ancestors().skip(1).filter_map(|folder| makers.get(folder));
    inside.map(|(_, n)| n).chain(around).copied().collect()
}

/// The same path without `.` and `..`, whatever there is on the disk.
pub fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

impl Task {
    fn read(
        source: &Source<'_>,
        name: &str,
        at: Range<usize>,
        value: DeValue<'_>,
        check: Check,
    ) -> Result<Self> {
        let at = source.place(at);
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "-_.:/+@".contains(c)) {
            return wrong(format_args!(
                "tasks.{name:?} in {at}: a name consists of letters, digits and any of -_.:/+@"
            ));
        }
        let place = format!("tasks.{name} in {at}");
        let Some(table) = table(value) else {
            return wrong(format_args!("{place}: expected a table with a command"));
        };
        let mut keys = Section::new(source, format!("tasks.{name}."), table);
        let needs = keys.key("needs", TEXTS)?.unwrap_or_default();
        let task = Self {
            name: name.to_owned(),
            description: keys.key("description", TEXT)?.unwrap_or_default(),
            command: keys.key("command", COMMAND)?.unwrap_or_default(),
            dir: keys.key("dir", TEXT)?.unwrap_or_default(),
            env: keys.key("env", VARIABLES)?.unwrap_or_default(),
            inputs: keys.key("inputs", TEXTS)?.unwrap_or_default(),
            outputs: keys.key("outputs", TEXTS)?.unwrap_or_default(),
            after: needs.into_iter().map(|need| (need, true)).collect(),
            priority: keys.key("priority", NUMBER)?.unwrap_or_default(),
            timeout: keys.key("timeout", TIME)?,
            always: keys.key("always", FLAG)?.unwrap_or_default(),
            check: keys.key("check", CHECK)?.unwrap_or(check),
            places: std::mem::take(&mut keys.places),
        };
        keys.end()?;
        if task.command.is_empty() && (task.after.is_empty() || !task.outputs.is_empty()) {
            return wrong(format_args!(
                "{place}: there is nothing to run; give it a command, or needs and no outputs"
            ));
        }
        Ok(task)
    }

    /// Where a key stands, as messages begin.
    fn place(&self, key: &str) -> &str {
        self.places.get(key).map_or("", String::as_str)
    }
}
