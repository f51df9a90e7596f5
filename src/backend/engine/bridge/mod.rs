//! The bridge to an engine that speaks Python: a process of the interpreter that the user names, which holds the engine's client
//! and carries bytes between sockets of ours and agents in the engine's slots. Owns that process, the orders to it and what it
//! tells; knows no engine, and not what the bytes mean.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, mpsc},
    time::{Duration, Instant},
};

use crate::{
    backend::engine::Told,
    error::TaskError,
    sys::{
        image::executable,
        lock::lock,
        process::{Child, Ended, pair},
    },
};

mod message;
mod site;

use self::message::{encode, put, receive, send};
pub(crate) use self::site::{BridgeSite, Plan};

/// What is run first; the rest comes through the socket.
const BOOT: &str = include_str!("boot.py");
const MODULES: [(&str, &str); 2] =
    [("polypool_slot", include_str!("slot.py")), ("polypool_bridge", include_str!("bridge.py"))];

/// The variable that names the interpreter.
const PYTHON: &str = "POLYPOOL_PYTHON";
/// How often somebody who waits for a slot looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(50);
/// How long an engine that is there may take to let us in: some start one for the occasion.
const CONNECTING: Duration = Duration::from_secs(120);
/// How long a bridge may take to put everything away.
const CLOSING: Duration = Duration::from_secs(10);
/// What one that has ended said before is here within this time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// As much is kept of what it last said.
const TAIL: usize = 4096;

/// The engine's half of the bridge: its Python modules, of which the first is asked for an `Engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    /// The engine's name, for messages.
    pub(crate) engine: &'static str,
    /// Names and texts.
    pub(crate) modules: &'static [(&'static str, &'static str)],
}

/// Names and values for the engine's half. A name may come more than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms(Vec<(String, OsString)>);

impl Terms {
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push((name.to_owned(), value.as_ref().to_owned()));
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
    }
}

/// Why the bridge, or the engine behind it, cannot do what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What kind of trouble it is, in a word: "unreachable", "version", "module", "place", "noexec", "full", "arch", ...
    pub(crate) kind: String,
    /// The thing, and the remedy.
    pub(crate) text: String,
}

impl Fault {
    fn new(kind: &str, text: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), text: text.into() }
    }

    /// As an error of the tasks.
    fn of(self, engine: &str) -> TaskError {
        TaskError::Backend { backend: engine.to_owned(), source: Arc::new(self) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// What a bridge said when it was connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connected {
    /// How many agents the engine has room for, if it knows.
    pub(crate) slots: Option<usize>,
    pub(crate) address: String,
    pub(crate) version: String,
}

/// A process that is connected to an engine. Dropped, it lets all slots go and ends by itself, and so it does when this process
/// dies; [`close`](Self::close) waits for that.
pub(crate) struct Bridge {
    engine: &'static str,
    connected: Connected,
    control: Arc<OwnedFd>,
    outbox: Mutex<()>,
    news: Arc<News>,
}

impl Bridge {
    /// Starts a bridge with the interpreter `python`, else with the one that POLYPOOL_PYTHON names, else `python3`, and connects
    /// it. Blocks until that is settled, and gives up when `wanted` turns false.
    pub(crate) fn start(
        side: Side,
        python: Option<&Path>,
        terms: &Terms,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Self, Fault> {
        let named = python.map(Path::as_os_str).map(OsStr::to_owned).or_else(|| std::env::var_os(PYTHON));
        let python = named.filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into());
        let (ours, theirs) = pair().map_err(broken)?;
        let (said, says) = io::pipe().map_err(broken)?;
        let mut command = Command::new(&python);
        command.arg("-c").arg(BOOT).stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(says);
        // A key that interrupts this program is for this program; what it leads to reaches the bridge in its turn.
        command.process_group(0);
        let child = Child::spawn(command).map_err(|error| no_interpreter(&python, &error))?;
        let control = Arc::new(ours);
        let news = Arc::new(News::default());
        let tail = Arc::new(Tail::default());
        watch(side.engine, &python, child, Arc::clone(&control), Arc::clone(&news), said, &tail)
            .map_err(broken)?;
        let connected = Connected { slots: None, address: String::new(), version: String::new() };
        let mut bridge = Self {
            engine: side.engine,
            connected,
            control,
            outbox: Mutex::default(),
            news: Arc::clone(&news),
        };
        bridge.introduce(side, terms)?;
        let until = Instant::now() + CONNECTING;
        let answer = news.wait(|state| state.answer.take(), &|| wanted() && Instant::now() < until);
        bridge.connected = answer.unwrap_or_else(|| Err(given_up()))?;
        lock(&news.state).slots = bridge.connected.slots;
        Ok(bridge)
    }

    /// Sends the modules, and what to connect to.
    fn introduce(&self, side: Side, terms: &Terms) -> Result<(), Fault> {
        let mut text = Vec::new();
        let modules = MODULES.iter().chain(side.modules);
        put(&mut text, modules.clone().count().to_string().as_bytes());
        for (name, source) in modules {
            put(&mut text, name.as_bytes());
            put(&mut text, source.as_bytes());
        }
        put(&mut text, side.modules.first().map_or("", |(name, _)| name).as_bytes());
        let program = File::open(executable()).map_err(broken)?;
        let path = std::fs::read_link(executable()).map_err(broken)?;
        let terms =
            [b"connect".as_slice(), b"program", path.as_os_str().as_bytes()].into_iter().chain(terms.texts());
        // One that has ended already says why in its own time.
        let _ = send(&*self.control, &text, &[]);
        let _ = self.order(terms, &[program.as_fd()]);
        Ok(())
    }

    fn order<'a>(&self, texts: impl IntoIterator<Item = &'a [u8]>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = encode(texts, fds.len());
        let _turn = lock(&self.outbox);
        send(&*self.control, &message, fds)
    }

    /// What it is connected to.
    pub(crate) fn connected(&self) -> &Connected {
        &self.connected
    }

    /// How many agents the engine has room for now, if it knows.
    pub(crate) fn slots(&self) -> Option<usize> {
        lock(&self.news.state).slots
    }

    /// Tells somebody when there are more slots or fewer, and when there will be none any more; as long as he is there.
    pub(crate) fn listen(&self, told: &Arc<dyn Told>) {
        let gone = {
            let mut state = lock(&self.news.state);
            state.told.retain(|told| told.strong_count() > 0);
            state.told.push(Arc::downgrade(told));
            state.gone.clone()
        };
        if let Some(fault) = gone {
            told.gone(fault.of(self.engine));
        }
    }

    /// Why nothing more is to be expected, if so.
    pub(crate) fn gone(&self) -> Option<Fault> {
        lock(&self.news.state).gone.clone()
    }

    /// Has an agent started in a slot of the engine, and gives a stream to it. Blocks until there is a slot. Closing the stream
    /// ends the agent.
    pub(crate) fn hire(
        &self,
        index: usize,
        terms: &Terms,
        wanted: &dyn Fn() -> bool,
    ) -> Result<OwnedFd, Fault> {
        let (ours, theirs) = pair().map_err(broken)?;
        self.take_slot(index, terms, Some(theirs), wanted)?;
        Ok(ours)
    }

    /// The same for an agent that has a stream of its own to the pool, which ends it, too.
    pub(crate) fn place(
        &self,
        index: usize,
        terms: &Terms,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Placed<'_>, Fault> {
        let number = self.take_slot(index, terms, None, wanted)?;
        Ok(Placed { bridge: self, number })
    }

    fn release(&self, number: u64) {
        // A bridge that does not hear it has let everything go.
        let _ = self.order([b"release".as_slice(), number.to_string().as_bytes()], &[]);
    }

    fn take_slot(
        &self,
        index: usize,
        terms: &Terms,
        stream: Option<OwnedFd>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<u64, Fault> {
        let number = {
            let mut state = lock(&self.news.state);
            if let Some(gone) = &state.gone {
                return Err(gone.clone());
            }
            state.last += 1;
            let number = state.last;
            state.hires.insert(number, None);
            if stream.is_none() {
                state.placed.insert(number, None);
            }
            number
        };
        let (number_text, index) = (number.to_string(), index.to_string());
        let head = [b"hire".as_slice(), number_text.as_bytes(), index.as_bytes()];
        let fds: Vec<_> = stream.iter().map(AsFd::as_fd).collect();
        let sent = self.order(head.into_iter().chain(terms.texts()), &fds);
        drop(stream);
        let answer = match sent {
            Ok(()) => self.news.wait(|state| state.hires.get_mut(&number).and_then(Option::take), wanted),
            // Why, the other side of the socket tells.
            Err(_) => self.news.wait(|state| state.gone.clone().map(Err), &|| true),
        };
        lock(&self.news.state).hires.remove(&number);
        match answer {
            Some(answer) => answer.map(|()| number).inspect_err(|_| {
                lock(&self.news.state).placed.remove(&number);
            }),
            None => {
                lock(&self.news.state).placed.remove(&number);
                self.release(number);
                Err(given_up())
            }
        }
    }

    /// Lets all slots go, stops what the bridge started, and waits until it has ended; kills it if it does not end.
    pub(crate) fn close(&self) {
        let _ = self.order([b"close".as_slice()], &[]);
        let until = Instant::now() + CLOSING;
        self.news.wait(|state| state.has_ended.then_some(()), &|| Instant::now() < until);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // The bridge hears the end; the thread that listens to it holds the socket until then.
        let _ = rustix::net::shutdown(&*self.control, rustix::net::Shutdown::Write);
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, connected, .. } = self;
        f.debug_struct("Bridge").field("engine", engine).field("connected", connected).finish_non_exhaustive()
    }
}

/// An agent in a slot that is to come to the pool by itself. It goes on when this is dropped.
pub(crate) struct Placed<'a> {
    bridge: &'a Bridge,
    number: u64,
}

impl Placed<'_> {
    /// Why it has ended, if so.
    pub(crate) fn ended(&self) -> Option<String> {
        lock(&self.bridge.news.state).placed.get(&self.number).cloned().flatten()
    }

    /// Ends it.
    pub(crate) fn release(self) {
        self.bridge.release(self.number);
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        lock(&self.bridge.news.state).placed.remove(&self.number);
    }
}

/// What the bridge told, and who waits for it.
#[derive(Default)]
struct News {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Result<Connected, Fault>>,
    /// Those who wait for a slot, and what they were told.
    hires: HashMap<u64, Option<Result<(), Fault>>>,
    last: u64,
    /// Agents that have a stream of their own to the pool, and why they ended.
    placed: HashMap<u64, Option<String>>,
    slots: Option<usize>,
    told: Vec<Weak<dyn Told>>,
    gone: Option<Fault>,
    has_ended: bool,
}

impl News {
    /// Waits until `look` finds something; None when it is no longer wanted.
    fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>, wanted: &dyn Fn() -> bool) -> Option<T> {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some(found) = look(&mut state) {
                    return Some(found);
                }
                let (mut state, _) =
                    self.changed.wait_timeout(state, GLANCE).unwrap_or_else(PoisonError::into_inner);
                if let Some(found) = look(&mut state) {
                    return Some(found);
                }
            }
            // It is not ours, so no lock is held.
            if !wanted() {
                return None;
            }
        }
    }

    fn heard(&self, engine: &str, texts: Vec<String>) {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap_or_default();
        let verb = next();
        let mut state = lock(&self.state);
        match verb.as_str() {
            "connected" => {
                let connected = Connected { slots: next().parse().ok(), address: next(), version: next() };
                state.answer = Some(Ok(connected));
            }
            "refused" => state.answer = Some(Err(Fault::new(&next(), next()))),
            "hired" | "failed" => {
                let number = next().parse().unwrap_or(0);
                let answer = if verb == "hired" { Ok(()) } else { Err(Fault::new(&next(), next())) };
                // Whoever gave up has no place here any more.
                if let Some(waiting) = state.hires.get_mut(&number) {
                    *waiting = Some(answer);
                }
            }
            "slots" => {
                state.slots = next().parse().ok();
                if let (Some(slots), told) = (state.slots, state.told.clone()) {
                    drop(state);
                    told.iter().filter_map(Weak::upgrade).for_each(|told| told.slots(slots));
                }
            }
            "gone" => {
                let fault = Fault::new("gone", next());
                drop(state);
                self.be_gone(engine, fault);
            }
            "ended" => {
                let (number, why) = (next(), next());
                log::debug!("{engine}: the agent in slot {number} ended: {why}");
                if let Some(ended) = number.parse().ok().and_then(|number| state.placed.get_mut(&number)) {
                    *ended = Some(why);
                }
            }
            "note" => log::warn!("{engine}: {}", next()),
            "closed" => {}
            _ => log::debug!("{engine}: the bridge says `{verb}`, which nobody understands"),
        }
        self.changed.notify_all();
    }

    /// Everybody who waits is told, and whoever comes later.
    fn be_gone(&self, engine: &str, why: Fault) {
        let told = {
            let mut state = lock(&self.state);
            let is_news = state.gone.is_none();
            let why = state.gone.get_or_insert(why).clone();
            state.hires.values_mut().for_each(|waiting| *waiting = Some(Err(why.clone())));
            state
                .placed
                .values_mut()
                .for_each(|ended| *ended = ended.take().or_else(|| Some(why.text.clone())));
            state.answer.get_or_insert_with(|| Err(why.clone()));
            is_news.then(|| (state.told.clone(), why))
        };
        self.changed.notify_all();
        if let Some((told, why)) = told {
            told.iter().filter_map(Weak::upgrade).for_each(|told| told.gone(why.clone().of(engine)));
        }
    }
}

/// The last of what a bridge said on its standard error.
#[derive(Default)]
struct Tail(Mutex<Vec<u8>>);

impl Tail {
    fn add(&self, said: &[u8]) {
        let mut tail = lock(&self.0);
        tail.extend_from_slice(said);
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }

    /// Its last line with something on it: what Python ends a traceback with.
    fn last_line(&self) -> String {
        let tail = lock(&self.0);
        let text = String::from_utf8_lossy(&tail);
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }
}

/// Listens to a bridge, and to what it says beside that, until it has ended.
fn watch(
    engine: &'static str,
    python: &OsStr,
    child: Child,
    control: Arc<OwnedFd>,
    news: Arc<News>,
    mut said: io::PipeReader,
    tail: &Arc<Tail>,
) -> io::Result<()> {
    let thread =
        |name: &str| std::thread::Builder::new().name(format!("polypool-{name}")).stack_size(128 << 10);
    let (kept, python) = (Arc::clone(tail), python.to_string_lossy().into_owned());
    let (all_said, is_silent) = mpsc::channel::<()>();
    thread("bridge-log").spawn(move || {
        let _all_said = all_said;
        let mut piece = [0; 4096];
        loop {
            let text = match said.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => piece.get(..n).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            log::debug!("{engine}: {}", String::from_utf8_lossy(text).trim_end());
            kept.add(text);
        }
    })?;
    let tail = Arc::clone(tail);
    thread("bridge").spawn(move || {
        let mut buffer = Vec::new();
        while let Some(texts) = receive(&*control, &mut buffer) {
            news.heard(engine, texts);
        }
        // One that closed its socket and goes on is no use, and dropping it kills it and what it started.
        let ended = child.wait_for(CLOSING).ok().flatten();
        drop(child);
        let how = match ended {
            Some(Ended::Code(code)) => format!("ended with code {code}"),
            Some(Ended::Signal(signal)) => format!("was ended by signal {signal}"),
            _ => "ended".to_owned(),
        };
        lock(&news.state).has_ended = true;
        // What it said last is on its way here; somebody whom it started may hold the pipe open, who is not waited for.
        let _ = is_silent.recv_timeout(LAST_WORDS);
        let text = format!(
            "the bridge in the Python interpreter `{python}` {how}: {}; another interpreter is named with `python` or {PYTHON}",
            tail.last_line()
        );
        news.be_gone(engine, Fault::new("bridge", text));
    })?;
    Ok(())
}

fn no_interpreter(python: &OsStr, error: &io::Error) -> Fault {
    let python = python.to_string_lossy();
    Fault::new(
        "interpreter",
        format!(
            "the Python interpreter `{python}` cannot be started: {error}; name one with `python` or {PYTHON}"
        ),
    )
}

fn broken(error: io::Error) -> Fault {
    Fault::new("bridge", format!("no bridge to the engine: {error}"))
}

fn given_up() -> Fault {
    Fault::new("unwanted", "the engine did not answer for as long as anybody waited")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs an interpreter, and nothing that is not Python's own.
    #[test]
    fn calls_and_replies_are_found_in_whatever_pieces_they_come() {
        let folder = std::env::temp_dir().join(format!("polypool-slot-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in
            [("slot.py", include_str!("slot.py")), ("check.py", include_str!("slot_check.py"))]
        {
            std::fs::write(folder.join(name), text).expect("a folder");
        }
        let output = Command::new("python3").arg("-B").arg(folder.join("check.py")).output();
        std::fs::remove_dir_all(&folder).expect("ours");
        let output = output.expect("`python3` is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
