//! What tasks cost in slots of Ray, beside Ray's own driver at the same cluster of two CPUs: the rate of empty tasks by `map` and
//! by `submit`, the time of one call, and 100 MB for every worker. POLYPOOL_PYTHON names an interpreter that has `ray`.
//! `benches/README.md` says how to read it.

#[cfg(target_os = "linux")]
#[path = "../tests/ray/cluster.rs"]
#[allow(unreachable_pub, dead_code, reason = "it is a test's, which uses the rest")]
mod cluster;

#[cfg(target_os = "linux")]
fn main() {
    polypool::init();
    bench::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("there is no backend `ray` on this system");
}

#[cfg(target_os = "linux")]
mod bench {
    use std::{collections::HashMap, env, process::Command, time::Instant};

    use futures::{TryStreamExt, executor::block_on, future::join_all};
    use polypool::{Executor, Mode, Ray, SharedSlice};

    use super::cluster::{Cluster, python};

    const WORKERS: usize = 2;
    const BYTES: usize = 100_000_000;

    pub(crate) fn run() {
        let quick = env::args().any(|arg| arg == "--quick" || arg == "--test");
        let (rounds, tasks, calls) = if quick { (1, 300, 20) } else { (5, 2_000, 200) };
        let cluster = Cluster::with(WORKERS, 400);
        let mut ratios: HashMap<&str, Vec<f64>> = HashMap::new();
        // By turns, so that whatever else the machine does is in all of them.
        for _ in 0..rounds {
            let native = native(&cluster, tasks, calls);
            for (mode, name) in
                [(Mode::Grouped, "grouped"), (Mode::Pilot, "pilot"), (Mode::PerTask, "per task")]
            {
                // Each has the cluster to itself.
                let ours = block_on(ours(&cluster, mode, tasks, calls));
                for (what, figure) in ours {
                    let ratio = figure / native[what];
                    println!("{name}: {what} {figure:.6}, native {:.6}, ratio {ratio:.2}", native[what]);
                    let label: &'static str = Box::leak(format!("{name}, {what}").into_boxed_str());
                    ratios.entry(label).or_default().push(ratio);
                }
            }
        }
        let mut ratios: Vec<_> = ratios.into_iter().collect();
        ratios.sort_by_key(|(name, _)| *name);
        for (name, mut ratios) in ratios {
            ratios.sort_unstable_by(f64::total_cmp);
            println!("{name}: {:.2} times native (median of {})", ratios[ratios.len() / 2], ratios.len());
        }
    }

    fn native(cluster: &Cluster, tasks: u64, calls: u64) -> HashMap<String, f64> {
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ray/peer.py");
        let output = Command::new(python())
            .args([peer, cluster.address()])
            .args([tasks.to_string(), calls.to_string(), BYTES.to_string()])
            .output()
            .expect("the interpreter can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let figures = text.lines().filter_map(|line| line.split_once('='));
        figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
    }

    /// Rates per second, and times in seconds.
    async fn ours(cluster: &Cluster, mode: Mode, tasks: u64, calls: u64) -> Vec<(&'static str, f64)> {
        let backend = Ray::new(cluster.address()).python(python()).mode(mode);
        let pool = Executor::builder().backend(backend).max_workers(WORKERS).build().expect("a pool");
        assert_eq!(pool.run_on_all(|()| (), ()).await.len(), WORKERS);
        let mut figures = Vec::new();
        // As many as take about as long as the peer's.
        let many = if mode == Mode::PerTask { tasks } else { 20 * tasks };
        let _: Vec<u64> = pool.map(|n: u64| n, 0..100).try_collect().await.expect("results");
        let start = Instant::now();
        let _: Vec<u64> = pool.map(|n: u64| n, 0..many).try_collect().await.expect("results");
        figures.push(("map", many as f64 / start.elapsed().as_secs_f64()));
        let start = Instant::now();
        let handles: Vec<_> = (0..many).map(|n| pool.submit(|n: u64| n, n)).collect();
        assert!(join_all(handles).await.into_iter().all(|result| result.is_ok()));
        figures.push(("submit", many as f64 / start.elapsed().as_secs_f64()));
        let start = Instant::now();
        for n in 0..calls {
            pool.submit(|n: u64| n, n).await.expect("a result");
        }
        figures.push(("latency", start.elapsed().as_secs_f64() / calls as f64));
        let data = vec![7_u8; BYTES];
        let start = Instant::now();
        let slice = pool.scatter_slice(data).await.expect("scattered");
        let lengths = pool.run_on_all(|slice: SharedSlice<u8>| slice.len(), slice.clone()).await;
        assert!(lengths.into_iter().all(|length| length.is_ok_and(|length| length == BYTES)));
        figures.push(("scatter", start.elapsed().as_secs_f64()));
        pool.shutdown(polypool::CancellationPolicy::NONE).await;
        figures
    }
}
