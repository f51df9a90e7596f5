//! The lane of one worker. Owns which bars are drawn by themselves, and what becomes of those that are too thin for that: they are
//! drawn together, the paler the less was done, and with a mark for whatever did not end well.

use std::fmt::{self, Write as _};

use super::{
    super::{
        scale::{Xml, number, time},
        story::{Bar, Outcome},
    },
    LEFT, LONGEST, PLOT, Page, class, width_of,
};

/// What happened within one grain.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// How much of it, 0 to 1.
    busy: f64,
    begun: u64,
    bad: Option<(Outcome, u64)>,
}

impl Cell {
    /// Cells of one shade are drawn as one.
    fn shade(&self) -> u8 {
        match self.busy {
            0.0 => 0,
            ..0.25 => 1,
            ..0.5 => 2,
            ..0.85 => 3,
            _ => 4,
        }
    }
}

const OPACITY: [&str; 5] = ["0", ".45", ".6", ".8", "1"];

pub(super) fn draw(svg: &mut String, page: &Page<'_>, top: f64, bars: &[&Bar]) -> fmt::Result {
    let (y, height) = (top + page.pitch * 0.125, page.pitch * 0.75);
    let mut cells = Vec::new();
    let mut wide = String::new();
    for bar in bars {
        let (from, to) = (page.into(bar.from), bar.to.map_or(PLOT, |to| page.into(to)));
        let to = to.max(from);
        if to - from >= page.grain * 2.0 {
            one(&mut wide, page, bar, from, to, y, height)?;
        } else {
            add(&mut cells, page.grain, bar, from, to);
        }
    }
    together(svg, page.grain, &cells, y, height)?;
    svg.push_str(&wide);
    Ok(())
}

fn one(svg: &mut String, page: &Page<'_>, bar: &Bar, from: f64, to: f64, y: f64, height: f64) -> fmt::Result {
    let name = bar.name();
    let (class, x, width) = (class(bar.outcome), LEFT + from, to - from);
    // The hairline between two bars is taken from the first.
    let gap = if width > 4.0 { 0.6 } else { 0.2 };
    let shown = width - gap;
    let rounded = if width > 6.0 && height > 10.0 { r#" rx="2""# } else { "" };
    write!(
        svg,
        r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{shown:.1}" height="{height:.1}"{rounded}><title>{}"#,
        Xml(&name, LONGEST)
    )?;
    let until = bar.to.or(page.story.until).unwrap_or(bar.from);
    write!(svg, "\n{} on worker {}", bar.outcome.name(), bar.lane)?;
    write!(svg, "\nran {}", time(until.saturating_duration_since(bar.from)))?;
    if let Some(asked) = &bar.asked {
        write!(svg, ", waited {}", time(bar.from.saturating_duration_since(asked.at)))?;
        if asked.priority != 0 {
            write!(svg, "\npriority {}", asked.priority)?;
        }
    }
    if bar.inputs() > 1 {
        write!(svg, "\n{} inputs", number(bar.inputs()))?;
    }
    if bar.attempt > 1 {
        write!(svg, "\nattempt {}", bar.attempt)?;
    }
    if let Some(error) = &bar.error {
        write!(svg, "\n{}", Xml(error, LONGEST))?;
    }
    writeln!(svg, "</title></rect>")?;
    let fits = ((width - 8.0) / width_of("x")) as usize;
    if height >= 11.0 && (fits >= name.chars().count() || fits >= 5) {
        let (x, y) = (x + 4.0, y + height / 2.0 + 3.8);
        writeln!(svg, r#"<text class="on" x="{x:.1}" y="{y:.1}">{}</text>"#, Xml(&name, fits))?;
    }
    Ok(())
}

fn add(cells: &mut Vec<Cell>, grain: f64, bar: &Bar, from: f64, to: f64) {
    let first = (from.min(PLOT - 0.1) / grain) as usize;
    let last = (to.min(PLOT - 0.1) / grain) as usize;
    if cells.len() <= last {
        cells.resize(last + 1, Cell::default());
    }
    for (n, cell) in cells.iter_mut().enumerate().take(last + 1).skip(first) {
        let begins = n as f64 * grain;
        let part = (to.min(begins + grain) - from.max(begins)) / grain;
        // Never nothing, or it would not be drawn.
        cell.busy += part.max(1e-6);
    }
    let cell = &mut cells[first];
    cell.begun += 1;
    if !matches!(bar.outcome, Outcome::Finished | Outcome::Running) {
        let (worst, count) = cell.bad.get_or_insert((bar.outcome, 0));
        *worst = (*worst).max(bar.outcome);
        *count += 1;
    }
}

fn together(svg: &mut String, grain: f64, cells: &[Cell], y: f64, height: f64) -> fmt::Result {
    let mut at = 0;
    for run in cells.chunk_by(|a, b| a.shade() == b.shade()) {
        let tasks: u64 = run.iter().map(|cell| cell.begun).sum();
        let shade = run.first().map_or(0, Cell::shade);
        if shade > 0 {
            let (x, width) = (LEFT + at as f64 * grain, run.len() as f64 * grain);
            let (opacity, tasks) = (OPACITY[usize::from(shade)], number(tasks));
            writeln!(
                svg,
                r#"<rect class="finished" fill-opacity="{opacity}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{tasks} begun here</title></rect>"#
            )?;
        }
        at += run.len();
    }
    at = 0;
    for run in cells.chunk_by(|a, b| a.bad.map(|bad| bad.0) == b.bad.map(|bad| bad.0)) {
        if let Some(Cell { bad: Some((outcome, _)), .. }) = run.first() {
            let count: u64 = run.iter().filter_map(|cell| cell.bad).map(|bad| bad.1).sum();
            let (class, x, width) =
                (class(*outcome), LEFT + at as f64 * grain, (run.len() as f64 * grain).max(1.5));
            let (count, outcome) = (number(count), outcome.name());
            writeln!(
                svg,
                r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"><title>{count} {outcome}, or not much better</title></rect>"#
            )?;
        }
        at += run.len();
    }
    Ok(())
}
