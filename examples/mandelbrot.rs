//! The Mandelbrot set as a picture, through any backend: rows come in order, so they are written while others are computed. With live
//! progress, and a timeline of who computed what when.
//!
//! `cargo run --release --example mandelbrot --features progress,timeline -- -o mandelbrot.png --timeline timeline.svg`

use std::{
    error::Error,
    f64::consts::TAU,
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, value_parser};
use futures::{StreamExt as _, executor::block_on};
use indicatif::{ProgressBar, ProgressStyle};
use polypool::{BuildError, Executor, timeline::Recorder};
use serde::{Deserialize, Serialize};

/// Draws the Mandelbrot set.
#[derive(Parser)]
struct Args {
    /// The picture to write, a PNG
    #[arg(short, long, value_name = "FILE", default_value = "mandelbrot.png")]
    output: PathBuf,
    /// Its width in pixels; it is three quarters as high
    #[arg(long, value_name = "PIXELS", default_value_t = 1200, value_parser = value_parser!(u32).range(4..=32_768))]
    width: u32,
    /// The point in its middle, real and imaginary part
    #[arg(long, value_name = "RE,IM", default_value = "-0.65,0", value_parser = point, allow_hyphen_values = true)]
    center: (f64, f64),
    /// How much of the plane is seen from left to right
    #[arg(long, value_name = "WIDTH", default_value_t = 3.2)]
    span: f64,
    /// After how many steps a point counts as one of the set
    #[arg(long, value_name = "N", default_value_t = 500)]
    steps: u32,
    /// What runs the tasks: serial, threads, tasks, processes, or an address
    #[arg(long, value_name = "NAME", default_value = "threads")]
    parallel_backend: String,
    /// How many tasks run at a time; without it, as many as CPUs
    #[arg(short, long, value_name = "N")]
    n_workers: Option<usize>,
    /// Draws what the workers did: a picture when the name ends in `.svg`, a trace for Perfetto when it ends in `.json`
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

fn point(text: &str) -> Result<(f64, f64), Box<dyn Error + Send + Sync>> {
    let (re, im) = text.split_once(',').ok_or("give two numbers with a comma between them")?;
    Ok((re.trim().parse()?, im.trim().parse()?))
}

impl Args {
    fn pool(&self) -> Result<Executor, BuildError> {
        let mut pool = Executor::builder().backend(self.parallel_backend.as_str()).name("mandelbrot");
        if let Some(n) = self.n_workers {
            pool = pool.max_workers(n);
        }
        pool.build()
    }
}

fn main() -> ExitCode {
    #[cfg(all(feature = "processes", target_os = "linux"))]
    polypool::init();
    match draw(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mandelbrot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(args: &Args) -> Result<(), Box<dyn Error>> {
    let pool = args.pool()?;
    let recorder = args.timeline.as_ref().map(|_| Recorder::start(&pool));
    block_on(render(&pool, args))?;
    if let (Some(recorder), Some(file)) = (recorder, &args.timeline) {
        recorder.finish().write(file)?;
    }
    let (backend, workers) = (pool.backend_name(), pool.max_workers());
    println!(
        "{}: {} by {} pixels, backend: {backend}, workers: {workers}",
        args.output.display(),
        args.width,
        height(args)
    );
    Ok(())
}

fn height(args: &Args) -> u32 {
    args.width / 4 * 3
}

async fn render(pool: &Executor, args: &Args) -> Result<(), Box<dyn Error>> {
    let (width, height, (re, im)) = (args.width, height(args), args.center);
    let pixel = args.span / f64::from(width);
    let left = re - args.span / 2.0;
    let top = im + pixel * f64::from(height) / 2.0;
    let steps = args.steps;
    let rows = (0..height).map(move |y| Row { left, top: top - pixel * f64::from(y), pixel, width, steps });

    let mut file = BufWriter::new(
        File::create(&args.output).map_err(|error| format!("{}: {error}", args.output.display()))?,
    );
    let mut picture = png::Encoder::new(&mut file, width, height);
    picture.set_color(png::ColorType::Rgb);
    picture.set_depth(png::BitDepth::Eight);
    let mut header = picture.write_header()?;
    let mut lines = header.stream_writer()?;

    // It shows where there is a terminal, and nowhere else.
    let bar = ProgressBar::new(0)
        .with_style(ProgressStyle::with_template("{wide_bar} {pos} of {len} rows, {eta} left")?);
    let mut colours = pool.map(colour, rows).progress(bar);
    while let Some(row) = colours.next().await {
        lines.write_all(&row?)?;
    }
    lines.finish()?;
    header.finish()?;
    file.flush()?;
    Ok(())
}

/// A row of pixels: the corner of the plane where it begins, and how it goes on.
#[derive(Serialize, Deserialize)]
struct Row {
    left: f64,
    top: f64,
    pixel: f64,
    width: u32,
    steps: u32,
}

/// The task: the colours of a row, three bytes a pixel. Each is the mean of four points in it, which makes edges smooth.
fn colour(row: Row) -> Vec<u8> {
    const POINTS: [(f64, f64); 4] = [(0.125, 0.375), (0.375, 0.875), (0.625, 0.125), (0.875, 0.625)];
    let mut colours = Vec::with_capacity(row.width as usize * 3);
    for x in 0..row.width {
        let mut sum = [0.0; 3];
        for (dx, dy) in POINTS {
            let re = row.left + (f64::from(x) + dx) * row.pixel;
            let im = row.top - dy * row.pixel;
            let shade = escape(re, im, row.steps).map_or([0.0; 3], palette);
            sum = std::array::from_fn(|i| sum[i] + shade[i]);
        }
        colours.extend(sum.map(|sum| (sum / POINTS.len() as f64 * 255.0).round() as u8));
    }
    colours
}

/// After how many steps a point goes away, with a fraction so that there are no bands; `None` when it stays.
fn escape(re: f64, im: f64, steps: u32) -> Option<f64> {
    const FAR: f64 = 256.0;
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..steps {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > FAR * FAR {
            return Some(f64::from(step) + 1.0 - ((xx + yy).ln() / 2.0 / FAR.ln()).log2());
        }
        (x, y) = (xx - yy + re, 2.0 * x * y + im);
    }
    None
}

/// Red, green and blue from 0 to 1: three waves, so that neighbours are never far from each other.
fn palette(steps: f64) -> [f64; 3] {
    let at = 0.38 + (1.0 + steps.max(0.0)).ln() / 3.0;
    [0.0, 0.08, 0.18].map(|phase| 0.5 - 0.5 * (TAU * (at + phase)).cos())
}
