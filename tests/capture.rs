//! What tasks in worker processes write, captured: by each way of writing, however they end, and never another's. And what a
//! worker that a fault ends has to say. What is common to all that capture is in `tests/processes/capture.rs`.

#![cfg(all(feature = "processes", target_os = "linux"))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and its tasks do what tasks should not"
)]

use std::{
    fmt,
    io::{Read as _, Seek as _, Write as _},
    process::Command,
    sync::{Mutex, Once},
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use polypool::{
    CancellationPolicy, Executor, Exit, Processes, StartMethod, TaskError, TaskOptions, TaskReport,
    WorkerLost,
};

polypool::worker_main!();

fn capturing() -> TaskOptions {
    TaskOptions::new().capture_output(true)
}

fn pool(workers: usize) -> Executor {
    Executor::processes(workers).unwrap()
}

fn lost<R: fmt::Debug>(report: &TaskReport<R>) -> &WorkerLost {
    match &report.result {
        Err(TaskError::WorkerLost(lost)) => lost,
        other => panic!("{other:?} is no loss"),
    }
}

// ---- ways to write

#[test]
fn every_way_to_write() {
    let writing = |name: String| {
        print!("{name} print ");
        eprint!("{name} eprint ");
        let text = std::ffi::CString::new(format!("{name} printf ")).unwrap();
        // SAFETY: both are strings with a NUL at their ends.
        unsafe { libc::printf(c"%s".as_ptr(), text.as_ptr()) };
        Command::new("echo").arg(format!("{name} echo")).status().unwrap();
        Command::new("sh").args(["-c", &format!("echo {name} anew >> /dev/stderr")]).status().unwrap();
        std::io::stdout().write_all(b"\xff\0\xfe").unwrap();
        std::thread::spawn(|| println!("thread")).join().unwrap();
    };
    let pool = pool(1);
    for name in ["one", "two", "three"] {
        let report = block_on(pool.submit_with(capturing(), writing, name.to_owned()).report());
        report.result.as_ref().unwrap();
        // `print` and `printf` are buffered, so what is between them comes first; all of it is there.
        for part in ["print ", "printf ", "echo\n"] {
            assert_eq!(report.stdout.matches(&format!("{name} {part}")).count(), 1, "{:?}", report.stdout);
        }
        assert!(report.stdout.contains("\u{fffd}\0\u{fffd}thread\n"), "{:?}", report.stdout);
        let length = "one print one printf one echo\n\u{fffd}\0\u{fffd}thread\n".len() + 3 * (name.len() - 3);
        assert_eq!(report.stdout.len(), length, "{:?}", report.stdout);
        assert_eq!(report.stderr, format!("{name} eprint {name} anew\n"));
        assert!(report.logs.is_empty());
    }
}

#[test]
fn never_mixed() {
    let writing = |n: u64| {
        for line in 0..3 {
            print!("{n}.{line};");
            eprint!("{n}.{line};");
            log::info!("{n}.{line}");
        }
        // SAFETY: a string with a NUL at its end.
        unsafe { libc::printf(c"c".as_ptr()) };
        n
    };
    let pool = pool(4);
    let tasks: Vec<_> = (0..800)
        .map(|n| {
            let options = TaskOptions::new().capture_output(n % 4 != 3);
            pool.submit_with(options, writing, n).report()
        })
        .collect();
    for (n, report) in block_on(join_all(tasks)).into_iter().enumerate() {
        assert_eq!(report.result.unwrap(), n as u64);
        if n % 4 == 3 {
            assert_eq!((report.stdout.as_str(), report.stderr.as_str(), report.logs.len()), ("", "", 0));
            continue;
        }
        let text = format!("{n}.0;{n}.1;{n}.2;");
        assert_eq!((report.stdout, report.stderr), (format!("{text}c"), text));
        assert_eq!(report.logs, [0, 1, 2].map(|line| format!("INFO capture: {n}.{line}")));
    }
}

#[test]
fn what_was_buffered_before_is_not_the_next_one_s() {
    let pool = pool(1);
    let leaving = |()| {
        print!("(a rest in tests/capture.rs) ");
        // SAFETY: a string with a NUL at its end.
        unsafe { libc::printf(c"(and one of C) ".as_ptr()) };
    };
    block_on(pool.submit(leaving, ())).unwrap();
    let report = block_on(pool.submit_with(capturing(), |()| print!("own"), ()).report());
    assert_eq!(report.stdout, "own");
}

#[test]
fn who_outlives_the_task_writes_to_nobody() {
    let pool = pool(1);
    let starting = |()| {
        let script = "echo at once; read go </dev/stdin; while :; do echo late; sleep 0.01; done";
        let (mine, its) = std::io::pipe().unwrap();
        #[expect(clippy::zombie_processes, reason = "it outlives the task, and goes with the worker")]
        let child = Command::new("sh").args(["-c", script]).stdin(mine).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        drop(its);
        child.id()
    };
    let report = block_on(pool.submit_with(capturing(), starting, ()).report());
    assert!(report.stdout.starts_with("at once\n"), "{}", report.stdout);
    let waiting = |()| std::thread::sleep(Duration::from_millis(100));
    let report = block_on(pool.submit_with(capturing(), waiting, ()).report());
    assert_eq!(report.stdout, "");
}

#[test]
fn a_task_that_closes_its_output() {
    let pool = pool(1);
    let closing = |()| {
        println!("before");
        // SAFETY: nobody else counts on them.
        unsafe { libc::close(1) };
        // SAFETY: as above.
        unsafe { libc::close(2) };
    };
    for _ in 0..3 {
        let report = block_on(pool.submit_with(capturing(), closing, ()).report());
        report.result.unwrap();
        assert_eq!(report.stdout, "before\n");
        let report = block_on(pool.submit_with(capturing(), |()| println!("as ever"), ()).report());
        assert_eq!(report.stdout, "as ever\n");
    }
}

#[test]
fn descriptors_do_not_pile_up() {
    let pool = pool(1);
    let count = |()| std::fs::read_dir("/proc/self/fd").unwrap().count();
    let first = block_on(pool.submit_with(capturing(), count, ())).unwrap();
    for _ in 0..50 {
        block_on(pool.submit_with(capturing(), |()| println!("x"), ())).unwrap();
    }
    assert_eq!(block_on(pool.submit_with(capturing(), count, ())).unwrap(), first);
}

#[test]
fn captured_by_workers_that_are_forked() {
    let backend = Processes::new().start_method(StartMethod::ForkServer);
    let pool = Executor::builder().backend(backend).max_workers(2).build().unwrap();
    let writing = |n: u64| {
        println!("{n}");
        tracing::warn!(n, "said");
    };
    let tasks: Vec<_> = (0..20).map(|n| pool.submit_with(capturing(), writing, n).report()).collect();
    for (n, report) in block_on(join_all(tasks)).into_iter().enumerate() {
        assert_eq!(report.stdout, format!("{n}\n"));
        assert_eq!(report.logs, [format!("WARN capture: said n={n}")]);
    }
}

// ---- ways to end

#[test]
fn of_a_task_that_panics() {
    let panicking = |()| -> () {
        print!("so far");
        log::error!("soon");
        panic!("no further")
    };
    let pool = pool(1);
    let report = block_on(pool.submit_with(capturing(), panicking, ()).report());
    assert!(report.result.unwrap_err().is_panicked());
    assert_eq!((report.stdout.as_str(), report.logs), ("so far", vec!["ERROR capture: soon".to_owned()]));
    assert!(report.stderr.contains("no further"), "{}", report.stderr);
}

#[test]
fn of_a_task_that_is_cancelled() {
    let pool = pool(1);
    let mut flag = tempfile::NamedTempFile::new().unwrap();
    let endless = |path: std::path::PathBuf| {
        println!("so far");
        tracing::info!("begun");
        std::fs::write(path, "go").unwrap();
        loop {
            std::thread::park();
        }
    };
    let task = pool.submit_with(capturing(), endless, flag.path().to_owned());
    let abort = task.abort_handle();
    let since = Instant::now();
    let mut text = String::new();
    while text.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "it never begins");
        std::thread::sleep(Duration::from_millis(1));
        flag.rewind().unwrap();
        flag.read_to_string(&mut text).unwrap();
    }
    abort.abort();
    let report: TaskReport<()> = block_on(task.report());
    assert!(report.result.unwrap_err().is_cancelled());
    assert_eq!((report.stdout.as_str(), report.logs), ("so far\n", vec!["INFO capture: begun".to_owned()]));
    assert!(block_on(pool.shutdown(CancellationPolicy::ALL)).cancelled >= 1);
}

// ---- faults

fn crash(how: u32) {
    #[inline(never)]
    fn deeper(n: u64) -> u64 {
        let room = std::hint::black_box([n; 64]);
        if n == u64::MAX { 0 } else { deeper(n + 1) + room[3] }
    }
    print!("last words");
    std::io::stdout().flush().unwrap();
    tracing::error!(how, "it ends");
    match how {
        0 => std::process::abort(),
        // SAFETY: none, which is the point.
        1 => unsafe {
            std::ptr::with_exposed_provenance_mut::<u8>(std::hint::black_box(0x30)).write_volatile(1)
        },
        2 => drop(std::hint::black_box(deeper(0))),
        _ => killed(),
    }
}

/// Ends this process in a way that it hears nothing of.
fn killed() {
    // SAFETY: no demands.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

#[test]
fn of_a_task_that_crashes() {
    let pool = pool(1);
    for (how, signal, says) in [
        (0, 6, "signal 6 (SIGABRT)\n"),
        (1, 11, "signal 11 (SIGSEGV) at address 0x30\n"),
        (2, 11, "stack overflow, signal 11 (SIGSEGV)\n"),
    ] {
        let report = block_on(pool.submit_with(capturing(), crash, how).report());
        assert_eq!(lost(&report).exit, Exit::Signal(signal));
        assert_eq!(report.stdout, "last words");
        assert_eq!(report.logs, [format!("ERROR capture: it ends how={how}")]);
        assert!(report.stderr.starts_with("polypool: worker process "), "{}", report.stderr);
        assert!(report.stderr.contains(says), "{}", report.stderr);
        // The function that did it, unless the unwinder or the symbols are missing.
        if cfg!(target_env = "gnu") {
            assert!(report.stderr.contains("capture::crash"), "{}", report.stderr);
        }
        assert_eq!(lost(&report).report.as_deref(), Some(report.stderr.as_str()));
    }
}

#[test]
fn a_fault_is_reported_without_capture() {
    let pool = pool(1);
    let report = block_on(pool.submit(crash, 0).report());
    assert!(lost(&report).report.as_ref().unwrap().contains("SIGABRT"), "{report:?}");
    assert_eq!(report.stderr, "");
    let report = block_on(pool.submit(crash, 9).report());
    assert_eq!((lost(&report).exit, &lost(&report).report), (Exit::Signal(9), &None));
}

#[test]
fn of_a_thread_of_the_task_that_crashes() {
    let pool = pool(1);
    let crashing =
        |()| std::thread::Builder::new().name("inner".into()).spawn(|| crash(1)).unwrap().join().is_ok();
    let report = block_on(pool.submit_with(capturing(), crashing, ()).report());
    assert!(lost(&report).report.as_ref().unwrap().contains("thread \"inner\": signal 11"), "{report:?}");
}

// ---- records

/// What this program heard of its tasks, as (of `log`, level, target, message).
static HEARD: Mutex<Vec<(bool, String, String, String)>> = Mutex::new(Vec::new());

struct Ears;

impl log::Log for Ears {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let heard = (true, record.level().to_string(), record.target().to_owned(), record.args().to_string());
        HEARD.lock().unwrap().push(heard);
    }

    fn flush(&self) {}
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Ears {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        let heard = (false, metadata.level().to_string(), metadata.target().to_owned(), text.0);
        HEARD.lock().unwrap().push(heard);
    }
}

/// In this process only: a worker that is started anew has its own.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        use tracing_subscriber::layer::SubscriberExt as _;
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Ears)).unwrap();
        log::set_logger(&Ears).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

#[test]
fn records_are_told_again() {
    listen();
    let logging = |()| {
        tracing::error!(target: "told_again", "one");
        log::warn!(target: "told_again", "two");
        tracing::info!(target: "told_again", n = 3, "three");
        log::debug!(target: "told_again", "four");
        std::thread::spawn(|| tracing::trace!(target: "told_again", "five")).join().unwrap();
    };
    let pool = pool(1);
    let report = block_on(pool.submit_with(capturing(), logging, ()).report());
    let lines = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
    let words = ["one", "two", "three n=3", "four", "five"];
    let expected: Vec<_> = lines.iter().zip(words).map(|(l, w)| format!("{l} told_again: {w}")).collect();
    assert_eq!(report.logs, expected);
    let heard: Vec<_> =
        HEARD.lock().unwrap().iter().filter(|(_, _, target, _)| target == "told_again").cloned().collect();
    let expected: Vec<_> = lines
        .iter()
        .zip(words)
        .enumerate()
        .map(|(n, (l, w))| (n % 2 == 1, (*l).to_owned(), "told_again".to_owned(), w.to_owned()))
        .collect();
    assert_eq!(heard, expected);
    // Not captured, not told.
    block_on(pool.submit(logging, ())).unwrap();
    assert_eq!(HEARD.lock().unwrap().iter().filter(|(_, _, target, _)| target == "told_again").count(), 5);
}

#[test]
fn records_are_told_while_the_task_goes_on() {
    listen();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let waiting = |path: std::path::PathBuf| {
        tracing::info!(target: "told_at_once", "begun");
        while std::fs::read(&path).unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let pool = pool(1);
    let task = pool.submit_with(capturing(), waiting, file.path().to_owned());
    let since = Instant::now();
    while !HEARD.lock().unwrap().iter().any(|(_, _, target, _)| target == "told_at_once") {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing is heard");
        std::thread::sleep(Duration::from_millis(1));
    }
    file.write_all(b"go").unwrap();
    assert_eq!(block_on(task.report()).logs, ["INFO told_at_once: begun"]);
}

#[test]
fn own_listeners_of_the_worker_are_left_alone() {
    let own = |()| {
        struct ToError;
        impl log::Log for ToError {
            fn enabled(&self, _: &log::Metadata<'_>) -> bool {
                true
            }
            fn log(&self, record: &log::Record<'_>) {
                eprintln!("own {}", record.args());
            }
            fn flush(&self) {}
        }
        log::set_logger(&ToError).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    };
    let pool = Executor::builder().backend("processes").max_workers(1).initializer(own, ()).build().unwrap();
    let logging = |()| {
        log::info!("by log");
        log::debug!("not wanted");
        tracing::info!("by tracing");
    };
    for _ in 0..2 {
        let report = block_on(pool.submit_with(capturing(), logging, ()).report());
        assert_eq!(
            (report.stderr.as_str(), report.logs),
            ("own by log\n", vec!["INFO capture: by tracing".into()])
        );
    }
}
