//! What tasks cost on the ranks of MPI, beside `mpi4py.futures` on the same MPI with as many workers: the rate of empty tasks by `map`
//! and by `submit`, the time of one call, 100 MB there and back, and the processor time of ranks that have nothing to do.
//! TEST_MPIEXEC names the launchers, with `:` between them (or it is the one in the path), and POLYPOOL_PYTHON an interpreter
//! that has `mpi4py` for that MPI (or it is the `python` beside the launcher). `benches/README.md` says how to read it.

#[cfg(target_os = "linux")]
fn main() {
    polypool::init();
    bench::run();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("there is no backend `mpi` on this system");
}

#[cfg(target_os = "linux")]
mod bench {
    use std::{
        collections::BTreeMap,
        env, fs,
        path::{Path, PathBuf},
        process::Command,
        thread::sleep,
        time::{Duration, Instant},
    };

    use futures::{TryStreamExt, executor::block_on, future::join_all};
    use polypool::{CancellationPolicy, Executor, Mpi};

    /// Beside the first rank.
    const WORKERS: usize = 2;
    const BYTES: usize = 100_000_000;

    /// By which a process knows that it is of a job, and how many tasks and calls are wanted.
    const SIZES: &str = "POLYPOOL_BENCH_SIZES";

    pub(crate) fn run() {
        if let Ok(sizes) = env::var(SIZES) {
            let (tasks, calls) = sizes.split_once(',').expect("two numbers");
            let (tasks, calls) = (tasks.parse().expect("a number"), calls.parse().expect("a number"));
            for (name, figure) in block_on(ours(tasks, calls)) {
                println!("{name}={figure}");
            }
            return;
        }
        let quick = env::args().any(|arg| arg == "--quick" || arg == "--test");
        let (rounds, tasks, calls) = if quick { (1, 300, 20) } else { (5, 5_000, 500) };
        for mpiexec in launchers() {
            let python = env::var_os("POLYPOOL_PYTHON").map(PathBuf::from);
            let python = python.unwrap_or_else(|| mpiexec.with_file_name("python"));
            println!("{} and {}", mpiexec.display(), python.display());
            let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            // By turns, so that whatever else the machine does is in both.
            for _ in 0..rounds {
                let native = job(&mpiexec, &native(&python, tasks, calls), None);
                // As many as take about as long.
                let sizes = format!("{},{calls}", 20 * tasks);
                let ours =
                    job(&mpiexec, &[env::current_exe().expect("this").display().to_string()], Some(&sizes));
                for (name, figure) in ours {
                    let Some(native) = native.get(&name) else { continue };
                    let ratio = figure / native;
                    println!("{name} {figure:.6}, mpi4py.futures {native:.6}, ratio {ratio:.2}");
                    ratios.entry(name).or_default().push(ratio);
                }
            }
            for (name, mut ratios) in ratios {
                ratios.sort_unstable_by(f64::total_cmp);
                let median = ratios[ratios.len() / 2];
                println!("{name}: {median:.2} times mpi4py.futures (median of {})", ratios.len());
            }
        }
    }

    fn launchers() -> Vec<PathBuf> {
        if let Some(named) = env::var_os("TEST_MPIEXEC") {
            return env::split_paths(&named).collect();
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let mut files = env::split_paths(&path).map(|folder| folder.join("mpiexec"));
        vec![files.find(|file| file.is_file()).expect("mpiexec is in the path")]
    }

    fn native(python: &Path, tasks: u64, calls: u64) -> Vec<String> {
        let peer = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/mpi/peer.py");
        let numbers = [tasks.to_string(), calls.to_string(), BYTES.to_string()];
        let program = [python.display().to_string(), "-m".into(), "mpi4py.futures".into(), peer.into()];
        program.into_iter().chain(numbers).collect()
    }

    /// Has a job of both workers and the first rank take its figures.
    fn job(mpiexec: &Path, program: &[String], sizes: Option<&str>) -> BTreeMap<String, f64> {
        let mut command = Command::new(mpiexec);
        command.args(["-n", &(WORKERS + 1).to_string()]).args(program);
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
            ("OMPI_MCA_btl_tcp_if_include", "lo"),
        ] {
            command.env(name, value);
        }
        command.envs(sizes.map(|sizes| (SIZES, sizes)));
        let output = command.output().expect("mpiexec can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let figures = text.lines().filter_map(|line| line.split_once('='));
        figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
    }

    /// Rates per second, times in seconds, and the part of a processor that an idle rank uses.
    async fn ours(tasks: u64, calls: u64) -> Vec<(&'static str, f64)> {
        let pool = Executor::builder().backend(Mpi::new()).build().expect("a pool");
        assert_eq!(pool.run_on_all(|()| (), ()).await.len(), WORKERS);
        let mut figures = Vec::new();
        let _: Vec<u64> = pool.map(|n: u64| n, 0..100).try_collect().await.expect("results");
        let start = Instant::now();
        let _: Vec<u64> = pool.map(|n: u64| n, 0..tasks).try_collect().await.expect("results");
        figures.push(("map", tasks as f64 / start.elapsed().as_secs_f64()));
        let start = Instant::now();
        let handles: Vec<_> = (0..tasks).map(|n| pool.submit(|n: u64| n, n)).collect();
        assert!(join_all(handles).await.into_iter().all(|result| result.is_ok()));
        figures.push(("submit", tasks as f64 / start.elapsed().as_secs_f64()));
        let start = Instant::now();
        for n in 0..calls {
            pool.submit(|n: u64| n, n).await.expect("a result");
        }
        figures.push(("latency", start.elapsed().as_secs_f64() / calls as f64));
        let data = vec![7_u8; BYTES];
        let start = Instant::now();
        let back = pool.submit(|data: serde_bytes::ByteBuf| data, serde_bytes::ByteBuf::from(data)).await;
        figures.push(("100 MB", start.elapsed().as_secs_f64()));
        assert_eq!(back.expect("a result").len(), BYTES);
        sleep(Duration::from_millis(500));
        figures.push(("idle", idle()));
        pool.shutdown(CancellationPolicy::NONE).await;
        figures
    }

    /// What the processes of this program use that has used most of two seconds.
    fn idle() -> f64 {
        let this = fs::read_link("/proc/self/exe").expect("proc");
        let pids = fs::read_dir("/proc")
            .expect("proc")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pids: Vec<String> = pids
            .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == this))
            .collect();
        let before: Vec<f64> = pids.iter().map(|pid| seconds(pid)).collect();
        let start = Instant::now();
        sleep(Duration::from_secs(2));
        let used = pids.iter().zip(before).map(|(pid, before)| seconds(pid) - before);
        used.fold(0.0, f64::max) / start.elapsed().as_secs_f64()
    }

    /// The processor time of a process so far.
    fn seconds(pid: &str) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }
}
