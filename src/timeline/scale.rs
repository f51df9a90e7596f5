//! Times and numbers as people read them, and text as XML does. Owns which units are round.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// From one line of the axis to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    nanos: u64,
}

impl Step {
    /// The shortest round step that makes so many of `whole` or fewer.
    pub(super) fn of(whole: Duration, most: u64) -> Self {
        let least = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX) / most.max(1);
        let seconds = [1, 2, 5, 10, 15, 30].into_iter();
        let minutes = [60, 120, 300, 600, 900, 1800].into_iter();
        let hours = [3600, 7200, 10_800, 21_600, 43_200, 86_400].into_iter();
        let long = seconds.chain(minutes).chain(hours).map(|seconds| seconds * NANOS_PER_SECOND);
        let short = (0..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        let days = || least.div_ceil(86_400 * NANOS_PER_SECOND).saturating_mul(86_400 * NANOS_PER_SECOND);
        Self { nanos: short.chain(long).find(|step| *step >= least.max(1)).unwrap_or_else(days) }
    }

    /// The lines up to `whole`, each with what to write there.
    pub(super) fn lines(self, whole: Duration) -> impl Iterator<Item = (Duration, String)> {
        let last = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX) / self.nanos;
        let end = last * self.nanos;
        (0..=last).map(move |n| {
            let nanos = n * self.nanos;
            (Duration::from_nanos(nanos), if n == 0 { "0".to_owned() } else { self.label(nanos, end) })
        })
    }

    /// All lines have the unit of the last.
    fn label(self, nanos: u64, end: u64) -> String {
        let (unit, per) = match end {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            1_000_000..NANOS_PER_SECOND => ("ms", 1_000_000),
            _ if self.nanos < NANOS_PER_SECOND || end < 60 * NANOS_PER_SECOND => ("s", NANOS_PER_SECOND),
            _ => {
                let seconds = nanos / NANOS_PER_SECOND;
                return match seconds / 3600 {
                    0 => format!("{}:{:02} min", seconds / 60, seconds % 60),
                    hours => format!("{hours}:{:02} h", seconds / 60 % 60),
                };
            }
        };
        let digits = (0..9).find(|digits| (self.nanos * 10_u64.pow(*digits)).is_multiple_of(per)).unwrap_or(0)
            as usize;
        format!("{:.digits$} {unit}", nanos as f64 / per as f64)
    }
}

/// A duration in three digits.
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        _ if duration.is_zero() => return "0 s".to_owned(),
        _ if seconds < 1e-6 => (seconds * 1e9, "ns"),
        _ if seconds < 1e-3 => (seconds * 1e6, "µs"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ if seconds < 60.0 => (seconds, "s"),
        _ => {
            let seconds = duration.as_secs();
            return match seconds / 3600 {
                0 => format!("{} min {} s", seconds / 60, seconds % 60),
                hours => format!("{hours} h {} min", seconds / 60 % 60),
            };
        }
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// A number with a thin space between thousands.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Text for an element or an attribute. What XML does not allow is replaced; what is too long is cut.
pub(super) struct Xml<'a>(pub(super) &'a str, pub(super) usize);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, most) = *self;
        let cut = text.chars().nth(most).is_some();
        for c in text.chars().take(if cut { most.saturating_sub(1) } else { most }) {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' => f.write_char(c)?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        if cut { f.write_char('…') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        let steps = |nanos: u64| {
            let whole = Duration::from_nanos(nanos);
            Step::of(whole, 10).lines(whole).map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(steps(950_000_000)[..3], ["0", "100 ms", "200 ms"]);
        assert_eq!(steps(3_100_000)[..3], ["0", "0.5 ms", "1.0 ms"]);
        assert_eq!(steps(1_300_000_000)[1..3], ["0.2 s", "0.4 s"]);
        assert_eq!(steps(70_000_000), ["0", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms", "60 ms", "70 ms"]);
        assert_eq!(
            steps(95 * NANOS_PER_SECOND)[4..],
            ["0:40 min", "0:50 min", "1:00 min", "1:10 min", "1:20 min", "1:30 min"]
        );
        assert_eq!(steps(0), ["0"]);
        for power in 0..20 {
            let n = steps(7 * 10_u64.pow(power.min(18))).len();
            assert!((2..=11).contains(&n), "{power}: {n}");
        }
        assert!(steps(u64::MAX).len() <= 11);
    }

    #[test]
    fn times_and_numbers() {
        let times = [0, 12, 1_500, 999_999_999, 61_000_000_000, 7_380_000_000_000].map(Duration::from_nanos);
        assert_eq!(times.map(time), ["0 s", "12.0 ns", "1.50 µs", "1000 ms", "1 min 1 s", "2 h 3 min"]);
        assert_eq!(
            [7, 1000, 1_234_567].map(number),
            ["7", "1\u{202f}000", "1\u{202f}234\u{202f}567"].map(str::to_owned)
        );
    }

    #[test]
    fn text_is_escaped_and_cut() {
        assert_eq!(
            Xml("a<b>&\"\u{1b}[0m\u{ffff}", 99).to_string(),
            "a&lt;b&gt;&amp;&quot;\u{fffd}[0m\u{fffd}"
        );
        assert_eq!(Xml("&&&&", 3).to_string(), "&amp;&amp;…");
        assert_eq!(Xml("four", 4).to_string(), "four");
    }
}
