//! Whole programs: this test binary, started once more, plays one scene and says what it sees. For what must not happen in the
//! process that runs the other tests: ends of the program, limits, and counts of all that it holds.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::join_all;
use polypool::{CancellationPolicy, Executor, Processes, StartMethod, TaskOptions, Transport, worker};

use crate::gate::Gate;
use crate::ground::{SHORT, builder, goes_on, pids, pool, pool_of, run};
use crate::proc::{children_of, descriptors, listing, soon, threads};
use crate::tasks::{
    abort, bytes, double, echo, hold, hold_async, hold_with_a_child, spin_for_ever, start_sleeper,
};

const NAME: &str = "POLYPOOL_TEST_SCENE";

/// Begins what a scene says, so that it is told from what the test harness says.
const MARK: &str = "@ ";

/// A scene that is being played. Dropping it ends it.
pub struct Play {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// Starts this program once more, to play a scene.
pub fn play(scene: &str) -> Play {
    let mut child = Command::new("/proc/self/exe")
        .args(["scenes::stage", "--exact", "--nocapture", "--test-threads=1"])
        .env(NAME, scene)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    Play { child, out }
}

impl Play {
    /// The scene's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that the scene says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.out.read_line(&mut line).expect("a pipe can be read") > 0, "the scene has ended");
            if let Some(said) = line.trim_end().strip_prefix(MARK) {
                return said.to_owned();
            }
        }
    }

    /// The next things that the scene says, which are numbers of processes.
    pub fn pids(&mut self) -> Vec<u32> {
        self.line().split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// What it prints from now on.
    pub fn out(&mut self) -> &mut impl std::io::Read {
        &mut self.out
    }

    /// Ends the scene's process as nothing else would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it was ours");
    }

    /// Waits until the scene ends by itself, and gives its code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("it was ours").code()
    }

    /// Everything that was printed, by anyone, until nobody is left who could print.
    pub fn output(mut self) -> String {
        let mut bytes = Vec::new();
        self.out.read_to_end(&mut bytes).expect("a pipe can be read");
        assert_eq!(self.wait(), Some(0), "{}", String::from_utf8_lossy(&bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for the end of the scene, which must be a good one.
    pub fn ends_well(self) {
        let output = self.output();
        assert!(output.contains("@ well"), "{output}");
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: impl std::fmt::Display) {
    // One write, past the harness, which has not ended its own line.
    let line = format!("\n{MARK}{what}\n");
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}

fn say_pids(pids: impl IntoIterator<Item = u64>) {
    say(pids.into_iter().map(|pid| pid.to_string()).collect::<Vec<_>>().join(" "));
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Not a test: where a scene is played, when this program was started for that.
#[test]
fn stage() {
    match std::env::var(NAME).as_deref() {
        Err(_) => {}
        Ok("idle_and_busy") => idle_and_busy(),
        Ok("ends_with_a_pool_in_a_static") => pool_in_a_static(false),
        Ok("exits_with_a_pool_in_a_static") => pool_in_a_static(true),
        Ok("starts_and_starts") => starts_and_starts(),
        Ok("no_more_descriptors") => no_more_descriptors(),
        Ok("prints") => prints(),
        Ok("binary") => binary(),
        Ok(name) => match name.strip_prefix("leaves_nothing_after_") {
            Some(use_of_it) => leaves_nothing(use_of_it),
            None => panic!("no scene {name}"),
        },
    }
}

/// Blocks what it can and goes on for ever.
fn hold_deaf(gate: Gate) {
    // SAFETY: to ignore a signal is always allowed.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    spin_for_ever(gate);
}

/// Two idle workers; one that is busy and has a child; one that is busy and deaf; one that waits for a future.
fn idle_and_busy() {
    run(async {
        let pool = pool(5);
        let all = pids(&pool).await;
        let gate = Gate::new();
        let _busy = pool.submit(hold_with_a_child, gate);
        gate.wait_notes(2).await;
        let _deaf = pool.submit(hold_deaf, gate);
        gate.wait_notes(3).await;
        let _waiting = pool.submit_async(hold_async, gate);
        gate.wait_notes(4).await;
        let sleeper = gate.notes()[0];
        say_pids(all.into_iter().map(u64::from).chain([sleeper]));
        wait_for_ever()
    });
}

fn pool_in_a_static(exits: bool) {
    static POOL: OnceLock<Executor> = OnceLock::new();

    run(async {
        let pool = POOL.get_or_init(|| pool(3));
        let all = pids(pool).await;
        let gate = Gate::new();
        drop(pool.submit(hold_with_a_child, gate));
        gate.wait_notes(2).await;
        drop(pool.submit(spin_for_ever, gate));
        gate.wait_notes(3).await;
        say_pids(all.into_iter().map(u64::from).chain([gate.notes()[0]]));
        if exits {
            std::process::exit(0);
        }
    });
}

/// Is always about to start workers, so that it can be killed in the midst of that.
fn starts_and_starts() {
    run(async {
        let pool = pool_of(Processes::new().max_tasks_per_worker(1), 4);
        for n in 0.. {
            let tasks: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
            join_all(tasks).await;
            if n == 1 {
                say("off");
            }
        }
    });
}

fn no_more_descriptors() {
    run(async {
        let (pool, other) = (pool(4), pool(1));
        assert_eq!(other.submit(double, 21).await.unwrap(), 42);
        let open = descriptors().len() as u64;
        let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let before = limits.current;
        limits.current = Some(open + 1);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
        // They fail with the reason, and promptly; or the pool works with what it can have.
        let tasks: Vec<_> = (0..20).map(|n| pool.submit(double, n)).collect();
        for (n, result) in (0..).zip(join_all(tasks).await) {
            match result {
                Ok(value) => assert_eq!(value, 2 * n),
                Err(polypool::TaskError::Broken(text)) => assert!(!text.is_empty()),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(other.submit(double, 21).await.unwrap(), 42, "who has his workers goes on");
        limits.current = before;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
        goes_on(&other).await;
        say("well");
    });
}

fn prints() {
    run(async {
        let printing = |()| {
            println!("passes through by println");
            let line = "passes through by write\n";
            // SAFETY: the buffer is as long as it says.
            unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
        };
        pool(1).submit(printing, ()).await.unwrap();
    });
}

/// A task that writes whatever to the standard descriptors: nothing of that may reach the pool.
fn binary() {
    run(async {
        let writing = |size: usize| {
            let bytes = bytes(size);
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            out.write_all(&bytes).and_then(|()| out.flush()).unwrap();
            err.write_all(b"\0\xff").and_then(|()| err.flush()).unwrap();
            size
        };
        let pool = pool(2);
        let tasks: Vec<_> = (0..20).map(|n| pool.submit(writing, 100_000 + n)).collect();
        for (n, result) in join_all(tasks).await.into_iter().enumerate() {
            assert_eq!(result.unwrap(), 100_000 + n);
        }
        goes_on(&pool).await;
        say("well");
    });
}

/// What a program holds.
#[derive(Debug)]
struct Holdings {
    descriptors: Vec<String>,
    threads: Vec<String>,
    children: BTreeSet<u32>,
    shared: BTreeSet<String>,
    temporary: BTreeSet<String>,
}

impl Holdings {
    fn count(folder: &str) -> Holdings {
        // Sockets and pipes have numbers, which differ.
        let kind = |link: String| link.split(':').next().unwrap_or_default().to_owned();
        Holdings {
            descriptors: descriptors().into_iter().map(kind).collect(),
            threads: threads(),
            children: children_of(std::process::id()),
            shared: listing("/dev/shm").into_iter().filter(|name| name.contains("polypool")).collect(),
            temporary: listing(folder),
        }
    }

    /// There is nothing that was not there `before`. Less may be: a thread that had been idle, and has gone meanwhile.
    fn is_nothing_new(&self, before: &Holdings) -> bool {
        fn within(some: &[String], all: &[String]) -> bool {
            let count = |list: &[String], item| list.iter().filter(|&other| other == item).count();
            some.iter().all(|item| count(some, item) <= count(all, item))
        }
        within(&self.descriptors, &before.descriptors)
            // Not by name: a thread that was just started has that of its parent.
            && self.threads.len() <= before.threads.len()
            && self.children.is_empty()
            && self.shared.is_empty()
            && self.temporary.is_empty()
    }
}

/// Uses pools in the given way, once to warm up whatever a program has once, and then again: that must leave nothing.
fn leaves_nothing(use_of_it: &str) {
    let folder = tempfile::tempdir().unwrap();
    // SAFETY: this program has no other thread yet that cares.
    unsafe { std::env::set_var("TMPDIR", folder.path()) };
    let folder = folder.path().to_str().unwrap();
    run(async {
        use_pools(use_of_it, 1).await;
        let before = Holdings::count(folder);
        use_pools(use_of_it, 3).await;
        for _ in 0..1_000 {
            if Holdings::count(folder).is_nothing_new(&before) {
                return say("well");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("after: {:?}\nbefore: {before:?}", Holdings::count(folder));
    });
}

async fn use_pools(how: &str, times: usize) {
    for _ in 0..times {
        match how {
            "shutdown" => {
                let pool = pool(3);
                use_up(&pool).await;
                pool.shutdown(false).await;
                assert_eq!(
                    children_of(std::process::id()),
                    BTreeSet::new(),
                    "shutdown waits for all workers"
                );
            }
            "drop" => {
                let pool = pool(3);
                use_up(&pool).await;
            }
            "drop_while_busy" => {
                let pool = builder(Processes::new(), 2).on_drop(CancellationPolicy::ALL).build().unwrap();
                let gate = Gate::new();
                drop([pool.submit(hold_with_a_child, gate), pool.submit(hold_with_a_child, gate)]);
                gate.wait_notes(4).await;
            }
            "losses" => {
                let pool = pool(2);
                for n in 0..10 {
                    assert!(pool.submit(abort, ()).await.is_err());
                    assert_eq!(pool.submit(double, n).await.unwrap(), 2 * n);
                }
                pool.shutdown(false).await;
            }
            "cancels" => {
                let (pool, gate) = (pool(2), Gate::new());
                for n in 1..=10 {
                    let task = pool.submit(hold, gate);
                    gate.wait_arrivals(n).await;
                    assert_eq!(task.cancel().await, None);
                }
                gate.remove();
                pool.shutdown(false).await;
            }
            "timeouts" => {
                let (pool, gate) = (pool(2), Gate::new());
                for _ in 0..10 {
                    let options = TaskOptions::new().timeout(SHORT);
                    assert!(pool.submit_with(options, hold, gate).await.is_err());
                }
                gate.remove();
                pool.shutdown(false).await;
            }
            "idling" => {
                let pool = pool_of(Processes::new().idle_timeout(SHORT), 3);
                let pids = pids(&pool).await;
                soon("the idle ones go", || pids.iter().all(|&pid| crate::proc::is_gone(pid)));
            }
            "recycling" => {
                let pool = pool_of(Processes::new().max_tasks_per_worker(2), 2);
                goes_on(&pool).await;
                pool.shutdown(false).await;
            }
            "huge" => {
                let pool = pool(2);
                let tasks: Vec<_> =
                    (0..6).map(|n| pool.submit(echo::<Vec<u8>>, bytes((8 << 20) + n))).collect();
                assert!(join_all(tasks).await.iter().all(Result::is_ok));
                pool.shutdown(false).await;
            }
            "refusals" => {
                let pool = pool_of(Processes::new().current_dir("/no/such/folder"), 2);
                assert!(pool.submit(double, 1).await.is_err());
                pool.shutdown(false).await;
            }
            "programs" => {
                let pool = pool(1);
                pool.submit(|()| start_sleeper(), ()).await.unwrap();
                pool.shutdown(true).await;
            }
            "fork_server" => {
                let pool = pool_of(Processes::new().start_method(StartMethod::ForkServer), 3);
                use_up(&pool).await;
                pool.shutdown(false).await;
            }
            "fork_server_that_is_killed" => {
                let pool = pool_of(Processes::new().start_method(StartMethod::ForkServer), 2);
                goes_on(&pool).await;
                for server in children_of(std::process::id()) {
                    crate::proc::kill(server, rustix::process::Signal::KILL);
                }
                // Workers may go with their server: a task that had begun may be lost, and then another works.
                let tasks: Vec<_> = (0..50).map(|n| pool.submit(double, n)).collect();
                for (n, result) in (0..).zip(join_all(tasks).await) {
                    match result {
                        Ok(value) => assert_eq!(value, 2 * n),
                        Err(error) => assert!(error.is_worker_lost(), "{error}"),
                    }
                }
                goes_on(&pool).await;
                pool.shutdown(false).await;
            }
            "socket" => {
                let pool = pool_of(Processes::new().transport(Transport::Socket), 3);
                use_up(&pool).await;
                pool.shutdown(false).await;
            }
            "fork" => {
                let pool = pool_of(Processes::new().start_method(StartMethod::Fork), 2);
                use_up(&pool).await;
                pool.shutdown(false).await;
            }
            "capture" => {
                let pool = pool(2);
                let options = TaskOptions::new().capture_output(true);
                let printing = |n: u64| println!("{n}");
                for n in 0..10 {
                    let report = pool.submit_with(options.clone(), printing, n).report().await;
                    assert_eq!(report.stdout, format!("{n}\n"));
                }
                pool.shutdown(false).await;
            }
            "nesting" => {
                let pool = pool(2);
                let inner = |n: u64| worker::executor().unwrap().submit(double, n).blocking_join().unwrap();
                for n in 0..10 {
                    assert_eq!(pool.submit(inner, n).await.unwrap(), 2 * n);
                }
                pool.shutdown(false).await;
            }
            "nothing" => drop(pool(3)),
            _ => panic!("no use {how}"),
        }
    }
}

async fn use_up(pool: &Executor) {
    goes_on(pool).await;
    assert!(pool.submit(echo::<Vec<u8>>, bytes(2 << 20)).await.is_ok());
    assert!(pool.submit_async(async |()| worker::is_worker(), ()).await.unwrap());
    assert!(pool.submit(abort, ()).await.is_err());
    goes_on(pool).await;
}

/// A test for each use that must leave nothing.
macro_rules! leaves_nothing_after {
    ($($how:ident)*) => { $(
        mod $how {
            #[test]
            fn leaves_nothing() {
                super::play(concat!("leaves_nothing_after_", stringify!($how))).ends_well();
            }
        }
    )* };
}

leaves_nothing_after! {
    shutdown drop drop_while_busy losses cancels timeouts idling recycling huge refusals programs nothing
    fork_server fork_server_that_is_killed socket fork capture nesting
}

#[test]
fn binary_output() {
    play("binary").ends_well();
}
