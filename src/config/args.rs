//! Settings from a command line that clap reads. Owns which settings have an option, and how it is called.

use std::fmt;

use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Command, FromArgMatches,
    parser::{MatchesError, ValueSource},
};

use super::{
    Found,
    key::{DEBUG, Key, N_WORKERS, PARALLEL_BACKEND, TASK_TIMEOUT},
    place::Place,
    value::{Raw, Value},
};

/// The options of a command line that say how a program runs: `-n`, `--parallel-backend`, `--task-timeout` and `--debug`.
///
/// It is a set of [`clap::Args`], to be flattened into a program's own:
///
/// ```
/// use clap::Parser;
/// use polypool::config::{ParallelArgs, PoolConfig};
///
/// /// Makes thumbnails.
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     parallel: ParallelArgs,
///     /// Pictures to read
///     pictures: Vec<std::path::PathBuf>,
/// }
///
/// let args = Args::parse_from(["thumbnails", "-n", "3", "--parallel-backend", "threads", "a.png"]);
/// let pool = PoolConfig::load("thumbnails.toml")?.args(&args.parallel).executor()?;
/// assert_eq!((pool.backend_name(), pool.max_workers()), ("threads", 3));
/// # Ok::<(), polypool::config::ConfigError>(())
/// ```
///
/// Values are checked while the command line is read, so that a mistake is told as clap tells all mistakes. Only whether there is such a
/// backend turns out later, with the pool: it may be registered yet.
///
/// # Options of the same name
/// A program that has another `-n` or `--debug` gives ours another name, by their ids, which are `parallel.n_workers`,
/// `parallel.parallel_backend`, `parallel.task_timeout` and `parallel.debug`. Errors, and the list of settings, call them by their names
/// from here all the same; and their values have to be read as they are.
///
/// ```
/// use clap::{CommandFactory, FromArgMatches, Parser};
/// # use polypool::config::ParallelArgs;
///
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     parallel: ParallelArgs,
/// }
///
/// let command = Args::command()
///     .mut_arg("parallel.n_workers", |arg| arg.short('j').long("jobs"))
///     .mut_arg("parallel.debug", |arg| arg.long("serial"));
/// let matches = command.get_matches_from(["app", "--serial", "-j4"]);
/// assert!(Args::from_arg_matches(&matches)?.parallel.is_debug());
/// # Ok::<(), clap::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ParallelArgs {
    given: Vec<(&'static OptionOf, Value)>,
}

/// A setting's option. Ids and names are told in full, because clap wants them to be static.
#[derive(Debug)]
struct OptionOf {
    key: &'static Key,
    id: &'static str,
    /// As errors call it.
    long: &'static str,
    short: Option<char>,
    /// What its value is called; a flag has none.
    value: Option<&'static str>,
}

/// What clap calls all of them together, as if they were derived.
const GROUP: &str = "ParallelArgs";

static OPTIONS: [OptionOf; 4] = [
    OptionOf {
        key: N_WORKERS,
        id: "parallel.n_workers",
        long: "--n-workers",
        short: Some('n'),
        value: Some("N"),
    },
    OptionOf {
        key: PARALLEL_BACKEND,
        id: "parallel.parallel_backend",
        long: "--parallel-backend",
        short: None,
        value: Some("NAME"),
    },
    OptionOf {
        key: TASK_TIMEOUT,
        id: "parallel.task_timeout",
        long: "--task-timeout",
        short: None,
        value: Some("TIME"),
    },
    OptionOf { key: DEBUG, id: "parallel.debug", long: "--debug", short: None, value: None },
];

impl OptionOf {
    fn arg(&'static self) -> Arg {
        let key = self.key;
        let doc = key.doc[..1].to_uppercase() + &key.doc[1..];
        let arg = Arg::new(self.id).long(&self.long[2..]).required(false);
        let Some(value) = self.value else {
            return arg.help(doc).action(ArgAction::SetTrue);
        };
        let read = |text: &str| key.kind.read(Raw::untyped(text, key.kind));
        let arg = arg.help(format!("{doc}: {}", key.kind.expected())).value_name(value);
        let arg = arg.allow_negative_numbers(true).value_parser(read);
        if let Some(short) = self.short { arg.short(short) } else { arg }
    }

    fn given(&self, matches: &ArgMatches) -> Option<Value> {
        if self.value.is_none() {
            let is_given = match matches.try_get_one::<bool>(self.id) {
                Ok(flag) => flag == Some(&true),
                // The program has made it another kind of option, which counts, say.
                Err(MatchesError::Downcast { .. }) => {
                    matches.value_source(self.id).is_some_and(|source| source != ValueSource::DefaultValue)
                }
                Err(_) => false,
            };
            return is_given.then_some(Value::Flag(true));
        }
        matches.try_get_one::<Value>(self.id).ok().flatten().cloned()
    }
}

impl ParallelArgs {
    /// Tells whether everything is to run in one thread: `--debug` was given.
    ///
    /// # Examples
    /// See [above](Self).
    pub fn is_debug(&self) -> bool {
        self.given.iter().any(|(_, value)| *value == Value::Flag(true))
    }

    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        self.given.iter().map(|(option, value)| Found {
            key: option.key,
            value: value.clone(),
            place: Place::Option(option.long),
        })
    }
}

impl FromArgMatches for ParallelArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = OPTIONS.iter().filter_map(|option| Some((option, option.given(matches)?)));
        Ok(Self { given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (option, value) in Self::from_arg_matches(matches)?.given {
            self.given.retain(|(other, _)| other.id != option.id);
            self.given.push((option, value));
        }
        Ok(())
    }
}

impl clap::Args for ParallelArgs {
    fn group_id() -> Option<clap::Id> {
        Some(GROUP.into())
    }

    fn augment_args(command: Command) -> Command {
        let group = ArgGroup::new(GROUP).multiple(true).args(OPTIONS.iter().map(|option| option.id));
        command.group(group).args(OPTIONS.iter().map(OptionOf::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl fmt::Debug for ParallelArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.given.iter().map(|(option, value)| (option.long, value))).finish()
    }
}
