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
            graph.task(n.to_string(), |()| (), ()).after([(n - 1).to_string(), (n / 2).to_string()]);
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
            last = node.after((2..6).filter(|back| n >= *back).map(|back| (n - back).to_string())).output();
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
