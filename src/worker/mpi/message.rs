//! What the pumps of a job say to each other. Owns the format: a head of 16 bytes, little endian, and for some kinds a payload.

/// Changes whenever anything here does.
pub(super) const VERSION: u64 = 2;

/// All messages of the pumps have it. Any implementation allows tags up to 32,767.
pub(super) const TAG: u16 = 0x7070;

/// The bytes before a payload.
pub(super) const HEAD: usize = 16;

/// What a message is about. The channel is named by the number that the first rank gave it, which never comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// First rank: begin an agent for this new channel. The amount is the version.
    Open = 1,
    /// It has begun.
    Opened = 2,
    /// It has not; the payload says why.
    Refused = 3,
    /// The payload goes into the stream.
    Data = 4,
    /// There will be no more data in this direction.
    End = 5,
    /// First rank: nobody is at the channel's end any more; whatever is under way is for nobody.
    Drop = 6,
    /// So many bytes more may be sent.
    Credit = 7,
    /// All is over, and this is the last message: the first rank's, and then each rank's. The amount is 1 where a rank is lost.
    Bye = 8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) channel: u32,
    pub(super) amount: u64,
}

impl Head {
    pub(super) fn new(kind: Kind, channel: u32) -> Self {
        Self { kind, channel, amount: 0 }
    }

    /// The whole message.
    pub(super) fn with(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.with_into(payload, &mut bytes);
        bytes
    }

    /// The same, in a buffer that is there.
    pub(super) fn with_into(self, payload: &[u8], bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.reserve(HEAD + payload.len());
        bytes.extend_from_slice(&(self.kind as u32).to_le_bytes());
        bytes.extend_from_slice(&self.channel.to_le_bytes());
        bytes.extend_from_slice(&self.amount.to_le_bytes());
        bytes.extend_from_slice(payload);
    }

    /// None for what is no message.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (channel, rest) = rest.split_first_chunk::<4>()?;
        let (amount, _) = rest.split_first_chunk::<8>()?;
        let kinds = [
            Kind::Open,
            Kind::Opened,
            Kind::Refused,
            Kind::Data,
            Kind::End,
            Kind::Drop,
            Kind::Credit,
            Kind::Bye,
        ];
        let kind = kinds.into_iter().find(|known| *known as u32 == u32::from_le_bytes(*kind))?;
        Some(Self { kind, channel: u32::from_le_bytes(*channel), amount: u64::from_le_bytes(*amount) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_it_was() {
        let head = Head { kind: Kind::Credit, channel: 7, amount: 1 << 40 };
        let bytes = head.with(b"abc");
        assert_eq!(Head::of(&bytes), Some(head));
        assert_eq!(&bytes[HEAD..], b"abc");
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(Head::of(&[1; HEAD - 1]), None);
        assert_eq!(Head::of(&[0; HEAD]), None);
        assert_eq!(Head::of(&[0xff; HEAD]), None);
    }
}
