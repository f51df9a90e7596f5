//! Clusters whose nodes come and go.

use futures::TryStreamExt as _;

use crate::cluster::Cluster;
use crate::ground::{builder, double, end, goes_on, on, run, soon_async};

#[test]
fn nodes_that_join_are_used_and_those_that_leave_are_replaced() {
    run(async {
        let cluster = Cluster::with_cpus(1);
        let pool = builder(on(&cluster)).build().unwrap();
        goes_on(&pool).await;
        assert_eq!(pool.max_workers(), 1);
        cluster.order("node two 2");
        soon_async("the pool has grown", || pool.max_workers() == 3).await;
        assert_eq!(pool.run_on_all(double, 2).await.len(), 3);
        cluster.order("kill-node two");
        soon_async("the pool has shrunk", || pool.max_workers() == 1).await;
        goes_on(&pool).await;
        cluster.order("node three 1");
        soon_async("the pool has grown again", || pool.max_workers() == 2).await;
        let doubled: Vec<u64> = pool.map(double, 0..100).try_collect().await.unwrap();
        assert!((0..100).map(|n| 2 * n).eq(doubled));
        end(&pool).await;
    });
}

/// Before it is known how large the cluster is, a pool may ask for more workers than there is room for.
#[test]
fn a_cluster_has_less_room_than_was_thought() {
    run(async {
        let cluster = Cluster::with_cpus(1);
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
