//! The examples `quicksort` and `tree_walk` as a user meets them: what they print on every backend, how deep they go, what they
//! refuse.
//!
//! `cargo test` builds the examples first. Whoever runs this file alone builds them with `cargo build --examples`.

#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

#[cfg(feature = "processes")]
const BACKENDS: [&str; 4] = ["serial", "threads", "tasks", "processes"];
#[cfg(not(feature = "processes"))]
const BACKENDS: [&str; 3] = ["serial", "threads", "tasks"];

fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let program = target.join("examples").join(name);
    assert!(program.exists(), "{} is not there: cargo build --example {name}", program.display());
    program
}

fn sort(numbers: &[i64], args: &[&str]) -> Output {
    let mut command = Command::new(program("quicksort"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let input: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || {
        // It may refuse its arguments before it reads anything.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    output
}

fn sorted(numbers: &[i64]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.iter().map(|number| format!("{number}\n")).collect()
}

/// Numbers without an order that anybody sees, and not all different.
fn shuffled(n: i64) -> Vec<i64> {
    (0..n).map(|i| (i * 7_919 + 13) % 5_003 - 2_500).collect()
}

fn assert_prints(output: &Output, expected: &str, what: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {} {errors}", output.status);
    assert!(output.stdout == expected.as_bytes(), "{what}: another output; {errors}");
    assert_eq!(errors, "", "{what}");
}

#[test]
fn numbers_are_sorted_on_every_backend() {
    let numbers = shuffled(20_000);
    for backend in BACKENDS {
        for workers in ["1", "2", "4"] {
            let args = ["--parallel-backend", backend, "-n", workers, "--cutoff", "500"];
            assert_prints(
                &sort(&numbers, &args),
                &sorted(&numbers),
                &format!("{backend}, {workers} workers"),
            );
        }
    }
}

#[test]
fn what_is_sorted_already_goes_a_thousand_levels_deep_on_two_workers() {
    let numbers: Vec<i64> = (0..1_000).collect();
    for backend in BACKENDS {
        let args = ["--parallel-backend", backend, "-n", "2", "--cutoff", "1", "--pivot", "first"];
        assert_prints(&sort(&numbers, &args), &sorted(&numbers), backend);
    }
}

#[test]
fn nothing_and_one_number_and_many_that_are_equal() {
    for backend in BACKENDS {
        for numbers in [vec![], vec![7], vec![3; 200]] {
            let args = ["--parallel-backend", backend, "-n", "2", "--cutoff", "0"];
            assert_prints(&sort(&numbers, &args), &sorted(&numbers), backend);
        }
    }
}

#[test]
fn sort_refuses_what_is_no_number_and_what_is_no_backend() {
    let mut child = Command::new(program("quicksort"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(b"1\ntwo\n").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "quicksort: line 2: \"two\": invalid digit found in string\n");
    for args in [["--parallel-backend", "gpu"], ["-n", "0"], ["-n", "many"]] {
        assert_eq!(sort(&[], &args).status.code(), Some(2), "{args:?}");
    }
}

fn walk(folders: &[&Path], args: &[&str]) -> Output {
    let mut command = Command::new(program("tree_walk"));
    command.args(folders).args(args).stdin(Stdio::null()).output().expect("the program starts")
}

fn temp() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_tree_is_added_up_on_every_backend() {
    let dir = temp();
    let mut bytes = 0;
    for a in 0..5 {
        for b in 0..4 {
            let folder = dir.path().join(format!("a{a}/b{b}"));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("file"), vec![b'x'; a * 100 + b]).expect("a file");
            bytes += a * 100 + b;
        }
    }
    // It is not followed.
    std::os::unix::fs::symlink(dir.path(), dir.path().join("a0/loop")).expect("a link");
    bytes += dir.path().as_os_str().len();
    let expected = format!("{bytes} bytes, 21 files, 25 folders, 2 deep: {}\n", dir.path().display());
    for backend in BACKENDS {
        for workers in ["1", "2"] {
            let output = walk(&[dir.path()], &["--parallel-backend", backend, "-n", workers]);
            assert_prints(&output, &expected, &format!("{backend}, {workers} workers"));
        }
    }
}

#[test]
fn a_thousand_folders_in_one_another_on_two_workers() {
    let dir = temp();
    let deepest = dir.path().join("d/".repeat(1_000));
    fs::create_dir_all(&deepest).expect("folders");
    fs::write(deepest.join("file"), "at the bottom").expect("a file");
    let expected = format!("13 bytes, 1 files, 1000 folders, 1000 deep: {}\n", dir.path().display());
    for backend in BACKENDS {
        let output = walk(&[dir.path()], &["--parallel-backend", backend, "-n", "2"]);
        assert_prints(&output, &expected, backend);
    }
}

#[test]
fn several_folders_come_in_their_order_and_what_cannot_be_read_is_told() {
    let dir = temp();
    for name in ["one", "two"] {
        fs::create_dir(dir.path().join(name)).expect("a folder");
        fs::write(dir.path().join(name).join("file"), name).expect("a file");
    }
    let missing = dir.path().join("missing");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for backend in BACKENDS {
        let output = walk(&[&two, &missing, &one], &["--parallel-backend", backend, "-n", "2"]);
        assert_eq!(output.status.code(), Some(1), "{backend}");
        let line = |bytes, files, path: &Path| {
            format!("{bytes} bytes, {files} files, 0 folders, 0 deep: {}\n", path.display())
        };
        let expected = [line(3, 1, &two), line(0, 0, &missing), line(3, 1, &one)].concat();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{backend}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            errors,
            format!("tree_walk: {missing:?}: No such file or directory (os error 2)\n"),
            "{backend}"
        );
    }
}
