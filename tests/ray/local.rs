//! Instances that the pool starts itself.

use polypool::{BuildError, Executor, Ray, TaskError};
use rustix::process::Signal;

use crate::ground::{Apart, builder, double, end, goes_on, held, pids, pool_of, run, soon_async};
use crate::proc::{children_of, is_dead, kill};

#[test]
fn a_local_instance_comes_and_goes_with_its_pool() {
    run(async {
        let apart = Apart::new();
        let backend = Ray::local(2).python(&apart.python).resources([("licence", 1.0)]);
        let pool = builder(backend).build().unwrap();
        assert_eq!(pool.max_workers(), 2);
        goes_on(&pool).await;
        assert_eq!(apart.files().len(), 1);
        let places = pool.run_on_all(pids, ()).await;
        let mut all: Vec<u32> = places.into_iter().flat_map(|pids| pids.unwrap()).collect();
        // All of the instance is below the bridge.
        all.extend(children_of(apart.bridge()));
        end(&pool).await;
        soon_async("all of it is gone", || all.iter().all(|&pid| is_dead(pid))).await;
        assert_eq!(apart.files(), [""; 0]);
    });
}

/// Its head does not come back, and the rest of it would wait for that.
#[test]
fn the_head_of_a_local_instance_is_killed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let apart = Apart::new();
        let pool = pool_of(Ray::local(1).python(&apart.python), 1);
        let (running, ours) = held(&pool, &folder).await;
        let mut all = children_of(apart.bridge());
        let head = all.iter().copied().find(|&pid| is_named(pid, "gcs_server")).expect("a head");
        let raylet = all.iter().copied().find(|&pid| is_named(pid, "raylet")).expect("a node");
        all.extend(children_of(raylet));
        all.extend(ours);
        kill(head, Signal::KILL);
        assert!(running.await.is_err());
        assert!(matches!(pool.submit(double, 1).await, Err(TaskError::Backend { .. })));
        end(&pool).await;
        soon_async("all of it is gone", || all.iter().all(|&pid| is_dead(pid))).await;
        assert_eq!(apart.files(), [""; 0]);
    });
}

/// Whether the name of what a process runs ends so.
fn is_named(pid: u32, name: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).next().is_some_and(|first| first.ends_with(name.as_bytes()))
}

#[test]
fn what_no_instance_can_be_is_refused() {
    for backend in [Ray::local(0), Ray::local(1).cpus(2.0)] {
        let error = Executor::builder().backend(backend).build().unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange(_)), "{error}");
    }
}
