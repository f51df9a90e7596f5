//! The example programs on a cluster, as a user runs them: named by its address, by a variable, and one that they start themselves.
//!
//! `cargo test` builds them first. Whoever runs this alone builds them with `cargo build --all-features --examples`.

use std::process::Command;

use crate::cluster::{Cluster, python};
use crate::example::{example, printed};

fn on_two(name: &str, (backend, variable): &(String, Option<(&'static str, String)>)) -> Command {
    let mut command = example(name);
    command.args(["--parallel-backend", backend, "-n", "2"]).env("POLYPOOL_PYTHON", python());
    command.envs(variable.iter().map(|(name, value)| (name, value)));
    command
}

#[test]
fn hashtree_prints_what_sha256sum_does() {
    let source = std::path::absolute("src").unwrap();
    let script = "find \"$1\" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let wanted = printed(Command::new("sh").args(["-c", script, "sh"]).arg(&source));
    assert!(wanted.lines().count() > 100);
    for way in Cluster::shared().names() {
        assert_eq!(printed(on_two("hashtree", &way).arg(&source)), wanted, "{way:?}");
    }
}

#[test]
fn monte_carlo_prints_the_digits_that_it_prints_here() {
    let darts = ["--darts", "300000", "--chunk", "10000"];
    let wanted = printed(example("monte_carlo").args(["--parallel-backend", "serial"]).args(darts));
    for way in Cluster::shared().names() {
        assert_eq!(printed(on_two("monte_carlo", &way).args(darts)), wanted, "{way:?}");
    }
}

#[cfg(all(feature = "clap", feature = "graph", feature = "timeline"))]
#[test]
fn taskfile_runs_its_commands_in_their_order() {
    for way in Cluster::shared().names() {
        let folder = tempfile::tempdir().unwrap();
        let file = "[tasks.first]\ncommand = \"echo one > first\"\noutputs = [\"first\"]\n\n[tasks.second]\n\
                    command = \"cat first > second; echo two >> second\"\ninputs = [\"first\"]\noutputs = [\"second\"]\n";
        std::fs::write(folder.path().join("Taskfile.toml"), file).unwrap();
        let _ = printed(on_two("taskfile", &way).current_dir(folder.path()).arg("second"));
        let second = std::fs::read_to_string(folder.path().join("second")).unwrap();
        assert_eq!(second, "one\ntwo\n", "{way:?}");
    }
}
