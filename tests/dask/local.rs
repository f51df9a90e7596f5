//! Clusters that the pool starts itself.

use polypool::{BuildError, Dask, Executor};

use crate::cluster::python;
use crate::ground::{Apart, builder, end, goes_on, pids, run, soon_async};
use crate::proc::is_dead;

#[test]
fn a_local_cluster_comes_and_goes_with_its_pool() {
    run(async {
        let apart = Apart::new();
        let backend = Dask::local(2).python(&apart.python);
        let pool = builder(backend).build().unwrap();
        assert_eq!(pool.max_workers(), 2);
        goes_on(&pool).await;
        let places = pool.run_on_all(pids, ()).await;
        let all: Vec<u32> = places.into_iter().flat_map(|pids| pids.unwrap()).collect();
        end(&pool).await;
        soon_async("all of it is gone", || all.iter().all(|&pid| is_dead(pid))).await;
        assert_eq!(apart.files(), [""; 0]);
    });
}

/// Of `dask`, by its name alone, in a program of which nobody has told where a cluster is.
#[test]
fn there_is_a_local_cluster_where_none_is_known() {
    run(async {
        let pool = builder(Dask::default().python(python())).build().unwrap();
        goes_on(&pool).await;
        assert_eq!(pool.max_workers(), polypool::cpu_count());
        end(&pool).await;
    });
}

#[test]
fn its_workers_have_what_is_asked_for() {
    run(async {
        let pool = builder(Dask::local(1).python(python()).resources([("LICENCE", 1.0)])).build().unwrap();
        goes_on(&pool).await;
        end(&pool).await;
    });
}

#[test]
fn a_cluster_of_nobody_is_refused() {
    let error = Executor::builder().backend(Dask::local(0)).build().unwrap_err();
    assert!(matches!(error, BuildError::OutOfRange(_)), "{error}");
}
