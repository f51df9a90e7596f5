//! Clusters with Ray: tasks beside actors of Ray. Read [`clusters`](super::clusters) first: what is promised is there.
//!
//! # Start
//!
//! A cluster that is there already will do as it is. Nothing of this crate is installed on it. To start one by hand:
//!
//! ```console
//! $ pip install ray
//! $ ray start --head --port 6379                    # on one machine
//! $ ray start --address 10.1.0.4:6379               # on each of the others
//! ```
//!
//! A slot is an actor that holds one CPU, or what [`resources`](crate::Ray::resources) says. Where your program runs, a Python interpreter is wanted
//! with the cluster's own version of Ray, and of Python: `python3`, or what [`python`](crate::Ray::python) or the variable `POLYPOOL_PYTHON` names.
//!
//! ```no_run
//! # #[cfg(all(feature = "ray", target_os = "linux"))]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     use polypool::{Executor, Ray};
//!
//!     polypool::init();
//!     let pool = Executor::builder().backend(Ray::new("ray://10.1.0.4:10001")).build()?;
//!     futures::executor::block_on(pool.warm_up())?; // connects now, and fails now
//!     println!("{} workers", pool.max_workers());
//!     assert_eq!(pool.submit(|n: u64| n * n, 12).blocking_join()?, 144);
//!     Ok(())
//! }
//! # #[cfg(not(all(feature = "ray", target_os = "linux")))]
//! # fn main() {}
//! ```
//!
//! | the cluster | in the program | as a setting |
//! |---|---|---|
//! | from a machine that is one of its nodes | `Ray::new("10.1.0.4:6379")` | |
//! | from elsewhere, by the client server of its head | `Ray::new("ray://10.1.0.4:10001")` | `ray://10.1.0.4:10001` |
//! | that `RAY_ADDRESS` names, or that runs on this machine | `Ray::discover()` | |
//! | one of its own on this machine, which ends with the pool | `Ray::local(4)` | |
//! | what `discover()` finds; where that is nothing, one of its own | `Ray::default()` | `ray` |
//!
//! A local instance is on the loopback interface, asks for a key that nobody else has, and takes some seconds to start. Other instances on the machine
//! are left alone. A cluster that asks for a token finds it where Ray looks for it: `RAY_AUTH_MODE`, `RAY_AUTH_TOKEN`.
//!
//! # Place
//!
//! [`cpus`](crate::Ray::cpus), [`memory`](crate::Ray::memory) and [`resources`](crate::Ray::resources) say what each worker has, by Ray's names. Ray places
//! workers by that, and enforces none of it: [`memory_limit`](crate::Ray::memory_limit) does. [`nodes`](crate::Ray::nodes) and
//! [`labels`](crate::Ray::labels) say where.
//!
//! ```no_run
//! # #[cfg(all(feature = "ray", target_os = "linux"))] {
//! use polypool::{Executor, Mode, Ray};
//!
//! let big = Ray::discover().cpus(4.0).memory(8 << 30).labels([("rack", "b")]).mode(Mode::Pilot);
//! let pool = Executor::builder().backend(big).build()?;
//! # }
//! # Ok::<(), polypool::BuildError>(())
//! ```
//!
//! With [`Mode::PerTask`](crate::Mode) each task has its resources for its time. In the other [modes](super::clusters#modes) a worker holds them for
//! as long as it is there; actors and tasks are never restarted by Ray (`max_restarts=0`, `max_task_retries=0`).
//!
//! # What happens when
//!
//! | | |
//! |---|---|
//! | a node joins | it is used |
//! | a node, or an actor of ours, is lost | the tasks that ran there end with [`WorkerLost`](crate::TaskError::WorkerLost); others take their place |
//! | the head is gone | all tasks end with [`TaskError::Backend`](crate::TaskError::Backend); a new pool connects anew |
//! | the pool is gone, or your program is killed | its actors end; the file of the program stays in the cache folder |
//!
//! # When it does not work
//!
//! [`warm_up`](crate::Executor::warm_up) tells, or the first task. The text is that of [`TaskError::Backend`](crate::TaskError::Backend).
//!
//! | the message | |
//! |---|---|
//! | ``the Python interpreter `…` has no usable `ray` …`` | install it there, or name another interpreter |
//! | `no running Ray instance is known here …` | `discover()` without anything to be found |
//! | ``nobody answers at … as the head of a Ray cluster does`` | the address, the firewall, or `ray://` with the port of the head (that is `host:6379`) |
//! | `no node of the cluster at … has what a worker asks for …` | the message says what there is |
//! | `the cluster at ray://… does not let us in: … already been disconnected`, now and then | Ray's client server forks for each client, also while it serves others; start the head with `GRPC_ENABLE_FORK_SUPPORT=0` in its environment |
//! | `workers cannot connect here by way of …` | of `Mode::Pilot`: name an address of this machine with [`listen`](crate::Ray::listen) |
//!
//! Where the file of the program cannot be executed on a node, the message says which and why: another architecture, a C library that is too old, a cache
//! folder on a file system without execution ([`cache_dir`](crate::Ray::cache_dir)), a full disk.
