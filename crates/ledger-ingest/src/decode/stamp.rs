//! When the first source of an imported line recorded it: a member of the line that is no part of the event.

use ledger_core::limits::EARLIEST_MS;
use ledger_core::time::Timestamp;
use ledger_record::rejection::Rejection;
use serde::de::DeserializeSeed;

use crate::decode::fields::KnownMembers;
use crate::decode::reader::{EARLY, instant_of};
use crate::decode::refusal;
use crate::decode::value::{FieldValue, Members, last};

/// The members of a line of native JSON that give its recorded time. Of equal names the last one counts.
///
/// A line that is no JSON object has none of them; [`crate::decode::decode`] reports what is wrong with it.
#[derive(Debug)]
pub struct Stamp<'a>(Members<'a>);

impl<'a> Stamp<'a> {
    #[must_use]
    pub fn from_line(line: &'a [u8]) -> Self {
        let known = |name: &str| ["recordedAt", "time"].into_iter().find(|known| *known == name);
        let mut json = serde_json::Deserializer::from_slice(line);
        let members = KnownMembers(known).deserialize(&mut json);
        Self(members.and_then(|members| json.end().map(|()| members)).unwrap_or_default())
    }

    /// The `recordedAt`, if there is one. One before 2010 was never set, as it is with the `time`.
    pub fn recorded_at(&self) -> Result<Option<Timestamp>, Rejection> {
        let invalid = |expected| refusal::invalid("recordedAt", expected);
        match self.member("recordedAt").map_err(invalid)? {
            Some(at) if at.as_millis() < EARLIEST_MS => Err(invalid(EARLY)),
            recorded_at => Ok(recorded_at),
        }
    }

    /// The `recordedAt`, else the `time`, if one of them is an instant.
    #[must_use]
    pub fn instant(&self) -> Option<Timestamp> {
        let instant = |name| self.member(name).ok().flatten();
        instant("recordedAt").or_else(|| instant("time"))
    }

    fn member(&self, name: &str) -> Result<Option<Timestamp>, &'static str> {
        instant_of(last(&self.0, name).unwrap_or(&FieldValue::Absent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_has_a_recorded_time() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        let is = |line: &str, recorded_at: Result<Option<Timestamp>, ()>, instant: Option<Timestamp>| {
            assert_eq!(Stamp::from_line(line.as_bytes()).recorded_at().map_err(drop), recorded_at, "{line}");
            assert_eq!(Stamp::from_line(line.as_bytes()).instant(), instant, "{line}");
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
