//! A message as the members of its JSON: how a question arrives.
//!
//! A field that the message does not have is refused, as an unknown parameter is over HTTP: a filter that this server
//! does not know would be left out of the answer otherwise.

use ledger_core::time::Timestamp;
use ledger_record::json::time::{FIRST, LAST, format_instant};
use serde_json::{Map, Value as Json};

use super::schema::{Field, Kind, Message, UNSPECIFIED, schema};

/// The bytes are not those of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMessage {
    /// Torn, or not protobuf.
    #[error("the bytes are no message of protobuf")]
    Malformed,
    /// From a newer `.proto`, or of another message.
    #[error("{message} has no field {number} here; compare the versions of client and server")]
    UnknownField { message: &'static str, number: u64 },
    /// Not what the field holds.
    #[error("{field} does not hold what its type says")]
    Misfit { field: &'static str },
}

/// The members of a message. A field without presence has its default.
pub(crate) fn members(message: &'static Message, bytes: &[u8]) -> Result<Map<String, Json>, InvalidMessage> {
    let mut members = Map::new();
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let key = input.varint()?;
        let (number, wire_type) = (key >> 3, key & 7);
        let field = message.fields().iter().find(|field| u64::from(field.number) == number);
        let field = field.ok_or(InvalidMessage::UnknownField { message: &message.name, number })?;
        let value = match wire_type {
            0 => of_varint(field, input.varint()?),
            1 => of_fixed(field, input.bytes(8)?),
            2 => {
                let length = usize::try_from(input.varint()?).map_err(|_| InvalidMessage::Malformed)?;
                of_bytes(field, input.bytes(length)?)?
            }
            _ => return Err(InvalidMessage::Malformed),
        };
        let value = value.ok_or(InvalidMessage::Misfit { field: &field.name })?;
        if matches!(field.kind, Kind::Enum(_)) && value == UNSPECIFIED {
            continue;
        }
        match members.get_mut(&field.name) {
            Some(Json::Array(items)) if field.is_repeated => items.push(value),
            _ if field.is_repeated => _ = members.insert(field.name.clone(), Json::Array(vec![value])),
            _ => _ = members.insert(field.name.clone(), value),
        }
    }
    for field in message.fields().iter().filter(|field| field.is_repeated || !field.has_presence) {
        if let (Some(default), false) = (default(field), members.contains_key(&field.name)) {
            members.insert(field.name.clone(), default);
        }
    }
    Ok(members)
}

fn default(field: &Field) -> Option<Json> {
    match field.kind {
        _ if field.is_repeated => Some(Json::Array(Vec::new())),
        Kind::Text => Some(String::new().into()),
        Kind::Bool => Some(false.into()),
        Kind::Signed | Kind::Unsigned => Some(0.into()),
        Kind::Double => Some(0.0.into()),
        Kind::Enum(_) | Kind::Message(_) | Kind::Instant | Kind::Json { .. } | Kind::Map => None,
    }
}

fn of_varint(field: &Field, number: u64) -> Option<Json> {
    match field.kind {
        Kind::Bool => Some((number != 0).into()),
        Kind::Unsigned => Some(number.into()),
        Kind::Signed => Some(number.cast_signed().into()),
        Kind::Enum(at) => schema().words(at).word(number.cast_signed()).map(Into::into),
        _ => None,
    }
}

fn of_fixed(field: &Field, bytes: &[u8]) -> Option<Json> {
    let number = f64::from_le_bytes(bytes.try_into().ok()?);
    (field.kind == Kind::Double).then(|| number.into())
}

fn of_bytes(field: &Field, bytes: &[u8]) -> Result<Option<Json>, InvalidMessage> {
    Ok(match field.kind {
        Kind::Text => std::str::from_utf8(bytes).ok().map(Into::into),
        Kind::Message(at) => Some(Json::Object(members(schema().message(at), bytes)?)),
        Kind::Instant => instant(bytes)?.map(|instant| format_instant(instant).into()),
        _ => None,
    })
}

/// Seconds and nanoseconds; what is finer than a millisecond is cut off.
fn instant(bytes: &[u8]) -> Result<Option<Timestamp>, InvalidMessage> {
    let (mut parts, mut input) = ([0, 0], Input(bytes));
    while !input.0.is_empty() {
        let part = match input.varint()? {
            0x08 => &mut parts[0],
            0x10 => &mut parts[1],
            _ => return Err(InvalidMessage::Malformed),
        };
        *part = input.varint()?.cast_signed();
    }
    let [seconds, nanos] = parts;
    let ms = seconds.checked_mul(1000).filter(|_| (0..1_000_000_000).contains(&nanos));
    let instant = ms.and_then(|ms| ms.checked_add(nanos / 1_000_000)).map(Timestamp::from_millis);
    Ok(instant.filter(|instant| (FIRST..=LAST).contains(instant)))
}

/// What is left of a message.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn varint(&mut self) -> Result<u64, InvalidMessage> {
        let mut number = 0;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(InvalidMessage::Malformed)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(InvalidMessage::Malformed)
    }

    fn bytes(&mut self, length: usize) -> Result<&'b [u8], InvalidMessage> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(InvalidMessage::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::to_vec;
    use super::*;

    fn message(name: &str) -> &'static Message {
        schema().message_named(&format!("realmledger.v1.{name}")).unwrap()
    }

    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked<'a> {
        client_key: &'a str,
        at: &'a str,
        known_seq: u64,
    }

    #[test]
    fn a_question_comes_back_as_its_members() {
        let asked = Asked { client_key: "acme", at: "2026-03-01T10:00:00.250Z", known_seq: 0 };
        let bytes = to_vec(message("GetInstallationRequest"), &asked).unwrap();
        let read = members(message("GetInstallationRequest"), &bytes).unwrap();
        let expected =
            json!({"clientKey": "acme", "appKey": "", "at": "2026-03-01T10:00:00.250Z", "knownSeq": 0});
        assert_eq!(Json::Object(read), expected);
        assert_eq!(members(message("WhatIfRequest"), &[]).unwrap()["policies"], json!([]));
    }

    #[test]
    fn what_is_no_message_of_this_kind_is_refused() {
        let of = |bytes: &[u8]| members(message("GetInstallationRequest"), bytes).unwrap_err();
        // Torn, a group, a length beyond the end, a varint without end.
        for bytes in [&[10][..], &[10, 4, b'a'], &[0x0b], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 12]]
        {
            assert_eq!(of(bytes), InvalidMessage::Malformed, "{bytes:?}");
        }
        assert!(matches!(of(&[0x9a, 6, 0]), InvalidMessage::UnknownField { number: 99, .. }));
        assert_eq!(of(&[0x08, 1]), InvalidMessage::Misfit { field: "clientKey" });
        assert_eq!(of(&[0x0a, 1, 0xff]), InvalidMessage::Misfit { field: "clientKey" });
        // An instant with a negative part of a second, and one beyond the calendar.
        let minus = [0x1a, 11, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(of(&minus), InvalidMessage::Misfit { field: "at" });
        let beyond = [0x1a, 10, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(of(&beyond), InvalidMessage::Misfit { field: "at" });
    }
}
