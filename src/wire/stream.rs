//! Frames on a socket: what goes through rings elsewhere, one call and its reply at a time. Owns the format of a frame's head and
//! its checks; reading and writing is the caller's.
//!
//! A head is six words, little endian; the payload follows at once, but for that of a call that is [`kind::WAITING`]. Behind it,
//! and within its length, is where a call comes from; behind a waiting one's head there is that alone.

use super::layout::tasks_word;

/// The size of a head.
pub(crate) const HEAD: usize = 48;

/// What a frame is. The words of a call are the function's entry, the count of its tasks, and how many workers the pool may have
/// now; those of a reply are the counts of the tasks, as in a ring.
pub(crate) mod kind {
    pub(crate) const CALL: u8 = 1;
    /// A call whose argument is sent when the worker asks for it: so nobody has to wait for room to send a call.
    pub(crate) const WAITING: u8 = 2;
    /// The worker asks for it.
    pub(crate) const PULL: u8 = 3;
    pub(crate) const DONE: u8 = 4;
    /// The payload is a [`TaskError`](crate::error::TaskError).
    pub(crate) const FAILED: u8 = 5;
    /// Instead of a call: the worker is to end.
    pub(crate) const LEAVE: u8 = 6;
    /// While a chunk is performed: nobody wants those of its inputs that have not begun. May come too late.
    pub(crate) const TRIM: u8 = 7;
    // To a worker that is elsewhere, calls are sent ahead, and its agent has those that are not begun.
    /// A call that was sent ahead is wanted back.
    pub(crate) const ASK: u8 = 8;
    /// Here it is: it was not begun, and will not be.
    pub(crate) const BACK: u8 = 9;
    /// It was begun, and its reply comes.
    pub(crate) const BEGUN: u8 = 10;
}

/// What stands in a diary when nobody knows what was begun of the calls that were on their way: no worker writes that.
pub(crate) const UNKNOWN: [u8; 8] = [0xff; 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) ticket: u64,
    pub(crate) words: [u64; 3],
    /// Of the payload.
    pub(crate) len: u64,
}

impl Head {
    /// A frame that says nothing but its kind.
    pub(crate) fn bare(kind: u8, ticket: u64) -> Self {
        Self { kind, ticket, words: [0; 3], len: 0 }
    }

    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let [first, second, third] = self.words;
        let words = [self.kind.into(), self.ticket, first, second, third, self.len];
        let mut bytes = [0; HEAD];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// None when it makes no sense.
    pub(crate) fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let mut words = [0; HEAD / 8];
        for (word, from) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*from);
        }
        let [kind, ticket, first, second, third, len] = words;
        let kind = u8::try_from(kind).ok().filter(|kind| (kind::CALL..=kind::BEGUN).contains(kind))?;
        let is_bare = matches!(kind, kind::PULL) || kind >= kind::LEAVE;
        (!is_bare || len == 0).then_some(Self { kind, ticket, words: [first, second, third], len })
    }

    /// How many bytes follow at once.
    pub(crate) fn follow(&self) -> u64 {
        if self.kind == kind::WAITING { tasks_word(self.words[1]).2 as u64 } else { self.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back() {
        let head = Head { kind: kind::DONE, ticket: 7, words: [u64::MAX, 1 << 63, 4], len: 1 << 40 };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(head.follow(), 1 << 40);
        let waiting = Head { kind: kind::WAITING, ..head };
        assert_eq!((Head::decode(&waiting.encode()), waiting.follow()), (Some(waiting), 0));
        let bare = Head::bare(kind::LEAVE, 9);
        assert_eq!(Head::decode(&bare.encode()), Some(bare));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert_eq!(Head::decode(&[0; HEAD]), None);
        assert_eq!(Head::decode(&[0xff; HEAD]), None);
        for kind in [kind::BEGUN + 1, kind::PULL, kind::LEAVE, kind::TRIM, kind::ASK, kind::BACK, kind::BEGUN]
        {
            assert_eq!(Head::decode(&Head { len: 1, ..Head::bare(kind, 1) }.encode()), None);
        }
        let mut bytes = Head::bare(kind::CALL, 1).encode();
        bytes[1] = 1;
        assert_eq!(Head::decode(&bytes), None);
    }
}
