//! The command line.

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser};
use futures::{TryStreamExt as _, executor::block_on};
use polypool::config::{ParallelArgs, PoolConfig};
use proptest::prelude::*;

use crate::{shown, table};

#[derive(Parser, Debug)]
struct Args {
    #[command(flatten)]
    parallel: ParallelArgs,
    #[arg(long)]
    verbose: bool,
    files: Vec<String>,
}

fn parse(arguments: &[&str]) -> Result<Args, String> {
    Args::try_parse_from([&["app"], arguments].concat()).map_err(|error| error.to_string())
}

fn config(arguments: &[&str]) -> PoolConfig {
    PoolConfig::new().args(&parse(arguments).expect("fine").parallel)
}

#[test]
fn what_is_given_outranks_all() {
    let arguments = ["-n", "3", "--parallel-backend", "threads", "--task-timeout", "1m 30s"];
    assert_eq!(
        shown(&config(&arguments)),
        [
            "n_workers = 3  # --n-workers",
            "parallel_backend = \"threads\"  # --parallel-backend",
            "task_timeout = \"1m 30s\"  # --task-timeout"
        ]
    );
    let below = table("n_workers = 4\nidle_timeout = 10\nparallel_backend = 'processes'").expect("fine");
    let config = below.clone().args(&parse(&arguments).expect("fine").parallel);
    assert_eq!(shown(&config)[0], "n_workers = 3  # --n-workers, over 4 from app.toml, line 2");
    assert_eq!(config.executor().expect("fine").backend_name(), "threads");
    let config = below.args(&parse(&["--debug"]).expect("fine").parallel);
    assert_eq!(shown(&config), ["debug = true  # --debug"]);
    let pool = config.executor().expect("fine");
    assert_eq!((pool.backend_name(), pool.max_workers()), ("serial", 1));
}

#[test]
fn debug_is_the_same_program_in_one_thread() {
    let pool = config(&["-n", "4", "--parallel-backend", "processes", "--debug"]).executor().expect("fine");
    let here = |_: u8| format!("{:?}", std::thread::current().id());
    let there = block_on(pool.map(here, 0..3).try_collect::<Vec<_>>()).expect("they run");
    assert_eq!(there, vec![here(0); 3]);
}

#[test]
fn what_is_not_given_says_nothing() {
    for arguments in [&[][..], &["--verbose", "a", "b"]] {
        assert_eq!(shown(&config(arguments)), [""; 0]);
    }
    assert_eq!(shown(&PoolConfig::new().args(&ParallelArgs::default())), [""; 0]);
}

#[test]
fn every_form_of_an_option() {
    for arguments in [&["-n3"][..], &["-n", "3"], &["-n=3"], &["--n-workers", "3"], &["--n-workers=3"]] {
        assert_eq!(shown(&config(arguments)), ["n_workers = 3  # --n-workers"]);
    }
    assert_eq!(shown(&config(&["-n", "auto"])), ["n_workers = \"all-but-one\"  # --n-workers"]);
    assert_eq!(shown(&config(&["--task-timeout", "1.5"])), ["task_timeout = \"1s 500ms\"  # --task-timeout"]);
    assert_eq!(shown(&config(&["--task-timeout", "none"])), ["task_timeout = \"none\"  # --task-timeout"]);
}

#[test]
fn what_an_option_cannot_be() {
    let hint = "\n\nFor more information, try '--help'.\n";
    let time = "seconds, a time such as \"1m 30s\", or \"none\"";
    for (option, value, problem) in [
        ("n-workers <N>", "many", "expected a number, \"auto\" or \"all-but-one\""),
        ("n-workers <N>", "1.5", "expected a number, \"auto\" or \"all-but-one\""),
        ("n-workers <N>", "0", "0 is too small; the least is 1"),
        ("n-workers <N>", "-1", "-1 is too small; the least is 1"),
        ("n-workers <N>", "1048577", "the number is too large; the most is 1048576"),
        ("parallel-backend <NAME>", " ", "expected the name or the address of a backend"),
        ("task-timeout <TIME>", "soon", &format!("expected {time}")),
        ("task-timeout <TIME>", "-1", &format!("expected {time}")),
        ("task-timeout <TIME>", "0", "0 is too short; it must be longer, and \"none\" is for no limit"),
    ] {
        let name = option.split(' ').next().expect("a name");
        let error = parse(&[&format!("--{name}"), value]).expect_err(value);
        assert_eq!(error, format!("error: invalid value '{value}' for '--{option}': {problem}{hint}"));
    }
    let error = parse(&["--debug=yes"]).expect_err("a flag");
    assert!(error.starts_with("error: unexpected value 'yes' for '--debug' found"), "{error}");
    let error = parse(&["-n", "1", "-n", "2"]).expect_err("twice");
    assert!(
        error.starts_with("error: the argument '--n-workers <N>' cannot be used multiple times"),
        "{error}"
    );
    let error = parse(&["-n"]).expect_err("no value");
    assert!(
        error.starts_with("error: a value is required for '--n-workers <N>' but none was supplied"),
        "{error}"
    );
    let error = parse(&["--n-worker", "4"]).expect_err("unknown");
    assert!(error.contains("a similar argument exists: '--n-workers'"), "{error}");
}

#[test]
fn a_backend_that_there_is_not_is_told_with_the_option() {
    let error = config(&["--parallel-backend", "theads"]).executor().expect_err("unknown").to_string();
    assert!(
        error.starts_with("--parallel-backend on the command line: unknown backend `theads`; known are "),
        "{error}"
    );
}

#[test]
fn help() {
    let help = Args::command().term_width(200).render_help().to_string();
    let options: Vec<_> =
        help.lines().filter(|line| line.trim_start().starts_with('-')).map(str::trim).collect();
    assert_eq!(
        options[..4],
        [
            "-n, --n-workers <N>            How many tasks run at a time (\"auto\" leaves one CPU to others): a number, \"auto\" or \"all-but-one\"",
            "--parallel-backend <NAME>  What runs the tasks: the name or the address of a backend",
            "--task-timeout <TIME>      How long each task may run: seconds, a time such as \"1m 30s\", or \"none\"",
            "--debug                    Run everything in one thread, where a debugger can follow; outranks all else",
        ]
    );
}

#[test]
fn options_beside_those_of_a_program_that_has_such_names_itself() {
    #[derive(Parser, Debug)]
    #[command(mut_arg("parallel.n_workers", |arg| arg.short('j')))]
    #[command(mut_arg("parallel.debug", |arg| arg.long("serial")))]
    struct Own {
        #[command(flatten)]
        parallel: ParallelArgs,
        #[arg(short)]
        n_workers: Option<u8>,
        #[arg(long)]
        debug: bool,
    }
    let own = Own::try_parse_from(["app", "-n", "7", "-j", "3", "--debug"]).expect("fine");
    assert!(own.debug && !own.parallel.is_debug() && own.n_workers == Some(7));
    assert_eq!(shown(&PoolConfig::new().args(&own.parallel)), ["n_workers = 3  # --n-workers"]);
    assert!(Own::try_parse_from(["app", "--serial"]).expect("fine").parallel.is_debug());
}

#[test]
fn a_flag_that_a_program_counts() {
    #[derive(Parser)]
    #[command(mut_arg("parallel.debug", |arg| arg.short('d').action(clap::ArgAction::Count)))]
    struct Counts {
        #[command(flatten)]
        parallel: ParallelArgs,
    }
    let is_debug = |arguments: &[&str]| Counts::try_parse_from(arguments).expect("fine").parallel.is_debug();
    assert!(!is_debug(&["app"]) && is_debug(&["app", "-d"]) && is_debug(&["app", "-dd"]));
}

#[test]
fn a_command_line_that_is_read_again() {
    let mut args = parse(&["-n", "3", "--debug"]).expect("fine");
    args.try_update_from(["app", "-n", "4", "--task-timeout", "5"]).expect("fine");
    let given = format!("{:?}", args.parallel);
    assert!(
        given.contains("Workers(Some(4))") && given.contains("--task-timeout") && given.contains("--debug"),
        "{given}"
    );
    assert!(!given.contains("Some(3)"), "{given}");
}

#[test]
fn as_an_optional_part() {
    #[derive(Parser)]
    struct Maybe {
        #[command(flatten)]
        parallel: Option<ParallelArgs>,
    }
    assert!(Maybe::try_parse_from(["app"]).expect("fine").parallel.is_none());
    assert!(
        Maybe::try_parse_from(["app", "--debug"]).expect("fine").parallel.is_some_and(|args| args.is_debug())
    );
}

proptest! {
    #[test]
    fn any_arguments_are_taken_or_refused(
        words in prop::collection::vec(prop_oneof![
            Just(OsString::from("-n")),
            Just(OsString::from("--parallel-backend")),
            Just(OsString::from("--task-timeout")),
            Just(OsString::from("--debug")),
            any::<OsString>(),
            any::<i64>().prop_map(|n| n.to_string().into()),
        ], 0..8)
    ) {
        let words = [vec!["app".into()], words].concat();
        if let Ok(args) = Args::try_parse_from(words) {
            drop(PoolConfig::new().args(&args.parallel).to_string());
        }
    }
}
