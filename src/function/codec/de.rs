//! Bytes to values. Owns the reading half of the format. Trusts no length: what is not there is not read, and nothing is
//! allocated for it.

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::fault::Fault;

/// Decodes a value from all of the bytes.
pub(super) fn whole<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut decoder = Decoder::new(bytes);
    let value = T::deserialize(&mut decoder)?;
    match decoder.bytes.len() {
        0 => Ok(value),
        more => Err(Fault::new(format_args!(
            "{more} bytes are left over; its `Deserialize` does not read what its `Serialize` wrote"
        ))),
    }
}

/// Reads from the front of a slice.
pub(super) struct Decoder<'de> {
    bytes: &'de [u8],
}

impl<'de> Decoder<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(self) -> &'de [u8] {
        self.bytes
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'de [u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or_else(too_short)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(too_short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match *self.bytes {
            [byte @ 0..0x80, ref rest @ ..] => {
                self.bytes = rest;
                Ok(byte.into())
            }
            _ => self.long_varint().and_then(fit),
        }
    }

    fn long_varint(&mut self) -> Result<u128, Fault> {
        let mut value = 0;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(out_of_range());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(out_of_range())
    }

    #[inline]
    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, Fault> {
        self.varint().and_then(fit)
    }

    #[inline]
    fn signed<T: TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let value = self.varint()?;
        fit((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// As many bytes as the length before them says.
    pub(super) fn part(&mut self) -> Result<&'de [u8], Fault> {
        let length = self.number()?;
        self.take(length)
    }

    fn str(&mut self) -> Result<&'de str, Fault> {
        std::str::from_utf8(self.part()?).map_err(Fault::new)
    }

    fn series(&mut self) -> Result<Series<'_, 'de>, Fault> {
        let left: usize = self.number()?;
        // Elements of no size take no bytes; but nobody sends billions of them, and to count them takes for ever.
        if left > self.bytes.len().saturating_add(u32::MAX as usize) {
            return Err(too_short());
        }
        Ok(Series { decoder: self, left })
    }
}

#[inline]
fn fit<T: TryFrom<S>, S>(value: S) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| out_of_range())
}

#[cold]
fn too_short() -> Fault {
    Fault::new("the data ends too early")
}

#[cold]
fn out_of_range() -> Fault {
    Fault::new("a number is out of its range")
}

#[cold]
fn not_told() -> Fault {
    Fault::new(
        "it asks the data what comes next, as untagged, internally tagged and flattened types and `serde_json::Value` do, \
         and the encoding does not say; send such a value as text, as `serde_json::to_string` gives it",
    )
}

macro_rules! numbers {
    ($($deserialize:ident, $visit:ident, $take:ident;)*) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            visitor.$visit(self.$take()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = Fault;

    numbers! {
        deserialize_u16, visit_u16, number;
        deserialize_u32, visit_u32, number;
        deserialize_u64, visit_u64, number;
        deserialize_i16, visit_i16, signed;
        deserialize_i32, visit_i32, signed;
        deserialize_i64, visit_i64, signed;
        deserialize_u8, visit_u8, byte;
        deserialize_u128, visit_u128, long_varint;
        deserialize_str, visit_borrowed_str, str;
        deserialize_string, visit_borrowed_str, str;
        deserialize_identifier, visit_u32, number; // the tag of an adjacently tagged enum
        deserialize_bytes, visit_borrowed_bytes, part;
        deserialize_byte_buf, visit_borrowed_bytes, part;
        deserialize_seq, visit_seq, series;
        deserialize_map, visit_map, series;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(not_told())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(not_told())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(out_of_range()),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_i8(self.byte()? as i8)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.long_varint()?;
        visitor.visit_i128((value >> 1) as i128 ^ -((value & 1) as i128))
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f32(f32::from_le_bytes(self.array()?))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f64(f64::from_le_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mut chars = self.str()?.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) => visitor.visit_char(one),
            _ => Err(Fault::new("a character is not one")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            _ => Err(out_of_range()),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Series { decoder: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }
}

/// The elements of a sequence, a map, a tuple or a struct.
struct Series<'d, 'de> {
    decoder: &'d mut Decoder<'de>,
    left: usize,
}

impl Series<'_, '_> {
    /// For who allocates by it: elements that are not there are not announced.
    fn hint(&self) -> usize {
        self.left.min(self.decoder.bytes.len())
    }
}

impl<'de> de::SeqAccess<'de> for Series<'_, 'de> {
    type Error = Fault;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                seed.deserialize(&mut *self.decoder).map(Some)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> de::MapAccess<'de> for Series<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> de::EnumAccess<'de> for &mut Decoder<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let variant: u32 = self.number()?;
        let value = seed.deserialize(IntoDeserializer::<Fault>::into_deserializer(variant))?;
        Ok((value, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Decoder<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_tuple(self, fields.len(), visitor)
    }
}
