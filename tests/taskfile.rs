//! The example `taskfile` as a user meets it: what it runs and what not, what it prints, its messages, its exit codes.
//!
//! `cargo test --all-features` builds the example first. Whoever runs this file alone builds it with
//! `cargo build --all-features --example taskfile`.

// Process workers, process groups, and names that are not UTF-8.
#![cfg(all(
    target_os = "linux",
    feature = "processes",
    feature = "clap",
    feature = "graph",
    feature = "timeline"
))]

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BACKENDS: [&[&str]; 5] = [
    &["--debug"],
    &["--parallel-backend", "serial"],
    &["--parallel-backend", "threads", "-n", "2"],
    &["--parallel-backend", "tasks", "-n", "2"],
    &["--parallel-backend", "processes", "-n", "2"],
];

/// What a command sleeps that does not end by itself, and a run that takes so long has not ended it.
const FOREVER: Duration = Duration::from_secs(60);

// What a test stands on.

struct Project(TempDir);

/// What is left of a run: its exit code, its lines without the times in them, and its messages.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    code: i32,
    lines: Vec<String>,
    messages: String,
}

impl Project {
    fn new(taskfile: &str) -> Self {
        let project = Self(TempDir::new().expect("a folder for the test"));
        project.write("Taskfile.toml", taskfile);
        project
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: impl AsRef<Path>, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the project")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Gives a file another time, without a doubt, and leaves its content.
    fn touch(&self, name: &str) {
        let file = File::options().append(true).open(self.path(name)).expect("a file");
        let then = file.metadata().and_then(|metadata| metadata.modified()).expect("a time");
        file.set_modified(then + Duration::from_secs(1)).expect("it is ours");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"POLYPOOL_")) {
            command.env_remove(name);
        }
        command.env_remove("OMP_NUM_THREADS");
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let start = Instant::now();
        let output = self.command(arguments).output().expect("the program starts");
        assert!(start.elapsed() < FOREVER, "something was not ended: {output:?}");
        Run::of(&output)
    }

    /// The lines of a run that ends well.
    #[track_caller]
    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let Run { code, lines, messages } = self.run(arguments);
        assert_eq!((code, messages.as_str()), (0, ""), "{lines:?}");
        lines
    }

    /// Starts a run, and comes back when a command of it has written to the named pipe `started`.
    fn start(&self, arguments: &[&str]) -> Child {
        fifo(&self.path("started"));
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        fs::read(self.path("started")).expect("a pipe");
        child.expect("the program starts")
    }
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or_default()),
            lines: text(&output.stdout).lines().map(timeless).collect(),
            messages: text(&output.stderr),
        }
    }
}

fn program() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let program = target.join("examples").join("taskfile");
    assert!(
        program.exists(),
        "{} is not there: cargo build --all-features --example taskfile",
        program.display()
    );
    program
}

/// `0.3 s` is `T s` at any speed.
fn timeless(line: &str) -> String {
    let words: Vec<_> = line.split(' ').collect();
    let is_time = |at: usize| {
        let unit = words.get(at + 1).map(|unit| unit.trim_end_matches(':'));
        unit == Some("s") && words[at].parse::<f64>().is_ok()
    };
    let word = |at: usize| if is_time(at) { "T" } else { words[at] };
    (0..words.len()).map(word).collect::<Vec<_>>().join(" ")
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo starts");
    assert!(made.success());
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// `in` goes to `left` and `right`, which go to `both`, which is tested.
const DIAMOND: &str = r#"
default = ["all"]
[tasks.left]
command = "tr a-z A-Z < in > left; echo left $$ > /dev/null"
inputs = ["in"]
outputs = ["left"]
[tasks.right]
command = ["cp", "in", "right"]
inputs = ["in"]
outputs = ["./right"]
[tasks.both]
command = "cat left $RIGHT > both"
env = { RIGHT = "right" }
inputs = ["left", "x/../right"]
outputs = ["both"]
[tasks.test]
command = "test -s both && echo fine >&2"
inputs = ["both"]
[tasks.all]
description = "everything"
needs = ["test"]
[tasks.other]
command = "touch other"
"#;

fn diamond() -> Project {
    let project = Project::new(DIAMOND);
    project.write("in", "hello\n");
    project
}

// What runs, and what not.

#[test]
fn every_backend_runs_the_same_and_says_the_same() {
    let first = [
        "2 ran", // The last line: see below.
        "all    up to date",
        "both   ran in T s: for the first time",
        "left   ran in T s: for the first time",
        "right  ran in T s: for the first time",
        "test   ran in T s: for the first time",
    ];
    for backend in BACKENDS {
        let project = diamond();
        let mut lines = project.lines(backend);
        assert_eq!(lines.pop().as_deref(), Some("4 ran, 1 up to date in T s"), "{backend:?}");
        assert_eq!(sorted(lines), first[1..], "{backend:?}");
        assert_eq!(project.read("both"), "HELLO\nhello\n");
        assert!(!project.has("other"), "nobody needs it");
        let mut lines = project.lines(backend);
        assert_eq!(lines.pop().as_deref(), Some("5 up to date in T s"), "{backend:?}");
        assert!(lines.iter().all(|line| line.ends_with("  up to date")), "{backend:?}: {lines:?}");
    }
}

#[test]
fn a_target_brings_what_it_needs_and_no_more() {
    let project = diamond();
    assert_eq!(project.lines(&["left"]), ["left  ran in T s: for the first time", "1 ran in T s"]);
    assert_eq!(
        project.lines(&["both", "-n", "1"]),
        [
            "left   up to date",
            "right  ran in T s: for the first time",
            "both   ran in T s: for the first time",
            "2 ran, 1 up to date in T s"
        ]
    );
    assert!(!project.has("other"));
}

#[test]
fn a_touched_input_runs_what_depends_on_it_and_nothing_else() {
    let project = diamond();
    project.lines(&[]);
    project.touch("right");
    assert_eq!(
        project.lines(&["-n", "1"]),
        [
            "left   up to date",
            "right  ran in T s: output \"right\" changed",
            "both   ran in T s: input \"right\" changed",
            "test   ran in T s: input \"both\" changed",
            "all    up to date",
            "3 ran, 2 up to date in T s"
        ]
    );
}

#[test]
fn with_hashes_only_a_change_counts() {
    let project = diamond();
    project.write("Taskfile.toml", &format!("check = \"hash\"\n{DIAMOND}"));
    project.lines(&[]);
    for file in ["in", "left", "right", "both"] {
        project.touch(file);
    }
    assert_eq!(project.lines(&[]).pop().as_deref(), Some("5 up to date in T s"));
    // What becomes of it is the same for one of them, so that what comes after that is spared.
    project.write("in", "Hello\n");
    assert_eq!(
        project.lines(&["left", "-n", "1"]),
        ["left  ran in T s: input \"in\" changed", "1 ran in T s"]
    );
    project.write("Taskfile.toml", &format!("check = \"hash\"\n{DIAMOND}").replace("$RIGHT >", "left >"));
    assert_eq!(
        project.lines(&["both", "-n", "1"]),
        [
            "left   up to date",
            "right  ran in T s: input \"in\" changed",
            "both   ran in T s: its command changed",
            "2 ran, 1 up to date in T s"
        ]
    );
}

#[test]
fn what_makes_a_task_run_again() {
    let taskfile = |outputs: &str| {
        format!(
            "[tasks.make]\ncommand = 'mkdir -p out; cat src/* > out/all'\ninputs = ['src']\noutputs = ['{outputs}']"
        )
    };
    let project = Project::new(&taskfile("out"));
    let odd = OsStr::from_bytes(b"src/\xff odd\n");
    project.write("src/a", "a");
    let why = |arguments: &[&str]| project.lines(arguments).swap_remove(0);
    assert_eq!(why(&[]), "make  ran in T s: for the first time");
    assert_eq!(why(&[]), "make  up to date");
    assert_eq!(why(&["--force"]), "make  ran in T s: forced");
    project.write(odd, "b");
    assert_eq!(why(&[]), r#"make  ran in T s: input "src/\xFF odd\n" is new"#);
    project.write(odd, "bb");
    assert_eq!(why(&[]), r#"make  ran in T s: input "src/\xFF odd\n" changed"#);
    fs::remove_file(project.path(odd)).expect("it is there");
    assert_eq!(why(&[]), r#"make  ran in T s: input "src/\xFF odd\n" is gone"#);
    project.write("src/.hidden", "h");
    assert_eq!(why(&[]), "make  up to date");
    project.touch("out/all");
    assert_eq!(why(&[]), r#"make  ran in T s: output "out/all" changed"#);
    fs::remove_dir_all(project.path("out")).expect("it is there");
    assert_eq!(why(&[]), r#"make  ran in T s: output "out" is missing"#);
    project.write("Taskfile.toml", &taskfile("out/all"));
    assert_eq!(why(&[]), "make  up to date");
    assert_eq!(why(&[]), "make  up to date");
}

#[test]
fn who_needs_a_task_runs_when_that_has_run_even_if_not_at_once() {
    let project = Project::new(
        "[tasks.setup]\ncommand = 'true'\ninputs = ['in']\n[tasks.use]\ncommand = 'true'\ninputs = ['in']\nneeds = ['setup']",
    );
    project.write("in", "");
    project.lines(&[]);
    assert_eq!(project.lines(&[]).pop().as_deref(), Some("2 up to date in T s"));
    project.lines(&["--force", "setup"]);
    assert_eq!(
        project.lines(&[]),
        ["setup  up to date", "use    ran in T s: setup ran", "1 ran, 1 up to date in T s"]
    );
}

#[test]
fn tasks_that_always_run_say_why() {
    let project = Project::new(
        "[tasks.a]\ncommand = 'true'\n[tasks.b]\ncommand = 'true'\ninputs = ['in']\nalways = true",
    );
    project.write("in", "");
    for _ in 0..2 {
        assert_eq!(
            project.lines(&["-n", "1"]),
            ["a  ran in T s: it has no files to go by", "b  ran in T s: it always does", "2 ran in T s"]
        );
    }
}

#[test]
fn priorities_and_then_long_ways_go_first() {
    let project = Project::new(
        "[tasks.short]\ncommand='true'\n[tasks.end]\ncommand='true'\nneeds=['long']\n[tasks.long]\ncommand='true'\n\
         [tasks.first]\ncommand='true'\npriority = 1",
    );
    let order: Vec<_> =
        project.lines(&["-n", "1"]).iter().map(|line| line[..5].trim_end().to_owned()).collect();
    assert_eq!(order, ["first", "long", "short", "end", "4 ran"]);
}

#[test]
fn commands_run_where_they_are_told_with_what_they_are_told() {
    let project = Project::new(
        "dir = 'below'\n[tasks.a]\ncommand = 'pwd; echo $WHO; cat'\ndir = 'here'\nenv = { WHO = 'me' }\n[tasks.b]\ncommand = ['echo', '$WHO', 'a  b']",
    );
    project.write("below/here/x", "");
    let here = fs::canonicalize(project.path("below/here")).expect("a folder");
    assert_eq!(
        project.lines(&["-v", "-n", "1"]),
        [
            "a  ran in T s: it has no files to go by",
            &format!("    {}", here.display()),
            "    me",
            "b  ran in T s: it has no files to go by",
            "    $WHO a  b",
            "2 ran in T s"
        ]
    );
}

// What is only said.

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let project = diamond();
    let expected = [
        "left   would run: for the first time",
        "right  would run: for the first time",
        "both   would run: for the first time",
        "test   would run: for the first time",
        "all    would run: test would run",
        "5 would run in T s",
    ];
    assert_eq!(project.lines(&["--dry-run"]), expected);
    assert_eq!(fs::read_dir(project.0.path()).expect("a folder").count(), 2, "the Taskfile and `in`");
    project.lines(&[]);
    project.touch("in");
    let state = project.read(".taskfile.state");
    assert_eq!(
        project.lines(&["--dry-run", "-n", "7", "--parallel-backend", "processes"]),
        [
            "left   would run: input \"in\" changed",
            "right  would run: input \"in\" changed",
            "both   would run: left would run",
            "test   would run: both would run",
            "all    would run: test would run",
            "5 would run in T s",
        ]
    );
    assert_eq!(project.read(".taskfile.state"), state);
}

#[test]
fn a_dry_run_sees_what_is_forced_and_what_runs_for_others() {
    let project = Project::new(
        "[tasks.a]\ncommand = 'true'\ninputs = ['in']\n[tasks.b]\ncommand = 'true'\ninputs = ['in']\nneeds = ['a']",
    );
    project.write("in", "");
    project.lines(&[]);
    assert_eq!(
        project.lines(&["--dry-run", "--force"]),
        ["a  would run: forced", "b  would run: forced", "2 would run in T s"]
    );
    project.write("Taskfile.toml", &project.read("Taskfile.toml").replacen("'true'", "'true '", 1));
    assert_eq!(
        project.lines(&["--dry-run"]),
        ["a  would run: its command changed", "b  would run: a would run", "2 would run in T s"]
    );
}

#[test]
fn there_may_be_nothing_to_do() {
    for taskfile in ["", "default = []\n[tasks.a]\ncommand = 'true'"] {
        assert_eq!(Project::new(taskfile).lines(&[]), ["nothing to do"]);
    }
}

#[test]
fn the_list_has_the_descriptions() {
    // It needs no inputs to be there.
    let project = Project::new(DIAMOND);
    assert_eq!(
        project.lines(&["--list"]),
        ["left", "right", "both", "test", "all    everything"].map(String::from)
    );
    assert!(!project.has("left"));
}

#[test]
fn the_timeline_is_drawn() {
    let project = diamond();
    project.lines(&["--timeline", "out.svg"]);
    assert!(project.read("out.svg").starts_with("<svg") && project.read("out.svg").contains("right"));
    let refused = project.run(&["--force", "other", "--timeline", "out.png"]);
    assert_eq!((refused.code, refused.lines.len(), project.has("other")), (2, 0, false), "{refused:?}");
    assert!(refused.messages.contains("out.png"), "{refused:?}");
}

// What goes wrong.

const FAILS: &str = r#"
[tasks.good]
command = "echo unseen"
[tasks.bad]
command = "echo one; echo two >&2; printf three > /dev/stderr; exit 3"
inputs = ["Taskfile.toml"]
[tasks.next]
command = "touch next"
needs = ["bad"]
[tasks.last]
needs = ["next"]
"#;

#[test]
fn a_failed_task_shows_its_output_and_what_comes_after_it_is_skipped() {
    for backend in BACKENDS {
        let project = Project::new(FAILS);
        // It runs again, and fails again: what failed is never up to date.
        for _ in 0..2 {
            let Run { code, lines, messages } = project.run(backend);
            assert_eq!((code, messages.as_str()), (1, ""), "{backend:?}");
            let at = lines.iter().position(|line| line.starts_with("bad")).expect("a line");
            assert_eq!(
                lines[at..at + 4],
                ["bad   failed in T s: exit status: 3", "    one", "    two", "    three"],
                "{backend:?}"
            );
            let rest: Vec<_> = [&lines[..at], &lines[at + 4..]].concat();
            assert_eq!(
                sorted(rest),
                [
                    "1 ran, 1 failed, 2 skipped in T s",
                    "good  ran in T s: it has no files to go by",
                    "last  skipped, because bad failed",
                    "next  skipped, because bad failed",
                ],
                "{backend:?}"
            );
            assert!(!project.has("next"));
        }
    }
}

#[test]
fn after_so_many_failures_no_more_is_started() {
    let project = Project::new(FAILS);
    let run = project.run(&["--max-failures", "1", "-n", "1"]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.lines.last().map(String::as_str),
        Some("1 failed, 2 skipped, 1 not run in T s"),
        "{run:?}"
    );
    assert!(run.lines.contains(&"good  not run, skipped because of too many failures".to_owned()), "{run:?}");
}

#[test]
fn outputs_are_never_mixed_up() {
    let mut taskfile = String::new();
    for n in 0..8 {
        // Each waits for the next, so that all write at the same time.
        taskfile += &format!(
            "[tasks.t{n}]\ncommand = 'for i in 1 2 3 4 5 6 7 8 9; do echo {n}; echo {n} >&2; done; exit 1'\n"
        );
    }
    for backend in ["threads", "processes"] {
        let run = Project::new(&taskfile).run(&["-n", "8", "--parallel-backend", backend]);
        assert_eq!(run.code, 1);
        for task in run.lines[..8 * 19].chunks(19) {
            let n = &task[0][1..2];
            assert!(
                task[0].starts_with('t') && task[1..].iter().all(|line| line.trim_start() == n),
                "{task:?}"
            );
        }
    }
}

#[test]
fn what_was_written_before_the_time_was_up_is_shown_and_nothing_goes_on() {
    for backend in &BACKENDS[1..] {
        let project = Project::new(
            "[tasks.slow]\ntimeout = 2\ncommand = 'exec 3> alive; echo begun; sleep 60 & wait'\n",
        );
        fifo(&project.path("alive"));
        let alive = std::thread::spawn({
            let path = project.path("alive");
            move || fs::read(path)
        });
        let run = project.run(backend);
        assert_eq!(run.code, 1, "{backend:?}: {run:?}");
        assert!(run.lines[0].starts_with("slow  failed in T s: "), "{backend:?}: {run:?}");
        assert_eq!(run.lines[1..], ["    begun", "1 failed in T s"], "{backend:?}");
        // Its end comes when nobody is left who could write to it.
        alive.join().expect("no panic").expect("a pipe");
    }
}

#[test]
fn a_worker_that_dies_costs_its_task_alone() {
    let project = Project::new("[tasks.rude]\ncommand = 'kill -9 $PPID'\n[tasks.good]\ncommand = 'true'");
    let run = project.run(&["--parallel-backend", "processes", "-n", "1"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.lines[0].starts_with("rude  failed in T s: ") && run.lines[0].contains("signal 9"),
        "{run:?}"
    );
    assert_eq!(run.lines[1..], ["good  ran in T s: it has no files to go by", "1 ran, 1 failed in T s"]);
}

#[test]
fn commands_that_cannot_be_run_say_what_is_missing() {
    let cases = [
        ("command = ['no-such-program']", "\"no-such-program\": No such file or directory (os error 2)"),
        ("command = 'true'\ndir = 'nowhere'", "\"nowhere\": No such file or directory (os error 2)"),
        ("command = 'true'\noutputs = ['out']", "it did not make \"out\""),
        ("command = 'kill -9 $$'", "signal: 9 (SIGKILL)"),
    ];
    for (task, message) in cases {
        let run = Project::new(&format!("[tasks.a]\n{task}")).run(&[]);
        let expected = [format!("a  failed in T s: {message}"), "1 failed in T s".to_owned()];
        assert_eq!((run.code, run.lines), (1, expected.to_vec()), "{task}");
    }
}

#[test]
fn a_state_that_makes_no_sense_costs_a_run() {
    let project = diamond();
    project.lines(&[]);
    project.write(".taskfile.state", "{\"left\": 3}");
    let run = project.run(&[]);
    assert_eq!(run.lines.last().map(String::as_str), Some("4 ran, 1 up to date in T s"));
    assert!(
        run.messages.starts_with("taskfile: .taskfile.state: ")
            && run.messages.ends_with("; so everything runs\n")
    );
    assert_eq!(project.lines(&[]).last().map(String::as_str), Some("5 up to date in T s"));
}

// ^C.

#[test]
fn an_interrupt_ends_commands_with_what_they_started() {
    for backend in BACKENDS {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let project = Project::new(
                "[tasks.a]\ncommand = 'trap \"echo bye; exit\" TERM; exec 3> alive; echo > started; sleep 60 & wait'\n\
                 [tasks.b]\ncommand = 'touch b'\nneeds = ['a']",
            );
            fifo(&project.path("alive"));
            let start = Instant::now();
            let alive = std::thread::spawn({
                let path = project.path("alive");
                move || fs::read(path)
            });
            let child = project.start(backend);
            kill_process(Pid::from_child(&child), signal).expect("it is there");
            let run = Run::of(&child.wait_with_output().expect("it ends"));
            alive.join().expect("no panic").expect("a pipe");
            assert!(start.elapsed() < FOREVER, "{backend:?}: it was not ended");
            assert_eq!(run.code, code, "{backend:?}: {run:?}");
            assert_eq!(run.messages, "taskfile: stopping what runs\n", "{backend:?}");
            let expected =
                ["b  not run, cancelled", "a  stopped after T s", "    bye", "1 stopped, 1 not run in T s"];
            assert_eq!(run.lines, expected, "{backend:?}");
            assert!(!project.has("b"));
        }
    }
}

#[test]
fn what_does_not_want_to_end_is_killed() {
    for backend in &BACKENDS[2..] {
        let project =
            Project::new("[tasks.a]\ncommand = 'trap \"\" TERM; echo > started; while :; do sleep 60; done'");
        let start = Instant::now();
        let child = project.start(backend);
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        let run = Run::of(&child.wait_with_output().expect("it ends"));
        assert_eq!(run.code, 130, "{backend:?}: {run:?}");
        assert!(start.elapsed() < FOREVER, "{backend:?}: it was not ended");
    }
}

// A terminal.

#[test]
fn a_terminal_shows_what_runs() {
    let project = Project::new(
        "[tasks.wait-for-me]\ncommand = 'echo > started; cat go'\n[tasks.bad]\ncommand = 'exit 1'",
    );
    fifo(&project.path("started"));
    fifo(&project.path("go"));
    let terminal = |arguments: &str| {
        let line = format!("stty columns 100; '{}' {arguments}", program().display());
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .current_dir(project.0.path());
        script.env("TERM", "xterm").env_remove("NO_COLOR").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script starts");
        let mut output = child.stdout.take().expect("piped");
        fs::read(project.path("started")).expect("a pipe");
        let mut shown = Vec::new();
        if !arguments.contains("--debug") {
            // The row of the task that runs is there while it runs.
            while !String::from_utf8_lossy(&shown).contains("wait-for-me") {
                let mut byte = [0];
                output.read_exact(&mut byte).expect("a row");
                shown.extend(byte);
            }
        }
        File::options()
            .write(true)
            .open(project.path("go"))
            .and_then(|mut go| go.write_all(b"x"))
            .expect("a pipe");
        output.read_to_end(&mut shown).expect("the rest");
        (child.wait().expect("it ends").code(), String::from_utf8_lossy(&shown).into_owned())
    };
    let (code, shown) = terminal("");
    assert_eq!(code, Some(1));
    assert!(shown.contains("/2 tasks, ") && shown.contains(", 1 failed"), "{shown:?}");
    assert!(shown.contains("bad          \x1b[31mfailed in "), "{shown:?}");
    let (code, shown) = terminal("--debug");
    assert_eq!(code, Some(1));
    assert!(!shown.contains("/2 tasks, "), "a debugger wants the terminal for itself: {shown:?}");
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_build() {
    let project = diamond();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = project.command(&[]).stdout(writer).output().expect("the program starts");
    assert_eq!((output.status.code(), project.read("both").as_str()), (Some(0), "HELLO\nhello\n"));
}

// Bad files and options.

#[test]
fn mistakes_in_the_file_are_named_with_their_line() {
    let task = "[tasks.a]\ncommand = 'true'\n";
    let cases: [(String, &str); 38] = [
        ("tasks".into(), "Taskfile.toml, line 1: key with no value, expected `=`"),
        (
            "x = 1".into(),
            "unknown key \"x\" in Taskfile.toml, line 1: known are check, default, dir, parallel, tasks",
        ),
        ("\ntask = 1".into(), "unknown key \"task\" in Taskfile.toml, line 2: did you mean \"tasks\"?"),
        ("check = 'md5'".into(), "check in Taskfile.toml, line 1: expected \"mtime\" or \"hash\""),
        ("dir = 1".into(), "dir in Taskfile.toml, line 1: expected a text"),
        ("default = 'a'".into(), "default in Taskfile.toml, line 1: expected a list of texts"),
        (format!("default = ['b']\n{task}"), "default in Taskfile.toml, line 1: no task \"b\": known are a"),
        ("tasks = 1".into(), "tasks in Taskfile.toml, line 1: expected a table of tasks"),
        ("[tasks]\na = 'true'".into(), "tasks.a in Taskfile.toml, line 2: expected a table with a command"),
        (
            "[tasks.'a b']\ncommand = 'true'".into(),
            "tasks.\"a b\" in Taskfile.toml, line 1: a name consists of letters, digits and any of -_.:/+@",
        ),
        (
            "[tasks.'']\ncommand = 'true'".into(),
            "tasks.\"\" in Taskfile.toml, line 1: a name consists of letters, digits and any of -_.:/+@",
        ),
        (
            "[tasks.a]".into(),
            "tasks.a in Taskfile.toml, line 1: there is nothing to run; give it a command, or needs and no outputs",
        ),
        (
            "[tasks.a]\ncomand = 'true'".into(),
            "unknown key \"tasks.a.comand\" in Taskfile.toml, line 2: did you mean \"command\"?",
        ),
        (
            format!("{task}input = []"),
            "unknown key \"tasks.a.input\" in Taskfile.toml, line 3: did you mean \"inputs\"?",
        ),
        (
            "[tasks.a]\ncommand = 1".into(),
            "tasks.a.command in Taskfile.toml, line 2: expected a line for the shell, or a list of a program and its arguments",
        ),
        (
            "[tasks.a]\ncommand = []".into(),
            "tasks.a.command in Taskfile.toml, line 2: expected a line for the shell, or a list of a program and its arguments",
        ),
        (
            "[tasks.a]\ncommand = ['a', 1]".into(),
            "tasks.a.command in Taskfile.toml, line 2: expected a line for the shell, or a list of a program and its arguments",
        ),
        (format!("{task}description = 1"), "tasks.a.description in Taskfile.toml, line 3: expected a text"),
        (format!("{task}dir = []"), "tasks.a.dir in Taskfile.toml, line 3: expected a text"),
        (format!("{task}env = 'A=1'"), "tasks.a.env in Taskfile.toml, line 3: expected a table of texts"),
        (
            format!("{task}env = {{ A = 1 }}"),
            "tasks.a.env in Taskfile.toml, line 3: expected a table of texts",
        ),
        (format!("{task}inputs = 'in'"), "tasks.a.inputs in Taskfile.toml, line 3: expected a list of texts"),
        (
            format!("{task}outputs = [1]"),
            "tasks.a.outputs in Taskfile.toml, line 3: expected a list of texts",
        ),
        (format!("{task}needs = true"), "tasks.a.needs in Taskfile.toml, line 3: expected a list of texts"),
        (
            format!("{task}priority = 1.5"),
            "tasks.a.priority in Taskfile.toml, line 3: expected a whole number",
        ),
        (
            format!("{task}priority = 5000000000"),
            "tasks.a.priority in Taskfile.toml, line 3: expected a whole number",
        ),
        (
            format!("{task}timeout = 0"),
            "tasks.a.timeout in Taskfile.toml, line 3: expected a number of seconds above 0, or a time like \"1m 30s\"",
        ),
        (
            format!("{task}timeout = -1"),
            "tasks.a.timeout in Taskfile.toml, line 3: expected a number of seconds above 0, or a time like \"1m 30s\"",
        ),
        (
            format!("{task}timeout = nan"),
            "tasks.a.timeout in Taskfile.toml, line 3: expected a number of seconds above 0, or a time like \"1m 30s\"",
        ),
        (
            format!("{task}timeout = 'soon'"),
            "tasks.a.timeout in Taskfile.toml, line 3: expected a number of seconds above 0, or a time like \"1m 30s\"",
        ),
        (format!("{task}always = 'yes'"), "tasks.a.always in Taskfile.toml, line 3: expected true or false"),
        (
            format!("{task}check = 'Hash'"),
            "tasks.a.check in Taskfile.toml, line 3: expected \"mtime\" or \"hash\"",
        ),
        (
            format!("{task}needs = ['aa']"),
            "tasks.a.needs in Taskfile.toml, line 3: no task \"aa\": did you mean \"a\"?",
        ),
        (
            "[tasks.a]\nneeds = ['a']\noutputs = ['x']".into(),
            "tasks.a in Taskfile.toml, line 1: there is nothing to run; give it a command, or needs and no outputs",
        ),
        (
            format!("{task}outputs = ['x']\n[tasks.b]\ncommand = 'true'\noutputs = ['./x']"),
            "tasks.b.outputs in Taskfile.toml, line 6: \"./x\" is made by the task \"a\"; take it out of one of them",
        ),
        (
            format!("{task}outputs = ['x/y']\n[tasks.b]\ncommand = 'true'\noutputs = ['x']"),
            "tasks.b.outputs in Taskfile.toml, line 6: \"x\" is made by the task \"a\"; take it out of one of them",
        ),
        (
            format!("{task}inputs = ['Taskfile.toml', 'x']"),
            "tasks.a.inputs in Taskfile.toml, line 3: \"x\" is not there, and no task makes it",
        ),
        (
            format!("{task}[parallel]\nn_worker = 1"),
            "unknown key \"n_worker\" in Taskfile.toml, line 4: did you mean \"n_workers\"?",
        ),
    ];
    for (text, message) in cases {
        let run = Project::new(&text).run(&[]);
        let expected = Run { code: 2, lines: Vec::new(), messages: format!("taskfile: {message}\n") };
        assert_eq!(run, expected, "{text}");
    }
}

#[test]
fn tasks_that_wait_for_each_other_are_named() {
    let by_files = "[tasks.a]\ncommand = 'x'\ninputs = ['1']\noutputs = ['2']\n\
                    [tasks.b]\ncommand = 'x'\ninputs = ['2']\noutputs = ['1']";
    let by_names = "[tasks.a]\nneeds = ['b']\n[tasks.b]\nneeds = ['c']\n[tasks.c]\nneeds = ['a']";
    // A circle begins anywhere.
    let cases: [(&str, &[&str]); 3] = [
        ("[tasks.a]\nneeds = ['a']", &["a -> a"]),
        (by_names, &["a -> c -> b -> a", "b -> a -> c -> b", "c -> b -> a -> c"]),
        (by_files, &["a -> b -> a", "b -> a -> b"]),
    ];
    for (text, cycles) in cases {
        let run = Project::new(text).run(&[]);
        assert_eq!((run.code, run.lines.len()), (2, 0), "{text}: {run:?}");
        assert!(cycles.iter().any(|cycle| run.messages.contains(&format!(": {cycle};"))), "{text}: {run:?}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let project = diamond();
    let cases: [(&[&str], &str); 6] = [
        (&["rigth"], "taskfile: no task \"rigth\" in Taskfile.toml: did you mean \"right\"?\n"),
        (&["-f", "no.toml"], "taskfile: no.toml: No such file or directory (os error 2)\n"),
        (&["-f", "."], "taskfile: .: Is a directory (os error 21)\n"),
        (&["--max-failures", "0"], "error: invalid value '0' for '--max-failures <N>'"),
        (&["--parallel-backend", "thread-pool"], "thread-pool"),
        (&["-n", "many"], "many"),
    ];
    for (arguments, message) in cases {
        let run = project.run(arguments);
        assert_eq!((run.code, run.lines.len()), (2, 0), "{arguments:?}: {run:?}");
        assert!(run.messages.contains(message), "{arguments:?}: {run:?}");
    }
    assert!(!project.has("left"));
}

#[test]
fn a_task_may_be_called_parallel() {
    let project = Project::new("[tasks.parallel]\ncommand = 'true'\n[parallel]\nn_workers = 1");
    assert_eq!(project.lines(&[]).len(), 2);
}

#[test]
fn a_taskfile_elsewhere_has_its_paths_and_its_state_there() {
    let project = Project::new("");
    project.write("sub/Build.toml", "[tasks.a]\ncommand = 'cp in out'\ninputs = ['in']\noutputs = ['out']");
    project.write("sub/in", "");
    assert_eq!(
        project.lines(&["-f", "sub/Build.toml"]),
        ["a  ran in T s: for the first time", "1 ran in T s"]
    );
    assert!(project.has("sub/out") && project.has("sub/.build.state"));
    let made =
        fs::metadata(project.path("sub/out")).and_then(|metadata| metadata.modified()).expect("a time");
    assert!(made <= SystemTime::now() + Duration::from_secs(1));
}
