//! Where processes go when workers and caller are to be apart: threads of this program on one CPU, its children on another.
//! Knows nothing of what either does.

use std::{fs, str::FromStr};

use crate::machine::Place;

/// The processes that this one has started and that are there still, and theirs.
pub(crate) fn children() -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut next = vec![std::process::id()];
    while let Some(process) = next.pop() {
        for thread in numbers::<u32>(&format!("/proc/{process}/task")) {
            let list =
                fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).unwrap_or_default();
            let children = list.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
            for child in children {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Moves who is there already; those who come later go where their parents are. To be called when a peer has started all it
/// starts.
pub(crate) fn part(place: Place) {
    if let Some((worker, caller)) = place.apart() {
        children().into_iter().for_each(|process| move_to(process, worker));
        move_to(std::process::id(), caller);
    }
}

fn numbers<T: FromStr>(folder: &str) -> Vec<T> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    numbers::<u32>("/proc/self/fd").len()
}

fn move_to(process: u32, cpu: usize) {
    use rustix::{
        process::Pid,
        thread::{CpuSet, sched_setaffinity},
    };

    let mut set = CpuSet::new();
    set.set(cpu);
    for thread in numbers::<i32>(&format!("/proc/{process}/task")) {
        // One that has ended meanwhile needs no CPU.
        let _ = sched_setaffinity(Pid::from_raw(thread), &set);
    }
}

pub(crate) fn kill(process: u32) {
    use rustix::process::{Pid, Signal, kill_process};

    let process = Pid::from_raw(process.cast_signed()).expect("a child has a number");
    kill_process(process, Signal::KILL).expect("a child that is there can be killed");
}
