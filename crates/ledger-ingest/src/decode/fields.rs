//! The fields of an event as they arrived, by their native names.
//!
//! All encodings are read into [`EventFields`], and only [`crate::decode::event`] makes an event of them. So the same fault has
//! the same reason everywhere; what differs is only how the sender calls the field, which is the [`Dialect`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decode::value::{FieldValue, Members, Name, is_absent, take_last};

// Whether a name is that of a field of `event.proto`, as JSON has it.
include!(concat!(env!("OUT_DIR"), "/event_field.rs"));

/// Members of Connect payloads and hooks that no event has.
const FOREIGN_FIELDS: [&str; 3] = ["key", "baseUrl", "location"];

const SPEC_VERSION: &str = "specversion";

/// How the sender calls the fields, and where it has them.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// The fields that a `CloudEvent` has elsewhere or calls otherwise, by their native names. `id` and `time` are
    /// attributes of that name in every one.
    pub(crate) origins: &'static [(&'static str, FieldOrigin)],
    /// It has all others in its data, by their native names.
    pub(crate) has_others: bool,
}

/// Where a `CloudEvent` has a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldOrigin {
    /// In the attribute of this name.
    Attribute(&'static str),
    /// In the member of this name of its data.
    Data(&'static str),
}

impl Dialect {
    /// That of native JSON and of protobuf.
    pub(crate) const NATIVE: &Self = &Self { origins: &[], has_others: true };

    /// The path of a field as the sender knows it, if it is not the native one.
    pub(crate) fn path_of(&self, native: &str) -> Option<String> {
        let (_, origin) = self.origins.iter().find(|(name, _)| *name == native)?;
        Some(match origin {
            FieldOrigin::Attribute(name) => (*name).to_owned(),
            FieldOrigin::Data(name) => format!("data.{name}"),
        })
    }
}

/// The known fields of one message.
#[derive(Debug)]
pub(crate) struct EventFields<'a> {
    pub(crate) dialect: &'static Dialect,
    pub(crate) members: Members<'a>,
}

impl<'a> EventFields<'a> {
    pub(crate) fn native(members: Members<'a>) -> Self {
        Self { dialect: Dialect::NATIVE, members }
    }

    /// Takes the fields out of the attributes and the data of a `CloudEvent`, whose type was read already.
    pub(crate) fn join(
        dialect: &'static Dialect,
        event_type: FieldValue<'a>,
        mut attributes: Members<'a>,
        mut data: Members<'a>,
    ) -> Self {
        let mut members = Vec::with_capacity(12);
        members.push((Cow::Borrowed("type"), event_type));
        for name in ["id", "time"] {
            members.push((Cow::Borrowed(name), take_last(&mut attributes, name)));
        }
        for (native, origin) in dialect.origins {
            let value = match origin {
                FieldOrigin::Attribute(name) => take_last(&mut attributes, name),
                FieldOrigin::Data(name) => take_last(&mut data, name),
            };
            members.push((Cow::Borrowed(*native), value));
        }
        if dialect.has_others {
            // The last of equal names counts.
            data.append(&mut members);
            return Self { dialect, members: data };
        }
        Self { dialect, members }
    }
}

/// More members than there are known names.
const MEMBERS_MAX: usize = 64;

/// Appends a member of a known name. An object that repeats its names takes no more memory than one that does not.
#[inline]
pub(crate) fn push<'a>(members: &mut Members<'a>, name: &'static str, value: FieldValue<'a>) {
    if members.len() == MEMBERS_MAX {
        drop_repeated(members);
    }
    members.push((Cow::Borrowed(name), value));
}

#[cold]
fn drop_repeated(members: &mut Members<'_>) {
    for at in (0..members.len()).rev() {
        if members[at + 1..].iter().any(|(later, _)| *later == members[at].0) {
            members.remove(at);
        }
    }
}

/// Whether the members of an object make it a structured `CloudEvent`.
pub(crate) fn are_cloud_event(members: &Members<'_>) -> bool {
    !is_absent(members, SPEC_VERSION)
}

/// The name of a field of an event or of a foreign payload, or of what makes a `CloudEvent` of an object.
pub(crate) fn known_field(name: &str) -> Option<&'static str> {
    event_field(name)
        .or_else(|| FOREIGN_FIELDS.into_iter().chain([SPEC_VERSION]).find(|known| *known == name))
}

/// Reads the members of an object that have a known name, in their order; others are skipped.
#[derive(Clone, Copy)]
pub(crate) struct KnownMembers(pub(crate) fn(&str) -> Option<&'static str>);

impl<'de> DeserializeSeed<'de> for KnownMembers {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for KnownMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some(Name(name)) = object.next_key()? {
            match self.0(&name) {
                Some("migrationId") => {
                    let value = read_migration_id(object.next_value()?).map_err(A::Error::custom)?;
                    push(&mut members, "migrationId", value);
                }
                Some(name) => push(&mut members, name, object.next_value()?),
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

/// The id of a migration: a whole number is its digits. A double would lose the last of many, and be another id.
fn read_migration_id(json: &RawValue) -> Result<FieldValue<'_>, serde_json::Error> {
    let text = json.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(FieldValue::Text(Cow::Borrowed(text)));
    }
    Ok(match serde_json::from_str(text)? {
        FieldValue::Whole(number) => FieldValue::Text(Cow::Owned(number.to_string())),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_take_no_room_and_the_last_one_counts() {
        let mut members = Members::new();
        for number in 0..10_000 {
            push(&mut members, if number % 3 == 0 { "id" } else { "type" }, FieldValue::Whole(number));
        }
        assert!(members.len() <= MEMBERS_MAX, "{}", members.len());
        assert_eq!(take_last(&mut members, "id"), FieldValue::Whole(9_999));
        assert_eq!(take_last(&mut members, "type"), FieldValue::Whole(9_998));
    }
}
