//! A big table, loaded once and shared by all workers: a fork server loads it, and forks itself for each worker, so that the system
//! copies only the pages that somebody writes to. Needs Linux.
//!
//! `cargo run --release --example preload -- --mib 512 -n 4`

use std::{fs, io, process::ExitCode, sync::OnceLock};

use clap::{Parser, value_parser};
use futures::{TryStreamExt as _, executor::block_on};
use polypool::{Executor, Failure, Processes, StartMethod};
use serde::{Deserialize, Serialize};

/// Loads a table once for many worker processes, looks up in it, and says how much memory that takes.
#[derive(Parser)]
struct Args {
    /// How large the table is
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = value_parser!(u64).range(1..=65_536))]
    mib: u64,
    /// How many worker processes there are
    #[arg(short, long, value_name = "N", default_value_t = 4)]
    n_workers: usize,
}

fn main() -> ExitCode {
    polypool::init();
    match block_on(look_up(Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("preload: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn look_up(Args { mib, n_workers }: Args) -> Result<(), Failure> {
    // Before there is much in this program: the server is a fresh copy of it, and does not inherit what is here.
    let backend = Processes::new().start_method(StartMethod::ForkServer).preload(load, mib);
    let pool = Executor::builder().backend(backend).max_workers(n_workers).build()?;

    let places: Vec<Option<usize>> = pool.map(place, (0..20_000).map(square)).try_collect().await?;
    assert!((0..20_000).eq(places.into_iter().flatten()), "every square of these is in the table");

    // Asked of each worker: it reads the whole table, and what it has of it.
    let mut together = 0.0;
    for memory in pool.run_on_all(weigh, ()).await {
        let Memory { loader, pid, resident, share } = memory??;
        println!(
            "worker {pid}, table loaded by {loader}: {resident:.0} MiB resident, its share of them {share:.0} MiB"
        );
        together += share;
    }
    println!("{n_workers} workers with a table of {mib} MiB: {together:.0} MiB together");
    Ok(())
}

/// The table: squares, in order, so that a number is found by halving. Empty in this process; workers have it from the start.
static TABLE: OnceLock<Table> = OnceLock::new();

struct Table {
    squares: Vec<u64>,
    /// The process that made it.
    loader: u32,
}

fn square(n: u64) -> u64 {
    n.wrapping_mul(n)
}

/// The preload, which the server does once. A real one reads a file.
fn load(mib: u64) -> Result<(), Failure> {
    let squares = (0..mib << 17).map(square).collect();
    let table = Table { squares, loader: std::process::id() };
    TABLE.set(table).map_err(|_| Failure::msg("loaded twice"))
}

fn table() -> Result<&'static Table, Failure> {
    TABLE.get().ok_or(Failure::msg("no table: this is no worker of that pool"))
}

/// The task: where in the table a number is.
fn place(number: u64) -> Option<usize> {
    table().ok()?.squares.binary_search(&number).ok()
}

/// Memory in MiB.
#[derive(Serialize, Deserialize)]
struct Memory {
    loader: u32,
    pid: u32,
    /// What the process has in memory.
    resident: f64,
    /// The same, but of a page that `n` processes have, the `n`th part: what the process really costs.
    share: f64,
}

fn weigh(_: ()) -> Result<Memory, Failure> {
    let table = table()?;
    // A page that nobody has read is not resident.
    std::hint::black_box(table.squares.iter().fold(0, |sum: u64, n| sum.wrapping_add(*n)));
    let sums = fs::read_to_string("/proc/self/smaps_rollup")?;
    let (resident, share) = (field(&sums, "Rss:")?, field(&sums, "Pss:")?);
    Ok(Memory { loader: table.loader, pid: std::process::id(), resident, share })
}

/// Reads a line such as `Rss:  1234 kB`.
fn field(sums: &str, name: &str) -> io::Result<f64> {
    let kib = sums
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| io::Error::other(format!("no {name} in /proc/self/smaps_rollup")))
}
