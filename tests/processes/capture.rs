//! What a task prints, where that is wanted in its report: by whatever way it is printed, and that of no other task.

use std::process::Command;

use futures::future::join_all;
use polypool::{TaskOptions, TaskReport};

use crate::gate::Gate;
use crate::ground::{SHORT, pool, run};
use crate::tasks::double;

fn capturing() -> TaskOptions {
    TaskOptions::new().capture_output(true)
}

/// Prints a line in each of the ways that there are.
fn print_all_ways(name: String) {
    println!("{name}: println");
    eprintln!("{name}: eprintln");
    let line = std::ffi::CString::new(format!("{name}: puts")).unwrap();
    // SAFETY: the line ends with a NUL.
    unsafe { libc::puts(line.as_ptr()) };
    let raw = format!("{name}: write\n");
    // SAFETY: the buffer is as long as it says.
    unsafe { libc::write(1, raw.as_ptr().cast(), raw.len()) };
    assert!(Command::new("echo").arg(format!("{name}: echo")).status().unwrap().success());
    assert!(
        Command::new("sh").arg("-c").arg(format!("echo '{name}: shell' >&2")).status().unwrap().success()
    );
}

fn check_all_ways<R>(report: &TaskReport<R>, name: &str) {
    let mut out: Vec<_> = report.stdout.lines().collect();
    out.sort_unstable();
    assert_eq!(out, ["echo", "println", "puts", "write"].map(|way| format!("{name}: {way}")));
    assert_eq!(
        report.stderr.lines().collect::<Vec<_>>(),
        ["eprintln", "shell"].map(|way| format!("{name}: {way}"))
    );
}

#[test]
fn every_way_to_print() {
    run(async {
        let pool = pool(1);
        for name in ["first", "second"] {
            let report = pool.submit_with(capturing(), print_all_ways, name.to_owned()).report().await;
            assert!(report.result.is_ok());
            check_all_ways(&report, name);
        }
    });
}

#[test]
fn order_within_a_stream_of_output() {
    run(async {
        let printing = |n: u64| (0..n).for_each(|n| println!("line {n}"));
        let report = pool(1).submit_with(capturing(), printing, 5_000).report().await;
        let expected: String = (0..5_000).map(|n| format!("line {n}\n")).collect();
        assert!(report.stdout == expected, "{} of {} bytes", report.stdout.len(), expected.len());
        assert_eq!(report.stderr, "");
    });
}

#[test]
fn more_than_a_pipe_holds() {
    run(async {
        let printing = |n: usize| print!("{}", "x".repeat(n));
        let report = pool(1).submit_with(capturing(), printing, 3 << 20).report().await;
        assert_eq!(report.stdout.len(), 3 << 20);
    });
}

#[test]
fn what_is_not_text() {
    run(async {
        let printing = |()| {
            let bytes = [b'a', 0xff, 0xfe, 0, b'b'];
            // SAFETY: the buffer is as long as it says.
            unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) }
        };
        let report = pool(1).submit_with(capturing(), printing, ()).report().await;
        assert_eq!(report.result.unwrap(), 5);
        assert!(report.stdout.starts_with('a') && report.stdout.ends_with("\0b"), "{:?}", report.stdout);
    });
}

#[test]
fn not_mixed_up_between_tasks_that_run_at_once() {
    run(async {
        let (pool, gate) = (pool(3), Gate::new());
        let printing = |(gate, n): (Gate, u64)| {
            gate.meet_blocking(3);
            for line in 0..200 {
                println!("{n} {line}");
                eprintln!("{n} {line}");
            }
        };
        let tasks: Vec<_> =
            (0..3).map(|n| pool.submit_with(capturing(), printing, (gate, n)).report()).collect();
        for (n, report) in join_all(tasks).await.into_iter().enumerate() {
            let expected: String = (0..200).map(|line| format!("{n} {line}\n")).collect();
            assert_eq!((&report.stdout, &report.stderr), (&expected, &expected));
        }
    });
}

#[test]
fn not_mixed_up_between_tasks_one_after_the_other() {
    run(async {
        let pool = pool(1);
        let printing = |n: u64| print!("{n}, without a line's end");
        let tasks: Vec<_> = (0..50).map(|n| pool.submit_with(capturing(), printing, n).report()).collect();
        for (n, report) in join_all(tasks).await.into_iter().enumerate() {
            assert_eq!(report.stdout, format!("{n}, without a line's end"));
        }
    });
}

#[test]
fn of_an_async_task() {
    run(async {
        let printing = async |name: String| {
            println!("{name} before");
            tokio::task::yield_now().await;
            println!("{name} after");
        };
        let report = pool(1).submit_async_with(capturing(), printing, "it".to_owned()).report().await;
        assert_eq!(report.stdout, "it before\nit after\n");
    });
}

#[test]
fn of_a_task_that_panics() {
    run(async {
        let panicking = |()| -> () {
            println!("so far");
            panic!("no further")
        };
        let report = pool(1).submit_with(capturing(), panicking, ()).report().await;
        assert!(report.result.unwrap_err().is_panicked());
        assert_eq!(report.stdout, "so far\n");
    });
}

#[test]
fn of_a_task_that_crashes() {
    run(async {
        let crashing = |()| -> () {
            println!("last words");
            eprintln!("on both");
            std::process::abort()
        };
        let pool = pool(1);
        let report = pool.submit_with(capturing(), crashing, ()).report().await;
        assert!(report.result.unwrap_err().is_worker_lost());
        assert_eq!(report.stdout, "last words\n");
        assert!(report.stderr.starts_with("on both\n"), "{}", report.stderr);
        assert_eq!(pool.submit(double, 21).await.unwrap(), 42);
    });
}

#[test]
fn of_a_task_that_runs_out_of_time() {
    run(async {
        let gate = Gate::new();
        let slow = |gate: Gate| {
            println!("so far");
            gate.pass_blocking();
        };
        let limit = std::time::Duration::from_secs(1).max(SHORT);
        let report = pool(1).submit_with(capturing().timeout(limit), slow, gate).report().await;
        assert!(report.result.unwrap_err().is_timed_out());
        assert_eq!(report.stdout, "so far\n");
    });
}

#[test]
fn of_the_last_attempt_alone() {
    run(async {
        let gate = Gate::new();
        let unlucky = |gate: Gate| {
            let attempt = gate.arrive();
            println!("attempt {attempt}");
            if attempt == 0 {
                std::process::abort()
            }
        };
        let report = pool(1).submit_with(capturing().retries(1), unlucky, gate).report().await;
        assert_eq!((report.attempts, report.stdout.as_str()), (2, "attempt 1\n"));
    });
}

#[test]
fn records_of_tracing() {
    run(async {
        let recording = |n: u64| {
            tracing::info!(n, "the {} record", "first");
            tracing::warn!("the second");
        };
        let report = pool(1).submit_with(capturing(), recording, 7).report().await;
        assert_eq!(report.logs.len(), 2, "{:?}", report.logs);
        assert!(
            report.logs[0].contains("the first record") && report.logs[0].contains("INFO"),
            "{:?}",
            report.logs
        );
        assert!(
            report.logs[1].contains("the second") && report.logs[1].contains("WARN"),
            "{:?}",
            report.logs
        );
        assert_eq!((report.stdout.as_str(), report.stderr.as_str()), ("", ""));
    });
}

#[test]
fn records_of_log() {
    run(async {
        let recording = |n: u64| {
            log::info!("record {n} of log");
            log::debug!(target: "a place", "and another");
        };
        let report = pool(1).submit_with(capturing(), recording, 7).report().await;
        assert!(report.logs.iter().any(|log| log.contains("record 7 of log")), "{:?}", report.logs);
        assert_eq!((report.stdout.as_str(), report.stderr.as_str()), ("", ""));
    });
}

#[test]
fn off_means_off() {
    run(async {
        let printing = |()| {
            println!("a line of tests/processes/capture.rs that passes through");
            tracing::info!("and a record");
        };
        let report = pool(1).submit(printing, ()).report().await;
        assert_eq!((report.stdout.as_str(), report.stderr.as_str(), report.logs.len()), ("", "", 0));
    });
}

#[test]
fn off_passes_through() {
    let out = crate::scenes::play("prints").output();
    assert!(out.contains("passes through by println") && out.contains("passes through by write"), "{out}");
}
