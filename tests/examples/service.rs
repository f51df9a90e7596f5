//! The service over real connections, with a real end.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ground::{example, explains, refuses};

/// Only against hanging.
const PATIENCE: Duration = Duration::from_secs(90);

/// More than anybody counts.
const ENDLESS: &str = "/primes/1000000000000000";

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = example("service");
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        // What workers say when they crash.
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).parse().unwrap();
        Self { child, stdout, address }
    }

    /// Sends a request and leaves it at that.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    fn get(&self, path: &str) -> Answer {
        answer(self.send("GET", path, "", ""))
    }

    fn sum(&self, text: &str) -> Answer {
        answer(self.send("POST", "/sum", "", text))
    }

    fn health(&self) -> Value {
        serde_json::from_str(&self.get("/health").body).unwrap()
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("polypool_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    fn soon(&self, name: &str, value: u64) {
        soon(name, || self.metric(name) == value);
    }

    fn workers(&self) -> Vec<u64> {
        let health = self.health();
        health["workers"].as_array().unwrap().iter().map(|worker| worker["pid"].as_u64().unwrap()).collect()
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the end; gives the last words.
    fn end(mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where a test failed before the end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Reads to the end of the connection.
fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect(head);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[track_caller]
fn soon(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: not yet");
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_gone(pid: u64) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn it_answers() {
    let server = Server::start(&["-n", "1"]);
    assert_eq!((server.get("/primes/100").status, &*server.get("/primes/100").body), (200, "25\n"));
    assert_eq!((server.sum(" 1 + (2 + 3)").status, &*server.sum("1 + (2+(3))").body), (200, "6\n"));
    let cases = [
        ("1 + ", "expected a number at ``\n"),
        ("(1", "expected `)` at ``\n"),
        ("1 2", "expected `+` or the end at `2`\n"),
        ("9223372036854775807 + 1", "the sum is too large\n"),
    ];
    for (text, message) in cases {
        assert_eq!((server.sum(text).status, &*server.sum(text).body), (400, message));
    }
    assert_eq!(server.get("/primes/many").status, 400);
    assert_eq!(server.get("/nowhere").status, 404);
    let health = server.health();
    assert_eq!((&health["status"], &health["running"]), (&Value::from("ok"), &Value::from(0)));
    assert_eq!(health["workers"].as_array().unwrap().len(), 1);
    let metrics = server.get("/metrics");
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.contains("# TYPE polypool_tasks_completed_total counter\n"), "{}", metrics.body);
    assert_eq!((server.metric("tasks_completed_total"), server.metric("workers")), (12, 1));
    server.terminate();
    assert_eq!(server.end(), "completed: 12, failed: 0, cancelled: 0\n");
}

#[test]
fn a_crash_costs_the_request_that_crashed() {
    let server = Server::start(&["-n", "1"]);
    let before = server.workers();
    let crash = server.sum(&"(".repeat(1_000_000));
    assert_eq!(crash.status, 500);
    assert!(crash.body.contains("was ended by signal"), "{}", crash.body);
    assert_eq!(server.sum("1 + 1").body, "2\n");
    assert_ne!(server.workers(), before);
    assert_eq!((server.metric("tasks_failed_total"), server.metric("tasks_completed_total")), (1, 1));
}

#[test]
fn a_client_that_goes_stops_the_process_that_worked_for_it() {
    let server = Server::start(&["-n", "1", "--deadline", "600000"]);
    let worker = server.workers()[0];
    let client = server.send("GET", ENDLESS, "", "");
    server.soon("tasks_running", 1);
    let waiting = server.send("GET", ENDLESS, "", "");
    server.soon("tasks_queued", 1);
    assert!(!is_gone(worker));
    drop(waiting);
    server.soon("tasks_cancelled_total", 1);
    drop(client);
    soon("the worker's process is gone", || is_gone(worker));
    server.soon("tasks_cancelled_total", 2);
    assert_eq!(server.get("/primes/10").body, "4\n");
    assert_ne!(server.workers(), [worker]);
}

#[test]
fn a_request_that_is_late_is_told_so_and_its_work_ends() {
    let server = Server::start(&["-n", "1", "--deadline", "300"]);
    let hurry = answer(server.send("GET", ENDLESS, "X-Deadline-Ms: 20\r\n", ""));
    assert_eq!((hurry.status, &*hurry.body), (504, "not done within 20ms\n"));
    // More than the service allows, nobody gets.
    let patient = answer(server.send("GET", ENDLESS, "X-Deadline-Ms: 600000\r\n", ""));
    assert_eq!((patient.status, &*patient.body), (504, "not done within 300ms\n"));
    assert_eq!(answer(server.send("GET", ENDLESS, "X-Deadline-Ms: soon\r\n", "")).status, 400);
    server.soon("tasks_cancelled_total", 2);
    soon("the only worker is free again", || server.get("/primes/10").status == 200);
}

#[test]
fn too_much_is_refused_at_once() {
    let server = Server::start(&["-n", "1", "--max-pending", "2", "--deadline", "600000"]);
    let running = server.send("GET", ENDLESS, "", "");
    server.soon("tasks_running", 1);
    let waiting = [server.send("GET", ENDLESS, "", ""), server.send("GET", ENDLESS, "", "")];
    server.soon("tasks_queued", 2);
    let refused = server.get("/primes/10");
    assert_eq!(refused.status, 503);
    assert!(
        refused.head.contains("retry-after: 1") && refused.body.contains("queue is full"),
        "{}",
        refused.body
    );
    // It is alive and says so.
    assert_eq!(server.get("/health").status, 200);
    drop((running, waiting));
    server.soon("tasks_cancelled_total", 3);
    assert_eq!(server.get("/primes/10").status, 200);
}

#[test]
fn told_to_stop_it_answers_what_it_has_and_ends() {
    let server = Server::start(&["-n", "1", "--deadline", "600000"]);
    let worker = server.workers()[0];
    let running = server.send("GET", "/primes/1000000", "", "");
    server.soon("tasks_running", 1);
    let waiting = server.send("GET", "/primes/10", "", "");
    server.soon("tasks_queued", 1);
    server.terminate();
    let (running, waiting) = (answer(running), answer(waiting));
    assert_eq!((running.status, &*running.body), (200, "78498\n"));
    assert_eq!((waiting.status, &*waiting.body), (200, "4\n"));
    assert_eq!(server.end(), "completed: 2, failed: 0, cancelled: 0\n");
    assert!(is_gone(worker));
}

#[test]
fn the_deadline_bounds_its_end_too() {
    let server = Server::start(&["-n", "1", "--deadline", "500"]);
    let worker = server.workers()[0];
    let running = server.send("GET", ENDLESS, "", "");
    soon("it has come", || server.metric("tasks_running") + server.metric("tasks_cancelled_total") > 0);
    // One that never says what it wants.
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.write_all(b"GET /primes/10 HTTP/1.1\r\nHost: ").unwrap();
    server.terminate();
    assert_eq!(answer(running).status, 504);
    assert_eq!(server.end(), "completed: 0, failed: 0, cancelled: 1\n");
    assert!(is_gone(worker));
}

#[test]
fn under_load_the_event_loop_answers() {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 25;
    const AT_MOST: Duration = Duration::from_secs(60);
    let server = Server::start(&["-n", "2", "--max-pending", "4", "--deadline", "30000"]);
    let over = AtomicBool::new(false);
    let mut latencies = Vec::new();
    let mut statuses = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    let start = Instant::now();
                    let requests = (0..REQUESTS).take_while(|_| start.elapsed() < AT_MOST);
                    let send = |request| match (client + request) % 10 {
                        0 => server.sum(&"(".repeat(1_000_000)).status,
                        _ => server.get("/primes/30000").status,
                    };
                    requests.map(send).collect::<Vec<_>>()
                })
            })
            .collect();
        // A route that does nothing takes as long as the loop lets it wait.
        let probe = scope.spawn(|| {
            let mut latencies = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                assert_eq!(server.get("/health").status, 200);
                latencies.push(start.elapsed());
                thread::sleep(Duration::from_millis(2));
            }
            latencies
        });
        statuses.extend(clients.into_iter().flat_map(|client| client.join().unwrap()));
        over.store(true, Ordering::Relaxed);
        latencies.extend(probe.join().unwrap());
    });
    let count = |status| statuses.iter().filter(|each| **each == status).count();
    latencies.sort_unstable();
    let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "{} requests: {} answered, {} crashed, {} refused; {} probes: median {:?}, 90 % {:?}, 99 % {:?}, most {:?}",
        statuses.len(),
        count(200),
        count(500),
        count(503),
        latencies.len(),
        percentile(50),
        percentile(90),
        percentile(99),
        percentile(100)
    );
    assert!(percentile(100) < Duration::from_secs(20), "the event loop hangs: {:?}", percentile(100));
    assert_eq!(count(200) + count(500) + count(503), statuses.len());
    assert!(count(200) > 0 && !latencies.is_empty());
    // Nobody's count is lost.
    assert_eq!(server.metric("tasks_completed_total"), count(200) as u64);
    assert_eq!(server.metric("tasks_failed_total"), count(500) as u64);
    server.terminate();
    server.end();
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("service", &["--listen", "--n-workers", "--max-pending", "--deadline", "/metrics"]);
    refuses("service", &["-n", "0"], "service: max_workers is 0");
    refuses("service", &["--max-pending", "0"], "service: max_pending is 0");
    refuses("service", &["--listen", "here"], "invalid socket address");
}
