//! The program whose tests are what it is about: they run here, too.

use std::fs;

use crate::ground::{BACKENDS, example, explains, printed, refuses, run, stderr, stdout};

/// As `cargo test --example embed_tests` has it.
#[allow(dead_code, reason = "nobody calls its `main` here")]
#[path = "../../examples/embed_tests.rs"]
mod program;

#[test]
fn it_counts_words_however_it_runs() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a"), "one  two\nthree\n").unwrap();
    fs::write(temp.path().join("b"), "").unwrap();
    for parallel in BACKENDS.iter().chain(&["off", "on", "auto", "2"]) {
        let arguments = [parallel, "a", "b", "a"];
        assert_eq!(printed(example("embed_tests").args(arguments).current_dir(&temp)), "3 a\n0 b\n3 a\n");
    }
    let output = run(example("embed_tests").args(["off", "a", "missing", "b"]).current_dir(&temp));
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), "3 a\n0 b\n"));
    assert_eq!(stderr(&output), "embed_tests: missing: No such file or directory (os error 2)\n");
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("embed_tests", &["<PARALLEL>", "<FILE>"]);
    refuses("embed_tests", &["abacus", "a"], "unknown backend `abacus`");
    refuses("embed_tests", &["off"], "<FILE>");
}
