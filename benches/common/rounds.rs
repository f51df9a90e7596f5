//! How figures are taken in turn: again while others disturb them, as far as patience goes. Knows nothing of what is measured.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{figures::Figures, machine};

/// While others use more of the CPUs than this, figures wait; those that were taken all the same are taken again, ...
const DISTURBED: f64 = 0.05;

/// ... so many times, and the quietest one counts.
const ATTEMPTS: usize = 4;

/// Says on a terminal what goes on.
pub(crate) fn progress(text: &str) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        // A bench whose progress cannot be shown goes on.
        let _ = write!(stderr, "\r\x1b[K{text}");
    }
}

/// Who names nothing wants everything.
pub(crate) fn is_wanted<T: PartialEq>(named: &[T], this: &T) -> bool {
    named.is_empty() || named.contains(this)
}

/// Takes a figure until nobody disturbs that, or patience ends; with the part of the CPUs that others had meanwhile.
pub(crate) fn least_disturbed(patience: &mut Duration, take: impl Fn() -> Figures) -> (Figures, f64) {
    let mut best: Option<(Figures, f64)> = None;
    for attempt in 0..ATTEMPTS {
        let start = Instant::now();
        machine::wait_until_quiet(DISTURBED, *patience);
        let waited = start.elapsed();
        let meter = machine::Meter::start();
        let figures = take();
        let foreign = meter.foreign_part();
        // The first attempt is not lost on anyone.
        let spent = if attempt == 0 { waited } else { start.elapsed() };
        *patience = patience.saturating_sub(spent);
        if best.as_ref().is_none_or(|(_, least)| foreign < *least) {
            best = Some((figures, foreign));
        }
        if foreign < DISTURBED || patience.is_zero() {
            break;
        }
    }
    best.unwrap_or_default()
}
