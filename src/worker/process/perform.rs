//! How a worker process performs a call, whichever way it came. Owns what is around the function meanwhile; reading calls and
//! writing replies is done by who has the way.

use std::{cell::Cell, future::Future, pin::Pin, task::Poll};

use tracing::{Id, Span, level_filters::LevelFilter};

use super::{
    capture::Capture,
    help::{driven, home, perform_instead},
    here::Here,
};
use crate::{
    error::TaskError,
    function::{Around, Counted, Names, Origin, catch::catch, perform, spare},
    sys::process::{exit_now, was_forked},
};

/// A buffer that was larger is given back.
const KEEP: usize = 1 << 20;

/// After so many calls without a large result, the buffer for it is given back.
const FORGET_AFTER: u32 = 16;

pub(super) struct Bench {
    pub(super) here: &'static Here,
    /// The result of the last call, or its error.
    pub(super) out: Vec<u8>,
    /// Calls since one had a large result.
    since_large: u32,
}

/// A call but for its argument.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) ticket: u64,
    pub(super) entry: u64,
    pub(super) tasks: u64,
    pub(super) is_captured: bool,
    /// Where it comes from, if anybody listens there.
    pub(super) origin: Option<Origin>,
}

impl Work {
    /// The span that the call is performed in, where anybody listens here.
    fn span(&self, here: &Here) -> Span {
        if LevelFilter::current() == LevelFilter::OFF {
            return Span::none();
        }
        let origin = self.origin.as_ref();
        let caller = origin.and_then(|origin| origin.caller.as_ref());
        tracing::debug_span!(
            target: "polypool",
            parent: None::<Id>,
            "task",
            task = origin.map(|origin| origin.task),
            name = origin.and_then(|origin| origin.name.as_deref()),
            pool = here.place.name,
            backend = here.place.backend,
            worker = here.place.index,
            attempt = origin.map(|origin| origin.attempt),
            inputs = Some(self.tasks).filter(|inputs| *inputs > 1),
            caller = caller.map(|(name, _)| &**name),
            caller_id = caller.map(|(_, id)| *id),
        )
    }
}

/// Reads where a call comes from. What makes no sense is nowhere.
pub(super) fn origin(bytes: &[u8]) -> Option<Origin> {
    if bytes.is_empty() { None } else { postcard::from_bytes(bytes).ok() }
}

/// What there is to know about a chunk while it is performed, by the way that it came: where the reply is kept as far as it has
/// come, in case the worker is lost.
pub(super) trait Keeper {
    /// Nobody wants those inputs that have not begun.
    fn is_trimmed(&self) -> bool;

    /// Keeps what is behind `from`, up to which it is kept already. False when there is no room for it.
    fn keep(&self, from: usize, reply: &[u8]) -> bool;
}

impl Bench {
    pub(super) fn new(here: &'static Here) -> Self {
        Self { here, out: Vec::new(), since_large: FORGET_AFTER }
    }

    /// Performs a call. Gives the counts, and whether what is in `out` now is an error.
    pub(super) fn perform(
        &mut self,
        work: Work,
        arg: Result<&[u8], TaskError>,
        keeper: &impl Keeper,
    ) -> (Counted, bool) {
        self.out.clear();
        let Self { here, out, .. } = self;
        let capture = work.is_captured.then(|| Capture::begin(here, work.ticket)).flatten();
        let outer = here.begin(work.ticket);
        let inside = here.helping.begin(work.ticket, outer.ticket());
        let around = Surroundings { here, keeper, kept: Cell::new(0), is_chunk: work.tasks > 1 };
        // Whoever listens here is the user's, and a panic of his the task's. The span is closed before the reply is sent.
        let mut in_span = |arg: &[u8]| {
            let span = work.span(here);
            span.in_scope(|| perform(work.entry, arg, out, &around))
        };
        let done = arg
            .and_then(|arg| catch(|| in_span(arg)).unwrap_or_else(|panic| Err(TaskError::Panicked(panic))));
        if was_forked() {
            // This is a child of the worker that came back from the task. The task's worker replies.
            exit_now(0);
        }
        drop(inside);
        here.end(outer);
        here.questions.keep(here);
        if let Some(capture) = capture {
            capture.end();
        }
        let done = match (done, here.max_payload) {
            (Ok(_), Some(limit)) if self.out.len() as u64 > limit => {
                Err(TaskError::TooLarge { size: self.out.len() as u64, limit })
            }
            (done, _) => done,
        };
        match done {
            Ok(tally) => (tally, false),
            Err(error) => {
                self.out = postcard::to_stdvec(&error).unwrap_or_default();
                (
                    Counted { failed: u32::try_from(work.tasks).unwrap_or(u32::MAX), ..Counted::default() },
                    true,
                )
            }
        }
    }

    /// A large result is sent. The next large argument goes there.
    pub(super) fn recycle(&mut self) {
        spare::keep(std::mem::take(&mut self.out));
        self.since_large = 0;
    }

    /// Is there a large buffer that nobody uses?
    pub(super) fn is_warm(&self) -> bool {
        self.since_large < FORGET_AFTER
    }

    /// Nothing has come for a while.
    pub(super) fn cool_down(&mut self) {
        self.since_large = FORGET_AFTER;
        spare::forget();
    }

    /// The reply is sent.
    pub(super) fn tidy(&mut self) {
        self.since_large = self.since_large.saturating_add(1);
        if self.since_large == FORGET_AFTER {
            spare::forget();
        }
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
    }
}

/// What a function may ask while it is performed.
struct Surroundings<'a, K> {
    here: &'static Here,
    keeper: &'a K,
    /// How much of the reply to a chunk is kept already.
    kept: Cell<usize>,
    is_chunk: bool,
}

impl<K: Keeper> Around for Surroundings<'_, K> {
    fn is_stopped(&self) -> bool {
        self.here.is_stopped()
    }

    fn is_trimmed(&self) -> bool {
        self.is_chunk && self.keeper.is_trimmed()
    }

    fn keep(&self, reply: &[u8]) -> bool {
        if !self.is_chunk {
            return true;
        }
        let kept = self.kept.get();
        if kept > reply.len() || !self.keeper.keep(kept, reply) {
            return false;
        }
        self.kept.set(reply.len());
        true
    }

    fn named(&self, names: Names) {
        self.here.upstream.name(self.here, names);
    }

    fn block_on(&self, mut future: Pin<&mut (dyn Future<Output = ()> + Send)>) -> bool {
        let mut mine = None;
        loop {
            let mut end = None;
            let mut wanted = Vec::new();
            let step = std::future::poll_fn(|cx| {
                if self.here.poll_stopped(&mut mine, cx).is_ready() {
                    end = Some(false);
                    return Poll::Ready(());
                }
                let poll;
                (poll, wanted) = driven(|| future.as_mut().poll(cx));
                if poll.is_ready() {
                    end = Some(true);
                }
                if poll.is_pending() && wanted.is_empty() { Poll::Pending } else { Poll::Ready(()) }
            });
            home(self.here).block_on(std::pin::pin!(step));
            if let Some(has_ended) = end {
                return has_ended;
            }
            // No runtime can be nested in what polls it, so that comes to its end for the time.
            for task in wanted {
                perform_instead(self.here, &task);
            }
        }
    }
}
