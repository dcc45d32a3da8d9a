//! Messages as JSON Schemas, each once among the components.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::proto::{Field, Kind, Message, schema};

/// The schemas of the messages that were referred to.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

/// Which members must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Required {
    /// Those without presence: an answer always has them.
    OfAnswer,
    /// None of a question: each has a default.
    None,
}

impl Schemas {
    /// A reference to the message of an answer.
    pub(super) fn answer(&mut self, message: &'static Message) -> Value {
        self.reference(message, Required::OfAnswer)
    }

    /// A reference to the message of a question.
    pub(super) fn question(&mut self, message: &'static Message) -> Value {
        self.reference(message, Required::None)
    }

    pub(super) fn into_components(self) -> BTreeMap<String, Value> {
        self.0
    }

    fn reference(&mut self, message: &'static Message, required: Required) -> Value {
        let name = message.name.trim_start_matches("realmledger.v1.").to_owned();
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if self.0.contains_key(&name) {
            return reference;
        }
        // Messages refer to each other.
        self.0.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        for field in message.fields() {
            properties.insert(field.name.clone(), self.field(field, required));
        }
        let mut written = json!({ "type": "object", "properties": properties });
        if !message.comment.is_empty() {
            written["description"] = message.comment.clone().into();
        }
        let always = message.fields().iter().filter(|field| !field.has_presence && !field.is_repeated);
        let always: Vec<_> = always.map(|field| field.name.clone()).collect();
        if required == Required::OfAnswer && !always.is_empty() {
            written["required"] = always.into();
        }
        self.0.insert(name, written);
        reference
    }

    fn field(&mut self, field: &'static Field, required: Required) -> Value {
        let of = match field.kind {
            Kind::Message(at) => self.reference(schema().message(at), required),
            _ => single(field),
        };
        let mut written = match field.kind {
            Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            _ if field.is_repeated => json!({ "type": "array", "items": of }),
            _ => of,
        };
        if !field.comment.is_empty() {
            written["description"] = field.comment.clone().into();
        }
        written
    }
}

/// A value alone, as a parameter is.
pub(super) fn single(field: &Field) -> Value {
    match field.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Double => json!({ "type": "number" }),
        Kind::Signed => json!({ "type": "integer" }),
        Kind::Unsigned => json!({ "type": "integer", "minimum": 0 }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Enum(at) => json!({ "type": "string", "enum": schema().words(at).words().collect::<Vec<_>>() }),
        Kind::Instant => json!({ "type": "string", "format": "date-time" }),
        Kind::Json { is_object: true } | Kind::Map | Kind::Message(_) => json!({ "type": "object" }),
        Kind::Json { is_object: false } => json!({ "title": "any JSON" }),
    }
}
