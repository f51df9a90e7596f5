//! Values to bytes. Owns the writing half of the format: little-endian varints, zigzag for signed ones, lengths before what
//! they count, no names.

use std::ops::Range;

use serde::{Serialize, ser};

use super::fault::Fault;

/// Writes to the end of a buffer.
pub(super) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        put_varint(value.into(), self.out);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn series(&mut self, said: Option<usize>) -> Series<'_, 'a> {
        let at = self.out.len();
        if let Some(said) = said {
            self.varint(said as u64);
        }
        Series { encoder: self, at, said, given: 0 }
    }
}

#[inline]
fn put_varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(super) fn put_length(length: usize, out: &mut Vec<u8>) {
    put_varint(length as u128, out);
}

/// Puts a length in the place of what is in `out` there, and moves up what is behind. Who knows the length before writes it
/// before.
pub(super) fn insert_length(place: Range<usize>, length: usize, out: &mut Vec<u8>) {
    let mut varint = Vec::with_capacity(10);
    put_length(length, &mut varint);
    out.splice(place, varint);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

impl<'e, 'a> ser::Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Series<'e, 'a>;
    type SerializeMap = Series<'e, 'a>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, v: bool) -> Result<(), Fault> {
        self.serialize_u8(v.into())
    }

    #[inline]
    fn serialize_i8(self, v: i8) -> Result<(), Fault> {
        self.serialize_u8(v as u8)
    }

    #[inline]
    fn serialize_i16(self, v: i16) -> Result<(), Fault> {
        self.serialize_i64(v.into())
    }

    #[inline]
    fn serialize_i32(self, v: i32) -> Result<(), Fault> {
        self.serialize_i64(v.into())
    }

    #[inline]
    fn serialize_i64(self, v: i64) -> Result<(), Fault> {
        self.varint(zigzag(v));
        Ok(())
    }

    fn serialize_i128(self, v: i128) -> Result<(), Fault> {
        self.serialize_u128(((v << 1) ^ (v >> 127)) as u128)
    }

    #[inline]
    fn serialize_u8(self, v: u8) -> Result<(), Fault> {
        self.out.push(v);
        Ok(())
    }

    #[inline]
    fn serialize_u16(self, v: u16) -> Result<(), Fault> {
        self.serialize_u64(v.into())
    }

    #[inline]
    fn serialize_u32(self, v: u32) -> Result<(), Fault> {
        self.serialize_u64(v.into())
    }

    #[inline]
    fn serialize_u64(self, v: u64) -> Result<(), Fault> {
        self.varint(v);
        Ok(())
    }

    fn serialize_u128(self, v: u128) -> Result<(), Fault> {
        put_varint(v, self.out);
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, v: f32) -> Result<(), Fault> {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, v: f64) -> Result<(), Fault> {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Fault> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), Fault> {
        self.bytes(v.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Fault> {
        self.bytes(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, variant: u32, _: &'static str) -> Result<(), Fault> {
        self.serialize_u32(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        self.varint(variant.into());
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Series<'e, 'a>, Fault> {
        Ok(self.series(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Series<'e, 'a>, Fault> {
        Ok(self.series(len))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Fault> {
        self.varint(variant.into());
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Fault> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Fault> {
        self.varint(variant.into());
        Ok(self)
    }
}

/// A sequence or a map. Where its length was not said before, it is put there at the end.
pub(super) struct Series<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    at: usize,
    said: Option<usize>,
    given: usize,
}

impl Series<'_, '_> {
    fn end(self) -> Result<(), Fault> {
        match self.said {
            None => insert_length(self.at..self.at, self.given, self.encoder.out),
            Some(said) if said == self.given => {}
            Some(said) => {
                let given = self.given;
                return Err(Fault::new(format_args!(
                    "its `Serialize` said that it has {said} elements, and gave {given}"
                )));
            }
        }
        Ok(())
    }
}

impl ser::SerializeSeq for Series<'_, '_> {
    type Ok = ();
    type Error = Fault;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.given += 1;
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Fault> {
        self.end()
    }
}

impl ser::SerializeMap for Series<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.given += 1;
        key.serialize(&mut *self.encoder)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), Fault> {
        self.end()
    }
}

macro_rules! fixed {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for &mut Encoder<'_> {
            type Ok = ();
            type Error = Fault;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    };
}

fixed!(SerializeTuple, serialize_element);
fixed!(SerializeTupleStruct, serialize_field);
fixed!(SerializeTupleVariant, serialize_field);

macro_rules! named {
    ($trait:ident) => {
        impl ser::$trait for &mut Encoder<'_> {
            type Ok = ();
            type Error = Fault;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                value.serialize(&mut **self)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Fault> {
                Err(left_out(name))
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    };
}

named!(SerializeStruct);
named!(SerializeStructVariant);

/// Whoever decodes would take the next field for it.
#[cold]
fn left_out(name: &str) -> Fault {
    Fault::new(format_args!(
        "the field `{name}` was left out (`skip_serializing_if`), and without names in the encoding nobody could tell; \
         encode it always, or send the value as text, as `serde_json::to_string` gives it"
    ))
}
