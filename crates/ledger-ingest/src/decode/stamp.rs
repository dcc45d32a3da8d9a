//! When the first source of an imported line recorded it: a member of the line that is no part of the event.

use std::fmt;

use ledger_core::limits::EARLIEST_MS;
use ledger_core::time::Timestamp;
use ledger_record::rejection::Rejection;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::decode::refusal;
use crate::decode::validate::{EARLY, instant_of};
use crate::decode::value::{Name, Value};

/// The members of a line of native JSON that give its recorded time. Of equal names the last one counts.
///
/// A line that is no JSON object has none of them; [`crate::decode::decode`] says what is wrong with it.
#[derive(Debug, Default)]
pub struct Stamp<'a> {
    recorded_at: Value<'a>,
    time: Value<'a>,
}

impl<'a> Stamp<'a> {
    /// Those of a line.
    #[must_use]
    pub fn of(line: &'a [u8]) -> Self {
        serde_json::from_slice(line).unwrap_or_default()
    }

    /// The `recordedAt`, if there is one. One before 2010 was never set, as it is with the `time`.
    pub fn recorded_at(self) -> Result<Option<Timestamp>, Rejection> {
        let invalid = |expected| refusal::invalid("recordedAt", expected);
        match instant_of(self.recorded_at).map_err(invalid)? {
            Some(at) if at.as_millis() < EARLIEST_MS => Err(invalid(EARLY)),
            recorded_at => Ok(recorded_at),
        }
    }

    /// The `recordedAt`, else the `time`, if one of them is an instant.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        let instant = |value| instant_of(value).ok().flatten();
        instant(self.recorded_at).or_else(|| instant(self.time))
    }
}

impl<'de> Deserialize<'de> for Stamp<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Only an object: a derived reader would take the items of an array for members.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Stamp<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut stamp = Stamp::default();
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "recordedAt" => stamp.recorded_at = members.next_value()?,
                "time" => stamp.time = members.next_value()?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_has_a_recorded_time() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let is = |line: &str, recorded_at: Result<Option<Timestamp>, ()>, instant: Option<Timestamp>| {
            assert_eq!(Stamp::of(line.as_bytes()).recorded_at().map_err(drop), recorded_at, "{line}");
            assert_eq!(Stamp::of(line.as_bytes()).instant(), instant, "{line}");
        };
        is(r#"{"recordedAt":"2026-01-01T00:00:00Z","time":"2025-01-01T00:00:00Z"}"#, Ok(Some(at)), Some(at));
        is(r#"{"time":"2026-01-01T00:00:00Z"}"#, Ok(None), Some(at));
        is(r#"{"time":1,"time":"2026-01-01T00:00:00Z","recordedAt":null}"#, Ok(None), Some(at));
        is(r#"{"recordedAt":"yesterday","time":"2026-01-01T00:00:00Z"}"#, Err(()), Some(at));
        let (first, before) = ("2010-01-01T00:00:00Z", "2009-12-31T23:59:59Z");
        let earliest = Timestamp::from_millis(EARLIEST_MS);
        is(&format!(r#"{{"recordedAt":"{first}"}}"#), Ok(Some(earliest)), Some(earliest));
        is(&format!(r#"{{"recordedAt":"{before}"}}"#), Err(()), Some(earliest.plus_millis(-1_000)));
        // Neither reads as the members of an object.
        is(r#"["2026-01-01T00:00:00Z","2026-01-01T00:00:00Z"]"#, Ok(None), None);
        is(r#"[{"recordedAt":"2026-01-01T00:00:00Z"}]"#, Ok(None), None);
    }
}
