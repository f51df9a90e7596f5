//! Every way to start a worker process: what it gives, how it ends, what it leaves. What the ways have in common with every other
//! backend is in `tests/conformance` and `tests/processes`.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a panic is how a test fails, and its tasks do what tasks should not"
)]

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use polypool::{BuildError, Executor, Exit, Processes, StartMethod, TaskError, WorkerLost, process};
use rustix::process::{Pid, Signal, kill_process};

polypool::worker_main!();

const FORKING: [StartMethod; 2] = [StartMethod::ForkServer, StartMethod::Fork];
const ALL: [StartMethod; 4] =
    [StartMethod::Loky, StartMethod::Spawn, StartMethod::ForkServer, StartMethod::Fork];

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(90), test).await.expect("it hangs") })
}

fn pool(backend: Processes, workers: usize) -> Executor {
    Executor::builder().backend(backend).max_workers(workers).build().unwrap()
}

fn by(method: StartMethod) -> Processes {
    Processes::new().start_method(method)
}

fn pid(_: ()) -> u32 {
    std::process::id()
}

fn parent(_: ()) -> u32 {
    std::os::unix::process::parent_id()
}

fn double(n: u32) -> u32 {
    2 * n
}

fn sleep(millis: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(millis));
    std::process::id()
}

fn exit(code: i32) {
    std::process::exit(code)
}

fn abort(_: ()) {
    // Without a core dump, which takes its time.
    kill(std::process::id(), Signal::ABORT);
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// The state of a process and its parent.
fn look(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_gone(pid: u32) -> bool {
    look(pid).is_none()
}

fn is_dead(pid: u32) -> bool {
    look(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

async fn soon(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not yet");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn pids(pool: &Executor) -> Vec<u32> {
    pool.run_on_all(pid, ()).await.into_iter().map(Result::unwrap).collect()
}

fn loss<R: std::fmt::Debug>(result: Result<R, TaskError>) -> WorkerLost {
    match result {
        Err(TaskError::WorkerLost(lost)) => lost,
        other => panic!("{other:?} is no loss"),
    }
}

#[test]
fn every_method_runs_tasks_in_other_processes() {
    run(async {
        for method in ALL {
            let pool = pool(by(method), 2);
            let all = pids(&pool).await;
            assert!(all[0] != all[1] && !all.contains(&std::process::id()), "{method}");
            let parents = pool.run_on_all(parent, ()).await;
            let ours =
                |parent: &Result<u32, _>| matches!(parent, Ok(parent) if *parent == std::process::id());
            assert_eq!(parents.iter().all(ours), method != StartMethod::ForkServer, "{method}");
            let results = join_all((0..300).map(|n| pool.submit(double, n))).await;
            assert!(results.into_iter().map(Result::unwrap).eq((0..300).map(|n| 2 * n)), "{method}");
            let there_and_back = pool.submit(|bytes: Vec<u8>| bytes, vec![7; 3_000_000]).await.unwrap();
            assert!(there_and_back == vec![7; 3_000_000], "{method}");
            let answer = pool.submit_async(|n: u32| async move { n + 1 }, 41).await;
            assert!(matches!(answer, Ok(42)), "{method}");
            let _ = pool.shutdown(false).await;
            assert!(all.into_iter().all(is_gone), "{method}");
        }
    });
}

#[test]
fn a_lost_worker_is_told_with_its_exit() {
    run(async {
        for method in ALL {
            let pool = pool(by(method), 1);
            for code in [0, 7] {
                let before = pool.submit(pid, ()).await.unwrap();
                let lost = loss(pool.submit(exit, code).await);
                assert_eq!((lost.pid, lost.exit), (Some(before), Exit::Code(code)), "{method}");
                soon("it is reaped", || is_gone(before)).await;
            }
            assert_eq!(loss(pool.submit(abort, ()).await).exit, Exit::Signal(6), "{method}");
            assert_eq!(pool.submit(double, 4).await.unwrap(), 8, "{method}");
        }
    });
}

#[test]
fn a_cancelled_task_loses_its_process() {
    run(async {
        for method in ALL {
            let pool = pool(by(method).grace_period(Duration::from_millis(20)), 1);
            let worker = pool.submit(pid, ()).await.unwrap();
            let task = pool.submit(sleep, 600_000);
            soon("it runs", || pool.stats().running == 1).await;
            assert_eq!(task.cancel().await, None, "{method}");
            soon("it is gone", || is_gone(worker)).await;
            assert_ne!(pool.submit(pid, ()).await.unwrap(), worker, "{method}");
        }
    });
}

#[test]
fn a_process_runs_one_function_and_ends() {
    run(async {
        for method in ALL {
            let context = process::context(Some(method));
            assert_eq!(context.start_method(), method);
            let mut process = context.spawn(pid, ()).unwrap();
            let number = process.pid();
            assert!(number != std::process::id());
            assert_eq!(process.join().await.unwrap(), number, "{method}");
            assert_eq!(process.exit(), Some(Exit::Code(0)), "{method}");
            assert!(is_gone(number), "{method}");
            assert!(matches!(process.join().await, Err(TaskError::Unsupported { .. })));
            process.kill();
        }
    });
}

#[test]
fn a_process_is_killed() {
    run(async {
        for method in ALL {
            let context = process::context(Some(method));
            // At once, perhaps before it is ready; and when it is at it.
            for at_once in [true, false] {
                let mut process = context.spawn(sleep, 600_000).unwrap();
                assert_eq!(process.exit(), None);
                if !at_once {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                process.kill();
                let lost = loss(process.join().await);
                assert_eq!((lost.pid, lost.exit), (Some(process.pid()), Exit::Signal(9)), "{method}");
                assert_eq!(process.exit(), Some(Exit::Signal(9)), "{method}");
            }
        }
    });
}

#[test]
fn a_process_that_crashes_says_how() {
    run(async {
        for method in ALL {
            let context = process::context(Some(method));
            let mut process = context.spawn(exit, 9).unwrap();
            assert_eq!(loss(process.join().await).exit, Exit::Code(9), "{method}");
            let mut process = context.spawn(|()| -> () { panic!("oh no") }, ()).unwrap();
            assert!(matches!(process.join().await, Err(TaskError::Panicked(_))), "{method}");
            assert_eq!(process.exit(), Some(Exit::Code(0)), "{method}");
        }
    });
}

#[test]
fn processes_of_one_context_have_one_fork_server() {
    run(async {
        let context = process::context(Some(StartMethod::ForkServer));
        let server = context.spawn(parent, ()).unwrap().join().await.unwrap();
        let all: Vec<_> = (0..10).map(|_| context.clone().spawn(parent, ()).unwrap()).collect();
        for mut process in all {
            assert_eq!(process.join().await.unwrap(), server);
        }
        assert!(!is_gone(server));
        drop(context);
        soon("it ends with the context", || is_gone(server)).await;
    });
}

#[test]
fn a_process_that_is_dropped_goes_on() {
    run(async {
        let path = std::env::temp_dir().join(format!("polypool-detached-{}", std::process::id()));
        let write = |path: String| {
            std::thread::sleep(Duration::from_millis(50));
            std::fs::write(path, "done").map_err(|error| error.to_string())
        };
        let process = process::context(None).spawn(write, path.display().to_string()).unwrap();
        let number = process.pid();
        drop(process);
        soon("it is done", || fs::read_to_string(&path).is_ok_and(|text| text == "done")).await;
        soon("it is gone", || is_gone(number)).await;
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_join_that_is_given_up_may_be_begun_again() {
    run(async {
        let mut process = process::context(None).spawn(sleep, 200).unwrap();
        for _ in 0..5 {
            let _ = tokio::time::timeout(Duration::from_millis(10), process.join()).await;
        }
        assert_eq!(process.join().await.unwrap(), process.pid());
    });
}

#[test]
fn an_argument_that_cannot_be_sent_starts_no_process() {
    #[derive(serde::Deserialize)]
    struct Stubborn;
    impl serde::Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("will not travel"))
        }
    }
    match process::context(None).spawn(|_: Stubborn| (), Stubborn) {
        Err(BuildError::Unsupported(why)) => assert!(why.contains("will not travel"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// The open descriptors of this process, by what they are.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| look(pid).is_some_and(|(_, of)| of == std::process::id())).collect()
}

#[test]
#[ignore = "counts what the whole process has; run alone: `cargo test --test start_methods -- --ignored --test-threads 1`"]
fn fifty_workers_leave_nothing() {
    run(async {
        // Whatever is there once and for all.
        let _ = pool(by(StartMethod::Loky), 1).shutdown(true).await;
        for method in ALL {
            let (before, threads) = (descriptors(), fs::read_dir("/proc/self/task").unwrap().count());
            let pool = pool(by(method), 50);
            let all = pids(&pool).await;
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 50);
            let _ = pool.shutdown(false).await;
            drop(pool);
            assert!(all.into_iter().all(is_gone), "{method}");
            assert_eq!(children(), BTreeSet::new(), "{method}");
            soon("no descriptors are left", || descriptors() <= before + 3).await;
            let _ = threads;
        }
    });
}

static LOADED: OnceLock<Vec<u64>> = OnceLock::new();
static LOADER: AtomicU32 = AtomicU32::new(0);

fn load(n: u64) -> Result<(), String> {
    LOADER.store(std::process::id(), Ordering::Relaxed);
    LOADED.set((0..n).map(|n| n * n).collect()).map_err(|_| "twice".to_owned())
}

#[test]
fn what_is_preloaded_is_in_every_worker() {
    run(async {
        let backend = by(StartMethod::ForkServer).preload(load, 1_000);
        let pool = pool(backend, 3);
        let seen = |()| (LOADER.load(Ordering::Relaxed), LOADED.get().unwrap()[30], parent(()));
        let seen: Vec<_> = pool.run_on_all(seen, ()).await.into_iter().map(Result::unwrap).collect();
        let (server, value, _) = seen[0];
        assert!(server != 0 && server != std::process::id() && value == 900);
        assert!(seen.iter().all(|seen| *seen == (server, 900, server)), "one server for all: {seen:?}");
        assert!(LOADED.get().is_none(), "not here");
        let _ = pool.shutdown(false).await;
        assert!(is_gone(server), "shutdown waits for it");
    });
}

#[test]
fn a_preload_that_fails_fails_the_tasks_with_its_reason() {
    run(async {
        let refuse = |_: ()| Err::<(), _>("no such file");
        let panics = |_: ()| -> () { panic!("out of ideas") };
        for (backend, reason) in [
            (by(StartMethod::ForkServer).preload(refuse, ()), "no such file"),
            (by(StartMethod::ForkServer).preload(panics, ()), "out of ideas"),
        ] {
            let pool = pool(backend, 2);
            for result in join_all((0..4).map(|n| pool.submit(double, n))).await {
                match result {
                    Err(TaskError::InitializerFailed(why)) => assert!(why.contains(reason), "{why}"),
                    other => panic!("{other:?}"),
                }
            }
            let _ = pool.shutdown(false).await;
        }
    });
}

#[test]
fn a_preload_that_crashes_is_hopeless_soon() {
    run(async {
        let pool = pool(by(StartMethod::ForkServer).preload(abort, ()), 2);
        match pool.submit(double, 1).await {
            Err(TaskError::Broken(why)) => assert!(why.contains("fork server"), "{why}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_preload_that_does_not_end_holds_nobody_up() {
    run(async {
        for at_once in [false, true] {
            let path = std::env::temp_dir().join(format!("polypool-preload-{}", std::process::id()));
            let stay = |path: String| {
                fs::write(path, std::process::id().to_string()).unwrap();
                sleep(600_000);
            };
            let backend = by(StartMethod::ForkServer).preload(stay, path.display().to_string());
            let pool = pool(backend, 2);
            let task = pool.submit(double, 1);
            let server = || fs::read_to_string(&path).ok().and_then(|text| text.parse::<u32>().ok());
            if !at_once {
                soon("the server is there", || server().is_some()).await;
            }
            let report = pool.shutdown(true).await;
            assert_eq!(report.cancelled, 1);
            assert!(matches!(task.await, Err(TaskError::Cancelled)));
            assert!(server().is_none_or(is_gone));
            let _ = fs::remove_file(&path);
        }
    });
}

#[test]
fn a_preload_is_for_the_fork_server() {
    for method in [StartMethod::Loky, StartMethod::LokyInitMain, StartMethod::Spawn, StartMethod::Fork] {
        let backend = by(method).preload(load, 1);
        match Executor::builder().backend(backend).max_workers(1).build() {
            Err(BuildError::Unsupported(why)) => assert!(why.contains("ForkServer"), "{why}"),
            Err(BuildError::WorkerEntryMissing) => assert_eq!(method, StartMethod::LokyInitMain),
            other => panic!("{method}: {other:?}"),
        }
    }
}

#[test]
fn the_fork_server_is_killed_under_load() {
    run(async {
        let pool = pool(by(StartMethod::ForkServer), 3);
        for round in 0..5 {
            let server = pool.submit(parent, ()).await.unwrap();
            let tasks: Vec<_> = (0..200).map(|n| pool.submit(sleep, n % 3)).collect();
            let dying = pool.submit(exit, 3);
            kill(server, Signal::KILL);
            for result in join_all(tasks).await {
                assert!(matches!(result, Ok(_) | Err(TaskError::WorkerLost(_))), "{round}: {result:?}");
            }
            let how = loss(dying.await).exit;
            assert!(matches!(how, Exit::Unknown | Exit::Code(3)), "{round}: {how:?}");
            assert!(is_dead(server));
            // Those of the old server go, and others come from a new one.
            for _ in 0..3 {
                let _ = pool.submit(exit, 1).await;
            }
            let parents: BTreeSet<_> =
                pool.run_on_all(parent, ()).await.into_iter().map(Result::unwrap).collect();
            assert!(!parents.contains(&server), "{round}");
        }
        let all = pids(&pool).await;
        let _ = pool.shutdown(true).await;
        assert!(all.into_iter().all(is_dead));
    });
}

#[test]
fn a_fork_server_that_is_stopped_is_gone_after_its_pool() {
    run(async {
        let pool = pool(by(StartMethod::ForkServer), 1);
        let server = pool.submit(parent, ()).await.unwrap();
        kill(server, Signal::STOP);
        drop(pool);
        soon("the server is gone", || is_dead(server)).await;
    });
}

#[test]
fn nobody_outlives_the_program() {
    /// Starts workers, says who there is, and stays.
    fn program((method, path): (String, String)) {
        let pool = pool(by(method.parse().unwrap()), 3);
        let busy: Vec<_> = (0..3).map(|_| pool.submit(sleep, 600_000)).collect();
        while pool.stats().running < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut all: BTreeSet<_> = pool.workers().iter().filter_map(|worker| worker.pid).collect();
        all.extend(all.clone().into_iter().filter_map(|pid| Some(look(pid)?.1)));
        all.insert(std::process::id());
        let text: Vec<_> = all.iter().map(u32::to_string).collect();
        fs::write(format!("{path}.part"), text.join(" ")).unwrap();
        fs::rename(format!("{path}.part"), path).unwrap();
        busy.into_iter().for_each(|task| drop(task.blocking_join()));
    }
    run(async {
        for method in ALL {
            let path = std::env::temp_dir().join(format!("polypool-all-{method}-{}", std::process::id()));
            let mut process = process::context(None)
                .spawn(program, (method.to_string(), path.display().to_string()))
                .unwrap();
            soon("they are there", || path.exists()).await;
            let text = fs::read_to_string(&path).unwrap();
            let all: Vec<u32> = text.split(' ').map(|pid| pid.parse().unwrap()).collect();
            assert_eq!(all.len(), if method == StartMethod::ForkServer { 5 } else { 4 }, "{method}");
            kill(process.pid(), Signal::KILL);
            assert_eq!(loss(process.join().await).exit, Exit::Signal(9));
            soon("all are dead", || all.iter().all(|&pid| is_dead(pid))).await;
            fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn options_hold_for_forked_workers() {
    run(async {
        for method in FORKING {
            let backend = by(method).env("POLYPOOL_TEST_TASTE", "sour").current_dir("/usr").inner_threads(3);
            let pool = pool(backend, 1);
            let seen = pool.submit(
                |()| {
                    let var = |name: &str| std::env::var(name).unwrap_or_default();
                    let here = std::env::current_dir().unwrap().display().to_string();
                    (var("POLYPOOL_TEST_TASTE"), var("OMP_NUM_THREADS"), here)
                },
                (),
            );
            assert_eq!(
                seen.await.unwrap(),
                ("sour".to_owned(), "3".to_owned(), "/usr".to_owned()),
                "{method}"
            );
            assert!(std::env::var_os("POLYPOOL_TEST_TASTE").is_none());
        }
    });
}

#[test]
fn workers_do_not_inherit_the_standard_input() {
    run(async {
        for method in ALL {
            let read = |()| {
                let mut text = String::new();
                std::io::stdin().read_line(&mut text).map_err(|error| error.to_string())
            };
            assert_eq!(pool(by(method), 1).submit(read, ()).await.unwrap(), Ok(0), "{method}");
        }
    });
}

#[test]
fn a_forked_worker_has_what_was_there_at_its_start() {
    static AT_HAND: OnceLock<String> = OnceLock::new();
    run(async {
        AT_HAND.set("too large to send".to_owned()).unwrap();
        let see = |()| AT_HAND.get().cloned();
        let seen = pool(by(StartMethod::Fork), 1).submit(see, ()).await.unwrap();
        assert_eq!(seen.as_deref(), Some("too large to send"));
        assert_eq!(pool(by(StartMethod::Loky), 1).submit(see, ()).await.unwrap(), None);
    });
}

#[test]
fn a_pool_that_came_along_by_a_fork_refuses_to_work() {
    static ABOVE: OnceLock<Executor> = OnceLock::new();
    run(async {
        let threads = Executor::threads(2).unwrap();
        assert_eq!(threads.submit(double, 1).await.unwrap(), 2);
        let _ = ABOVE.set(threads);
        let pool = pool(by(StartMethod::Fork), 1);
        let worker = pool.submit(pid, ()).await.unwrap();
        let use_it = |()| {
            let above = ABOVE.get().unwrap();
            let refused = |result: Result<u32, TaskError>| match result {
                Err(TaskError::Broken(why)) => why.contains("fork"),
                _ => false,
            };
            let submitted = refused(above.submit(double, 1).blocking_join());
            let all = futures::executor::block_on(above.run_on_all(double, 1));
            let mapped = futures::executor::block_on_stream(above.map(double, [1, 2])).next();
            let report = futures::executor::block_on(above.shutdown(true));
            (submitted, all.into_iter().all(refused), mapped.is_some_and(refused), report.completed)
        };
        assert_eq!(pool.submit(use_it, ()).await.unwrap(), (true, true, true, 1));
        assert_eq!(pool.submit(pid, ()).await.unwrap(), worker);
        assert_eq!(ABOVE.get().unwrap().submit(double, 2).await.unwrap(), 4, "here it works");
    });
}

#[test]
fn pools_within_forked_workers() {
    run(async {
        for outer in FORKING {
            for inner in ALL {
                let nested = |name: String| {
                    let pool = pool(by(name.parse().unwrap()), 2);
                    let sum: u32 =
                        futures::executor::block_on_stream(pool.map(double, 0..10)).map(Result::unwrap).sum();
                    let lost = pool.submit(exit, 9).blocking_join().unwrap_err();
                    (sum, matches!(lost, TaskError::WorkerLost(lost) if lost.exit == Exit::Code(9)))
                };
                let pool = pool(by(outer), 1);
                let answer = pool.submit(nested, inner.to_string()).await;
                assert_eq!(answer.unwrap(), (90, true), "{inner} in {outer}");
            }
        }
    });
}

#[test]
fn timeouts_and_runtimes_work_in_forks() {
    run(async {
        for method in FORKING {
            let pool = pool(by(method), 1);
            let wait = |millis: u64| async move {
                let start = Instant::now();
                tokio::time::sleep(Duration::from_millis(millis)).await;
                start.elapsed().as_millis() as u64 >= millis
            };
            assert!(pool.submit_async(wait, 20).await.unwrap(), "{method}");
            let spawns = |()| {
                let threads = Executor::builder().backend("threads").task_timeout(Duration::from_millis(30));
                let threads = threads.max_workers(1).build().unwrap();
                let late = threads.submit(sleep, 500).blocking_join();
                matches!(late, Err(TaskError::TimedOut { .. }))
            };
            assert!(pool.submit(spawns, ()).await.unwrap(), "{method}");
        }
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement: `cargo test --release --test start_methods -- --ignored --nocapture starting_takes`"]
fn starting_takes() {
    const ROUNDS: u32 = 100;
    run(async {
        // Large, so that forks have something to copy.
        let ballast = vec![1_u8; 64 << 20];
        for method in ALL {
            let pool = pool(by(method).max_tasks_per_worker(1), 1);
            pool.submit(pid, ()).await.unwrap();
            let start = Instant::now();
            for _ in 0..ROUNDS {
                pool.submit(pid, ()).await.unwrap();
            }
            let cycle = start.elapsed() / ROUNDS;
            let context = process::context(Some(method));
            context.spawn(pid, ()).unwrap().join().await.unwrap();
            let (mut started, mut begun) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let start = SystemTime::now();
                let mut process = context.spawn(|()| SystemTime::now(), ()).unwrap();
                started.push(start.elapsed().unwrap());
                begun.push(process.join().await.unwrap().duration_since(start).unwrap());
            }
            let (started, begun) = (median(started), median(begun));
            println!(
                "{method}: there after {started:?}, at work after {begun:?}; one worker to the next: {cycle:?}"
            );
        }
        drop(ballast);
    });
}
