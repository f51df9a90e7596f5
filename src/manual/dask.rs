//! Clusters with Dask: tasks in the slots of Dask's workers. Read [`clusters`](super::clusters) first: what is promised is there.
//!
//! # Start
//!
//! A cluster that is there already will do as it is. Nothing of this crate is installed on it. To start one by hand:
//!
//! ```console
//! $ pip install distributed
//! $ dask scheduler --host 10.1.0.4                          # on one machine
//! $ dask worker tcp://10.1.0.4:8786 --nthreads 8            # on each of the others
//! ```
//!
//! Each thread of a Dask worker is a slot. Where your program runs, a Python interpreter is wanted with the same month's version of `distributed`
//! as the cluster's: `python3`, or what [`python`](crate::Dask::python) or the variable `POLYPOOL_PYTHON` names.
//!
//! ```no_run
//! # #[cfg(all(feature = "dask", target_os = "linux"))]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     use polypool::{Dask, Executor};
//!
//!     polypool::init();
//!     let pool = Executor::builder().backend(Dask::new("tcp://10.1.0.4:8786")).build()?;
//!     futures::executor::block_on(pool.warm_up())?; // connects now, and fails now
//!     println!("{} workers", pool.max_workers());
//!     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
//!     Ok(())
//! }
//! # #[cfg(not(all(feature = "dask", target_os = "linux")))]
//! # fn main() {}
//! ```
//!
//! | the cluster | in the program | as a setting |
//! |---|---|---|
//! | at an address | `Dask::new("tcp://host:8786")`; also `tls://`, with the certificates of Dask's own configuration | `dask://host:8786` |
//! | that Dask's configuration names: `DASK_SCHEDULER_ADDRESS`, `DASK_SCHEDULER_FILE`, its files | `Dask::discover()` | |
//! | whose scheduler wrote a file | `Dask::scheduler_file(path)` | |
//! | one of its own on this machine, on the loopback interface, which ends with the pool | `Dask::local(4)` | |
//! | what `discover()` finds; where that is nothing, one of its own | `Dask::default()` | `dask` |
//!
//! # Place
//!
//! [`resources`](crate::Dask::resources) names what a worker needs beside its thread: only Dask workers that were started with it
//! (`dask worker --resources "GPU=2"`) are used, and what is taken is not there for others. [`workers`](crate::Dask::workers) names the Dask workers that
//! may be used, [`priority`](crate::Dask::priority) says who goes first where others wait for slots, too.
//!
//! With [`Mode::PerTask`](crate::Mode) each task has its resources for its time, and waits its turn among the tasks of others. In the other
//! [modes](super::clusters#modes) a worker holds its slot.
//!
//! ```no_run
//! # #[cfg(all(feature = "dask", target_os = "linux"))] {
//! use polypool::{Dask, Executor, Mode};
//!
//! let gpus = Dask::discover().resources([("GPU", 1.0)]).mode(Mode::PerTask);
//! let pool = Executor::builder().backend(gpus).build()?;
//! # }
//! # Ok::<(), polypool::BuildError>(())
//! ```
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | a Dask worker joins | it is used |
//! | a Dask worker is lost, or retires | the tasks that ran there end with [`WorkerLost`](crate::TaskError::WorkerLost); other slots take its place |
//! | the scheduler is gone | all tasks end with [`TaskError::Backend`](crate::TaskError::Backend); a new pool connects anew |
//! | the pool is gone, or your program is killed | its slots are free again; the file of the program stays in the cache folder |
//!
//! # When it does not work
//!
//! [`warm_up`](crate::Executor::warm_up) tells, or the first task. The text is that of [`TaskError::Backend`](crate::TaskError::Backend).
//!
//! | the message | |
//! |---|---|
//! | ``the Python interpreter `…` has no usable `distributed` …`` | install it there, or name another interpreter |
//! | ``the scheduler at … has distributed …, and `…` has …; both must be of the same month`` | install the cluster's version beside your program |
//! | `no scheduler answers at …` | the address, or the firewall |
//! | `no scheduler is known` | `discover()` without anything to be found |
//! | `… is the address of a Dask …, not of a scheduler` | a worker's or the dashboard's port was named |
//! | `the worker at … cannot be reached from here` | your machine must be able to connect to Dask's workers, as Dask's own client does |
//! | `workers cannot connect here by way of …` | of `Mode::Pilot`: name an address of this machine with [`listen`](crate::Dask::listen) |
//!
//! Where the file of the program cannot be executed on a node, the message says which and why: another architecture, a C library that is too old, a cache
//! folder on a file system without execution ([`cache_dir`](crate::Dask::cache_dir)), a full disk.
