//! Heavy and dangerous work behind HTTP, on worker processes: a deadline for each request, work that ends with its client, 503 where
//! there is too much of it, and an end in good order.
//!
//! `cargo run --release --example service`, then `curl 127.0.0.1:8080/primes/1000000` and `curl 127.0.0.1:8080/sum -d '1 + (2 + 3)'`

use std::{error::Error, future::Future, net::SocketAddr, process::ExitCode, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use polypool::{CancellationPolicy, Executor, Failure, Portable, TaskError, TaskFn};
use serde_json::{Value, json};
use tokio::{net::TcpListener, signal, time};

/// Counts primes and adds numbers, over HTTP: `GET /primes/{below}`, `POST /sum`, `GET /health`, `GET /metrics`.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many worker processes there are; without it, as many as CPUs
    #[arg(short, long, value_name = "N")]
    n_workers: Option<usize>,
    /// How many requests may wait for a worker; one more is answered with 503
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_pending: usize,
    /// How long a request may take, waiting included; a client asks for less with the header `x-deadline-ms`
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000)]
    deadline: u64,
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    match serve(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let mut pool = Executor::builder().backend("processes").max_pending(args.max_pending).name("service");
    if let Some(n) = args.n_workers {
        pool = pool.max_workers(n);
    }
    let pool = pool.build()?;
    // What cannot work shows now, and not in the first request.
    pool.warm_up().await?;

    let deadline = Duration::from_millis(args.deadline);
    let service = Service { pool: pool.clone(), deadline };
    let routes = Router::new()
        .route("/primes/{below}", get(primes))
        .route("/sum", post(sum))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(service);
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // Told to stop, it takes no more connections and answers the requests that are there. Their deadline bounds that, unless a client
    // sends its request so slowly that it never begins.
    let answered = axum::serve(listener, routes).with_graceful_shutdown(told_to_stop()?);
    let stop = told_to_stop()?;
    tokio::select! {
        answered = answered => answered?,
        () = async { stop.await; time::sleep(deadline + Duration::from_secs(1)).await } => {}
    }
    let end = pool.shutdown(CancellationPolicy::ALL).await;
    println!("completed: {}, failed: {}, cancelled: {}", end.completed, end.failed, end.cancelled);
    Ok(())
}

/// Listens for SIGTERM and Ctrl-C from now on.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    let mut interrupt = signal::unix::signal(signal::unix::SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

// The work. It knows nothing of HTTP.

/// Heavy: counts the primes below `n` in the slowest way, and does not care whether anybody still waits for it.
fn count_primes(n: u64) -> u64 {
    (2..n).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count() as u64
}

/// Dangerous: evaluates a sum such as `1 + (2 + 3)` and recurses without a limit, as many a parser does. Enough parentheses overflow the
/// stack, which no `catch_unwind` survives: it ends the process.
fn evaluate(text: String) -> Result<i64, Failure> {
    let (sum, rest) = terms(&text)?;
    if rest.is_empty() { Ok(sum) } else { Err(expected("`+` or the end", rest)) }
}

fn terms(text: &str) -> Result<(i64, &str), Failure> {
    let (mut sum, mut rest) = term(text)?;
    while let Some(next) = rest.strip_prefix('+') {
        let (value, behind) = term(next)?;
        sum = sum.checked_add(value).ok_or(Failure::msg("the sum is too large"))?;
        rest = behind;
    }
    Ok((sum, rest))
}

fn term(text: &str) -> Result<(i64, &str), Failure> {
    let text = text.trim_start();
    let (value, rest) = match text.strip_prefix('(') {
        Some(inner) => {
            let (sum, rest) = terms(inner)?;
            (sum, rest.strip_prefix(')').ok_or_else(|| expected("`)`", rest))?)
        }
        None => {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            (text[..end].parse().map_err(|_| expected("a number", text))?, &text[end..])
        }
    };
    Ok((value, rest.trim_start()))
}

fn expected(what: &str, text: &str) -> Failure {
    let found: String = text.chars().take(20).collect();
    Failure::msg(format!("expected {what} at `{found}`"))
}

// The way between a request and its work.

#[derive(Clone)]
struct Service {
    pool: Executor,
    deadline: Duration,
}

impl Service {
    async fn run<F, A, R>(&self, headers: &HeaderMap, f: F, arg: A) -> Result<R, Problem>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        let deadline = self.deadline(headers)?;
        let task = self.pool.try_submit(f, arg).map_err(|refused| refused.reason)?;
        // When the client goes, or time is up, the handle is dropped, and that stops the worker's process if need be.
        let task = task.cancel_on_drop(CancellationPolicy::ALL);
        let late = |_| Problem::new(StatusCode::GATEWAY_TIMEOUT, format!("not done within {deadline:?}"));
        Ok(time::timeout(deadline, task).await.map_err(late)??)
    }

    fn deadline(&self, headers: &HeaderMap) -> Result<Duration, Problem> {
        let Some(value) = headers.get("x-deadline-ms") else { return Ok(self.deadline) };
        let ms = value.to_str().ok().and_then(|text| text.parse().ok());
        let ms = ms.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "x-deadline-ms is no number"))?;
        Ok(self.deadline.min(Duration::from_millis(ms)))
    }
}

async fn primes(
    State(service): State<Service>,
    Path(below): Path<u64>,
    headers: HeaderMap,
) -> Result<String, Problem> {
    let count = service.run(&headers, count_primes, below).await?;
    Ok(format!("{count}\n"))
}

async fn sum(State(service): State<Service>, headers: HeaderMap, text: String) -> Result<String, Problem> {
    // The outer error is the pool's, the inner one the task's own.
    match service.run(&headers, evaluate, text).await? {
        Ok(sum) => Ok(format!("{sum}\n")),
        Err(failure) => Err(Problem::new(StatusCode::BAD_REQUEST, failure)),
    }
}

async fn health(State(service): State<Service>) -> Json<Value> {
    let (stats, workers) = (service.pool.stats(), service.pool.workers());
    let workers = workers.iter().map(|worker| json!({ "pid": worker.pid, "busy": worker.task.is_some() }));
    Json(json!({
        "status": "ok",
        "queued": stats.queued,
        "running": stats.running,
        "workers": workers.collect::<Vec<_>>(),
    }))
}

/// Prometheus' text format. (The feature `metrics` has histograms, too, through an exporter of your choice.)
async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    let (stats, workers) = (service.pool.stats(), service.pool.workers());
    let busy = workers.iter().filter(|worker| worker.task.is_some()).count();
    let values = [
        ("tasks_queued", "gauge", stats.queued as u64),
        ("tasks_running", "gauge", stats.running as u64),
        ("tasks_completed_total", "counter", stats.completed),
        ("tasks_failed_total", "counter", stats.failed),
        ("tasks_cancelled_total", "counter", stats.cancelled),
        ("workers", "gauge", workers.len() as u64),
        ("workers_busy", "gauge", busy as u64),
    ];
    let line = |(name, kind, value)| format!("# TYPE polypool_{name} {kind}\npolypool_{name} {value}\n");
    let text: String = values.map(line).concat();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What went wrong, as a response.
struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    fn new(status: StatusCode, text: impl ToString) -> Self {
        Self { status, text: text.to_string() }
    }
}

impl From<TaskError> for Problem {
    fn from(error: TaskError) -> Self {
        let status = match error {
            // Too much to do, or about to end: another time, or another server, may do.
            TaskError::QueueFull | TaskError::Shutdown | TaskError::Cancelled => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            // It panicked, or its process died. That is this request's trouble and nobody else's.
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text + "\n").into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
