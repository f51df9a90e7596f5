//! Real clusters of Ray, on the loopback interface, and what one can do to them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The interpreter that has `ray`.
pub fn python() -> PathBuf {
    let named = std::env::var_os("POLYPOOL_PYTHON");
    PathBuf::from(named.expect("POLYPOOL_PYTHON names a Python interpreter that has `ray`"))
}

/// A head, and as many nodes as are asked for. It ends with this, and with this program.
pub struct Cluster {
    child: Child,
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    address: String,
}

impl Cluster {
    /// One whose head has so many CPUs.
    pub fn with_cpus(n: usize) -> Self {
        Self::with(n, 100)
    }

    /// The same, with so many megabytes of shared memory for Ray's own objects.
    pub fn with(cpus: usize, megabytes: usize) -> Self {
        let mut child = Command::new(python())
            .args(["-c", include_str!("cluster.py"), &cpus.to_string()])
            .args([include_str!("../../src/backend/ray/ray_local.py"), &megabytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter can be started");
        let to = child.stdin.take().expect("a pipe");
        let mut from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut address = String::new();
        from.read_line(&mut address).expect("an address");
        let address = address.trim().to_owned();
        assert!(address.starts_with("127.0.0.1:"), "the head has not started; is `ray` there?");
        Self { child, talk: Mutex::new(Some((to, from))), address }
    }

    /// The one that tests share which do it no harm. Its head has two CPUs, and so has another node, with two gadgets.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cluster = Self::with_cpus(2);
            cluster.order("node two 2 gadget=2 rack=b");
            cluster
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The ways in which a user may name it as a backend, with the variables that he then has set; and last a local one.
    pub fn names(&self) -> Vec<(String, Option<(&'static str, String)>)> {
        let ray = |address: &str| ("ray".to_owned(), Some(("RAY_ADDRESS", address.to_owned())));
        vec![ray(&self.address), (self.order("client"), None), ray("local")]
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
