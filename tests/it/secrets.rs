//! Secrets never reach disk, logs, answers or output topics (I-10), whatever encoding brings them, in good
//! messages and in refused ones.

use std::fs;
use std::path::{Path, PathBuf};

use ledger_tests::kafka::{self, Isolation, Message};
use ledger_tests::scratch;
use ledger_tests::server::{Server, Setup};
use ledger_tests::workload::{Mix, Sent, stream};
use serde_json::{Value, json};

/// Stands in every secret of this test, and nowhere else.
const CANARY: &str = "canary";
/// A token by its shape alone: three parts, the first beginning as every JSON web token does.
const TOKEN: &str = "eyJjYW5hcnkiOjF9.Y2FuYXJ5LWNhbmFyeQ.canarycanarycanary";
const PARTITIONS: i32 = 2;

/// An event with secrets wherever someone might put them; `change` may spoil it.
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
            "dataResidency": { "realmPersistence": { "clientSecret": "canary-5", "note": TOKEN } },
        },
        "nested": [{ "accessToken": "canary-6" }],
    });
    change(&mut event);
    event
}

fn messages() -> Vec<Message> {
    let spoilers: [&dyn Fn(&mut Value); 5] = [
        &|_| {},
        &|event| event["endpointRealm"] = json!(7),
        &|event| event["type"] = json!("reinstalled"),
        &|event| event["time"] = json!("2999-01-01T00:00:00Z"),
        &|event| event["id"] = json!("s-0"),
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
    }
    messages.push(Message::new("secret-broken", "{\"sharedSecret\":\"canary-10\""));
    messages.push(Message::new("secret-proto", "canary-11").header("content-type", "application/protobuf"));
    messages
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
}

#[test]
fn no_secret_is_kept_logged_told_or_answered() {
    let cluster = kafka::shared();
    let scratch = scratch::directory();
    let setup = Setup {
        brokers: cluster.bootstrap().to_owned(),
        topic: kafka::unique_name("secrets"),
        group: kafka::unique_name("group"),
        instance: String::new(),
        decisions_topic: kafka::unique_name("decisions"),
        dead_letter_topic: kafka::unique_name("dead"),
        checkpoints_topic: String::new(),
        data_dir: scratch.path().join("data"),
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
    });
    let lives = lives.into_iter().map(|Sent { message, .. }| message);
    let sent: Vec<Message> = lives.chain(messages()).collect();
    assert!(sent.iter().any(|message| has_canary(message.value.as_deref().unwrap_or_default())));
    cluster.produce(&setup.topic, &sent);

    let log = scratch.path().join("log");
    let mut server = Server::start(&setup, &log);
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    let questions = ["/v1/quarantine?limit=500", "/v1/installations?limit=500", "/metrics", "/readyz"];
    let tenants = (0..5).map(|number| format!("/v1/tenants/secret-{number}/log"));
    for question in questions.map(str::to_owned).into_iter().chain(tenants) {
        let (_, answer) = server.get(&question);
        assert!(!has_canary(answer.to_string().as_bytes()), "{question}: {answer}");
    }
    let (_, kept) = server.get("/v1/tenants/secret-0/apps/app");
    assert_eq!(kept["installation"]["status"], "INSTALLED", "{kept}");
    let told = || {
        let topics = [&setup.decisions_topic, &setup.dead_letter_topic];
        topics.map(|topic| cluster.read_all(topic, Isolation::ReadCommitted))
    };
    // The publisher is a moment behind the log.
    while told().iter().any(Vec::is_empty) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for message in told().into_iter().flatten() {
        let headers = message.headers.iter().filter_map(|(_, value)| value.as_deref());
        let mut parts = headers.chain(message.key.as_deref()).chain(message.value.as_deref());
        assert!(!parts.any(has_canary), "{message:?}");
    }
    // Killed before anything is flushed: all of it stands uncompressed in the write-ahead logs.
    server.process.kill();
    let mut bytes_seen = 0;
    for file in files(&setup.data_dir).into_iter().chain([log]) {
        let bytes = fs::read(&file).unwrap();
        assert!(!has_canary(&bytes), "{}", file.display());
        bytes_seen += bytes.len();
    }
    assert!(bytes_seen > 50_000, "{bytes_seen} bytes are too few to hold all that was sent");
}
