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

/// How deep any JSON may be nested: as ingestion reads it.
const JSON_LEVELS_MAX: usize = 128;

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
            2 => of_bytes(field, input.sized()?)?,
            _ => return Err(InvalidMessage::Malformed),
        };
        let value = value.ok_or(InvalidMessage::Misfit { field: &field.name })?;
        if matches!(field.kind, Kind::Enum(_)) && value == UNSPECIFIED {
            continue;
        }
        match members.get_mut(&field.name) {
            Some(Json::Object(entries)) if field.kind == Kind::Map => entries.extend(entry(value)),
            _ if field.kind == Kind::Map => {
                _ = members.insert(field.name.clone(), Json::Object(entry(value).into_iter().collect()));
            }
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
        Kind::Map => None,
        _ if field.is_repeated => Some(Json::Array(Vec::new())),
        Kind::Text => Some(String::new().into()),
        Kind::Bool => Some(false.into()),
        Kind::Signed | Kind::Unsigned => Some(0.into()),
        Kind::Double => Some(0.0.into()),
        Kind::Enum(_) | Kind::Message(_) | Kind::Instant | Kind::Json { .. } => None,
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
        Kind::Map => Some(map_entry(bytes)?),
        Kind::Json { is_object: false } => Some(json_value(bytes, JSON_LEVELS_MAX)?),
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

/// An entry of a map, as `[key, value]`; what is absent is empty.
fn map_entry(bytes: &[u8]) -> Result<Json, InvalidMessage> {
    let (mut parts, mut input) = ([String::new(), String::new()], Input(bytes));
    while !input.0.is_empty() {
        let (number, text) = input.nested()?;
        let part = usize::try_from(number - 1).ok().and_then(|at| parts.get_mut(at));
        *part.ok_or(InvalidMessage::Malformed)? = text_of(text)?;
    }
    Ok(parts.to_vec().into())
}

fn entry(pair: Json) -> Option<(String, Json)> {
    let Json::Array(pair) = pair else { return None };
    let [Json::String(name), value] = <[Json; 2]>::try_from(pair).ok()? else { return None };
    Some((name, value))
}

/// A `google.protobuf.Value`. One without a kind is null.
fn json_value(bytes: &[u8], levels: usize) -> Result<Json, InvalidMessage> {
    let (mut value, mut input) = (Json::Null, Input(bytes));
    let levels = levels.checked_sub(1).ok_or(InvalidMessage::Malformed)?;
    while !input.0.is_empty() {
        let key = input.varint()?;
        value = match key {
            0x08 => {
                input.varint()?;
                Json::Null
            }
            0x11 => input.bytes(8)?.try_into().map_or(Json::Null, |bytes| f64::from_le_bytes(bytes).into()),
            0x1a => text_of(input.sized()?)?.into(),
            0x20 => (input.varint()? != 0).into(),
            0x2a => Json::Object(json_members(input.sized()?, levels)?),
            0x32 => {
                let (mut items, mut list) = (Vec::new(), Input(input.sized()?));
                while !list.0.is_empty() {
                    items.push(json_value(list.nested()?.1, levels)?);
                }
                items.into()
            }
            _ => return Err(InvalidMessage::Malformed),
        };
    }
    Ok(value)
}

/// The members of a `google.protobuf.Struct`.
fn json_members(bytes: &[u8], levels: usize) -> Result<Map<String, Json>, InvalidMessage> {
    let (mut members, mut input) = (Map::new(), Input(bytes));
    while !input.0.is_empty() {
        let (mut name, mut value, mut entry) = (String::new(), Json::Null, Input(input.nested()?.1));
        while !entry.0.is_empty() {
            match entry.nested()? {
                (1, text) => name = text_of(text)?,
                (_, bytes) => value = json_value(bytes, levels)?,
            }
        }
        members.insert(name, value);
    }
    Ok(members)
}

fn text_of(bytes: &[u8]) -> Result<String, InvalidMessage> {
    std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|_| InvalidMessage::Malformed)
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

    /// The number and the bytes of the next field, which has its length in front.
    fn nested(&mut self) -> Result<(u64, &'b [u8]), InvalidMessage> {
        let key = self.varint()?;
        if key & 7 != 2 || key < 8 {
            return Err(InvalidMessage::Malformed);
        }
        Ok((key >> 3, self.sized()?))
    }

    /// What has its length in front.
    fn sized(&mut self) -> Result<&'b [u8], InvalidMessage> {
        let length = usize::try_from(self.varint()?).map_err(|_| InvalidMessage::Malformed)?;
        self.bytes(length)
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
    fn an_event_comes_back_as_its_native_json_with_maps_and_any_json() {
        let residency =
            json!({"realmPersistence": {"a": [true, null, "x", 1.5]}, "realmPersistenceDays": null});
        let urls = json!({"EU": "https://eu.example.com", "US": "https://us.example.com"});
        let event = json!({"descriptor": {"baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": residency},
                           "policy": {"mode": "days", "days": 5}, "time": "2026-03-01T10:00:00.000Z", "action": "PIN"});
        let pool = prost_reflect::DescriptorPool::decode(super::super::DESCRIPTORS).unwrap();
        let of = pool.get_message_by_name("realmledger.v1.LifecycleEvent").unwrap();
        let foreign = prost_reflect::DynamicMessage::deserialize(of, &event).unwrap();
        let bytes = prost::Message::encode_to_vec(&foreign);
        assert_eq!(Json::Object(members(message("LifecycleEvent"), &bytes).unwrap()), event);
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
