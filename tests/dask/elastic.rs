//! Clusters whose workers come and go.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;

use crate::cluster::Cluster;
use crate::ground::{builder, double, end, goes_on, on, pids, run, soon_async};

#[test]
fn workers_that_join_are_used() {
    run(async {
        let cluster = Cluster::empty();
        let pool = builder(on(&cluster)).build().unwrap();
        // There is nobody yet.
        let early = pool.submit(double, 1);
        cluster.order("worker one 1");
        assert_eq!(early.await.unwrap(), 2);
        assert_eq!(pool.max_workers(), 1);
        cluster.order("worker two 2");
        soon_async("the pool has grown", || pool.max_workers() == 3).await;
        let places = pool.run_on_all(pids, ()).await;
        let places: BTreeSet<u32> = places.into_iter().map(|pids| pids.unwrap()[2]).collect();
        assert_eq!(places.len(), 2);
        end(&pool).await;
    });
}

#[test]
fn workers_that_leave_are_replaced() {
    run(async {
        let cluster = Cluster::with_threads(1);
        cluster.order("worker two 1");
        let pool = builder(on(&cluster)).build().unwrap();
        pool.warm_up().await.unwrap();
        assert_eq!(pool.max_workers(), 2);
        goes_on(&pool).await;
        cluster.order("leave one");
        soon_async("the pool has shrunk", || pool.max_workers() == 1).await;
        goes_on(&pool).await;
        cluster.order("worker three 1");
        soon_async("the pool has grown", || pool.max_workers() == 2).await;
        let doubled: Vec<u64> = pool.map(double, 0..100).try_collect().await.unwrap();
        assert!((0..100).map(|n| 2 * n).eq(doubled));
        end(&pool).await;
    });
}

/// Before it is known how large the cluster is, a pool may ask for more workers than there is room for.
#[test]
fn a_cluster_has_less_room_than_was_thought() {
    run(async {
        let cluster = Cluster::with_threads(1);
        for begins_with_all in [false, true, false] {
            let pool = builder(on(&cluster)).build().unwrap();
            if begins_with_all {
                let doubled = pool.run_on_all(double, 2).await;
                assert!(matches!(doubled[..], [Ok(4)]), "{doubled:?}");
            }
            goes_on(&pool).await;
            assert_eq!(pool.max_workers(), 1);
            end(&pool).await;
        }
    });
}
