//! The example `hashtree` as a user meets it: its output against the real `sha256sum`, its messages, its exit codes.
//!
//! `cargo test` builds the example first. Whoever runs this file alone builds it with `cargo build --example hashtree`.

// Names that are not UTF-8, /proc, and GNU's sha256sum.
#![cfg(target_os = "linux")]

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const BACKENDS: [&str; 3] = ["serial", "threads", "tasks"];

/// As many files as the example walks to before their digests are printed.
const AHEAD: usize = 1000;

/// Names that trouble a program which takes names for text.
const ODD: [&[u8]; 11] = [
    b"plain",
    b"two words ",
    b" in front",
    b"new\nline",
    b"back\\slash",
    b"back\\nslash",
    b"carriage\rreturn",
    b"-n",
    b"*.txt",
    "grüße \u{1f600}".as_bytes(),
    b"not \xff\xfe UTF-8",
];

// What a test stands on.

fn program() -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let program = target.join("examples").join("hashtree");
    assert!(program.exists(), "{} is not there: cargo build --example hashtree", program.display());
    program
}

fn hashtree() -> Command {
    let mut command = Command::new(program());
    command.stdin(Stdio::null()).env_remove("POLYPOOL_MAX_CPU_COUNT");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit, not a signal")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("messages are UTF-8, whatever the names are")
}

/// The last line on stderr.
fn totals(output: &Output) -> &str {
    stderr(output).lines().last().expect("totals")
}

fn name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

fn temp() -> TempDir {
    TempDir::new().expect("a folder for the test")
}

/// A folder with a folder `tree` in it, in which there is something of everything that can be read.
fn tree() -> TempDir {
    let temp = temp();
    let tree = temp.path().join("tree");
    for odd in ODD {
        write(tree.join(name(odd)), odd);
        write(tree.join("folder").join(name(odd)).join(name(odd)), odd);
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    write(tree.join("large"), large);
    write(tree.join("empty"), "");
    fs::create_dir(tree.join("nothing in it")).expect("a folder");
    // A folder and files whose names begin as its name does: here the order of names is not that of paths.
    for path in ["a/b", "a.txt", "a-b", "a0", "ab/c"] {
        write(tree.join(path), path);
    }
    symlink("a", tree.join("a!")).expect("a link to a folder");
    symlink("plain", tree.join("link")).expect("a link to a file");
    temp
}

/// What the real one prints for the files under `tree`, in the order of the bytes of their paths.
fn reference(dir: &Path) -> Vec<u8> {
    let script = "set -o pipefail; find -L tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum --";
    let output = run(Command::new("bash").args(["-c", script]).current_dir(dir));
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

#[track_caller]
fn assert_same_lines(ours: &[u8], theirs: &[u8], what: &str) {
    let lossy = |text| String::from_utf8_lossy(text).into_owned();
    assert!(ours == theirs, "{what}\nours:\n{}\ntheirs:\n{}", lossy(ours), lossy(theirs));
}

// The output.

#[test]
fn every_backend_with_any_number_of_workers_prints_what_sha256sum_prints() {
    let temp = tree();
    let theirs = reference(temp.path());
    for backend in BACKENDS {
        for n in ["", "1", "2", "7", "auto", "all-but-one"] {
            let mut command = hashtree();
            command.arg("tree").args(["--parallel-backend", backend]).current_dir(&temp);
            if !n.is_empty() {
                command.args(["-n", n]);
            }
            let output = run(&mut command);
            assert_same_lines(&output.stdout, &theirs, &format!("{backend}, -n {n}"));
            assert_eq!(code(&output), 0, "{}", stderr(&output));
        }
    }
}

#[test]
fn sha256sum_checks_the_output() {
    let temp = tree();
    let ours = run(hashtree().arg("tree").current_dir(&temp)).stdout;
    let mut check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .current_dir(&temp)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum starts");
    check.stdin.take().expect("piped").write_all(&ours).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    assert_eq!((code(&output), output.stdout), (0, Vec::new()));
}

#[test]
fn folders_come_in_the_order_in_which_they_are_named() {
    let temp = temp();
    write(temp.path().join("b/file"), "b");
    write(temp.path().join("a/file"), "a");
    let ours = run(hashtree().args(["b", "a/", "a/file"]).current_dir(&temp)).stdout;
    let theirs =
        run(Command::new("sha256sum").args(["b/file", "a/file", "a/file"]).current_dir(&temp)).stdout;
    assert_same_lines(&ours, &theirs, "a folder, a folder with a slash, a file");
}

#[test]
fn without_a_folder_it_is_the_current_one() {
    let temp = temp();
    write(temp.path().join("file"), "content");
    let ours = run(hashtree().current_dir(&temp)).stdout;
    let theirs = run(Command::new("sha256sum").arg("./file").current_dir(&temp)).stdout;
    assert_same_lines(&ours, &theirs, "no arguments");
}

#[test]
fn an_empty_folder_gives_no_line() {
    let output = run(hashtree().arg(temp().path()));
    assert_eq!((code(&output), output.stdout.len()), (0, 0));
    assert!(totals(&output).starts_with("hashtree: files: 0, bytes: 0, "), "{}", stderr(&output));
}

#[test]
fn a_name_that_is_not_utf8_survives_its_encoding() {
    let odd = name(b"\xff\xfe\n");
    let pool = polypool::Executor::serial();
    let back = futures::executor::block_on(pool.run_on_all(|name: OsString| name, odd.clone()));
    let back: Vec<OsString> = back.into_iter().collect::<Result<_, _>>().expect("it travels");
    assert_eq!(back, [odd]);
}

#[test]
fn a_file_larger_than_the_memory_is_read_in_parts() {
    let temp = temp();
    let file = fs::File::create(temp.path().join("large")).expect("a file");
    file.set_len(64 << 20).expect("a hole");
    // 48 MiB of addresses for everything.
    let script = "ulimit -v 49152; exec \"$0\" --debug large";
    let output = run(Command::new("bash").args(["-c", script]).arg(program()).current_dir(&temp));
    let theirs = run(Command::new("sha256sum").arg("large").current_dir(&temp)).stdout;
    assert_same_lines(&output.stdout, &theirs, stderr(&output));
}

// What goes wrong on the way.

#[test]
fn what_cannot_be_read_is_reported_and_does_not_stop_it() {
    let temp = temp();
    let tree = temp.path().join("tree");
    write(tree.join("a"), "first");
    write(tree.join("z"), "last");
    symlink("nowhere", tree.join("dangling")).expect("a link");
    symlink("itself", tree.join("itself")).expect("a link");
    symlink(".", tree.join("loop")).expect("a link");
    // A file that is there, can be opened, and fails when it is read: also for root.
    symlink("/proc/self/mem", tree.join("mem")).expect("a link");
    let theirs = run(Command::new("sha256sum").args(["tree/a", "tree/z"]).current_dir(&temp)).stdout;
    for backend in BACKENDS {
        let arguments = ["missing", "tree", "--parallel-backend", backend];
        let output = run(hashtree().args(arguments).current_dir(&temp));
        assert_same_lines(&output.stdout, &theirs, backend);
        let mut messages: Vec<_> = stderr(&output).lines().collect();
        let totals = messages.pop().expect("totals");
        messages.sort_unstable();
        let expected = [
            r#"hashtree: "missing": No such file or directory (os error 2)"#,
            r#"hashtree: "tree/dangling": No such file or directory (os error 2)"#,
            r#"hashtree: "tree/itself": Too many levels of symbolic links (os error 40)"#,
            r#"hashtree: "tree/loop": a link to a folder that it is in"#,
            r#"hashtree: "tree/mem": Input/output error (os error 5)"#,
        ];
        assert_eq!(messages, expected);
        assert!(totals.starts_with("hashtree: files: 2, bytes: 9, "), "{totals}");
        assert!(totals.contains(", failures: 5, "), "{totals}");
        assert_eq!(code(&output), 1);
    }
}

#[test]
fn what_may_not_be_read_is_reported() {
    let temp = temp();
    let tree = temp.path().join("tree");
    write(tree.join("allowed"), "for all");
    write(tree.join("file"), "for nobody");
    write(tree.join("folder/file"), "for nobody");
    let forbid = |path: &str, mode| fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode));
    for (path, mode) in [("..", 0o755), ("file", 0), ("folder", 0)] {
        forbid(path, mode).expect("it is ours");
    }
    // Root may read everything; nobody may not even read the program where it lies.
    let copy = temp.path().join("hashtree");
    fs::copy(program(), &copy).expect("a copy");
    let mut command = Command::new(&copy);
    command.arg("tree").current_dir(&temp);
    if fs::metadata(temp.path()).expect("it is there").uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let output = run(&mut command);
    for path in ["tree/file", "tree/folder"] {
        let message = format!("hashtree: \"{path}\": Permission denied (os error 13)\n");
        assert!(stderr(&output).contains(&message), "{}", stderr(&output));
    }
    let theirs = run(Command::new("sha256sum").arg("tree/allowed").current_dir(&temp)).stdout;
    assert_same_lines(&output.stdout, &theirs, "the rest");
    assert_eq!(code(&output), 1);
    forbid("folder", 0o755).expect("so that it can be removed");
}

/// `n` files in `dir` whose lines are so long that a pipe holds those of the first few hundred.
fn many(dir: &Path, n: usize) {
    for i in 0..n {
        write(dir.join(format!("{i:0>200}")), "");
    }
}

#[test]
fn a_file_that_vanishes_after_the_walk_is_reported() {
    let temp = temp();
    many(temp.path(), AHEAD);
    let mut child = hashtree()
        .args([".", "--debug"])
        .current_dir(&temp)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // With the first line all have been walked to, and the last will not be read before we make room in the pipe.
    let mut stdout = child.stdout.take().expect("piped");
    let mut lines = vec![0];
    stdout.read_exact(&mut lines).expect("a line");
    fs::remove_file(temp.path().join(format!("{:0>200}", AHEAD - 1))).expect("it was there");
    stdout.read_to_end(&mut lines).expect("lines");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), AHEAD - 1);
    assert!(
        stderr(&output).contains("999\": No such file or directory (os error 2)\n"),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&output), 1);
}

#[test]
fn what_is_no_file_is_skipped_with_a_note() {
    let temp = temp();
    let fifo = run(Command::new("mkfifo").arg("fifo").current_dir(&temp));
    assert!(fifo.status.success(), "{}", stderr(&fifo));
    let _socket = UnixListener::bind(temp.path().join("socket")).expect("a socket");
    symlink("/dev/null", temp.path().join("device")).expect("a link");
    write(temp.path().join("file"), "content");
    let output = run(hashtree().current_dir(&temp));
    for name in ["device", "fifo", "socket"] {
        let note = format!("hashtree: \"./{name}\": skipped, neither a file nor a folder\n");
        assert!(stderr(&output).contains(&note), "{}", stderr(&output));
    }
    assert!(totals(&output).contains("files: 1, ") && totals(&output).contains("failures: 0, "));
    assert_eq!(code(&output), 0);
}

#[test]
fn a_name_cannot_write_to_the_terminal() {
    let temp = temp();
    symlink("nowhere", temp.path().join(OsStr::from_bytes(b"\x1b[31mred\n\xff"))).expect("a link");
    let output = run(hashtree().current_dir(&temp));
    let message = r#"hashtree: "./\u{1b}[31mred\n\xFF": No such file or directory (os error 2)"#;
    assert_eq!(stderr(&output).lines().next(), Some(message));
}

// Who reads it.

#[test]
fn it_walks_no_further_than_it_must_and_ends_quietly_when_the_reader_goes() {
    let temp = temp();
    many(temp.path(), 3 * AHEAD);
    // It would be reported if the walk came so far.
    symlink("nowhere", temp.path().join("trap")).expect("a link");
    for backend in BACKENDS {
        let mut child = hashtree()
            .args([".", "--parallel-backend", backend])
            .current_dir(&temp)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut [0]).expect("a line");
        drop(stdout);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((code(&output), stderr(&output)), (0, ""), "{backend}");
    }
}

#[test]
fn a_reader_that_was_never_there_ends_it_quietly() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let temp = tree();
    let output = run(hashtree().arg(temp.path()).stdout(writer));
    assert_eq!((code(&output), stderr(&output)), (0, ""));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let temp = tree();
    let output = run(hashtree().arg(temp.path()).stdout(full));
    let message = "hashtree: standard output: No space left on device (os error 28)\n";
    assert_eq!((code(&output), stderr(&output)), (2, message));
}

#[test]
fn messages_that_nobody_reads_stop_nothing() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let temp = tree();
    let output = run(hashtree().args(["missing", "tree"]).current_dir(&temp).stderr(writer));
    assert_same_lines(&output.stdout, &reference(temp.path()), "stderr is closed");
    assert_eq!(code(&output), 1);
}

#[test]
fn the_progress_bar_is_for_terminals() {
    let temp = tree();
    let piped = run(hashtree().arg("tree").current_dir(&temp));
    assert_eq!(stderr(&piped).lines().count(), 1, "the totals and nothing else: {}", stderr(&piped));

    let on_a_terminal = |arguments: &str| {
        let mut line = String::new();
        write!(line, "'{}' tree {arguments}", program().display()).expect("a string");
        let arguments = ["--quiet", "--return", "--command", &line, "/dev/null"];
        let mut script = Command::new("script");
        script.args(arguments).current_dir(&temp).env("TERM", "xterm").stdin(Stdio::null());
        let output = run(&mut script);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output.stdout
    };
    let has_bar = |output: &[u8]| String::from_utf8_lossy(output).contains(" left");
    assert!(has_bar(&on_a_terminal("> /dev/null")));
    assert!(!has_bar(&on_a_terminal("--debug > /dev/null")), "a debugger wants one thread");

    // Where the lines share the terminal with the bar, they stay whole.
    let shared = on_a_terminal("");
    for line in reference(temp.path()).split(|byte| *byte == b'\n') {
        let whole = shared.windows(line.len().max(1)).any(|window| window == line);
        assert!(whole || line.is_empty(), "{}", String::from_utf8_lossy(line));
    }
}

// The options.

#[test]
fn the_totals_say_what_was_done() {
    let temp = temp();
    write(temp.path().join("a"), "abc");
    write(temp.path().join("b"), "defgh");
    let cpus = polypool::cpu_count();
    let cases: [(&[&str], String); 6] = [
        (&[], format!("threads, workers: {cpus}")),
        (&["-n", "3"], "threads, workers: 3".to_owned()),
        (&["--n-workers", "auto"], format!("threads, workers: {}", (cpus - 1).max(1))),
        (
            &["--parallel-backend", "tasks", "-n", "all-but-one"],
            format!("tasks, workers: {}", (cpus - 1).max(1)),
        ),
        (&["--parallel-backend", "sync"], "serial, workers: 1".to_owned()),
        (&["--debug", "-n", "8", "--parallel-backend", "tasks"], "serial, workers: 1".to_owned()),
    ];
    for (arguments, expected) in cases {
        let output = run(hashtree().args(arguments).current_dir(&temp));
        let totals = totals(&output);
        assert!(totals.starts_with("hashtree: files: 2, bytes: 8, seconds: 0."), "{totals}");
        assert!(totals.ends_with(&format!(", failures: 0, backend: {expected}")), "{arguments:?}: {totals}");
    }
}

#[test]
fn one_cpu_leaves_one_worker_for_auto() {
    let mut command = hashtree();
    command.args(["-n", "auto"]).arg(temp().path()).env("POLYPOOL_MAX_CPU_COUNT", "1");
    let output = run(&mut command);
    assert!(totals(&output).ends_with("workers: 1"), "{}", stderr(&output));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let known = "unknown backend `thread-pool`; known are serial, threads, tasks";
    let cases: [(&[&str], &str); 7] = [
        (&["--parallel-backend", "thread-pool"], known),
        (&["--parallel-backend", "threads://here"], "takes none"),
        (&["-n", "0"], "max_workers is 0; a pool needs 1 worker or more"),
        (&["-n", "0", "--debug"], "max_workers is 0; a pool needs 1 worker or more"),
        (&["-n", "-1"], "-1"),
        (&["-n", "many"], "give a number, `auto` or `all-but-one`"),
        (&["--parallel"], "--parallel"),
    ];
    for (arguments, message) in cases {
        let output = run(hashtree().args(arguments));
        assert_eq!((code(&output), output.stdout.len()), (2, 0), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
    }
}
