//! Tasks that do to their process what tasks should not. Each costs at most itself.

use std::io::Write as _;

use futures::future::join_all;
use polypool::{Executor, Exit, TaskError, TaskOptions};

use crate::gate::Gate;
use crate::ground::{SHORT, goes_on, loss_of, pool, run};
use crate::proc::{is_dead, is_gone, kill, soon_async};
use crate::tasks::{Call, bytes, double, echo, hold, mark, pid};

fn kill_itself(signal: i32) -> u64 {
    // SAFETY: it ends this process, or nothing happens.
    unsafe { libc::raise(signal) };
    0
}

#[test]
fn kills_itself() {
    run(async {
        let pool = pool(1);
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGABRT, libc::SIGINT, libc::SIGUSR1] {
            assert_eq!(loss_of(pool.submit(kill_itself, signal)).await.exit, Exit::Signal(signal));
        }
        goes_on(&pool).await;
    });
}

/// A pipe whose reader is gone is an error and no signal, as in every Rust program.
#[test]
fn writes_to_a_pipe_that_nobody_reads() {
    run(async {
        let writing = |()| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            drop(reader);
            writer.write_all(b"nobody").unwrap_err().kind() == std::io::ErrorKind::BrokenPipe
        };
        assert!(pool(1).submit(writing, ()).await.unwrap());
    });
}

#[test]
fn writes_to_address_nought() {
    run(async {
        let writing = |()| {
            let nought = std::hint::black_box(std::ptr::null_mut::<u64>());
            // SAFETY: none. That is the point.
            unsafe { nought.write_volatile(1) };
        };
        let pool = pool(1);
        assert_eq!(loss_of(pool.submit(writing, ())).await.exit, Exit::Signal(libc::SIGSEGV));
        goes_on(&pool).await;
    });
}

#[allow(unconditional_recursion, reason = "it is to overflow the stack")]
fn recurse(n: u64) -> u64 {
    std::hint::black_box([n; 64]);
    recurse(std::hint::black_box(n + 1)) + std::hint::black_box(1)
}

#[test]
fn overflows_its_stack() {
    run(async {
        let pool = pool(1);
        let lost = loss_of(pool.submit(recurse, 0)).await;
        assert_is!(lost.exit, Exit::Signal(libc::SIGSEGV | libc::SIGABRT));
        goes_on(&pool).await;
    });
}

#[test]
fn killed_from_outside_at_work() {
    run(async {
        let (pool, gate) = (pool(2), Gate::new());
        let (task, other) = (pool.submit(hold, gate), pool.submit(hold, gate));
        gate.wait_arrivals(2).await;
        let worker = pool.workers().into_iter().find(|worker| worker.task == Some(task.id())).unwrap();
        kill(worker.pid.unwrap(), rustix::process::Signal::KILL);
        let lost = loss_of(task).await;
        assert_eq!((lost.worker, lost.pid, lost.exit), (worker.id, worker.pid, Exit::Signal(9)));
        gate.open();
        assert!(other.await.is_ok());
        goes_on(&pool).await;
    });
}

#[test]
fn killed_from_outside_while_idle() {
    run(async {
        let pool = pool(1);
        for _ in 0..5 {
            let pid = pool.submit(pid, ()).await.unwrap();
            kill(pid, rustix::process::Signal::KILL);
            soon_async("the worker is gone", || is_gone(pid)).await;
            let report = pool.submit(double, 21).report().await;
            assert_eq!((report.result.unwrap(), report.attempts), (42, 1));
        }
    });
}

/// Also when nobody has noticed yet that the worker is dead: a call that it never began is not lost.
#[test]
fn killed_from_outside_just_before_a_task() {
    run(async {
        let pool = pool(1);
        for n in 0..50 {
            let pid = pool.submit(pid, ()).await.unwrap();
            kill(pid, rustix::process::Signal::KILL);
            assert_eq!(pool.submit(double, n).await.unwrap(), 2 * n, "it was handed out and not begun");
        }
    });
}

#[test]
fn stops_itself() {
    run(async {
        let pool = pool(1);
        let stopping = TaskOptions::new().timeout(SHORT);
        let task = pool.submit_with(stopping, kill_itself, libc::SIGSTOP);
        assert_is!(task.await, Err(TaskError::TimedOut { .. }));
        goes_on(&pool).await;
    });
}

#[test]
fn blocks_all_signals() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let deaf = |gate: Gate| {
            // SAFETY: the set is initialised by `sigfillset`.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
            }
            hold(gate)
        };
        let task = pool.submit(deaf, gate);
        gate.wait_arrivals(1).await;
        let pid = gate.notes()[0] as u32;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(is_gone(pid));
        let fine = pool.submit(deaf, gate);
        gate.open();
        assert!(fine.await.is_ok());
        goes_on(&pool).await;
    });
}

#[test]
fn ignores_signals() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let ignoring = |gate: Gate| {
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD, libc::SIGHUP, libc::SIGPIPE] {
                // SAFETY: to ignore a signal is always allowed.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            hold(gate)
        };
        let task = pool.submit(ignoring, gate);
        gate.wait_arrivals(1).await;
        let pid = gate.notes()[0] as u32;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(is_gone(pid));
        gate.open();
        assert!(pool.submit(ignoring, gate).await.is_ok());
        goes_on(&pool).await;
    });
}

#[test]
fn installs_handlers_for_signals() {
    extern "C" fn nothing(_: libc::c_int) {}

    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let handling = |gate: Gate| {
            let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            for signal in (1..32).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP) {
                // SAFETY: the handler does nothing.
                unsafe { libc::signal(signal, handler) };
            }
            hold(gate)
        };
        let task = pool.submit(handling, gate);
        gate.wait_arrivals(1).await;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        gate.open();
        let pid = pool.submit(handling, gate).await.unwrap();
        assert!(!is_dead(pid));
        goes_on(&pool).await;
    });
}

/// Leaves its process group for its parent's: whoever signals groups must not hit that one.
#[test]
fn leaves_its_process_group() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let leaving = |gate: Gate| {
            // SAFETY: these take and give numbers.
            unsafe { libc::setpgid(0, libc::getpgid(libc::getppid())) };
            hold(gate)
        };
        let task = pool.submit(leaving, gate);
        gate.wait_arrivals(1).await;
        let pid = gate.notes()[0] as u32;
        task.abort();
        assert_is!(task.await, Err(TaskError::Cancelled));
        assert!(is_gone(pid));
        goes_on(&pool).await;
    });
}

#[test]
fn closes_all_descriptors_but_the_standard_ones() {
    run(async {
        let closing = |()| {
            // SAFETY: none for the owners of these descriptors. That is the point.
            unsafe { libc::close_range(3, libc::c_uint::MAX, 0) }
        };
        costs_itself_alone(closing).await;
    });
}

#[test]
fn closes_all_descriptors() {
    run(async {
        let closing = |()| {
            // SAFETY: none for the owners of these descriptors. That is the point.
            unsafe { libc::close_range(0, libc::c_uint::MAX, 0) }
        };
        costs_itself_alone(closing).await;
    });
}

/// Runs something after which its process may be of no more use: it gives its value or is lost, and nothing else is.
async fn costs_itself_alone(f: impl Fn(()) -> i32 + Copy + Send + Sync + 'static) {
    let (pool, gate) = (pool(2), Gate::new());
    let other = pool.submit(hold, gate);
    gate.wait_arrivals(1).await;
    for _ in 0..3 {
        let task = pool.submit(f, ());
        let behind: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
        assert_is!(task.await, Ok(0) | Err(TaskError::WorkerLost(_)));
        assert!(join_all(behind).await.into_iter().map(Result::unwrap).eq((0..20).map(|n| 2 * n)));
    }
    gate.open();
    assert!(other.await.is_ok());
    goes_on(&pool).await;
}

#[test]
fn closes_its_standard_descriptors() {
    run(async {
        let pool = pool(1);
        let closing = |()| {
            // SAFETY: whoever writes there gets an error.
            unsafe { libc::close_range(0, 2, 0) }
        };
        assert_eq!(pool.submit(closing, ()).await.unwrap(), 0);
        goes_on(&pool).await;
        // What is opened now has the numbers of those that were closed.
        let opening = |()| std::fs::File::open("/dev/null").is_ok();
        assert!(pool.submit(opening, ()).await.unwrap());
        assert!(pool.submit(echo::<Vec<u8>>, bytes(3 << 20)).await.unwrap() == bytes(3 << 20));
        goes_on(&pool).await;
    });
}

#[test]
fn opens_as_many_descriptors_as_it_can() {
    run(async {
        let pool = pool(1);
        let opening = |()| {
            let limit = libc::rlimit { rlim_cur: 200, rlim_max: 200 };
            // SAFETY: the limit is a valid one.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).map(std::mem::forget).count()
        };
        assert!(pool.submit(opening, ()).await.unwrap() > 100);
        let small: Vec<_> = (0..100).map(|n| pool.submit(double, n)).collect();
        assert!(join_all(small).await.into_iter().map(Result::unwrap).eq((0..100).map(|n| 2 * n)));
        // A large payload may need a descriptor, which it cannot have.
        assert_is!(
            pool.submit(echo::<Vec<u8>>, bytes(3 << 20)).await.map(|bytes| bytes.len()),
            Ok(3_145_728) | Err(_)
        );
    });
}

#[test]
fn forks_and_the_child_returns_as_well() {
    run(async {
        let (pool, journal) = (pool(1), Gate::new());
        let forking = |journal: Gate| {
            // SAFETY: what the child does is up to the library, and the worker has one thread that matters.
            let child = unsafe { libc::fork() };
            journal.note(u64::from(child == 0));
            if child == 0 { 99 } else { 1 }
        };
        for n in 1..=5 {
            assert_eq!(pool.submit(forking, journal).await.unwrap(), 1, "the child answers for nobody");
            journal.wait_notes(2 * n).await;
            goes_on(&pool).await;
        }
        let report = pool.shutdown(false).await;
        assert_eq!((report.completed, report.failed), (105, 0));
    });
}

#[test]
fn forks_and_the_child_stays() {
    run(async {
        let (pool, journal) = (pool(1), Gate::new());
        let forking = |journal: Gate| {
            // SAFETY: the child does nothing but wait.
            match unsafe { libc::fork() } {
                0 => loop {
                    // SAFETY: it waits for a signal.
                    unsafe { libc::pause() };
                },
                child => journal.note(child as u64),
            }
        };
        pool.submit(forking, journal).await.unwrap();
        let child = journal.notes()[0] as u32;
        goes_on(&pool).await;
        // It holds copies of all descriptors of its parent, which must not keep the loss of that from being seen.
        assert_eq!(loss_of(pool.submit(kill_itself, libc::SIGKILL)).await.exit, Exit::Signal(libc::SIGKILL));
        goes_on(&pool).await;
        pool.shutdown(true).await;
        soon_async("what a lost worker had started is dead", || is_dead(child)).await;
    });
}

#[test]
fn leaves_a_thread_behind() {
    run(async {
        let (pool, gate) = (pool(1), Gate::new());
        let leaving = |gate: Gate| {
            std::thread::spawn(move || {
                gate.pass_blocking();
                gate.note(u64::from(std::process::id()));
                panic!("a thread of nobody");
            });
            std::process::id()
        };
        let pid = pool.submit(leaving, gate).await.unwrap();
        goes_on(&pool).await;
        gate.wait_arrivals(1).await;
        gate.open();
        gate.wait_notes(1).await;
        assert_eq!(gate.notes(), [u64::from(pid)]);
        assert_eq!(pool.submit(crate::tasks::pid, ()).await.unwrap(), pid, "the worker lives on");
    });
}

#[test]
fn leaves_a_program_behind() {
    run(async {
        let pool = pool(1);
        let sleeper = pool.submit(|()| crate::tasks::start_sleeper(), ()).await.unwrap();
        goes_on(&pool).await;
        assert!(!is_dead(sleeper), "between tasks nobody is killed");
        pool.shutdown(true).await;
        soon_async("it goes with its worker", || is_dead(sleeper)).await;
    });
}

#[test]
fn sets_a_panic_hook() {
    run(async {
        let (pool, journal) = (pool(1), Gate::new());
        let setting = |journal: Gate| {
            std::panic::set_hook(Box::new(move |_| journal.note(1)));
        };
        pool.submit(setting, journal).await.unwrap();
        let panicking = |n: u64| assert!(n == 0, "hooked {n}");
        for n in 1..=3 {
            assert_is!(
                pool.submit(panicking, n).await,
                Err(TaskError::Panicked(info)) if info.message == format!("hooked {n}")
            );
        }
        assert_eq!(journal.notes(), [1, 1, 1], "its own hook is called");
        goes_on(&pool).await;
    });
}

#[test]
fn panics_with_something_that_is_no_text() {
    run(async {
        let pool = pool(1);
        let before = pool.submit(pid, ()).await.unwrap();
        let panicking = |n: u64| -> u64 { std::panic::panic_any(n) };
        assert_is!(pool.submit(panicking, 7).await, Err(TaskError::Panicked(info)) if !info.message.is_empty());
        assert_eq!(pool.submit(pid, ()).await.unwrap(), before);
    });
}

#[test]
fn panics_while_it_panics() {
    struct Twice;

    impl Drop for Twice {
        fn drop(&mut self) {
            panic!("and again");
        }
    }

    run(async {
        let pool = pool(1);
        let panicking = |()| -> u64 {
            let _twice = Twice;
            panic!("once");
        };
        assert_eq!(loss_of(pool.submit(panicking, ())).await.exit, Exit::Signal(libc::SIGABRT));
        goes_on(&pool).await;
    });
}

#[test]
fn changes_the_world_around_it() {
    run(async {
        let pool = pool(1);
        let changing = |()| {
            std::env::set_current_dir("/").unwrap();
            // SAFETY: the worker has no other thread that reads the environment now.
            unsafe {
                for (name, _) in std::env::vars_os() {
                    std::env::remove_var(name);
                }
            }
        };
        pool.submit(changing, ()).await.unwrap();
        goes_on(&pool).await;
        assert!(pool.submit(kill_itself, libc::SIGKILL).await.is_err());
        let home = |()| (std::env::current_dir().unwrap(), std::env::var("PATH").is_ok());
        assert_eq!(pool.submit(home, ()).await.unwrap(), (std::env::current_dir().unwrap(), true));
    });
}

#[test]
fn reads_from_standard_input() {
    run(async {
        let reading =
            |()| std::io::read_to_string(std::io::stdin()).map(|text| text.len()).unwrap_or_default();
        let pool = pool(1);
        // There is nothing to read: neither what was typed at the parent nor, least of all, what belongs to the pool.
        assert_eq!(pool.submit_with(TaskOptions::new(), reading, ()).await.unwrap(), 0);
        goes_on(&pool).await;
    });
}

/// Many ways to go, by turns with tasks that stay.
#[test]
fn all_sorts_at_once() {
    fn sort((journal, n): Call) -> u64 {
        match n % 10 {
            3 => std::process::exit(0),
            5 => std::process::abort(),
            7 => panic!("the {n}th"),
            9 => kill_itself(libc::SIGKILL),
            _ => mark((journal, n)),
        }
    }

    async fn check(pool: &Executor, journal: Gate) {
        let tasks: Vec<_> = (0..100).map(|n| pool.submit(sort, (journal, n))).collect();
        for (n, result) in (0..).zip(join_all(tasks).await) {
            match (n % 10, result) {
                (3, Err(TaskError::WorkerLost(lost))) => assert_eq!(lost.exit, Exit::Code(0)),
                (5, Err(TaskError::WorkerLost(lost))) => assert_eq!(lost.exit, Exit::Signal(libc::SIGABRT)),
                (7, Err(TaskError::Panicked(info))) => assert_eq!(info.message, format!("the {n}th")),
                (9, Err(TaskError::WorkerLost(lost))) => assert_eq!(lost.exit, Exit::Signal(libc::SIGKILL)),
                (_, Ok(value)) => assert_eq!(value, n),
                (_, other) => panic!("{n}: {other:?}"),
            }
        }
        let expected: Vec<u64> = (0..100).filter(|n| ![3, 5, 7, 9].contains(&(n % 10))).collect();
        assert_eq!(journal.sorted_notes(), expected);
    }

    run(async {
        let pool = pool(4);
        check(&pool, Gate::new()).await;
        check(&pool, Gate::new()).await;
    });
}
