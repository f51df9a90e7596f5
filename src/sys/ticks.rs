//! A counter that runs at one speed on all CPUs, cheaper to read than the clock: the processor's own where the kernel has found
//! that it is such a counter (it keeps its clock by it then), nanoseconds of the clock elsewhere.

use std::{sync::OnceLock, time::Instant};

/// When the counting began, by both clocks.
struct Start {
    ticks: u64,
    at: Instant,
    is_processors: bool,
}

static START: OnceLock<Start> = OnceLock::new();

fn start() -> &'static Start {
    START.get_or_init(|| {
        let is_processors = processor::is_steady();
        let ticks = if is_processors { processor::read() } else { 0 };
        Start { ticks, at: Instant::now(), is_processors }
    })
}

/// Reads the counter.
pub(crate) fn now() -> u64 {
    let start = start();
    if start.is_processors {
        processor::read().wrapping_sub(start.ticks)
    } else {
        u64::try_from(start.at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Measures how long one tick is, over all the time since the start: the longer that is, the more exact.
pub(crate) fn nanos_per_tick() -> f64 {
    let start = start();
    if !start.is_processors {
        return 1.0;
    }
    // Less than this tells nothing.
    const SHORTEST: f64 = 1_000.0;
    while (start.at.elapsed().as_nanos() as f64) < SHORTEST {}
    let ticks = now();
    start.at.elapsed().as_nanos() as f64 / ticks.max(1) as f64
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod processor {
    /// The kernel keeps time by this counter only while it runs steadily, and alike on all CPUs.
    pub(super) fn is_steady() -> bool {
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        std::fs::read_to_string(source).is_ok_and(|name| name.trim() == "tsc")
    }

    #[allow(unsafe_code, reason = "the room for it")]
    pub(super) fn read() -> u64 {
        // SAFETY: the instruction reads a register and nothing else. It exists on every x86-64 processor, and Linux lets
        // programs use it unless one asks to be stopped by it (PR_SET_TSC), which a program that uses this crate does not.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
mod processor {
    pub(super) fn is_steady() -> bool {
        false
    }

    pub(super) fn read() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ticks_agree_with_the_clock() {
        let (before, clock) = (now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (ticks, elapsed) = (now() - before, clock.elapsed());
        let measured = ticks as f64 * nanos_per_tick();
        let ratio = measured / elapsed.as_nanos() as f64;
        assert!((0.9..1.1).contains(&ratio), "{ratio}");
    }
}
