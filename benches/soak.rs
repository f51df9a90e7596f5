//! Runs a mixed load for a long time, and fails when anything grows: memory, descriptors, threads, children. `benches/README.md`
//! says what is compared with what.
//!
//! `cargo bench --bench soak -- --seconds 60`; `--seed` repeats a choice of loads, of which the timing is the machine's own.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a bench has no outside, and may fail")]

#[cfg(target_os = "linux")]
#[path = "soak/load.rs"]
mod load;
#[cfg(target_os = "linux")]
#[path = "soak/measure.rs"]
mod measure;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    {
        polypool::init();
        on_linux::soak()
    }
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("what grows is read from /proc, which is not there");
        std::process::ExitCode::SUCCESS
    }
}

#[cfg(target_os = "linux")]
mod on_linux {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, ExitCode},
        time::{Duration, Instant},
    };

    use super::{
        load::{Dice, Load, Tally},
        measure::{Sample, Samples},
    };

    /// How long the descriptors, threads and children of pools that are gone may stay.
    const SOON: Duration = Duration::from_secs(20);

    /// How glibc's allocator is told how many arenas it may have.
    const ARENAS: &str = "MALLOC_ARENA_MAX";

    pub(super) fn soak() -> ExitCode {
        // It makes an arena for each of some threads, up to eight for a CPU, and each keeps what it once needed: with threads that come
        // and go, that looks like a leak for half an hour. With one arena, a leak of a megabyte shows.
        if std::env::var_os(ARENAS).is_none() {
            let this = std::env::current_exe().unwrap();
            panic!("{}", Command::new(this).args(std::env::args_os().skip(1)).env(ARENAS, "1").exec());
        }
        let seconds = option("--seconds").unwrap_or(60);
        let seed = option("--seed").unwrap_or_else(|| u64::from(std::process::id()));
        println!("{seconds} s with the seed {seed}");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let is_flat = runtime.block_on(run(Duration::from_secs(seconds), seed));
        if is_flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn option(name: &str) -> Option<u64> {
        let mut args = std::env::args().skip_while(|arg| arg != name);
        args.nth(1).map(|value| value.parse().expect("a number"))
    }

    async fn run(time: Duration, seed: u64) -> bool {
        // What the first pools of a program leave behind for good (the runtime's threads, a thread that watches others) is there before
        // it is counted.
        let mut tally = Tally::default();
        let mut dice = Dice::new(seed);
        for kind in 0..Load::KINDS {
            Load::new().round(kind, &mut dice, &mut tally).await;
        }
        let before = settled(|_| true).await;

        let (start, load) = (Instant::now(), Load::new());
        let mut samples = Samples::default();
        let mut told = 0;
        tally = Tally::default();
        while start.elapsed() < time {
            // Each kind of load comes equally often, in an order that changes.
            let mut kinds: Vec<usize> = (0..Load::KINDS).collect();
            while !kinds.is_empty() {
                let kind = kinds.swap_remove(dice.below(kinds.len() as u64) as usize);
                load.round(kind, &mut dice, &mut tally).await;
            }
            samples.add(Sample::take());
            let tenths = 10 * start.elapsed().as_millis() / time.as_millis();
            if tenths > told {
                told = tenths;
                println!("{:>5} s: {tally}; {}", start.elapsed().as_secs(), samples.last());
            }
        }
        drop(load);
        polypool_gone().await;
        let after = settled(|now| now.is_no_more_than(&before)).await;

        println!("{tally}");
        print!("{samples}");
        println!("before: {before}");
        println!("after:  {after}");
        let is_back = after.is_no_more_than(&before);
        if !is_back {
            println!("what the pools had is not given back");
        }
        samples.is_flat() && is_back
    }

    /// The pool for the whole program goes as well.
    async fn polypool_gone() {
        let options = polypool::ReusableOptions::new().backend("processes");
        polypool::reusable(options).unwrap().shutdown(true).await;
    }

    /// What there is when nothing is under way any more: ends of processes are told a moment later.
    async fn settled(is_enough: impl Fn(&Sample) -> bool) -> Sample {
        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(500)).await;
        loop {
            let now = Sample::take();
            if is_enough(&now) || start.elapsed() > SOON {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
