//! Settings as a field of a program's own structures.

use polypool::config::PoolConfig;
use serde::{Deserialize, Serialize};

use crate::{shown, table};

#[derive(Debug, Deserialize, Serialize)]
struct App {
    port: u16,
    #[serde(default)]
    parallel: PoolConfig,
}

#[test]
fn a_field_is_read_with_the_rest() {
    let app: App =
        toml::from_str("port = 80\n[parallel]\nn_workers = 3\ncancel = true\nenv.A = '1'").expect("fine");
    assert_eq!(app.port, 80);
    assert_eq!(
        shown(&app.parallel),
        ["n_workers = 3  # the configuration", "cancel = \"pending\"  # the configuration",]
    );
    assert_eq!(shown(&toml::from_str::<App>("port = 80").expect("fine").parallel), [""; 0]);
    let json = r#"{ "port": 80, "parallel": { "parallel": 4, "task_timeout": 1.5, "prefetch": false } }"#;
    let app: App = serde_json::from_str(json).expect("fine");
    assert_eq!(shown(&app.parallel)[0], "n_workers = 4  # the configuration, `parallel = 4`");
}

#[test]
fn what_is_wrong_is_told_with_the_line() {
    for (text, line, problem) in [
        ("n_worker = 3", 3, "unknown key \"n_worker\": did you mean \"n_workers\"?"),
        ("\nn_workers = 'x'", 4, "n_workers: expected a number, \"auto\" or \"all-but-one\""),
        ("n_workers = [1, { a = 2 }]", 3, "n_workers: expected a number, \"auto\" or \"all-but-one\""),
        (
            "cancel = 1979-05-27",
            3,
            "cancel: expected \"none\", \"pending\", \"running\", \"all\", true or false",
        ),
        (
            "parallel = 3\nn_workers = 3",
            2,
            "parallel, and n_workers: each says what the pool is made of; keep one of them",
        ),
    ] {
        let error =
            toml::from_str::<App>(&format!("port = 80\n[parallel]\n{text}")).expect_err(text).to_string();
        assert!(error.contains(problem), "{error}");
        assert!(error.contains(&format!(" at line {line}, column ")), "{error}");
    }
    let twice = serde_json::from_str::<PoolConfig>(r#"{"n_workers": 4, "n_workers": 5}"#);
    let error = twice.expect_err("twice").to_string();
    assert!(error.starts_with("n_workers is set twice; keep one of them at line 1 column "), "{error}");
    let error = toml::from_str::<App>("port = 80\nparallel = 4").expect_err("no table").to_string();
    assert!(error.contains("expected a table of settings"), "{error}");
    let error = serde_json::from_str::<PoolConfig>(r#"{"name": null}"#).expect_err("null").to_string();
    assert!(error.contains("name: expected a string that is not empty"), "{error}");
}

#[test]
fn what_is_written_is_read_again() {
    let text = "n_workers = 'auto'\nparallel_backend = 'threads'\ntask_timeout = 1.5\nname = \"a \\\"b\\n\"";
    let config = table(text).expect("fine");
    let without_place = |config: &PoolConfig| {
        shown(config)
            .iter()
            .map(|line| line.split("  # ").next().expect("a line").to_owned())
            .collect::<Vec<_>>()
    };
    let toml = toml::to_string(&config).expect("fine");
    assert_eq!(without_place(&toml::from_str(&toml).expect(&toml)), without_place(&config));
    let json = serde_json::to_string(&config).expect("fine");
    assert_eq!(
        json,
        r#"{"n_workers":"all-but-one","parallel_backend":"threads","task_timeout":"1s 500ms","name":"a \"b\n"}"#
    );
    assert_eq!(without_place(&serde_json::from_str(&json).expect(&json)), without_place(&config));
}
