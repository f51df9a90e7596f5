//! What this process has, from `/proc`, and whether it grows.

use std::{
    fmt,
    fs::{read_dir, read_to_string},
};

/// What is there at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The proportional share of this process, in KiB: what it alone has, and its part of what it shares with workers.
    pss: u64,
    rss: u64,
    descriptors: u64,
    threads: u64,
    /// Zombies included.
    children: u64,
    /// The mean share of a child.
    child: u64,
}

impl Sample {
    pub fn take() -> Self {
        let children = children();
        let shares: Vec<u64> = children.iter().filter_map(|pid| share(&pid.to_string(), "Pss:")).collect();
        Self {
            pss: share("self", "Pss:").unwrap(),
            rss: share("self", "Rss:").unwrap(),
            // But for the listing itself.
            descriptors: count("/proc/self/fd") - 1,
            threads: count("/proc/self/task"),
            children: children.len() as u64,
            child: shares.iter().sum::<u64>() / (shares.len() as u64).max(1),
        }
    }

    pub fn is_no_more_than(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.children <= before.children
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pss, rss, descriptors, threads, children, child } = self;
        write!(f, "Pss {pss} KiB, RSS {rss} KiB, {descriptors} descriptors, {threads} threads, ")?;
        write!(f, "{children} children of {child} KiB")
    }
}

fn count(directory: &str) -> u64 {
    read_dir(directory).unwrap().count() as u64
}

/// A sum over all mappings of a process that is there.
fn share(pid: &str, field: &str) -> Option<u64> {
    let all = read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn children() -> Vec<u32> {
    let me = std::process::id();
    let pids =
        read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(me)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].split_whitespace().nth(1)?.parse().ok()
}

/// One quantity: its name, where it is in a sample, and by how much it may be higher in the second half of the time: so many of a
/// hundred, and so many beside.
type Quantity = (&'static str, fn(&Sample) -> u64, u64, u64);

const QUANTITIES: [Quantity; 6] = [
    ("Pss, KiB", |sample| sample.pss, 5, 2048),
    ("RSS, KiB", |sample| sample.rss, 5, 2048),
    ("descriptors", |sample| sample.descriptors, 0, 4),
    ("threads", |sample| sample.threads, 0, 2),
    ("children", |sample| sample.children, 0, 2),
    ("Pss of a child, KiB", |sample| sample.child, 5, 1024),
];

#[derive(Default)]
pub struct Samples(Vec<Sample>);

/// Of one quantity in a half of the time.
struct Half {
    /// A leak raises this first: what comes and goes does not touch it.
    lower_quartile: u64,
    median: u64,
    most: u64,
}

impl Half {
    fn new(samples: &[Sample], of: fn(&Sample) -> u64) -> Self {
        let mut values: Vec<u64> = samples.iter().map(of).collect();
        values.sort_unstable();
        let at = |part: usize| values[(values.len() * part / 4).min(values.len() - 1)];
        Self { lower_quartile: at(1), median: at(2), most: at(4) }
    }

    fn grew(&self, before: &Self, percent: u64, beside: u64) -> bool {
        let bound = |value: u64| value + value * percent / 100 + beside;
        self.lower_quartile > bound(before.lower_quartile) || self.median > bound(before.median)
    }
}

impl Samples {
    pub fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub fn last(&self) -> &Sample {
        self.0.last().unwrap()
    }

    /// The first fifth is for warming up, the rest is cut in two.
    fn halves(&self) -> Option<(&[Sample], &[Sample])> {
        let warm = &self.0[self.0.len() / 5..];
        (warm.len() >= 10).then(|| warm.split_at(warm.len() / 2))
    }

    pub fn is_flat(&self) -> bool {
        let Some((first, second)) = self.halves() else {
            println!("{} samples are too few to tell", self.0.len());
            return false;
        };
        let grown = QUANTITIES.iter().filter(|(_, of, percent, beside)| {
            Half::new(second, *of).grew(&Half::new(first, *of), *percent, *beside)
        });
        let names: Vec<&str> = grown.map(|(name, ..)| *name).collect();
        if names.is_empty() {
            println!("flat");
        } else {
            println!("grown: {}", names.join("; "));
        }
        names.is_empty()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, second)) = self.halves() else { return Ok(()) };
        writeln!(f, "{} samples; lower quartile, median and most of each half", first.len() + second.len())?;
        for (name, of, ..) in QUANTITIES {
            let [a, b] = [first, second].map(|half| Half::new(half, of));
            write!(f, "{name:20} {:>8} {:>8} {:>8}", a.lower_quartile, a.median, a.most)?;
            writeln!(f, "   then {:>8} {:>8} {:>8}", b.lower_quartile, b.median, b.most)?;
        }
        Ok(())
    }
}
