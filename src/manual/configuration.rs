//! Configuration: one setting for users, a table in a file, variables, a command line.
//!
//! # One setting: `Parallel`
//!
//! A library that can work in parallel takes a [`Parallel`](crate::Parallel). It is read from text or from a file, or made of a `bool` or a number.
//!
//! | setting | pool |
//! |---|---|
//! | `off`, `false`, `0` | serial |
//! | `on`, `true` | the backend that was used last, else the default one |
//! | `auto` | the same, but serial inside a task, and where starting one would be a surprise |
//! | `4` | that of `on`, with four workers |
//! | `threads`, `processes`, `dask://host:8786`, … | that backend |
//!
//! ```
//! use futures::TryStreamExt;
//! use polypool::Parallel;
//!
//! /// A library's function: it has no opinion of its own.
//! async fn lengths(words: Vec<String>, parallel: impl Into<Parallel>) -> Result<Vec<usize>, Box<dyn std::error::Error>> {
//!     let pool = parallel.into().executor()?;
//!     Ok(pool.map(|word: String| word.len(), words).try_collect().await?)
//! }
//!
//! # futures::executor::block_on(async {
//! let words = vec!["hen".to_owned(), "chicken".to_owned()];
//! assert_eq!(lengths(words.clone(), false).await?, [3, 7]);
//! assert_eq!(lengths(words, "threads".parse::<Parallel>()?).await?, [3, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! All who ask by a setting share one pool of each backend. Libraries that know nothing of each other do not multiply workers. What nests is
//! serial by `auto`, and counted up to ten deep where it was asked for.
//!
//! [`set_default_backend`](crate::set_default_backend) chooses for the whole process, [`with_default_backend`](crate::with_default_backend) for one
//! call, [`reusable`](crate::reusable()) gives a pool of the program with options of its own.
//!
//! # All settings: `PoolConfig`
//!
//! With the feature `config`, all that a pool's user may choose comes from four sources. A later one stands over an earlier one:
//!
//! 1. the program: [`set`](crate::config::PoolConfig::set);
//! 2. files: [`toml_file`](crate::config::PoolConfig::toml_file), a table `[parallel]`;
//! 3. the environment: `POLYPOOL_` and the key;
//! 4. the command line: [`args`](crate::config::PoolConfig::args), feature `clap`.
//!
//! ```
//! # #[cfg(feature = "config")] {
//! use polypool::config::PoolConfig;
//!
//! let config = PoolConfig::new()
//!     .set("parallel_backend", "threads")? // what the program would choose
//!     .toml_str("[parallel]\nn_workers = 4\ntask_timeout = '1m 30s'", "app.toml")?
//!     .environment_from([("POLYPOOL_N_WORKERS".into(), "2".into())])?; // `.environment()` reads the real one
//! let pool = config.executor()?;
//! assert_eq!((pool.backend_name(), pool.max_workers()), ("threads", 2));
//!
//! // Who said what: for a log, or a bug report.
//! assert!(config.to_string().contains("n_workers = 2"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A mistake in any source is an error that names the setting, its place, and the remedy. Nothing is guessed and nothing passes silently.
//!
//! ```
//! # #[cfg(feature = "config")] {
//! use polypool::config::PoolConfig;
//!
//! let error = PoolConfig::new().toml_str("[parallel]\nn_workers = 'many'", "app.toml").unwrap_err();
//! assert_eq!(error.to_string(), r#"n_workers in app.toml, line 2: expected a number, "auto" or "all-but-one""#);
//!
//! let error = PoolConfig::new().toml_str("[parallel]\nn_worker = 4", "app.toml").unwrap_err();
//! assert_eq!(error.to_string(), r#"unknown key "n_worker" in app.toml, line 2: did you mean "n_workers"?"#);
//! # }
//! ```
//!
//! All keys, with their values and defaults, are in [`config`](crate::config#settings).
//!
//! # The command line
//!
//! ```
//! # #[cfg(feature = "clap")] {
//! use clap::Parser;
//! use polypool::config::{ParallelArgs, PoolConfig};
//!
//! /// Makes thumbnails.
//! #[derive(Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     parallel: ParallelArgs,
//!     pictures: Vec<std::path::PathBuf>,
//! }
//!
//! let args = Args::parse_from(["thumbnails", "-n", "3", "--parallel-backend", "threads", "a.png"]);
//! let pool = PoolConfig::load("thumbnails.toml")?.args(&args.parallel).executor()?;
//! assert_eq!(pool.max_workers(), 3);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | option | |
//! |---|---|
//! | `-n`, `--n-workers` | a number; `auto` or `all-but-one` leave one CPU to others |
//! | `--parallel-backend` | a name or an address |
//! | `--task-timeout` | how long each task may run |
//! | `--debug` | one thread, no time limits: for a debugger |
//!
//! # Variables
//!
//! Those that `PoolConfig` reads are `POLYPOOL_` and a key in capitals. These are read without it, too:
//!
//! | variable | |
//! |---|---|
//! | `POLYPOOL_NUM_WORKERS` | the default number of workers of every pool that comes of a setting; else `OMP_NUM_THREADS`, else all CPUs |
//! | `POLYPOOL_MAX_CPU_COUNT` | the most that [`cpu_count`](crate::cpu_count) says |
//! | `POLYPOOL_MAX_DEPTH` | how deep pools may be nested in tasks of pools; 10 |
//!
//! A variable that is empty is as one that is not set.
