//! What users may say wrongly, or have wrongly installed. All of it comes to an error of the tasks that names the remedy, promptly.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use polypool::{BuildError, Executor, Ray};

use crate::cluster::{Cluster, python};
use crate::ground::{in_place_of_python, refusal, run};

/// A few seconds, and an interpreter has to import Ray, on a machine that is busy.
const PROMPT: Duration = Duration::from_secs(30);

async fn assert_refused(backend: Ray, words: &[&str]) {
    let (text, took) = refusal(backend).await;
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(took < PROMPT, "{took:?}");
}

fn at(address: &str) -> Ray {
    Ray::new(address).python(python())
}

#[test]
fn nobody_is_at_the_address() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert_refused(at(&free), &[&free, "no Ray cluster", "refused"]).await;
        assert_refused(at(&format!("ray://{free}")), &[&free, "refused"]).await;
        assert_refused(at("no-such-host.invalid:6379"), &["no-such-host.invalid", "no Ray cluster"]).await;
        assert_refused(at("nonsense"), &["`nonsense`", "host:6379", "ray://host:10001"]).await;
    });
}

#[test]
fn somebody_else_is_at_the_address() {
    run(async {
        // One that says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        assert_refused(at(&address), &[&address, "nobody answers", "head of a Ray cluster"]).await;
        // One that says something else.
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = web.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in web.incoming().take(4) {
                let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
        });
        assert_refused(at(&address), &[&address, "does not speak as the head of a Ray cluster"]).await;
    });
}

/// Other parts of Ray speak as the head does, but not of the same.
#[test]
fn the_address_is_that_of_another_part_of_ray() {
    run(async {
        let address = Cluster::shared().order("raylet");
        assert_refused(at(&address), &[&address, "a part of Ray", "6379", "ray://host:10001"]).await;
        let head = Cluster::shared().address();
        assert_refused(at(&format!("ray://{head}")), &[head, "a part of Ray", "client server", "10001"])
            .await;
    });
}

#[test]
fn no_node_has_what_is_asked_for() {
    run(async {
        let cluster = Cluster::shared();
        let words = ["no node", "unobtainium=1", "CPU=2"];
        assert_refused(at(cluster.address()).resources([("unobtainium", 1.0)]), &words).await;
        assert_refused(at(cluster.address()).nodes(["nowhere"]), &["no node", "node=nowhere"]).await;
    });
}

#[test]
fn the_interpreter_is_none() {
    run(async {
        let address = Cluster::shared().address();
        let nowhere = Ray::new(address).python("/nowhere/python");
        assert_refused(nowhere, &["`/nowhere/python`", "cannot be started", "POLYPOOL_PYTHON"]).await;
        let other = Ray::new(address).python("true");
        assert_refused(other, &["`true`", "ended with code 0", "POLYPOOL_PYTHON"]).await;
        // One that says much.
        let script = "#!/bin/sh\nseq 50000 >&2\necho 'not today' >&2\nexit 3\n";
        let (_folder, path) = in_place_of_python(script);
        assert_refused(Ray::new(address).python(path), &["ended with code 3", "not today"]).await;
    });
}

#[test]
fn the_module_is_missing() {
    run(async {
        // The same interpreter, without what was installed for it.
        let real = python();
        let script = format!("#!/bin/sh\nshift\nexec '{}' -S -c \"$@\"\n", real.display());
        let (_folder, path) = in_place_of_python(&script);
        let backend = Ray::new(Cluster::shared().address()).python(path);
        assert_refused(backend, &["`ray`", "pip install ray"]).await;
    });
}

/// An interpreter whose `ray` says that it is of this version.
fn of_version(version: &str) -> (tempfile::TempDir, PathBuf) {
    // It reads its environment when it is imported.
    let change = format!(
        "import os; os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'; import ray; ray.__version__ = '{version}'; "
    );
    changed(&change)
}

/// An interpreter that begins with this.
fn changed(change: &str) -> (tempfile::TempDir, PathBuf) {
    let script = format!("#!/bin/sh\nshift\nexec '{}' -c \"{change}\n$1\"\n", python().display());
    in_place_of_python(&script)
}

#[test]
fn the_versions_do_not_fit() {
    run(async {
        let address = Cluster::shared().address();
        let (_folder, path) = of_version("1.13.0");
        assert_refused(Ray::new(address).python(path), &["1.13.0", "too old", "2.10"]).await;
        let (_folder, path) = of_version("2.39.0");
        assert_refused(
            Ray::new(address).python(path),
            &["another version", "2.39.0", address, "POLYPOOL_PYTHON"],
        )
        .await;
    });
}

#[test]
fn no_address_is_known() {
    run(async {
        // An interpreter that sees nothing of the other tests' clusters, which are on this machine.
        let change =
            "import ray._private.services as services; services.find_gcs_addresses = lambda: frozenset(); ";
        let (_folder, path) = changed(change);
        assert_refused(Ray::discover().python(path), &["RAY_ADDRESS", "ray start --head"]).await;
    });
}

#[test]
fn options_that_make_no_sense() {
    for backend in [
        Ray::new(" "),
        Ray::new("here:1").resources([("GPU", 0.0)]),
        Ray::new("here:1").cpus(f64::NAN),
        Ray::new("here:1").cpus(-1.0),
        Ray::new("here:1").resources([("", 1.0)]),
        Ray::new("here:1").idle_timeout(Duration::ZERO),
    ] {
        let error = Executor::builder().backend(backend).build().unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange(_)), "{error}");
    }
}
