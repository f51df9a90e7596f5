//! The way into a program before its `main`. Owns the section of the executable through which the system calls us there; does
//! not know what is done then: that is `__private::before_main`'s.

/// Lets copies of this program work for its pools, where `main` is not ours to begin with [`init`](crate::init): tests, benches,
/// and libraries that use process workers on their own account.
///
/// Written once, at the top level of any file of the crate (twice does no harm). It has itself called before `main`: a copy of
/// this program that was started as a worker never gets to `main`, to the arguments or to the test harness; any other goes on as
/// if nothing had been. The linker keeps it also in a library, if something else of that library is used by the program.
///
/// # Examples
/// ```no_run
/// polypool::worker_main!();
///
/// # fn main() {}
/// #[test]
/// fn two_processes_add() -> Result<(), Box<dyn std::error::Error>> {
///     let pool = polypool::Executor::builder().backend("processes").max_workers(2).build()?;
///     assert_eq!(pool.submit(|(a, b): (u32, u32)| a + b, (1, 2)).blocking_join()?, 3);
///     Ok(())
/// }
/// ```
#[macro_export]
// It is there without them, and fails where it is used.
#[cfg_attr(docsrs, doc(cfg(all(feature = "processes", target_os = "linux"))))]
macro_rules! worker_main {
    () => {
        const _: () = {
            // SAFETY: the section is a table of functions which the C library calls before `main`, one after the other, when the
            // program is relocated and its allocator, environment and threads are usable. What is put there is such a function,
            // which takes no arguments (those it is given are ignored, as C calls allow) and does not unwind.
            #[used]
            #[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
            static ENTRY: extern "C" fn() = $crate::__private::before_main;
        };
    };
}
