//! What a task costs on the backend `threads`, beside what else there is to run it. `benches/README.md` says how to read it.
//!
//! Every figure comes from a process of its own, which is pinned before it starts a thread: without that they are bimodal. So
//! this program starts itself again, once for each round, scenario, place and peer, and the peers take turns.

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use clap::Parser;

#[path = "threads/apart.rs"]
mod apart;
#[path = "threads/counting.rs"]
mod counting;
#[path = "common/figures.rs"]
mod figures;
#[path = "common/machine.rs"]
mod machine;
#[path = "threads/peers.rs"]
mod peers;
#[path = "threads/report.rs"]
mod report;
#[path = "common/rounds.rs"]
mod rounds;
#[path = "threads/scenarios.rs"]
mod scenarios;
#[path = "threads/work.rs"]
mod work;

use figures::Figures;
use machine::Place;
use peers::PeerId;
use report::{Key, Results};
use rounds::{is_wanted, least_disturbed, progress};
use scenarios::{Scenario, Sizes};

/// A child that takes longer than this hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Compares polypool's threads with other ways to run a closure elsewhere and await it.
#[derive(Parser)]
struct Args {
    /// Few rounds of little work: shows that everything runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only these scenarios.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Only these peers; ratios need `polypool-tokio` or `polypool-standalone` among them.
    #[arg(long, value_enum, value_name = "PEER")]
    peer: Vec<PeerId>,
    /// Only in these places.
    #[arg(long, value_enum, value_name = "PLACE")]
    place: Vec<Place>,
    /// How often each figure is taken [default: 7, with --quick 1].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How many seconds may be spent on waiting until others leave the CPUs alone, and on taking disturbed figures again
    /// [default: 600, with --quick 0].
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// Prints all samples as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Takes one figure in this process, for a profiler; with one --only, --peer and --place.
    #[arg(long)]
    child: bool,
    /// How many rounds of arithmetic one item of `map` takes [default: as many as take 100 ns].
    #[arg(long, value_name = "N")]
    loops: Option<u32>,
    /// What cargo passes to benches.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    // `cargo test --benches` runs this, too, and is no place for figures.
    args.quick |= cfg!(debug_assertions);
    if args.child { child(&args) } else { parent(&args) }
}

/// Takes one figure in this process.
fn child(args: &Args) -> ExitCode {
    let (&[scenario], &[peer], &[place]) = (&*args.only, &*args.peer, &*args.place) else {
        eprintln!("--child wants one --only, one --peer and one --place");
        return ExitCode::FAILURE;
    };
    if !apart::take(place) {
        eprintln!("cannot pin to {}; the figures may be bimodal", place.label());
    }
    thread::spawn(move || {
        thread::sleep(HANGS_AFTER);
        eprintln!("{scenario:?} of {peer:?}, {}, hangs", place.label());
        std::process::exit(1);
    });
    if scenario == Scenario::Map {
        work::set_loops(args.loops.unwrap_or_else(work::calibrate));
    }
    for (metric, value) in scenarios::measure(scenario, peer, &Sizes::new(args.quick)) {
        println!("{metric}={value}");
    }
    ExitCode::SUCCESS
}

/// Has every figure taken in turn, and reports.
fn parent(args: &Args) -> ExitCode {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 7 });
    let mut patience = Duration::from_secs(args.patience.unwrap_or(if args.quick { 0 } else { 600 }));
    let loops = args.loops.unwrap_or_else(work::calibrate);
    let mut results = Results::new(rounds, loops, args.quick);
    for (scenario, place) in sections(args) {
        for round in 0..rounds {
            for &peer in scenario.peers().iter().filter(|peer| is_wanted(&args.peer, peer)) {
                progress(&format!(
                    "{}, {}, round {}: {}",
                    scenario.name(),
                    place.label(),
                    round + 1,
                    peer.label()
                ));
                let (figures, foreign) =
                    least_disturbed(&mut patience, || take(args.quick, scenario, peer, place, loops));
                results.disturbed_by(foreign);
                if figures.is_empty() {
                    results.failed(scenario, place, peer);
                }
                for (metric, value) in figures {
                    results.add(Key { scenario, place, metric, peer }, round, value);
                }
            }
        }
    }
    progress("");
    if args.json {
        report::json(&results);
    } else {
        report::tables(&results);
        report::targets(&results);
    }
    if results.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What is to be measured, and where.
fn sections(args: &Args) -> Vec<(Scenario, Place)> {
    let scenarios = Scenario::ALL.into_iter().filter(|scenario| is_wanted(&args.only, scenario));
    let sections =
        scenarios.flat_map(|scenario| scenario.places().iter().map(move |&place| (scenario, place)));
    sections.filter(|(_, place)| is_wanted(&args.place, place) && place.cpus() <= machine::cpus()).collect()
}

/// Takes one figure in a process of its own; none when that failed.
fn take(quick: bool, scenario: Scenario, peer: PeerId, place: Place, loops: u32) -> Figures {
    let mut command = Command::new(env::current_exe().expect("a program knows where it is"));
    command.args(["--child", "--only", scenario.name(), "--peer", peer.name()]);
    command.args(["--place", place.name(), "--loops", &loops.to_string()]);
    if quick {
        command.arg("--quick");
    }
    // The only way to tell `blocking` how many threads there may be.
    command.env("BLOCKING_MAX_THREADS", scenario.threads().to_string());
    let output = command.stderr(Stdio::inherit()).output().expect("this program can be started again");
    if !output.status.success() {
        return Vec::new();
    }
    let text = String::from_utf8(output.stdout).expect("what this program prints is text");
    figures::read(&text, scenario.metrics())
}
