//! The program: takes one figure as a child of itself, or has every figure taken in turn, and reports.

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use clap::Parser;

#[path = "apart.rs"]
pub(crate) mod apart;
#[path = "../common/figures.rs"]
pub(crate) mod figures;
#[path = "floor.rs"]
pub(crate) mod floor;
#[path = "../common/machine.rs"]
pub(crate) mod machine;
#[path = "peers.rs"]
pub(crate) mod peers;
#[path = "python.rs"]
pub(crate) mod python;
#[path = "report.rs"]
pub(crate) mod report;
#[path = "../common/rounds.rs"]
pub(crate) mod rounds;
#[path = "scenarios.rs"]
pub(crate) mod scenarios;
#[path = "work.rs"]
pub(crate) mod work;

use figures::Figures;
use machine::Place;
use peers::PeerId;
use report::{Key, Results};
use rounds::{is_wanted, least_disturbed, progress};
use scenarios::Scenario;

/// A child that takes longer than this hangs. `peers.py` has the same.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// Compares polypool's processes with other ways to run a function in another process.
#[derive(Parser)]
struct Args {
    /// Few rounds of little work: shows that everything runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only these scenarios.
    #[arg(long, value_enum, value_name = "SCENARIO")]
    only: Vec<Scenario>,
    /// Only these peers; ratios need `polypool` or `polypool-multi` among them.
    #[arg(long, value_enum, value_name = "PEER")]
    peer: Vec<PeerId>,
    /// Only in these places.
    #[arg(long, value_enum, value_name = "PLACE")]
    place: Vec<Place>,
    /// How often each figure is taken [default: 5, with --quick 1].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How many seconds may be spent on waiting until others leave the CPUs alone, and on taking disturbed figures again
    /// [default: 600, with --quick 0].
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// Leaves out the peers that are written in Python.
    #[arg(long)]
    no_python: bool,
    /// Prints all samples as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Takes one figure in this process, for a profiler; with one --only, --peer and --place.
    #[arg(long)]
    child: bool,
    /// What cargo passes to benches.
    #[arg(long, hide = true)]
    bench: bool,
}

pub(crate) fn run() -> ExitCode {
    // Each knows its own workers by a variable of its own that it takes away again: neither sees the other's.
    polypool::init();
    procspawn::init();
    if let Some(exit) = floor::enter() {
        return exit;
    }
    let mut args = Args::parse();
    // `cargo test --benches` runs this, too, and is no place for figures, nor for packages from elsewhere.
    if cfg!(debug_assertions) {
        args.quick = true;
        args.no_python = true;
    }
    if args.child { child(&args) } else { parent(&args) }
}

/// Takes one figure in this process.
fn child(args: &Args) -> ExitCode {
    let (&[scenario], &[peer], &[place]) = (&*args.only, &*args.peer, &*args.place) else {
        eprintln!("--child wants one --only, one --peer and one --place");
        return ExitCode::FAILURE;
    };
    if !place.take() {
        eprintln!("cannot pin to {}; the figures may be bimodal", place.label());
    }
    if peer.is_python() {
        let error = python::become_peer(scenario.name(), peer.name(), place.name(), args.quick);
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    thread::spawn(move || {
        thread::sleep(HANGS_AFTER);
        eprintln!("{scenario:?} of {peer:?}, {}, hangs", place.label());
        std::process::exit(1);
    });
    for (metric, value) in scenarios::measure(scenario, peer, place, args.quick) {
        println!("{metric}={value}");
    }
    // Workers end with this process; waiting for them one by one is nobody's figure.
    std::process::exit(0)
}

/// Has every figure taken in turn, and reports.
fn parent(args: &Args) -> ExitCode {
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 5 });
    let mut patience = Duration::from_secs(args.patience.unwrap_or(if args.quick { 0 } else { 600 }));
    let no_python = no_python(args);
    if let Some(reason) = &no_python {
        eprintln!("without the peers that are written in Python: {reason}");
    }
    let mut results = Results::new(rounds, args.quick, no_python.clone());
    for (scenario, place) in sections(args) {
        for round in 0..rounds {
            for &peer in scenario.peers().iter().filter(|peer| is_wanted(&args.peer, peer)) {
                if peer.is_python() && no_python.is_some() {
                    continue;
                }
                let round_name = format!("round {}", round + 1);
                progress(&format!("{}, {}, {round_name}: {}", scenario.name(), place.label(), peer.label()));
                let (figures, foreign) =
                    least_disturbed(&mut patience, || take(args.quick, scenario, peer, place));
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

/// The reason why there are no peers in Python, if there are none.
fn no_python(args: &Args) -> Option<String> {
    if args.no_python {
        return Some("not wanted".to_owned());
    }
    let mut wanted = sections(args).into_iter().flat_map(|(scenario, _)| scenario.peers());
    if wanted.any(|peer| peer.is_python() && is_wanted(&args.peer, peer)) {
        python::prepare().err()
    } else {
        None
    }
}

/// What is to be measured, and where.
fn sections(args: &Args) -> Vec<(Scenario, Place)> {
    let scenarios = Scenario::ALL.into_iter().filter(|scenario| is_wanted(&args.only, scenario));
    let sections =
        scenarios.flat_map(|scenario| scenario.places().iter().map(move |&place| (scenario, place)));
    sections.filter(|(_, place)| is_wanted(&args.place, place) && place.cpus() <= machine::cpus()).collect()
}

/// Takes one figure in a process of its own; none when that failed.
fn take(quick: bool, scenario: Scenario, peer: PeerId, place: Place) -> Figures {
    let mut command = Command::new(env::current_exe().expect("a program knows where it is"));
    command.args(["--child", "--only", scenario.name(), "--peer", peer.name(), "--place", place.name()]);
    if quick {
        command.arg("--quick");
    }
    let output = command.stderr(Stdio::inherit()).output().expect("this program can be started again");
    if !output.status.success() {
        return Vec::new();
    }
    let text = String::from_utf8(output.stdout).expect("what this program prints is text");
    figures::read(&text, scenario.metrics())
}
