//! What the scenes stand on: a bound against hanging, pools, and ways to die.

use std::future::Future;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use polypool::{Executor, Processes, TaskError, Transport};

/// Decides nothing but that a scene hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any scene.
pub const AGES: Duration = Duration::from_secs(100_000);

/// A limit of time that is to run out.
pub const SHORT: Duration = Duration::from_millis(20);

/// Plays a scene, and says its name if it hangs.
pub fn play<F: Future<Output = ()>>(name: &str, scene: F) {
    let (done, wait) = mpsc::channel::<()>();
    let hanging = format!("\n{name} hangs\n");
    std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = std::io::stderr().write_all(hanging.as_bytes());
            std::process::abort();
        }
    });
    futures::executor::block_on(scene);
    drop(done);
}

pub fn pool(n: usize) -> Executor {
    Executor::processes(n).unwrap()
}

/// The ways on which calls travel.
pub fn pools(n: usize) -> Vec<Executor> {
    let by_socket = Processes::new().transport(Transport::Socket);
    vec![pool(n), Executor::builder().backend(by_socket).max_workers(n).build().unwrap()]
}

/// Ends this process as nothing should.
pub fn die() -> ! {
    kill(std::process::id(), 9);
    loop {
        std::thread::park();
    }
}

/// Sends a signal by way of the shell: tests have no unsafe code. False when there is no such process.
pub fn kill(pid: u32, signal: i32) -> bool {
    let mut kill = std::process::Command::new("kill");
    kill.args([format!("-{signal}"), pid.to_string()]).stderr(std::process::Stdio::null());
    kill.status().unwrap().success()
}

pub fn assert_lost<T: std::fmt::Debug>(result: Result<T, TaskError>) {
    assert!(matches!(result, Err(TaskError::WorkerLost(_))), "{result:?}");
}
