//! Secrets never reach disk, logs, answers or output topics (I-10), in any encoding, in accepted and refused
//! messages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{Body, Event, InstallationFact, Installed};
use ledger_core::ids::{AppKey, ClientKey, EventId, MigrationId};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_tests::kafka::{self, Cluster, Isolation, Message, Received};
use ledger_tests::server::{Server, Setup};
use ledger_tests::workload::{Mix, Sent, stream, to_protobuf};
use ledger_tests::{scratch, wait};
use serde_json::{Value, json};

/// Part of every secret in this test, and of nothing else.
const CANARY: &str = "canary";
/// A token by its shape alone: three parts, the first beginning as every JSON web token does.
const TOKEN: &str = "eyJjYW5hcnkiOjF9.Y2FuYXJ5LWNhbmFyeQ.canarycanarycanary";
/// The canary in base64, at each of the three offsets within a group.
const ENCODED: [&str; 3] = ["Y2FuYXJ5", "NhbmFye", "jYW5hcnk"];
const PARTITIONS: i32 = 2;

/// An event with secrets in every possible place; `change` may make it invalid.
fn event(number: usize, change: &dyn Fn(&mut Value)) -> Value {
    let mut event = json!({
        "id": format!("s-{number}"), "type": "installed", "time": "2024-03-01T00:00:00Z",
        "clientKey": format!("secret-{number}"), "appKey": "app", "endpointRealm": "EU",
        "sharedSecret": "canary-1", "publicKey": "canary-2", "Authorization": "JWT canary-3",
        "reason": format!("called with Authorization: Bearer {TOKEN}"),
        "actor": format!("ops {TOKEN}"),
        "siteUrl": format!("https://user:canary@example.com/?jwt={TOKEN}"),
        "descriptor": {
            "baseUrl": format!("https://app.example.com/?token={TOKEN}"), "sharedSecret": "canary-4",
            "dataResidency": { "realmPersistence": {
                "clientSecret": "canary-5", "note": TOKEN, "headers": [["Authorization", "Basic canary"]],
                "header": { "name": "x-api-key", "value": "canary" },
            } },
        },
        "nested": [{ "accessToken": "canary-6" }],
        "headers": [{ "name": "x-shared-secret", "value": "canary-7" }, { "key": "Authorization: Basic canary" }],
        "harmless": { "deeper": ["canary"], "canary": 1 },
        "Authorization: Basic canary": {},
    });
    change(&mut event);
    event
}

fn messages() -> Vec<Message> {
    let spoilers: [&dyn Fn(&mut Value); 8] = [
        &|_| {},
        &|event| event["endpointRealm"] = json!(7),
        &|event| event["type"] = json!("reinstalled"),
        &|event| event["time"] = json!("2999-01-01T00:00:00Z"),
        &|event| event["id"] = json!("s-0"),
        &|event| event["id"] = json!("Authorization: Basic canary"),
        &|event| event["reason"] = json!({ "note": "canary" }),
        &|event| event["descriptor"]["regionBaseUrls"] = json!({ "canary key": "canary" }),
    ];
    let mut messages = Vec::new();
    for (number, spoil) in spoilers.into_iter().enumerate() {
        let native = event(number, spoil);
        let key = native["clientKey"].as_str().unwrap().to_owned();
        let plain = Message::new(key.clone(), native.to_string());
        messages.push(plain.clone().header("authorization", "Bearer canary-8"));
        let envelope = json!({
            "specversion": "1.0", "id": format!("ce-{number}"), "source": "test", "subject": key, "appkey": "app",
            "type": "realmledger.installed", "time": "2024-03-01T00:00:00Z", "jwt": TOKEN, "data": native,
        });
        let structured = Message::new(key.clone(), envelope.to_string());
        messages.push(structured.header("content-type", "application/cloudevents+json"));
        let binary = plain.header("ce_specversion", "1.0").header("ce_id", format!("b-{number}"));
        let binary = binary.header("ce_type", "realmledger.installed").header("ce_subject", key);
        messages.push(binary.header("ce_appkey", "app").header("ce_token", "canary-9"));
        messages.push(in_base64(number, &native));
    }
    messages.extend(in_protobuf());
    messages.extend(hooks());
    messages.push(Message::new("secret-broken", "{\"sharedSecret\":\"canary-10\""));
    messages.push(Message::new("secret-proto", "canary-11").header("content-type", "application/protobuf"));
    messages
}

fn structured(envelope: &Value) -> Message {
    let key = envelope["subject"].as_str().unwrap().to_owned();
    Message::new(key, envelope.to_string()).header("content-type", "application/cloudevents+json")
}

/// The event as data in base 64, where no name can be seen.
fn in_base64(number: usize, native: &Value) -> Message {
    structured(&json!({
        "specversion": "1.0", "id": format!("b64-{number}"), "source": "test", "appkey": "app",
        "subject": format!("secret-b64-{number}"), "type": "realmledger.installed", "time": "2024-03-01T00:00:00Z",
        "data_base64": BASE64_STANDARD.encode(native.to_string()),
    }))
}

/// A secret in every free text, as our decoder would not make it.
fn full_of_secrets() -> Event {
    let residency = DataResidency {
        realm_persistence: Setting::Other(r#"{"name":"sharedSecret","value":"canary"}"#.to_owned()),
        realm_persistence_days: Setting::Other(format!(r#"["{TOKEN}",["cookie","canary"]]"#)),
    };
    let descriptor = Descriptor {
        version: Some("secret=canary".to_owned()),
        base_url: "https://canary:canary@app.example.com/?token=canary".to_owned(),
        region_base_urls: BTreeMap::from([(
            Realm::parse("EU").unwrap(),
            format!("https://eu.example.com/?jwt={TOKEN}"),
        )]),
        data_residency: Some(residency),
    };
    let installed = Installed {
        endpoint_realm: Some(Realm::parse("EU").unwrap()),
        product_realm: None,
        descriptor: Some(descriptor),
        installation_id: Some(format!("Bearer {TOKEN}")),
        entitlement_id: Some("Authorization: Basic canary canary".to_owned()),
        site_url: Some("https://canary@acme.example.com/?api_key=canary".to_owned()),
    };
    Event {
        id: EventId::new("p-1").unwrap(),
        time: Timestamp::from_millis(1_709_251_200_000),
        actor: Some("JWT canary".to_owned()),
        reason: Some(r#"{"headers":[{"name":"Authorization","value":"canary"}]}"#.to_owned()),
        body: Body::Installation {
            client: ClientKey::new("secret-protobuf").unwrap(),
            app: AppKey::new("app").unwrap(),
            fact: InstallationFact::Installed(Box::new(installed)),
        },
    }
}

/// Good messages in protobuf, alone and in both modes of a `CloudEvent`, and one for each key that is a secret.
fn in_protobuf() -> Vec<Message> {
    let good = full_of_secrets();
    let of = |client: &ClientKey, app: &AppKey, fact| Event {
        body: Body::Installation { client: client.clone(), app: app.clone(), fact },
        ..full_of_secrets()
    };
    let (client, app) = (ClientKey::new("secret-protobuf").unwrap(), AppKey::new("app").unwrap());
    let migration = MigrationId::new("Bearer canary").unwrap();
    let tainted = [
        Event { id: EventId::new("JWT canary").unwrap(), ..full_of_secrets() },
        of(&ClientKey::new(TOKEN).unwrap(), &app, InstallationFact::Enabled),
        of(&client, &AppKey::new("https://u:canary@x").unwrap(), InstallationFact::Enabled),
        of(&client, &app, InstallationFact::MigrationRolledBack { migration }),
    ];
    let protobuf = |event: &Event| {
        Message::new("secret-protobuf", to_protobuf(event)).header("content-type", "application/protobuf")
    };
    let attribute = |id: &str, client: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "test", "subject": client, "appkey": "app",
            "type": "realmledger.installed", "time": "2024-03-01T00:00:00Z",
        })
    };
    let mut encoded = attribute("p-2", "secret-encoded");
    encoded["datacontenttype"] = json!("application/protobuf");
    encoded["data_base64"] = json!(BASE64_STANDARD.encode(to_protobuf(&good)));
    let mut refused = encoded.clone();
    refused["type"] = json!("realmledger.reinstalled");
    let binary =
        Message::new("secret-binary", to_protobuf(&good)).header("content-type", "application/protobuf");
    let attributes = attribute("p-3", "secret-binary");
    let binary = attributes.as_object().unwrap().iter().fold(binary, |message, (name, value)| {
        message.header(&format!("ce_{name}"), value.as_str().unwrap())
    });
    let good = [protobuf(&good), structured(&encoded), structured(&refused), binary];
    good.into_iter().chain(tainted.iter().map(protobuf)).collect()
}

/// A migration hook with additional fields, and the same with a fault.
fn hooks() -> Vec<Message> {
    let hook = json!({
        "specversion": "1.0", "id": "h-1", "source": "test", "subject": "secret-hook", "appkey": "app",
        "type": "com.atlassian.connect.dare-migration.schedule", "time": "2024-03-01T00:00:00Z",
        "authorization": "canary",
        "data": {
            "migrationId": 7, "location": "EU", "sharedSecret": "canary", "jwt": TOKEN, "note": "canary",
            "headers": [{ "key": "Authorization: Basic canary" }],
        },
    });
    let mut refused = hook.clone();
    refused["data"]["location"] = json!("Bearer canary");
    vec![structured(&hook), structured(&refused)]
}

/// Refused messages that are last in every partition: once they are published, so is everything before.
fn last_words() -> impl Iterator<Item = Message> {
    (0..PARTITIONS)
        .map(|partition| Message::new("secret-last", r#"{"actor":"last words"}"#).to_partition(partition))
}

fn files(of: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn has_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window.eq_ignore_ascii_case(CANARY.as_bytes()))
        || ENCODED
            .iter()
            .any(|encoded| bytes.windows(encoded.len()).any(|window| window == encoded.as_bytes()))
}

/// Waits for the last message of every partition in quarantine; returns all items.
fn quarantined(server: &Server) -> Vec<Value> {
    wait::for_value(|| {
        let (_, page) = server.get("/v1/quarantine?limit=500");
        assert!(page["nextCursor"].is_null(), "all of it on one page");
        let items = page["items"].as_array().unwrap().clone();
        let is_last = |item: &&Value| item["body"]["json"] == "{\"actor\":\"last words\"}";
        if items.iter().filter(is_last).count() == usize::try_from(PARTITIONS).unwrap() {
            return Ok(items);
        }
        Err(page)
    })
}

/// Waits for this number of dead letters and for silence; returns all messages of the topics.
fn published(cluster: &Cluster, decisions: &str, dead_letters: &str, refused: usize) -> Vec<Received> {
    let mut before = 0;
    wait::for_value(|| {
        let [decided, dead] =
            [decisions, dead_letters].map(|topic| cluster.read_all(topic, Isolation::ReadCommitted));
        let (count, dead_count) = (decided.len() + dead.len(), dead.len());
        if dead_count == refused && count == before && !decided.is_empty() {
            return Ok(decided.into_iter().chain(dead).collect());
        }
        before = count;
        // Silence is a pause without a new message.
        thread::sleep(Duration::from_millis(500));
        Err(format!("{dead_count} of {refused} dead letters"))
    })
}

#[test]
fn no_secret_is_stored_logged_published_or_answered() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup {
        decisions_topic: kafka::unique_name("decisions"),
        dead_letter_topic: kafka::unique_name("dead"),
        ..Setup::new(cluster, kafka::unique_name("secrets"), scratch.path().join("data"))
    };
    let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];
    cluster.create_topic(&setup.topic, PARTITIONS, &settings);
    cluster.create_topic(&setup.decisions_topic, 1, &[]);
    cluster.create_topic(&setup.dead_letter_topic, 1, &[]);
    let lives = stream(Mix {
        seed: 3,
        tenants: 50,
        events: 500,
        partitions: PARTITIONS,
        late_percent: 5,
        repeats_per_mille: 50,
        conflicts_per_mille: 50,
        malformed_per_mille: 50,
        late_app_events: true,
    });
    let lives = lives.into_iter().map(|Sent { message, .. }| message);
    let sent: Vec<Message> = lives.chain(messages()).chain(last_words()).collect();
    assert!(sent.iter().any(|message| has_canary(message.value.as_deref().unwrap_or_default())));
    cluster.produce(&setup.topic, &sent);

    let log = scratch.path().join("log");
    let mut server = Server::start(&setup, &log);
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    let refused = quarantined(&server).len();
    let questions = ["/v1/quarantine?limit=500", "/v1/installations?limit=500", "/metrics", "/readyz"];
    for question in questions {
        let (status, answer) = server.get(question);
        assert_eq!(status, 200, "{question}: {answer}");
        assert!(!has_canary(answer.to_string().as_bytes()), "{question}: {answer}");
    }
    for good in ["0", "b64-0", "protobuf", "encoded", "binary", "hook"] {
        let question = format!("/v1/tenants/secret-{good}/log");
        let (status, answer) = server.get(&question);
        assert_eq!(status, 200, "{question}: {answer}");
        assert!(!has_canary(answer.to_string().as_bytes()), "{question}: {answer}");
    }
    let (_, kept) = server.get("/v1/tenants/secret-0/apps/app");
    assert_eq!(kept["installation"]["status"], "INSTALLED", "{kept}");
    for message in published(cluster, &setup.decisions_topic, &setup.dead_letter_topic, refused) {
        let headers = message.headers.iter().filter_map(|(_, value)| value.as_deref());
        let mut parts = headers.chain(message.key.as_deref()).chain(message.value.as_deref());
        assert!(!parts.any(has_canary), "{message:?}");
    }
    // Killed before a flush: everything is uncompressed in the write-ahead logs.
    server.process.kill();
    let mut bytes_seen = 0;
    for file in files(&setup.data_dir).into_iter().chain([log]) {
        let bytes = fs::read(&file).unwrap();
        assert!(!has_canary(&bytes), "{}", file.display());
        bytes_seen += bytes.len();
    }
    assert!(bytes_seen > 50_000, "{bytes_seen} bytes are too few to hold all that was sent");
}
