//! What the tests stand on: the programs, and their output.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// The backends of this build.
pub(crate) const BACKENDS: &[&str] = if cfg!(all(feature = "processes", target_os = "linux")) {
    &["serial", "threads", "tasks", "processes"]
} else {
    &["serial", "threads", "tasks"]
};

/// The example's program. `cargo test` builds it first.
pub(crate) fn example(name: &str) -> Command {
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let program: PathBuf = target.join("examples").join(name);
    assert!(program.exists(), "{} is not there: cargo build --example {name}", program.display());
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_remove("POLYPOOL_MAX_CPU_COUNT");
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

pub(crate) fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

/// Runs it to its good end and gives what it printed.
#[track_caller]
pub(crate) fn printed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}: {}{}", output.status, stdout(&output), stderr(&output));
    stdout(&output).to_owned()
}

/// Checks that it explains itself.
#[track_caller]
pub(crate) fn explains(name: &str, options: &[&str]) {
    let help = printed(example(name).arg("--help"));
    for option in options.iter().chain(&["--help", "Usage"]) {
        assert!(help.contains(option), "{name}: no {option} in\n{help}");
    }
}

/// Checks that it refuses options that make no sense, with a message and nothing else.
#[track_caller]
pub(crate) fn refuses(name: &str, arguments: &[&str], message: &str) {
    let output = run(example(name).args(arguments));
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{name} {arguments:?}: {}",
        stdout(&output)
    );
    assert!(stderr(&output).contains(message), "{name} {arguments:?}: {}", stderr(&output));
}
