//! A value as it arrived, before anyone knows whether it belongs there.
//!
//! Every encoding is read into these, so that one validator judges them all. Text borrows from the message
//! where the encoding allows it; numbers keep their value and forget their spelling.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use ledger_core::descriptor::Setting;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::redact;

/// A JSON-like value, or what a protobuf message can say beyond it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Value<'a> {
    /// Not there.
    #[default]
    Absent,
    Null,
    Bool(bool),
    /// A whole number that fits.
    Whole(i64),
    /// Every other number, as the nearest double: not whole, or beyond ±2^53 and so perhaps not exact.
    Number(f64),
    /// A whole number beyond `i64`, exactly.
    Large(u64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// Members in order of arrival. Of equal names the last one counts.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// A protobuf timestamp.
    Instant {
        seconds: i64,
        nanos: i32,
    },
    /// A protobuf value that no type has: an enum number without a word.
    Unknown,
}

/// Above this a double no longer tells neighbouring whole numbers apart.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

fn fits_i64(number: f64) -> bool {
    number.fract() == 0.0 && (-TWO_POW_63..TWO_POW_63).contains(&number)
}

fn fits_u64(number: f64) -> bool {
    number.fract() == 0.0 && (0.0..TWO_POW_64).contains(&number)
}

impl<'a> Value<'a> {
    /// A double by its value: `14.0` is the whole number 14.
    pub(crate) fn from_double(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within ±2^53")]
            return Self::Whole(number as i64);
        }
        Self::Number(number)
    }

    /// `null` counts as absent.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// Takes a member out of an object; absent from anything else.
    pub(crate) fn take_member(&mut self, name: &str) -> Value<'a> {
        let Self::Object(members) = self else {
            return Value::Absent;
        };
        members
            .iter_mut()
            .rev()
            .find(|(key, _)| key == name)
            .map_or(Value::Absent, |(_, value)| std::mem::take(value))
    }

    /// The value as a setting that people write in many ways.
    pub(crate) fn into_setting(self) -> Setting {
        match self {
            Self::Absent => Setting::Absent,
            Self::Null => Setting::Null,
            Self::Bool(flag) => Setting::Bool(flag),
            Self::Whole(number) => Setting::Whole(number),
            Self::Number(number) if fits_i64(number) =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
                Setting::Whole(number as i64)
            }
            other => {
                let mut text = String::new();
                write_canonical(&mut text, &other);
                Setting::Other(redact::json_text(&text).map(Cow::into_owned).unwrap_or(text))
            }
        }
    }
}

/// Canonical JSON: members sorted by name, the last of equal names, numbers by value. Secrets in a lone text
/// are removed; those that lists and objects hold are told apart only when all of it is there.
fn write_canonical(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Absent | Value::Null | Value::Unknown | Value::Instant { .. } => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Whole(number) => push_display(out, number),
        Value::Large(number) => push_display(out, number),
        Value::Number(number) if fits_i64(*number) => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            push_display(out, &(*number as i64));
        }
        Value::Number(number) if fits_u64(*number) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range"
            )]
            push_display(out, &(*number as u64));
        }
        Value::Number(number) => push_json(out, number),
        Value::Text(text) => push_json(out, &redact::text(text)),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => write_canonical_object(out, members),
    }
}

fn write_canonical_object(out: &mut String, members: &[(Cow<'_, str>, Value<'_>)]) {
    let last: std::collections::BTreeMap<&str, &Value<'_>> =
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

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Large(number), Value::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::from_double(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let mut members = Vec::with_capacity(4);
        while let Some(Name(name)) = entries.next_key()? {
            members.push((name, entries.next_value()?));
        }
        Ok(Value::Object(members))
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
    use super::*;

    fn setting(json: &str) -> Setting {
        serde_json::from_str::<Value<'_>>(json).unwrap().into_setting()
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
        let mut value: Value<'_> = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(value.take_member("a"), Value::Whole(3));
    }
}
