//! The one list of settings: their names, what each may be, what it is when nobody says, and what it is for. Files, the
//! environment, the command line, the documentation and the list of a pool's settings are all made from it.

use super::value::Kind;

/// A setting that there may be.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) of: Of,
    pub(super) kind: Kind,
    /// What it is when nobody says, as TOML; empty where that depends.
    pub(super) default: &'static str,
    #[cfg_attr(
        not(any(feature = "clap", test)),
        allow(dead_code, reason = "a file of settings has no help")
    )]
    pub(super) doc: &'static str,
}

/// Who has a use for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Says which pool it is to be.
    Choice,
    /// Every pool.
    Pool,
    /// A pool whose tasks need not all run in a thread that a debugger follows.
    Parallel,
    /// The backend of that name alone.
    Processes,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const fn key(name: &'static str, of: Of, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, of, kind, default, doc }
}

const NONE: &str = "\"none\"";
const LIMIT: Kind = Kind::Number { least: 1, most: i64::MAX as u64, none: true };
const SPAN: Kind = Kind::Time { limit: true };
const START_METHODS: &[&str] = &["loky", "loky_init_main", "spawn", "forkserver", "fork"];
const RUNTIMES: &[&str] = &["detect", "tokio", "async-std", "smol", "standalone"];

/// All settings, in the order in which they are shown.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("debug", Of::Choice, Kind::Flag, "false", "run everything in one thread, where a debugger can follow; outranks all else"),
    key("parallel", Of::Choice, Kind::Parallel, "", "what [`Parallel`](crate::Parallel) reads, in place of the next two"),
    key("n_workers", Of::Choice, Kind::Workers, "", "how many tasks run at a time (\"auto\" leaves one CPU to others)"),
    key("parallel_backend", Of::Choice, Kind::Backend, "", "what runs the tasks"),
    key("cancel", Of::Pool, Kind::Policy, "\"pending\"", "which tasks are cancelled when the pool goes away"),
    key("task_timeout", Of::Parallel, SPAN, NONE, "how long each task may run"),
    key("retries", Of::Pool, Kind::Number { least: 0, most: u32::MAX as u64, none: false }, "0", "how often a task is tried again whose worker was lost"),
    key("max_pending", Of::Pool, LIMIT, NONE, "how many tasks may wait"),
    key("on_serial", Of::Parallel, Kind::Word(&["error", "warn", "ignore"]), "\"ignore\"", "what happens when there would be one worker only"),
    key("spin", Of::Parallel, Kind::Word(&["off", "adaptive"]), "\"off\"", "whether those who wait spend CPU time on waiting faster"),
    key("name", Of::Pool, Kind::Text, "", "the pool's name in logs and events"),
    key("runtime", Of::Pool, Kind::Word(RUNTIMES), "\"detect\"", "where the pool's threads come from"),
    key("start_method", Of::Processes, Kind::Word(START_METHODS), "", "how workers are started"),
    key("transport", Of::Processes, Kind::Word(&["shared-memory", "socket"]), "\"shared-memory\"", "how calls travel"),
    key("idle_timeout", Of::Processes, SPAN, NONE, "ends workers that had nothing to do for so long"),
    key("max_tasks_per_worker", Of::Processes, LIMIT, NONE, "replaces a worker after so many tasks"),
    key("max_memory_growth", Of::Processes, Kind::Bytes, NONE, "replaces a worker that has grown by so much"),
    key("memory_limit", Of::Processes, Kind::Bytes, NONE, "how much memory a worker may allocate"),
    key("max_payload", Of::Processes, Kind::Bytes, NONE, "how large an argument or a result may be"),
    key("env", Of::Processes, Kind::Table, "{}", "environment variables of the workers"),
    key("current_dir", Of::Processes, Kind::Text, "", "the folder in which workers start"),
    key("grace_period", Of::Processes, Kind::Time { limit: false }, "\"100ms\"", "how long a task that is asked to stop may go on, before SIGTERM and again before SIGKILL"),
    key("inner_threads", Of::Processes, LIMIT, NONE, "how many threads the libraries in a worker may use"),
    key("prefetch", Of::Processes, Kind::Flag, "true", "whether calls may be sent to workers that are busy"),
];

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Found when this is compiled, so that there is no key that is not there.
const fn of(name: &str) -> &'static Key {
    let mut i = 0;
    while !is_same(KEYS[i].name, name) {
        i += 1;
    }
    &KEYS[i]
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b, mut i) = (a.as_bytes(), b.as_bytes(), 0);
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

pub(super) static DEBUG: &Key = of("debug");
pub(super) static PARALLEL: &Key = of("parallel");
pub(super) static N_WORKERS: &Key = of("n_workers");
pub(super) static PARALLEL_BACKEND: &Key = of("parallel_backend");
pub(super) static ON_SERIAL: &Key = of("on_serial");
#[cfg(feature = "clap")]
pub(super) static TASK_TIMEOUT: &Key = of("task_timeout");

/// The known name that is most like this one, if it is as much like it as `alike` says: 1 is the same. The first of equals.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>, alike: f64) -> Option<String> {
    // Nobody means one of ours by a page of text, and comparing takes the square of it.
    let name = (name.len() <= 64).then(|| name.replace('-', "_").to_lowercase())?;
    let likeness = |known: &str| {
        let is_its_end = name.len() > 3 && known.strip_suffix(&name).is_some_and(|rest| rest.ends_with('_'));
        let likeness = strsim::normalized_damerau_levenshtein(&name, known);
        if is_its_end { likeness.max(0.75) } else { likeness }
    };
    let rated = names.map(|known| (likeness(&known.to_lowercase()), known));
    let best = rated.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.filter(|(likeness, _)| *likeness >= alike).map(|(_, known)| known)
}

/// Keys that a program's own table has for nobody but us.
pub(super) const UNMISTAKABLE: [&str; 7] = [
    "parallel",
    "n_workers",
    "parallel_backend",
    "on_serial",
    "max_tasks_per_worker",
    "max_memory_growth",
    "inner_threads",
];

/// Tells whether it is one of these, or was meant to be.
pub(super) fn is_near(name: &str, names: &[&str]) -> bool {
    names.contains(&name) || nearest(name, names.iter().map(|&known| known.to_owned()), 0.8).is_some()
}

pub(super) fn names() -> impl Iterator<Item = String> {
    KEYS.iter().map(|key| key.name.to_owned())
}

/// What to say of a key that nobody knows, behind the place.
pub(super) fn instead_of(name: &str) -> String {
    match nearest(name, names(), 0.5) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("known are {}", KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the documentation.
    fn table() -> String {
        let head = "| key | value | default | |\n|---|---|---|---|\n".to_owned();
        KEYS.iter().fold(head, |table, key| {
            let value = key.kind.expected().replace('|', "\\|");
            let default = match (key.default, key.name) {
                ("", "n_workers") => "`POLYPOOL_NUM_WORKERS`, `OMP_NUM_THREADS`, all CPUs".to_owned(),
                ("", "parallel_backend") => "[`default_backend`](crate::default_backend)".to_owned(),
                ("", "name") => "the backend's".to_owned(),
                ("", "start_method") => "the program's, else `\"loky\"`".to_owned(),
                ("", "current_dir") => "the program's".to_owned(),
                ("", _) => String::new(),
                (default, _) => format!("`{default}`"),
            };
            let only = if key.of == Of::Processes { "; `processes` only" } else { "" };
            format!("{table}| `{}` | {value} | {default} | {}{only} |\n", key.name, key.doc)
        })
    }

    #[test]
    fn the_documented_settings_are_those_that_there_are() {
        assert_eq!(include_str!("keys.md"), table(), "write this into src/config/keys.md:\n\n{}", table());
    }

    #[test]
    fn what_can_be_nobody_elses_is_documented_and_the_others_are_not_near_it() {
        let readme = include_str!("README.md");
        let begin = readme.find("only these are settings:").expect("a list");
        let list = &readme[begin..begin + readme[begin..].find(". ").expect("its end")];
        let listed: Vec<_> = list.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, UNMISTAKABLE);
        let near: Vec<_> =
            KEYS.iter().filter(|key| is_near(key.name, &UNMISTAKABLE)).map(|key| key.name).collect();
        assert_eq!(near.len(), UNMISTAKABLE.len(), "{near:?}");
    }

    #[test]
    fn every_default_can_be_written_into_a_file() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let text = format!("[parallel]\n{} = {}", key.name, key.default);
            let _ = super::super::PoolConfig::new().toml_str(&text, "defaults.toml").expect(&text);
        }
    }

    #[test]
    fn what_is_meant_by_what_is_written() {
        let near = |name: &str| nearest(name, names(), 0.5);
        for (written, meant) in [
            ("n_worker", "n_workers"),
            ("n-workers", "n_workers"),
            ("N_WORKERS", "n_workers"),
            ("workers", "n_workers"),
            ("max_workers", "n_workers"),
            ("num_workers", "n_workers"),
            ("backend", "parallel_backend"),
            ("timeout", "task_timeout"),
            ("idle_time", "idle_timeout"),
            ("retry", "retries"),
        ] {
            assert_eq!(near(written).as_deref(), Some(meant), "{written}");
        }
        assert_eq!(near("colour"), None);
        assert_eq!(near(&"n".repeat(1 << 20)), None);
    }
}
