//! A pool behind the layers of `tower`: what there is no room for is refused at once, what takes too long is stopped, and everybody
//! else is served.
//!
//! `cargo run --example tower --features tower`

use std::{
    error::Error,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, value_parser};
use futures::{StreamExt as _, stream::FuturesUnordered};
use polypool::{Executor, tower::TaskService, worker};
use tower::{
    Service as _, ServiceBuilder, ServiceExt as _, load_shed::error::Overloaded, timeout::error::Elapsed,
};

/// Sends requests to a service on a pool, all at once, and says what becomes of them.
#[derive(Parser)]
struct Args {
    /// How many requests there are
    #[arg(long, value_name = "N", default_value_t = 12)]
    requests: u64,
    /// How long the work for a request takes; every fifth never ends
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100)]
    work: u64,
    /// How long a request may take
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000, value_parser = value_parser!(u64).range(1..))]
    deadline: u64,
    /// How many requests may wait for a worker; one more is refused
    #[arg(long, value_name = "N", default_value_t = 4)]
    max_pending: usize,
    /// What runs the tasks: threads, processes, or an address
    #[arg(long, value_name = "NAME", default_value_t = polypool::default_backend())]
    parallel_backend: String,
    /// How many tasks run at a time
    #[arg(short, long, value_name = "N", default_value_t = 2)]
    n_workers: usize,
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    match serve(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tower: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let pool = Executor::builder()
        .backend(args.parallel_backend.as_str())
        .max_workers(args.n_workers)
        .max_pending(args.max_pending)
        .build()?;
    pool.warm_up().await?;

    // From the outside in. The pool is the innermost service, and says by `poll_ready` whether it has room.
    let mut service = ServiceBuilder::new()
        .load_shed()
        .timeout(Duration::from_millis(args.deadline))
        .service(TaskService::new(pool.clone(), work));

    let mut responses = FuturesUnordered::new();
    for number in 1..=args.requests {
        let response = service.ready().await.map_err(|error| error.to_string())?.call((number, args.work));
        responses.push(async move { (number, response.await) });
    }
    let mut count = [0; 3];
    while let Some((number, response)) = responses.next().await {
        let (kind, text) = match response {
            Ok(answer) => (0, answer),
            Err(error) if error.is::<Overloaded>() => (1, error.to_string()),
            Err(error) if error.is::<Elapsed>() => (2, error.to_string()),
            Err(error) => return Err(format!("request {number}: {error}").into()),
        };
        println!("request {number}: {text}");
        count[kind] += 1;
    }
    let [answered, refused, late] = count;
    println!("answered: {answered}, refused: {refused}, late: {late}");
    pool.shutdown(true).await;
    Ok(())
}

/// The task. A process could be stopped anyway, but a thread has to ask whether anybody still waits.
fn work((number, millis): (u64, u64)) -> String {
    let (start, time) = (Instant::now(), Duration::from_millis(millis));
    while !worker::is_cancelled() && (number % 5 == 0 || start.elapsed() < time) {
        thread::sleep(Duration::from_millis(1));
    }
    format!("done in {millis} ms")
}
