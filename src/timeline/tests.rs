//! Pictures and traces of events made by hand.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::*;
use crate::{
    backend::EventKind,
    error::{Exit, WorkerLost},
    task::TaskId,
};

/// Events with times in microseconds.
struct Script {
    zero: Instant,
    timeline: Timeline,
}

impl Script {
    fn new() -> Self {
        Self { zero: Instant::now(), timeline: Timeline::default() }
    }

    fn at(&mut self, micros: u64, kind: EventKind) -> &mut Self {
        let at = self.zero + Duration::from_micros(micros);
        self.timeline.extend([Event { at, kind }]);
        self
    }

    fn queued(&mut self, micros: u64, task: u64, name: Option<&str>) -> &mut Self {
        let (task, name) = (TaskId(task), name.map(Arc::from));
        self.at(micros, EventKind::TaskQueued { task, name, priority: 0, tasks: 1 })
    }

    fn started(&mut self, micros: u64, task: u64, worker: usize) -> &mut Self {
        self.at(micros, EventKind::TaskStarted { task: TaskId(task), worker })
    }

    fn finished(&mut self, micros: u64, task: u64, worker: usize) -> &mut Self {
        self.at(micros, EventKind::TaskFinished { task: TaskId(task), worker })
    }

    fn cancelled(&mut self, micros: u64, task: u64) -> &mut Self {
        self.at(micros, EventKind::TaskCancelled { task: TaskId(task) })
    }

    fn failed(&mut self, micros: u64, task: u64, error: &str) -> &mut Self {
        self.at(micros, EventKind::TaskFailed { task: TaskId(task), error: error.to_owned() })
    }

    fn lost(&mut self, micros: u64, task: u64, worker: usize, retried: bool) -> &mut Self {
        let how = WorkerLost::new(9, Some(4711), Exit::Signal(9)).at(worker);
        self.at(micros, EventKind::WorkerLost(how));
        self.at(micros, EventKind::TaskLost { task: TaskId(task), worker, retried })
    }

    /// Each slice as (name, lane, from, how long, outcome, attempt).
    fn slices(&self) -> Vec<(String, u64, f64, Option<f64>, String, u64)> {
        let trace: Value = serde_json::from_str(&self.timeline.chrome_trace()).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("a list").clone();
        let is_slice =
            |event: &&Value| matches!(event["ph"].as_str(), Some("X" | "B")) && event["cat"] != "missed";
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let slice = |event: &Value| {
            let args = &event["args"];
            let lane = event["tid"].as_u64().expect("a lane") - 1;
            let (from, dur) = (event["ts"].as_f64().expect("a time"), event["dur"].as_f64());
            let attempt = args["attempt"].as_u64().expect("a number");
            (text(&event["name"]), lane, from, dur, text(&args["outcome"]), attempt)
        };
        events.iter().filter(is_slice).map(slice).collect()
    }

    fn svg(&self) -> String {
        let svg = self.timeline.svg();
        check_xml(&svg);
        svg
    }
}

fn slice(
    name: &str,
    lane: u64,
    from: f64,
    dur: Option<f64>,
    outcome: &str,
    attempt: u64,
) -> (String, u64, f64, Option<f64>, String, u64) {
    (name.to_owned(), lane, from, dur, outcome.to_owned(), attempt)
}

/// Every element is closed in its turn, every attribute is quoted, and no `&` or `<` stands for itself.
fn check_xml(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        check_references(before);
        let end = tag.find('>').expect("a tag has an end");
        let (tag, after) = (&tag[1..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let quotes: Vec<_> = attributes.split('"').collect();
        assert_eq!(quotes.len() % 2, 1, "{tag}");
        for pair in quotes.chunks_exact(2) {
            assert!(pair[0].ends_with('=') && !pair[1].contains('<'), "{tag}");
            check_references(pair[1]);
        }
        *counts.entry(name.to_owned()).or_default() += 1;
        if !is_empty {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    counts
}

fn check_references(text: &str) {
    for reference in text.split('&').skip(1) {
        let name = reference.split_once(';').expect("a reference has an end").0;
        assert!(["lt", "gt", "amp", "quot"].contains(&name), "{name}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn task_from_queue_to_end() {
    let mut script = Script::new();
    script.queued(0, 1, Some("first")).started(10, 1, 2).finished(35, 1, 2);
    assert_eq!(script.slices(), [slice("first", 2, 10.0, Some(25.0), "finished", 1)]);
    let svg = script.svg();
    assert!(svg.contains("1 task in 35.0 µs · 1 worker, busy 71 % of the time"), "{svg}");
    assert!(svg.contains("ran 25.0 µs, waited 10.0 µs") && svg.contains("worker 2"));
}

#[test]
fn task_that_is_lost_and_tried_again_has_two_bars() {
    let mut script = Script::new();
    script.queued(0, 1, None).started(1, 1, 0).lost(5, 1, 0, true).started(8, 1, 1).finished(9, 1, 1);
    let lost = slice("task 1", 0, 1.0, Some(4.0), "lost", 1);
    assert_eq!(script.slices(), [lost, slice("task 1", 1, 8.0, Some(1.0), "finished", 2)]);
    let svg = script.svg();
    assert!(svg.contains("1 task in 9.00 µs, 2 attempts"));
    assert!(svg.contains("worker 9 (pid 4711) was ended by signal 9"));
}

#[test]
fn task_that_is_lost_for_good_has_the_error_in_its_last_bar() {
    let mut script = Script::new();
    script.queued(0, 1, None).started(1, 1, 0).lost(5, 1, 0, false).failed(5, 1, "its worker died");
    assert_eq!(script.slices(), [slice("task 1", 0, 1.0, Some(4.0), "lost", 1)]);
    let svg = script.svg();
    assert!(svg.contains("its worker died") && svg.contains(">1 lost<") && !svg.contains("failed<"));
}

#[test]
fn task_cancelled_while_it_waits_has_a_tick_and_no_bar() {
    let mut script = Script::new();
    script.queued(0, 1, Some("late")).cancelled(7, 1);
    assert_eq!(script.slices(), []);
    let svg = script.svg();
    assert!(svg.contains("cancelled before it started: late") && svg.contains(">1 cancelled<"));
}

#[test]
fn task_that_still_runs_is_open() {
    let mut script = Script::new();
    script.queued(0, 1, None).started(1, 1, 0).queued(5, 2, None);
    assert_eq!(script.slices(), [slice("task 1", 0, 1.0, None, "running", 1)]);
    assert!(script.svg().contains(">1 running<"));
}

#[test]
fn end_that_is_told_late_does_not_reach_into_the_next_task() {
    let mut script = Script::new();
    script
        .queued(0, 1, None)
        .queued(0, 2, None)
        .started(1, 1, 0)
        .started(5, 2, 0)
        .cancelled(7, 1)
        .finished(9, 2, 0);
    let first = slice("task 1", 0, 1.0, Some(4.0), "cancelled", 1);
    assert_eq!(script.slices(), [first, slice("task 2", 0, 5.0, Some(4.0), "finished", 1)]);
}

#[test]
fn events_that_were_missed_are_a_gap() {
    let mut script = Script::new();
    script.queued(0, 1, None).started(1, 1, 0).at(900, EventKind::Missed { events: 37 });
    script.started(500, 8, 0).finished(600, 8, 0).finished(700, 9, 1);
    let unheard = slice("task 1", 0, 1.0, Some(499.0), "end not heard", 1);
    let rest = [
        slice("task 8", 0, 500.0, Some(100.0), "finished", 1),
        slice("task 9", 1, 1.0, Some(699.0), "finished", 1),
    ];
    assert_eq!(script.slices(), [[unheard].to_vec(), rest.to_vec()].concat());
    let svg = script.svg();
    assert!(svg.contains("37 events missed here") && svg.contains("37 events missed, so this is not all"));
}

#[test]
fn chunk_says_how_many_inputs_it_has() {
    let mut script = Script::new();
    script.at(0, EventKind::TaskQueued { task: TaskId(1), name: None, priority: 4, tasks: 1000 });
    script.started(1, 1, 0).finished(2, 1, 0);
    let svg = script.svg();
    assert!(
        svg.contains("chunk 1\nfinished")
            && svg.contains("\n1\u{202f}000 inputs")
            && svg.contains("\npriority 4")
    );
    assert!(svg.contains("1 of them chunks of inputs"));
}

#[test]
fn names_and_errors_are_escaped() {
    let mut script = Script::new();
    script.queued(0, 1, Some("<a href=\"x\">&\0")).started(1, 1, 0).failed(2, 1, "a < b\u{1b}[31m");
    script.queued(2, 2, Some("</svg>\\\u{7f}")).cancelled(3, 2);
    let svg = script.svg();
    assert!(
        svg.contains("&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}") && svg.contains("a &lt; b\u{fffd}[31m")
    );
    assert_eq!(script.slices()[0].0, "<a href=\"x\">&\0");
}

#[test]
fn nothing_is_drawn_of_nothing() {
    let script = Script::new();
    assert!(script.svg().contains("no task was started"));
    assert_eq!(script.slices(), []);
}

#[test]
fn events_in_no_order_at_all_are_no_harm() {
    let mut script = Script::new();
    script.finished(50, 1, 0).started(40, 1, 0).cancelled(30, 1).cancelled(20, 1).queued(10, 1, None);
    script
        .started(5, 7, 3)
        .started(4, 7, 3)
        .started(3, 8, 3)
        .lost(2, 8, 1, true)
        .lost(2, 7, 3, false)
        .failed(1, 99, "");
    script.at(0, EventKind::WorkerStopped { worker: 0 }).at(0, EventKind::WorkerRecycled { worker: 77 });
    script.svg();
    script.slices();
}

#[test]
fn picture_of_very_many_tasks_is_bounded_and_shows_each_that_failed_in_time() {
    let mut script = Script::new();
    for task in 0..100_000 {
        script.queued(task, task, Some("a name that is not short at all")).started(
            task,
            task,
            (task % 500) as usize,
        );
        if task % 10_000 == 77 {
            script.failed(task + 1, task, "one of few");
        } else {
            script.finished(task + 1, task, (task % 500) as usize);
        }
    }
    let svg = script.svg();
    assert!(svg.len() < 8 << 20, "{}", svg.len());
    assert_eq!(svg.matches(">1 failed, or").count(), 10);
    assert!(svg.contains("and 100 lanes more"));
}

#[test]
fn file_is_what_its_name_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let timeline = Timeline::default();
    for (name, start) in [("a.svg", "<svg "), ("a.SVG", "<svg "), ("a.json", "{")] {
        timeline.write(folder.path().join(name)).expect("written");
        assert!(fs::read_to_string(folder.path().join(name)).expect("there").starts_with(start));
    }
    for name in ["a", "a.png", "svg", ".json"] {
        let error = timeline.write(folder.path().join(name)).expect_err("no such form");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(".svg") && error.to_string().contains(".json"));
    }
    let error = timeline.write(folder.path().join("no/a.svg")).expect_err("no such folder");
    assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("a.svg"));
}
