//! A program that lets its workers in through `init()` in `main`, with what stands before that: it has a `main` of its own, and no
//! test harness.

#[cfg(all(feature = "processes", target_os = "linux"))]
mod program {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::executor::block_on;
    use futures::future::join_all;
    use polypool::{BuildError, Executor, Exit, Processes, StartMethod, TaskError, TaskOptions, Transport};

    /// What `main` does before `init`, and after.
    pub(crate) static BEFORE: AtomicU32 = AtomicU32::new(0);
    pub(crate) static AFTER: AtomicU32 = AtomicU32::new(0);

    fn traces((): ()) -> (u32, u32, u32) {
        (BEFORE.load(Ordering::SeqCst), AFTER.load(Ordering::SeqCst), std::process::id())
    }

    fn exit(code: i32) {
        std::process::exit(code)
    }

    fn echo(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn hang((): ()) {
        std::thread::sleep(std::time::Duration::from_secs(100_000));
    }

    fn pool(method: StartMethod, transport: Transport) -> Executor {
        let backend = Processes::new().start_method(method).transport(transport);
        Executor::builder().backend(backend).max_workers(2).build().expect("init() was called")
    }

    pub(crate) fn run() {
        for transport in [Transport::SharedMemory, Transport::Socket] {
            for method in [StartMethod::LokyInitMain, StartMethod::Loky, StartMethod::Spawn] {
                block_on(lives_and_dies(method, transport));
                println!("{method} by {transport:?}: ok");
            }
        }
    }

    async fn lives_and_dies(method: StartMethod, transport: Transport) {
        let pool = pool(method, transport);
        for result in join_all((0..100).map(|_| pool.submit(traces, ()))).await {
            let (before, after, pid) = result.expect("a value");
            assert_eq!((before, after), (1, 0), "workers run main up to init, and no further");
            assert_ne!(pid, std::process::id());
        }
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        assert!(pool.submit(echo, bytes.clone()).await.expect("a value") == bytes);
        match pool.submit(exit, 7).await {
            Err(TaskError::WorkerLost(lost)) => assert_eq!(lost.exit, Exit::Code(7)),
            other => panic!("{other:?}"),
        }
        let limit = TaskOptions::new().timeout(std::time::Duration::from_millis(30));
        assert!(pool.submit_with(limit, hang, ()).await.is_err_and(|error| error.is_timed_out()));
        assert!(pool.submit(traces, ()).await.is_ok());
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed, report.cancelled), (102, 2, 0));
    }

    /// Before `init` nobody can know that it will be called.
    pub(crate) fn is_refused_before_init() {
        let refused = Executor::builder().backend(Processes::new()).max_workers(1).build();
        assert!(matches!(refused, Err(BuildError::WorkerEntryMissing)), "{refused:?}");
    }
}

#[cfg(all(feature = "processes", target_os = "linux"))]
fn main() {
    use std::sync::atomic::Ordering;

    program::is_refused_before_init();
    program::BEFORE.fetch_add(1, Ordering::SeqCst);
    polypool::init();
    program::AFTER.fetch_add(1, Ordering::SeqCst);
    // A harness asks for a list of tests, or for some by name; there is one, and it takes a second.
    if !std::env::args().any(|argument| argument == "--list") {
        program::run();
    }
}

#[cfg(not(all(feature = "processes", target_os = "linux")))]
fn main() {}
