//! A build runner: tasks from a TOML file, in the order that their files imply, as many at a time as the pool has workers, and only
//! those that are not up to date.
//!
//! `cargo run --example taskfile --all-features -- -f examples/taskfile/polypool.toml -n 2`
//!
//! What stands in a Taskfile is at the head of `file.rs`; `polypool.toml` is one.

#![allow(unreachable_pub, reason = "a program has nobody outside")]

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use futures::{StreamExt as _, channel::mpsc, executor::block_on, select};
use polypool::{
    CancellationPolicy, Executor, TaskError, TaskOptions,
    config::{ParallelArgs, PoolConfig},
    graph::{NodeReport, Outcome, Output, TaskGraph, value},
    timeline::{Recorder, Timeline},
};
use tokio::signal::unix::{SignalKind, signal};

mod command;
mod file;
mod keys;
mod screen;
mod stale;

use crate::{
    command::{Done, GRACE, Job, perform},
    file::{Task, Taskfile},
    keys::Result,
    screen::{Look, Screen, say},
    stale::State,
};

/// Runs the tasks of a Taskfile that are not up to date.
#[derive(Parser)]
struct Args {
    /// What to run, with all that it needs. Without any, what the file names as `default`; else all
    #[arg(value_name = "TASK")]
    targets: Vec<String>,
    /// The Taskfile
    #[arg(short, long, value_name = "PATH", default_value = "Taskfile.toml")]
    file: PathBuf,
    /// Shows the tasks, and runs none
    #[arg(long)]
    list: bool,
    /// Shows what would run, in order, and why
    #[arg(long)]
    dry_run: bool,
    /// Runs what is up to date, too
    #[arg(long)]
    force: bool,
    /// Starts no more tasks when so many have failed. Without it, all that does not come after a failed one runs
    #[arg(long, value_name = "N")]
    max_failures: Option<NonZeroUsize>,
    /// Shows the output of tasks that succeed, too
    #[arg(short, long)]
    verbose: bool,
    /// Draws what ran when, as a picture (.svg) or a trace (.json)
    #[arg(long, value_name = "PATH")]
    timeline: Option<PathBuf>,
    #[command(flatten)]
    parallel: ParallelArgs,
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    match run(&Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(error);
            ExitCode::from(2)
        }
    }
}

/// Gives the exit code: 1 when a task failed, 130 after ^C. What is wrong before anything runs is an error.
fn run(args: &Args) -> Result<u8> {
    let taskfile = Taskfile::read(&args.file)?;
    let tasks = taskfile.select(&args.targets)?;
    let width = tasks.iter().map(|task| task.name.chars().count()).max().unwrap_or_default();
    if args.list {
        screen::list(width, tasks.iter().map(|task| (&*task.name, &*task.description)));
        return Ok(0);
    }
    taskfile.check(&tasks)?;
    // A command is a process of its own already, so threads are enough to wait for it, unless somebody wants something else.
    let config = PoolConfig::new().set("parallel_backend", "threads")?.set("name", &*taskfile.name)?;
    let config = config
        .table("parallel")
        .toml_str(&taskfile.text, &taskfile.name)?
        .environment()?
        .args(&args.parallel);
    let pool = pool(args, &config)?;
    let (state, warning) = State::beside(&args.file);
    let logs = tempfile::tempdir()?;
    let (graph, places) = graph(args, &config, &taskfile, &tasks, &state, logs.path())?;
    if let Some(path) = &args.timeline {
        // Better now than after an hour of work.
        Timeline::default().write(path)?;
    }
    let screen = Screen::new(tasks.len() as u64, width, !config.is_debug() && !args.dry_run);
    warning.into_iter().for_each(|warning| screen.say(warning));
    let build = Build { args, places, state, written: Instant::now(), screen, counts: HashMap::new() };
    // The pool needs no runtime; a thread that waits will do. Where there is one, this is an `.await`.
    block_on(build.run(&pool, graph))
}

fn pool(args: &Args, config: &PoolConfig) -> Result<Executor> {
    if args.dry_run {
        return Ok(Executor::serial());
    }
    let pool = config.executor()?;
    if pool.backend_name() == "processes" {
        // While a command takes its time to end, the worker that waits for it must not be killed.
        return Ok(config.clone().set("grace_period", GRACE + GRACE)?.executor()?);
    }
    Ok(pool)
}

/// The tasks as the pool is to run them, and where what comes of each is found.
fn graph(
    args: &Args,
    config: &PoolConfig,
    taskfile: &Taskfile,
    tasks: &[&Task],
    state: &State,
    logs: &Path,
) -> Result<(TaskGraph, HashMap<String, Place>)> {
    let mut graph = TaskGraph::new();
    if let Some(n) = args.max_failures {
        graph = graph.max_failures(n.get());
    }
    let mut places: HashMap<String, Place> = HashMap::new();
    for (index, task) in in_order(tasks)?.into_iter().enumerate() {
        let log = logs.join(index.to_string());
        let job = Job {
            task: task.clone(),
            dir: taskfile.dir.clone().into(),
            log: log.clone().into(),
            last: state.records.get(&task.name).cloned(),
            force: args.force,
            dry_run: args.dry_run,
        };
        // What comes of those before it is part of its argument, which makes it wait for them.
        let before: Vec<_> = task.after.keys().map(|name| places[name].done).collect();
        let mut options = TaskOptions::new().priority(task.priority);
        // Who follows with a debugger is not in a hurry.
        if let Some(after) = task.timeout.filter(|_| !config.is_debug()) {
            options = options.timeout(after);
        }
        let node = graph.try_task_from_async(&task.name, perform, (value(job), before));
        places.insert(task.name.clone(), Place { done: node.options(options).keep().output(), log });
    }
    Ok((graph, places))
}

/// A task takes what comes of those before it, so those are added first. A graph of names alone tells the order, or the cycle.
fn in_order<'a>(tasks: &[&'a Task]) -> Result<Vec<&'a Task>> {
    let mut names = TaskGraph::new();
    for task in tasks {
        names.task(&task.name, |()| (), ()).after(task.after.keys().map(String::as_str));
    }
    let by_name: HashMap<_, _> = tasks.iter().map(|task| (task.name.as_str(), *task)).collect();
    Ok(names.order()?.into_iter().map(|name| by_name[name]).collect())
}

/// Where something of a task is found when it is over.
struct Place {
    done: Output<Done>,
    log: PathBuf,
}

/// A run of the graph, and what has come of it so far.
struct Build<'a> {
    args: &'a Args,
    places: HashMap<String, Place>,
    state: State,
    /// When that was last written.
    written: Instant,
    screen: Screen,
    counts: HashMap<&'static str, usize>,
}

impl Build<'_> {
    async fn run(mut self, pool: &Executor, graph: TaskGraph) -> Result<u8> {
        let start = Instant::now();
        let mut signals = signals()?;
        let recorder = self.args.timeline.as_ref().map(|path| (Recorder::start(pool), path));
        let mut events = pool.events().fuse();
        let mut run = graph.run(pool)?.fuse();
        let (mut stopped_by, mut late) = (None, Vec::new());
        loop {
            select! {
                over = run.next() => {
                    let Some((name, report)) = over else { break };
                    let done = run.get_mut().take_output(self.places[&name].done);
                    match stopped_by {
                        None => self.note(&name, report, done),
                        Some(_) => late.push((name, report, done)),
                    }
                }
                event = events.select_next_some() => self.screen.show(&event),
                signal = signals.select_next_some() => {
                    self.screen.say("stopping what runs");
                    stopped_by = Some(signal);
                    run.get_mut().abort();
                }
            }
        }
        // To the pool, a task on a thread is over when it was told to stop. This waits until its command has ended, too, and has
        // written its last words.
        pool.shutdown(CancellationPolicy::ALL).await;
        for (name, report, done) in late {
            self.note(&name, report, done);
        }
        self.sum_up(start.elapsed());
        if let Some((recorder, path)) = recorder {
            recorder.finish().write(path)?;
        }
        if !self.args.dry_run {
            self.state.write()?;
        }
        let is_good = ["failed", "skipped", "not run"].iter().all(|what| !self.counts.contains_key(what));
        Ok(stopped_by.map_or(u8::from(!is_good), |signal| 128 + signal))
    }

    /// Shows how a task ended, and remembers what it made.
    fn note(&mut self, name: &str, report: NodeReport, done: Option<Done>) {
        let time = seconds(report.ran_for);
        let why = done.as_ref().and_then(|done| done.why.clone());
        let (what, look, text) = match (report.outcome, report.result, why) {
            (Outcome::Done, _, Some(why)) if self.args.dry_run => {
                ("would run", Look::Good, format!("would run: {why}"))
            }
            (Outcome::Done, _, Some(why)) => ("ran", Look::Good, format!("ran in {time}: {why}")),
            (Outcome::Done, _, None) => ("up to date", Look::Quiet, "up to date".to_owned()),
            (Outcome::Failed, Err(TaskError::Failed(error)), _) => {
                ("failed", Look::Bad, format!("failed in {time}: {error}"))
            }
            (Outcome::Failed, Err(error), _) => ("failed", Look::Bad, format!("failed in {time}: {error}")),
            (Outcome::Cancelled, _, _) if report.attempts > 0 => {
                ("stopped", Look::Bad, format!("stopped after {time}"))
            }
            (Outcome::Skipped { because }, _, _) => {
                ("skipped", Look::Quiet, format!("skipped, because {because} failed"))
            }
            (outcome, _, _) => ("not run", Look::Quiet, format!("not run, {outcome}")),
        };
        *self.counts.entry(what).or_default() += 1;
        let shows_output = matches!(what, "failed" | "stopped") || what == "ran" && self.args.verbose;
        self.screen.task(name, look, text, shows_output.then_some(&*self.places[name].log));
        match done.and_then(|done| done.record) {
            Some(record) => drop(self.state.records.insert(name.to_owned(), record)),
            // It may have left its outputs half done.
            None if matches!(what, "failed" | "stopped") => drop(self.state.records.remove(name)),
            None => {}
        }
        if !self.args.dry_run && self.written.elapsed() > Duration::from_secs(1) {
            // In case there is no end. If it cannot be written, the end will say so.
            let _ = self.state.write();
            self.written = Instant::now();
        }
    }

    fn sum_up(&self, time: Duration) {
        let order = ["ran", "would run", "up to date", "failed", "stopped", "skipped", "not run"];
        let counts = order.iter().filter_map(|what| Some(format!("{} {what}", self.counts.get(what)?)));
        let counts: Vec<_> = counts.collect();
        if counts.is_empty() {
            return self.screen.end(Look::Good, "nothing to do");
        }
        let look = if self.counts.contains_key("failed") { Look::Bad } else { Look::Good };
        self.screen.end(look, format_args!("{} in {}", counts.join(", "), seconds(time)));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The numbers of the signals that ask this program to end. Commands are in process groups of their own: they see nothing of a ^C
/// and would go on, if the program just died.
fn signals() -> Result<mpsc::UnboundedReceiver<u8>> {
    // tokio has what it takes; the pool knows nothing of it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (sender, receiver) = mpsc::unbounded();
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()] {
        let (mut signals, sender) = (runtime.block_on(async { signal(kind) })?, sender.clone());
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                let _ = sender.unbounded_send(kind.as_raw_value() as u8);
            }
        });
    }
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(receiver)
}
