//! What scattered data costs: the time of a task that names some, beside one that takes a number, and the memory that a large slice
//! takes in all processes together. `benches/README.md` says how to read it.

#[cfg(target_os = "linux")]
fn main() {
    polypool::init();
    bench::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("there is no backend `processes` on this system");
}

#[cfg(target_os = "linux")]
mod bench {
    use std::{env, fs, hint::black_box, process, time::Instant};

    use futures::{executor::block_on, future::join_all};
    use polypool::{Executor, Processes, Scattered, SharedSlice, Transport};

    /// The size of the large slice, and who has it.
    const BYTES: usize = 100_000_000;
    const WORKERS: usize = 8;

    pub(crate) fn run() {
        let quick = env::args().any(|arg| arg == "--quick" || arg == "--test");
        block_on(async {
            let rounds = if quick { 5 } else { 301 };
            let calls = if quick { 20 } else { 1_000 };
            for transport in [Transport::SharedMemory, Transport::Socket] {
                compare_tasks(transport, rounds, calls).await;
            }
            memory().await;
        });
    }

    /// By turns, so that whatever else the machine does is in all of them.
    async fn compare_tasks(transport: Transport, rounds: usize, calls: u64) {
        let pool = Executor::builder()
            .backend(Processes::new().transport(transport))
            .max_workers(1)
            .build()
            .expect("a pool");
        let value = pool.scatter(vec![1_u64; 1_000]).await.expect("scattered");
        let slice = pool.scatter_slice(vec![1_u64; 1_000]).await.expect("scattered");
        for together in [false, true] {
            let mut times = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..rounds {
                let number = |n: u64| black_box(n);
                times[0].push(time(&pool, together, calls, number, |n| n).await);
                let by_value = |value: Scattered<Vec<u64>>| black_box(value[0]);
                times[1].push(time(&pool, together, calls, by_value, |_| value.clone()).await);
                let by_slice = |slice: SharedSlice<u64>| black_box(slice[0]);
                times[2].push(time(&pool, together, calls, by_slice, |_| slice.clone()).await);
            }
            let how = if together { "many at a time" } else { "one at a time" };
            // Of neighbours in time.
            let ratio = |to: usize| {
                median(times[to].iter().zip(&times[0]).map(|(mine, number)| mine / number).collect())
            };
            println!(
                "{transport:?}, {how}: a number {:.0} ns, a value {:.2} times that, a slice {:.2} times",
                median(times[0].clone()),
                ratio(1),
                ratio(2)
            );
        }
    }

    /// How long one task takes, in nanoseconds.
    async fn time<A: polypool::Portable>(
        pool: &Executor,
        together: bool,
        calls: u64,
        f: impl Fn(A) -> u64 + polypool::TaskFn,
        arg: impl Fn(u64) -> A,
    ) -> f64 {
        let start = Instant::now();
        if together {
            let tasks: Vec<_> = (0..calls).map(|n| pool.submit(f, arg(n))).collect();
            for result in join_all(tasks).await {
                result.expect("a result");
            }
        } else {
            for n in 0..calls {
                pool.submit(f, arg(n)).await.expect("a result");
            }
        }
        start.elapsed().as_nanos() as f64 / calls as f64
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    async fn memory() {
        let pool = Executor::processes(WORKERS).expect("a pool");
        let pids: Vec<u32> = pool
            .run_on_all(|()| process::id(), ())
            .await
            .into_iter()
            .map(|pid| pid.expect("a pid"))
            .collect();
        let before = all(&pids);
        let values = vec![1_u8; BYTES];
        let with_values = all(&pids);
        let start = Instant::now();
        let slice = pool.scatter_slice(values).await.expect("scattered");
        let scattered = start.elapsed();
        let touch = |slice: SharedSlice<u8>| {
            let start = Instant::now();
            let sum = slice.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>();
            (sum, start.elapsed())
        };
        let start = Instant::now();
        let touched = pool.run_on_all(touch, slice.clone()).await;
        let first = start.elapsed();
        assert!(
            touched.iter().all(|sum| sum.as_ref().is_ok_and(|(sum, _)| *sum == BYTES.div_ceil(4096) as u64))
        );
        let after = all(&pids);
        let share = |kib: u64| kib as f64 * 1024.0 / BYTES as f64;
        println!(
            "{} MB to {WORKERS} workers: scattered in {scattered:?}, read by all of them in {first:?}",
            BYTES / 1_000_000
        );
        drop(slice);
        let has_it =
            |()| fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("polypool-scattered"));
        let is_there =
            async || pool.run_on_all(has_it, ()).await.into_iter().any(|has_it| has_it.unwrap_or(false));
        while is_there().await {}
        println!(
            "memory of all processes, shared pages counted once, in times of that: {:.3} as a vector, {:.3} when all have read it, \
             {:.3} when it was dropped",
            share(with_values - before),
            share(after.saturating_sub(before)),
            share(all(&pids).saturating_sub(before)),
        );
    }

    /// The proportional share of memory of this process and its workers, in KiB.
    fn all(pids: &[u32]) -> u64 {
        pids.iter().copied().chain([process::id()]).map(pss).sum()
    }

    fn pss(pid: u32) -> u64 {
        number(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
    }

    fn number(path: &str, name: &str) -> u64 {
        let text = fs::read_to_string(path).expect("of a process that is there");
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line of that name");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }
}
