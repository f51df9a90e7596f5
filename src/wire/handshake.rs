//! How a pool and an agent that connects to it know each other. Owns the words and their proof; who sends them is the caller's.
//!
//! Both have a key, which the agent got from the pool by way of the engine. Neither sends it. The pool sends a challenge; the agent
//! answers with one of its own, and proves by a MAC (HMAC, RFC 2104, with SHA-256) over both and its ticket that it has the key; the pool
//! proves the same, by another MAC over the same. Whoever listens learns nothing that is good for a second time. What follows is
//! neither encrypted nor signed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the pool sends first: who it is, and its challenge.
pub(crate) const HELLO: usize = MAGIC.len() + CHALLENGE;
/// What the agent answers: its ticket, its challenge, its proof.
pub(crate) const ANSWER: usize = 8 + CHALLENGE + PROOF;
/// What the pool ends it with.
pub(crate) const PROOF: usize = 32;

/// Whoever connects to something else finds that out at once.
const MAGIC: &[u8; 12] = b"polypool 1\r\n";
const CHALLENGE: usize = 32;

/// What nobody else has, and by which ticket the pool finds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) ticket: u64,
    secret: [u8; 32],
}

impl Key {
    pub(crate) fn new(ticket: u64, secret: [u8; 32]) -> Self {
        Self { ticket, secret }
    }

    /// As it travels to the agent.
    pub(crate) fn to_text(&self) -> String {
        let secret: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{secret}", self.ticket)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (ticket, hex) = text.split_once('-')?;
        let mut secret = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (n, byte) in secret.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * n..2 * n + 2)?, 16).ok()?;
        }
        Some(Self { ticket: ticket.parse().ok()?, secret })
    }

    fn mac(&self, who: &[u8], pools: &[u8], agents: &[u8]) -> Option<Hmac<Sha256>> {
        // It takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        [who, pools, agents, &self.ticket.to_le_bytes()].iter().for_each(|part| mac.update(part));
        Some(mac)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

const AGENT: &[u8] = b"agent";
const POOL: &[u8] = b"pool";

pub(crate) fn hello(challenge: [u8; CHALLENGE]) -> [u8; HELLO] {
    let mut bytes = [0; HELLO];
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest.copy_from_slice(&challenge);
    bytes
}

/// The agent's answer to a pool's hello. None when nobody of ours says hello there.
pub(crate) fn answer(key: &Key, hello: &[u8; HELLO], challenge: [u8; CHALLENGE]) -> Option<[u8; ANSWER]> {
    let pools = hello.strip_prefix(MAGIC)?;
    let proof = key.mac(AGENT, pools, &challenge)?.finalize().into_bytes();
    let mut bytes = [0; ANSWER];
    let (ticket, rest) = bytes.split_at_mut(8);
    let (agents, to_prove) = rest.split_at_mut(CHALLENGE);
    ticket.copy_from_slice(&key.ticket.to_le_bytes());
    agents.copy_from_slice(&challenge);
    to_prove.copy_from_slice(&proof);
    Some(bytes)
}

/// The ticket of an answer, which is not proven yet.
pub(crate) fn ticket(answer: &[u8; ANSWER]) -> u64 {
    answer.first_chunk().map_or(0, |ticket| u64::from_le_bytes(*ticket))
}

/// The pool's proof, for an agent that has proven itself. None for one that has not.
pub(crate) fn welcome(key: &Key, hello: &[u8; HELLO], answer: &[u8; ANSWER]) -> Option<[u8; PROOF]> {
    let pools = hello.strip_prefix(MAGIC)?;
    let (agents, proof) = answer.get(8..)?.split_at_checked(CHALLENGE)?;
    // Takes as long for any wrong one.
    key.mac(AGENT, pools, agents)?.verify_slice(proof).ok()?;
    Some(key.mac(POOL, pools, agents)?.finalize().into_bytes().into())
}

/// Has the pool proven itself?
pub(crate) fn is_welcome(key: &Key, hello: &[u8; HELLO], answer: &[u8; ANSWER], proof: &[u8; PROOF]) -> bool {
    let agents = answer.get(8..8 + CHALLENGE).unwrap_or_default();
    let mac = hello.strip_prefix(MAGIC).and_then(|pools| key.mac(POOL, pools, agents));
    mac.is_some_and(|mac| mac.verify_slice(proof).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_key_is_known_and_nobody_else() {
        let key = Key::new(7, [3; 32]);
        let hello = hello([1; 32]);
        let answer = answer(&key, &hello, [2; 32]).expect("it is a hello");
        assert_eq!(ticket(&answer), 7);
        let proof = welcome(&key, &hello, &answer).expect("it has the key");
        assert!(is_welcome(&key, &hello, &answer, &proof));

        let other = Key::new(7, [4; 32]);
        assert!(welcome(&other, &hello, &answer).is_none());
        assert!(!is_welcome(&other, &hello, &answer, &proof));
        // The one's proof is not the other's.
        let mut mirrored = answer;
        mirrored[40..].copy_from_slice(&proof);
        assert!(welcome(&key, &hello, &mirrored).is_none());
        assert!(super::answer(&key, &[b'S'; HELLO], [2; 32]).is_none());
    }

    #[test]
    fn keys_travel_as_text() {
        let key = Key::new(u64::MAX, std::array::from_fn(|n| n as u8 * 7));
        assert_eq!(Key::from_text(&key.to_text()), Some(key));
        for wrong in
            ["", "-", "1-", "1-00", "x-", &format!("1-{}", "é".repeat(32)), &format!("1-{}", "g".repeat(64))]
        {
            assert_eq!(Key::from_text(wrong), None, "{wrong}");
        }
    }
}
