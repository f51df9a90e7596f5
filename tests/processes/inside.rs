//! What a task in a process knows of where it runs.

use futures::StreamExt as _;
use polypool::{EventKind, Processes, worker};
use serde::{Deserialize, Serialize};

use crate::gate::Gate;
use crate::ground::{builder, pool, run};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Knowledge {
    is_worker: bool,
    index: Option<usize>,
    has_id: bool,
    rank: usize,
    size: usize,
    is_master: bool,
    depth: usize,
    is_cancelled: bool,
}

fn knowledge((): ()) -> Knowledge {
    Knowledge {
        is_worker: worker::is_worker(),
        index: worker::index(),
        has_id: worker::id().is_some(),
        rank: worker::rank(),
        size: worker::size(),
        is_master: worker::is_master(),
        depth: worker::depth(),
        is_cancelled: worker::is_cancelled(),
    }
}

fn of_worker(index: usize, workers: usize) -> Knowledge {
    Knowledge {
        is_worker: true,
        index: Some(index),
        has_id: true,
        rank: index + 1,
        size: workers + 1,
        is_master: false,
        depth: 1,
        is_cancelled: false,
    }
}

#[test]
fn in_each_worker() {
    run(async {
        let pool = pool(3);
        let all = pool.run_on_all(knowledge, ()).await;
        for (index, known) in all.into_iter().enumerate() {
            assert_eq!(known.unwrap(), of_worker(index, 3));
        }
        assert!(worker::is_master() && !worker::is_worker(), "nothing of it is said here");
    });
}

#[test]
fn in_async_tasks() {
    run(async {
        let known = async |()| {
            let before = knowledge(());
            tokio::task::yield_now().await;
            (before, knowledge(()))
        };
        let (before, after) = pool(1).submit_async(known, ()).await.unwrap();
        assert_eq!((before, after), (of_worker(0, 1), of_worker(0, 1)));
    });
}

#[test]
fn in_initializers() {
    run(async {
        let gate = Gate::new();
        let noting = |gate: Gate| {
            let known = knowledge(());
            gate.note(known.index.unwrap() as u64);
            gate.note(u64::from(known.is_worker && known.has_id));
            gate.note(known.size as u64);
        };
        let pool = builder(Processes::new(), 1).initializer(noting, gate).build().unwrap();
        pool.warm_up().await.unwrap();
        assert_eq!(gate.notes(), [0, 1, 2]);
    });
}

#[test]
fn id_changes_with_the_process_and_the_index_does_not() {
    run(async {
        let pool = pool(1);
        let ids = |()| (worker::index(), worker::id());
        let before = pool.submit(ids, ()).await.unwrap();
        assert!(pool.submit(crate::tasks::abort, ()).await.is_err());
        let after = pool.submit(ids, ()).await.unwrap();
        assert_eq!((before.0, after.0), (Some(0), Some(0)));
        assert_ne!(before.1, after.1);
        assert_eq!(pool.workers()[0].id, after.1.unwrap());
    });
}

#[test]
fn size_follows_the_pool() {
    run(async {
        let pool = pool(1);
        assert_eq!(pool.submit(|()| worker::size(), ()).await.unwrap(), 2);
        pool.resize(4).unwrap();
        assert_eq!(pool.submit(|()| worker::size(), ()).await.unwrap(), 5);
    });
}

#[test]
fn progress_reaches_those_who_listen() {
    run(async {
        let pool = pool(1);
        let events = pool.events();
        let counting = |to: u64| (0..to).for_each(|n| worker::report_progress(n, to));
        let task = pool.submit(counting, 5);
        let id = task.id();
        task.await.unwrap();
        pool.shutdown(false).await;
        drop(pool);
        let mut told = Vec::new();
        for event in events.collect::<Vec<_>>().await {
            if let EventKind::TaskProgress { task, done, total } = event.kind {
                assert_eq!(task, id);
                told.push((done, total));
            }
        }
        assert_eq!(told, [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5)]);
    });
}

#[test]
fn progress_comes_while_the_task_runs() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let mut events = pool.events();
        let reporting = |gate: Gate| {
            worker::report_progress(1, 2);
            gate.pass_blocking();
        };
        let task = pool.submit(reporting, gate);
        loop {
            if let EventKind::TaskProgress { done: 1, total: 2, .. } = events.next().await.unwrap().kind {
                break;
            }
        }
        assert!(!task.is_finished());
        gate.open();
        task.await.unwrap();
    });
}

/// All of a worker's process is a worker's, so that a library's threads in it do not take the machine for theirs.
#[test]
fn threads_of_a_task_are_in_the_worker_as_well() {
    run(async {
        let elsewhere = |()| std::thread::spawn(|| (worker::is_worker(), worker::index())).join().unwrap();
        assert_eq!(pool(1).submit(elsewhere, ()).await.unwrap(), (true, Some(0)));
    });
}
