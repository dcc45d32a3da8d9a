//! One native event in every encoding that can express it, made without the code under test.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ledger_core::time::Timestamp;
use ledger_ingest::decode::{Decoded, Incoming, Message, decode};
use ledger_record::rejection::Rejection;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage};
use serde_json::{Map, Value, json};

/// A message that owns its parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp: Option<Timestamp>,
}

impl Sent {
    /// What becomes of the message.
    pub(crate) fn given_to<T>(&self, taker: impl FnOnce(&Message<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
        taker(&Message {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
            timestamp: self.timestamp,
        })
    }

    pub(crate) fn decode(&self) -> Result<Incoming, Rejection> {
        match self.given_to(decode)? {
            Decoded::Event(incoming) => Ok(incoming),
            Decoded::Tick => unreachable!("a tick where an event was expected"),
        }
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self { value: Some(value.to_string().into_bytes()), ..Self::default() }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Native,
    Protobuf,
    Structured,
    StructuredProtobuf,
    BinaryJson,
    BinaryProtobuf,
}

pub(crate) const ENCODINGS: &[Encoding] = &[
    Encoding::Native,
    Encoding::Protobuf,
    Encoding::Structured,
    Encoding::StructuredProtobuf,
    Encoding::BinaryJson,
    Encoding::BinaryProtobuf,
];

/// Members that are attributes of a `CloudEvent`, and their names there.
const ATTRIBUTES: &[(&str, &str)] =
    &[("id", "id"), ("type", "type"), ("time", "time"), ("clientKey", "subject"), ("appKey", "appkey")];

impl Encoding {
    /// The event in this encoding, if the encoding can express it.
    pub(crate) fn encode(self, event: &Value) -> Option<Sent> {
        match self {
            Self::Native => Some(Sent::json(event)),
            Self::Protobuf => {
                let sent = Sent { value: Some(protobuf(event)?), ..Sent::default() };
                Some(sent.with_header("content-type", "application/x-protobuf"))
            }
            Self::Structured => {
                let (mut envelope, data) = split(event);
                envelope.insert("data".into(), data);
                Some(structured(envelope))
            }
            Self::StructuredProtobuf => {
                let (mut envelope, data) = split(event);
                envelope.insert("data_base64".into(), base64(&protobuf(&data)?).into());
                envelope.insert("datacontenttype".into(), "application/protobuf".into());
                Some(structured(envelope))
            }
            Self::BinaryJson => {
                let (attributes, data) = split(event);
                Some(binary(&attributes, Sent::json(&data))?.with_header("content-type", "application/json"))
            }
            Self::BinaryProtobuf => {
                let (attributes, data) = split(event);
                let sent = Sent { value: Some(protobuf(&data)?), ..Sent::default() };
                Some(binary(&attributes, sent)?.with_header("content-type", "application/protobuf"))
            }
        }
    }

    /// The native path as this encoding names it.
    pub(crate) fn path(self, native: &str) -> String {
        let is_native = matches!(self, Self::Native | Self::Protobuf);
        let attribute = ATTRIBUTES.iter().find(|(name, _)| *name == native && !is_native);
        attribute.map_or(native, |(_, attribute)| attribute).to_owned()
    }
}

fn split(event: &Value) -> (Map<String, Value>, Value) {
    let mut data = event.as_object().unwrap().clone();
    let mut attributes = Map::new();
    for (member, attribute) in ATTRIBUTES {
        if let Some(value) = data.remove(*member) {
            attributes.insert((*attribute).to_owned(), value);
        }
    }
    if let Some(Value::String(name)) = attributes.get_mut("type") {
        *name = format!("realmledger.{name}");
    }
    attributes.insert("specversion".to_owned(), json!("1.0"));
    attributes.insert("source".to_owned(), json!("/test"));
    (attributes, Value::Object(data))
}

fn structured(envelope: Map<String, Value>) -> Sent {
    Sent::json(&Value::Object(envelope))
        .with_header("content-type", "Application/CloudEvents+JSON; charset=utf-8")
}

fn binary(attributes: &Map<String, Value>, mut sent: Sent) -> Option<Sent> {
    for (name, value) in attributes {
        match value {
            Value::Null => {}
            Value::String(text) => sent = sent.with_header(&format!("ce_{name}"), text.as_bytes()),
            _ => return None,
        }
    }
    Some(sent)
}

pub(crate) fn proto_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let root = proto_root();
    let files = protox::compile([root.join("realmledger/v1/event.proto")], [root]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
});

/// The protobuf message of the event's JSON, if there is one.
pub(crate) fn protobuf(event: &Value) -> Option<Vec<u8>> {
    if !is_sayable(event) {
        return None;
    }
    let descriptor = POOL.get_message_by_name("realmledger.v1.LifecycleEvent").unwrap();
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor, event, &options).ok()?;
    Some(message.encode_to_vec())
}

/// The JSON form of protobuf is more lenient than the native one: it accepts text for numbers and numbers for enums,
/// and drops unknown enum words.
fn is_sayable(event: &Value) -> bool {
    let is_word = |value: &Value, words: &[&str]| match value {
        Value::String(word) => words.contains(&word.as_str()),
        value => value.is_null(),
    };
    let policy = &event["policy"];
    is_word(&event["action"], &["PIN", "RELEASE", "FORGET"])
        && is_word(&event["state"], &["ACTIVE", "INACTIVE"])
        && is_word(&policy["mode"], &["descriptor", "off", "days", "indefinite", "subscription"])
        && !policy["days"].is_string()
        && !policy["graceDays"].is_string()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_padding { '=' } else { char::from(DIGITS[usize::try_from(index).unwrap()]) });
        }
    }
    text
}

#[test]
fn tick_decodes_in_every_encoding_with_any_key() {
    let tick = serde_json::json!({"id": "t-1", "type": "tick", "time": "2026-03-01T10:00:00.000Z"});
    for encoding in ENCODINGS {
        let mut sent = encoding.encode(&tick).unwrap();
        for key in [None, Some(b"whatever".to_vec())] {
            sent.key = key;
            assert_eq!(sent.given_to(decode), Ok(Decoded::Tick), "{encoding:?}");
        }
    }
    let mut untimed = tick.clone();
    untimed.as_object_mut().unwrap().remove("time");
    let refused = Sent::json(&untimed).given_to(decode).unwrap_err();
    assert_eq!(refused.path.as_deref(), Some("time"));
}
