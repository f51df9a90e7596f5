//! How a value becomes bytes and comes back: through serde, in the format of postcard. Owns the two lanes, the walk of serde
//! and the one that spares it where the bytes are there already, and that a failure of the user's code in either is an error
//! with words in it.
//!
//! The format is written here because the errors of the crate `postcard` have no place for what a `Serialize` or `Deserialize`
//! says that fails, and its users need to read just that.

use std::{
    any::{Any, type_name},
    borrow::Cow,
};

use serde::{Serialize, de::DeserializeOwned};

use super::catch::{catch, discard};
use crate::error::TaskError;

mod de;
mod fault;
mod ser;
#[cfg(test)]
mod tests;

/// Encodes a value and drops it. Bytes are their own encoding, and are not copied if `out` is empty.
pub(super) fn pack_into<T: Serialize + 'static>(value: T, out: &mut Vec<u8>) -> Result<(), TaskError> {
    let value = match cast::<T, Vec<u8>>(value) {
        Ok(bytes) => {
            append(bytes, out);
            return Ok(());
        }
        Err(value) => value,
    };
    let value = match cast::<T, String>(value) {
        Ok(text) => {
            append(text.into_bytes(), out);
            return Ok(());
        }
        Err(value) => value,
    };
    let done = encode_into(&value, out);
    discard(value);
    done
}

/// The same with the length before it; what fails leaves nothing.
pub(super) fn pack_part<T: Serialize + 'static>(value: T, out: &mut Vec<u8>) -> Result<(), TaskError> {
    let value = match cast::<T, Vec<u8>>(value) {
        Ok(bytes) => {
            put_part(&bytes, out);
            return Ok(());
        }
        Err(value) => value,
    };
    let value = match cast::<T, String>(value) {
        Ok(text) => {
            put_part(text.as_bytes(), out);
            return Ok(());
        }
        Err(value) => value,
    };
    let at = out.len();
    // Most are short, and have their length in this byte.
    out.push(0);
    let done = encode_into(&value, out);
    discard(value);
    if done.is_err() {
        out.truncate(at);
        return done;
    }
    let length = out.len() - at - 1;
    match out.get_mut(at) {
        Some(byte) if length < 0x80 => *byte = length as u8,
        _ => ser::insert_length(at..at + 1, length, out),
    }
    Ok(())
}

fn put_part(bytes: &[u8], out: &mut Vec<u8>) {
    ser::put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn append(bytes: Vec<u8>, out: &mut Vec<u8>) {
    if out.is_empty() {
        *out = bytes;
    } else {
        out.extend_from_slice(&bytes);
    }
}

/// Encodes a value that stays. Bytes are their own encoding, and are not copied.
pub(super) fn encode_whole<T: Serialize + 'static>(value: &T) -> Result<Cow<'_, [u8]>, TaskError> {
    let any: &dyn Any = value;
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        return Ok(Cow::Borrowed(bytes));
    }
    if let Some(text) = any.downcast_ref::<String>() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes)?;
    Ok(Cow::Owned(bytes))
}

/// Decodes a value from bytes that it may keep.
pub(super) fn unpack<T: DeserializeOwned + 'static>(bytes: Vec<u8>) -> Result<T, TaskError> {
    match cast::<Vec<u8>, T>(bytes) {
        Ok(value) => Ok(value),
        Err(bytes) if is_same::<T, String>() => text(String::from_utf8(bytes).map_err(|e| e.utf8_error())),
        Err(bytes) => decode(&bytes),
    }
}

/// The same from bytes that are somebody else's.
pub(super) fn unpack_from<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, TaskError> {
    if is_same::<T, Vec<u8>>() {
        let mut copy = super::spare::take(bytes.len());
        copy.extend_from_slice(bytes);
        return unpack(copy);
    }
    if is_same::<T, String>() {
        return text(std::str::from_utf8(bytes).map(str::to_owned));
    }
    decode(bytes)
}

fn text<T: 'static>(text: Result<String, std::str::Utf8Error>) -> Result<T, TaskError> {
    text.map_err(|error| error.to_string())
        .and_then(|text| cast(text).map_err(|_| "it is text".to_owned()))
        .map_err(|reason| TaskError::Decode(reason_of::<T>(&reason)))
}

/// Encodes by serde. A value that fails leaves nothing in `out`.
pub(super) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), TaskError> {
    let before = out.len();
    let done = match catch(|| value.serialize(&mut ser::Encoder::new(out))) {
        Ok(done) => done.map_err(|fault| reason_of::<T>(&fault)),
        Err(panic) => Err(reason_of::<T>(&format_args!("its `Serialize` panicked: {panic}"))),
    };
    done.map_err(|reason| {
        out.truncate(before);
        TaskError::Encode(reason)
    })
}

/// Decodes by serde, all of it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TaskError> {
    let done = match catch(|| de::whole(bytes)) {
        Ok(done) => done.map_err(|fault| reason_of::<T>(&fault)),
        Err(panic) => Err(reason_of::<T>(&format_args!("its `Deserialize` panicked: {panic}"))),
    };
    done.map_err(TaskError::Decode)
}

/// Takes the next length from the front of `bytes`, and as many bytes as it says. None when they are not there.
pub(super) fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut decoder = de::Decoder::new(bytes);
    let part = decoder.part().ok()?;
    *bytes = decoder.rest();
    Some(part)
}

fn reason_of<T>(error: &dyn std::fmt::Display) -> String {
    format!("`{}`: {error}", type_name::<T>())
}

fn is_same<T: 'static, U: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<U>()
}

/// The value itself, if its type is `U`. Decided when the program is built.
fn cast<T: 'static, U: 'static>(value: T) -> Result<U, T> {
    let mut slot = Some(value);
    let same = (&mut slot as &mut dyn Any).downcast_mut::<Option<U>>().and_then(Option::take);
    match (same, slot) {
        (Some(value), _) => Ok(value),
        (None, Some(value)) => Err(value),
        (None, None) => unreachable!("what was not taken is there"),
    }
}
