//! JSON into any type that derives serde, by the rules that [`super::write`] writes it by.
//!
//! The names of the fields come from the type, so only those are looked up; what else there is, is left alone. `null`
//! and a member that is not there are absent. A caller that must refuse anything else reads, writes again and compares.

use serde::de::value::{I64Deserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::is_tag;
use super::time::parse_instant;

/// Reads a value.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let value: Value = serde_json::from_str(text)?;
    T::deserialize(JsonReader::Value(&value))
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum JsonReader<'a> {
    /// This value.
    Value(&'a Value),
    /// Its members are beside those of others.
    Beside(&'a Map<String, Value>),
}

impl<'a> JsonReader<'a> {
    fn value(self) -> Result<&'a Value, Error> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Beside(_) => Err(Error::custom("a value without a name")),
        }
    }

    fn members(self) -> Result<&'a Map<String, Value>, Error> {
        match self {
            Self::Value(Value::Object(members)) | Self::Beside(members) => Ok(members),
            Self::Value(_) => Err(Error::custom("not an object")),
        }
    }

    fn text(self) -> Result<&'a str, Error> {
        self.value()?.as_str().ok_or_else(|| Error::custom("not text"))
    }
}

/// Leaves to `serde_json` what it reads alike.
macro_rules! as_json {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.value()?.$method(visitor)
        }
    )+};
}

impl<'de> Deserializer<'de> for JsonReader<'de> {
    type Error = Error;

    as_json! {
        deserialize_any deserialize_bool deserialize_i64 deserialize_u64 deserialize_str deserialize_unit
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Value(Value::Null) => visitor.visit_none(),
            Self::Value(_) | Self::Beside(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            "Timestamp" => {
                let instant = parse_instant(self.text()?).map_err(Error::custom)?;
                visitor.visit_newtype_struct(I64Deserializer::new(instant.as_millis()))
            }
            "Setting" => visitor.visit_newtype_struct(self.setting()?.into_deserializer()),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = self.value()?.as_array().ok_or_else(|| Error::custom("not a list"))?;
        visitor.visit_seq(SeqDeserializer::new(items.iter().map(JsonReader::Value)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.members()?.iter().map(|(name, value)| (name.as_str(), JsonReader::Value(value)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let members = self.members()?;
        let value_of = |name: &&'static str| match *name {
            "" => Some(JsonReader::Beside(members)),
            name => members.get(name).map(JsonReader::Value),
        };
        let given = fields.iter().filter_map(|name| Some((*name, value_of(name)?)));
        visitor.visit_map(MapDeserializer::new(given))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !is_tag(name) {
            return self.value()?.deserialize_enum(name, variants, visitor);
        }
        let members = self.members()?;
        let variant = members.get(name).ok_or_else(|| Error::missing_field(name))?;
        visitor.visit_enum(Variant { variant: JsonReader::Value(variant).text()?, members })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char string bytes byte_buf unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for JsonReader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl JsonReader<'_> {
    /// The canonical text of a setting.
    fn setting(self) -> Result<String, Error> {
        match self.value()? {
            Value::Object(members) => {
                let text = members.get("json").and_then(Value::as_str);
                text.map(str::to_owned).ok_or_else(|| Error::missing_field("json"))
            }
            value => Ok(value.to_string()),
        }
    }
}

struct Variant<'a> {
    variant: &'a str,
    members: &'a Map<String, Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(JsonReader::Beside(self.members))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("the fields of a variant have names"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        JsonReader::Beside(self.members).deserialize_struct("", fields, visitor)
    }
}
