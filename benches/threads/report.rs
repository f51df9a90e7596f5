//! What comes out: tables, the verdict on the targets, or all samples as JSON. Knows what counts as better, and nothing of how a
//! figure is taken.

use std::collections::BTreeSet;

use crate::{
    figures::{Metric, Ratio, Samples, Unit, median, show, show_ratio},
    machine::{self, Place},
    peers::PeerId,
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
    loops: u32,
    quick: bool,
    machine: String,
    foreign: Vec<f64>,
}

impl Results {
    pub(crate) fn new(rounds: usize, loops: u32, quick: bool) -> Self {
        let (samples, failed, foreign) = (Samples::default(), BTreeSet::new(), Vec::new());
        Self { samples, failed, rounds, loops, quick, machine: machine::describe(), foreign }
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

    fn median(&self, key: Key) -> Option<f64> {
        self.samples.median(&key)
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
const OURS: [PeerId; 2] = [PeerId::PolypoolTokio, PeerId::PolypoolStandalone];

pub(crate) fn tables(results: &Results) {
    println!("# polypool threads, and others\n");
    println!("{}; {} rounds, medians; {} links an item.", results.machine, results.rounds, results.loops);
    let most = results.foreign.iter().copied().fold(0.0, f64::max);
    let usual = median(results.foreign.clone());
    println!("Others had {:.0} % of the CPUs (median; at most {:.0} %).", usual * 100.0, most * 100.0);
    if results.quick {
        println!("**Quick**: these figures show that everything runs, and nothing else.");
    }
    println!(
        "\"tokio ×\" and \"standalone ×\": how many times better polypool is than the row, on tokio and standalone."
    );
    for (scenario, place) in results.sections() {
        println!("\n## {}: {}\n", scenario.title(), place.label());
        table(results, scenario, place);
    }
}

fn table(results: &Results, scenario: Scenario, place: Place) {
    print!("| |");
    for Metric { name, .. } in scenario.metrics() {
        print!(" {name} | tokio × | standalone × |");
    }
    println!("\n|---|{}", "---:|---:|---:|".repeat(scenario.metrics().len()));
    for &peer in scenario.peers() {
        let keys = scenario.metrics().iter().map(|metric| Key { scenario, place, metric: metric.name, peer });
        if keys.clone().all(|key| results.median(key).is_none())
            && !results.failed.contains(&(scenario, place, peer))
        {
            continue;
        }
        print!("| {} |", peer.label());
        for key in keys {
            let failed = results.failed.contains(&(scenario, place, peer));
            let missing = || {
                if failed { "failed".to_owned() } else { "–".to_owned() }
            };
            print!(" {} |", results.median(key).map_or_else(missing, |value| show(value, unit(key))));
            for ours in OURS {
                print!(
                    " {} |",
                    results.ratio(ours, key).map_or(String::new(), |ratio| show_ratio(ratio.median))
                );
            }
        }
        println!();
    }
}

// ---- targets

/// What the crate has promised.
enum Target {
    /// To be so many times better than another.
    Ratio { than: PeerId, at_least: f64 },
    /// To need no more than this.
    Limit(f64),
}

pub(crate) fn targets(results: &Results) {
    println!("\n## Targets\n");
    println!(
        "Ratios are medians of those of neighbours in time, with the lowest and the highest. Latency on two CPUs is with"
    );
    println!("caller and workers apart.\n");
    print!("| target |");
    for ours in OURS {
        print!(" {}, 1 CPU | 2 CPUs |", ours.label());
    }
    println!("\n|---|{}", "---|---|".repeat(OURS.len()));
    let spawn_blocking = [PeerId::TokioDefault, PeerId::TokioLimited];
    let ratios = [
        (Scenario::AtOnce, "tasks", 3.0, &spawn_blocking[..]),
        (Scenario::Eight, "tasks", 5.0, &spawn_blocking),
        (Scenario::Latency, "median", 1.0, &spawn_blocking),
        (Scenario::Latency, "p99", 1.0, &spawn_blocking),
        (Scenario::LatencyIdle, "median", 1.0, &spawn_blocking),
        (Scenario::Map, "item", 0.7, &[PeerId::Rayon]),
    ];
    for (scenario, metric, at_least, peers) in ratios {
        for &than in peers {
            row(results, scenario, metric, &Target::Ratio { than, at_least });
        }
    }
    let limits = [
        (Scenario::Memory, "allocated", 100.0),
        (Scenario::Cancel, "abort each", 1.0),
        (Scenario::Cancel, "drop pool", 1.0),
    ];
    for (scenario, metric, at_most) in limits {
        row(results, scenario, metric, &Target::Limit(at_most));
    }
}

fn row(results: &Results, scenario: Scenario, metric: &'static str, target: &Target) {
    let places = [Some(Place::One), scenario.places().iter().copied().find(|&place| place != Place::One)];
    let key = |place, peer| Key { scenario, place, metric, peer };
    let keys = OURS.iter().flat_map(|&peer| places.map(|place| Some(key(place?, peer))));
    let cells: Vec<Option<String>> = keys.map(|key| judge(results, key?, target)).collect();
    if cells.iter().all(Option::is_none) {
        return;
    }
    let wanted = match *target {
        Target::Ratio { than, at_least } => format!("≥ {at_least}× {}", than.label()),
        Target::Limit(at_most) => format!("≤ {}", show(at_most, unit(key(Place::One, OURS[0])))),
    };
    print!("| {}, {metric}: {wanted} |", scenario.name());
    for cell in cells {
        print!(" {} |", cell.unwrap_or_default());
    }
    println!();
}

/// Whether the target is reached, and what was measured.
fn judge(results: &Results, ours: Key, target: &Target) -> Option<String> {
    let (passed, measured) = match *target {
        Target::Ratio { than, at_least } => {
            let Ratio { median, lowest, highest } = results.ratio(ours.peer, Key { peer: than, ..ours })?;
            (median >= at_least, format!("{median:.2}× ({lowest:.2} to {highest:.2})"))
        }
        Target::Limit(at_most) => {
            let measured = results.median(ours)?;
            (measured <= at_most, show(measured, unit(ours)))
        }
    };
    Some(format!("{} {measured}", if passed { "PASS" } else { "**FAIL**" }))
}

// ---- JSON

/// Every name in it is ours and needs no escapes.
pub(crate) fn json(results: &Results) {
    println!(
        "{{\n  \"machine\": {:?},\n  \"quick\": {},\n  \"loops\": {},",
        results.machine, results.quick, results.loops
    );
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
