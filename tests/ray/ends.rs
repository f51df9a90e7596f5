//! The ends of all that a task depends on: what becomes of the task, of the others, and of what is left.

use std::time::{Duration, Instant};

use polypool::{Mode, TaskError};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::ground::{
    Apart, assert_lost, builder, double, end, goes_on, held, on, pids, pool_of, run, soon, soon_async,
};
use crate::proc::{is_dead, kill};

/// What must be told within this time is told promptly, on a machine that is busy.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn worker_or_agent_is_killed() {
    run(async {
        for mode in [Mode::Grouped, Mode::Pilot, Mode::PerTask] {
            for whom in 0..2 {
                let folder = tempfile::tempdir().unwrap();
                let pool = pool_of(on(Cluster::shared()).mode(mode), 1);
                let (task, pids) = held(&pool, &folder).await;
                let pending = pool.submit(double, 21);
                kill(pids[whom], Signal::KILL);
                assert_lost(task).await;
                assert_eq!(pending.await.unwrap(), 42, "{mode:?}");
                soon_async("nothing of it is left", || pids[..2].iter().all(|&pid| is_dead(pid))).await;
                end(&pool).await;
            }
        }
    });
}

/// Ray would start the actor again, and run what it did again, if it was told so; ours runs once.
#[test]
fn the_actor_of_a_slot_is_killed() {
    run(async {
        for mode in [Mode::Grouped, Mode::Pilot, Mode::PerTask] {
            let folder = tempfile::tempdir().unwrap();
            let pool = pool_of(on(Cluster::shared()).mode(mode), 1);
            let (task, pids) = held(&pool, &folder).await;
            let pending = pool.submit(double, 21);
            kill(pids[2], Signal::KILL);
            assert_lost(task).await;
            soon_async("nothing of it is left", || pids.iter().all(|&pid| is_dead(pid))).await;
            assert_eq!(pending.await.unwrap(), 42, "{mode:?}");
            goes_on(&pool).await;
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "it ran once");
            end(&pool).await;
        }
    });
}

#[test]
fn a_lost_task_is_tried_again_if_that_is_asked_for() {
    run(async {
        let pool = builder(on(Cluster::shared())).max_workers(1).retries(1).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first").to_str().unwrap().to_owned();
        let task = pool.submit(second_time, path.clone());
        soon_async("it runs", || std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('.'))).await;
        let text = std::fs::read_to_string(&path).unwrap();
        kill(text.trim_end_matches('.').parse().unwrap(), Signal::KILL);
        assert_eq!(task.await.unwrap(), 2);
        end(&pool).await;
    });
}

/// The first time, says who the actor is, and never ends.
fn second_time(path: String) -> u32 {
    if std::fs::File::create_new(&path).is_ok() {
        std::fs::write(&path, format!("{}.", pids(())[2])).unwrap();
        std::thread::sleep(Duration::from_secs(1000));
    }
    2
}

#[test]
fn the_head_is_killed() {
    run(async {
        for mode in [Mode::Grouped, Mode::Pilot, Mode::PerTask] {
            let cluster = Cluster::with_cpus(2);
            let folder = tempfile::tempdir().unwrap();
            let pool = pool_of(on(&cluster).mode(mode), 1);
            let (running, pids) = held(&pool, &folder).await;
            let pending: Vec<_> = (0..5).map(|n| pool.submit(double, n)).collect();
            let start = Instant::now();
            cluster.order("kill-head");
            for task in pending {
                match task.await {
                    Err(TaskError::Backend { backend, source }) => {
                        assert_eq!(backend, "ray");
                        assert!(source.to_string().contains("is gone"), "{source}");
                    }
                    other => panic!("{other:?}"),
                }
            }
            let took = start.elapsed();
            assert!(took < PROMPT, "{took:?}");
            assert!(running.await.is_err());
            assert!(matches!(pool.submit(double, 1).await, Err(TaskError::Backend { .. })));
            end(&pool).await;
            soon_async("nothing is left", || pids[..2].iter().all(|&pid| is_dead(pid))).await;
        }
    });
}

#[test]
fn shutdown_leaves_nothing() {
    run(async {
        for mode in [Mode::Grouped, Mode::Pilot, Mode::PerTask] {
            let cluster = Cluster::shared();
            let pool = pool_of(on(cluster).mode(mode), 2);
            let ours = pool.run_on_all(pids, ()).await;
            end(&pool).await;
            for [worker, agent, _] in ours.into_iter().map(Result::unwrap) {
                soon_async("it is gone", || is_dead(worker) && is_dead(agent)).await;
            }
        }
    });
}

/// As a user's program: this test binary, once more.
#[test]
fn the_program_is_killed() {
    let cluster = Cluster::with_cpus(2);
    for mode in ["grouped", "pilot", "per-task"] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = std::process::Command::new("/proc/self/exe")
            .args(["ends::program", "--exact", "--ignored", "--test-threads=1"])
            .env("POLYPOOL_TEST_PLAY", format!("{mode} {} {}", cluster.address(), folder.path().display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this program can be started");
        let said = folder.path().join("said");
        soon("it has workers", || said.exists());
        let text = std::fs::read_to_string(&said).unwrap();
        let pids: Vec<u32> = text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(pids.len(), 3);
        program.kill().unwrap();
        program.wait().unwrap();
        soon("workers, agents and bridge are gone", || pids.iter().all(|&pid| is_dead(pid)));
        soon("no actor of ours is left with Ray, and nothing is taken", || cluster.order("busy") == "0 0");
    }
}

#[test]
#[ignore = "it is played by another test"]
fn program() {
    let Ok(play) = std::env::var("POLYPOOL_TEST_PLAY") else { return };
    let mut words = play.split(' ');
    let mode = match words.next().unwrap() {
        "grouped" => Mode::Grouped,
        "pilot" => Mode::Pilot,
        _ => Mode::PerTask,
    };
    let backend = polypool::Ray::new(words.next().unwrap()).python(crate::cluster::python()).mode(mode);
    let folder = std::path::PathBuf::from(words.next().unwrap());
    run(async {
        let pool = pool_of(backend, 1);
        let path = folder.join("held");
        let task = pool.submit(crate::ground::hold, path.to_str().unwrap().to_owned());
        soon_async("it runs", || path.exists()).await;
        let held = std::fs::read_to_string(&path).unwrap();
        let mut ours: Vec<String> = held.split(' ').take(2).map(str::to_owned).collect();
        ours.extend(crate::proc::children_of(std::process::id()).iter().map(u32::to_string));
        std::fs::write(folder.join("draft"), ours.join(" ")).unwrap();
        std::fs::rename(folder.join("draft"), folder.join("said")).unwrap();
        let _ = task.await;
    });
}

/// The bridge is a process like any other.
#[test]
fn the_bridge_is_killed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let apart = Apart::new();
        let pool = pool_of(on(Cluster::shared()).python(&apart.python), 1);
        let (running, ours) = held(&pool, &folder).await;
        let pending = pool.submit(double, 1);
        kill(apart.bridge(), Signal::KILL);
        match pending.await {
            Err(TaskError::Backend { source, .. }) => {
                assert!(source.to_string().contains("bridge"), "{source}")
            }
            other => panic!("{other:?}"),
        }
        assert!(running.await.is_err());
        soon_async("nothing is left", || ours[..2].iter().all(|&pid| is_dead(pid))).await;
    });
}
