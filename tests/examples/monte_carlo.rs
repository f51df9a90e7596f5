//! The same digits, whatever throws the darts.

use std::f64::consts::PI;

use crate::ground::{BACKENDS, example, explains, printed, refuses, run, stderr};

/// What 300,000 darts give, from the seed 1.
const DIGITS: &str = "3.141426667\n";

#[test]
fn every_backend_prints_the_same_digits() {
    for backend in BACKENDS {
        for (n, chunk) in [("1", "10000"), ("3", "10000")] {
            let arguments = ["--darts", "300000", "--chunk", chunk, "-n", n, "--parallel-backend", backend];
            let output = run(example("monte_carlo").args(arguments));
            assert_eq!(str::from_utf8(&output.stdout).unwrap(), DIGITS, "{backend}: {}", stderr(&output));
            let n = if *backend == "serial" { "1" } else { n };
            let end = format!(", backend: {backend}, workers: {n}\n");
            assert!(stderr(&output).starts_with("darts: 300000, ") && stderr(&output).ends_with(&end));
        }
    }
}

#[test]
fn the_last_chunk_may_be_smaller_and_other_seeds_give_other_digits() {
    let pi = |arguments: &[&str]| -> f64 {
        printed(example("monte_carlo").args(arguments)).trim().parse().unwrap()
    };
    let odd = pi(&["--darts", "100001", "--chunk", "999"]);
    let other = pi(&["--darts", "100001", "--chunk", "999", "--seed", "2"]);
    assert!(odd != other && (odd - PI).abs() < 0.05 && (other - PI).abs() < 0.05, "{odd}, {other}");
    // A single dart hits or does not.
    assert!([0.0, 4.0].contains(&pi(&["--darts", "1"])));
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("monte_carlo", &["--darts", "--chunk", "--seed", "--parallel-backend", "-n, --n-workers"]);
    refuses("monte_carlo", &["--parallel-backend", "abacus"], "unknown backend `abacus`; known are serial");
    refuses("monte_carlo", &["-n", "0"], "max_workers is 0");
    refuses("monte_carlo", &["--darts", "0"], "0 is not in 1..");
    refuses("monte_carlo", &["--chunk", "0"], "0 is not in 1..");
}
