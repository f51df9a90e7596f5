//! Accidents in C, one after the other, and what is left of each.

use crate::ground::{example, explains, refuses, run, stderr, stdout};

#[test]
fn each_accident_costs_its_own_task() {
    for workers in ["1", "3"] {
        let output = run(example("isolate").args(["-n", workers]));
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        let mut lines = stdout(&output).lines();
        let mut next = || lines.next().unwrap_or_else(|| panic!("{}", stdout(&output)));
        assert_eq!(next(), "crash: measured [3, 5, 7], lost 2 with their workers");
        for _ in 0..2 {
            let line = next();
            assert!(line.starts_with("  signal 11; its last words: polypool: worker process "), "{line}");
            assert!(line.ends_with("signal 11 (SIGSEGV) at address 0x0"), "{line}");
        }
        assert_eq!(next(), "retries: measured [1, 2, 3, 4, 5, 6, 7, 8, 9]");
        assert_eq!(next(), "max_tasks_per_worker: measured [1, 2, 3, 4, 5, 6, 7, 8, 9]");
        // 200 MiB, of which no process has kept more than a few times ten.
        let line = next();
        let count = line.strip_prefix("max_memory_growth: forgot 10 MiB 20 times, in ");
        let count: usize = count.and_then(|rest| rest.strip_suffix(" processes")?.parse().ok()).expect(line);
        assert!((3..=20).contains(&count), "{line}");
        assert_eq!(next(), "memory_limit: 16 MiB are fine");
        assert_eq!(next(), "memory_limit: 4096 MiB are not: Signal(11)");
        assert_eq!(next(), "timeout: timed out after 200ms; allow more time, or make the task smaller");
        assert_eq!(next(), "and the pool goes on: 42");
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("isolate", &["-n, --n-workers"]);
    refuses("isolate", &["-n", "0"], "isolate: max_workers is 0");
}
