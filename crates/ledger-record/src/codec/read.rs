//! Serde's way into the bytes that bincode writes, for the types that are stored.

use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::ValueReader;

/// What is wrong with the bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(Box<str>);

impl Error for Malformed {
    #[cold]
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string().into())
    }
}

/// Bytes from here on do not stand for themselves as integers: they tell in how many bytes the integer follows.
const IN_TWO_BYTES: u8 = 251;
const IN_FOUR_BYTES: u8 = 252;
const IN_EIGHT_BYTES: u8 = 253;

impl<'de> ValueReader<'de> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn integer(&mut self) -> Result<u64, Malformed> {
        let (number, least): (u64, u64) = match self.byte()? {
            IN_TWO_BYTES => (u16::from_le_bytes(self.array()?).into(), IN_TWO_BYTES.into()),
            IN_FOUR_BYTES => (u32::from_le_bytes(self.array()?).into(), 1 << 16),
            IN_EIGHT_BYTES => (u64::from_le_bytes(self.array()?), 1 << 32),
            byte @ ..IN_TWO_BYTES => (byte.into(), 0),
            _ => return Err(Malformed::custom("an integer of more than eight bytes")),
        };
        if number < least {
            Err(Malformed::custom("an integer takes more bytes than it needs"))
        } else {
            Ok(number)
        }
    }

    /// Zero, minus one, one, minus two and so on are counted from zero.
    #[inline]
    fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.integer()?;
        let half = (number >> 1).cast_signed();
        Ok(if number & 1 == 0 { half } else { !half })
    }

    #[inline]
    fn length(&mut self) -> Result<usize, Malformed> {
        self.integer()?.try_into().map_err(Malformed::custom)
    }

    #[inline]
    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::custom("a flag is neither 0 nor 1")),
        }
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'de [u8], Malformed> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(ended)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cold]
fn ended() -> Malformed {
    Malformed::custom("it ends early")
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $read:ident)+) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
            visitor.$visit(self.$read()?.try_into().map_err(Malformed::custom)?)
        }
    )+};
}

impl<'de> Deserializer<'de> for &mut ValueReader<'de> {
    type Error = Malformed;

    integers! {
        deserialize_u16 visit_u16 integer
        deserialize_u32 visit_u32 integer
        deserialize_u64 visit_u64 integer
        deserialize_i32 visit_i32 signed
        deserialize_i64 visit_i64 signed
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Malformed> {
        Err(Malformed::custom("a type of a kind that is never stored"))
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_bool(self.flag()?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_str(std::str::from_utf8(self.bytes()?).map_err(Malformed::custom)?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let left = self.length()?;
        visitor.visit_seq(FieldsInOrder { reader: self, left })
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let left = self.length()?;
        visitor.visit_map(FieldsInOrder { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_seq(FieldsInOrder { reader: self, left })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u128 f32 f64 char byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

/// Parts that follow one another: fields, elements, or keys and values.
struct FieldsInOrder<'r, 'de> {
    reader: &'r mut ValueReader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for FieldsInOrder<'_, 'de> {
    type Error = Malformed;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for FieldsInOrder<'_, 'de> {
    type Error = Malformed;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Malformed> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Malformed> {
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> EnumAccess<'de> for &mut ValueReader<'de> {
    type Error = Malformed;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Malformed> {
        let variant: u32 = self.integer()?.try_into().map_err(Malformed::custom)?;
        let variant: U32Deserializer<Malformed> = variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut ValueReader<'de> {
    type Error = Malformed;

    #[inline]
    fn unit_variant(self) -> Result<(), Malformed> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Malformed> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
