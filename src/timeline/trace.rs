//! The timeline as JSON in the trace event format, which Perfetto and Chrome read. Owns the format: times are microseconds from the
//! beginning, a lane is a thread, and the pool is the process.
//!
//! It is written by hand: a library that brings `serde_json` along changes what `assert_eq!(numbers, [])` means for its users.

use std::{
    fmt::{self, Write as _},
    time::Instant,
};

use super::{
    Timeline,
    story::{Bar, Outcome},
};

pub(super) fn write(timeline: &Timeline) -> String {
    let mut trace = Trace { zero: timeline.story.from, text: String::new() };
    trace.text.push_str("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    // A `String` takes whatever is written to it.
    let _ = trace.events(timeline);
    trace.text.push_str("\n]}\n");
    trace.text
}

struct Trace {
    zero: Option<Instant>,
    text: String,
}

impl Trace {
    fn at(&self, time: Instant) -> f64 {
        self.zero.map_or(0, |zero| time.saturating_duration_since(zero).as_nanos()) as f64 / 1e3
    }

    /// Begins an event that is not the first.
    fn event(&mut self, phase: &str, lane: Option<usize>, name: &str) -> fmt::Result {
        self.text.push_str(",\n");
        self.first_event(phase, lane, name)
    }

    fn first_event(&mut self, phase: &str, lane: Option<usize>, name: &str) -> fmt::Result {
        let tid = lane.map_or(0, |lane| lane + 1);
        write!(self.text, r#"{{"ph":"{phase}","pid":1,"tid":{tid},"name":{}"#, Json(name))
    }

    fn events(&mut self, timeline: &Timeline) -> fmt::Result {
        let story = &timeline.story;
        let name = match &timeline.pool {
            Some(pool) => format!("pool {} ({})", pool.name, pool.backend),
            None => "pool".to_owned(),
        };
        self.first_event("M", None, "process_name")?;
        write!(self.text, r#","args":{{"name":{}}}}}"#, Json(&name))?;
        for lane in story.lanes() {
            self.event("M", Some(lane), "thread_name")?;
            write!(self.text, r#","args":{{"name":"worker {lane}"}}}}"#)?;
            self.event("M", Some(lane), "thread_sort_index")?;
            write!(self.text, r#","args":{{"sort_index":{lane}}}}}"#)?;
        }
        for bar in &story.bars {
            self.slice(bar)?;
        }
        for (at, waiting) in &story.queue {
            self.event("C", None, "waiting")?;
            let ts = self.at(*at);
            write!(self.text, r#","ts":{ts},"args":{{"tasks":{waiting}}}}}"#)?;
        }
        for ended in &story.unstarted {
            let outcome = ended.outcome.name();
            let name = match &ended.name {
                Some(name) => format!("{name} {outcome}"),
                None => format!("task {} {outcome}", ended.task),
            };
            self.event("i", None, &name)?;
            let (ts, task) = (self.at(ended.at), ended.task);
            write!(
                self.text,
                r#","s":"p","cat":"task","ts":{ts},"args":{{"task":{task},"outcome":"{outcome}""#
            )?;
            self.error(ended.error.as_deref())?;
            self.text.push_str("}}");
        }
        for mark in &story.marks {
            let name = if mark.lost.is_some() { "worker lost" } else { "worker recycled" };
            self.event("i", mark.lane, name)?;
            let (ts, scope) = (self.at(mark.at), if mark.lane.is_some() { "t" } else { "p" });
            let how = mark.lost.as_deref().unwrap_or_default();
            write!(self.text, r#","s":"{scope}","cat":"worker","ts":{ts},"args":{{"how":{}}}}}"#, Json(how))?;
        }
        for gap in &story.gaps {
            self.event("X", None, &format!("{} events missed", gap.events))?;
            let (ts, dur) = (self.at(gap.from), self.at(gap.to) - self.at(gap.from));
            let events = gap.events;
            write!(self.text, r#","cat":"missed","ts":{ts},"dur":{dur:.3},"args":{{"events":{events}}}}}"#)?;
        }
        Ok(())
    }

    /// One that still runs is begun and not ended: it is drawn as such.
    fn slice(&mut self, bar: &Bar) -> fmt::Result {
        self.event(if bar.to.is_some() { "X" } else { "B" }, Some(bar.lane), &bar.name())?;
        let ts = self.at(bar.from);
        let (outcome, task, attempt) = (bar.outcome.name(), bar.task, bar.attempt);
        // For `chrome://tracing`, which takes another colour for each name otherwise.
        let colour = match bar.outcome {
            Outcome::Finished => "good",
            Outcome::Running => "thread_state_running",
            Outcome::Failed => "terrible",
            Outcome::Lost => "black",
            Outcome::Cancelled | Outcome::Unheard => "grey",
        };
        write!(self.text, r#","cat":"{outcome}","cname":"{colour}","ts":{ts}"#)?;
        if let Some(to) = bar.to {
            write!(self.text, r#","dur":{:.3}"#, self.at(to) - ts)?;
        }
        write!(self.text, r#","args":{{"task":{task},"outcome":"{outcome}","attempt":{attempt}"#)?;
        if let Some(asked) = &bar.asked {
            write!(self.text, r#","waited_us":{:.3}"#, ts - self.at(asked.at))?;
            if asked.priority != 0 {
                write!(self.text, r#","priority":{}"#, asked.priority)?;
            }
        }
        if bar.inputs() > 1 {
            write!(self.text, r#","inputs":{}"#, bar.inputs())?;
        }
        self.error(bar.error.as_deref())?;
        self.text.push_str("}}");
        Ok(())
    }

    fn error(&mut self, error: Option<&str>) -> fmt::Result {
        error.map_or(Ok(()), |error| write!(self.text, r#","error":{}"#, Json(error)))
    }
}

/// Text as a JSON string.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
