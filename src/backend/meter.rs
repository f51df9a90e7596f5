//! What a pool counts for the crate `metrics`. Owns the names; [`Executor::stats`](crate::Executor::stats) describes them. The
//! recorder is the user's code: it is asked anew each time, so that one that is installed later hears of everything after that, and it is never
//! called under a lock.

use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, Unit, with_recorder};

use crate::task::{Resolved, Tally, catch::catch, clock::Span};

static METADATA: Metadata<'static> = Metadata::new("polypool", Level::INFO, Some("polypool"));

pub(crate) struct Meter {
    submitted: Key,
    completed: Key,
    failed: Key,
    cancelled: Key,
    lost: Key,
    queued: Key,
    running: Key,
    queue_seconds: Key,
    run_seconds: Key,
    workers: Key,
    workers_started: Key,
    workers_lost: Key,
    workers_recycled: Key,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new("", "")
    }
}

impl Meter {
    pub(super) fn new(pool: &str, backend: &str) -> Self {
        let labels = vec![Label::new("pool", pool.to_owned()), Label::new("backend", backend.to_owned())];
        let key = |name: &'static str| Key::from_parts(name, labels.clone());
        let meter = Self {
            submitted: key("polypool_tasks_submitted_total"),
            completed: key("polypool_tasks_completed_total"),
            failed: key("polypool_tasks_failed_total"),
            cancelled: key("polypool_tasks_cancelled_total"),
            lost: key("polypool_tasks_lost_total"),
            queued: key("polypool_tasks_queued"),
            running: key("polypool_tasks_running"),
            queue_seconds: key("polypool_task_queue_seconds"),
            run_seconds: key("polypool_task_run_seconds"),
            workers: key("polypool_workers"),
            workers_started: key("polypool_workers_started_total"),
            workers_lost: key("polypool_workers_lost_total"),
            workers_recycled: key("polypool_workers_recycled_total"),
        };
        to_recorder(|recorder| meter.describe(recorder));
        meter
    }

    fn describe(&self, recorder: &dyn Recorder) {
        let name = |key: &Key| KeyName::from(key.name().to_owned());
        let count = Some(Unit::Count);
        for (key, text) in [
            (&self.submitted, "tasks, and chunks of a stream's inputs, that were submitted"),
            (&self.completed, "tasks and inputs that gave their value"),
            (&self.failed, "tasks and inputs that ended with an error of the pool's, such as a panic"),
            (&self.cancelled, "tasks and inputs that were cancelled"),
            (&self.lost, "attempts at a task that were lost with their worker"),
            (&self.workers_started, "workers that began to work"),
            (&self.workers_lost, "workers that died"),
            (&self.workers_recycled, "workers that were replaced on purpose"),
        ] {
            recorder.describe_counter(name(key), count, text.into());
        }
        for (key, text) in [
            (&self.queued, "tasks and chunks that wait"),
            (&self.running, "tasks and chunks that workers are busy with"),
            (&self.workers, "workers that there are"),
        ] {
            recorder.describe_gauge(name(key), count, text.into());
        }
        for (key, text) in [
            (&self.queue_seconds, "how long a task or chunk waited before it started"),
            (&self.run_seconds, "how long a task or chunk ran, from its last start"),
        ] {
            recorder.describe_histogram(name(key), Some(Unit::Seconds), text.into());
        }
    }

    // ---- tasks

    /// Comes before the task can be begun.
    pub(super) fn queued(&self, is_counted: bool) {
        if is_counted {
            to_recorder(|recorder| gauge(recorder, &self.queued, 1.0));
        }
    }

    /// It was not queued after all.
    pub(super) fn refused(&self, is_counted: bool) {
        if is_counted {
            to_recorder(|recorder| gauge(recorder, &self.queued, -1.0));
        }
    }

    pub(super) fn submitted(&self, is_counted: bool) {
        if is_counted {
            to_recorder(|recorder| count(recorder, &self.submitted, 1));
        }
    }

    pub(super) fn begun(&self, queued_for: Span) {
        to_recorder(|recorder| {
            gauge(recorder, &self.queued, -1.0);
            gauge(recorder, &self.running, 1.0);
            measure(recorder, &self.queue_seconds, queued_for);
        });
    }

    /// By itself.
    pub(super) fn ended(&self, tally: Tally, ran_for: Span) {
        to_recorder(|recorder| {
            gauge(recorder, &self.running, -1.0);
            measure(recorder, &self.run_seconds, ran_for);
            count(recorder, &self.completed, tally.completed);
            count(recorder, &self.failed, tally.failed);
            count(recorder, &self.cancelled, tally.cancelled);
        });
    }

    /// By somebody else. Its worker may be busy with it still.
    pub(super) fn resolved(&self, was: Resolved, is_cancelled: bool, tasks: u64, ran_for: Span) {
        to_recorder(|recorder| {
            match was {
                Resolved::Queued => gauge(recorder, &self.queued, -1.0),
                Resolved::Running => measure(recorder, &self.run_seconds, ran_for),
            }
            count(recorder, if is_cancelled { &self.cancelled } else { &self.failed }, tasks);
        });
    }

    /// A worker is done with a task that was resolved by somebody else, or is about to be.
    pub(super) fn freed(&self) {
        to_recorder(|recorder| gauge(recorder, &self.running, -1.0));
    }

    /// A task that had begun waits once more.
    pub(super) fn requeued(&self) {
        to_recorder(|recorder| {
            gauge(recorder, &self.running, -1.0);
            gauge(recorder, &self.queued, 1.0);
        });
    }

    pub(super) fn lost(&self) {
        to_recorder(|recorder| count(recorder, &self.lost, 1));
    }

    // ---- workers

    pub(super) fn worker_started(&self) {
        to_recorder(|recorder| {
            gauge(recorder, &self.workers, 1.0);
            count(recorder, &self.workers_started, 1);
        });
    }

    pub(super) fn worker_stopped(&self) {
        to_recorder(|recorder| gauge(recorder, &self.workers, -1.0));
    }

    pub(super) fn worker_lost(&self) {
        to_recorder(|recorder| count(recorder, &self.workers_lost, 1));
    }

    pub(super) fn worker_recycled(&self) {
        to_recorder(|recorder| count(recorder, &self.workers_recycled, 1));
    }
}

fn to_recorder(f: impl FnOnce(&dyn Recorder)) {
    // Its panic is its own affair.
    let _ = catch(|| with_recorder(f));
}

fn count(recorder: &dyn Recorder, key: &Key, n: u64) {
    if n > 0 {
        recorder.register_counter(key, &METADATA).increment(n);
    }
}

fn gauge(recorder: &dyn Recorder, key: &Key, by: f64) {
    recorder.register_gauge(key, &METADATA).increment(by);
}

fn measure(recorder: &dyn Recorder, key: &Key, span: Span) {
    recorder.register_histogram(key, &METADATA).record(Duration::from(span).as_secs_f64());
}
