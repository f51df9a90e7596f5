//! For whom something is locked. Owns what counts as one: a task of a pool, else a thread that blocks, else a future, by its waker.

use std::{
    cell::Cell,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use crate::{
    backend::seat,
    inside::process::performed,
    primitives::{Who, origin},
};

const THREAD: u64 = 1;
const FUTURE: u64 = 2;
const CALL: u64 = 3;

/// Who runs on this thread, and may block it.
pub(super) fn thread() -> Who {
    task().unwrap_or_else(|| Who(origin(), THREAD, thread_number()))
}

/// Who is polled.
pub(super) async fn future() -> Who {
    let here = |cx: &mut Context<'_>| {
        Poll::Ready(task().unwrap_or_else(|| Who(origin(), FUTURE, cx.waker().data() as usize as u64)))
    };
    poll_fn(here).await
}

fn task() -> Option<Who> {
    let of_seat = seat::current().and_then(|seat| {
        let pool = seat.pool()?;
        Some(Who(origin(), Arc::as_ptr(&pool) as usize as u64, seat.current_id()?.0))
    });
    // A number of a pool is an address, and never as small as the others.
    of_seat.or_else(|| performed().map(|ticket| Who(origin(), CALL, ticket)))
}

fn thread_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static MINE: Cell<u64> = const { Cell::new(0) };
    }
    let mine = MINE.try_with(|mine| {
        if mine.get() == 0 {
            mine.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        mine.get()
    });
    // A thread that is being torn down is nobody again.
    mine.unwrap_or_else(|_| LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
