//! The `parallel=` setting in a build without worker processes: one test, for it is about what a process has once.

#![cfg(not(all(feature = "processes", target_os = "linux")))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use polypool::{BuildError, Executor, Parallel, cpu_count, default_backend, set_default_backend};

#[test]
fn threads_are_the_default_where_there_are_no_processes() {
    let of = |text: &str| text.parse::<Parallel>().unwrap().executor().unwrap();
    let shape = |pool: Executor| (pool.backend_name().to_owned(), pool.max_workers());
    assert_eq!(default_backend(), "threads");
    assert_eq!(shape(Executor::builder().build().unwrap()), ("threads".to_owned(), cpu_count()));
    assert_eq!(shape(of("3")), ("threads".to_owned(), 3));
    for setting in ["on", "auto"] {
        assert_eq!(shape(of(setting)), ("threads".to_owned(), cpu_count()));
    }
    for name in ["processes", "loky"] {
        assert!(
            matches!(name.parse::<Parallel>(), Err(BuildError::FeatureDisabled(name)) if name == "processes")
        );
        assert!(set_default_backend(name).is_err());
    }
    assert_eq!(default_backend(), "threads");
    set_default_backend("tasks").unwrap();
    assert_eq!(shape(of("auto")).0, "tasks");
    assert_eq!(shape(of("off")), ("serial".to_owned(), 1));
}
