//! The service as a stranger meets it: a Python client that knows reflection and nothing else, and the OpenAPI document
//! with what checks it, against a ledger that real Kafka feeds.

use std::collections::BTreeSet;
use std::path::Path;

use ledger_tests::kafka::{self, Message};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{python, scratch};
use serde_json::{Value, json};

const APP: &str = "com.example.app";
const CLIENT: &str = "acme.atlassian.net";

fn event(id: &str, kind: &str, hour: u32, more: &Value) -> Message {
    let mut event = json!({
        "id": id, "type": kind, "time": format!("2024-03-01T{hour:02}:00:00Z"), "clientKey": CLIENT, "appKey": APP
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Message::new(CLIENT, event.to_string()).to_partition(0)
}

fn fed(scratch: &Path) -> Server {
    let cluster = kafka::shared();
    let setup = Setup::new(cluster, kafka::unique_name("service"), scratch.join("data"));
    cluster.create_topic(&setup.topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let urls = json!({ "EU": "https://eu.example.com", "US": "https://us.example.com" });
    let descriptor = json!({
        "descriptor": {
            "baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": { "realmPersistence": true }
        }
    });
    let installed = json!({ "endpointRealm": "EU", "productRealm": "US" });
    let migration = json!({ "migrationId": "7", "targetRealm": "US" });
    let messages = [
        event("d", "descriptor-published", 1, &descriptor),
        event("e-1", "installed", 2, &installed),
        event("e-2", "uninstalled", 3, &json!({})),
        event("e-3", "installed", 4, &json!({ "endpointRealm": "US" })),
        event("e-4", "migration-scheduled", 5, &migration),
        // Late, so that outcomes change.
        event("e-5", "uninstalled", 3, &json!({})),
        Message::new(CLIENT, "{\"type\":\"installed\"}".to_owned()).to_partition(0),
    ];
    cluster.produce(&setup.topic, &messages);
    let server = Server::start(&setup, &scratch.join("log"));
    server.wait_until_ready(1);
    server
}

/// Those that are answered, as many as [`ANSWERED`], and those that are refused.
fn questions(topic: &Value) -> Value {
    let (one, tenant) = (json!({ "clientKey": CLIENT, "appKey": APP }), json!({ "clientKey": CLIENT }));
    let supposed = json!({ "policies": [{ "mode": "off" }], "differences": true });
    let moved = json!({ "id": "c-1", "type": "product-moved", "time": "2024-04-01T00:00:00Z", "clientKey": CLIENT,
                        "productRealm": "EU" });
    let residency = json!({ "realmPersistence": true, "realmPersistenceDays": [1, null, "x"] });
    let urls = json!({ "EU": "https://eu.example.com", "US": "https://us.example.com" });
    let declared =
        json!({ "baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": residency });
    let descriptor = json!({ "id": "c-2", "type": "descriptor-published", "time": "2024-04-02T00:00:00Z", "appKey": APP,
                             "descriptor": declared });
    json!([
        ["GetInstallation", one], ["GetTenant", tenant], ["ListInstallations", { "limit": 1 }],
        ["ListMigrations", { "overdue": true }], ["ReadLog", tenant], ["ListCorrections", tenant],
        ["Explain", one], ["Preview", one], ["ListQuarantine", {}],
        ["GetQuarantineItem", { "topic": topic, "partition": 0, "seq": 1 }], ["ListCheckpoints", {}],
        ["WhatIf", { "policies": [{ "mode": "days", "days": 1 }] }], ["ScanWhatIf", supposed], ["Replay", tenant],
        ["SubscribeDecisions", { "from": "begin", "limit": 1 }], ["Search", { "q": CLIENT }], ["ListLineage", tenant],
        ["Submit", { "event": moved, "dryRun": true }], ["Submit", { "event": moved }], ["Submit", { "event": moved }],
        ["Submit", { "event": descriptor }], ["GetCommand", { "id": "c-1", "clientKey": CLIENT }],
        ["GetProof", tenant], ["GetTenant", { "clientKey": "nobody" }], ["GetTenant", {}],
        ["GetTenant", { "clientKey": CLIENT, "knownSeq": 99 }], ["WhatIf", supposed],
        ["ListInstallations", { "limit": 0 }],
        ["Submit", { "event": { "id": "c-3", "type": "override" } }], ["Submit", { "event": { "id": "e-1" } }],
        ["GetCommand", { "id": "c-9", "clientKey": CLIENT }],
        ["RetryQuarantineItem", { "topic": topic, "partition": 0, "seq": 2 }]
    ])
}

const ANSWERED: usize = 22;

fn check_commands(answered: &[Value]) {
    let [dry, sent, again, of_app, told_of] = [17, 18, 19, 20, 21].map(|at| &answered[at]["messages"][0]);
    assert_eq!(
        (&dry["changed"], &dry["changes"][0]["after"]["productRealm"]),
        (&"1".into(), &"EU".into()),
        "{dry}"
    );
    assert_eq!((&sent["records"], &sent["records"]), (&again["records"], &told_of["records"]), "{sent}");
    assert_eq!(
        (sent["records"][0]["seq"].as_str(), of_app["records"].as_array().unwrap().len()),
        (Some("6"), 1)
    );
}

#[test]
fn python_client_that_knows_only_reflection_asks_every_method() {
    let scratch = scratch::directory();
    let server = fed(scratch.path());
    let topic = server.get("/readyz").1["shards"][0]["topic"].clone();
    let questions = questions(&topic);
    let mut script = python::script("ask_grpc.py");
    script.arg(server.url.trim_start_matches("http://"));
    let output = python::answer(script, &questions.to_string());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{lines}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let listed = lines.next().unwrap();
    let services = ["grpc.health.v1.Health", "realmledger.v1.LedgerService"].map(Value::from);
    assert!(services.iter().all(|name| listed["services"].as_array().unwrap().contains(name)), "{listed}");
    let answers: Vec<Value> = lines.collect();
    let (answered, refused) = answers.split_at(ANSWERED);
    for answer in answered {
        assert_eq!(answer["code"], "OK", "{answer}");
        assert!(!answer["messages"].as_array().unwrap().is_empty(), "{answer}");
    }
    let state = &answered[0]["messages"][0]["installation"];
    check_commands(answered);
    let over_http = server.get(&format!("/v1/tenants/{CLIENT}/apps/{APP}")).1;
    for member in ["pinnedRealm", "pinnedSince", "status"] {
        let cut = |value: &Value| value.as_str().unwrap().replace(".000Z", "Z");
        assert_eq!(cut(&state[member]), cut(&over_http["installation"][member]), "{member}");
    }
    let told: Vec<_> = refused
        .iter()
        .map(|answer| {
            let info = &answer["info"];
            assert_eq!(info["domain"], "realm-ledger", "{answer}");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&answer["code"]), text(&info["reason"]), text(&info["metadata"]["parameter"]))
        })
        .collect();
    let told: Vec<_> =
        told.iter().map(|(code, reason, parameter)| (&**code, &**reason, &**parameter)).collect();
    let expected = [
        ("UNAVAILABLE", "not-signed", ""),
        ("NOT_FOUND", "not-found", ""),
        ("INVALID_ARGUMENT", "invalid-key", "clientKey"),
        ("NOT_FOUND", "seq-not-recorded", "knownSeq"),
        ("INVALID_ARGUMENT", "invalid-body", ""),
        ("INVALID_ARGUMENT", "invalid-parameter", "limit"),
        ("INVALID_ARGUMENT", "event-refused", "time"),
        ("INVALID_ARGUMENT", "event-refused", "type"),
        ("NOT_FOUND", "not-found", ""),
        ("INVALID_ARGUMENT", "event-refused", "id"),
    ];
    assert_eq!(told, expected);
    let asked: BTreeSet<_> = answers.iter().map(|answer| answer["method"].as_str().unwrap()).collect();
    let methods: BTreeSet<_> =
        listed["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(asked, methods, "every method is asked for");
    let notice =
        answered[14]["messages"].as_array().unwrap().iter().find_map(|told| told.get("notice")).unwrap();
    let published = &server.get("/v1/decisions?from=begin&limit=1").1["decisions"][0];
    for (member, of_event) in [("id", &published["id"]), ("clientKey", &published["data"]["clientKey"])] {
        assert_eq!(&notice[member], of_event, "{published}");
    }
    server.drain();
}

#[test]
fn every_operation_answers_as_the_openapi_document_says() {
    let scratch = scratch::directory();
    let server = fed(scratch.path());
    let topic = server.get("/readyz").1["shards"][0]["topic"].as_str().unwrap().to_owned();
    let mut script = python::script("check_openapi.py");
    script.arg(&server.url);
    script.args([
        format!("clientKey={CLIENT}"),
        format!("appKey={APP}"),
        format!("topic={topic}"),
        format!("q={CLIENT}"),
    ]);
    let output = python::answer(script, "");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("operations: 26"), "{report}");
    server.drain();
}
