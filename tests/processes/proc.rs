//! What the system says of processes, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// How long something that must happen soon may take on a machine that is busy with other things.
const SOON: Duration = Duration::from_secs(15);

/// The state of a process, `Z` for one that is dead and not yet reaped, and its parent.
pub fn look(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// There is nothing of it, not even a zombie.
pub fn is_gone(pid: u32) -> bool {
    look(pid).is_none()
}

/// It runs no more. Whoever adopted it may not have reaped it.
pub fn is_dead(pid: u32) -> bool {
    look(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

/// The processes that this one has started, zombies included.
pub fn children_of(parent: u32) -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").expect("/proc can be listed").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| look(pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// The open descriptors of this process, by what they are.
pub fn descriptors() -> Vec<String> {
    let all = fs::read_dir("/proc/self/fd").expect("/proc can be listed").flatten();
    let mut links: Vec<_> = all
        .filter_map(|entry| Some(format!("{}", fs::read_link(entry.path()).ok()?.display())))
        // The listing itself.
        .filter(|link| !(link.starts_with("/proc/") && link.ends_with("/fd")))
        .collect();
    links.sort();
    links
}

/// The threads of this process, by name.
pub fn threads() -> Vec<String> {
    let all = fs::read_dir("/proc/self/task").expect("/proc can be listed").flatten();
    let mut names: Vec<_> = all
        .filter_map(|entry| Some(fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned()))
        .collect();
    names.sort();
    names
}

/// The names in a folder.
pub fn listing(path: &str) -> BTreeSet<String> {
    let all = fs::read_dir(path).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    all.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Waits until `done`, and gives how long that took. Looks again and again: the system tells nobody when a process that is not
/// a child ends.
pub fn soon(what: &str, done: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}: not after {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

/// As [`soon`], for a test that is a future.
pub async fn soon_async(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}: not after {SOON:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends a signal to a process.
pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a pid")).expect("not zero");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}
