//! One event in many encodings, and messages that are no events.

use std::path::Path;
use std::sync::LazyLock;

use ledger_core::event::{Body, Event, InstallationFact};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use super::random::Random;
use crate::kafka::Message;

fn to_json(event: &Event) -> Value {
    let text = ledger_record::json::to_vec(event).expect("an event can be written");
    serde_json::from_slice(&text).expect("what is written can be read")
}

fn key(event: &Event) -> Vec<u8> {
    match &event.body {
        Body::App { app, .. } => app.as_bytes().to_vec(),
        Body::Installation { client, .. } | Body::Tenant { client, .. } => client.as_bytes().to_vec(),
    }
}

pub(super) fn native(event: &Event) -> Message {
    Message::new(key(event), to_json(event).to_string())
}

/// The event as a message of `event.proto`: its native JSON is the JSON form of one.
#[must_use]
pub fn to_protobuf(event: &Event) -> Vec<u8> {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
        let files = protox::compile([root.join("realmledger/v1/event.proto")], [root]);
        let pool = DescriptorPool::from_file_descriptor_set(files.expect("the proto files are right"));
        pool.expect("descriptors fit together")
    });
    let descriptor = POOL.get_message_by_name("realmledger.v1.LifecycleEvent").expect("it is in event.proto");
    let message = DynamicMessage::deserialize(descriptor, to_json(event));
    message.expect("an event is a message").encode_to_vec()
}

fn protobuf(event: &Event) -> Message {
    Message::new(key(event), to_protobuf(event)).header("content-type", "application/x-protobuf")
}

fn cloud_event_attributes(event: &Event) -> (Value, Value) {
    let mut data = to_json(event);
    let fields = data.as_object_mut().expect("an event is an object");
    let taken =
        |fields: &mut serde_json::Map<String, Value>, name: &str| fields.remove(name).unwrap_or_default();
    let (kind, client, app) = (taken(fields, "type"), taken(fields, "clientKey"), taken(fields, "appKey"));
    let mut attributes = json!({
        "specversion": "1.0",
        "source": "test",
        "id": taken(fields, "id"),
        "type": format!("realmledger.{}", kind.as_str().unwrap_or_default()),
        "time": taken(fields, "time"),
        "datacontenttype": "application/json",
    });
    for (name, value) in [("subject", client), ("appkey", app)] {
        if !value.is_null() {
            attributes[name] = value;
        }
    }
    (attributes, data)
}

fn structured(event: &Event) -> Message {
    let (mut envelope, data) = cloud_event_attributes(event);
    envelope["data"] = data;
    Message::new(key(event), envelope.to_string()).header("content-type", "application/cloudevents+json")
}

fn binary(event: &Event) -> Message {
    let (attributes, data) = cloud_event_attributes(event);
    let mut message = Message::new(key(event), data.to_string()).header("content-type", "application/json");
    for (name, value) in attributes.as_object().expect("attributes are an object") {
        if name != "datacontenttype" {
            message = message.header(&format!("ce_{name}"), value.as_str().unwrap_or_default());
        }
    }
    message
}

/// The lifecycle payload as Atlassian sends it, where it can carry all of the event.
fn connect(event: &Event) -> Option<Message> {
    let Body::Installation { client, app, fact } = &event.body else { return None };
    let mut payload = json!({
        "key": app.as_str(), "clientKey": client.as_str(), "sharedSecret": "canary-shared-secret",
        "publicKey": "canary-public-key", "productType": "jira", "description": "Atlassian Jira",
    });
    let (kind, endpoint, product) = match fact {
        InstallationFact::Installed(installed) if installed.descriptor.is_none() => {
            payload["installationId"] = json!(installed.installation_id);
            ("installed", installed.endpoint_realm, installed.product_realm)
        }
        InstallationFact::Uninstalled { endpoint_realm, installation_id } => {
            payload["installationId"] = json!(installation_id);
            ("uninstalled", *endpoint_realm, None)
        }
        InstallationFact::Enabled => ("enabled", None, None),
        InstallationFact::Disabled => ("disabled", None, None),
        _ => return None,
    };
    payload["eventType"] = json!(kind);
    let time = to_json(event)["time"].clone();
    let mut envelope = json!({
        "specversion": "1.0", "source": "test", "id": event.id.as_str(), "time": time,
        "type": format!("com.atlassian.connect.{kind}"), "data": payload,
    });
    for (name, realm) in [("endpointrealm", endpoint), ("productrealm", product)] {
        if let Some(realm) = realm {
            envelope[name] = json!(realm.as_str());
        }
    }
    let message = Message::new(key(event), envelope.to_string());
    Some(message.header("content-type", "application/cloudevents+json; charset=utf-8"))
}

/// In any encoding that can carry it.
pub(super) fn any(event: &Event, random: &mut Random) -> Message {
    match random.below(10) {
        0 | 1 => protobuf(event),
        2 => structured(event),
        3 => binary(event),
        4 | 5 => connect(event).unwrap_or_else(|| native(event)),
        _ => native(event),
    }
}

/// A message that is no event, with the expected reason and path.
pub(super) fn malformed(number: usize, random: &mut Random) -> (Message, &'static str, Option<&'static str>) {
    let client = format!("bad-{number}");
    let native = |change: &dyn Fn(&mut Value)| {
        let mut value = json!({
            "id": format!("bad-{number}"), "type": "uninstalled", "time": "2024-03-01T00:00:00Z",
            "clientKey": client, "appKey": "com.example.roadmap", "sharedSecret": "canary-shared-secret",
        });
        change(&mut value);
        Message::new(client.clone(), value.to_string())
    };
    match random.below(8) {
        0 => (Message::new(client.clone(), "{\"id\": canary-shared-secret"), "undecodable", None),
        1 => (native(&|value| value["type"] = json!("reinstalled")), "unsupported-type", Some("type")),
        2 => {
            let without = |value: &mut Value| {
                value.as_object_mut().map(|fields| fields.remove("appKey"));
            };
            (native(&without), "missing-field", Some("appKey"))
        }
        3 => (native(&|value| value["endpointRealm"] = json!(7)), "invalid-field", Some("endpointRealm")),
        4 => (native(&|value| value["clientKey"] = json!("someone-else")), "key-mismatch", None),
        5 => (native(&|value| value["time"] = json!("2999-01-01T00:00:00Z")), "time-in-future", Some("time")),
        6 => (
            Message::new(client, [0xff, 0xfe, 0x01]).header("content-type", "application/x-protobuf"),
            "undecodable",
            None,
        ),
        _ => (native(&|value| value["reason"] = json!("x".repeat(1_048_576))), "too-large", None),
    }
}
