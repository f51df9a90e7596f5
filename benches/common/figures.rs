//! Figures: their units, how they are shown, and what many of them come to. Knows nothing of what they are of.

use std::collections::BTreeMap;

/// What one process has measured.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// A figure of a scenario.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "a bench has not all of them")]
pub(crate) enum Unit {
    /// The more the better; of all others, the less.
    PerSecond,
    Nanoseconds,
    Seconds,
    Bytes,
    Times,
    Count,
}

pub(crate) const fn metric(name: &'static str, unit: Unit) -> Metric {
    Metric { name, unit }
}

/// Reads what a process printed, `name=value` in each line.
pub(crate) fn read(text: &str, metrics: &[Metric]) -> Figures {
    let figure = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let metric = metrics.iter().find(|metric| metric.name == name)?;
        Some((metric.name, value.parse().ok()?))
    };
    text.lines().filter_map(figure).collect()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

// ---- samples

/// All samples, by round: a ratio is taken between neighbours in time.
pub(crate) struct Samples<K>(BTreeMap<K, BTreeMap<usize, f64>>);

/// How many times better one is than another.
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl<K> Default for Samples<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Samples<K> {
    pub(crate) fn add(&mut self, key: K, round: usize, value: f64) {
        self.0.entry(key).or_default().insert(round, value);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &BTreeMap<usize, f64>)> {
        self.0.iter()
    }

    pub(crate) fn median(&self, key: &K) -> Option<f64> {
        Some(median(self.0.get(key)?.values().copied().collect()))
    }

    /// How many times better `ours` is than `theirs`; below 1 it is worse.
    pub(crate) fn ratio(&self, ours: &K, theirs: &K, unit: Unit) -> Option<Ratio> {
        let (theirs, ours) = (self.0.get(theirs)?, self.0.get(ours)?);
        let more_is_better = unit == Unit::PerSecond;
        let mut ratios: Vec<f64> = ours
            .iter()
            .filter_map(|(round, ours)| Some((ours, theirs.get(round)?)))
            .map(|(ours, theirs)| if more_is_better { ours / theirs } else { theirs / ours })
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (lowest, highest) = (*ratios.first()?, *ratios.last()?);
        Some(Ratio { median: median(ratios), lowest, highest })
    }
}

// ---- as text

pub(crate) fn show_ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

pub(crate) fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
        Unit::PerSecond => format!("{:.0} k/s", value / 1e3),
        Unit::Nanoseconds if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        Unit::Nanoseconds if value >= 1e4 => format!("{:.1} µs", value / 1e3),
        Unit::Nanoseconds if value >= 1e3 => format!("{:.2} µs", value / 1e3),
        Unit::Nanoseconds => format!("{value:.0} ns"),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Times => format!("{value:.2}×"),
        Unit::Count => format!("{value}"),
    }
}
