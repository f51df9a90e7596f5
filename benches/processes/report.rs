//! What comes out: tables, the verdict on the targets, or all samples as JSON. Knows what was promised, and nothing of how a
//! figure is taken.

use std::collections::BTreeSet;

use crate::{
    figures::{Metric, Ratio, Samples, Unit, median, show, show_ratio},
    machine::{self, Place},
    peers::PeerId,
    python,
    scenarios::Scenario,
};

/// What a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) scenario: Scenario,
    pub(crate) place: Place,
    pub(crate) metric: &'static str,
    pub(crate) peer: PeerId,
}

pub(crate) struct Results {
    samples: Samples<Key>,
    failed: BTreeSet<(Scenario, Place, PeerId)>,
    rounds: usize,
    quick: bool,
    no_python: Option<String>,
    machine: String,
    foreign: Vec<f64>,
}

impl Results {
    pub(crate) fn new(rounds: usize, quick: bool, no_python: Option<String>) -> Self {
        let (samples, failed, foreign) = (Samples::default(), BTreeSet::new(), Vec::new());
        Self { samples, failed, rounds, quick, no_python, machine: machine::describe(), foreign }
    }

    pub(crate) fn add(&mut self, key: Key, round: usize, value: f64) {
        self.samples.add(key, round, value);
    }

    pub(crate) fn failed(&mut self, scenario: Scenario, place: Place, peer: PeerId) {
        self.failed.insert((scenario, place, peer));
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// A sample was taken while others had this part of the CPUs.
    pub(crate) fn disturbed_by(&mut self, foreign: f64) {
        self.foreign.push(foreign);
    }

    /// How many times better `ours` is than `key`'s peer; below 1 it is worse.
    fn ratio(&self, ours: PeerId, key: Key) -> Option<Ratio> {
        self.samples.ratio(&Key { peer: ours, ..key }, &key, unit(key))
    }

    /// The sections that there are, in order.
    fn sections(&self) -> BTreeSet<(Scenario, Place)> {
        let failed = self.failed.iter().map(|&(scenario, place, _)| (scenario, place));
        self.samples.keys().map(|key| (key.scenario, key.place)).chain(failed).collect()
    }
}

fn unit(key: Key) -> Unit {
    let metric = key.scenario.metrics().iter().find(|metric| metric.name == key.metric);
    metric.map_or(Unit::Nanoseconds, |metric| metric.unit)
}

// ---- tables

/// Who is compared with everyone.
const OURS: [PeerId; 2] = [PeerId::Polypool, PeerId::PolypoolMulti];

pub(crate) fn tables(results: &Results) {
    println!("# polypool processes, and others\n");
    println!("{}; {} rounds, medians.", results.machine, results.rounds);
    let most = results.foreign.iter().copied().fold(0.0, f64::max);
    let usual = median(results.foreign.clone());
    println!("Others had {:.0} % of the CPUs (median; at most {:.0} %).", usual * 100.0, most * 100.0);
    match &results.no_python {
        None => println!("{}.", python::version()),
        Some(reason) => println!("**No Python**: {reason}; its rows are missing."),
    }
    if results.quick {
        println!("**Quick**: these figures show that everything runs, and nothing else.");
    }
    println!(
        "\"current ×\" and \"multi ×\": how many times better polypool is than the row, on tokio's `current_thread` and"
    );
    println!("`multi_thread` runtime.");
    for (scenario, place) in results.sections() {
        println!("\n## {}: {}\n", scenario.title(), place.label());
        table(results, scenario, place);
    }
}

fn table(results: &Results, scenario: Scenario, place: Place) {
    print!("| |");
    for Metric { name, .. } in scenario.metrics() {
        print!(" {name} | current × | multi × |");
    }
    println!("\n|---|{}", "---:|---:|---:|".repeat(scenario.metrics().len()));
    for &peer in scenario.peers() {
        let keys = scenario.metrics().iter().map(|metric| Key { scenario, place, metric: metric.name, peer });
        let failed = results.failed.contains(&(scenario, place, peer));
        let skipped = peer.is_python() && results.no_python.is_some();
        if !failed && !skipped && keys.clone().all(|key| results.samples.median(&key).is_none()) {
            continue;
        }
        print!("| {} |", peer.label());
        let missing = if failed {
            "failed"
        } else if skipped {
            "no Python"
        } else {
            "–"
        };
        for key in keys {
            print!(
                " {} |",
                results.samples.median(&key).map_or(missing.to_owned(), |value| show(value, unit(key)))
            );
            for ours in OURS {
                let ratio = results.ratio(ours, key).filter(|ratio| ratio.median.is_finite());
                print!(" {} |", ratio.map_or(String::new(), |ratio| show_ratio(ratio.median)));
            }
        }
        println!();
    }
}

// ---- targets

/// What the crate has promised.
struct Target {
    scenario: Scenario,
    places: &'static [Place],
    metric: &'static str,
    wanted: Wanted,
    /// On tokio's two runtimes.
    ours: [Option<PeerId>; 2],
}

#[derive(Clone, Copy)]
enum Wanted {
    /// To be so many times better than another.
    AtLeast(f64, PeerId),
    /// To take at most so many times what another takes.
    AtMost(f64, PeerId),
    /// To need no more than this.
    Limit(f64),
    /// Nothing; to be seen beside the others.
    Nothing(PeerId),
}

fn all_targets() -> Vec<Target> {
    use PeerId::{Futures, Memcpy, Memcpy4, MpPool, PolypoolSpin, PosixSpawn, Procspawn, Socketpair};
    use Place::{Apart, One, Two};
    use Wanted::{AtLeast, AtMost, Limit, Nothing};
    const MILLISECONDS: f64 = 1e6;
    const OURS: [Option<PeerId>; 2] = [Some(self::OURS[0]), Some(self::OURS[1])];
    let target = |scenario, places, metric, wanted| Target { scenario, places, metric, wanted, ours: OURS };
    let both: &[Place] = &[One, Two];
    let spin = Target {
        ours: [Some(PolypoolSpin), None],
        ..target(Scenario::RoundTrip, &[Apart], "median", AtMost(0.05, Socketpair))
    };
    vec![
        target(Scenario::RoundTrip, &[One], "median", AtMost(1.0, Socketpair)),
        target(Scenario::RoundTrip, &[Apart], "median", AtMost(1.2, Socketpair)),
        spin,
        target(Scenario::AtOnce, both, "tasks", AtLeast(50.0, Procspawn)),
        target(Scenario::AtOnce, both, "tasks", AtLeast(100.0, Futures)),
        target(Scenario::Map, both, "by 1000", AtLeast(3.0, MpPool)),
        target(Scenario::Echo64, &[One, Apart], "echo", AtMost(1.3, Memcpy4)),
        target(Scenario::Echo64, &[One, Apart], "echo", Nothing(Memcpy)),
        target(Scenario::Start, both, "2 workers", AtMost(1.5, PosixSpawn)),
        target(Scenario::Start, both, "2 workers, first", AtMost(1.5, PosixSpawn)),
        target(Scenario::StartHeavy, &[One], "heavy/light", Limit(1.15)),
        target(Scenario::Kill, both, "error", Limit(0.5 * MILLISECONDS)),
        target(Scenario::Kill, both, "next", Limit(3.0 * MILLISECONDS)),
        target(Scenario::Kill, both, "innocents lost", Limit(0.0)),
        target(Scenario::Descriptors, &[One], "a task", Limit(0.0)),
    ]
}

pub(crate) fn targets(results: &Results) {
    println!("\n## Targets\n");
    println!("Ratios are medians of those of neighbours in time, with the lowest and the highest.\n");
    println!("| target | where | wanted | `current_thread` | `multi_thread` |\n|---|---|---|---|---|");
    for target in all_targets() {
        for &place in target.places {
            let cells = target.ours.map(|peer| judge(results, &target, place, peer?));
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let spin = if target.ours[0] == Some(PeerId::PolypoolSpin) { ", `Spin::Adaptive`" } else { "" };
            let [current, multi] = cells.map(Option::unwrap_or_default);
            let (name, metric) = (target.scenario.name(), target.metric);
            println!(
                "| {name}, {metric}{spin} | {} | {} | {current} | {multi} |",
                place.label(),
                wanted(&target)
            );
        }
    }
}

fn wanted(target: &Target) -> String {
    match target.wanted {
        Wanted::AtLeast(times, than) => format!("≥ {times} × {}", than.label()),
        Wanted::AtMost(times, than) => format!("≤ {times} × {}", than.label()),
        Wanted::Limit(most) => {
            let Target { scenario, metric, .. } = *target;
            format!("≤ {}", show(most, unit(Key { scenario, metric, place: Place::One, peer: OURS[0] })))
        }
        Wanted::Nothing(than) => format!("(to compare: {})", than.label()),
    }
}

/// Whether the target is reached, and what was measured.
fn judge(results: &Results, target: &Target, place: Place, ours: PeerId) -> Option<String> {
    let &Target { scenario, metric, .. } = target;
    let key = |peer| Key { scenario, place, metric, peer };
    let times = |value: f64| format!("{}×", show_ratio(value));
    let (passed, measured) = match target.wanted {
        Wanted::AtLeast(least, than) => {
            let Ratio { median, lowest, highest } = results.ratio(ours, key(than))?;
            (median >= least, format!("{} ({} to {})", times(median), times(lowest), times(highest)))
        }
        Wanted::AtMost(_, than) | Wanted::Nothing(than) => {
            // The other way round: what ours takes of theirs.
            let Ratio { median, lowest, highest } =
                results.samples.ratio(&key(than), &key(ours), unit(key(ours)))?;
            let most = if let Wanted::AtMost(most, _) = target.wanted { most } else { f64::INFINITY };
            (median <= most, format!("{} ({} to {})", times(median), times(lowest), times(highest)))
        }
        Wanted::Limit(most) => {
            let measured = results.samples.median(&key(ours))?;
            (measured <= most, show(measured, unit(key(ours))))
        }
    };
    let verdict = match (target.wanted, passed) {
        (Wanted::Nothing(_), _) => "",
        (_, true) => "PASS ",
        (_, false) => "**FAIL** ",
    };
    Some(format!("{verdict}{measured}"))
}

// ---- JSON

/// Every name in it is ours and needs no escapes.
pub(crate) fn json(results: &Results) {
    println!("{{\n  \"machine\": {:?},\n  \"quick\": {},", results.machine, results.quick);
    println!("  \"foreign_load\": {:.3},\n  \"samples\": [", median(results.foreign.clone()));
    let lines: Vec<String> = results
        .samples
        .iter()
        .map(|(key, samples)| {
            let values: Vec<String> = samples.values().map(|value| format!("{value:.6e}")).collect();
            format!(
                "    {{\"scenario\": {:?}, \"place\": {:?}, \"metric\": {:?}, \"unit\": \"{:?}\", \"peer\": {:?}, \"values\": [{}]}}",
                key.scenario.name(),
                key.place.name(),
                key.metric,
                unit(*key),
                key.peer.name(),
                values.join(", ")
            )
        })
        .collect();
    println!("{}\n  ]\n}}", lines.join(",\n"));
}
