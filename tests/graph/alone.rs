//! What concerns one backend alone, or the graph itself.

use futures::StreamExt;
use polypool::Executor;
use polypool::graph::TaskGraph;

use crate::ground::{Host, run};

#[test]
fn fan_of_a_hundred_thousand() {
    const WIDE: u64 = 100_000;
    run(Host::Bare, async {
        let mut graph = TaskGraph::new();
        let start = graph.task("start", |n: u64| n, 1).output();
        let parts: Vec<_> =
            (0..WIDE).map(|n| graph.task_from(n.to_string(), |n: u64| n, start).output()).collect();
        let sum = graph.task_from("sum", |parts: Vec<u64>| parts.iter().sum::<u64>(), parts).output();
        let mut run = graph.run(&Executor::threads(4).unwrap()).unwrap();
        assert!(run.finish().await.is_success());
        assert_eq!(run.take_output(sum), Some(WIDE));
    });
}

#[test]
fn failure_before_a_hundred_thousand() {
    const MANY: usize = 100_000;
    run(Host::Bare, async {
        let mut graph = TaskGraph::new();
        graph.try_task("bad", |()| Err::<(), _>("no"), ());
        graph.task("0", |()| (), ()).after(["bad"]);
        for n in 1..MANY {
            let after = [(n - 1).to_string(), (n / 2).to_string()];
            graph.task(n.to_string(), |()| (), ()).after(after.iter().map(String::as_str));
        }
        let summary = graph.run(&Executor::threads(2).unwrap()).unwrap().finish().await;
        assert_eq!((summary.failed, summary.skipped), (1, MANY));
    });
}

#[test]
fn chain_of_twenty_thousand_with_long_edges() {
    const LONG: u64 = 20_000;
    run(Host::Bare, async {
        let mut graph = TaskGraph::new();
        let mut last = graph.task("0", |n: u64| n, 0).output();
        for n in 1..=LONG {
            let node = graph.task_from(n.to_string(), |n| n + 1, last);
            let after: Vec<_> = (2..6).filter(|back| n >= *back).map(|back| (n - back).to_string()).collect();
            last = node.after(after.iter().map(String::as_str)).output();
        }
        let mut run = graph.run(&Executor::threads(3).unwrap()).unwrap();
        assert!(run.finish().await.is_success());
        assert_eq!(run.take_output(last), Some(LONG));
    });
}

#[test]
fn serial_runs_in_polls_one_task_each() {
    run(Host::Bare, async {
        let gate = crate::gate::Gate::new();
        let mut graph = TaskGraph::new();
        for n in 0..3 {
            graph.task(n.to_string(), crate::ground::mark, (gate, n));
        }
        let mut run = graph.run(&Executor::serial()).unwrap().cancel_on_drop(false);
        assert!(gate.notes().is_empty());
        assert_eq!(run.next().await.unwrap().0, "0");
        assert_eq!(gate.notes(), [0]);
        drop(run);
        assert_eq!(gate.notes(), [0]);
    });
}

#[cfg(feature = "progress")]
#[test]
fn bar_goes_on_without_polls() {
    run(Host::Bare, async {
        let mut graph = TaskGraph::new();
        graph.task("a", |()| (), ());
        graph.try_task("b", |()| Err::<(), _>("no"), ()).after(["a"]);
        graph.task("c", |()| (), ()).after(["b"]);
        let bar = indicatif::ProgressBar::hidden();
        let mut run = graph.run(&Executor::threads(1).unwrap()).unwrap().progress_bar(bar.clone());
        run.finish().await;
        assert_eq!((bar.position(), bar.length()), (3, Some(3)));
    });
}

/// A terminal that sets a graph off and sees it move on, when it is drawn to.
#[cfg(feature = "progress")]
mod terminal {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::gate::Gate;

    #[derive(Debug, Clone)]
    pub struct Terminal {
        pub armed: Arc<AtomicBool>,
        pub first: Gate,
        pub second: Gate,
    }

    impl indicatif::TermLike for Terminal {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn write_str(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            if self.armed.swap(false, Ordering::SeqCst) {
                self.first.open();
                // It is in the pool when the first one was shown.
                futures::executor::block_on(self.second.wait_arrivals(1));
            }
            Ok(())
        }
    }
}

#[cfg(feature = "progress")]
#[test]
fn bar_does_not_go_back_when_it_is_set() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    // The terminal waits, so nobody else must on this thread.
    let (first, second) = (crate::gate::Gate::new(), crate::gate::Gate::new());
    let mut graph = TaskGraph::new();
    graph.task_async("first", crate::ground::hold, (first, 1));
    graph.task_async("second", crate::ground::hold, (second, 2)).after(["first"]);
    let terminal = terminal::Terminal { armed: Arc::new(AtomicBool::new(false)), first, second };
    let target = indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let old = indicatif::ProgressBar::with_draw_target(None, target);
    let run = graph.run(&Executor::threads(1).unwrap()).unwrap().progress_bar(old);
    terminal.armed.store(true, Ordering::SeqCst);
    // The old one is drawn for the last time when it is dropped, and meanwhile the first task ends.
    let bar = indicatif::ProgressBar::hidden();
    let mut run = run.progress_bar(bar.clone());
    assert!(!terminal.armed.load(Ordering::SeqCst));
    assert_eq!(bar.position(), 1);
    second.open();
    crate::ground::run(Host::Bare, async {
        run.finish().await;
        assert_eq!(bar.position(), 2);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn graphs_awaited_on_all_the_threads_of_a_runtime_that_may_block() {
    use crate::gate::Gate;
    use crate::ground::{hold, mark};

    const WAITERS: usize = 2;
    let backends = [
        "tasks",
        #[cfg(all(feature = "processes", target_os = "linux"))]
        "processes",
    ];
    run(Host::Bare, async {
        for backend in backends {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(WAITERS)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pool = Executor::builder().backend(backend).max_workers(2).build().unwrap();
                let all = std::sync::Arc::new(std::sync::Barrier::new(WAITERS));
                let waiters: Vec<_> = (0..WAITERS)
                    .map(|_| {
                        let (pool, all) = (pool.clone(), std::sync::Arc::clone(&all));
                        tokio::task::spawn_blocking(move || {
                            all.wait();
                            let gate = Gate::new();
                            let mut graph = TaskGraph::new();
                            for n in 0..100 {
                                let node = graph.task(n.to_string(), mark, (gate, n));
                                if n % 10 > 0 {
                                    node.after([(n - 1).to_string().as_str()]);
                                }
                            }
                            let mut run = graph.run(&pool).unwrap();
                            let summary = futures::executor::block_on(run.finish());
                            // The others go on until here.
                            all.wait();
                            summary
                        })
                    })
                    .collect();
                for waiter in waiters {
                    assert_eq!(waiter.await.unwrap().to_string(), "100 done");
                }
                // With the threads taken by others, it is driven by who polls, stopped by who stops it, and goes when it is dropped.
                let door = Gate::new();
                let taken: Vec<_> =
                    (0..WAITERS).map(|_| tokio::task::spawn_blocking(move || door.pass_blocking())).collect();
                let gate = Gate::new();
                let held = || {
                    let mut graph = TaskGraph::new();
                    graph.task_async("held", hold, (gate, 1));
                    graph.task("after", mark, (gate, 2)).after(["held"]);
                    graph.run(&pool).unwrap()
                };
                assert_eq!(held().cancel().await.to_string(), "0 done, 2 cancelled");
                let mut run = held();
                assert!(futures::poll!(run.next()).is_pending());
                gate.wait_notes(1).await;
                drop(run);
                gate.open();
                assert_eq!(held().finish().await.to_string(), "2 done");
                assert_eq!(gate.sorted_notes(), [1, 1, 2]);
                door.open();
                for taken in taken {
                    taken.await.unwrap();
                }
            });
        }
    });
}

#[cfg(all(feature = "processes", target_os = "linux"))]
mod processes {
    use futures::StreamExt;
    use polypool::graph::{Outcome, TaskGraph};
    use polypool::{Executor, TaskError};

    use crate::gate::Gate;
    use crate::ground::{Host, run};

    const HOSTS: &[Host] = &[
        Host::Bare,
        #[cfg(feature = "tokio")]
        Host::Tokio,
    ];

    fn die(gate: Gate) -> u64 {
        if gate.arrive() == 0 {
            std::process::abort();
        }
        7
    }

    #[test]
    fn killed_worker_fails_its_task() {
        for &host in HOSTS {
            run(host, async {
                let mut graph = TaskGraph::new();
                let first = graph.task("dies", die, Gate::new()).output();
                graph.task_from("after", |n: u64| n, first);
                let again = graph.task("dies once", die, Gate::new()).retries(1).output();
                graph.task("beside", |()| (), ());
                let mut run = graph.run(&Executor::processes(2).unwrap()).unwrap();
                while let Some((name, report)) = run.next().await {
                    match name.as_str() {
                        "dies" => {
                            assert!(report.result.unwrap_err().is_worker_lost());
                            assert_eq!(report.attempts, 1);
                        }
                        "dies once" => assert_eq!((report.outcome, report.attempts), (Outcome::Done, 2)),
                        _ => {}
                    }
                }
                assert_eq!(run.finish().await.to_string(), "2 done, 1 failed, 1 skipped");
                assert_eq!((run.take_output(first), run.take_output(again)), (None, Some(7)));
            });
        }
    }

    fn say((name, good): (String, bool)) -> Result<u8, String> {
        println!("{name} speaks");
        eprintln!("{name} complains");
        if good { Ok(1) } else { Err(format!("{name} gives up")) }
    }

    #[test]
    fn output_is_captured_task_by_task() {
        for &host in HOSTS {
            run(host, async {
                let mut graph = TaskGraph::new().capture_output(true);
                for n in 0..20 {
                    graph.try_task(format!("t{n}"), say, (format!("t{n}"), n % 2 == 0));
                }
                graph.task("quiet", |()| (), ()).capture_output(false);
                let mut run = graph.run(&Executor::processes(3).unwrap()).unwrap();
                let mut failed = 0;
                while let Some((name, report)) = run.next().await {
                    if name == "quiet" {
                        continue;
                    }
                    assert_eq!(report.stdout, format!("{name} speaks\n"));
                    assert_eq!(report.stderr, format!("{name} complains\n"));
                    if let Err(error) = report.result {
                        failed += 1;
                        assert_eq!(error.to_string(), format!("the task failed: {name} gives up"));
                    }
                }
                assert_eq!(failed, 10);
            });
        }
    }

    #[test]
    fn options_may_say_no_to_the_graph() {
        run(Host::Bare, async {
            let mut graph = TaskGraph::new().capture_output(true);
            let options = polypool::TaskOptions::new;
            graph.try_task("as the graph", say, ("x".to_owned(), true)).options(options().retries(1));
            graph.try_task("yes", say, ("x".to_owned(), true)).options(options().capture_output(true));
            graph.try_task("no", say, (String::new(), true)).options(options().capture_output(false));
            let mut run = graph.run(&Executor::processes(1).unwrap()).unwrap();
            while let Some((name, report)) = run.next().await {
                assert_eq!(report.stdout, if name == "no" { "" } else { "x speaks\n" }, "{name}");
            }
        });
    }

    #[test]
    fn argument_that_cannot_be_encoded() {
        run(Host::Bare, async {
            let mut graph = TaskGraph::new();
            // The place in the queue is free again afterwards.
            let pool =
                Executor::builder().backend("processes").max_workers(1).max_pending(1).build().unwrap();
            let bad = serde_json::json!({ "any": "thing" });
            graph.task("bad", |_: serde_json::Value| (), bad.clone());
            graph.task("after", |()| (), ()).after(["bad"]);
            graph.task("good", |n: u8| n, 1);
            graph.task("bad too", |_: serde_json::Value| (), bad);
            graph.task("good too", |n: u8| n, 1);
            let mut run = graph.run(&pool).unwrap();
            while let Some((name, report)) = run.next().await {
                if name.starts_with("bad") {
                    assert!(
                        matches!(report.result, Err(TaskError::Decode(_) | TaskError::Encode(_))),
                        "{report:?}"
                    );
                }
            }
            assert_eq!(run.finish().await.to_string(), "2 done, 2 failed, 1 skipped");
            assert_eq!(pool.try_submit(|n: u8| n, 3).unwrap().await.unwrap(), 3);
        });
    }

    #[test]
    fn pool_that_cannot_begin() {
        run(Host::Bare, async {
            let pool = Executor::builder()
                .backend("processes")
                .max_workers(2)
                .initializer(|()| Err::<(), _>("no licence"), ())
                .build()
                .unwrap();
            let mut graph = TaskGraph::new();
            for n in 0..10 {
                graph.task(n.to_string(), |()| (), ());
            }
            graph.task("after", |()| (), ()).after(["9"]);
            let mut run = graph.run(&pool).unwrap();
            let mut told = 0;
            while let Some((_, report)) = run.next().await {
                assert_ne!(report.outcome, Outcome::Done);
                assert!(matches!(report.result, Err(TaskError::InitializerFailed(_))), "{report:?}");
                told += 1;
            }
            assert_eq!(told, 11);
            assert!(run.progress().failed > 0);
        });
    }
}
