//! The agent's way to a pool that is somewhere in a network.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
    time::Duration,
};

use crate::{
    sys::process::move_high,
    wire::handshake::{HELLO, Key, PROOF, answer, is_welcome},
};

/// How long the pool may take to be reached, and to say each of its words.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a socket to a pool, at whose other end is the pool whose key this is.
pub(super) fn connect(address: &str, key: &str) -> io::Result<OwnedFd> {
    let key = Key::from_text(key).ok_or_else(|| io::Error::other("the key makes no sense"))?;
    let mut last = io::Error::other(format!("`{address}` is no address"));
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| introduce(stream, &key)) {
            Ok(stream) => return move_high(stream.into()),
            Err(error) => last = io::Error::new(error.kind(), format!("at {address}: {error}")),
        }
    }
    Err(last)
}

fn introduce(mut stream: TcpStream, key: &Key) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut hello = [0; HELLO];
    stream.read_exact(&mut hello)?;
    let challenge = random()?;
    let answer = answer(key, &hello, challenge)
        .ok_or_else(|| io::Error::other("what answers there is no pool of this version of polypool"))?;
    stream.write_all(&answer)?;
    let mut proof = [0; PROOF];
    stream.read_exact(&mut proof).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("the pool there does not know this key"),
        _ => error,
    })?;
    if !is_welcome(key, &hello, &answer, &proof) {
        return Err(io::Error::other("what answers there does not know the key"));
    }
    stream.set_read_timeout(None)?;
    Ok(stream)
}

pub(crate) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    // So few come at once, or not at all.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())? {
        32 => Ok(bytes),
        _ => Err(io::Error::other("the system gives no random numbers")),
    }
}
