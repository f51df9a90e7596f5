//! What the events say, put in order: who ran what from when to when, and how it ended. Owns the reading of events, also of those
//! that are missing; knows nothing of pictures.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use crate::{
    backend::{Event, EventKind},
    task::TaskId,
};

/// How one attempt at a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Outcome {
    /// It has not.
    Running,
    Finished,
    /// Nobody heard.
    Unheard,
    Cancelled,
    Failed,
    Lost,
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Unheard => "end not heard",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// One attempt at a task, on its worker's lane.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) task: TaskId,
    pub(super) lane: usize,
    pub(super) from: Instant,
    /// None while it runs.
    pub(super) to: Option<Instant>,
    pub(super) outcome: Outcome,
    pub(super) attempt: u32,
    /// None when the submission was not heard.
    pub(super) asked: Option<Asked>,
    pub(super) error: Option<Box<str>>,
}

impl Bar {
    pub(super) fn name(&self) -> String {
        match &self.asked {
            Some(Asked { name: Some(name), .. }) => name.to_string(),
            Some(Asked { inputs: 2.., .. }) => format!("chunk {}", self.task),
            _ => format!("task {}", self.task),
        }
    }

    /// For how many inputs of a stream it stands, if it is of one.
    pub(super) fn inputs(&self) -> u64 {
        self.asked.as_ref().map_or(1, |asked| asked.inputs)
    }
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) name: Option<Arc<str>>,
    pub(super) priority: i32,
    pub(super) inputs: u64,
    attempts: u32,
}

/// A task that ended without ever being started.
#[derive(Debug, Clone)]
pub(super) struct Unstarted {
    pub(super) at: Instant,
    pub(super) task: TaskId,
    pub(super) outcome: Outcome,
    pub(super) name: Option<Arc<str>>,
    pub(super) error: Option<Box<str>>,
}

/// Something that happened to a worker.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) at: Instant,
    /// None when it is not known.
    pub(super) lane: Option<usize>,
    /// How it was lost; None when it was replaced on purpose.
    pub(super) lost: Option<Box<str>>,
}

/// A time of which something is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) from: Instant,
    pub(super) to: Instant,
    pub(super) events: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    /// When the listening began, or the first event.
    pub(super) from: Option<Instant>,
    pub(super) until: Option<Instant>,
    pub(super) bars: Vec<Bar>,
    pub(super) unstarted: Vec<Unstarted>,
    /// How many tasks wait, after each change.
    pub(super) queue: Vec<(Instant, usize)>,
    pub(super) marks: Vec<Mark>,
    pub(super) gaps: Vec<Gap>,
    /// When there was a worker on a lane.
    pub(super) shifts: Vec<(usize, Instant, Option<Instant>)>,
    waiting: HashMap<TaskId, Asked>,
    /// Places in `bars`.
    running: HashMap<TaskId, usize>,
    lanes: BTreeMap<usize, Lane>,
    missed: u64,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// The last bar that has not ended.
    running: Option<usize>,
    /// The worker that is there.
    shift: Option<usize>,
}

impl Story {
    /// Of what is told from now on.
    pub(super) fn since(now: Instant) -> Self {
        Self { from: Some(now), ..Self::default() }
    }

    pub(super) fn add(&mut self, event: Event) {
        let Event { at, kind } = event;
        if let EventKind::Missed { events } = kind {
            // When that was noticed says nothing of when it was.
            self.missed += events;
            return;
        }
        let before = self.until.unwrap_or(at).min(at);
        self.extend_to(at);
        if self.missed > 0 {
            self.gap(before, at);
        }
        match kind {
            EventKind::TaskQueued { task, name, priority, tasks } => {
                self.waiting.insert(task, Asked { at, name, priority, inputs: tasks, attempts: 0 });
                self.count_queue(at);
            }
            EventKind::TaskStarted { task, worker } => self.start(task, worker, at),
            EventKind::TaskFinished { task, worker } => {
                self.end(task, Some(worker), at, Outcome::Finished, None)
            }
            EventKind::TaskFailed { task, error } => {
                self.end(task, None, at, Outcome::Failed, Some(error.into()))
            }
            EventKind::TaskCancelled { task } => self.end(task, None, at, Outcome::Cancelled, None),
            EventKind::TaskLost { task, worker, retried } => self.lose(task, worker, at, retried),
            EventKind::WorkerStarted { worker } => {
                self.end_shift(worker, at);
                self.lanes.entry(worker).or_default().shift = Some(self.shifts.len());
                self.shifts.push((worker, at, None));
            }
            EventKind::WorkerStopped { worker } => self.end_shift(worker, at),
            EventKind::WorkerLost(lost) => {
                self.marks.push(Mark { at, lane: lost.index, lost: Some(lost.to_string().into()) })
            }
            EventKind::WorkerRecycled { worker } => {
                self.marks.push(Mark { at, lane: Some(worker), lost: None })
            }
            EventKind::TaskProgress { .. } | EventKind::Missed { .. } => {}
        }
    }

    /// Nothing more is told. What still runs, runs until now.
    pub(super) fn close(&mut self, now: Instant) {
        if self.missed > 0 || !self.running.is_empty() || !self.waiting.is_empty() {
            let before = self.until.unwrap_or(now);
            self.extend_to(now);
            if self.missed > 0 {
                self.gap(before, now);
            }
        }
    }

    /// How many events are missing in all.
    pub(super) fn missed(&self) -> u64 {
        self.missed + self.gaps.iter().map(|gap| gap.events).sum::<u64>()
    }

    /// The lanes that there are, in order.
    pub(super) fn lanes(&self) -> impl ExactSizeIterator<Item = usize> {
        self.lanes.keys().copied()
    }

    fn extend_to(&mut self, at: Instant) {
        self.from = Some(self.from.map_or(at, |from| from.min(at)));
        self.until = Some(self.until.map_or(at, |until| until.max(at)));
    }

    fn start(&mut self, task: TaskId, lane: usize, at: Instant) {
        if let Some(bar) = self.running.remove(&task) {
            // Its worker never came to it, and another does.
            self.bars[bar].outcome = Outcome::Unheard;
            self.bars[bar].to = Some(self.bars[bar].from);
        }
        let mut asked = self.waiting.remove(&task);
        self.count_queue(at);
        let attempt = asked.as_mut().map_or(1, |asked| {
            asked.attempts += 1;
            asked.attempts
        });
        let (bar, outcome) = (self.bars.len(), Outcome::Running);
        self.bars.push(Bar { task, lane, from: at, to: None, outcome, attempt, asked, error: None });
        self.running.insert(task, bar);
        // One at a time: the end of the one before is to come, or was missed.
        if let Some(last) = self.lanes.entry(lane).or_default().running.replace(bar) {
            let last = &mut self.bars[last];
            last.to = Some(at.max(last.from));
            last.outcome = Outcome::Unheard;
        }
    }

    fn end(
        &mut self,
        task: TaskId,
        lane: Option<usize>,
        at: Instant,
        outcome: Outcome,
        error: Option<Box<str>>,
    ) {
        if let Some(bar) = self.running.remove(&task) {
            self.close_bar(bar, at, outcome, error);
            return;
        }
        let asked = self.waiting.remove(&task);
        if asked.is_some() {
            self.count_queue(at);
        }
        if let Some(lane) = lane {
            // It began before anybody listened.
            let from = self.gaps.last().map(|gap| gap.from).or(self.from).unwrap_or(at);
            self.lanes.entry(lane).or_default();
            let to = Some(at);
            self.bars.push(Bar { task, lane, from, to, outcome, attempt: 1, asked, error });
        } else if asked.as_ref().is_some_and(|asked| asked.attempts > 0) && outcome == Outcome::Failed {
            // The attempts are there to see, the last one as lost.
            if let Some(last) = self.bars.iter_mut().rfind(|bar| bar.task == task) {
                last.error = error;
            }
        } else {
            let name = asked.and_then(|asked| asked.name);
            self.unstarted.push(Unstarted { at, task, outcome, name, error });
        }
    }

    fn close_bar(&mut self, bar: usize, at: Instant, outcome: Outcome, error: Option<Box<str>>) {
        let it = &mut self.bars[bar];
        // It may have made way for the next already, where its end was told late.
        it.to = Some(it.to.map_or(at, |to| to.min(at)).max(it.from));
        it.outcome = outcome;
        it.error = error;
        if let Some(lane) = self.lanes.get_mut(&it.lane) {
            lane.running.take_if(|running| *running == bar);
        }
    }

    fn lose(&mut self, task: TaskId, lane: usize, at: Instant, retried: bool) {
        let Some(bar) = self.running.remove(&task) else {
            // A worker that was lost before it ran what it had taken.
            self.lanes.entry(lane).or_default();
            return;
        };
        self.close_bar(bar, at, Outcome::Lost, None);
        // What comes after is a second attempt, or the word that there is none; either is of the same task.
        if let Some(asked) = self.bars[bar].asked.clone() {
            self.waiting.insert(task, Asked { at, ..asked });
            if retried {
                self.count_queue(at);
            }
        }
    }

    fn end_shift(&mut self, lane: usize, at: Instant) {
        if let Some(shift) = self.lanes.entry(lane).or_default().shift.take() {
            self.shifts[shift].2 = Some(at);
        }
    }

    fn count_queue(&mut self, at: Instant) {
        let len = self.waiting.len();
        match self.queue.last_mut() {
            Some((last, count)) if *last >= at => *count = len,
            Some((_, count)) if *count == len => {}
            _ => self.queue.push((at, len)),
        }
    }

    /// Between these times something happened that nobody heard.
    fn gap(&mut self, from: Instant, to: Instant) {
        self.gaps.push(Gap { from, to, events: std::mem::take(&mut self.missed) });
    }
}
