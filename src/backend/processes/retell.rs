//! Records of a task, told again in the program that submitted it: each as what it was, to `tracing` or to `log`, so that what
//! connects the two in this program does with it what it would have done with the program's own, and nothing comes twice.
//! Owns the places that such records of `tracing` come from.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock},
};

use tracing::{Event, Level, Metadata, Value, level_filters::LevelFilter};
use tracing_core::{
    Kind,
    callsite::{self, Callsite, Identifier},
    field::{FieldSet, display},
};

use crate::{sys::lock::lock, task::catch::catch, wire::control::Record};

/// So many targets are known by their names, for good. Those of a program are few; what a task makes up may be more.
const MOST_TARGETS: usize = 1024;

/// The target of the records of others.
const OTHER: &str = "polypool::task";

pub(super) fn retell(record: &Record, worker: usize, span: &tracing::Span) {
    // Who listens is the user's code, and its panic its own affair.
    let _ = catch(|| {
        span.in_scope(|| if record.is_tracing { by_tracing(record, worker) } else { by_log(record) })
    });
}

fn by_log(record: &Record) {
    let level = match record.level {
        1 => log::Level::Error,
        2 => log::Level::Warn,
        3 => log::Level::Info,
        4 => log::Level::Debug,
        _ => log::Level::Trace,
    };
    if level > log::max_level() {
        return;
    }
    let metadata = log::Metadata::builder().level(level).target(&record.target).build();
    let logger = log::logger();
    if logger.enabled(&metadata) {
        let message = &record.message;
        logger.log(&log::Record::builder().metadata(metadata).args(format_args!("{message}")).build());
    }
}

fn by_tracing(record: &Record, worker: usize) {
    let level = match record.level {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    };
    if level > LevelFilter::current() {
        return;
    }
    let Some(metadata) = place(level, &record.target) else { return };
    tracing::dispatcher::get_default(|dispatch| {
        if !dispatch.enabled(metadata) {
            return;
        }
        let fields = metadata.fields();
        let mut names = fields.iter();
        let (Some(message), Some(number)) = (names.next(), names.next()) else { return };
        let text = display(&record.message);
        let worker = worker as u64;
        let values = [(&message, Some(&text as &dyn Value)), (&number, Some(&worker as &dyn Value))];
        dispatch.event(&Event::new(metadata, &fields.value_set(&values)));
    });
}

/// A place that records come from. To `tracing` it is one of the program's, which never go.
struct Place(OnceLock<Metadata<'static>>);

impl Callsite for Place {
    // Whether anybody wants it is asked each time.
    fn set_interest(&self, _: tracing::subscriber::Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        // Nobody knows a place before it is complete; but a stranger's question must not end this program.
        self.0.get_or_init(|| metadata(Level::TRACE, OTHER, &NOWHERE))
    }
}

static NOWHERE: Place = Place(OnceLock::new());

fn metadata(level: Level, target: &'static str, place: &'static Place) -> Metadata<'static> {
    let fields = FieldSet::new(&["message", "worker"], Identifier(place));
    Metadata::new("record of a task", target, level, None, None, None, fields, Kind::EVENT)
}

fn place(level: Level, target: &str) -> Option<&'static Metadata<'static>> {
    type Places = HashMap<&'static str, [Option<&'static Place>; 5]>;
    static PLACES: OnceLock<Mutex<Places>> = OnceLock::new();
    let slot = match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    };
    let (place, is_new) = {
        let mut places = lock(PLACES.get_or_init(Mutex::default));
        let target: &'static str = match places.get_key_value(target) {
            Some((known, _)) => known,
            None if places.len() >= MOST_TARGETS => OTHER,
            None => Box::leak(target.to_owned().into_boxed_str()),
        };
        let known = &mut places.entry(target).or_default()[slot];
        match *known {
            Some(place) => (place, false),
            None => {
                let place: &'static Place = Box::leak(Box::new(Place(OnceLock::new())));
                place.0.get_or_init(|| metadata(level, target, place));
                *known = Some(place);
                (place, true)
            }
        }
    };
    if is_new {
        // Asks who listens, so not under our lock.
        callsite::register(place);
    }
    place.0.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_its_target_and_level() {
        let warn = place(Level::WARN, "a::b").expect("a place");
        assert!(std::ptr::eq(warn, place(Level::WARN, "a::b").expect("the same")));
        let info = place(Level::INFO, "a::b").expect("another");
        assert_eq!((info.target(), *info.level()), ("a::b", Level::INFO));
        assert_ne!(warn.callsite(), info.callsite());
    }
}
