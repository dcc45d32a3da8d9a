//! A value as it arrived, before it is known whether it belongs there.
//!
//! Every encoding is read into these, so that one reader judges them all. Text borrows from the message
//! where the encoding allows it; numbers keep their value and forget their spelling.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use ledger_core::time::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::redact;

/// A JSON-like value, or one that only protobuf has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum FieldValue<'a> {
    /// Not there.
    #[default]
    Absent,
    Null,
    Bool(bool),
    /// A whole number that fits.
    Whole(i64),
    /// Every other number, as the nearest double: not whole, or from ±2^53 on and so perhaps another.
    Number(f64),
    /// A whole number beyond `i64`, exactly.
    Large(u64),
    Text(Cow<'a, str>),
    List(Vec<FieldValue<'a>>),
    Object(Members<'a>),
    /// A protobuf timestamp.
    Instant(Timestamp),
    /// A protobuf value that no type has: an enum number without a word, a timestamp beyond the years.
    Unknown,
}

/// The members of an object in order of arrival. Of equal names the last one counts.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, FieldValue<'a>)>;

/// The member of that name.
pub(crate) fn last<'m, 'a>(members: &'m Members<'a>, name: &str) -> Option<&'m FieldValue<'a>> {
    members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The member of that name.
pub(crate) fn last_mut<'m, 'a>(members: &'m mut Members<'a>, name: &str) -> Option<&'m mut FieldValue<'a>> {
    members.iter_mut().rev().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Takes the member of that name.
pub(crate) fn take_last<'a>(members: &mut Members<'a>, name: &str) -> FieldValue<'a> {
    last_mut(members, name).map(std::mem::take).unwrap_or_default()
}

/// Whether there is no member of that name, or `null`.
pub(crate) fn is_absent(members: &Members<'_>, name: &str) -> bool {
    last(members, name).is_none_or(FieldValue::is_absent)
}

/// From here on neighbouring whole numbers are one double.
const INEXACT_MIN: f64 = 9_007_199_254_740_992.0;

const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

fn fits_i64(number: f64) -> bool {
    number.fract() == 0.0 && (-TWO_POW_63..TWO_POW_63).contains(&number)
}

fn fits_u64(number: f64) -> bool {
    number.fract() == 0.0 && (0.0..TWO_POW_64).contains(&number)
}

impl FieldValue<'_> {
    /// A double by its value: `14.0` is the whole number 14.
    pub(crate) fn from_double(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() < INEXACT_MIN {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within ±2^53")]
            return Self::Whole(number as i64);
        }
        Self::Number(number)
    }

    /// `null` counts as absent.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// The value as canonical JSON without secrets.
    pub(crate) fn to_canonical(&self) -> Cow<'static, str> {
        let mut text = String::new();
        match self {
            Self::Null => return "null".into(),
            Self::Bool(true) => return "true".into(),
            Self::Bool(false) => return "false".into(),
            other => write_canonical(&mut text, other),
        }
        match redact::json_text(&text) {
            Some(Cow::Owned(redacted)) => redacted.into(),
            Some(Cow::Borrowed(_)) | None => text.into(),
        }
    }
}

/// Canonical JSON: members sorted by name, the last of equal names, numbers by value. Secrets in a lone text
/// are removed; those that lists and objects hold are recognised only when all of it is there.
fn write_canonical(out: &mut String, value: &FieldValue<'_>) {
    match value {
        FieldValue::Absent | FieldValue::Null | FieldValue::Unknown | FieldValue::Instant(_) => {
            out.push_str("null");
        }
        FieldValue::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        FieldValue::Whole(number) => push_display(out, number),
        FieldValue::Large(number) => push_display(out, number),
        FieldValue::Number(number) if fits_i64(*number) => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            push_display(out, &(*number as i64));
        }
        FieldValue::Number(number) if fits_u64(*number) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range"
            )]
            push_display(out, &(*number as u64));
        }
        FieldValue::Number(number) => push_json(out, number),
        FieldValue::Text(text) => push_json(out, &redact::text(text)),
        FieldValue::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(out, item);
            }
            out.push(']');
        }
        FieldValue::Object(members) => write_canonical_object(out, members),
    }
}

fn write_canonical_object(out: &mut String, members: &Members<'_>) {
    let last: std::collections::BTreeMap<&str, &FieldValue<'_>> =
        members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
    out.push('{');
    for (index, (name, value)) in last.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json(out, &name);
        out.push(':');
        write_canonical(out, value);
    }
    out.push('}');
}

fn push_display(out: &mut String, value: &impl fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

#[expect(clippy::disallowed_methods, reason = "text and numbers as they were decoded")]
fn push_json(out: &mut String, value: &impl serde::Serialize) {
    // Neither text nor a number can fail to be written.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
}

impl<'de: 'a, 'a> Deserialize<'de> for FieldValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = FieldValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<FieldValue<'de>, E> {
        Ok(i64::try_from(number).map_or(FieldValue::Large(number), FieldValue::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::from_double(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<FieldValue<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(FieldValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<FieldValue<'de>, A::Error> {
        let mut members = Vec::with_capacity(4);
        while let Some(Name(name)) = entries.next_key()? {
            members.push((name, entries.next_value()?));
        }
        Ok(FieldValue::Object(members))
    }
}

/// A member's name, borrowed unless it was written with escapes.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::descriptor::Setting;

    use super::*;

    fn setting(json: &str) -> Setting {
        Setting::from_json(&serde_json::from_str::<FieldValue<'_>>(json).unwrap().to_canonical())
    }

    #[test]
    fn numbers_count_by_value() {
        for json in ["14", "14.0", "1.4e1", "140e-1", "14.000000000000000000000000"] {
            assert_eq!(setting(json), Setting::Whole(14), "{json}");
        }
        assert_eq!(setting("-0.0"), Setting::Whole(0));
        assert_eq!(setting("-0"), Setting::Whole(0));
        assert_eq!(setting("2.50"), setting("25e-1"));
        assert_ne!(setting("9007199254740993"), setting("9007199254740992"));
        assert_eq!(setting("9007199254740994.0"), setting("9007199254740994"));
        assert_eq!(setting("9223372036854775808.0"), setting("9223372036854775808"));
        assert_eq!(setting("1e20"), setting("100000000000000000000"));
        assert_eq!(setting("18446744073709551615"), Setting::Other("18446744073709551615".into()));
    }

    #[test]
    fn odd_values_have_one_text() {
        assert_eq!(
            setting(r#" {"b":[1.0,"\u0041"],"a":null} "#),
            Setting::Other(r#"{"a":null,"b":[1,"A"]}"#.into())
        );
        assert_eq!(setting(r#"{"a":1,"a":2}"#), Setting::Other(r#"{"a":2}"#.into()));
        assert_eq!(setting(r#""true""#), Setting::Other(r#""true""#.into()));
    }

    #[test]
    fn odd_values_keep_no_secret() {
        let text = setting(r#"{"sharedSecret":"canary","deep":[{"api-key":"canary"}],"x":"Bearer canary"}"#);
        assert_eq!(text, Setting::Other(r#"{"deep":[{}],"x":"Bearer ***"}"#.into()));
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let FieldValue::Object(mut members) = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap() else {
            unreachable!("an object")
        };
        assert_eq!(take_last(&mut members, "a"), FieldValue::Whole(3));
    }
}
