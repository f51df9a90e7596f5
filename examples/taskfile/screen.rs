//! What the user sees: a line for each task that is over, with its output below it, and on a terminal a table of those that run.

use std::{
    collections::HashMap,
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use polypool::{Event, EventKind, TaskId};

/// How a line looks at a glance, where there are colours.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    Good = 32,
    Bad = 31,
    Quiet = 2,
}

pub struct Screen {
    table: MultiProgress,
    total: ProgressBar,
    names: HashMap<TaskId, Arc<str>>,
    rows: HashMap<TaskId, ProgressBar>,
    failed: usize,
    width: usize,
    has_colours: bool,
}

impl Screen {
    /// With a table only if there is a terminal to draw on.
    pub fn new(tasks: u64, width: usize, wants_table: bool) -> Self {
        let target = if wants_table { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let table = MultiProgress::with_draw_target(target);
        let total = table
            .add(ProgressBar::new(tasks).with_style(style("{bar:30} {pos}/{len} tasks, {elapsed}{msg}")));
        if !table.is_hidden() {
            total.enable_steady_tick(TICK);
        }
        let has_colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { table, total, names: HashMap::new(), rows: HashMap::new(), failed: 0, width, has_colours }
    }

    /// Keeps the table: the pool says when a task starts, and when it is over.
    pub fn show(&mut self, event: &Event) {
        if self.table.is_hidden() {
            return;
        }
        match &event.kind {
            EventKind::TaskQueued { task, name: Some(name), .. } => {
                drop(self.names.insert(*task, Arc::clone(name)))
            }
            EventKind::TaskStarted { task, .. } => {
                let name = self.names.get(task).map_or_else(String::new, ToString::to_string);
                let row = ProgressBar::new_spinner()
                    .with_style(style("  {spinner} {prefix:.bold} {elapsed}"))
                    .with_prefix(name);
                let row = self.table.insert_before(&self.total, row);
                row.enable_steady_tick(TICK);
                self.rows.insert(*task, row);
            }
            EventKind::TaskFinished { task, .. }
            | EventKind::TaskFailed { task, .. }
            | EventKind::TaskCancelled { task } => {
                self.names.remove(task);
                if let Some(row) = self.rows.remove(task) {
                    row.finish_and_clear();
                    self.table.remove(&row);
                }
            }
            _ => {}
        }
    }

    /// Says how a task ended, and shows what it wrote. Only whole tasks are shown, one after the other, so nothing is mixed up.
    pub fn task(&mut self, name: &str, look: Look, what: impl Display, output: Option<&Path>) {
        let (width, [on, off]) = (self.width, self.colour(look));
        self.print(|out| {
            writeln!(out, "{name:width$}  {on}{what}{off}")?;
            output.map_or(Ok(()), |output| indented(output, out))
        });
        self.failed += usize::from(matches!(look, Look::Bad));
        if self.failed > 0 {
            self.total.set_message(format!(", {} failed", self.failed));
        }
        self.total.inc(1);
    }

    /// The last line.
    pub fn end(&self, look: Look, what: impl Display) {
        let [on, off] = self.colour(look);
        self.total.finish_and_clear();
        self.print(|out| writeln!(out, "{on}{what}{off}"));
    }

    /// For messages that are not about a task.
    pub fn say(&self, what: impl Display) {
        self.table.suspend(|| say(what));
    }

    fn colour(&self, look: Look) -> [String; 2] {
        if self.has_colours {
            [format!("\x1b[{}m", look as u8), "\x1b[0m".to_owned()]
        } else {
            Default::default()
        }
    }

    fn print(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        self.table.suspend(|| {
            let mut out = io::stdout().lock();
            // If nobody reads it, as behind `| head`, the build is still wanted.
            let _ = write(&mut out).and_then(|()| out.flush());
        });
    }
}

const TICK: Duration = Duration::from_millis(100);

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("all these keys exist")
}

pub fn say(what: impl Display) {
    // Not `eprintln!`: that panics when nobody listens.
    let _ = writeln!(io::stderr(), "taskfile: {what}");
}

pub fn list<'a>(width: usize, tasks: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut out = io::stdout().lock();
    for (name, description) in tasks {
        let line = format!("{name:width$}  {description}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Copies a file, as large as it may be, with its lines moved to the right.
fn indented(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    // A task that was never started has none.
    let Ok(file) = File::open(path) else { return Ok(()) };
    let (mut file, mut at_start) = (BufReader::new(file), true);
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            return if at_start { Ok(()) } else { out.write_all(b"\n") };
        }
        for line in chunk.split_inclusive(|&byte| byte == b'\n') {
            if at_start {
                out.write_all(b"    ")?;
            }
            out.write_all(line)?;
            at_start = line.ends_with(b"\n");
        }
        let n = chunk.len();
        file.consume(n);
    }
}
