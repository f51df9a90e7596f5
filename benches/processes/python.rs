//! The peers that are written in Python: finds an interpreter, has it make an environment with what they need, and has it take
//! figures. What is measured is `peers.py`'s.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/processes/peers.py");

/// Under the target directory, so that `cargo clean` takes it away.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-peers")
}

/// Makes what Python's peers need, unless it is there. The reason when there is no Python.
///
/// # Panics
/// When there is Python, and still they cannot be had: without them there would be nothing to compare with.
pub(crate) fn prepare() -> Result<(), String> {
    match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(format!("python3 --version ended with {}", output.status)),
        Err(error) => return Err(format!("python3: {error}")),
    }
    let made = Command::new("python3").arg(SCRIPT).arg("prepare").arg(environment()).status();
    let made = made.expect("python3 was started a moment ago");
    assert!(
        made.success(),
        "peers.py could not make {}; what it needs is in requirements.txt",
        environment().display()
    );
    Ok(())
}

/// Which Python that is.
pub(crate) fn version() -> String {
    let output = Command::new(interpreter()).arg(SCRIPT).arg("versions").output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn interpreter() -> PathBuf {
    environment().join("bin/python")
}

/// Goes on as the interpreter, with this process's CPUs.
pub(crate) fn become_peer(scenario: &str, peer: &str, place: &str, quick: bool) -> std::io::Error {
    let mut command = Command::new(interpreter());
    command.arg(SCRIPT).args(["measure", scenario, peer, place]);
    if quick {
        command.arg("--quick");
    }
    command.exec()
}
