//! Where in a file settings may be.

use polypool::config::PoolConfig;

use crate::{assert_error, file, shown};

fn named(name: &str, text: &str) -> Result<PoolConfig, polypool::config::ConfigError> {
    PoolConfig::new().table(name).toml_str(text, "app.toml")
}

#[test]
fn a_table_of_our_name_anywhere() {
    for text in [
        "[parallel]\nn_workers = 3",
        "\n[server.parallel]\nn_workers = 3",
        "[tool.app.inner.parallel]\n\nn_workers = 3",
        "port = 80\nparallel.n_workers = 3",
        "server = { parallel = { n_workers = 3 } }",
        "[parallel]\r\nn_workers = 3\r\n",
        "\u{feff}[parallel]\nn_workers = 3",
        // Whoever knows the name does not mean it by another.
        "[parallels]\nname = 'x'\n[parallel]\nn_workers = 3",
        "[[jobs]]\nparallel = 1\n[server.parallel]\nn_workers = 3",
    ] {
        let line = text.lines().position(|line| line.contains("n_workers")).expect("a line") + 1;
        let expected = format!("n_workers = 3  # app.toml, line {line}");
        assert_eq!(shown(&file(text).expect(text)), [expected], "{text}");
    }
}

#[test]
fn a_file_without_it_says_nothing() {
    for text in ["", "port = 80", "[server]\nn_workers = 3", "# [parallel]\n# n_workers = 3", "[parallel]"] {
        assert_eq!(shown(&file(text).expect(text)), [""; 0], "{text}");
    }
}

#[test]
fn what_other_programs_have_below_tool_is_theirs() {
    let text = "[parallel]\nn_workers = 3\n[tool.coverage.run]\nparallel = true";
    assert_eq!(shown(&file(text).expect(text)), ["n_workers = 3  # app.toml, line 2"]);
}

#[test]
fn what_was_meant_to_be_a_table_of_settings_and_is_none() {
    let or = "or have the program name the table that it means";
    for (text, path, line) in [
        ("parallel = 4", "parallel", 1),
        ("\nparallel = 'threads'", "parallel", 2),
        ("[[parallel]]\nn_workers = 4", "parallel", 1),
        ("[server]\nparallel = 4", "server.parallel", 2),
        ("[parallel]\nn_workers = 3\n[tool]\nparallel = true", "tool.parallel", 4),
    ] {
        let problem = format!("expected a table of settings, as in [{path}]; make it one, {or}");
        assert_error(file(text), &format!("{path} in app.toml, line {line}: {problem}"));
    }
    for (text, name) in [
        ("[Parallel]\nn_workers = 4", "Parallel"),
        ("[paralel]\nn_workers = 4", "paralel"),
        ("[[paralell]]", "paralell"),
        ("parallels = 4\n[server.parallel]", "parallels"),
    ] {
        let problem = format!("did you mean [parallel]? call it so, {or}");
        assert_error(file(text), &format!("{name} in app.toml, line 1: {problem}"));
        assert_eq!(shown(&named("tool.app", text).expect("not that table")), [""; 0]);
    }
    let problem = format!("it is in no table of settings; put it below [parallel], {or}");
    assert_error(
        file("n_workers = 4\nparallel = 4\nport = 80"),
        &format!(
            "n_workers in app.toml, line 1: {problem}\n\
             parallel in app.toml, line 2: expected a table of settings, as in [parallel]; make it one, {or}"
        ),
    );
    let many: String = (0..30).map(|n| format!("[a{n}]\nparallel = 1\n")).collect();
    let error = file(&many).expect_err("30 of them").to_string();
    assert_eq!((error.lines().count(), error.lines().last()), (21, Some("and 10 more in app.toml")));
}

#[test]
fn two_of_them_are_one_too_many_unless_the_program_has_named_one() {
    let text = "[parallel]\nn_workers = 3\n[a]\n[b.parallel]\nn_workers = 4\n[a.parallel]";
    assert_error(
        file(text),
        "two tables of settings in app.toml: [parallel] in line 1 and [b.parallel] in line 4; keep one of them, or have the program \
         name the table that it means",
    );
    assert_eq!(shown(&named("b", text).expect("one")), ["n_workers = 4  # app.toml, line 5"]);
    assert_eq!(shown(&named("b.parallel", text).expect("one")), ["n_workers = 4  # app.toml, line 5"]);
    assert_eq!(shown(&named("parallel", text).expect("one")), ["n_workers = 3  # app.toml, line 2"]);
    assert_eq!(shown(&named("a", text).expect("one")), [""; 0]);
    assert_eq!(shown(&named("c.d", text).expect("none")), [""; 0]);
}

#[test]
fn the_programs_own_table_holds_its_own_keys_as_well() {
    let text = "[tool.app]\npaths = ['src']\nn_workers = 3\nmarkers = {}\non_serial = 'warn'";
    assert_eq!(
        shown(&named("tool.app", text).expect("one")),
        ["n_workers = 3  # app.toml, line 3", "on_serial = \"warn\"  # app.toml, line 5"]
    );
    // Names that anybody may use, and those near them, are the program's, whatever they are.
    let text = "[tool.app]\nname = 'app'\nnames = ['a']\nnamed = 1\nenv = 'prod'\ndebug = true\nruntime = 7\nruntimes = []\n\
                cancel = []\ncancels = 1\ntransports = 1\nretires = 1\nretries = 'x'\nworkers = 'x'\ntask_timeout = 'x'";
    let config = named("tool.app", text).expect("all its own");
    assert_eq!((shown(&config), config.is_debug()), (Vec::new(), false));
    for (slip, meant) in [
        ("num_workers", "n_workers"),
        ("n-workers", "n_workers"),
        ("parallel_backends", "parallel_backend"),
        ("paralel", "parallel"),
        ("inner_thread", "inner_threads"),
    ] {
        assert_error(
            named("tool.app", &format!("[tool.app]\n{slip} = {{}}")),
            &format!("unknown key \"{slip}\" in app.toml, line 2: did you mean \"{meant}\"?"),
        );
    }
    assert_error(
        named("tool.app", "[tool.app]\nworking = 1\nn_worker = 3"),
        "unknown key \"n_worker\" in app.toml, line 3: did you mean \"n_workers\"?",
    );
    // With a table of ours in it, the names that anybody may use are the program's.
    let text = "[tool.app]\nname = ['a']\nenv = 'prod'\nnames = 1\n[tool.app.parallel]\nn_workers = 3";
    assert_eq!(shown(&named("tool.app", text).expect("one")), ["n_workers = 3  # app.toml, line 6"]);
    assert_error(
        named("tool.app", "[tool.app]\nn_workers = 4\n[tool.app.parallel]\nn_workers = 3"),
        "two tables of settings in app.toml: [tool.app] in line 1 and [tool.app.parallel] in line 3; keep one of them, or have the \
         program name the table that it means",
    );
    assert_eq!(
        shown(&named("tool.app", "[tool.app]\nparallel = 'threads'").expect("a value")),
        ["parallel_backend = \"threads\"  # app.toml, line 2, `parallel = \"threads\"`"]
    );
}

#[test]
fn a_name_that_is_no_table() {
    assert_error(
        named("tool.app", "[tool]\napp = 4"),
        "tool.app in app.toml, line 2: expected a table of settings",
    );
    assert_eq!(shown(&named("", "a = 1").expect("no such table")), [""; 0]);
    assert_eq!(shown(&named("..", "a = 1").expect("no such table")), [""; 0]);
}

#[test]
fn what_is_below_the_table_is_a_setting_or_nothing() {
    assert_error(
        file("[parallel]\n[parallel.parallel]\nn_workers = 3"),
        "parallel in app.toml, line 2: expected true, false, a number, \"auto\" or the name of a backend",
    );
    let text = "[parallel.env]\nA = '1'\nB = 'x y'";
    let list = file(text).expect("a table").to_string();
    assert!(list.contains("\n# env = { \"A\" = …, \"B\" = … }  # app.toml, line 1"), "{list}");
}
