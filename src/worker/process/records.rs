//! The records that a task logs while it is captured, by `tracing` or by `log`. Owns the subscriber and the logger that collect
//! them; where the program has its own in a worker, it keeps them, and nothing is collected of that kind.
//!
//! They go into a file that the pool reads, so that they survive a crash and keep their order. The pool is told that there are
//! some, once until it looks.
//!
//! A worker performs one call at a time. So records of all its threads belong to that call.

use std::{
    cell::Cell,
    fmt::{self, Write as _},
    fs::File,
    io::Write as _,
    os::fd::OwnedFd,
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    dispatcher::{Dispatch, set_global_default},
    field::{Field, Visit},
    span,
    subscriber::Interest,
};

use super::here::{Here, here};
use crate::{
    sys::{copy::PerCopy, lock::lock},
    wire::control::{Record, ToPool, encode},
};

/// A longer message is cut.
const LONGEST: usize = 64 << 10;

/// Whether there is a file to collect records in.
static ON: AtomicBool = AtomicBool::new(false);
static FILE: PerCopy<Mutex<Option<File>>> = PerCopy::new(Mutex::new(None), || Mutex::new(None));

/// `log` is ours.
static OWN_LOG: AtomicBool = AtomicBool::new(false);

/// Collects records from now on.
pub(super) fn begin(_: &'static Here, file: OwnedFd) {
    *lock(FILE.get()) = Some(File::from(file));
    install();
    ON.store(true, Ordering::SeqCst);
    if OWN_LOG.load(Ordering::Relaxed) {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Collects no more.
pub(super) fn end() {
    ON.store(false, Ordering::SeqCst);
    if OWN_LOG.load(Ordering::Relaxed) {
        log::set_max_level(log::LevelFilter::Off);
    }
    let file = lock(FILE.get()).take();
    drop(file);
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Not before it is needed: the initializer and what comes before it go first.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Refused where the program has its own.
        let _ = set_global_default(Dispatch::new(Collector));
        OWN_LOG.store(log::set_logger(&Collector).is_ok(), Ordering::Relaxed);
    });
}

fn keep(record: &Record) {
    let (Ok(bytes), Some(here)) = (encode(record), here()) else { return };
    {
        let mut file = lock(FILE.get());
        let Some(file) = &mut *file else { return };
        // In one piece, and at the end: it was opened so. Without memory for it there is no record.
        if file.write_all(&bytes).is_err() {
            return;
        }
    }
    if here.words.logged() {
        here.outlet.say(&ToPool::Logged);
    }
}

/// Takes what `tracing` and `log` have to say.
struct Collector;

thread_local! {
    /// Where the last record of this thread comes from. `tracing` can be built so that it tells `log` of each of its events,
    /// which then is the same file and line at once again.
    static LAST: Cell<Option<(&'static str, u32)>> = const { Cell::new(None) };
}

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked each time, which is cheap, as it changes with each call.
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_on()
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let place = metadata.file().zip(metadata.line());
        // The thread may be on its way out.
        let _ = LAST.try_with(|last| last.set(place));
        keep(&Record {
            level: level(*metadata.level()),
            target: fields.target.take().unwrap_or_else(|| metadata.target().to_owned()),
            message: fields.into_message(),
            is_tracing: true,
        });
    }

    // There are no spans, as none is enabled.

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        is_on()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !is_on() {
            return;
        }
        let last = LAST.try_with(Cell::take).ok().flatten();
        if last.is_some() && last == record.file_static().zip(record.line()) {
            return;
        }
        let mut message = Short::default();
        // It ends where it is full.
        let _ = write!(message, "{}", record.args());
        keep(&Record {
            level: record.level() as u8,
            target: record.target().to_owned(),
            message: message.0,
            is_tracing: false,
        });
    }

    fn flush(&self) {}
}

fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// A text that is cut where it gets too long.
#[derive(Default)]
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// The fields of an event: its message, and the others behind it.
#[derive(Default)]
struct Fields {
    message: Short,
    others: Short,
    /// Of a record of `log` that came by way of `tracing`.
    target: Option<String>,
}

impl Fields {
    fn into_message(self) -> String {
        let mut message = self.message;
        let others = if message.0.is_empty() { self.others.0.trim_start() } else { &self.others.0 };
        // Also when both were cut.
        let _ = message.write_str(others);
        message.0
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // What does not fit is left out.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            // What `tracing-log` says beside the record.
            "log.target" | "log.module_path" | "log.file" | "log.line" => Ok(()),
            name => write!(self.others, " {}={value:?}", name.strip_prefix("r#").unwrap_or(name)),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            "log.target" => self.target = Some(value.to_owned()),
            _ => self.record_debug(field, &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut text = Short::default();
        assert!(write!(text, "a{}", "é".repeat(LONGEST)).is_err());
        assert!(text.0.len() <= LONGEST + '…'.len_utf8());
        assert!(text.0.starts_with("aé") && text.0.ends_with("é…"));
    }

    #[test]
    fn others_stand_behind_the_message() {
        let fields = |message: &str, others: &str| Fields {
            message: Short(message.to_owned()),
            others: Short(others.to_owned()),
            target: None,
        };
        assert_eq!(fields("said", " n=1").into_message(), "said n=1");
        assert_eq!(fields("", " n=1 m=2").into_message(), "n=1 m=2");
        assert_eq!(fields("said", "").into_message(), "said");
    }
}
