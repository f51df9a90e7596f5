//! How orders and news are written between a pool and its bridge. Owns the format: a length, the number of descriptors that come
//! along, and texts, each with its length. Knows no order.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use crate::sys::process::{recv_with, send_with};

/// News are short; what claims to be longer is none.
const LONGEST: usize = 16 << 20;

/// Appends a text, its length before it.
pub(super) fn put(message: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(text);
}

/// Writes a message of these texts, with so many descriptors.
pub(super) fn encode<'a>(texts: impl IntoIterator<Item = &'a [u8]>, fds: usize) -> Vec<u8> {
    let mut body = vec![u8::try_from(fds).unwrap_or(u8::MAX)];
    texts.into_iter().for_each(|text| put(&mut body, text));
    let mut message = Vec::with_capacity(body.len() + 4);
    put(&mut message, &body);
    message
}

/// Sends all of it, the descriptors with its first byte.
pub(super) fn send(fd: impl AsFd, mut bytes: &[u8], mut fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send_with(&fd, bytes, fds)?;
        if sent > 0 {
            fds = &[];
        }
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Waits for the next message. None at the end, also at one that makes no sense.
pub(super) fn receive(fd: impl AsFd, buffer: &mut Vec<u8>) -> Option<Vec<String>> {
    loop {
        if let Some(length) = buffer.first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|&n| n <= LONGEST)?;
            if let Some(body) = buffer.get(4..4 + length) {
                let texts = decode(body)?;
                buffer.drain(..4 + length);
                return Some(texts);
            }
        }
        let mut piece = [0; 4096];
        match recv_with(&fd, &mut piece, &mut Vec::new()) {
            Ok(0) | Err(_) => return None,
            Ok(n) => buffer.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
}

fn decode(body: &[u8]) -> Option<Vec<String>> {
    let (_fds, mut rest) = body.split_first()?;
    let mut texts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (text, after) = after.split_at_checked(length)?;
        texts.push(String::from_utf8_lossy(text).into_owned());
        rest = after;
    }
    rest.is_empty().then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::pair;

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (ours, theirs) = pair().expect("two sockets");
        for n in 0..3 {
            let number = n.to_string();
            let message = encode([b"hired".as_slice(), number.as_bytes(), b"", "größer".as_bytes()], 0);
            send(&ours, &message, &[]).expect("there is room");
        }
        drop(ours);
        let mut buffer = Vec::new();
        for n in 0..3 {
            let texts = receive(&theirs, &mut buffer).expect("a message");
            assert_eq!(texts, ["hired", &n.to_string(), "", "größer"]);
        }
        assert_eq!(receive(&theirs, &mut buffer), None);
    }

    #[test]
    fn a_message_that_makes_no_sense_is_the_end() {
        for bytes in
            [&[255; 8][..], &[1, 0, 0, 0][..], &[6, 0, 0, 0, 0, 9, 0, 0, 0, 1][..], &[0, 0, 0, 0][..]]
        {
            let (ours, theirs) = pair().expect("two sockets");
            send(&ours, bytes, &[]).expect("there is room");
            drop(ours);
            assert_eq!(receive(&theirs, &mut Vec::new()), None, "{bytes:?}");
        }
    }
}
