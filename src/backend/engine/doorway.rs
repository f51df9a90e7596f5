//! The door by which agents come in over a network. Owns who is expected, and that nobody else is let in.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    inside::agent::{CONNECT, KEY, connect::random},
    sys::lock::lock,
    wire::handshake::{ANSWER, Key, hello, ticket, welcome},
};

/// Who has come to the door says so within this time, or is sent away.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many may stand at the door and not have said who they are.
const MOST_STRANGERS: usize = 64;

/// How often somebody who waits looks whether that makes sense still.
const LOOKS: Duration = Duration::from_millis(200);

/// Listens at an address, from its opening until it is dropped.
pub(crate) struct Doorway {
    hall: Arc<Hall>,
    address: SocketAddr,
}

struct Hall {
    expected: Mutex<HashMap<u64, Guests>>,
    news: Condvar,
    next: Mutex<u64>,
    strangers: AtomicUsize,
    is_closed: AtomicBool,
}

/// Those who come with one key.
struct Guests {
    key: Key,
    /// So many more are let in.
    left: usize,
    came: VecDeque<TcpStream>,
}

impl Doorway {
    /// Opens it at an address of this machine, as `127.0.0.1:0`, where port 0 is any that is free.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("nobody can listen at {address}: {error}"))
        })?;
        let address = listener.local_addr()?;
        let hall = Arc::new(Hall {
            expected: Mutex::default(),
            news: Condvar::new(),
            next: Mutex::new(1),
            strangers: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        });
        let porter = Arc::clone(&hall);
        thread::Builder::new().name("polypool-door".to_owned()).spawn(move || porter.listen(&listener))?;
        Ok(Self { hall, address })
    }

    /// Where it is, as this machine sees it.
    #[allow(dead_code, reason = "for those backends that this build has")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many in who show one key, as long as the result lives.
    pub(crate) fn expect(&self, guests: usize) -> io::Result<Expected> {
        let ticket = {
            let mut next = lock(&self.hall.next);
            *next += 1;
            *next - 1
        };
        let key = Key::new(ticket, random()?);
        let guests = Guests { key: key.clone(), left: guests, came: VecDeque::new() };
        lock(&self.hall.expected).insert(ticket, guests);
        Ok(Expected { hall: Arc::clone(&self.hall), address: self.address.to_string(), key })
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.hall.is_closed.store(true, Ordering::SeqCst);
        // The porter sees that when somebody comes. If nobody can, the listener is broken, and he has gone.
        let mut here = self.address;
        if here.ip().is_unspecified() {
            here.set_ip(match here {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let _ = TcpStream::connect_timeout(&here, Duration::from_secs(1));
    }
}

impl fmt::Debug for Doorway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Hall {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let came = listener.accept();
            if self.is_closed.load(Ordering::SeqCst) {
                return;
            }
            let Ok((stream, _)) = came else {
                // Too many open files, for a while; or a guest who changed his mind.
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            if self.strangers.fetch_add(1, Ordering::SeqCst) >= MOST_STRANGERS {
                self.strangers.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            // Apart, so that one who says nothing keeps nobody out.
            let hall = Arc::clone(self);
            let meet = move || {
                if let Err(error) = hall.meet(stream) {
                    tracing::warn!(%error, "somebody who is not expected came to the door of a pool");
                }
                hall.strangers.fetch_sub(1, Ordering::SeqCst);
            };
            if thread::Builder::new().name("polypool-guest".to_owned()).spawn(meet).is_err() {
                self.strangers.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Lets somebody in who shows a key that is expected.
    fn meet(&self, mut stream: TcpStream) -> io::Result<()> {
        let stranger = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let hello = hello(random()?);
        stream.write_all(&hello)?;
        let mut answer = [0; ANSWER];
        stream.read_exact(&mut answer)?;
        let key = lock(&self.expected).get(&ticket(&answer)).map(|guests| guests.key.clone());
        let proof = key.and_then(|key| welcome(&key, &hello, &answer));
        let Some(proof) = proof else {
            let _ = stream.shutdown(Shutdown::Both);
            return Err(stranger("it has no key that is expected"));
        };
        stream.write_all(&proof)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let mut expected = lock(&self.expected);
        match expected.get_mut(&ticket(&answer)) {
            Some(guests) if guests.left > 0 => {
                guests.left -= 1;
                guests.came.push_back(stream);
                drop(expected);
                self.news.notify_all();
                Ok(())
            }
            _ => Err(stranger("all who were expected have come")),
        }
    }
}

/// Who is expected at a door, until this is dropped.
pub(crate) struct Expected {
    hall: Arc<Hall>,
    address: String,
    key: Key,
}

impl Expected {
    /// What an agent needs in its environment to come to this door from this machine.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        self.variables_at(&self.address)
    }

    /// The same for one to whom the door is at another address.
    pub(crate) fn variables_at(&self, address: &str) -> [(&'static str, String); 2] {
        [(CONNECT, address.to_owned()), (KEY, self.key.to_text())]
    }

    /// Waits for one of them.
    ///
    /// # Errors
    /// `TimedOut` when nobody came, or is wanted any more.
    pub(crate) fn wait(&self, patience: Duration, wanted: &dyn Fn() -> bool) -> io::Result<OwnedFd> {
        let until = Instant::now() + patience;
        let mut expected = lock(&self.hall.expected);
        loop {
            let came = expected.get_mut(&self.key.ticket).and_then(|guests| guests.came.pop_front());
            if let Some(stream) = came {
                return Ok(stream.into());
            }
            if Instant::now() >= until || !wanted() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no worker has connected to {}", self.address),
                ));
            }
            expected = self.hall.news.wait_timeout(expected, LOOKS).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let guests = lock(&self.hall.expected).remove(&self.key.ticket);
        drop(guests);
    }
}

/// The address at which this machine is seen from another, by the way that packets to it take. Nothing is sent.
#[allow(dead_code, reason = "for those backends that this build has")]
pub(crate) fn address_towards(peer: impl ToSocketAddrs) -> io::Result<std::net::IpAddr> {
    let peer = peer.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::handshake::{HELLO, PROOF, answer, is_welcome};

    fn knock(doorway: &Doorway, key: &Key) -> io::Result<bool> {
        let mut stream = TcpStream::connect(doorway.address())?;
        let mut hello = [0; HELLO];
        stream.read_exact(&mut hello)?;
        let answer = answer(key, &hello, [5; 32]).expect("a pool");
        stream.write_all(&answer)?;
        let mut proof = [0; PROOF];
        stream.read_exact(&mut proof)?;
        Ok(is_welcome(key, &hello, &answer, &proof))
    }

    #[test]
    fn who_has_the_key_comes_in_as_often_as_he_may() {
        let doorway = Doorway::open("127.0.0.1:0").expect("a door");
        let expected = doorway.expect(1).expect("a key");
        assert!(knock(&doorway, &expected.key).expect("let in"));
        assert!(expected.wait(Duration::from_secs(30), &|| true).is_ok());
        assert!(expected.wait(Duration::ZERO, &|| true).is_err());
        // He is known, but nobody waits for him.
        assert!(knock(&doorway, &expected.key).is_ok());
        assert!(expected.wait(Duration::from_millis(300), &|| true).is_err());
        let key = expected.key.clone();
        drop(expected);
        assert!(knock(&doorway, &key).is_err());
    }

    #[test]
    fn strangers_are_sent_away_and_keep_nobody_out() {
        let doorway = Doorway::open("127.0.0.1:0").expect("a door");
        let expected = doorway.expect(1).expect("a key");
        let silent = TcpStream::connect(doorway.address()).expect("a socket");
        let mut noisy = TcpStream::connect(doorway.address()).expect("a socket");
        noisy.write_all(&[b'x'; 4096]).expect("written");
        assert!(knock(&doorway, &Key::new(expected.key.ticket, [9; 32])).is_err());
        assert!(knock(&doorway, &Key::new(999, [9; 32])).is_err());
        assert!(knock(&doorway, &expected.key).expect("let in"));
        assert!(expected.wait(Duration::from_secs(30), &|| true).is_ok());
        drop((silent, noisy));
    }

    #[test]
    fn a_closed_door_is_closed() {
        let doorway = Doorway::open("127.0.0.1:0").expect("a door");
        let address = doorway.address();
        drop(doorway);
        let refused = |_: &u32| TcpStream::connect(address).is_err();
        assert!((0..1000).find(refused).is_some(), "somebody listens still");
    }
}
