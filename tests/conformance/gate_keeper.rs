//! Gates seen from other processes. Owns the way there: one connection for each request, over a socket with an abstract name
//! that is derived from the pid of the gate's process, so nothing is left behind. A connection that closes takes its request
//! back, so a worker that is killed neither waits nor stays inside.

/// What can be asked of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verb {
    Open,
    Admit,
    Pass,
    Meet,
    Arrive,
    Arrived,
    WaitArrivals,
    Note,
    Notes,
    WaitNotes,
    Enter,
    MostInside,
}

impl Verb {
    #[cfg(target_os = "linux")]
    const ALL: [Verb; 12] = [
        Verb::Open,
        Verb::Admit,
        Verb::Pass,
        Verb::Meet,
        Verb::Arrive,
        Verb::Arrived,
        Verb::WaitArrivals,
        Verb::Note,
        Verb::Notes,
        Verb::WaitNotes,
        Verb::Enter,
        Verb::MostInside,
    ];
}

/// A question to the process of a gate.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "gates do not travel there"))]
pub(super) struct Request {
    pub(super) owner: u32,
    pub(super) verb: Verb,
    pub(super) gate: u64,
    pub(super) number: u64,
}

#[cfg(target_os = "linux")]
pub(super) use linux::{Connection, receive_visitors};

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, Read as _, Write as _};
    use std::net::Shutdown;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::sync::{Mutex, PoisonError};
    use std::thread;

    use futures::channel::oneshot;
    use futures::future::{Either, select};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::{Gate, State};
    use super::{Request, Verb};

    const LENGTH: usize = 17;

    fn address(owner: u32) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("polypool-gates-{owner}"))
    }

    impl Request {
        /// Asks, and waits for the answer. Empty when the gate's process is gone.
        pub(in super::super) fn send(self) -> Vec<u64> {
            self.connect().map(|connection| connection.answer(self.verb)).unwrap_or_default()
        }

        /// As [`Request::send`]. A future that is dropped takes its request back.
        pub(in super::super) async fn send_async(self) -> Vec<u64> {
            let Ok(connection) = self.connect() else { return Vec::new() };
            let Ok(stream) = connection.0.try_clone() else { return Vec::new() };
            let _hang_up = HangUp(stream);
            let (send, receive) = oneshot::channel();
            thread::spawn(move || {
                let _ = send.send(connection.answer(self.verb));
            });
            receive.await.unwrap_or_default()
        }

        /// Asks for something that lasts as long as the connection does.
        pub(in super::super) fn send_and_stay(self) -> Connection {
            let mut connection = self.connect().expect("the gate's process is there");
            let _ = connection.0.read_exact(&mut [0; 8]);
            connection
        }

        fn connect(self) -> io::Result<Connection> {
            let mut stream = UnixStream::connect_addr(&address(self.owner)?)?;
            let mut bytes = [0; LENGTH];
            bytes[0] = self.verb as u8;
            bytes[1..9].copy_from_slice(&self.gate.to_le_bytes());
            bytes[9..].copy_from_slice(&self.number.to_le_bytes());
            stream.write_all(&bytes)?;
            Ok(Connection(stream))
        }
    }

    /// The way to the process of a gate, while one request lasts.
    pub(in super::super) struct Connection(UnixStream);

    impl Connection {
        fn answer(mut self, verb: Verb) -> Vec<u64> {
            if verb == Verb::Pass {
                // Whoever was let by says so, else the permit is for the next.
                if self.0.read_exact(&mut [0; 8]).is_ok() {
                    let _ = self.0.write_all(&[1]);
                }
                return Vec::new();
            }
            let mut bytes = Vec::new();
            let _ = self.0.read_to_end(&mut bytes);
            let (numbers, _) = bytes.as_chunks();
            numbers.iter().copied().map(u64::from_le_bytes).collect()
        }

        /// Ends what lasts, and waits until that is known.
        pub(in super::super) fn leave(mut self) {
            let _ = self.0.shutdown(Shutdown::Write);
            let _ = self.0.read_to_end(&mut Vec::new());
        }
    }

    struct HangUp(UnixStream);

    impl Drop for HangUp {
        fn drop(&mut self) {
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }

    /// Answers for the gates of this process, from a thread of its own, if it does not do so yet.
    pub(in super::super) fn receive_visitors() {
        static KEEPER: Mutex<u32> = Mutex::new(0);
        let mut keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
        // By pid: a fork inherits what is said here, and not the thread.
        if *keeper == std::process::id() {
            return;
        }
        let listener = address(std::process::id()).and_then(|address| UnixListener::bind_addr(&address));
        let listener = listener.expect("a name with our pid is ours");
        listener.set_nonblocking(true).expect("a socket may be non-blocking");
        thread::Builder::new()
            .name("gate keeper".to_owned())
            .spawn(move || keep(listener))
            .expect("a thread for the gates");
        *keeper = std::process::id();
    }

    fn keep(listener: UnixListener) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
            loop {
                if let Ok((visitor, _)) = listener.accept().await {
                    tokio::spawn(async {
                        // A visitor that goes away has no use for an answer.
                        let _ = receive(visitor).await;
                    });
                }
            }
        });
    }

    async fn receive(visitor: tokio::net::UnixStream) -> io::Result<()> {
        let (mut from, mut to) = visitor.into_split();
        let mut request = [0; LENGTH];
        from.read_exact(&mut request).await?;
        let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().expect("eight bytes"));
        let (gate, number) = (Gate { owner: std::process::id(), id: number(1) }, number(9));
        let mut ending = [0; 1];
        let ended = Box::pin(from.read(&mut ending));
        let answer = match Verb::ALL[usize::from(request[0])] {
            Verb::Open => {
                gate.open();
                Vec::new()
            }
            Verb::Admit => {
                gate.admit(number as usize);
                Vec::new()
            }
            Verb::Pass => {
                gate.change(|state| state.arrived += 1);
                let Either::Right(((), ended)) = select(ended, Box::pin(gate.wait(State::let_by))).await
                else {
                    return Ok(());
                };
                let passed = to.write_all(&[0; 8]).await.is_ok() && ended.await.is_ok_and(|read| read == 1);
                if !passed {
                    gate.admit(1);
                }
                return Ok(());
            }
            Verb::Meet | Verb::WaitArrivals | Verb::WaitNotes => {
                let verb = Verb::ALL[usize::from(request[0])];
                gate.change(|state| state.arrived += usize::from(verb == Verb::Meet));
                let come = gate.wait(|state| match verb {
                    Verb::WaitNotes => state.notes.len() >= number as usize,
                    _ => state.arrived >= number as usize,
                });
                let _ = select(ended, Box::pin(come)).await;
                Vec::new()
            }
            Verb::Arrive => vec![gate.arrive() as u64],
            Verb::Arrived => vec![gate.arrived() as u64],
            Verb::Note => {
                gate.note(number);
                Vec::new()
            }
            Verb::Notes => gate.notes(),
            Verb::Enter => {
                let inside = gate.enter();
                to.write_all(&[0; 8]).await?;
                let _ = ended.await;
                drop(inside);
                Vec::new()
            }
            Verb::MostInside => vec![gate.most_inside() as u64],
        };
        let bytes: Vec<u8> = answer.into_iter().flat_map(u64::to_le_bytes).collect();
        to.write_all(&bytes).await
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::{Connection, receive_visitors};

/// Where there are no abstract names there is no backend that needs them.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::Request;

    pub(in super::super) struct Connection;

    impl Connection {
        pub(in super::super) fn leave(self) {}
    }

    impl Request {
        pub(in super::super) fn send(self) -> Vec<u64> {
            unreachable!("{self:?}")
        }

        pub(in super::super) async fn send_async(self) -> Vec<u64> {
            self.send()
        }

        pub(in super::super) fn send_and_stay(self) -> Connection {
            unreachable!("{self:?}")
        }
    }

    pub(in super::super) fn receive_visitors() {}
}
