//! Each field of each source with what it cannot be: the exact message.

use polypool::config::PoolConfig;

use crate::{assert_error, environment, file, table};

/// What is wrong in a file or in the environment: the key, its value as TOML, as text, and what is said of it.
#[rustfmt::skip]
const CASES: &[(&str, &[&str], &[&str], &str)] = &[
    ("debug", &["1", "'yes'", "[]", "{}", "1.5"], &["yes", "2"], "expected true or false"),
    ("parallel", &["1.5", "[]", "{}", "1979-05-27", "''"], &["1.5", " "], "expected true, false, a number, \"auto\" or the name of a backend"),
    ("parallel", &["-1"], &["-1"], "-1 is too small; the least is 1"),
    ("parallel", &["'-1'"], &[], "-1 is no number of workers; it must be a whole number from 1 to 1048576, or 0 for serial"),
    ("parallel", &["' 3.5 '"], &[], "3.5 is no number of workers; it must be a whole number from 1 to 1048576, or 0 for serial"),
    ("parallel", &["1048577"], &["1048577"], "the number is too large; the most is 1048576"),
    ("n_workers", &["'4'", "'many'", "true", "1.5", "[4]", "{}", "''"], &["many", "1.5", "true", "4 workers"], "expected a number, \"auto\" or \"all-but-one\""),
    ("n_workers", &["0"], &["0"], "0 is too small; the least is 1"),
    ("n_workers", &["-3"], &["-3"], "-3 is too small; the least is 1"),
    ("n_workers", &["-99999999999999999999999999999999999999999999999"], &[], "the number is too small; the least is 1"),
    ("n_workers", &["1048577", "99999999999999999999999999999999999999999999999"], &["1048577", "99999999999999999999"], "the number is too large; the most is 1048576"),
    ("parallel_backend", &["4", "true", "[]", "''", "'  '"], &["  "], "expected the name or the address of a backend"),
    ("cancel", &["'soon'", "1", "'pending,running'", "[]"], &["soon", "1"], "expected \"none\", \"pending\", \"running\", \"all\", true or false"),
    ("task_timeout", &["'soon'", "'30'", "true", "-1", "-0.5", "nan", "inf", "[30]", "1e300", "'99999999999999999999999y'"], &["soon", "-1", "nan", "1e300", "1 parsec"], "expected seconds, a time such as \"1m 30s\", or \"none\""),
    ("task_timeout", &["0", "0.0", "'0s'"], &["0", "0.0", "0s"], "0 is too short; it must be longer, and \"none\" is for no limit"),
    ("retries", &["'twice'", "1.5", "'none'", "true", "[]"], &["twice", "1.5", "none"], "expected a number"),
    ("retries", &["-1"], &["-1"], "-1 is too small; the least is 0"),
    ("retries", &["4294967296"], &["4294967296"], "the number is too large; the most is 4294967295"),
    ("max_pending", &["'few'", "1.5", "true"], &["few", "1.5"], "expected a number or \"none\""),
    ("max_pending", &["0"], &["0"], "0 is too small; the least is 1; \"none\" is for no limit"),
    ("max_pending", &["9223372036854775808"], &["9223372036854775808"], "the number is too large; the most is 9223372036854775807; \"none\" is for no limit"),
    ("on_serial", &["'raise'", "true", "1"], &["raise", "1"], "expected \"error\", \"warn\" or \"ignore\""),
    ("spin", &["'on'", "true"], &["on", "true"], "expected \"off\" or \"adaptive\""),
    ("name", &["4", "''", "' '", "[]"], &[" "], "expected a string that is not empty"),
    ("name", &["\"a\\u0000\""], &[], "expected a string without NUL bytes"),
    ("parallel", &["\"a\\u0000\""], &[], "expected a string without NUL bytes"),
    ("current_dir", &["\"a\\u0000\""], &[], "expected a string without NUL bytes"),
    ("parallel_backend", &["\"a\\u0000\""], &[], "expected a string without NUL bytes"),
    ("runtime", &["'tokyo'", "1"], &["tokyo"], "expected \"detect\", \"tokio\", \"async-std\", \"smol\" or \"standalone\""),
    ("start_method", &["'clone'", "true"], &["clone"], "expected \"loky\", \"loky_init_main\", \"spawn\", \"forkserver\" or \"fork\""),
    ("transport", &["'pigeon'", "1"], &["pigeon"], "expected \"shared-memory\" or \"socket\""),
    ("idle_timeout", &["'later'", "-1"], &["later"], "expected seconds, a time such as \"1m 30s\", or \"none\""),
    ("idle_timeout", &["0"], &["0"], "0 is too short; it must be longer, and \"none\" is for no limit"),
    ("max_tasks_per_worker", &["'few'"], &["few"], "expected a number or \"none\""),
    ("max_tasks_per_worker", &["0"], &["0"], "0 is too small; the least is 1; \"none\" is for no limit"),
    ("max_memory_growth", &["'much'", "1.5", "'5 parsec'", "'1..5 MB'", "'MB'", "'-1 MB'", "true"], &["much", "1.5", "5 PB"], "expected a number of bytes, a size such as \"300 MB\" or \"2 GiB\", or \"none\""),
    ("max_memory_growth", &["0", "'0 MB'"], &["0", "0 MB"], "0 is too small; the least is 1; \"none\" is for no limit"),
    ("memory_limit", &["'2 GiBs'"], &["2 GiBs"], "expected a number of bytes, a size such as \"300 MB\" or \"2 GiB\", or \"none\""),
    ("memory_limit", &["'99999999999 TB'"], &["99999999999 TB"], "the number is too large; the most is 9223372036854775807; \"none\" is for no limit"),
    ("max_payload", &["'big'"], &["big"], "expected a number of bytes, a size such as \"300 MB\" or \"2 GiB\", or \"none\""),
    ("env", &["{ A = 1 }", "{ C = 'x', A = { B = 'c' } }"], &[], "the value of \"A\" is no string; write it in quotes"),
    ("env", &["1", "['A=1']", "'A'", "''"], &["A", "A=1,B"], "expected strings by name, { KEY = \"value\" } or \"KEY=value,OTHER=value\""),
    ("env", &["{ '' = 'x' }", "'=x'"], &["=x"], "\"\" cannot be an environment variable: a name has no `=`, neither has a NUL byte, and it is not empty"),
    ("env", &["{ 'A=B' = 'x' }"], &[], "\"A=B\" cannot be an environment variable: a name has no `=`, neither has a NUL byte, and it is not empty"),
    ("env", &["{ A = \"\\u0000\" }"], &[], "\"A\" cannot be an environment variable: a name has no `=`, neither has a NUL byte, and it is not empty"),
    ("current_dir", &["4", "''"], &[" "], "expected a string that is not empty"),
    ("grace_period", &["'none'", "-1", "'soon'"], &["none", "-1"], "expected seconds, or a time such as \"1m 30s\""),
    ("inner_threads", &["'all'", "1.5"], &["all"], "expected a number or \"none\""),
    ("inner_threads", &["0"], &["0"], "0 is too small; the least is 1; \"none\" is for no limit"),
    ("prefetch", &["'no'", "1"], &["no"], "expected true or false"),
];

#[test]
fn every_field_of_a_file() {
    for (key, values, _, problem) in CASES {
        for value in *values {
            let place = format!("{key} in app.toml, line 3");
            assert_error(table(&format!("# nothing yet\n{key} = {value}")), &format!("{place}: {problem}"));
        }
    }
}

#[test]
fn every_variable() {
    for (key, _, values, problem) in CASES {
        let variable = format!("POLYPOOL_{}", key.to_uppercase());
        for value in *values {
            let expected = format!("{variable} in the environment: {problem}");
            assert_error(environment(&[(&variable, value)]), &expected);
        }
    }
    // As where no configuration reads it.
    for value in ["many", "0", "auto", "1.5"] {
        let expected = format!(
            "POLYPOOL_NUM_WORKERS is `{value}`; it must be a number of workers from 1 to 1048576, or not be set"
        );
        assert_error(environment(&[("POLYPOOL_NUM_WORKERS", value)]), &expected);
    }
}

#[test]
fn every_setting_of_a_program() {
    for (key, _, values, problem) in CASES {
        // Text is what all sources have in common; the program's is not taken for anything else.
        for value in values.iter().filter(|value| value.starts_with(char::is_alphabetic) && **value != "true")
        {
            let result = PoolConfig::new().set(key, *value);
            assert_error(result, &format!("{key} in the program: {problem}"));
        }
    }
    assert_error(
        PoolConfig::new().set("n_workers", 0),
        "n_workers in the program: 0 is too small; the least is 1",
    );
    assert_error(
        PoolConfig::new().set("workers", 4),
        "unknown key \"workers\" in the program: did you mean \"n_workers\"?",
    );
}

#[test]
fn every_field_has_a_case() {
    let list =
        PoolConfig::new().toml_str("[parallel]\nblue = 1", "app.toml").expect_err("there is no such key");
    let list = list.to_string();
    let known = list.strip_prefix("unknown key \"blue\" in app.toml, line 2: known are ").expect("a list");
    for key in known.split(", ") {
        assert!(CASES.iter().any(|(tested, values, ..)| *tested == key && !values.is_empty()), "{key}");
        assert!(CASES.iter().any(|(tested, _, values, _)| *tested == key && !values.is_empty()), "{key}");
    }
    assert_eq!(known.split(", ").count(), 24);
}

#[test]
fn all_that_is_wrong_in_a_file_is_told_at_once_in_its_order() {
    assert_error(
        table("spin = 'on'\nn_worker = 4\ncancel = 'all'\ndebug = 7"),
        "spin in app.toml, line 2: expected \"off\" or \"adaptive\"\n\
         unknown key \"n_worker\" in app.toml, line 3: did you mean \"n_workers\"?\n\
         debug in app.toml, line 5: expected true or false",
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for (text, error) in [
        (
            "[parallel]\nn_workers = ",
            "app.toml, line 2: string values must be quoted, expected literal string",
        ),
        ("[parallel]\nn_workers = 4\nn_workers = 5", "app.toml, line 3: duplicate key `n_workers`"),
        ("[parallel", "app.toml, line 1: unclosed table, expected `]`"),
        ("n = [\n1,\n2", "app.toml, line 3: unclosed array, expected `]`"),
    ] {
        assert_error(file(text), error);
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(file(&deep).is_err());
    assert!(file(&format!("{}a = 1", "a.".repeat(100_000))).is_err());
}

#[test]
fn a_file_that_is_not_utf8_or_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.toml");
    std::fs::write(&path, b"[parallel]\nname = '\xff'").expect("a file");
    assert_error(
        PoolConfig::new().toml_file(&path),
        &format!("{}, line 2: not UTF-8, as TOML must be", path.display()),
    );
    let missing = folder.path().join("missing.toml");
    let text = format!("{} cannot be read: No such file or directory (os error 2)", missing.display());
    assert_error(PoolConfig::new().toml_file(&missing), &text);
    assert!(PoolConfig::new().toml_file_if_there(&missing).is_ok());
    // There, but no file.
    let text = format!("{} cannot be read: it is no regular file", folder.path().display());
    assert_error(PoolConfig::new().toml_file_if_there(folder.path()), &text);
}

#[cfg(unix)]
#[test]
fn a_file_without_end() {
    use std::{
        io::{Seek as _, Write as _},
        os::unix::net::UnixListener,
    };

    assert_error(PoolConfig::new().toml_file("/dev/zero"), "/dev/zero cannot be read: it is no regular file");
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let text = format!("{} cannot be read: it is no regular file", socket.display());
    assert_error(PoolConfig::new().toml_file_if_there(&socket), &text);
    let mut large = tempfile::NamedTempFile::new().expect("a file");
    large.write_all(b"[parallel]\nn_workers = 3\n#").expect("room");
    let path = large.path().to_owned();
    large.as_file().set_len(16 << 20).expect("room");
    // NUL bytes are no comment; that they are told means that all was read.
    let error = PoolConfig::new().toml_file(&path).expect_err("no TOML").to_string();
    assert!(error.starts_with(&format!("{}, line 3: ", path.display())), "{error}");
    large.seek(std::io::SeekFrom::End(0)).expect("a file");
    large.write_all(b"x").expect("room");
    let text = format!(
        "{} cannot be read: it has more than 16 MiB; keep the settings in a file of their own",
        path.display()
    );
    assert_error(PoolConfig::new().toml_file(&path), &text);
}

#[test]
fn a_file_of_many_keys_takes_time_by_the_key_and_tells_the_first_problems() {
    let keys: String = (0..30_000).map(|n| format!("key_number_{n}=1\n")).collect();
    let begun = std::time::Instant::now();
    let error = file(&format!("[parallel]\n{keys}")).expect_err("unknown keys").to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!((lines.len(), lines[20]), (21, "and 29980 more in app.toml"));
    assert!(
        lines[19].starts_with("unknown key \"key_number_19\" in app.toml, line 21: known are "),
        "{error}"
    );
    let named = PoolConfig::new().table("tool.app");
    assert_error(
        named.toml_str(&format!("[tool.app]\n{keys}n_workers = 0"), "app.toml"),
        "n_workers in app.toml, line 30002: 0 is too small; the least is 1",
    );
    // Counting lines for each key took minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_file_with_a_name_that_commands_a_terminal() {
    let error = PoolConfig::new().toml_str("[parallel]\nspin = 1", "\u{1b}[31m\n.toml");
    assert_error(error, "spin in \\u{1b}[31m\\n.toml, line 2: expected \"off\" or \"adaptive\"");
    // Also by what turns the rest of a line round.
    let error = PoolConfig::new().toml_str("[parallel]\nspin = 1", "lmot.\u{202e}");
    assert_error(error, "spin in lmot.\\u{202e}, line 2: expected \"off\" or \"adaptive\"");
    let config = table("name = \"a\\u202Eb\"\nparallel_backend = \"\\u001B[31m\"").expect("strings");
    assert_eq!(crate::shown(&config)[1], "name = \"a\\u202Eb\"  # app.toml, line 2");
    let error = config.executor().expect_err("unknown").to_string();
    assert!(error.contains("unknown backend `\\u{1b}[31m`; known are "), "{error}");
}

#[test]
fn variables_that_nobody_reads() {
    assert_error(
        environment(&[("POLYPOOL_N_WORKER", "4"), ("POLYPOOL_MAX_DEPHT", "2"), ("PATH", "/bin")]),
        "unknown variable POLYPOOL_MAX_DEPHT in the environment: did you mean POLYPOOL_MAX_DEPTH?\n\
         unknown variable POLYPOOL_N_WORKER in the environment: did you mean POLYPOOL_N_WORKERS?",
    );
    let error = environment(&[("POLYPOOL_", "4")]).expect_err("unknown").to_string();
    let start = "unknown variable POLYPOOL_ in the environment: nobody reads it; known are POLYPOOL_DEBUG, POLYPOOL_PARALLEL, ";
    assert!(error.starts_with(start), "{error}");
    // The crate's own, also those that are for its workers.
    let others =
        [("POLYPOOL_MAX_CPU_COUNT", "1"), ("POLYPOOL_MAX_DEPTH", "3"), ("POLYPOOL_WORKER", "init:5")];
    let _ = environment(&others).expect("they are not for us");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8() {
    use std::os::unix::ffi::OsStringExt as _;

    let bad = std::ffi::OsString::from_vec(b"\xff".to_vec());
    let of = |name: &str| PoolConfig::new().environment_from([(name.into(), bad.clone())]);
    assert_error(of("POLYPOOL_NAME"), "POLYPOOL_NAME in the environment: not UTF-8");
    let _ = of("OTHER").expect("not ours");
    let name = std::ffi::OsString::from_vec(b"POLYPOOL_\xff".to_vec());
    assert!(PoolConfig::new().environment_from([(name, "1".into())]).is_err());
}

#[test]
fn a_setting_that_contradicts_another_of_the_same_source() {
    let end = "each says what the pool is made of; keep one of them";
    assert_error(
        table("parallel = 4\nn_workers = 4"),
        &format!("parallel in app.toml, line 2, and n_workers in app.toml, line 3: {end}"),
    );
    assert_error(
        table("n_workers = 4\nparallel = true\nparallel_backend = 'threads'"),
        &format!(
            "parallel in app.toml, line 3, and n_workers in app.toml, line 2: {end}\n\
             parallel in app.toml, line 3, and parallel_backend in app.toml, line 4: {end}"
        ),
    );
    assert_error(
        environment(&[("POLYPOOL_PARALLEL", "auto"), ("POLYPOOL_PARALLEL_BACKEND", "threads")]),
        &format!(
            "POLYPOOL_PARALLEL in the environment, and POLYPOOL_PARALLEL_BACKEND in the environment: {end}"
        ),
    );
    assert_error(
        PoolConfig::new().set("n_workers", 4).and_then(|config| config.set("parallel", "auto")),
        &format!("parallel in the program, and n_workers in the program: {end}"),
    );
    assert_error(
        table("parallel = 'threads'\nparallel_backend = 'threads'"),
        &format!("parallel in app.toml, line 2, and parallel_backend in app.toml, line 3: {end}"),
    );
    assert_error(
        environment(&[("POLYPOOL_N_WORKERS", "4"), ("POLYPOOL_NUM_WORKERS", "5")]),
        "POLYPOOL_N_WORKERS and POLYPOOL_NUM_WORKERS in the environment are two names of one setting, with different values; \
         unset one of them",
    );
}
