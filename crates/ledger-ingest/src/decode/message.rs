//! A message as a source delivers it, and which encoding it is stated to have.

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_record::rejection::Rejection;

use crate::decode::refusal;

/// Name and value.
pub type Header<'a> = (&'a str, &'a [u8]);

/// A message, borrowed from its source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    /// The record key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order. Names are read without regard to case; of equal ones the last counts.
    pub headers: &'a [Header<'a>],
    /// The record timestamp, if there is one: the time of a `CloudEvent` without one.
    pub timestamp: Option<Timestamp>,
}

/// A decoded message.
#[expect(clippy::large_enum_variant, reason = "nearly every message is an event")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Something happened.
    Event(Incoming),
    /// Time passed: a control event, which leaves no record. What is unsealed is sealed.
    Tick,
}

impl Decoded {
    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        match self {
            Self::Event(Incoming { event, .. }) => Some(event),
            Self::Tick => None,
        }
    }
}

/// A message that is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// What happened.
    pub event: Event,
    /// The event came without a time and has that of the record, which therefore is no part of its content.
    pub time_defaulted: bool,
}

/// What a message is stated to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
    /// The whole `CloudEvent` in the value.
    CloudEventStructured,
    /// A `CloudEvent` with its attributes in `ce_` headers and data of this type in the value.
    CloudEventBinary(DataType),
}

/// What the data of a `CloudEvent` is stated to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataType {
    Json,
    Protobuf,
}

const CONTENT_TYPE: &str = "content-type";
/// What the names of attributes begin with in binary mode: over Kafka, and as bridges from HTTP leave them.
const ATTRIBUTE_PREFIXES: [&str; 2] = ["ce_", "ce-"];
/// What every `CloudEvent` has: other attributes, such as `ce_traceparent`, agents put beside any message.
const REQUIRED_ATTRIBUTES: [&str; 4] = ["specversion", "id", "source", "type"];

impl<'a> Message<'a> {
    pub(super) fn encoding(&self) -> Result<Encoding, Rejection> {
        if self.headers.is_empty() {
            return Ok(Encoding::Json);
        }
        let stated = self.media_type()?;
        let is = |name: &str| stated.is_some_and(|stated| stated.eq_ignore_ascii_case(name));
        if is("application/cloudevents+json") {
            return Ok(Encoding::CloudEventStructured);
        }
        if self.headers.iter().any(|(name, _)| is_required_attribute(name)) {
            return DataType::from_content_type(stated).map(Encoding::CloudEventBinary).ok_or_else(|| {
                refusal::undecodable("the content type of the data is neither JSON nor protobuf")
            });
        }
        if stated.is_none() || is("application/json") {
            return Ok(Encoding::Json);
        }
        if is("application/x-protobuf") || is("application/protobuf") {
            return Ok(Encoding::Protobuf);
        }
        Err(refusal::undecodable("the content type is none that the ledger reads"))
    }

    /// The content type without its parameters.
    fn media_type(&self) -> Result<Option<&'a str>, Rejection> {
        let last = self.headers.iter().rev().find(|(name, _)| is_content_type(name));
        let Some((_, value)) = last else {
            return Ok(None);
        };
        let value =
            std::str::from_utf8(value).map_err(|_| refusal::undecodable("the content type is not UTF-8"))?;
        Ok(Some(without_parameters(value)).filter(|value| !value.is_empty()))
    }
}

impl DataType {
    /// JSON unless stated; a type that ends in `+json` is JSON too.
    pub(super) fn from_content_type(stated: Option<&str>) -> Option<Self> {
        let Some(stated) = stated else {
            return Some(Self::Json);
        };
        let stated = without_parameters(stated).to_ascii_lowercase();
        match stated.as_str() {
            "" | "application/json" => Some(Self::Json),
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            other if other.starts_with("application/cloudevents") => None,
            other if other.ends_with("+json") => Some(Self::Json),
            _ => None,
        }
    }
}

/// Some producers write headers as JSON, so the whole of it may be in quotes, or the type alone.
fn without_parameters(content_type: &str) -> &str {
    let is_around = |sign: char| matches!(sign, '"' | '\'') || sign.is_whitespace();
    content_type.split(';').next().unwrap_or_default().trim_matches(is_around)
}

pub(crate) fn is_content_type(header: &str) -> bool {
    header.eq_ignore_ascii_case(CONTENT_TYPE)
}

/// The attribute that a header is in binary mode.
pub(crate) fn attribute_name(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(3)?;
    ATTRIBUTE_PREFIXES.iter().any(|known| prefix.eq_ignore_ascii_case(known)).then_some(name)
}

/// Whether a header makes a `CloudEvent` in binary mode of its message.
pub(crate) fn is_required_attribute(header: &str) -> bool {
    let name = attribute_name(header);
    name.is_some_and(|name| REQUIRED_ATTRIBUTES.iter().any(|known| name.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(headers: &[(&str, &str)]) -> Option<Encoding> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        Message { headers: &headers, ..Message::default() }.encoding().ok()
    }

    #[test]
    fn content_type_and_attributes_pick_the_encoding() {
        use DataType::{Json as JsonData, Protobuf as ProtobufData};
        use Encoding::{CloudEventBinary, CloudEventStructured, Json, Protobuf};
        for (headers, expected) in [
            (&[][..], Some(Json)),
            (&[("traceparent", "00-")], Some(Json)),
            (&[("content-type", "")], Some(Json)),
            (&[("content-type", "application/json")], Some(Json)),
            (&[("Content-Type", "Application/JSON ; charset=utf-8")], Some(Json)),
            (&[("content-type", "application/x-protobuf")], Some(Protobuf)),
            (&[("content-type", "APPLICATION/PROTOBUF; proto=x")], Some(Protobuf)),
            (&[("content-type", "text/plain"), ("content-type", "application/json")], Some(Json)),
            (&[("content-type", "application/cloudevents+json; charset=utf-8")], Some(CloudEventStructured)),
            (&[("content-type", r#""application/json""#)], Some(Json)),
            (&[("content-type", r#" "application/json; charset=utf-8" "#)], Some(Json)),
            (&[("content-type", r#""application/cloudevents+json""#)], Some(CloudEventStructured)),
            (&[("content-type", r#""application/json";charset=utf-8"#)], Some(Json)),
            (&[("content-type", "'application/json'")], Some(Json)),
            (
                &[("content-type", "'application/cloudevents+json; charset=utf-8'")],
                Some(CloudEventStructured),
            ),
            (&[("ce-traceparent", "00-"), ("ce_correlationid", "7"), ("ce_subject", "x")], Some(Json)),
            (&[("ce_traceparent", "00-"), ("content-type", "application/x-protobuf")], Some(Protobuf)),
            (&[("ce-type", "x"), ("Ce-Id", "1")], Some(CloudEventBinary(JsonData))),
            (&[("cex", "x")], Some(Json)),
            (
                &[("ce_specversion", "1.0"), ("content-type", "application/cloudevents+json")],
                Some(CloudEventStructured),
            ),
            (&[("ce_type", "x")], Some(CloudEventBinary(JsonData))),
            (
                &[("CE_specversion", "1.0"), ("content-type", "application/json")],
                Some(CloudEventBinary(JsonData)),
            ),
            (
                &[("ce_specversion", "1.0"), ("content-type", "application/protobuf")],
                Some(CloudEventBinary(ProtobufData)),
            ),
            (&[("ce_id", "1"), ("content-type", "application/vnd.x+json")], Some(CloudEventBinary(JsonData))),
            (&[("ce_id", "1"), ("content-type", "text/plain")], None),
            (&[("ce_id", "1"), ("content-type", "application/cloudevents-batch+json")], None),
            (&[("content-type", "text/plain")], None),
            (&[("content-type", "application/cloudevents+protobuf")], None),
            (&[("content-type", "application/avro")], None),
        ] {
            assert_eq!(encoding(headers), expected, "{headers:?}");
        }
    }
}
