//! What a task costs on the backend `processes`, beside what else there is to run it in another process, and beside what the
//! system itself takes. `benches/README.md` says how to read it.
//!
//! Every figure comes from a process of its own, which is pinned before it starts a thread or another process: without that they
//! are bimodal. So this program starts itself again, once for each round, scenario, place and peer, and the peers take turns.

#[cfg(target_os = "linux")]
#[path = "processes/run.rs"]
mod run;

#[cfg(target_os = "linux")]
use run::*;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return run::run();
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("there is no backend `processes` on this system");
        std::process::ExitCode::SUCCESS
    }
}
