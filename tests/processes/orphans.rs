//! The end of the program is the end of its workers and of all that they have started, however it comes.

use std::time::Duration;

use rustix::process::Signal;

use crate::proc::{is_dead, kill, soon};
use crate::scenes::{Play, play};

/// What a scene's processes may take to be gone, on a machine that has nothing else to do; many times that is allowed.
const AT_ONCE: Duration = Duration::from_secs(1);

fn all_are_gone(pids: &[u32]) {
    let took = soon("all are gone", || pids.iter().all(|&pid| is_dead(pid)));
    assert!(took < 5 * AT_ONCE, "gone after {took:?}");
}

/// Five workers, idle and busy, and a program that one of them has started.
fn scene() -> (Play, Vec<u32>) {
    let mut play = play("idle_and_busy");
    let pids = play.pids();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|&pid| !is_dead(pid)));
    (play, pids)
}

#[test]
fn program_is_killed() {
    let (mut play, pids) = scene();
    play.kill();
    all_are_gone(&pids);
}

#[test]
fn program_is_ended_by_a_signal() {
    for signal in [Signal::TERM, Signal::INT, Signal::ABORT] {
        let (mut play, pids) = scene();
        kill(play.pid(), signal);
        assert_eq!(play.wait(), None);
        all_are_gone(&pids);
    }
}

#[test]
fn main_returns() {
    let mut play = play("ends_with_a_pool_in_a_static");
    let pids = play.pids();
    assert_eq!(pids.len(), 4);
    assert_eq!(play.wait(), Some(0));
    all_are_gone(&pids);
}

#[test]
fn program_exits() {
    let mut play = play("exits_with_a_pool_in_a_static");
    let pids = play.pids();
    assert_eq!(play.wait(), Some(0));
    all_are_gone(&pids);
}

/// Whoever holds the scene's standard output is one of its processes: when it closes, the last of them is gone.
#[test]
fn program_is_killed_while_workers_start() {
    for n in 0..10 {
        let mut play = play("starts_and_starts");
        assert_eq!(play.line(), "off");
        std::thread::sleep(Duration::from_millis(7 * n));
        play.kill();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            send.send(std::io::Read::read_to_end(play.out(), &mut Vec::new()).is_ok())
        });
        assert_eq!(receive.recv_timeout(10 * AT_ONCE), Ok(true), "somebody is left");
    }
}
