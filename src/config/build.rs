//! From settings to a pool. Owns which of them are in effect together, and what is said of those that are not.

use super::{
    ConfigError, Entry, PoolConfig,
    key::{DEBUG, KEYS, N_WORKERS, ON_SERIAL, Of, PARALLEL, PARALLEL_BACKEND},
    processes,
    value::{Value, Way},
};
use crate::{
    cpu::cpu_count,
    error::BuildError,
    executor::{Executor, ExecutorBuilder, OnSerial, Spin, default::Preferred, default_backend, plain_name},
    inside::is_worker,
    parallel::{Parallel, default_workers},
    runtime::Runtime,
    sys::copy::was_forked,
};

/// Settings that agree with each other.
pub(super) struct Settled<'a> {
    /// What is not simply a backend and a number.
    pub(super) mode: Option<(Mode, &'a Entry)>,
    pub(super) backend: Option<(&'a str, &'a Entry)>,
    /// `None` is all CPUs but one.
    pub(super) workers: Option<(Option<usize>, &'a Entry)>,
    /// All else that is in effect, in order of the list.
    pub(super) options: Vec<&'a Entry>,
    /// What is not in effect, and why.
    pub(super) aside: Vec<(&'a Entry, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Debug,
    Off,
    On,
    Auto,
}

impl PoolConfig {
    /// Makes the pool. Where the settings say no more than `parallel = true` or `"auto"`, it is the one that
    /// [`Parallel`] means, and where they say nothing, that of [`Parallel::Auto`]; else it is a new one. Starts nothing.
    ///
    /// # Errors
    /// As [`builder`](Self::builder) and [`ExecutorBuilder::build`].
    ///
    /// # Examples
    /// ```
    /// use polypool::config::PoolConfig;
    ///
    /// let text = "[parallel]\nparallel_backend = 'theads'";
    /// let error = PoolConfig::new().toml_str(text, "app.toml")?.executor().unwrap_err();
    /// assert!(error.to_string().starts_with("parallel_backend in app.toml, line 2: unknown backend `theads`; known are "));
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn executor(&self) -> Result<Executor, ConfigError> {
        if let Some(parallel) = self.plain_mode() {
            return Ok(parallel.executor()?);
        }
        self.builder()?.build().map_err(|error| match (error, self.top(ON_SERIAL)) {
            (BuildError::Serial, Some(entry)) => refused(entry, BuildError::Serial),
            (error, _) => error.into(),
        })
    }

    /// Begins a pool, for a program that has something to add which is not its user's choice: an initializer, say.
    ///
    /// # Errors
    /// [`ConfigError::Refused`] for a backend that there is not, and for a setting that the backend has no use for. A setting that comes
    /// from a source which the choice of the backend outranks is left out instead.
    ///
    /// # Examples
    /// ```
    /// let config = polypool::config::PoolConfig::new().set("parallel_backend", "threads")?;
    /// let pool = config.builder()?.initializer(|()| println!("hello"), ()).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(&self) -> Result<ExecutorBuilder, ConfigError> {
        let settled = self.settle();
        let (name, is_serial) = settled.backend_name()?;
        let is_processes = name == "processes";
        if let Some((_, entry)) = settled.workers.filter(|(n, _)| is_serial && *n != Some(1)) {
            let remedy =
                format!("the backend `{name}` has no use for it; take it out, or choose another backend");
            return Err(refused(entry, BuildError::Unsupported(remedy)));
        }
        let mut builder = Executor::builder().backend(match settled.backend {
            // Not the plain name: it may be an address.
            Some((named, _)) if !is_serial => named.to_owned(),
            _ => name.clone(),
        });
        if !is_serial {
            builder = builder.max_workers(match settled.workers {
                Some((Some(n), _)) => n,
                Some((None, _)) => all_but_one(),
                None => default_workers()?,
            });
        }
        let options = &settled.options;
        let of_processes: Vec<_> =
            options.iter().copied().filter(|entry| entry.key.of == Of::Processes).collect();
        if is_processes && !of_processes.is_empty() {
            builder = processes::backend(builder, &of_processes);
        } else if let Some(entry) = of_processes.iter().find(|entry| !settled.is_outranked(entry)) {
            let remedy =
                format!("the backend `{name}` has no use for it; take it out, or choose `processes`");
            return Err(refused(entry, BuildError::Unsupported(remedy)));
        }
        options.iter().try_fold(builder, |builder, entry| with(builder, entry))
    }

    /// Gives what the settings mean as the value of a program's one `parallel=` setting. What that cannot say, a time limit for one,
    /// makes it [`Parallel::With`] a pool. Where nobody has said anything it is [`Parallel::Auto`].
    ///
    /// # Errors
    /// As [`executor`](Self::executor).
    ///
    /// # Examples
    /// ```
    /// use polypool::{Parallel, config::PoolConfig};
    ///
    /// let parallel = PoolConfig::new().set("debug", true)?.parallel()?;
    /// assert!(matches!(parallel, Parallel::Off));
    /// # Ok::<(), polypool::config::ConfigError>(())
    /// ```
    pub fn parallel(&self) -> Result<Parallel, ConfigError> {
        if let Some(parallel) = self.plain_mode() {
            return Ok(parallel);
        }
        let settled = self.settle();
        let is_plain = settled.options.is_empty();
        match (settled.mode, settled.backend, settled.said_workers()) {
            (Some((Mode::Debug | Mode::Off, _)), ..) if is_plain => Ok(Parallel::Off),
            (None, Some((name, _)), None) if is_plain => {
                settled.backend_name()?;
                Ok(Parallel::Backend(name.to_owned()))
            }
            (None, None, Some((n, _))) if is_plain => Ok(Parallel::from(n.unwrap_or_else(all_but_one))),
            _ => Ok(Parallel::With(self.executor()?)),
        }
    }

    /// What `parallel` alone says, where that is all; also where nobody has said anything.
    fn plain_mode(&self) -> Option<Parallel> {
        let settled = self.settle();
        match settled.mode {
            _ if !settled.options.is_empty() => None,
            Some((Mode::On, _)) => Some(Parallel::On),
            _ if settled.is_auto() => Some(Parallel::Auto),
            _ => None,
        }
    }

    /// Lets each source outrank those below it.
    pub(super) fn settle(&self) -> Settled<'_> {
        let mut settled =
            Settled { mode: None, backend: None, workers: None, options: Vec::new(), aside: Vec::new() };
        if let Some(debug) = self.top(DEBUG).filter(|_| self.is_debug()) {
            settled.mode = Some((Mode::Debug, debug));
        }
        for entry in self.entries.iter().filter(|_| !self.is_debug()) {
            settled.choose(entry);
        }
        if settled.mode.is_some() {
            (settled.backend, settled.workers) = (None, None);
        }
        let is_serial = matches!(settled.backend_name(), Ok((_, true)));
        let is_idle = |(n, entry): &(Option<usize>, &Entry)| {
            is_serial && *n != Some(1) && (entry.place.is_of_all_pools() || settled.is_outranked(entry))
        };
        settled.workers = settled.workers.filter(|workers| !is_idle(workers));
        for entry in KEYS.iter().filter_map(|key| self.top(key)) {
            if let Some(why) = settled.why_not(entry) {
                settled.aside.push((entry, why));
            } else if entry.key.of != Of::Choice {
                settled.options.push(entry);
            }
        }
        settled
    }
}

impl<'a> Settled<'a> {
    /// Takes the next choice of a pool, which outranks those before it. What it leaves open stays as it was; what a mode covers comes
    /// back when the mode itself is outranked.
    fn choose(&mut self, entry: &'a Entry) {
        let mode = match &entry.value {
            Value::Parallel(Way::Off) => Some(Mode::Off),
            Value::Parallel(Way::On) => Some(Mode::On),
            Value::Parallel(Way::Auto) => Some(Mode::Auto),
            Value::Workers(_) if self.mode.is_some() && entry.place.is_of_all_pools() => return,
            Value::Workers(n) => {
                self.workers = Some((*n, entry));
                None
            }
            Value::Parallel(Way::Workers(n)) => {
                self.workers = Some((Some(*n), entry));
                None
            }
            Value::Parallel(Way::Backend(name)) => {
                self.backend = Some((name, entry));
                None
            }
            Value::Text(name) if entry.key == PARALLEL_BACKEND => {
                self.backend = Some((name, entry));
                None
            }
            _ => return,
        };
        self.mode = mode.map(|mode| (mode, entry));
    }

    /// Why an entry is not in effect, though none of its own key outranks it.
    fn why_not(&self, entry: &Entry) -> Option<String> {
        let is = |other: &Entry| other.key == entry.key && other.rank == entry.rank;
        let chosen = [
            self.mode.map(|(_, entry)| entry),
            self.backend.map(|(_, entry)| entry),
            self.workers.map(|(_, entry)| entry),
        ];
        if chosen.iter().flatten().any(|entry| is(entry)) || entry.key == DEBUG {
            return None;
        }
        if let Some((Mode::Debug, debug)) = self.mode {
            let stays = entry.key.of == Of::Pool;
            return (!stays).then(|| format!("not used: {}", debug.place.naming(debug.key)));
        }
        if entry.key.of == Of::Choice {
            let by = chosen.iter().flatten().find(|other| other.rank > entry.rank);
            return Some(match (by, self.backend_name()) {
                (_, Ok((name, true))) if self.mode.is_none() && entry.key == N_WORKERS => {
                    format!("not used: the backend is `{name}`")
                }
                (Some(by), _) => format!("not used: {}", by.place.naming(by.key)),
                (None, _) => "not used".to_owned(),
            });
        }
        match self.backend_name() {
            Ok((name, _))
                if entry.key.of == Of::Processes && name != "processes" && self.is_outranked(entry) =>
            {
                Some(format!("not used: the backend is `{name}`"))
            }
            _ => None,
        }
    }

    /// Tells whether the choice of the backend comes from a source above this one's.
    fn is_outranked(&self, entry: &Entry) -> bool {
        let chosen = self.backend.map(|(_, chosen)| chosen).or(self.mode.map(|(_, chosen)| chosen));
        // What is serial because it is inside a worker, nobody has chosen.
        chosen.is_some_and(|chosen| chosen.rank > entry.rank) || self.is_auto() && is_crowded()
    }

    /// Tells whether it is left to us: by `parallel = "auto"`, or because nobody has said which pool it is to be.
    fn is_auto(&self) -> bool {
        match self.mode {
            Some((mode, _)) => mode == Mode::Auto,
            None => self.backend.is_none() && self.said_workers().is_none(),
        }
    }

    /// What holds for all pools anyway need not be said again.
    fn said_workers(&self) -> Option<(Option<usize>, &'a Entry)> {
        self.workers.filter(|(n, entry)| !entry.place.is_of_all_pools() || *n != default_workers().ok())
    }

    /// The plain name of the backend, and whether it is the serial one.
    pub(super) fn backend_name(&self) -> Result<(String, bool), ConfigError> {
        let name = match (self.mode, self.backend) {
            (Some((Mode::Debug | Mode::Off, _)), _) => "serial".to_owned(),
            _ if self.is_auto() && is_crowded() => "serial".to_owned(),
            (Some((Mode::On | Mode::Auto, _)), _) => Preferred::now()?.name,
            (None, Some((name, entry))) => {
                // There, other words than backends are known, too.
                let is_known =
                    if entry.key == PARALLEL { name.parse::<Parallel>().map(drop) } else { Ok(()) };
                is_known.and_then(|()| plain_name(name)).map_err(|error| refused(entry, error))?
            }
            (None, None) => plain_name(&default_backend())?,
        };
        let is_serial = name == "serial";
        Ok((name, is_serial))
    }
}

/// Where [`Parallel::Auto`] makes no more workers.
fn is_crowded() -> bool {
    is_worker() || was_forked()
}

pub(super) fn all_but_one() -> usize {
    (cpu_count() - 1).max(1)
}

pub(super) fn refused(entry: &Entry, source: BuildError) -> ConfigError {
    ConfigError::Refused { setting: entry.place.naming(entry.key), source }
}

/// Hands an option to the builder. A limit that is `None` is what the builder begins with.
fn with(builder: ExecutorBuilder, entry: &Entry) -> Result<ExecutorBuilder, ConfigError> {
    Ok(match (entry.key.name, &entry.value) {
        ("cancel", Value::Policy(policy)) => builder.on_drop(*policy),
        ("task_timeout", Value::Time(Some(time))) => builder.task_timeout(*time),
        ("retries", Value::Number(Some(n))) => builder.retries(u32::try_from(*n).unwrap_or(u32::MAX)),
        ("max_pending", Value::Number(Some(n))) => builder.max_pending(size(*n)),
        ("on_serial", Value::Word(word)) => builder.on_serial(match *word {
            "error" => OnSerial::Error,
            "warn" => OnSerial::Warn,
            _ => OnSerial::Ignore,
        }),
        ("spin", Value::Word(word)) => {
            builder.spin(if *word == "adaptive" { Spin::Adaptive } else { Spin::Off })
        }
        ("name", Value::Text(name)) => builder.name(name.as_str()),
        ("runtime", Value::Word(name)) => {
            builder.runtime(name.parse::<Runtime>().map_err(|error| refused(entry, error))?)
        }
        _ => builder,
    })
}

/// On a machine with smaller numbers, the largest that it has.
pub(super) fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
