//! The timeline as an SVG document. Owns the page: what is where on it, and what is said around the lanes; `lane` draws those.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{
    Timeline,
    scale::{Step, Xml, number, time},
    story::{Outcome, Story},
};

mod lane;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const PLOT: f64 = WIDTH - LEFT - RIGHT;

const TOTALS: f64 = 54.0;
const LEGEND: f64 = 78.0;
const QUEUE: f64 = 100.0;
const QUEUE_HEIGHT: f64 = 40.0;
const LANES: f64 = 152.0;

/// More are counted, and not drawn.
const MOST_LANES: usize = 400;

/// A longer text is cut.
pub(super) const LONGEST: usize = 300;

/// Where things are.
struct Page<'a> {
    story: &'a Story,
    from: Option<Instant>,
    whole: Duration,
    pitch: f64,
    /// No detail is smaller, so that the document has a bounded number of them.
    grain: f64,
    /// The row of each lane that is drawn.
    rows: BTreeMap<usize, usize>,
}

pub(super) fn draw(timeline: &Timeline) -> String {
    let page = Page::of(&timeline.story);
    let bottom = LANES + page.rows.len().max(1) as f64 * page.pitch;
    let height = bottom + if page.hidden() > 0 { 48.0 } else { 30.0 };
    let mut svg = String::new();
    // A `String` takes whatever is written to it.
    let _ = page.write(&mut svg, timeline, bottom, height);
    svg
}

impl<'a> Page<'a> {
    fn of(story: &'a Story) -> Self {
        let lanes = story.lanes().len().min(MOST_LANES);
        let pitch = match lanes {
            0..=24 => 24.0,
            25..=60 => 16.0,
            61..=150 => 8.0,
            _ => 4.0,
        };
        let whole = match (story.from, story.until) {
            (Some(from), Some(until)) => until.saturating_duration_since(from),
            _ => Duration::ZERO,
        };
        Self {
            story,
            from: story.from,
            whole: whole.max(Duration::from_nanos(1)),
            pitch,
            grain: (lanes as f64 / 45.0).max(1.0),
            rows: story.lanes().take(MOST_LANES).enumerate().map(|(row, lane)| (lane, row)).collect(),
        }
    }

    fn hidden(&self) -> usize {
        self.story.lanes().len() - self.rows.len()
    }

    /// How far into the plot a time is.
    fn into(&self, at: Instant) -> f64 {
        let since = self.from.map_or(Duration::ZERO, |from| at.saturating_duration_since(from));
        (since.as_secs_f64() / self.whole.as_secs_f64()).min(1.0) * PLOT
    }

    fn top(&self, row: usize) -> f64 {
        LANES + row as f64 * self.pitch
    }

    fn write(&self, svg: &mut String, timeline: &Timeline, bottom: f64, height: f64) -> std::fmt::Result {
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#
        )?;
        let title = match &timeline.pool {
            Some(pool) if pool.name == pool.backend => pool.name.clone(),
            Some(pool) => format!("{} ({})", pool.name, pool.backend),
            None => "pool".to_owned(),
        };
        let title = Xml(&title, 120);
        writeln!(svg, "<title>{title}</title>")?;
        svg.push_str(include_str!("style.svg"));
        writeln!(svg, r#"<rect class="page" width="{WIDTH}" height="{height}"/>"#)?;
        writeln!(svg, r#"<text class="title" x="{RIGHT}" y="32">{title}</text>"#)?;
        self.totals(svg)?;
        self.axis(svg, bottom)?;
        self.queue(svg)?;
        self.lanes(svg)?;
        self.gaps(svg, bottom)?;
        self.marks(svg)?;
        if self.hidden() > 0 {
            let hidden = number(self.hidden() as u64);
            let y = bottom + 38.0;
            writeln!(
                svg,
                r#"<text class="dim" x="{LEFT}" y="{y}">and {hidden} lanes more, which are counted and not drawn</text>"#
            )?;
        }
        writeln!(svg, "</svg>")
    }

    /// How much there was, and how it ended; that is the legend, too.
    fn totals(&self, svg: &mut String) -> std::fmt::Result {
        let story = self.story;
        let mut counts = BTreeMap::<Outcome, u64>::new();
        let mut busy = Duration::ZERO;
        for bar in &story.bars {
            *counts.entry(bar.outcome).or_default() += 1;
            let to = bar.to.or(story.until).unwrap_or(bar.from);
            busy += to.saturating_duration_since(bar.from);
        }
        for ended in &story.unstarted {
            *counts.entry(ended.outcome).or_default() += 1;
        }
        let lanes = story.lanes().len();
        let tasks = story.bars.iter().filter(|bar| bar.attempt == 1).count() + story.unstarted.len();
        let attempts: u64 = counts.values().sum();
        let chunks = story.bars.iter().filter(|bar| bar.inputs() > 1).count() as u64;
        let mut totals = format!("{} in {}", counted(tasks as u64, "task"), time(self.whole));
        if attempts > tasks as u64 {
            totals = format!("{totals}, {} attempts", number(attempts));
        }
        if chunks > 0 {
            totals = format!("{totals}, {} of them chunks of inputs", number(chunks));
        }
        if lanes > 0 {
            let share = busy.as_secs_f64() / (self.whole.as_secs_f64() * lanes as f64) * 100.0;
            totals = format!("{totals} · {}, busy {share:.0} % of the time", counted(lanes as u64, "worker"));
        }
        let missed = story.missed();
        if missed > 0 {
            totals = format!("{totals} · {} missed, so this is not all", counted(missed, "event"));
        }
        writeln!(svg, r#"<text class="dim" x="{RIGHT}" y="{TOTALS}">{totals}</text>"#)?;
        let mut x = RIGHT;
        let shown = [
            Outcome::Finished,
            Outcome::Failed,
            Outcome::Lost,
            Outcome::Cancelled,
            Outcome::Running,
            Outcome::Unheard,
        ];
        for outcome in shown {
            let Some(count) = counts.get(&outcome) else { continue };
            let (class, text) = (class(outcome), format!("{} {}", number(*count), outcome.name()));
            let y = LEGEND - 10.0;
            writeln!(svg, r#"<rect class="{class}" x="{x}" y="{y}" width="12" height="12" rx="2"/>"#)?;
            writeln!(svg, r#"<text x="{}" y="{LEGEND}">{text}</text>"#, x + 17.0)?;
            x += 17.0 + width_of(&text) + 20.0;
        }
        Ok(())
    }

    fn axis(&self, svg: &mut String, bottom: f64) -> std::fmt::Result {
        for (at, label) in Step::of(self.whole, 9).lines(self.whole) {
            let x = LEFT + at.as_secs_f64() / self.whole.as_secs_f64() * PLOT;
            writeln!(svg, r#"<path class="line" d="M{x:.1} {QUEUE}V{}"/>"#, bottom + 4.0)?;
            writeln!(
                svg,
                r#"<text class="dim" x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"#,
                bottom + 18.0
            )?;
        }
        Ok(())
    }

    /// How many tasks wait, the most of them in each grain.
    fn queue(&self, svg: &mut String) -> std::fmt::Result {
        let most = self.story.queue.iter().map(|(_, waiting)| *waiting).max().unwrap_or(0);
        let foot = QUEUE + QUEUE_HEIGHT;
        let (x, y) = (LEFT - 10.0, foot - 2.0);
        writeln!(svg, r#"<text class="dim" x="{x}" y="{y}" text-anchor="end">waiting</text>"#)?;
        if most > 0 {
            let (most, y) = (number(most as u64), QUEUE + 9.0);
            writeln!(svg, r#"<text class="dim" x="{x}" y="{y}" text-anchor="end">{most}</text>"#)?;
            self.queue_line(svg, foot)?;
        }
        let mut ticks = BTreeMap::<u32, (Outcome, u32, &str)>::new();
        for ended in &self.story.unstarted {
            let what = ended.name.as_deref().or(ended.error.as_deref()).unwrap_or_default();
            let tick = ticks.entry((self.into(ended.at) / 2.0) as u32).or_insert((ended.outcome, 0, what));
            tick.0 = tick.0.max(ended.outcome);
            tick.1 += 1;
        }
        for (place, (outcome, count, what)) in ticks {
            let (class, x, y) = (class(outcome), LEFT + f64::from(place) * 2.0, QUEUE + 1.0);
            let told = match count {
                1 => format!("{} before it started: {}", outcome.name(), Xml(what, LONGEST)),
                _ => format!("{count} ended before they started: {} and others", outcome.name()),
            };
            writeln!(
                svg,
                r#"<rect class="{class}" x="{x}" y="{y}" width="2" height="{}"><title>{told}</title></rect>"#,
                QUEUE_HEIGHT - 1.0
            )?;
        }
        Ok(())
    }

    fn queue_line(&self, svg: &mut String, foot: f64) -> std::fmt::Result {
        let most = self.story.queue.iter().map(|(_, waiting)| *waiting).max().unwrap_or(1).max(1);
        let height = |waiting: usize| foot - waiting as f64 / most as f64 * (QUEUE_HEIGHT - 2.0);
        let mut path = format!("M{LEFT} {foot}");
        // Of what happens within a grain, its most and its last.
        let (mut cell, mut peak, mut now) = (0, 0, 0);
        let mut flush = |cell: u32, peak: usize, now: usize| {
            let x = LEFT + f64::from(cell);
            write!(path, "H{x:.0}V{:.1}H{:.0}V{:.1}", height(peak), x + 1.0, height(now))
        };
        for (at, waiting) in &self.story.queue {
            let place = self.into(*at) as u32;
            if place != cell {
                flush(cell, peak, now)?;
                (cell, peak) = (place, now);
            }
            peak = peak.max(*waiting);
            now = *waiting;
        }
        flush(cell, peak, now)?;
        let end = LEFT + PLOT;
        writeln!(svg, r#"<path class="queue" d="{path}H{end}V{foot}Z"/>"#)
    }

    fn lanes(&self, svg: &mut String) -> std::fmt::Result {
        let mut bars = vec![Vec::new(); self.rows.len()];
        for bar in &self.story.bars {
            if let Some(row) = self.rows.get(&bar.lane) {
                bars[*row].push(bar);
            }
        }
        for (lane, from, to) in &self.story.shifts {
            let Some(row) = self.rows.get(lane) else { continue };
            let x = self.into(*from);
            let width = to.map_or(PLOT, |to| self.into(to)) - x;
            // One after the other in no time is one.
            if width >= self.grain {
                let (x, y) = (LEFT + x, self.top(*row) + self.pitch * 0.08);
                let height = self.pitch * 0.84;
                writeln!(
                    svg,
                    r#"<rect class="shift" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2"/>"#
                )?;
            }
        }
        let every = (14.0 / self.pitch).ceil() as usize;
        for (lane, row) in &self.rows {
            let top = self.top(*row);
            if row.is_multiple_of(every) {
                let (x, y) = (LEFT - 10.0, top + self.pitch / 2.0 + 4.0);
                writeln!(
                    svg,
                    r#"<text class="dim" x="{x}" y="{y:.1}" text-anchor="end">worker {lane}</text>"#
                )?;
            }
            lane::draw(svg, self, top, &bars[*row])?;
        }
        if self.rows.is_empty() {
            let y = LANES + 16.0;
            writeln!(svg, r#"<text class="dim" x="{LEFT}" y="{y}">no task was started</text>"#)?;
        }
        Ok(())
    }

    fn gaps(&self, svg: &mut String, bottom: f64) -> std::fmt::Result {
        let mut gaps = BTreeMap::<u32, (f64, u64)>::new();
        for gap in &self.story.gaps {
            let from = self.into(gap.from);
            let (to, events) = gaps.entry(from as u32).or_insert((from, 0));
            *to = to.max(self.into(gap.to)).max(from + 2.0);
            *events += gap.events;
        }
        for (place, (to, events)) in gaps {
            let (x, width) = (LEFT + f64::from(place), to - f64::from(place));
            let (height, events) = (bottom - QUEUE, counted(events, "event"));
            writeln!(
                svg,
                r#"<rect class="gap" x="{x:.1}" y="{QUEUE}" width="{width:.1}" height="{height}"><title>{events} missed here</title></rect>"#
            )?;
        }
        Ok(())
    }

    /// Where workers were lost or replaced. Of many at one place, the last is said.
    fn marks(&self, svg: &mut String) -> std::fmt::Result {
        let mut marks = BTreeMap::new();
        for mark in &self.story.marks {
            if let Some(row) = mark.lane.and_then(|lane| self.rows.get(&lane)) {
                let place = (self.into(mark.at) / 4.0) as u32;
                marks.insert((*row, mark.lost.is_none(), place), mark);
            }
        }
        for ((row, _, _), mark) in marks {
            let (x, y) = (LEFT + self.into(mark.at), self.top(row) + self.pitch / 2.0);
            let r = (self.pitch / 4.0).min(5.0);
            match &mark.lost {
                Some(how) => writeln!(
                    svg,
                    r#"<g><title>{}</title><circle class="page" cx="{x:.1}" cy="{y:.1}" r="{:.1}"/><path class="cross" d="M{:.1} {:.1}l{d:.1} {d:.1}m0 -{d:.1}l-{d:.1} {d:.1}"/></g>"#,
                    Xml(how, LONGEST),
                    r * 1.6,
                    x - r,
                    y - r,
                    d = 2.0 * r
                )?,
                None => writeln!(
                    svg,
                    r#"<circle class="ring" cx="{x:.1}" cy="{y:.1}" r="{r:.1}"><title>the worker was replaced</title></circle>"#
                )?,
            }
        }
        Ok(())
    }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unheard => "unheard",
        outcome => outcome.name(),
    }
}

fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// About how wide a text is. Fonts differ; this is on the safe side.
fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 6.3
}
