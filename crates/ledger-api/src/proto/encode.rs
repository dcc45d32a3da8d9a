//! A value as the message that its JSON mirrors, written as serde goes through it.
//!
//! The conventions are those of [`ledger_record::json`]: nothing for `None`, the members of a field named `""` beside the
//! others, a lower-case enum as an object with its tag. What is a default and has no presence is left out.

use ledger_record::json::time::parse_instant;
use ledger_record::json::{self, is_tag};
use serde::Serialize;
use serde::de::value::Error;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, Serializer,
};
use serde_json::Value as Json;

use super::schema::{Field, Kind, Message, schema};
use super::wire::{
    FIXED_64, LENGTH_DELIMITED, VARINT, begin_nested, end_nested, put_instant, put_json, put_key,
    put_members, put_text, put_varint,
};

/// The bytes of a value as a message.
pub(crate) fn to_vec(message: &'static Message, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(512);
    append(&mut bytes, message, value)?;
    Ok(bytes)
}

fn append(out: &mut Vec<u8>, message: &'static Message, value: &impl Serialize) -> Result<(), Error> {
    value.serialize(ValueEncoder { out, place: FieldPlace::Members(message) })
}

/// Appends a value as gRPC frames it: not compressed, its length, its bytes.
pub(crate) fn append_framed(
    out: &mut Vec<u8>,
    message: &'static Message,
    value: &impl Serialize,
) -> Result<(), Error> {
    out.extend_from_slice(&[0; 5]);
    let begin = out.len();
    append(out, message, value)?;
    let length = u32::try_from(out.len() - begin).map_err(Error::custom)?;
    out[begin - 4..begin].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Where a value goes.
#[derive(Clone, Copy)]
enum FieldPlace {
    /// Its members are those of this message, whose bytes these are.
    Members(&'static Message),
    /// Into a field.
    Field(&'static Field),
    /// Into a field that is a list, once more.
    Item(&'static Field),
}

struct ValueEncoder<'o> {
    out: &'o mut Vec<u8>,
    place: FieldPlace,
}

type Encoded = Result<(), Error>;

impl<'o> ValueEncoder<'o> {
    /// The field that takes a single value, and whether it is written even if it is the default.
    fn field(&self) -> Result<(&'static Field, bool), Error> {
        match self.place {
            FieldPlace::Members(message) => Err(Error::custom(format_args!("{} is a message", message.name))),
            FieldPlace::Field(field) if field.is_repeated => {
                Err(Error::custom(format_args!("{} is a list", field.name)))
            }
            FieldPlace::Field(field) => Ok((field, field.has_presence)),
            FieldPlace::Item(field) => Ok((field, true)),
        }
    }

    fn number(self, number: u64) -> Encoded {
        let (field, always) = self.field()?;
        match field.kind {
            Kind::Bool | Kind::Signed | Kind::Unsigned | Kind::Enum(_) if always || number != 0 => {
                put_key(self.out, field.number, VARINT);
                put_varint(self.out, number);
            }
            Kind::Bool | Kind::Signed | Kind::Unsigned | Kind::Enum(_) => {}
            Kind::Instant => put_instant(self.out, field.number, number.cast_signed()),
            #[expect(clippy::cast_precision_loss, reason = "as JSON readers do")]
            Kind::Double => return self.serialize_f64(number as f64),
            _ => return Err(misfit(field, "a number")),
        }
        Ok(())
    }

    fn object(self) -> Result<ObjectEncoder<'o>, Error> {
        let (message, begin) = match self.place {
            FieldPlace::Members(message) => (message, None),
            FieldPlace::Field(Field { kind: Kind::Message(at), number, is_repeated: false, .. })
            | FieldPlace::Item(Field { kind: Kind::Message(at), number, .. }) => {
                (schema().message(*at), Some(begin_nested(self.out, *number)))
            }
            FieldPlace::Field(field) | FieldPlace::Item(field) => return Err(misfit(field, "an object")),
        };
        Ok(ObjectEncoder { out: self.out, message, begin })
    }

    fn list(self) -> Result<ListEncoder<'o>, Error> {
        match self.place {
            FieldPlace::Field(field) if field.is_repeated => Ok(ListEncoder { out: self.out, field }),
            FieldPlace::Field(field) | FieldPlace::Item(field) => Err(misfit(field, "a list")),
            FieldPlace::Members(message) => Err(Error::custom(format_args!("{} is no list", message.name))),
        }
    }

    /// The object of a variant, its tag first, unless the enum has no name.
    fn variant(self, name: &'static str, variant: &'static str) -> Result<ObjectEncoder<'o>, Error> {
        let mut object = self.object()?;
        if !name.is_empty() {
            object.member(name, variant)?;
        }
        Ok(object)
    }
}

fn misfit(field: &Field, what: &str) -> Error {
    Error::custom(format_args!("{} does not take {what}", field.name))
}

/// A value in a member: there, what is absent can be told from `null`.
struct Alone<'v, T: ?Sized>(&'v T);

impl<T: Serialize + ?Sized> Serialize for Alone<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_struct("Alone", 1)?;
        object.serialize_field("value", self.0)?;
        object.end()
    }
}

impl<'o> Serializer for ValueEncoder<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = ListEncoder<'o>;
    type SerializeTuple = ListEncoder<'o>;
    type SerializeTupleStruct = ListEncoder<'o>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = MapEncoder<'o>;
    type SerializeStruct = ObjectEncoder<'o>;
    type SerializeStructVariant = ObjectEncoder<'o>;

    fn serialize_bool(self, flag: bool) -> Encoded {
        self.number(flag.into())
    }

    fn serialize_i8(self, number: i8) -> Encoded {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Encoded {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Encoded {
        self.serialize_i64(number.into())
    }

    fn serialize_i64(self, number: i64) -> Encoded {
        self.number(number.cast_unsigned())
    }

    fn serialize_u8(self, number: u8) -> Encoded {
        self.number(number.into())
    }

    fn serialize_u16(self, number: u16) -> Encoded {
        self.number(number.into())
    }

    fn serialize_u32(self, number: u32) -> Encoded {
        self.number(number.into())
    }

    fn serialize_u64(self, number: u64) -> Encoded {
        self.number(number)
    }

    fn serialize_f32(self, number: f32) -> Encoded {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Encoded {
        let (field, always) = self.field()?;
        if field.kind != Kind::Double {
            return Err(misfit(field, "a fraction"));
        }
        if always || number != 0.0 {
            put_key(self.out, field.number, FIXED_64);
            self.out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }

    fn serialize_char(self, letter: char) -> Encoded {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Encoded {
        let (field, always) = self.field()?;
        match field.kind {
            Kind::Text if always || !text.is_empty() => put_text(self.out, field.number, text),
            Kind::Text => {}
            Kind::Enum(at) => {
                let unknown = || Error::custom(format_args!("{} has no word {text}", field.name));
                let number = schema().words(at).number(text).ok_or_else(unknown)?;
                return self.number(i64::from(number).cast_unsigned());
            }
            Kind::Instant => {
                let instant = parse_instant(text).map_err(Error::custom)?;
                put_instant(self.out, field.number, instant.as_millis());
            }
            _ => return Err(misfit(field, "a text")),
        }
        Ok(())
    }

    /// A message that is encoded already.
    fn serialize_bytes(self, message: &[u8]) -> Encoded {
        match self.place {
            FieldPlace::Field(field @ Field { kind: Kind::Message(_), .. }) => {
                put_key(self.out, field.number, LENGTH_DELIMITED);
                put_varint(self.out, message.len() as u64);
                self.out.extend_from_slice(message);
                Ok(())
            }
            _ => Err(Error::custom("bytes stand for a message only")),
        }
    }

    fn serialize_none(self) -> Encoded {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Encoded {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Encoded {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Encoded {
        Ok(())
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Encoded {
        if is_tag(name) {
            return SerializeStruct::end(self.variant(name, variant)?);
        }
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Encoded {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Encoded {
        if is_tag(name) {
            let mut object = self.variant(name, variant)?;
            object.member("", value)?;
            return SerializeStruct::end(object);
        }
        let mut object = self.object()?;
        object.member(variant, value)?;
        SerializeStruct::end(object)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<ListEncoder<'o>, Error> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<ListEncoder<'o>, Error> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<ListEncoder<'o>, Error> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error::custom("the fields of a variant have names"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapEncoder<'o>, Error> {
        match self.place {
            FieldPlace::Field(field @ Field { kind: Kind::Map, .. }) => {
                Ok(MapEncoder { out: self.out, field, entry: 0 })
            }
            FieldPlace::Field(field) | FieldPlace::Item(field) => Err(misfit(field, "a map")),
            FieldPlace::Members(message) => Err(Error::custom(format_args!("{} is no map", message.name))),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<ObjectEncoder<'o>, Error> {
        self.object()
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<ObjectEncoder<'o>, Error> {
        self.variant(name, variant)
    }
}

struct ObjectEncoder<'o> {
    out: &'o mut Vec<u8>,
    message: &'static Message,
    /// Where its bytes begin, unless it is the outermost, or its members stand beside others.
    begin: Option<usize>,
}

impl ObjectEncoder<'_> {
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Encoded {
        if name.is_empty() {
            return value.serialize(ValueEncoder { out: self.out, place: FieldPlace::Members(self.message) });
        }
        let unknown = || Error::custom(format_args!("{} has no field for {name}", self.message.name));
        let field = self.message.field(name).ok_or_else(unknown)?;
        if let Kind::Json { is_object } = field.kind {
            return self.json(field, is_object, value);
        }
        value.serialize(ValueEncoder { out: self.out, place: FieldPlace::Field(field) })
    }

    /// What can be any JSON is written as JSON first: it is rare.
    fn json<T: Serialize + ?Sized>(&mut self, field: &Field, is_object: bool, value: &T) -> Encoded {
        let text = json::to_vec(&Alone(value)).map_err(Error::custom)?;
        let alone: serde_json::Map<String, Json> = serde_json::from_slice(&text).map_err(Error::custom)?;
        let Some(value) = alone.get("value") else { return Ok(()) };
        let begin = begin_nested(self.out, field.number);
        match (is_object, value) {
            (true, Json::Object(members)) => put_members(self.out, members),
            (true, _) => return Err(misfit(field, "what is no object")),
            (false, value) => put_json(self.out, value),
        }
        end_nested(self.out, begin);
        Ok(())
    }
}

impl SerializeStruct for ObjectEncoder<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Encoded {
        self.member(name, value)
    }

    fn end(self) -> Encoded {
        if let Some(begin) = self.begin {
            end_nested(self.out, begin);
        }
        Ok(())
    }
}

impl SerializeStructVariant for ObjectEncoder<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Encoded {
        self.member(name, value)
    }

    fn end(self) -> Encoded {
        SerializeStruct::end(self)
    }
}

struct ListEncoder<'o> {
    out: &'o mut Vec<u8>,
    field: &'static Field,
}

impl ListEncoder<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Encoded {
        value.serialize(ValueEncoder { out: self.out, place: FieldPlace::Item(self.field) })
    }
}

macro_rules! list {
    ($($kind:ident $item:ident;)+) => {$(
        impl $kind for ListEncoder<'_> {
            type Ok = ();
            type Error = Error;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Encoded {
                self.item(value)
            }

            fn end(self) -> Encoded {
                Ok(())
            }
        }
    )+};
}

list! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
}

/// Texts to texts, an entry each.
struct MapEncoder<'o> {
    out: &'o mut Vec<u8>,
    field: &'static Field,
    /// Where the entry begins.
    entry: usize,
}

/// The key, or the value, of an entry.
static ENTRY: [Field; 2] = [entry_part(1), entry_part(2)];

const fn entry_part(number: u32) -> Field {
    Field {
        name: String::new(),
        comment: String::new(),
        number,
        kind: Kind::Text,
        is_repeated: false,
        has_presence: true,
    }
}

impl SerializeMap for MapEncoder<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Encoded {
        self.entry = begin_nested(self.out, self.field.number);
        key.serialize(ValueEncoder { out: self.out, place: FieldPlace::Field(&ENTRY[0]) })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Encoded {
        value.serialize(ValueEncoder { out: self.out, place: FieldPlace::Field(&ENTRY[1]) })?;
        end_nested(self.out, self.entry);
        Ok(())
    }

    fn end(self) -> Encoded {
        Ok(())
    }
}
