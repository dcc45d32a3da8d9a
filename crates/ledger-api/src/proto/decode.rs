//! A message as the members of its JSON: how a question arrives.
//!
//! A field that the message does not have is refused, as an unknown parameter is over HTTP: a filter that this server
//! does not know would be left out of the answer otherwise. In an event it is left out, as it is from the topic: a newer
//! client can send to an older server.

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
    /// JSON has no word for it: it would become `null`.
    #[error("a number is infinite or none at all")]
    NotFinite,
}

/// What becomes of a field that a message does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refused,
    LeftOut,
}

/// The message of an event, in which more may come to be written.
const EVENT: &str = "LifecycleEvent";

/// How deep any JSON may be nested: as ingestion reads it.
const JSON_LEVELS_MAX: usize = 128;

/// The members of a message. A field without presence has its default.
pub(crate) fn members(message: &'static Message, bytes: &[u8]) -> Result<Map<String, Json>, InvalidMessage> {
    members_of(message, bytes, Unknown::Refused)
}

fn members_of(
    message: &'static Message,
    bytes: &[u8],
    around: Unknown,
) -> Result<Map<String, Json>, InvalidMessage> {
    let is_event = message.name.rsplit('.').next() == Some(EVENT);
    let unknown = if is_event { Unknown::LeftOut } else { around };
    let mut members = Map::new();
    let mut input = WireInput(bytes);
    while !input.0.is_empty() {
        let key = input.varint()?;
        let (number, wire_type) = (key >> 3, key & 7);
        let field = message.fields().iter().find(|field| u64::from(field.number) == number);
        let field = match (field, unknown) {
            (Some(field), _) => field,
            (None, Unknown::LeftOut) if number > 0 => {
                input.skip(wire_type)?;
                continue;
            }
            (None, _) => return Err(InvalidMessage::UnknownField { message: &message.name, number }),
        };
        let value = match wire_type {
            0 => of_varint(field, input.varint()?),
            1 => of_fixed(field, input.bytes(8)?)?,
            2 => of_bytes(field, input.sized()?, unknown)?,
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

fn of_fixed(field: &Field, bytes: &[u8]) -> Result<Option<Json>, InvalidMessage> {
    if field.kind == Kind::Double { double(bytes).map(Some) } else { Ok(None) }
}

fn double(bytes: &[u8]) -> Result<Json, InvalidMessage> {
    let bytes = bytes.try_into().map_err(|_| InvalidMessage::Malformed)?;
    let number = serde_json::Number::from_f64(f64::from_le_bytes(bytes));
    number.map(Json::Number).ok_or(InvalidMessage::NotFinite)
}

fn of_bytes(field: &Field, bytes: &[u8], unknown: Unknown) -> Result<Option<Json>, InvalidMessage> {
    Ok(match field.kind {
        Kind::Map => Some(map_entry(bytes)?),
        Kind::Json { is_object: false } => Some(json_value(bytes, JSON_LEVELS_MAX)?),
        Kind::Text => std::str::from_utf8(bytes).ok().map(Into::into),
        Kind::Message(at) => Some(Json::Object(members_of(schema().message(at), bytes, unknown)?)),
        Kind::Instant => instant(bytes)?.map(|instant| format_instant(instant).into()),
        _ => None,
    })
}

/// Seconds and nanoseconds; what is finer than a millisecond is cut off.
fn instant(bytes: &[u8]) -> Result<Option<Timestamp>, InvalidMessage> {
    let (mut parts, mut input) = ([0, 0], WireInput(bytes));
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
    let (mut parts, mut input) = ([String::new(), String::new()], WireInput(bytes));
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
    let (mut value, mut input) = (Json::Null, WireInput(bytes));
    let levels = levels.checked_sub(1).ok_or(InvalidMessage::Malformed)?;
    while !input.0.is_empty() {
        let key = input.varint()?;
        value = match key {
            0x08 => {
                input.varint()?;
                Json::Null
            }
            0x11 => double(input.bytes(8)?)?,
            0x1a => text_of(input.sized()?)?.into(),
            0x20 => (input.varint()? != 0).into(),
            0x2a => Json::Object(json_members(input.sized()?, levels)?),
            0x32 => {
                let (mut items, mut list) = (Vec::new(), WireInput(input.sized()?));
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
    let (mut members, mut input) = (Map::new(), WireInput(bytes));
    while !input.0.is_empty() {
        let (mut name, mut value, mut entry) = (String::new(), Json::Null, WireInput(input.nested()?.1));
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
struct WireInput<'b>(&'b [u8]);

impl<'b> WireInput<'b> {
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

    /// Passes over the value of a field.
    fn skip(&mut self, wire_type: u64) -> Result<(), InvalidMessage> {
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.bytes(8).map(drop),
            2 => self.sized().map(drop),
            5 => self.bytes(4).map(drop),
            _ => Err(InvalidMessage::Malformed),
        }
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
    struct AskedField<'a> {
        client_key: &'a str,
        at: &'a str,
        known_seq: u64,
    }

    #[test]
    fn a_question_comes_back_as_its_members() {
        let asked = AskedField { client_key: "acme", at: "2026-03-01T10:00:00.250Z", known_seq: 0 };
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
    fn an_event_may_have_fields_of_a_newer_client_and_a_question_may_not() {
        // Field 99 of every kind: a number, eight bytes, a text, four bytes.
        let newer = [0x98, 6, 1, 0x99, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0x9a, 6, 1, b'x', 0x9d, 6, 1, 2, 3, 4];
        let event = [&[10, 2, b'i', b'd'][..], &newer].concat();
        let expected = json!({"id": "id"});
        assert_eq!(Json::Object(members(message("LifecycleEvent"), &event).unwrap()), expected);
        let of = |name: &str, bytes: &[u8]| members(message(name), bytes);
        let inside = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
        let number = message("LifecycleEvent").field("policy").unwrap().number;
        let tag = number << 3 | 2;
        let policy =
            [&[u8::try_from(tag & 0x7f).unwrap() | 0x80, u8::try_from(tag >> 7).unwrap()][..], &[23], &newer];
        assert_eq!(newer.len(), 23);
        let nested = inside(10, &policy.concat());
        assert_eq!(
            of("SubmitRequest", &nested).unwrap()["event"],
            json!({"policy": {}}),
            "below an event too"
        );
        let beside = [&inside(10, &event)[..], &newer].concat();
        assert!(matches!(of("SubmitRequest", &beside), Err(InvalidMessage::UnknownField { number: 99, .. })));
        let of_question = of("WhatIfRequest", &inside(10, &newer));
        assert!(
            matches!(of_question, Err(InvalidMessage::UnknownField { number: 99, .. })),
            "{of_question:?}"
        );
        assert_eq!(of("LifecycleEvent", &[0x9b, 6]), Err(InvalidMessage::Malformed), "a group");
        assert_eq!(of("LifecycleEvent", &[0x9a, 6, 9]), Err(InvalidMessage::Malformed), "torn");
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_refused() {
        for number in [f64::NAN, f64::INFINITY] {
            let value = [&[0x11][..], &number.to_le_bytes()].concat();
            assert_eq!(json_value(&value, JSON_LEVELS_MAX), Err(InvalidMessage::NotFinite));
        }
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
