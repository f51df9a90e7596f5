//! The `parallel=` setting: which pool it means, what is remembered, and where it is serial. What it means inside the tasks of every
//! backend is in `tests/conformance`; how it is written, beside the code.
//!
//! All of this is about what a process has once. So each test here plays in a process of its own: this program, started again for
//! that one test.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(unsafe_code, clippy::unwrap_used, reason = "a panic is how a test fails, and a test may fork")]

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use polypool::backend::{Arrival, Backend, PoolContext, WorkerKind, Workers, register};
use polypool::{
    BuildError, Capabilities, Executor, Parallel, Processes, ReusableOptions, StartMethod, TaskError,
    cpu_count, default_backend, reusable, set_default_backend, with_default_backend, worker,
};

polypool::worker_main!();

/// Names the test that a process was started for.
const ALONE: &str = "POLYPOOL_TEST_ALONE";

/// How long a test may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs a test in a process of its own with these variables, and no others that matter. The test is named by its closure: a harness
/// that runs one test at a time has no thread for it that could be.
fn alone<T: FnOnce()>(variables: &[(&str, &str)], test: T) {
    let name = std::any::type_name::<T>().split("::").nth(1).unwrap();
    if std::env::var(ALONE).is_ok_and(|alone| alone == name) {
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            eprintln!("it hangs");
            std::process::abort();
        });
        return test();
    }
    let mut command = Command::new("/proc/self/exe");
    command.args([name, "--exact", "--nocapture"]);
    for variable in ["POLYPOOL_NUM_WORKERS", "OMP_NUM_THREADS", "POLYPOOL_MAX_DEPTH"] {
        command.env_remove(variable);
    }
    let output = command.env(ALONE, name).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
}

fn of(text: &str) -> Executor {
    text.parse::<Parallel>().unwrap().executor().unwrap()
}

/// Where and how large.
fn shape(pool: &Executor) -> (&str, usize) {
    (pool.backend_name(), pool.max_workers())
}

/// Tells whether both are one pool: what is done to one shows in the other.
fn same(one: &Executor, other: &Executor) -> bool {
    let before = one.max_workers();
    one.resize(before + 17).unwrap();
    let same = other.max_workers() == before + 17;
    one.resize(before).unwrap();
    same
}

fn pid(_: ()) -> u32 {
    std::process::id()
}

/// A cluster as far as anyone can tell, of threads that perform encoded calls.
#[derive(Debug)]
struct Cluster;

impl Backend for Cluster {
    fn name(&self) -> &str {
        "cluster"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { distributed: true, futures: true, ..Capabilities::default() }
    }

    fn start(&self, _: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Ok(Box::new(Nodes))
    }
}

struct Nodes;

#[async_trait]
impl Workers for Nodes {
    fn wanted(&self, arrival: Arrival) {
        std::thread::spawn(move || {
            let Some(mut lane) = arrival.claim() else { return };
            while let Some(job) = lane.next(Duration::from_millis(10)) {
                job.run();
            }
        });
    }
}

/// Makes the cluster known, and counts how often one is made.
fn register_cluster(name: &str) -> Arc<AtomicUsize> {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let factory = move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, TaskError>(Cluster)
    };
    register(name, WorkerKind::Remote, factory).unwrap();
    made
}

#[test]
fn every_form_means_its_pool() {
    alone(&[], || {
        let n = cpu_count();
        assert_eq!(shape(&of("off")), ("serial", 1));
        assert_eq!(shape(&of("serial")), ("serial", 1));
        assert_eq!(shape(&of("threads")), ("threads", n));
        assert_eq!(shape(&of("tasks")), ("tasks", n));
        assert_eq!(shape(&of("auto")), ("processes", n));
        assert_eq!(shape(&of("on")), ("processes", n));
        assert_eq!(shape(&of("loky")), ("processes", n));
        assert_eq!(shape(&of("3")), ("processes", 3));
        assert_eq!(shape(&Parallel::from(0).executor().unwrap()), ("serial", 1));
        assert_eq!(shape(&Parallel::from(true).executor().unwrap()), ("processes", n));
        let mine = Executor::threads(5).unwrap();
        let with = Parallel::from(mine.clone());
        assert!(same(&with.executor().unwrap(), &mine));
        assert_eq!(with.to_string(), "threads");
        assert!(!same(&of("threads"), &mine), "one that was handed in is nobody else's");
        assert!(matches!(Parallel::default(), Parallel::Auto));
    });
}

#[test]
fn pool_is_one_for_all_whatever_its_size() {
    alone(&[], || {
        let pool = of("2");
        let before = block_on(pool.submit(pid, ())).unwrap();
        assert!(same(&pool, &of("2")) && same(&pool, &of("auto")) && same(&pool, &of("processes")));
        assert!(same(&pool, &of("1")) && pool.max_workers() == 1);
        assert_eq!(block_on(of("1").submit(pid, ())).unwrap(), before, "its worker has stayed");
        assert_eq!(shape(&of("auto")).1, 1, "as it is");
        assert_eq!(shape(&of("on")).1, cpu_count());
        assert!(same(&of("threads"), &of("thread")) && same(&of("tasks"), &of("tasks")));
        assert!(!same(&of("threads"), &of("tasks")));
        assert!(!same(&pool, &reusable(ReusableOptions::new()).unwrap()));
    });
}

#[test]
fn pool_of_the_default_backend_is_taken_by_auto_as_it_is() {
    alone(&[], || {
        set_default_backend("threads").unwrap();
        let pool = of("5");
        let automatic = of("auto");
        assert_eq!((shape(&pool), shape(&automatic)), (("threads", 5), ("threads", 5)));
        assert!(same(&pool, &automatic));
        let other = of("tasks");
        other.resize(7).unwrap();
        assert_eq!(shape(&with_default_backend("tasks", || of("auto")).unwrap()), ("tasks", 7));
        assert_eq!(shape(&of("on")), ("threads", cpu_count()));
    });
}

#[cfg(feature = "config")]
fn of_settings(config: polypool::config::PoolConfig) -> String {
    config.executor().unwrap().backend_name().to_owned()
}

#[cfg(feature = "config")]
#[test]
fn settings_that_say_nothing_are_auto() {
    use polypool::config::PoolConfig;

    alone(&[], || {
        let first = PoolConfig::new().executor().unwrap();
        assert!(same(&first, &PoolConfig::new().executor().unwrap()) && same(&first, &of("auto")));
        for setting in ["processes", "threads", "tasks", "serial"] {
            let pool = of(setting);
            let here = |()| {
                let named = PoolConfig::new().set("name", "mine").unwrap();
                let file = PoolConfig::new().toml_str("[parallel]\nidle_timeout = 5", "app.toml").unwrap();
                [PoolConfig::new(), named, file].map(of_settings)
            };
            assert_eq!(block_on(pool.submit(here, ())).unwrap(), ["serial"; 3], "{setting}");
        }
        let said = |()| of_settings(PoolConfig::new().set("n_workers", 2).unwrap());
        assert_eq!(block_on(of("threads").submit(said, ())).unwrap(), "processes", "what is said, is done");
    });
}

/// Reads all of the environment that is not this file's.
#[cfg(feature = "config")]
fn environment() -> Result<polypool::config::PoolConfig, polypool::config::ConfigError> {
    polypool::config::PoolConfig::new()
        .environment_from(std::env::vars_os().filter(|(name, _)| name.as_os_str() != ALONE))
}

#[cfg(feature = "config")]
#[test]
fn settings_and_a_number_of_workers_that_is_empty() {
    alone(&[("POLYPOOL_NUM_WORKERS", ""), ("OMP_NUM_THREADS", "")], || {
        let config = environment().unwrap();
        assert!(matches!(config.parallel(), Ok(Parallel::Auto)));
        assert_eq!(shape(&config.executor().unwrap()), ("processes", cpu_count()));
        assert_eq!(shape(&of("threads")), ("threads", cpu_count()));
    });
}

#[cfg(feature = "config")]
#[test]
fn settings_and_a_number_of_workers_for_all() {
    alone(&[("POLYPOOL_NUM_WORKERS", "3")], || {
        let config = environment().unwrap();
        assert!(matches!(config.parallel(), Ok(Parallel::Auto)));
        assert_eq!(shape(&config.executor().unwrap()), ("processes", 3));
        let config = config.set("parallel_backend", "threads").unwrap();
        assert_eq!(shape(&config.executor().unwrap()), ("threads", 3));
    });
}

#[cfg(feature = "config")]
#[test]
fn settings_and_a_number_of_workers_that_is_none() {
    alone(&[("POLYPOOL_NUM_WORKERS", "auto")], || {
        let error = environment().unwrap_err().to_string();
        assert_eq!(error, Parallel::On.executor().unwrap_err().to_string());
    });
}

#[test]
fn pool_outlives_those_who_drop_it_and_not_those_who_shut_it_down() {
    alone(&[], || {
        for setting in ["2", "threads"] {
            let task = of(setting).submit(pid, ());
            block_on(task).unwrap();
            let pool = of(setting);
            drop(pool.clone());
            block_on(pool.submit(pid, ())).unwrap();
            block_on(pool.shutdown(false));
            let next = of(setting);
            assert!(block_on(pool.submit(pid, ())).is_err());
            block_on(next.submit(pid, ())).unwrap();
            assert!(same(&next, &of(setting)));
        }
        let automatic = of("auto");
        block_on(automatic.shutdown(true));
        block_on(of("auto").submit(pid, ())).unwrap();
    });
}

#[test]
fn pool_that_is_broken_is_replaced() {
    alone(&[], || {
        register("hopeless", WorkerKind::Threads, || Ok::<_, TaskError>(Hopeless)).unwrap();
        let pool = of("hopeless");
        assert!(block_on(pool.submit(pid, ())).is_err());
        assert!(!same(&pool, &of("hopeless")));
    });
}

#[derive(Debug)]
struct Hopeless;

impl Backend for Hopeless {
    fn name(&self) -> &str {
        "hopeless"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { in_process: true, ..Capabilities::default() }
    }

    fn start(&self, _: PoolContext) -> Result<Box<dyn Workers>, TaskError> {
        Err(TaskError::Broken("never works".to_owned()))
    }
}

#[test]
fn pool_that_many_ask_for_at_once_is_one() {
    alone(&[], || {
        for setting in ["threads", "3"] {
            let barrier = Barrier::new(8);
            let ask = || {
                barrier.wait();
                of(setting)
            };
            let pools: Vec<_> = std::thread::scope(|scope| {
                let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().map(|asking| asking.join().unwrap()).collect()
            });
            assert!(pools.iter().all(|pool| same(pool, &pools[0])));
        }
    });
}

#[test]
fn backend_in_this_process_is_never_remembered() {
    alone(&[], || {
        for named in ["threads", "tasks", "serial"] {
            assert_eq!(of(named).backend_name(), named);
            assert_eq!(of("auto").backend_name(), "processes");
            assert_eq!(of("on").backend_name(), "processes");
        }
        register_cluster("cluster");
        of("cluster");
        of("threads");
        assert_eq!(of("on").backend_name(), "cluster");
        set_default_backend("threads").unwrap();
        assert_eq!(shape(&of("auto")), ("threads", cpu_count()), "what was named is taken, not remembered");
        of("processes");
        assert_eq!(of("3").backend_name(), "processes");
    });
}

#[test]
fn backend_that_was_used_last_is_remembered() {
    alone(&[], || {
        let made = register_cluster("cluster");
        assert_eq!(of("on").backend_name(), "processes");
        assert_eq!(made.load(Ordering::SeqCst), 0);
        assert!("cluster".parse::<Parallel>().is_ok());
        assert_eq!(of("on").backend_name(), "processes");
        assert_eq!(made.load(Ordering::SeqCst), 0, "a name is checked without making anything");
        let cluster = of("cluster");
        assert_eq!(shape(&of("5")), ("cluster", 5));
        assert!(same(&of("auto"), &cluster) && same(&of("on"), &cluster));
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(block_on(cluster.submit(pid, ())).unwrap(), std::process::id());
        of("processes");
        assert_eq!(of("4").backend_name(), "processes");
    });
}

#[test]
fn backend_that_could_not_be_built_is_not_remembered() {
    alone(&[], || {
        register("absent", WorkerKind::Remote, || Err::<Cluster, _>("no licence")).unwrap();
        let absent = "absent".parse::<Parallel>().unwrap();
        assert!(matches!(absent.executor(), Err(BuildError::Factory { .. })));
        assert_eq!(of("on").backend_name(), "processes");
        let unknown = Parallel::Backend("nope".to_owned());
        assert!(matches!(unknown.executor(), Err(BuildError::UnknownBackend { name, .. }) if name == "nope"));
        let disabled = Parallel::Backend("dask://here:8786".to_owned());
        if cfg!(not(feature = "dask")) {
            assert!(matches!(disabled.executor(), Err(BuildError::FeatureDisabled(name)) if name == "dask"));
        }
        let too_many = Parallel::Workers(NonZeroUsize::MAX);
        assert!(matches!(too_many.executor(), Err(BuildError::OutOfRange(_))));
        assert_eq!(shape(&of("auto")), ("processes", cpu_count()));
    });
}

#[test]
fn auto_discovers_a_cluster_and_never_makes_one() {
    alone(&[], || {
        let made = register_cluster("cluster");
        let cluster = of("cluster");
        assert!(same(&of("auto"), &cluster));
        block_on(cluster.shutdown(true));
        assert_eq!(shape(&of("auto")), ("serial", 1));
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(of("on").backend_name(), "cluster");
        assert_eq!(made.load(Ordering::SeqCst), 2);
        assert_eq!(of("auto").backend_name(), "cluster");
        let other = register_cluster("other");
        block_on(of("threads").submit(|()| drop(of("other")), ())).unwrap();
        assert_eq!(shape(&of("auto")), ("serial", 1), "that of a task is not for those outside");
        assert_eq!(other.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn default_backend_is_chosen_for_the_whole_process() {
    alone(&[], || {
        let chosen = || Executor::builder().build().unwrap().backend_name().to_owned();
        let reused = || reusable(ReusableOptions::new()).unwrap().backend_name().to_owned();
        assert_eq!((default_backend().as_str(), chosen().as_str()), ("processes", "processes"));
        of("processes");
        set_default_backend("thread").unwrap();
        assert_eq!(default_backend(), "thread");
        assert_eq!((chosen().as_str(), reused().as_str()), ("threads", "threads"));
        assert_eq!(of("on").backend_name(), "threads", "what was remembered is forgotten");
        assert_eq!(std::thread::spawn(default_backend).join().unwrap(), "thread");
        assert!(matches!(set_default_backend("nope"), Err(BuildError::UnknownBackend { .. })));
        if cfg!(not(feature = "mpi")) {
            assert!(matches!(set_default_backend("mpi"), Err(BuildError::FeatureDisabled(_))));
        }
        assert!(matches!(set_default_backend("threads://here"), Err(BuildError::OutOfRange(_))));
        assert_eq!((default_backend().as_str(), chosen().as_str()), ("thread", "threads"));
        let made = register_cluster("cluster");
        set_default_backend("cluster").unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 0);
        assert_eq!(of("2").backend_name(), "cluster");
    });
}

#[test]
fn default_backend_of_a_call_is_that_of_this_thread_and_this_call() {
    alone(&[], || {
        register_cluster("cluster");
        of("cluster");
        let inside = with_default_backend("threads", || {
            assert_eq!(of("on").backend_name(), "threads", "it outranks what was remembered");
            assert_eq!(shape(&of("4")), ("threads", 4));
            assert_eq!(of("auto").backend_name(), "threads");
            assert_eq!(std::thread::spawn(default_backend).join().unwrap(), "processes");
            let nested = with_default_backend("tasks", default_backend).unwrap();
            let panicked =
                catch_unwind(AssertUnwindSafe(|| with_default_backend("serial", || panic!("on purpose"))));
            assert!(panicked.is_err());
            assert!(matches!(with_default_backend("nope", || ()), Err(BuildError::UnknownBackend { .. })));
            set_default_backend("tasks").unwrap();
            (nested, default_backend(), Executor::builder().build().unwrap().backend_name().to_owned())
        });
        let inside = inside.unwrap();
        assert_eq!(
            (inside.0.as_str(), inside.1.as_str(), inside.2.as_str()),
            ("tasks", "threads", "threads")
        );
        assert_eq!(default_backend(), "tasks", "as it was chosen meanwhile");
        assert_eq!(of("on").backend_name(), "tasks");
    });
}

#[test]
fn what_was_used_under_the_default_of_a_call_is_not_remembered() {
    alone(&[], || {
        register_cluster("cluster");
        with_default_backend("cluster", || of("on")).unwrap();
        assert_eq!(of("on").backend_name(), "processes");
        with_default_backend("threads", || of("cluster")).unwrap();
        assert_eq!(of("on").backend_name(), "cluster", "what is named, is");
        let pool = of("7");
        let automatic = with_default_backend("cluster", || of("auto")).unwrap();
        assert!(same(&pool, &automatic) && pool.max_workers() == 7);
    });
}

#[test]
fn number_of_workers_from_the_environment() {
    alone(&[("POLYPOOL_NUM_WORKERS", "3"), ("OMP_NUM_THREADS", "5")], || {
        assert_eq!(shape(&of("on")), ("processes", 3));
        assert_eq!(shape(&of("auto")), ("processes", 3));
        assert_eq!(shape(&of("threads")), ("threads", 3));
        assert_eq!(shape(&of("2")), ("processes", 2));
        assert_eq!(Executor::builder().build().unwrap().max_workers(), cpu_count());
    });
}

#[test]
fn number_of_workers_from_openmp() {
    alone(&[("OMP_NUM_THREADS", "5,2")], || assert_eq!(shape(&of("threads")), ("threads", 5)));
}

#[test]
fn number_of_workers_that_is_none() {
    alone(&[("POLYPOOL_NUM_WORKERS", "many")], || {
        for setting in ["on", "auto", "threads"] {
            let error = setting.parse::<Parallel>().unwrap().executor().unwrap_err();
            assert!(matches!(error, BuildError::OutOfRange(_)));
            assert!(error.to_string().starts_with("POLYPOOL_NUM_WORKERS is `many`; "), "{error}");
        }
        assert_eq!(shape(&of("2")), ("processes", 2));
        assert_eq!(shape(&of("auto")), ("processes", 2), "a pool as it is needs no number");
        assert_eq!(shape(&of("off")), ("serial", 1));
    });
}

fn backend_of_auto(_: ()) -> String {
    of("auto").backend_name().to_owned()
}

#[test]
fn auto_is_serial_in_workers_alone() {
    alone(&[], || {
        for setting in ["processes", "threads", "tasks", "serial"] {
            let pool = of(setting);
            assert_eq!(block_on(pool.submit(backend_of_auto, ())).unwrap(), "serial", "{setting}");
            let later = pool.submit_async(async |()| backend_of_auto(()), ());
            assert_eq!(block_on(later).unwrap(), "serial", "{setting}");
        }
        let elsewhere = |()| std::thread::spawn(|| backend_of_auto(())).join().unwrap();
        assert_eq!(block_on(of("threads").submit(elsewhere, ())).unwrap(), "processes");
        assert_eq!(block_on(of("processes").submit(elsewhere, ())).unwrap(), "serial");
        assert_eq!(of("auto").backend_name(), "processes");
        let scoped = |()| with_default_backend("threads", || backend_of_auto(())).unwrap();
        assert_eq!(block_on(of("threads").submit(scoped, ())).unwrap(), "serial");
    });
}

/// Nests pools of a setting until one is refused, and gives how deep that was.
fn dig(setting: String) -> Result<(usize, usize), String> {
    match setting.parse::<Parallel>().unwrap().executor() {
        Ok(pool) => match pool.submit(dig, setting).blocking_join() {
            Ok(deepest) => deepest,
            Err(error) => Err(format!("at {}: {error}", worker::depth())),
        },
        Err(BuildError::NestingTooDeep { depth, limit }) if depth == worker::depth() + 1 => {
            Ok((depth, limit))
        }
        Err(error) => Err(format!("at {}: {error}", worker::depth())),
    }
}

#[test]
fn what_is_asked_for_inside_a_task_nests_up_to_the_limit() {
    alone(&[], || {
        assert_eq!(dig("threads".to_owned()), Ok((11, 10)));
        assert_eq!(dig("threads".to_owned()), Ok((11, 10)), "the pools that are there are not too deep");
    });
}

#[test]
fn processes_inside_a_task_nest_up_to_the_limit() {
    alone(&[("POLYPOOL_MAX_DEPTH", "3"), ("POLYPOOL_NUM_WORKERS", "1")], || {
        for setting in ["processes", "1", "on"] {
            assert_eq!(dig(setting.to_owned()), Ok((4, 3)), "{setting}");
        }
    });
}

#[test]
fn pool_inside_a_task_is_not_the_task_s_own() {
    alone(&[], || {
        let nested = |()| {
            let (own, pool) = (worker::executor().unwrap(), of("threads"));
            let depths = (worker::depth(), pool.submit(|()| worker::depth(), ()).blocking_join().unwrap());
            (depths, same(&pool, &own), same(&pool, &of("threads")))
        };
        let pool = of("threads");
        assert_eq!(block_on(pool.submit(nested, ())).unwrap(), ((1, 2), false, true));
        assert_eq!(block_on(of("threads").submit(|()| worker::depth(), ())).unwrap(), 1);
    });
}

#[test]
fn workers_that_are_forks_do_not_take_their_parent_s_pool() {
    alone(&[], || {
        let outside = of("2");
        block_on(outside.submit(pid, ())).unwrap();
        set_default_backend("processes").unwrap();
        let inside = |()| {
            let automatic = of("auto").backend_name().to_owned();
            let pool = of("1");
            let of_pool =
                pool.submit(|()| (worker::depth(), std::process::id()), ()).blocking_join().unwrap();
            (automatic, of_pool.0, of_pool.1 != std::process::id())
        };
        for method in [StartMethod::Loky, StartMethod::Fork, StartMethod::ForkServer] {
            let backend = Processes::new().start_method(method);
            let pool = Executor::builder().backend(backend).max_workers(1).build().unwrap();
            assert_eq!(
                block_on(pool.submit(inside, ())).unwrap(),
                ("serial".to_owned(), 2, true),
                "{method:?}"
            );
        }
        assert_eq!(outside.max_workers(), 2);
    });
}

/// Forks, and gives what the copy saw, as bits.
fn in_a_copy(look: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the copy has this thread alone, and ends without returning from here.
    match unsafe { libc::fork() } {
        0 => {
            let seen = catch_unwind(AssertUnwindSafe(look)).unwrap_or(255);
            // SAFETY: ends the copy and nothing else.
            unsafe { libc::_exit(seen) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(libc::WIFEXITED(status), "{status}");
            libc::WEXITSTATUS(status)
        }
    }
}

#[test]
fn process_that_somebody_forked_has_none_of_the_pools() {
    alone(&[], || {
        let pools = [of("threads"), of("2")];
        for pool in &pools {
            block_on(pool.submit(pid, ())).unwrap();
        }
        let own = of("threads").max_workers();
        pools[0].resize(own + 5).unwrap();
        let seen = in_a_copy(|| {
            let is_serial = of("auto").backend_name() == "serial";
            let refuses = pools.iter().all(|pool| pool.submit(pid, ()).blocking_join().is_err());
            let mine = of("threads");
            let is_fresh = mine.max_workers() == own;
            let works = mine.submit(pid, ()).blocking_join().is_ok_and(|pid| pid == std::process::id());
            let twice = in_a_copy(|| {
                let mine = of("threads");
                i32::from(mine.submit(pid, ()).blocking_join().is_ok_and(|pid| pid == std::process::id()))
            });
            i32::from(is_serial)
                | i32::from(refuses) << 1
                | i32::from(is_fresh) << 2
                | i32::from(works) << 3
                | twice << 4
        });
        assert_eq!(seen, 0b1_1111, "{seen:b}");
        for pool in &pools {
            block_on(pool.submit(pid, ())).unwrap();
        }
        assert_eq!(of("auto").backend_name(), "processes");
    });
}

#[test]
fn process_that_a_task_forked_is_as_deep_as_the_task() {
    alone(&[("POLYPOOL_MAX_DEPTH", "2")], || {
        let inside = |()| {
            in_a_copy(|| {
                let is_serial = backend_of_auto(()) == "serial";
                i32::from(is_serial) | i32::from(dig("threads".to_owned()) == Ok((3, 2))) << 1
            })
        };
        for setting in ["threads", "1"] {
            assert_eq!(block_on(of(setting).submit(inside, ())).unwrap(), 0b11, "{setting}");
        }
    });
}

#[test]
fn process_that_was_forked_before_there_was_a_pool_is_like_any_other() {
    alone(&[], || {
        let seen = in_a_copy(|| {
            let pool = of("auto");
            i32::from(shape(&pool) == ("processes", cpu_count()))
        });
        assert_eq!(seen, 1);
    });
}
