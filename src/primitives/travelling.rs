//! What is asked and answered, as bytes that go from one process to another; what is in a queue travels beside them.

use serde::{Serialize, de::DeserializeOwned};

use super::{Fault, Item, Operation, Outcome};

/// Takes a question apart, for the way.
pub(crate) fn depart(operation: Operation<Item>) -> (Vec<u8>, Option<Item>) {
    let mut item = None;
    let operation = operation.map(|put| {
        item = Some(put);
        Some(())
    });
    (encode(operation), item)
}

/// Puts it together again. None when it is not what it should be.
pub(crate) fn arrive(bytes: &[u8], mut item: Option<Item>) -> Option<Operation<Item>> {
    decode::<Operation<()>>(bytes)?.map(|()| item.take())
}

/// Takes an answer apart, for the way.
pub(crate) fn reply(outcome: Outcome<Item>) -> (Vec<u8>, Option<Item>) {
    let mut item = None;
    let outcome = outcome.map(|got| {
        item = Some(got);
        Some(())
    });
    (encode(outcome), item)
}

/// Puts it together again. What is not what it should be is no answer, which there is a word for.
pub(crate) fn hear(bytes: &[u8], mut item: Option<Item>) -> Outcome<Item> {
    let outcome = decode::<Outcome<()>>(bytes).and_then(|outcome| outcome.map(|()| item.take()));
    outcome.unwrap_or(Outcome::Fault(Fault::Gone))
}

fn encode<T: Serialize>(value: Option<T>) -> Vec<u8> {
    // It is there, and has nothing in it that could not be encoded.
    value.and_then(|value| postcard::to_stdvec(&value).ok()).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

impl<I> Operation<I> {
    fn map<J>(self, f: impl FnOnce(I) -> Option<J>) -> Option<Operation<J>> {
        Some(match self {
            Self::Put { item, wait } => Operation::Put { item: f(item)?, wait },
            Self::Acquire { who, wait } => Operation::Acquire { who, wait },
            Self::Release { hold } => Operation::Release { hold },
            Self::ReleaseFor { who } => Operation::ReleaseFor { who },
            Self::Forget { hold } => Operation::Forget { hold },
            Self::Sleep { hold, who } => Operation::Sleep { hold, who },
            Self::Notify { all } => Operation::Notify { all },
            Self::Set => Operation::Set,
            Self::Clear => Operation::Clear,
            Self::IsSet => Operation::IsSet,
            Self::WaitUntilSet => Operation::WaitUntilSet,
            Self::Arrive => Operation::Arrive,
            Self::Get { wait } => Operation::Get { wait },
            Self::Len => Operation::Len,
            Self::Receipt { request } => Operation::Receipt { request },
            Self::TimeIsUp { request } => Operation::TimeIsUp { request },
            Self::Cancel { request } => Operation::Cancel { request },
            Self::Lost { request } => Operation::Lost { request },
        })
    }
}

impl<I> Outcome<I> {
    fn map<J>(self, f: impl FnOnce(I) -> Option<J>) -> Option<Outcome<J>> {
        Some(match self {
            Self::Item(item) => Outcome::Item(f(item)?),
            Self::Granted { died, late } => Outcome::Granted { died, late },
            Self::Done => Outcome::Done,
            Self::Busy => Outcome::Busy,
            Self::Is(is) => Outcome::Is(is),
            Self::Count(count) => Outcome::Count(count),
            Self::Passed { last } => Outcome::Passed { last },
            Self::Fault(fault) => Outcome::Fault(fault),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::primitives::Who;

    fn item() -> Item {
        Item { bytes: Arc::new(vec![1, 2, 3]), names: Arc::default() }
    }

    #[test]
    fn what_departs_arrives() {
        let who = Who(1, 2, 3);
        for operation in [
            Operation::Acquire { who, wait: true },
            Operation::Release { hold: 7 },
            Operation::Put { item: item(), wait: false },
            Operation::Lost { request: 9 },
        ] {
            let said = format!("{operation:?}");
            let (bytes, item) = depart(operation);
            assert_eq!(format!("{:?}", arrive(&bytes, item).expect("all of it")), said);
        }
        for outcome in [Outcome::Granted { died: true, late: false }, Outcome::Item(item()), Outcome::Busy] {
            let said = format!("{outcome:?}");
            let (bytes, item) = reply(outcome);
            assert_eq!(format!("{:?}", hear(&bytes, item)), said);
        }
    }

    #[test]
    fn what_is_not_whole_does_not() {
        let (bytes, _) = depart(Operation::Put { item: item(), wait: true });
        assert!(arrive(&bytes, None).is_none());
        assert!(arrive(&[], None).is_none());
        assert!(arrive(&[255; 9], Some(item())).is_none());
        assert!(matches!(hear(&[255], None), Outcome::Fault(Fault::Gone)));
    }
}
