//! Real clusters of Dask, on the loopback interface, and what one can do to them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The interpreter that has `distributed`.
pub fn python() -> PathBuf {
    let named = std::env::var_os("POLYPOOL_PYTHON");
    PathBuf::from(named.expect("POLYPOOL_PYTHON names a Python interpreter that has `distributed`"))
}

/// A scheduler, and as many workers as are asked for. It ends with this, and with this program.
pub struct Cluster {
    child: Child,
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    address: String,
}

impl Cluster {
    /// One without workers.
    pub fn empty() -> Self {
        let mut child = Command::new(python())
            .args(["-c", include_str!("cluster.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter can be started");
        let to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut address = String::new();
        from.read_line(&mut address).expect("an address");
        let address = address.trim().to_owned();
        assert!(address.starts_with("tcp://"), "the scheduler has not started; is `distributed` there?");
        Self { child, talk: Mutex::new(Some((to, from))), address }
    }

    /// One with a worker named `one` that has so many threads.
    pub fn with_threads(n: usize) -> Self {
        let cluster = Self::empty();
        cluster.order(&format!("worker one {n}"));
        cluster
    }

    /// The one that tests share which do it no harm. It has two workers with two threads each.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cluster = Self::with_threads(2);
            cluster.order("worker two 2 GPU=2");
            cluster
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The ways in which a user may name it as a backend, with the variables that he then has set; and last a local one.
    pub fn names(&self) -> Vec<(String, Option<(&'static str, String)>)> {
        let address = self.address.replace("tcp://", "dask://");
        vec![
            (address, None),
            ("dask".to_owned(), Some(("DASK_SCHEDULER_ADDRESS", self.address.clone()))),
            ("dask".to_owned(), None),
        ]
    }

    /// Does what `cluster.py` knows, and gives its answer.
    pub fn order(&self, what: &str) -> String {
        let mut talk = self.talk.lock().expect("nobody has panicked with it");
        let (to, from) = talk.as_mut().expect("it is there until it is dropped");
        writeln!(to, "{what}").expect("it reads");
        let mut answer = String::new();
        from.read_line(&mut answer).expect("it answers");
        assert!(!answer.is_empty(), "`{what}` ended the cluster");
        answer.trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its standard input is the end of the cluster.
        drop(self.talk.lock().map(|mut talk| talk.take()));
        let _ = self.child.wait();
    }
}
