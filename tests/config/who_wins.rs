//! Which source outranks which, and what becomes of what is outranked.

use polypool::config::PoolConfig;

use crate::{file, shown, table, variables};

fn program(key: &str, value: &str) -> PoolConfig {
    PoolConfig::new().set(key, value).expect("it can be set")
}

#[test]
fn the_environment_over_files_over_the_program_in_whatever_order_they_are_read() {
    let expected = "name = \"env\"  # POLYPOOL_NAME, over \"b\" from b.toml, line 2, over \"a\" from a.toml, line 2, \
                    over \"own\" from the program";
    let environment = variables(&[("POLYPOOL_NAME", "env")]);
    let (a, b) = ("[parallel]\nname = 'a'", "[parallel]\nname = 'b'");
    let one = program("name", "own").toml_str(a, "a.toml").and_then(|config| config.toml_str(b, "b.toml"));
    let one = one.and_then(|config| config.environment_from(environment.clone())).expect("fine");
    let other =
        PoolConfig::new().environment_from(environment).and_then(|config| config.toml_str(a, "a.toml"));
    let other = other.and_then(|config| config.toml_str(b, "b.toml")?.set("name", "own")).expect("fine");
    assert_eq!((shown(&one), shown(&other)), (vec![expected.to_owned()], vec![expected.to_owned()]));
}

#[test]
fn a_source_that_says_nothing_leaves_all_as_it_was() {
    let config = program("name", "own").toml_str("", "app.toml").expect("empty");
    let config = config.environment_from(variables(&[("POLYPOOL_NAME", "")])).expect("not set");
    assert_eq!(shown(&config), ["name = \"own\"  # the program"]);
}

#[test]
fn the_program_says_a_thing_once() {
    let config = program("name", "one").set("name", "two").expect("fine");
    assert_eq!(shown(&config), ["name = \"two\"  # the program"]);
}

#[test]
fn a_limit_can_be_lifted_from_above() {
    let config = table("task_timeout = 30").expect("fine");
    let config = config.environment_from(variables(&[("POLYPOOL_TASK_TIMEOUT", "none")])).expect("fine");
    assert_eq!(
        shown(&config),
        ["task_timeout = \"none\"  # POLYPOOL_TASK_TIMEOUT, over \"30s\" from app.toml, line 2"]
    );
}

/// What a file and the environment above it come to.
fn both(below: &str, above: &[(&str, &str)]) -> Vec<String> {
    shown(&table(below).expect(below).environment_from(variables(above)).expect("fine"))
}

#[test]
fn one_word_for_whether_and_how_against_two() {
    // A number stands over a number, a name over a name.
    assert_eq!(
        both("parallel = 4", &[("POLYPOOL_PARALLEL_BACKEND", "threads")]),
        [
            "n_workers = 4  # app.toml, line 2, `parallel = 4`",
            "parallel_backend = \"threads\"  # POLYPOOL_PARALLEL_BACKEND"
        ]
    );
    assert_eq!(
        both("parallel = 'threads'", &[("POLYPOOL_N_WORKERS", "auto")]),
        [
            "n_workers = \"all-but-one\"  # POLYPOOL_N_WORKERS",
            "parallel_backend = \"threads\"  # app.toml, line 2, `parallel = \"threads\"`"
        ]
    );
    assert_eq!(
        both("n_workers = 4\nparallel_backend = 'tasks'", &[("POLYPOOL_PARALLEL", "threads")]),
        [
            "n_workers = 4  # app.toml, line 2",
            "parallel_backend = \"threads\"  # POLYPOOL_PARALLEL, `parallel = \"threads\"`"
        ]
    );
    // Whether takes the place of how, and the other way round.
    for (word, value) in [("off", "false"), ("false", "false"), ("true", "true"), ("auto", "\"auto\"")] {
        assert_eq!(
            both("n_workers = 4\nparallel_backend = 'tasks'", &[("POLYPOOL_PARALLEL", word)]),
            [format!("parallel = {value}  # POLYPOOL_PARALLEL")]
        );
    }
    assert_eq!(
        both("parallel = false", &[("POLYPOOL_N_WORKERS", "4")]),
        ["n_workers = 4  # POLYPOOL_N_WORKERS"]
    );
}

#[test]
fn what_was_turned_off_and_on_again_is_as_it_was() {
    let config = table("n_workers = 4\nparallel_backend = 'tasks'").expect("fine");
    let config = config.toml_str("[parallel]\nparallel = false", "over.toml").expect("fine");
    assert_eq!(shown(&config), ["parallel = false  # over.toml, line 2"]);
    let config = config.environment_from(variables(&[("POLYPOOL_N_WORKERS", "2")])).expect("fine");
    assert_eq!(
        shown(&config),
        [
            "n_workers = 2  # POLYPOOL_N_WORKERS, over 4 from app.toml, line 2",
            "parallel_backend = \"tasks\"  # app.toml, line 3"
        ]
    );
}

#[test]
fn a_number_for_all_pools_turns_nothing_on() {
    let above = [("POLYPOOL_NUM_WORKERS", "4")];
    assert_eq!(both("parallel = false", &above), ["parallel = false  # app.toml, line 2"]);
    assert_eq!(
        both("n_workers = 3", &above),
        ["n_workers = 4  # POLYPOOL_NUM_WORKERS, over 3 from app.toml, line 2"]
    );
    let same = [("POLYPOOL_NUM_WORKERS", "4"), ("POLYPOOL_N_WORKERS", "4")];
    assert_eq!(both("parallel = false", &same), ["n_workers = 4  # POLYPOOL_N_WORKERS"]);
}

#[test]
fn a_number_for_all_pools_that_is_empty_is_not_set() {
    assert_eq!(both("n_workers = 3", &[("POLYPOOL_NUM_WORKERS", "")]), ["n_workers = 3  # app.toml, line 2"]);
}

#[test]
fn what_is_outranked_is_in_the_list_as_a_comment() {
    let config = table("n_workers = 4\ntask_timeout = 9\ncancel = 'all'").expect("fine").set("debug", true);
    let list = config.expect("fine").to_string();
    let mut lines = list.lines();
    assert_eq!(lines.next(), Some("debug = true  # the program"));
    assert_eq!(lines.next(), Some("# n_workers = 4  # app.toml, line 2; not used: debug in the program"));
    assert_eq!(lines.next(), Some("cancel = \"all\"  # app.toml, line 4"));
    assert_eq!(
        lines.next(),
        Some("# task_timeout = \"9s\"  # app.toml, line 3; not used: debug in the program")
    );
    let config =
        table("n_workers = 4").expect("fine").environment_from(variables(&[("POLYPOOL_PARALLEL", "auto")]));
    let list = config.expect("fine").to_string();
    assert!(
        list.contains(
            "# n_workers = 4  # app.toml, line 2; not used: POLYPOOL_PARALLEL in the environment\n"
        ),
        "{list}"
    );
}

#[test]
fn the_list_says_what_holds_where_nobody_has_said_anything() {
    let list = file("[parallel]\nparallel_backend = 'threads'\nn_workers = 2").expect("fine").to_string();
    assert_eq!(
        list,
        "# debug = false  # default\n\
         n_workers = 2  # app.toml, line 3\n\
         parallel_backend = \"threads\"  # app.toml, line 2\n\
         # cancel = \"pending\"  # default\n\
         # task_timeout = \"none\"  # default\n\
         # retries = 0  # default\n\
         # max_pending = \"none\"  # default\n\
         # on_serial = \"ignore\"  # default\n\
         # spin = \"off\"  # default\n\
         # runtime = \"detect\"  # default"
    );
}
