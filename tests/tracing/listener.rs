//! A subscriber that remembers everything: spans with their fields and whether they are closed, and what was said in which.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, Once},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) fields: HashMap<String, String>,
    /// The number of the task whose span is around it.
    pub(crate) parent_task: Option<String>,
    pub(crate) is_closed: bool,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) scope: Vec<Seen>,
}

/// Spans by the order in which they were made, for ids are used again.
static SPANS: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static SAID: Mutex<Vec<(String, Vec<usize>)>> = Mutex::new(Vec::new());

/// Listens from now on, in this process.
pub(crate) fn listen() {
    listen_from(LevelFilter::TRACE);
}

/// The same from a level on.
pub(crate) fn listen_from(level: LevelFilter) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(level).with(Listener);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// What was said with this text.
pub(crate) fn said(text: &str) -> Option<Said> {
    let (_, scope) = SAID.lock().unwrap().iter().find(|(said, _)| said == text)?.clone();
    let spans = SPANS.lock().unwrap();
    Some(Said { scope: scope.into_iter().map(|place| spans[place].clone()).collect() })
}

/// The last span of this name.
pub(crate) fn seen(name: &str) -> Option<Seen> {
    SPANS.lock().unwrap().iter().rfind(|span| span.name == name).cloned()
}

/// All spans of tasks of a pool.
#[cfg(all(feature = "processes", target_os = "linux"))]
pub(crate) fn all(pool: &str) -> Vec<Seen> {
    SPANS.lock().unwrap().iter().filter(|span| span.field("pool") == pool).cloned().collect()
}

struct Listener;

struct Place(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let place = span.parent().and_then(|parent| parent.extensions().get::<Place>().map(|place| place.0));
        let mut spans = SPANS.lock().unwrap();
        let parent_task = place.and_then(|place| spans[place].fields.get("task").cloned());
        span.extensions_mut().insert(Place(spans.len()));
        spans.push(Seen { name: span.name().to_owned(), fields: fields.0, parent_task, is_closed: false });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let scope = scope.filter_map(|span| span.extensions().get::<Place>().map(|place| place.0)).collect();
        let text = fields.0.remove("text").or_else(|| fields.0.remove("message")).unwrap_or_default();
        SAID.lock().unwrap().push((text, scope));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let place = span.extensions().get::<Place>().map(|place| place.0);
        SPANS.lock().unwrap()[place.unwrap()].is_closed = true;
    }
}

#[derive(Default)]
struct Fields(HashMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}
