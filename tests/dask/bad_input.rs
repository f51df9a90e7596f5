//! What users may say wrongly, or have wrongly installed. All of it comes to an error of the tasks that names the remedy, promptly.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use polypool::{BuildError, Dask, Executor};

use crate::cluster::{Cluster, python};
use crate::ground::{in_place_of_python, refusal, run};

/// A few seconds where nothing else runs; most of it is the interpreter, which loads Dask. Not minutes, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(60);

async fn assert_refused(backend: Dask, words: &[&str]) {
    let (text, took) = refusal(backend).await;
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(took < PROMPT, "{took:?}");
}

fn at(address: &str) -> Dask {
    Dask::new(address).python(python())
}

#[test]
fn nobody_is_at_the_address() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert_refused(at(&free), &[&free, "no scheduler answers", "dask scheduler"]).await;
        assert_refused(at(&format!("dask://{free}")), &[&free, "refused"]).await;
        assert_refused(at("no-such-host.invalid:8786"), &["no-such-host.invalid", "no scheduler answers"])
            .await;
        assert_refused(at("nonsense"), &["`tcp://nonsense`", "tcp://host:8786"]).await;
    });
}

#[test]
fn somebody_else_is_at_the_address() {
    run(async {
        // One that says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        assert_refused(at(&address), &[&address, "does not speak as a Dask scheduler"]).await;
        // One that says something else.
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = web.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in web.incoming().take(4) {
                let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
        });
        assert_refused(at(&address), &[&address, "does not speak as a Dask scheduler"]).await;
    });
}

#[test]
fn the_address_is_that_of_a_worker() {
    run(async {
        let address = Cluster::shared().order("address-of one");
        assert_refused(at(&address), &[&address, "a Dask Worker"]).await;
    });
}

#[test]
fn the_interpreter_is_none() {
    run(async {
        let address = Cluster::shared().address();
        let nowhere = Dask::new(address).python("/nowhere/python");
        assert_refused(nowhere, &["`/nowhere/python`", "cannot be started", "POLYPOOL_PYTHON"]).await;
        let other = Dask::new(address).python("true");
        assert_refused(other, &["`true`", "ended with code 0", "POLYPOOL_PYTHON"]).await;
        // One that says much.
        let script = "#!/bin/sh\nseq 50000 >&2\necho 'not today' >&2\nexit 3\n";
        let (_folder, path) = in_place_of_python(script);
        assert_refused(Dask::new(address).python(path), &["ended with code 3", "not today"]).await;
    });
}

#[test]
fn the_module_is_missing() {
    run(async {
        // The same interpreter, without what was installed for it.
        let real = python();
        let script = format!("#!/bin/sh\nshift\nexec '{}' -S -c \"$@\"\n", real.display());
        let (_folder, path) = in_place_of_python(&script);
        let backend = Dask::new(Cluster::shared().address()).python(path);
        assert_refused(backend, &["`distributed`", "pip install distributed"]).await;
    });
}

/// An interpreter whose `distributed` says that it is of this version.
fn of_version(version: &str) -> (tempfile::TempDir, PathBuf) {
    let change = format!("import distributed; distributed.__version__ = '{version}'; ");
    let script = format!("#!/bin/sh\nshift\nexec '{}' -c \"{change}\n$1\"\n", python().display());
    in_place_of_python(&script)
}

#[test]
fn the_versions_do_not_fit() {
    run(async {
        let address = Cluster::shared().address();
        let (_folder, path) = of_version("2022.5.0");
        assert_refused(Dask::new(address).python(path), &["2022.5.0", "too old", "2024.1.0"]).await;
        let (_folder, path) = of_version("2024.3.1");
        let words = ["has distributed ", "2024.3.1", address, "install `distributed=="];
        assert_refused(Dask::new(address).python(path), &words).await;
    });
}

#[test]
fn no_address_is_known() {
    run(async {
        assert_refused(Dask::discover().python(python()), &["DASK_SCHEDULER_ADDRESS"]).await;
        let missing = Dask::scheduler_file("/nowhere/scheduler.json").python(python());
        assert_refused(missing, &["/nowhere/scheduler.json", "--scheduler-file"]).await;
    });
}

#[test]
fn options_that_make_no_sense() {
    for backend in [
        Dask::new(" "),
        Dask::new("here:1").resources([("GPU", 0.0)]),
        Dask::new("here:1").resources([("GPU", f64::NAN)]),
        Dask::new("here:1").resources([("", 1.0)]),
        Dask::new("here:1").idle_timeout(Duration::ZERO),
    ] {
        let error = Executor::builder().backend(backend).build().unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange(_)), "{error}");
    }
}
