//! Jobs of an MPI, from their start until nothing of them is left.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

/// What a process of a job is to do.
pub const ROLE: &str = "TEST_ROLE";

/// Which job a process is of.
const JOB: &str = "TEST_JOB";

/// How long a job may take. It decides only what counts as hanging.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mpich,
    Open4,
    Open5,
}

/// An MPI that is installed here.
#[derive(Debug)]
pub struct Engine {
    pub kind: Kind,
    pub name: &'static str,
    pub mpiexec: PathBuf,
}

impl Engine {
    pub fn all() -> Vec<Engine> {
        let named = env::var_os("TEST_MPIEXEC");
        let named = named.map(|named| env::split_paths(&named).collect::<Vec<_>>());
        let paths = named.unwrap_or_else(|| {
            let path = env::var_os("PATH").unwrap_or_default();
            let mut files = env::split_paths(&path).map(|folder| folder.join("mpiexec"));
            files.find(|file| file.is_file()).into_iter().collect()
        });
        paths.into_iter().map(Engine::of).collect()
    }

    fn of(mpiexec: PathBuf) -> Engine {
        let told = Command::new(&mpiexec).arg("--version").output().unwrap_or_else(|error| {
            panic!("{} cannot be run: {error}", mpiexec.display());
        });
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let (kind, name) = if told.contains("OpenRTE) 4") {
            (Kind::Open4, "open-mpi-4")
        } else if told.contains("Open MPI") || told.contains("PRRTE") {
            (Kind::Open5, "open-mpi-5")
        } else {
            (Kind::Mpich, "mpich")
        };
        Engine { kind, name, mpiexec }
    }

    /// A job of so many ranks.
    pub fn job(&self, role: &str, ranks: usize) -> Job {
        self.job_with(&[], role, ranks)
    }

    pub fn job_with(&self, args: &[&str], role: &str, ranks: usize) -> Job {
        let mut command = Command::new(&self.mpiexec);
        command.args(args).args(["-n", &ranks.to_string()]).arg(env::current_exe().unwrap());
        Job::new(self, command, role)
    }

    /// A library of it whose name begins so, if there is one beside the launcher.
    pub fn library(&self, name: &str) -> Option<PathBuf> {
        let files = fs::read_dir(self.mpiexec.parent()?.with_file_name("lib")).ok()?;
        let mut files = files.filter_map(|file| Some(file.ok()?.path()));
        files.find(|file| file.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
    }

    /// This program, with no launcher.
    pub fn alone(&self, role: &str) -> Job {
        Job::new(self, Command::new(env::current_exe().unwrap()), role)
    }
}

/// A job that is about to be started.
pub struct Job {
    command: Command,
    mark: String,
}

impl Job {
    fn new(engine: &Engine, mut command: Command, role: &str) -> Job {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut path = vec![engine.mpiexec.parent().unwrap().to_owned()];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", env::join_paths(path).unwrap()).env(ROLE, role).env(JOB, &mark);
        for (name, value) in [
            // There are fewer processors than ranks here, and perhaps no user but one.
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("PRTE_ALLOW_RUN_AS_ROOT", "1"),
            ("PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
            ("OMPI_MCA_btl_tcp_if_include", "lo"),
        ] {
            command.env(name, value);
        }
        // What the launcher of MPICH does to a job that goes wrong, it does to its whole process group.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Job { command, mark }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Job {
        self.command.env(name, value);
        self
    }

    pub fn start(mut self) -> Started {
        Started { child: Some(self.command.spawn().unwrap()), mark: self.mark }
    }

    /// Runs it to its end.
    pub fn run(self) -> Done {
        self.start().end()
    }
}

/// A job that runs. Dropping it ends it.
pub struct Started {
    child: Option<Child>,
    mark: String,
}

impl Started {
    /// The processes of the job, but for the launcher and what belongs to that.
    pub fn processes(&self) -> Vec<u32> {
        let this = env::current_exe().unwrap();
        let mark = format!("{JOB}={}", self.mark);
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let is_this = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == this);
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            is_this && variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
    }

    /// Waits for the end, and until nothing is left.
    pub fn end(mut self) -> Done {
        let mut child = self.child.take().unwrap();
        let start = Instant::now();
        // The output is small: it fits into the pipes.
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > PATIENCE {
                self.kill_all();
                let _ = child.kill();
                let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
                panic!(
                    "it hangs:\n{}\n{}",
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr)
                );
            }
            sleep(Duration::from_millis(5));
        }
        let took = start.elapsed();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let (out, err) = (text(&stdout), text(&stderr));
        let left = Instant::now();
        while !self.processes().is_empty() {
            if left.elapsed() > Duration::from_secs(10) {
                let left = self.processes();
                self.kill_all();
                panic!("processes {left:?} are left:\n{out}\n{err}");
            }
            sleep(Duration::from_millis(5));
        }
        Done { status, out, err, took }
    }

    /// Waits until some process of the job has said this in a file of its own: [`crate::roles::say`].
    pub fn wait_for_file(&self, name: &str) -> String {
        let path = file(&self.mark, name);
        let start = Instant::now();
        loop {
            if let Ok(text) = fs::read_to_string(&path)
                && text.ends_with('\n')
            {
                let _ = fs::remove_file(&path);
                return text.trim().to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "nobody says `{name}`");
            sleep(Duration::from_millis(2));
        }
    }

    fn kill_all(&self) {
        for pid in self.processes() {
            kill(pid);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.kill_all();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Done {
    /// The job must have been all right.
    #[track_caller]
    pub fn is_well(&self) {
        assert!(self.status.success() && self.out.contains("all is well"), "{self:#?}");
    }

    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:#?}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(mark: &str, name: &str) -> PathBuf {
    env::temp_dir().join(format!("polypool-mpi-{mark}-{name}"))
}

/// Says something to the test, from a process of a job.
pub fn say(name: &str, what: &str) {
    let path = file(&env::var(JOB).unwrap(), name);
    fs::write(path, format!("{what}\n")).unwrap();
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// How much processor time a process has used, in hundredths of a second.
pub fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field: &&str| field.parse::<u64>().ok()).unwrap_or(0);
    number(11) + number(12)
}
