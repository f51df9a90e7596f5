//! How the program gets to where it runs: here by a copy of this test binary that is deleted once it runs, so that no worker finds it
//! by its path.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Engine;
use crate::cluster::{Cluster, python};
use crate::ground::{end, goes_on, plant, pool_of, refusal, run};
use crate::proc::listing;

/// Plays `scene` in a program that is nowhere in the file system. Its workers keep it in `cache`.
fn play(cluster: &Cluster, scene: &str, cache: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("program");
    plant(Path::new(&format!("/proc/{}/exe", std::process::id())), Stdio::null(), &copy);
    let mut child = Command::new(&copy)
        .args(["programs::stage", "--exact", "--ignored", "--test-threads=1", "--nocapture"])
        .env("POLYPOOL_TEST_PLAY", format!("{scene} {} {}", cluster.address(), cache.display()))
        .stdin(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    std::fs::remove_file(&copy).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap().success()
}

#[test]
#[ignore = "it is played by other tests"]
fn stage() {
    let Ok(play) = std::env::var("POLYPOOL_TEST_PLAY") else { return };
    // By now the program has no path.
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()).unwrap();
    let mut words = play.split(' ');
    let (scene, address, cache) =
        (words.next().unwrap(), words.next().unwrap(), PathBuf::from(words.next().unwrap()));
    let backend = Engine::new(address).python(python()).cache_dir(cache);
    run(async {
        match scene {
            "works" => {
                let pool = pool_of(backend, 2);
                assert_eq!(pool.run_on_all(|()| 1, ()).await.len(), 2);
                goes_on(&pool).await;
                end(&pool).await;
            }
            wanted => {
                let (text, _) = refusal(backend).await;
                assert!(text.contains(&wanted.replace('-', " ")), "{text}");
                assert!(text.contains("cache_dir"), "{text}");
            }
        }
    });
}

#[test]
fn a_program_travels_once_to_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let cluster = Cluster::shared();
    assert!(play(cluster, "works", &cache));
    let kept = listing(cache.to_str().unwrap());
    assert_eq!(kept.len(), 1, "{kept:?}");
    let path = cache.join(kept.first().unwrap());
    let made = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert!(play(cluster, "works", &cache));
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), made);
    // What is damaged is not used. A file of its own, for workers that are about to end may still run from the first.
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, "nonsense").unwrap();
    std::fs::rename(&damaged, &path).unwrap();
    assert!(play(cluster, "works", &cache));
    assert_eq!(listing(cache.to_str().unwrap()), kept);
}

/// A small file system of its own, with what it is mounted as. None where this user may not mount anything.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn with(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.0.path()).status();
    }
}

#[test]
fn a_cache_that_programs_cannot_be_executed_in() {
    let Some(mounted) = Mounted::with("noexec") else { return eprintln!("skipped: mounting is not allowed") };
    assert!(play(Cluster::shared(), "noexec", mounted.0.path()));
}

#[test]
fn a_cache_on_a_full_disk() {
    let Some(mounted) = Mounted::with("size=256k") else {
        return eprintln!("skipped: mounting is not allowed");
    };
    assert!(play(Cluster::shared(), "no-room", mounted.0.path()));
    assert_eq!(listing(mounted.0.path().to_str().unwrap()).len(), 0);
}

#[test]
fn a_cache_that_is_no_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(play(Cluster::shared(), "cannot-be-used", file.path()));
}
