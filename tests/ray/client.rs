//! Clusters of which this machine is no node: through the head's client server.

use polypool::{Mode, Ray, TaskError};

use crate::cluster::{Cluster, python};
use crate::ground::{end, goes_on, held, pool_of, run, soon_async};
use crate::proc::is_dead;

#[test]
fn tasks_pass_by_the_client_server_in_every_mode_until_the_head_is_killed() {
    run(async {
        let cluster = Cluster::with_cpus(2);
        let address = cluster.order("client");
        for mode in [Mode::Grouped, Mode::Pilot, Mode::PerTask] {
            let pool = pool_of(Ray::new(&address).python(python()).mode(mode), 1);
            goes_on(&pool).await;
            end(&pool).await;
        }
        soon_async("nothing of ours is there", || cluster.order("busy") == "0 0").await;
        let folder = tempfile::tempdir().unwrap();
        let pool = pool_of(Ray::new(&address).python(python()), 1);
        let (running, pids) = held(&pool, &folder).await;
        cluster.order("kill-head");
        assert!(matches!(running.await, Err(TaskError::Backend { .. } | TaskError::WorkerLost(_))));
        assert!(matches!(pool.submit(crate::ground::double, 1).await, Err(TaskError::Backend { .. })));
        end(&pool).await;
        soon_async("nothing is left", || pids[..2].iter().all(|&pid| is_dead(pid))).await;
    });
}
