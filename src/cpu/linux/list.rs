//! The kernel's list format, `0-3,8,10-11`. Owns the set of CPUs that it stands for, as ranges: a line of
//! text never costs more memory than its own length, whatever numbers are in it.

use std::fmt;
use std::ops::RangeInclusive;

use super::super::report::quote;

/// A set of CPU numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuList {
    /// Ascending, with a gap before each but the first.
    ranges: Vec<RangeInclusive<usize>>,
}

impl CpuList {
    /// The highest CPU number that is believed. The kernel's own limit (`NR_CPUS`) is 8,192 at most; a list
    /// that goes beyond this one is not a list of CPUs.
    const HIGHEST: usize = u16::MAX as usize;

    /// Reads a list; an empty one is a list, too. The error says what is wrong, without naming the file.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::union(Vec::new()));
        }
        let range = |piece| range(piece).ok_or_else(|| format!("{} is not a list of CPUs", quote(text)));
        Ok(Self::union(text.split(',').map(range).collect::<Result<_, _>>()?))
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn contains(&self, cpu: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&cpu))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().cloned().flatten()
    }

    fn union(mut ranges: Vec<RangeInclusive<usize>>) -> Self {
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut union: Vec<RangeInclusive<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match union.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => union.push(range),
            }
        }
        Self { ranges: union }
    }
}

impl FromIterator<usize> for CpuList {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self::union(cpus.into_iter().map(|cpu| cpu..=cpu).collect())
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

fn range(piece: &str) -> Option<RangeInclusive<usize>> {
    let (start, end) = piece.split_once('-').unwrap_or((piece, piece));
    let (start, end) = (number(start)?, number(end)?);
    (start <= end && end <= CpuList::HIGHEST).then_some(start..=end)
}

fn number(text: &str) -> Option<usize> {
    // `parse` alone would accept "+1".
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CpuList;

    fn cpus(text: &str) -> Option<Vec<usize>> {
        CpuList::parse(text).ok().map(|list| list.iter().collect())
    }

    /// A small generator of numbers (splitmix64), so that every run tries the same cases.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % bound as u64) as usize
        }
    }

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(cpus("0\n"), Some(vec![0]));
        assert_eq!(cpus("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(cpus("\n"), Some(vec![]));
    }

    #[test]
    fn overlaps_and_disorder_count_once() {
        let list = CpuList::parse("8,0-3,2-5,8-8,6").expect("a list");
        assert_eq!(list.to_string(), "0-6,8");
        assert_eq!(list.len(), 8);
        assert!(list.contains(4) && !list.contains(7));
    }

    #[test]
    fn what_is_not_a_list_is_refused() {
        for text in [
            "abc", "-", "1-", "-1", "3-1", "1,,2", ",", "1 2", "+1", "0x1", "1-2-3", "0-31:2/4", "１",
            "\u{fffd}", "1.5",
        ] {
            assert_eq!(cpus(text), None, "{text:?}");
        }
    }

    #[test]
    fn absurd_numbers_are_refused_at_once() {
        for text in
            ["0-99999999999", "99999999999", "0-18446744073709551615", "18446744073709551616", "0-65536"]
        {
            assert_eq!(cpus(text), None, "{text:?}");
        }
        let widest = "0-65535,".repeat(100_000) + "0";
        assert_eq!(CpuList::parse(&widest).expect("a list").len(), 65_536);
    }

    #[test]
    fn any_set_survives_being_written_and_read() {
        let mut numbers = Numbers(1);
        for _ in 0..2_000 {
            let (amount, bound) = (numbers.below(40), 1 + numbers.below(80));
            let set: BTreeSet<usize> = (0..amount).map(|_| numbers.below(bound)).collect();
            let list: CpuList = set.iter().copied().collect();
            assert_eq!(CpuList::parse(&list.to_string()), Ok(list.clone()));
            assert_eq!(list.len(), set.len());
            assert_eq!(list.iter().collect::<BTreeSet<_>>(), set);
            assert!((0..bound).all(|cpu| list.contains(cpu) == set.contains(&cpu)));
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_it_accepts_it_can_write() {
        const ALPHABET: [char; 12] = ['0', '1', '9', '-', ',', ' ', '\n', '+', ':', 'x', 'é', '\u{fffd}'];
        let mut numbers = Numbers(2);
        for _ in 0..20_000 {
            let text: String =
                (0..numbers.below(12)).map(|_| ALPHABET[numbers.below(ALPHABET.len())]).collect();
            if let Ok(list) = CpuList::parse(&text) {
                assert_eq!(CpuList::parse(&list.to_string()), Ok(list), "{text:?}");
            }
        }
    }
}
