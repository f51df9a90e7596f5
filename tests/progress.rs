//! Bars of streams: what they show, and how they end.
#![cfg(feature = "progress")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, executor::block_on, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle, TermLike};
use polypool::{Executor, as_completed};

/// A terminal of one line.
#[derive(Debug, Clone, Default)]
struct Term(Arc<Mutex<String>>);

impl Term {
    fn contents(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl TermLike for Term {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if !text.trim().is_empty() {
            *self.0.lock().unwrap() = text.trim().to_owned();
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.lock().unwrap().clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A bar that stays when it is finished, and where it is drawn.
fn bar() -> (ProgressBar, Term) {
    let term = Term::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
    let bar = ProgressBar::with_draw_target(None, target).with_finish(ProgressFinish::AndLeave);
    bar.set_style(ProgressStyle::with_template("{pos} of {len}").unwrap());
    (bar, term)
}

fn threads(n: usize) -> Executor {
    Executor::threads(n).unwrap()
}

#[test]
fn bar_shows_what_was_taken_and_finishes() {
    let (bar, term) = bar();
    block_on(async {
        let mut results = threads(2).map(|n: u64| n, 0..50).progress(bar.clone());
        assert_eq!((bar.position(), bar.length()), (0, Some(50)));
        for taken in 1..=50 {
            results.next().await.unwrap().unwrap();
            assert_eq!(bar.position(), taken);
        }
        assert!(!bar.is_finished());
        assert!(results.next().await.is_none());
    });
    assert!(bar.is_finished());
    assert_eq!(term.contents(), "50 of 50");
}

#[test]
fn errors_count_like_values() {
    let bar = ProgressBar::hidden();
    block_on(async {
        let results = threads(2).as_completed(|n: u64| 10 / n, 0..10).progress(bar.clone());
        assert_eq!(results.count().await, 10);
    });
    assert!(bar.is_finished() && bar.position() == 10);
}

#[test]
fn length_that_nobody_knows_stays_as_it_was_set() {
    let unknown = || (0..10).filter(|n| n % 2 == 0);
    block_on(async {
        let bar = ProgressBar::hidden();
        bar.set_length(7);
        threads(1).map(|n: u64| n, unknown()).progress(bar.clone()).count().await;
        assert!(bar.is_finished() && bar.length() == Some(7));
        let bar = ProgressBar::no_length();
        bar.set_draw_target(ProgressDrawTarget::hidden());
        threads(1).map_stream(|n: u64| n, stream::iter(unknown())).progress(bar.clone()).count().await;
        assert!(bar.is_finished() && bar.position() == 5);
    });
}

#[test]
fn stream_dropped_half_way_abandons_the_bar() {
    let (bar, term) = bar();
    block_on(async {
        let mut results = threads(1).map(|n: u64| n, 0..10).progress(bar.clone());
        for _ in 0..3 {
            results.next().await.unwrap().unwrap();
        }
    });
    assert!(bar.is_finished());
    assert_eq!(term.contents(), "3 of 10");
}

#[test]
fn stream_that_gave_all_and_was_not_asked_for_more_finishes_the_bar() {
    let (bar, term) = bar();
    block_on(async { threads(1).map(|n: u64| n, 0..10).progress(bar.clone()).take(10).count().await });
    assert!(bar.is_finished());
    assert_eq!(term.contents(), "10 of 10");
}

#[test]
fn first_error_of_a_stream_that_fails_fast_abandons_the_bar() {
    let (bar, term) = bar();
    block_on(async {
        let results = threads(1).map(|n: u64| 10 / n, [5, 2, 0, 1]).chunk_size(1).fail_fast();
        assert_eq!(results.progress(bar.clone()).count().await, 3);
    });
    assert!(bar.is_finished());
    assert_eq!(term.contents(), "3 of 4");
}

#[test]
fn end_by_timeout_abandons_the_bar() {
    let bar = ProgressBar::hidden();
    block_on(async {
        let pool = Executor::tasks(1).unwrap();
        let endless = pool.map_async(async |_: u64| std::future::pending::<()>().await, 0..3);
        let results = endless.timeout(Duration::from_millis(1)).cancel_on_drop(true).progress(bar.clone());
        assert!(results.collect::<Vec<_>>().await.pop().unwrap().unwrap_err().is_timed_out());
    });
    assert!(bar.is_finished() && bar.position() < 3);
}

#[test]
fn bar_that_was_finished_by_its_user_is_left_alone() {
    let (bar, term) = bar();
    block_on(async {
        let mut results = threads(1).map(|n: u64| n, 0..10).progress(bar.clone());
        results.next().await.unwrap().unwrap();
        bar.finish_and_clear();
        results.count().await;
    });
    assert_eq!(bar.position(), 10); // `finish` goes to the end
    assert_eq!(term.contents(), "");
}

#[test]
fn handles_make_the_bar_as_long_as_they_are_many() {
    let (bar, term) = bar();
    block_on(async {
        let pool = threads(2);
        let mut results = as_completed((0..3).map(|n| pool.submit(|n: u64| n, n))).progress(bar.clone());
        assert_eq!(bar.length(), Some(3));
        results.next().await.unwrap().1.unwrap();
        results.push(pool.submit(|n: u64| n, 4));
        assert_eq!((bar.position(), bar.length()), (1, Some(4)));
        results.count().await;
    });
    assert!(bar.is_finished());
    assert_eq!(term.contents(), "4 of 4");
}
