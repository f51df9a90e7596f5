//! The counts on the machine that runs the tests. What no machine can be asked to be (other cgroups, other
//! sockets) is tested on trees of files inside `src/cpu/`.

use std::thread;

/// The machine's CPUs as the standard library counts them, which knows mask and quota but rounds down: never
/// more than ours unless the environment caps ours.
fn available_parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn counts_stay_within_each_other() {
    let report = polypool::cpu::report();
    assert_eq!(polypool::cpu_count(), report.logical);
    assert_eq!(polypool::physical_cpu_count(), report.physical);
    assert!(report.physical >= 1 && report.physical <= report.logical, "{report}");
    if let Some(machine) = report.machine.cpus {
        assert!(report.logical <= machine, "{report}");
    }
    if report.environment.cpus.is_none() {
        assert!(report.logical >= available_parallelism(), "{report}");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::io::ErrorKind;
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    const CHILD: &str = "POLYPOOL_TEST_CPU_CHILD";
    const VARIABLE: &str = "POLYPOOL_MAX_CPU_COUNT";

    /// Counts events and forgets them. Asks for the CPUs while it handles one, as a subscriber with a pool
    /// would.
    #[derive(Default)]
    struct Events(AtomicUsize);

    static EVENTS: Events = Events(AtomicUsize::new(0));

    impl Subscriber for &'static Events {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("polypool")
        }
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            let _ = polypool::physical_cpu_count();
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// What [`child`] printed.
    #[derive(Debug, PartialEq)]
    struct Counts {
        logical: usize,
        physical: usize,
        environment: Option<usize>,
        warned_about_cores: bool,
        events: usize,
    }

    /// Not a test but what the tests below run in a process of its own; on its own it does nothing.
    #[test]
    fn child() {
        if env::var_os(CHILD).is_none() {
            return;
        }
        tracing::subscriber::set_global_default(&EVENTS).expect("a process of our own");
        let counts: Vec<_> =
            (0..3).map(|_| (polypool::cpu_count(), polypool::physical_cpu_count())).collect();
        assert!(counts.iter().all(|count| *count == counts[0]));
        let report = polypool::cpu::report();
        let (logical, physical) = counts[0];
        let environment = report.environment.cpus.unwrap_or(0);
        let events = EVENTS.0.load(Ordering::Relaxed);
        println!(
            "\ncounts: {logical} {physical} {environment} {} {events}",
            usize::from(report.cores.cpus.is_none())
        );
    }

    /// Runs [`child`] with `variable` set, after the words of `wrapper`; `None` when the wrapper is not
    /// installed.
    fn counts(wrapper: &[&str], variable: Option<&str>) -> Option<Counts> {
        let myself = env::current_exe().expect("the path of the test binary");
        let mut words = wrapper.iter().map(AsRef::as_ref).chain([myself.as_os_str()]);
        let mut command = Command::new(words.next()?);
        command.args(words).args(["--exact", "linux::child", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, "1").env_remove(VARIABLE).envs(variable.map(|value| (VARIABLE, value)));
        let output = match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            output => output.expect("the test binary starts"),
        };
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.lines().find_map(|line| line.strip_prefix("counts: "));
        let line = line.unwrap_or_else(|| panic!("no counts in {output:?}"));
        let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [logical, physical, environment, warned, events] = numbers[..] else {
            panic!("not five numbers: {line}")
        };
        let environment = (environment > 0).then_some(environment);
        Some(Counts { logical, physical, environment, warned_about_cores: warned == 1, events })
    }

    fn one_allowed_cpu() -> usize {
        let mask = sched_getaffinity(None).expect("a mask");
        (0..CpuSet::MAX_CPU).find(|&cpu| mask.is_set(cpu)).expect("a CPU to run on")
    }

    #[test]
    fn pinned_to_one_cpu_by_taskset() {
        let cpu = one_allowed_cpu().to_string();
        match counts(&["taskset", "-c", &cpu], None) {
            Some(counts) => assert_eq!((counts.logical, counts.physical), (1, 1)),
            None => eprintln!("taskset is not installed; a_thread_pinned_to_one_cpu covers the same ground"),
        }
    }

    #[test]
    fn a_thread_pinned_to_one_cpu() {
        let pinned = thread::spawn(|| {
            let mut mask = CpuSet::new();
            mask.set(one_allowed_cpu());
            sched_setaffinity(None, &mask).expect("a thread may narrow its mask");
            (polypool::cpu_count(), polypool::physical_cpu_count())
        });
        assert_eq!(pinned.join().expect("no panic"), (1, 1));
    }

    #[test]
    fn capped_by_the_variable() {
        let counts = counts(&[], Some("1")).expect("the test binary exists");
        assert_eq!((counts.logical, counts.physical, counts.environment), (1, 1, Some(1)));
    }

    #[test]
    fn a_nonsense_variable_counts_as_none_and_is_warned_about_once() {
        let plain = counts(&[], None).expect("the test binary exists");
        assert_eq!(plain.events, usize::from(plain.warned_about_cores));
        for value in ["abc", "0", "-1", ""] {
            let odd = counts(&[], Some(value)).expect("the test binary exists");
            assert_eq!(odd, Counts { events: plain.events + 1, ..plain }, "{value:?}");
        }
    }
}
