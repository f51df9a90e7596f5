//! Instances that the pool starts itself.

use polypool::{BuildError, Executor, Ray};

use crate::cluster::python;
use crate::ground::{builder, end, goes_on, pids, run, soon_async};
use crate::proc::{is_dead, listing};

/// The folders of instances that are there.
fn folders() -> Vec<String> {
    let all = listing(std::env::temp_dir().to_str().unwrap());
    all.into_iter().filter(|name| name.starts_with("polypool-ray-")).collect()
}

#[test]
fn a_local_instance_comes_and_goes_with_its_pool() {
    run(async {
        let backend = Ray::local(2).python(python()).resources([("licence", 1.0)]);
        let pool = builder(backend).build().unwrap();
        assert_eq!(pool.max_workers(), 2);
        goes_on(&pool).await;
        assert_eq!(folders().len(), 1);
        let places = pool.run_on_all(pids, ()).await;
        let mut all: Vec<u32> = places.into_iter().flat_map(|pids| pids.unwrap()).collect();
        // All of the instance is below the bridge.
        for bridge in crate::proc::children_of(std::process::id()) {
            all.extend(crate::proc::children_of(bridge));
        }
        end(&pool).await;
        soon_async("all of it is gone", || all.iter().all(|&pid| is_dead(pid))).await;
        assert_eq!(folders(), [""; 0]);
    });
}

#[test]
fn what_no_instance_can_be_is_refused() {
    for backend in [Ray::local(0), Ray::local(1).cpus(2.0)] {
        let error = Executor::builder().backend(backend).build().unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange(_)), "{error}");
    }
}
