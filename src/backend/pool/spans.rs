//! What the pool knows for `tracing`: the span of each task, and whose it is. Owns who is asked; the spans are kept beside the
//! events.

use super::Pool;
use crate::{
    backend::{
        queue::Entry,
        seat::{self, Seat},
        spans,
    },
    function,
    task::{AnyTask, TaskId, TaskOptions},
};

impl Pool {
    /// The span that a task runs in, within that of its caller. Where its own is not wanted, the caller's.
    pub(in crate::backend) fn span(
        &self,
        seat: &Seat,
        task: &dyn AnyTask,
        options: Option<&TaskOptions>,
    ) -> tracing::Span {
        let caller = self.speaker.spans().caller_of(task.id());
        let about = spans::About {
            pool: &self.settings.name,
            backend: self.backend.name(),
            worker: seat.index(),
            name: options.and_then(|options| options.name.as_deref()),
        };
        about.span(task, caller)
    }

    /// The same for a task that is elsewhere: its span is open until it is over, and what it says is told there.
    pub(in crate::backend) fn open_span(&self, seat: &Seat, task: &dyn AnyTask) {
        if spans::is_on() && task.is_counted() {
            let span = self.span(seat, task, task.options().as_deref());
            self.speaker.spans().open(task.id(), span);
        }
    }

    /// What the worker is told of where a call comes from, that has begun or is sent `ahead` of that.
    pub(in crate::backend) fn origin_of(&self, task: &Entry, ahead: bool) -> Option<function::Origin> {
        if !spans::is_on() || !task.is_counted() {
            return None;
        }
        let attempt = task.attempts().saturating_add(ahead.into());
        let name = task.options().and_then(|options| options.name.clone());
        Some(self.speaker.spans().origin_of(task.id(), attempt, name.as_deref()))
    }

    /// Where the span is in which a task that runs elsewhere speaks.
    pub(in crate::backend) fn span_of(&self, task: TaskId) -> tracing::Span {
        self.speaker.spans().span_of(task)
    }

    /// Submits what is left of the task that runs here: it has the same caller, and is not the task's own.
    pub(crate) fn submit_rest<T>(&self, submit: impl FnOnce() -> T) -> T {
        if !spans::is_on() {
            return submit();
        }
        let task = seat::with_current(|seat| seat.and_then(Seat::current_id));
        let caller = task.map_or_else(tracing::Span::none, |task| self.speaker.spans().caller_of(task));
        spans::on_behalf_of(caller, submit)
    }
}
