//! JSON out of any type that derives serde: what people see, and what is hashed.
//!
//! | Rust | JSON |
//! | --- | --- |
//! | `None`, an empty map, an empty list named `IfAny`, in a field | no member |
//! | a field named `""` | its members, beside those of the others |
//! | an enum whose name begins with a lower-case letter | an object: a member of that name holds the variant, the fields of the variant stand beside it |
//! | any other enum | the variant as text; with content, an object with one member of that name |
//! | `Timestamp` | RFC 3339 in UTC with three decimals |
//! | `Setting` | the JSON value that it holds |
//!
//! So a domain type describes its JSON by its derive alone, and the same derive serves formats that know no names.
//! In the canonical form (RFC 8785) members are sorted, and a `Setting` that is neither a flag nor a whole number stands
//! as text in a member `json`: no number there but integers, which everybody writes alike.

use ledger_core::descriptor::Setting;
use ledger_core::time::Timestamp;
use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, Serializer,
};

use serde_json::Error;

use super::order::MemberOrder;
use super::string::put_string;
use super::time::put_instant;
use super::{INTEGER_MAX, is_tag};

/// A value as JSON.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut text = Vec::with_capacity(256);
    append(&mut text, value)?;
    Ok(text)
}

/// A value as JSON.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    to_vec(value).and_then(|text| String::from_utf8(text).map_err(Error::custom))
}

/// Appends a value as JSON.
pub fn append<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    write(&mut Out { text, order: None }, value)
}

/// Appends a value as JSON in the form of RFC 8785.
pub(crate) fn append_canonical<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    write(&mut Out { text, order: Some(MemberOrder::default()) }, value)
}

fn write<T: Serialize + ?Sized>(out: &mut Out<'_>, value: &T) -> Result<(), Error> {
    value.serialize(ValueWriter { out, place: Destination::Value, form: Form::Plain })
}

type WriteResult = Result<(), Error>;

struct Out<'t> {
    text: &'t mut Vec<u8>,
    /// In the canonical form.
    order: Option<MemberOrder>,
}

/// The members of an object so far.
struct MembersSoFar {
    are_some: bool,
    /// How many members the objects have that this one is in.
    above: usize,
}

/// Where a value goes.
enum Destination<'o> {
    /// Here.
    Value,
    /// Into a member of that name.
    Member(&'o str, &'o mut MembersSoFar),
    /// Its members, beside those that are there.
    Beside(&'o mut MembersSoFar),
}

/// What a number or a text stands for.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Instant,
    Json,
    /// A list, left out when there is nothing in it.
    IfAny,
}

struct ValueWriter<'o, 't> {
    out: &'o mut Out<'t>,
    place: Destination<'o>,
    form: Form,
}

impl Out<'_> {
    fn text(&mut self, text: &str) {
        put_string(self.text, text);
    }

    fn name(&mut self, name: &str, members: &mut MembersSoFar) {
        if std::mem::replace(&mut members.are_some, true) {
            self.text.push(b',');
        }
        if let Some(order) = &mut self.order {
            order.begin(self.text.len());
        }
        self.text(name);
        self.text.push(b':');
    }

    /// Ends an object, its members in order.
    fn end(&mut self, members: &MembersSoFar) {
        if let Some(order) = &mut self.order {
            order.sort(members.above, self.text);
        }
        self.text.push(b'}');
    }
}

impl<'o, 't> ValueWriter<'o, 't> {
    /// Goes to where the value stands.
    fn begin(self) -> Result<&'o mut Out<'t>, Error> {
        match self.place {
            Destination::Value => {}
            Destination::Member(name, members) => self.out.name(name, members),
            Destination::Beside(_) => return Err(Error::custom("only members stand beside members")),
        }
        Ok(self.out)
    }

    fn object(self) -> Result<Object<'o, 't>, Error> {
        if let Destination::Beside(members) = self.place {
            return Ok(Object { out: self.out, members: ObjectMembers::Beside(members) });
        }
        let out = self.begin()?;
        out.text.push(b'{');
        let above = out.order.as_ref().map_or(0, MemberOrder::members);
        Ok(Object { out, members: ObjectMembers::Own(MembersSoFar { are_some: false, above }) })
    }

    fn list(self) -> Result<ListWriter<'o, 't>, Error> {
        let out = self.begin()?;
        out.text.push(b'[');
        Ok(ListWriter { out: Some(out), is_empty: true })
    }

    /// The object of a variant: a member named as the enum tells which, unless the enum has no name.
    fn variant(self, name: &'static str, variant: &'static str) -> Result<Object<'o, 't>, Error> {
        let mut object = self.object()?;
        if !name.is_empty() {
            object.member(name, variant)?;
        }
        Ok(object)
    }

    fn display(self, number: impl itoa::Integer) -> WriteResult {
        self.begin()?.text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        Ok(())
    }
}

impl<'o, 't> Serializer for ValueWriter<'o, 't> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = ListWriter<'o, 't>;
    type SerializeTuple = ListWriter<'o, 't>;
    type SerializeTupleStruct = ListWriter<'o, 't>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = MapWriter<'o, 't>;
    type SerializeStruct = Object<'o, 't>;
    type SerializeStructVariant = Object<'o, 't>;

    fn serialize_bool(self, flag: bool) -> WriteResult {
        self.begin()?.text.extend_from_slice(if flag { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> WriteResult {
        self.display(number)
    }

    fn serialize_i16(self, number: i16) -> WriteResult {
        self.display(number)
    }

    fn serialize_i32(self, number: i32) -> WriteResult {
        self.display(number)
    }

    fn serialize_i64(self, number: i64) -> WriteResult {
        if self.form == Form::Instant {
            let text = &mut *self.begin()?.text;
            text.push(b'"');
            put_instant(text, Timestamp::from_millis(number));
            text.push(b'"');
            return Ok(());
        }
        self.display(number)
    }

    fn serialize_u8(self, number: u8) -> WriteResult {
        self.display(number)
    }

    fn serialize_u16(self, number: u16) -> WriteResult {
        self.display(number)
    }

    fn serialize_u32(self, number: u32) -> WriteResult {
        self.display(number)
    }

    fn serialize_u64(self, number: u64) -> WriteResult {
        self.display(number)
    }

    fn serialize_f32(self, number: f32) -> WriteResult {
        self.serialize_f64(number.into())
    }

    #[expect(clippy::disallowed_methods, reason = "a number alone has no form of its own here")]
    fn serialize_f64(self, number: f64) -> WriteResult {
        serde_json::to_writer(&mut *self.begin()?.text, &number)
    }

    fn serialize_char(self, letter: char) -> WriteResult {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> WriteResult {
        if self.form == Form::Json {
            return self.json(text);
        }
        self.begin()?.text(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> WriteResult {
        Err(Error::custom("bytes are no JSON"))
    }

    fn serialize_none(self) -> WriteResult {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> WriteResult {
        value.serialize(self)
    }

    fn serialize_unit(self) -> WriteResult {
        if let Destination::Value = self.place {
            self.out.text.extend_from_slice(b"null");
        }
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> WriteResult {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> WriteResult {
        if is_tag(name) {
            return SerializeStruct::end(self.variant(name, variant)?);
        }
        self.begin()?.text(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> WriteResult {
        let form = match name {
            "Timestamp" => Form::Instant,
            "Setting" => Form::Json,
            "IfAny" => Form::IfAny,
            _ => Form::Plain,
        };
        value.serialize(Self { form, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> WriteResult {
        if is_tag(name) {
            let mut object = self.variant(name, variant)?;
            object.member("", value)?;
            return SerializeStruct::end(object);
        }
        let mut object = self.object()?;
        object.member(variant, value)?;
        SerializeStruct::end(object)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ListWriter<'o, 't>, Error> {
        if self.form == Form::IfAny && length == Some(0) {
            return Ok(ListWriter { out: None, is_empty: true });
        }
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<ListWriter<'o, 't>, Error> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<ListWriter<'o, 't>, Error> {
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

    fn serialize_map(self, length: Option<usize>) -> Result<MapWriter<'o, 't>, Error> {
        let object = match self.place {
            Destination::Member(..) if length == Some(0) => None,
            _ => Some(self.object()?),
        };
        Ok(MapWriter { object, key: String::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'o, 't>, Error> {
        self.object()
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Object<'o, 't>, Error> {
        self.variant(name, variant)
    }
}

impl ValueWriter<'_, '_> {
    /// The value that a setting holds; empty text for none.
    fn json(self, text: &str) -> WriteResult {
        if text.is_empty() {
            return self.serialize_unit();
        }
        if self.out.order.is_some() && !is_plain(&Setting::from_json(text)) {
            let mut object = ValueWriter { form: Form::Plain, ..self }.object()?;
            object.member("json", text)?;
            return SerializeStruct::end(object);
        }
        self.begin()?.text.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Everybody writes it alike.
fn is_plain(setting: &Setting) -> bool {
    match setting {
        Setting::Absent | Setting::Null | Setting::Bool(_) => true,
        Setting::Whole(number) => number.unsigned_abs() <= INTEGER_MAX,
        Setting::Other(_) => false,
    }
}

pub(crate) struct Object<'o, 't> {
    out: &'o mut Out<'t>,
    members: ObjectMembers<'o>,
}

enum ObjectMembers<'o> {
    Own(MembersSoFar),
    /// Those of the object that this one's members stand in.
    Beside(&'o mut MembersSoFar),
}

impl Object<'_, '_> {
    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> WriteResult {
        let members = match &mut self.members {
            ObjectMembers::Own(members) => members,
            ObjectMembers::Beside(members) => &mut **members,
        };
        let place =
            if name.is_empty() { Destination::Beside(members) } else { Destination::Member(name, members) };
        value.serialize(ValueWriter { out: self.out, place, form: Form::Plain })
    }
}

impl SerializeStruct for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> WriteResult {
        self.member(name, value)
    }

    fn end(self) -> WriteResult {
        if let ObjectMembers::Own(members) = self.members {
            self.out.end(&members);
        }
        Ok(())
    }
}

impl SerializeStructVariant for Object<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> WriteResult {
        self.member(name, value)
    }

    fn end(self) -> WriteResult {
        SerializeStruct::end(self)
    }
}

/// An object whose names come with its values; none if it is left out.
pub(crate) struct MapWriter<'o, 't> {
    object: Option<Object<'o, 't>>,
    key: String,
}

impl SerializeMap for MapWriter<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> WriteResult {
        let text = to_vec(key)?;
        self.key = serde_json::from_slice(&text)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        self.object.as_mut().map_or(Ok(()), |object| object.member(&self.key, value))
    }

    fn end(self) -> WriteResult {
        self.object.map_or(Ok(()), SerializeStruct::end)
    }
}

/// A list; none if it is left out.
pub(crate) struct ListWriter<'o, 't> {
    out: Option<&'o mut Out<'t>>,
    is_empty: bool,
}

impl ListWriter<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> WriteResult {
        let Some(out) = self.out.as_deref_mut() else { return Ok(()) };
        if !std::mem::replace(&mut self.is_empty, false) {
            out.text.push(b',');
        }
        item.serialize(ValueWriter { out, place: Destination::Value, form: Form::Plain })
    }
}

macro_rules! lists {
    ($($how:ident::$add:ident)+) => {$(
        impl $how for ListWriter<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $add<T: Serialize + ?Sized>(&mut self, item: &T) -> WriteResult {
                self.item(item)
            }

            fn end(self) -> WriteResult {
                self.out.map_or(Ok(()), |out| {
                    out.text.push(b']');
                    Ok(())
                })
            }
        }
    )+};
}

lists! { SerializeSeq::serialize_element SerializeTuple::serialize_element SerializeTupleStruct::serialize_field }
