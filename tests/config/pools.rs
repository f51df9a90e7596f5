//! The pools that settings come to.

use futures::executor::block_on;
use polypool::{
    Parallel, TaskError,
    config::{PoolConfig, Setting},
    cpu_count,
};

use crate::{assert_error, environment, shown, table, variables};

fn pool(text: &str) -> (String, usize) {
    let pool = table(text).and_then(|config| config.executor()).expect(text);
    (pool.backend_name().to_owned(), pool.max_workers())
}

#[test]
fn how_many_on_what() {
    let all_but_one = (cpu_count() - 1).max(1);
    assert_eq!(pool("parallel_backend = 'threads'\nn_workers = 5"), ("threads".into(), 5));
    assert_eq!(pool("parallel_backend = 'async'\nn_workers = 'auto'"), ("tasks".into(), all_but_one));
    assert_eq!(
        pool("parallel_backend = 'thread'\nn_workers = 'ALL-BUT-ONE'"),
        ("threads".into(), all_but_one)
    );
    assert_eq!(pool("parallel_backend = 'serial'\nn_workers = 1"), ("serial".into(), 1));
    assert_eq!(pool("parallel = 'threads'\nn_workers = 5"), ("threads".into(), 5));
    assert_eq!(pool("parallel = 5\nparallel_backend = ' threads '"), ("threads".into(), 5));
    assert_eq!(pool("parallel = 'tasks'"), pool("parallel_backend = 'tasks'"));
    for off in ["false", "0", "'off'"] {
        assert_eq!(pool(&format!("parallel = {off}")), ("serial".into(), 1), "{off}");
    }
    assert_eq!(
        pool("debug = true\nn_workers = 5\nidle_timeout = 4\non_serial = 'error'"),
        ("serial".into(), 1)
    );
}

#[test]
fn options_reach_the_pool() {
    let config = table("parallel_backend = 'threads'\nn_workers = 1\nname = 'small'\nmax_pending = 1");
    let pool = config.and_then(|config| config.executor()).expect("fine");
    assert_eq!(pool.name(), "small");
    assert!(pool.stats().queued == 0);
    let config = table("parallel_backend = 'tasks'\nn_workers = 1\ntask_timeout = '20ms'");
    let pool = config.and_then(|config| config.executor()).expect("fine");
    let task = pool.spawn(std::future::pending::<()>());
    assert!(matches!(block_on(task), Err(TaskError::TimedOut { .. })));
}

#[test]
fn a_time_without_end_is_no_time_limit() {
    let config = table(&format!("parallel_backend = 'threads'\nn_workers = 1\ntask_timeout = {}", i64::MAX));
    let pool = config.and_then(|config| config.executor()).expect("fine");
    assert_eq!(block_on(pool.submit(|n: u8| n + 1, 1)).expect("it runs"), 2);
}

#[test]
fn what_there_is_not_is_told_with_the_place() {
    let executor = |text: &str| table(text).and_then(|config| config.executor());
    let error = executor("parallel_backend = 'theads'").expect_err("unknown").to_string();
    assert!(
        error.starts_with(
            "parallel_backend in app.toml, line 2: unknown backend `theads`; known are serial, threads"
        ),
        "{error}"
    );
    let error = executor("parallel = ' theads '").expect_err("unknown").to_string();
    assert!(
        error.starts_with(
            "parallel in app.toml, line 2: unknown backend `theads`; known are off, on, auto, serial, threads"
        ),
        "{error}"
    );
    assert_error(
        environment(&[("POLYPOOL_PARALLEL_BACKEND", "threads://here")]).and_then(|config| config.executor()),
        "POLYPOOL_PARALLEL_BACKEND in the environment: `threads://here` is an address, and the backend `threads` takes none",
    );
    #[cfg(feature = "tokio")]
    assert_error(
        executor("parallel_backend = 'threads'\nruntime = 'tokio'"),
        "runtime in app.toml, line 3: no tokio runtime is in context; build the pool inside one, or pass `Runtime::tokio(handle)`",
    );
    let serial = "the pool would run its tasks one at a time; ask for two workers or more, or allow it with `on_serial`";
    for text in ["n_workers = 1\nparallel_backend = 'threads'", "parallel = false\n"] {
        assert_error(
            executor(&format!("{text}\non_serial = 'error'")),
            &format!("on_serial in app.toml, line 4: {serial}"),
        );
    }
}

#[test]
fn an_option_that_the_backend_has_no_use_for() {
    let refused = "the backend `threads` has no use for it; take it out, or choose `processes`";
    assert_error(
        table("parallel_backend = 'threads'\nidle_timeout = 10").and_then(|config| config.executor()),
        &format!("idle_timeout in app.toml, line 3: {refused}"),
    );
    assert_error(
        table("parallel_backend = 'threads'")
            .and_then(|config| config.environment_from(variables(&[("POLYPOOL_MEMORY_LIMIT", "2 GiB")])))
            .and_then(|config| config.executor()),
        &format!("POLYPOOL_MEMORY_LIMIT in the environment: {refused}"),
    );
    // Whoever chooses another backend need not take out what was meant for the one before.
    let config = table("parallel_backend = 'processes'\nidle_timeout = 10")
        .and_then(|config| config.environment_from(variables(&[("POLYPOOL_PARALLEL_BACKEND", "threads")])))
        .expect("fine");
    assert_eq!(config.executor().expect("fine").backend_name(), "threads");
    assert_eq!(
        shown(&config),
        [
            "parallel_backend = \"threads\"  # POLYPOOL_PARALLEL_BACKEND, over \"processes\" from app.toml, line 2"
        ]
    );
    assert!(
        config
            .to_string()
            .contains("\n# idle_timeout = \"10s\"  # app.toml, line 3; not used: the backend is `threads`")
    );
}

#[test]
fn more_workers_than_the_serial_backend_has() {
    let refused = "the backend `serial` has no use for it; take it out, or choose another backend";
    for (text, key, line) in [
        ("parallel_backend = 'serial'\nn_workers = 4", "n_workers", 3),
        ("n_workers = 'auto'\nparallel = 'serial'", "n_workers", 2),
        ("parallel = 4\nparallel_backend = 'serial'", "parallel", 2),
    ] {
        let config = table(text).expect("well formed");
        assert_error(config.executor(), &format!("{key} in app.toml, line {line}: {refused}"));
        assert_error(config.parallel(), &format!("{key} in app.toml, line {line}: {refused}"));
    }
    let above = |name: &str, value: &str, text: &str| {
        table(text)
            .and_then(|config| config.environment_from(variables(&[(name, value)])))
            .expect("well formed")
    };
    let config = above("POLYPOOL_N_WORKERS", "4", "parallel_backend = 'serial'");
    assert_error(config.executor(), &format!("POLYPOOL_N_WORKERS in the environment: {refused}"));
    // A choice from above need not take out what was said below, and a number for all pools is for this one, if it can be.
    for (name, value, text, line) in [
        ("POLYPOOL_PARALLEL_BACKEND", "serial", "n_workers = 4", "# n_workers = 4  # app.toml, line 2"),
        (
            "POLYPOOL_NUM_WORKERS",
            "4",
            "parallel_backend = 'serial'",
            "# n_workers = 4  # POLYPOOL_NUM_WORKERS",
        ),
    ] {
        let config = above(name, value, text);
        assert_eq!(config.executor().expect("fine").backend_name(), "serial");
        assert!(matches!(config.parallel(), Ok(Parallel::Backend(name)) if name == "serial"));
        let line = format!("{line}; not used: the backend is `serial`");
        assert!(config.to_string().lines().any(|shown| shown == line), "{config}");
    }
    // A later file stands over an earlier one in this, too.
    let config = table("n_workers = 4\nparallel_backend = 'threads'").expect("fine");
    let config = config.toml_str("[parallel]\nparallel_backend = 'serial'", "over.toml").expect("fine");
    assert_eq!(config.executor().expect("fine").backend_name(), "serial");
}

#[test]
fn values_of_variables_are_nobody_elses() {
    let config = table("env = { TOKEN = 'secret' }").expect("fine");
    let above = variables(&[("POLYPOOL_ENV", "TOKEN=secrets,B=secret")]);
    let config = config.environment_from(above).expect("fine");
    let list = config.to_string();
    assert!(!list.contains("secret"), "{list}");
    let line =
        "# env = { \"B\" = …, \"TOKEN\" = … }  # POLYPOOL_ENV, over { \"TOKEN\" = … } from app.toml, line 2";
    assert!(list.lines().any(|shown| shown == line), "{list}");
    let debug = config.set("debug", true).expect("fine").to_string();
    assert!(!debug.contains("secret") && debug.contains("TOKEN"), "{debug}");
}

#[test]
fn numbers_of_every_type() {
    let set = |n: Setting| shown(&PoolConfig::new().set("n_workers", n).expect("fine"));
    for n in [3_u32.into(), 3_i64.into(), 3_i32.into(), 3_u64.into(), 3_usize.into()] {
        assert_eq!(set(n), ["n_workers = 3  # the program"]);
    }
    assert_error(
        PoolConfig::new().set("n_workers", i64::MIN),
        "n_workers in the program: -9223372036854775808 is too small; the least is 1",
    );
}

#[test]
fn a_program_may_add_what_is_not_its_users_choice() {
    let config =
        PoolConfig::new().set("parallel_backend", "threads").and_then(|config| config.set("n_workers", 2));
    let builder = config.and_then(|config| config.builder()).expect("fine");
    let pool = builder.initializer(|()| (), ()).name("mine").build().expect("fine");
    assert_eq!((pool.name(), pool.max_workers()), ("mine", 2));
}

#[test]
fn as_a_parallel_setting() {
    let parallel = |text: &str| table(text).and_then(|config| config.parallel()).expect(text);
    assert!(matches!(parallel("debug = true"), Parallel::Off));
    assert!(matches!(parallel("parallel = false"), Parallel::Off));
    assert!(matches!(parallel("parallel = true"), Parallel::On));
    assert!(matches!(parallel("parallel = 'auto'"), Parallel::Auto));
    assert!(matches!(parallel(""), Parallel::Auto));
    assert!(matches!(parallel("n_workers = 3"), Parallel::Workers(n) if n.get() == 3));
    assert!(matches!(parallel("parallel_backend = 'tasks'"), Parallel::Backend(name) if name == "tasks"));
    let Parallel::With(pool) = parallel("parallel_backend = 'tasks'\nretries = 2") else {
        panic!("only a pool has options");
    };
    assert_eq!(pool.backend_name(), "tasks");
}

#[cfg(all(feature = "processes", target_os = "linux"))]
#[test]
fn options_reach_worker_processes() {
    let text = "parallel_backend = 'loky'\nn_workers = 1\nenv = { POLYPOOL_TEST_A = 'b' }\ncurrent_dir = '/'\nmax_payload = '1 KiB'";
    let config = table(text).expect("fine");
    let pool = config.executor().expect("fine");
    let here = |name: String| (std::env::var(name).ok(), std::env::current_dir().ok());
    let (value, folder) = block_on(pool.submit(here, "POLYPOOL_TEST_A".to_owned())).expect("it runs");
    assert_eq!((value.as_deref(), folder), (Some("b"), Some("/".into())));
    let large = block_on(pool.submit(|text: String| text.len(), "x".repeat(2000)));
    assert!(matches!(large, Err(TaskError::TooLarge { limit: 1024, .. })), "{large:?}");
}

#[cfg(not(all(feature = "processes", target_os = "linux")))]
#[test]
fn options_of_a_backend_that_this_build_is_without() {
    assert_error(
        table("idle_timeout = 10").and_then(|config| config.executor()),
        "idle_timeout in app.toml, line 2: the backend `threads` has no use for it; take it out, or choose `processes`",
    );
}
