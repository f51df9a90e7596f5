//! The task as the pool runs it: looks whether there is something to do, runs the command, keeps what it writes. Runs in any worker
//! of any backend, and so knows nothing but its argument.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use futures::channel::oneshot;
use polypool::Failure;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Serialize};

use crate::{file::Task, stale::Record};

/// How long a command that is told to end may take for it.
pub const GRACE: Duration = Duration::from_secs(2);

/// All that a task has to know. Paths of this machine are `OsString`s, since serde refuses a `Path` that is not UTF-8.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub task: Task,
    pub dir: OsString,
    /// Where the command's output goes. It is a file, and not part of the result, so that it is there when there is no result,
    /// too: when the time is up, or a worker process has died.
    pub log: OsString,
    pub last: Option<Record>,
    pub force: bool,
    /// Only to say what would run, and why.
    pub dry_run: bool,
}

/// What is known of a task after it. Those that come after it are given it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// Why it ran. `None`: it was up to date.
    pub why: Option<String>,
    pub ran_at: u64,
    pub record: Option<Record>,
}

/// A future, and not a blocking function, so that it can be dropped while it waits: by a pool that cancels it, on every backend. It
/// must not be one that runs on one runtime only; a thread that waits for the command does without.
pub async fn perform((job, before): (Job, Vec<Done>)) -> Result<Done, Failure> {
    let Job { task, dir, log, last, force, dry_run } = job;
    let dir = Path::new(&dir);
    let before: Vec<_> = task.after.iter().zip(&before).collect();
    let named = before.iter().filter(|((_, named), _)| **named);
    let needs: BTreeMap<_, _> = named.map(|((name, _), done)| ((*name).clone(), done.ran_at)).collect();
    let would_run = before.iter().find(|(_, done)| dry_run && done.why.is_some());
    let because = would_run.map(|((name, _), _)| format!("{name} would run"));
    if task.command.is_empty() {
        let ran_at = needs.into_values().max().unwrap_or_default();
        return Ok(Done { why: because, ran_at, record: None });
    }
    let now = Record::now(dir, &task, needs, last.as_ref())?;
    let why = match &last {
        _ if force => Some("forced".to_owned()),
        _ if task.always => Some("it always does".to_owned()),
        _ if task.inputs.is_empty() && task.outputs.is_empty() => Some("it has no files to go by".to_owned()),
        None => Some("for the first time".to_owned()),
        Some(last) => because.or_else(|| now.differs_from(last, task.check)),
    };
    match (why, last) {
        (None, Some(last)) => {
            Ok(Done { why: None, ran_at: last.ran_at, record: Some(now.since(last.ran_at)) })
        }
        (why, _) if dry_run => Ok(Done { why, ran_at: 0, record: None }),
        (why, _) => {
            run(&task, dir, &log).await?;
            let record = now.done(dir, &task)?;
            Ok(Done { why, ran_at: record.ran_at, record: Some(record) })
        }
    }
}

async fn run(task: &Task, dir: &Path, log: &OsString) -> Result<(), Failure> {
    let (program, arguments) = task.command.split_first().ok_or_else(|| Failure::msg("no command"))?;
    let dir = dir.join(&task.dir);
    // One pipe for both, so that errors stay between the lines where they happened.
    let (reader, writer) = io::pipe()?;
    let log = File::create(log)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&dir).envs(&task.env).process_group(0);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn().map_err(|error| {
        // The system says that something is not there, and not what.
        let what = if dir.is_dir() { program } else { &task.dir };
        Failure::msg(format!("{what:?}: {error}"))
    })?;
    // It has the ends of the pipe, which this process must not hold open.
    drop(command);
    let (mut running, ended) = Running::watch(child, reader, log)?;
    match ended.await {
        Ok(kept) => kept.map_err(|error| Failure::msg(format!("what it writes cannot be kept: {error}")))?,
        Err(_) => return Err(Failure::msg("nobody waits for it")),
    }
    match running.reap()? {
        status if status.success() => Ok(()),
        status => Err(Failure::msg(status)),
    }
}

/// A command under way, in a process group of its own. Dropped before it has ended, which is what happens to a task that is
/// cancelled or out of time, it ends the command and whatever that started. Nothing is dropped where a process is killed by
/// SIGKILL; then the command goes on, as it does with any `make`.
struct Running {
    child: Child,
    /// Hangs up when the command has ended.
    ended: mpsc::Receiver<()>,
    is_reaped: bool,
}

impl Running {
    fn watch(
        child: Child,
        mut output: io::PipeReader,
        mut log: File,
    ) -> io::Result<(Self, oneshot::Receiver<io::Result<()>>)> {
        let (hold, ended) = mpsc::channel();
        let (tell, told) = oneshot::channel();
        let group = Pid::from_child(&child);
        let running = Self { child, ended, is_reaped: false };
        thread::Builder::new().name("command".to_owned()).spawn(move || {
            // As in a shell's `$(..)`: it is over when nobody can write any more.
            let kept = io::copy(&mut output, &mut log).map(drop);
            drop(output);
            // Leaves the process as it is: as long as it is not reaped, its number is nobody else's, and can be signalled.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(group), options));
            drop(hold);
            let _ = tell.send(kept);
        })?;
        Ok((running, told))
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.is_reaped = true;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        let _ = self.ended.recv_timeout(GRACE);
        // Also where the command has ended: what it started need not have.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.reap();
    }
}
