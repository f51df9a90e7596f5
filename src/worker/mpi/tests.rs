//! The pump under real MPIs, with a program at the far end that sends back what it gets. The launchers are those of the variable
//! `TEST_MPIEXEC`, with `:` between them, or the one in the path.

use std::{
    env,
    ffi::OsString,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;

/// What a rank of these tests is to do.
const ROLE: &str = "TEST_ROLE";

fn launchers() -> Vec<PathBuf> {
    let named = env::var_os("TEST_MPIEXEC");
    let named = named.map(|named| env::split_paths(&named).collect::<Vec<_>>());
    named.unwrap_or_else(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|folder| folder.join("mpiexec"))
            .find(|file| file.is_file())
            .into_iter()
            .collect()
    })
}

fn run(role: &str, ranks: usize) {
    for launcher in launchers() {
        let mut command = Command::new(&launcher);
        command.args(["-n", &ranks.to_string()]).arg(env::current_exe().expect("this"));
        command.args(["--exact", "inside::mpi::tests::one_rank", "--nocapture"]).env(ROLE, role);
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
            ("OMPI_MCA_btl_tcp_if_include", "lo"),
        ] {
            command.env(name, value);
        }
        let output = command.stdin(Stdio::null()).output().expect("mpiexec");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{text}\n{errors}", launcher.display(), output.status);
        assert!(text.contains("all is well"), "{}:\n{text}\n{errors}", launcher.display());
    }
}

/// Every rank of a job that [`run`] starts; outside one, nothing.
#[test]
fn one_rank() {
    let Some(role) = env::var_os(ROLE).and_then(|role| role.into_string().ok()) else { return };
    let launch = launch::launch().expect("a job");
    if launch.is_worker() {
        std::process::exit(rank::serve(&launch, cat));
    }
    hub::begin(&launch);
    assert_eq!(connect(7).expect("ranks") + 1, launch.size.expect("size"));
    match role.as_str() {
        "echo" => echo(),
        "ends" => ends(),
        "idle" => idle(),
        _ => {}
    }
    println!("all is well");
}

fn cat(socket: OwnedFd) -> Command {
    let mut command = Command::new("cat");
    command.stdout(Stdio::from(socket.as_fd().try_clone_to_owned().expect("descriptor")));
    command.stdin(Stdio::from(socket)).process_group(0);
    command
}

fn stream(index: usize) -> UnixStream {
    UnixStream::from(open(index, &|| true).expect("an agent"))
}

/// Bytes that differ from place to place.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + at / 257 + seed) % 251) as u8).collect()
}

fn echo() {
    // Several on each rank, small and large, all at once.
    let sizes = [1, 100, 5_000, 300_000, 20 << 20];
    let threads: Vec<_> = (0..sizes.len())
        .map(|index| {
            std::thread::spawn(move || {
                let mut socket = stream(index);
                let sent = pattern(sizes[index], index);
                let mut writer = socket.try_clone().expect("descriptor");
                let bytes = sent.clone();
                let writing = std::thread::spawn(move || {
                    writer.write_all(&bytes).expect("write");
                    writer.shutdown(std::net::Shutdown::Write).expect("end");
                });
                let mut back = Vec::new();
                socket.read_to_end(&mut back).expect("read");
                writing.join().expect("writer");
                assert!(back == sent, "{index}: {} of {} bytes", back.len(), sent.len());
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("as it was sent"));
    // One call after the other.
    let mut socket = stream(0);
    let start = Instant::now();
    for n in 0..500_u64 {
        socket.write_all(&n.to_le_bytes()).expect("write");
        let mut back = [0; 8];
        socket.read_exact(&mut back).expect("read");
        assert_eq!(u64::from_le_bytes(back), n);
    }
    println!("{:?} there and back", start.elapsed() / 500);
}

fn ends() {
    // A slot that has ended can begin again, many times.
    for round in 0..20 {
        let mut socket = stream(round);
        socket.write_all(b"hello").expect("write");
        let mut back = [0; 5];
        socket.read_exact(&mut back).expect("read");
    }
    // Nobody reads what comes back, and then nobody is there: that does not hold up the others.
    let stuck = stream(0);
    stuck.set_nonblocking(true).expect("set");
    let bytes = pattern(1 << 20, 0);
    let (mut written, mut last) = (0, Instant::now());
    while last.elapsed() < Duration::from_millis(300) {
        match (&stuck).write(&bytes) {
            Ok(n) => (written, last) = (written + n, Instant::now()),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    assert!(written < 32 << 20, "{written} bytes are somewhere");
    drop(stuck);
    let mut other = stream(0);
    other.write_all(b"hello").expect("write");
    other.read_exact(&mut [0; 5]).expect("read");
    // All of them at the end of the program.
    std::mem::forget((0..6).map(stream).collect::<Vec<_>>());
}

fn idle() {
    let mut socket = stream(0);
    socket.write_all(b"hello").expect("write");
    socket.read_exact(&mut [0; 5]).expect("read");
    std::thread::sleep(Duration::from_millis(200));
    let ranks = siblings();
    assert!(ranks.len() >= 3, "{ranks:?}");
    let before: Vec<u64> = ranks.iter().map(|pid| ticks(*pid)).collect();
    std::thread::sleep(Duration::from_secs(2));
    for (pid, before) in ranks.iter().zip(before) {
        // Of 200.
        let used = ticks(*pid) - before;
        println!("{used} ticks in 2 s");
        assert!(used < 10, "process {pid} used {used} ticks of 10 ms in 2 s");
    }
}

/// The processes of this program that the launcher has started.
fn siblings() -> Vec<u32> {
    let mine = env::current_exe().expect("this");
    let pids = std::fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let is_mine = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == mine);
        let vars = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        is_mine && vars.split(|byte| *byte == 0).any(|var| var == b"TEST_ROLE=idle")
    })
    .collect()
}

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field: &&str| field.parse::<u64>().ok()).unwrap_or(0);
    number(11) + number(12)
}

#[test]
fn bytes_come_back_as_they_were_from_several_ranks_at_once() {
    run("echo", 3);
}

#[test]
fn channels_end_and_others_begin() {
    run("ends", 3);
}

#[test]
fn a_first_rank_that_does_nothing_ends_the_job() {
    run("nothing", 2);
}

#[test]
fn idle_ranks_leave_the_processors_alone() {
    run("idle", 3);
}

#[test]
fn an_agent_is_not_of_the_job() {
    let (socket, _) = crate::sys::process::pair().expect("pair");
    let command = agent(socket);
    let mark = command.get_envs().find(|(name, _)| *name == MARK);
    assert_eq!(mark.and_then(|(_, value)| value), Some(OsString::from(AGENT).as_os_str()));
}
