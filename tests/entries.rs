//! A program with both ways in for its workers, `init` in a `main` of its own and `worker_main!`: where they begin by each start
//! method. Without the test harness, whose `main` cannot be changed.

#![allow(clippy::unwrap_used, missing_docs, reason = "a panic is how a test fails")]

#[cfg(all(feature = "processes", target_os = "linux"))]
mod scenes {
    use std::sync::atomic::{AtomicBool, Ordering};

    use polypool::{Executor, Exit, Processes, StartMethod, TaskError, process};

    polypool::worker_main!();

    /// Set by `main` before it calls `init`.
    static PREPARED: AtomicBool = AtomicBool::new(false);

    pub(crate) fn main() {
        PREPARED.store(true, Ordering::Relaxed);
        polypool::init();
        assert!(std::env::var_os("POLYPOOL_WORKER").is_none());
        every_method_begins_where_it_says();
        a_lost_worker_comes_back_the_same_way();
        a_process_begins_there_too();
        println!("entries: ok");
    }

    fn pool(method: StartMethod) -> Executor {
        let backend = Processes::new().start_method(method);
        Executor::builder().backend(backend).max_workers(1).build().unwrap()
    }

    fn is_prepared(_: ()) -> bool {
        PREPARED.load(Ordering::Relaxed)
    }

    fn exit(code: i32) {
        std::process::exit(code)
    }

    fn every_method_begins_where_it_says() {
        for (method, prepared) in [
            (StartMethod::Loky, false),
            (StartMethod::LokyInitMain, true),
            (StartMethod::Spawn, false),
            (StartMethod::ForkServer, false),
            (StartMethod::Fork, true),
        ] {
            let seen = pool(method).submit(is_prepared, ()).blocking_join();
            assert_eq!(seen.unwrap(), prepared, "{method}");
        }
    }

    fn a_lost_worker_comes_back_the_same_way() {
        let pool = pool(StartMethod::LokyInitMain);
        match pool.submit(exit, 5).blocking_join() {
            Err(TaskError::WorkerLost(lost)) => assert_eq!(lost.exit, Exit::Code(5)),
            other => panic!("{other:?}"),
        }
        assert!(pool.submit(is_prepared, ()).blocking_join().unwrap());
    }

    fn a_process_begins_there_too() {
        let mut process = process::context(Some(StartMethod::LokyInitMain)).spawn(is_prepared, ()).unwrap();
        assert!(futures::executor::block_on(process.join()).unwrap());
        assert_eq!(process.exit(), Some(Exit::Code(0)));
    }
}

fn main() {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    scenes::main();
}
