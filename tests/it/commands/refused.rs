//! What is refused, what waits, and who may send what.

use std::time::Instant;

use ledger_api::access::{new_token, token_hash};
use ledger_tests::kafka::{Broker, Ending, Isolation, Message};
use ledger_tests::{server, wait};
use serde_json::{Value, json};

use super::{PARTITIONS, Running, pin, running, running_on};

#[test]
fn what_ingestion_would_refuse_is_refused_before_it_is_published() {
    let running = running();
    let before = running.messages();
    let mut nameless = pin("x", "tenant-1");
    nameless.as_object_mut().unwrap().remove("actor");
    let mut early = pin("x", "tenant-1");
    early["time"] = "2199-01-01T00:00:00Z".into();
    let install = json!({"id": "x", "type": "installed", "time": "2026-01-03T00:00:00Z", "clientKey": "c",
                         "appKey": "app"});
    let mut cloud_event = pin("x", "tenant-1");
    cloud_event["specversion"] = "1.0".into();
    for (event, status, code, parameter) in [
        (nameless, 422, "event-refused", "actor"),
        (early, 422, "event-refused", "time"),
        (install, 422, "not-a-command", "type"),
        (cloud_event, 422, "event-refused", "specversion"),
    ] {
        let (found, problem) = running.post("", &event);
        assert_eq!((found, &problem["code"]), (status, &code.into()), "{problem}");
        assert_eq!(problem["parameter"], parameter, "{problem}");
    }
    assert_eq!(running.post("", &json!([1])).1["code"], "invalid-body");
    assert_eq!(running.post("?dryrun=true", &pin("x", "tenant-1")).1["code"], "unknown-parameter");
    let (status, problem) = running.server.get("/v1/commands/x");
    assert_eq!((status, &problem["code"]), (400, &"invalid-parameter".into()));
    assert_eq!(running.messages(), before);
    assert_eq!(running.submit(&json!({}), &[]).status.code(), Some(1));
    running.server.drain();
}

#[test]
fn command_of_a_partition_that_is_not_read_on_is_pending_until_it_is() {
    let running = running();
    // A transaction that is not ended keeps readers from what comes after it.
    let open =
        (0..PARTITIONS).map(|partition| Message::new("tenant-1", "{}".to_owned()).to_partition(partition));
    running.cluster.produce_in_transaction(&running.setup.topic, &open.collect::<Vec<_>>(), Ending::Never);
    let (status, answer) = running.post("", &pin("pin-1", "tenant-1"));
    assert_eq!((status, &answer["records"]), (202, &json!([])), "{answer}");
    assert_eq!(answer["pending"].as_array().unwrap().len(), 1, "{answer}");
    let unknown = running.server.get("/v1/commands/pin-1?clientKey=tenant-1");
    assert!([404, 503].contains(&unknown.0), "{unknown:?}");
    wait::until("the transaction is aborted and the command recorded", || {
        running.server.get("/v1/commands/pin-1?clientKey=tenant-1").0 == 200
    });
    let (status, again) = running.post("", &pin("pin-1", "tenant-1"));
    assert_eq!((status, again["records"].as_array().unwrap().len()), (201, 1), "{again}");
    running.server.drain();
}

#[test]
fn command_is_refused_with_its_reason_while_brokers_are_away_and_taken_once_afterwards() {
    let mut broker = Broker::start();
    let running = running_on(broker.cluster(), "");
    assert_eq!(running.post("", &pin("pin-1", "tenant-1")).0, 201);
    broker.kill();
    for command in [pin("pin-2", "tenant-1"), pin("pin-2", "tenant-2")] {
        let began = Instant::now();
        let (status, problem) = running.post("", &command);
        assert_eq!((status, &problem["code"]), (503, &"not-published".into()), "{problem}");
        assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
        assert!(problem["detail"].as_str().unwrap().contains("same id"), "{problem}");
    }
    // What is recorded needs no broker.
    assert_eq!(running.post("", &pin("pin-1", "tenant-1")).0, 201);
    broker.restart();
    running.server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    let (status, answer) = running.post("", &pin("pin-2", "tenant-1"));
    assert_eq!((status, answer["records"].as_array().map(Vec::len)), (201, Some(1)), "{answer}");
    running.server.drain();
    server::verified(&running.setup.data_dir, &[]);
}

fn post_as(running: &Running, token: &str, event: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/v1/commands", running.server.url));
    let request = request.header("content-type", "application/json");
    let mut answer =
        request.header("authorization", format!("Bearer {token}")).send(event.to_string()).unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap())
}

#[test]
fn actor_that_is_recorded_is_the_principal() {
    let token = new_token([9; 32]);
    let sha256 = hex::encode(token_hash(&token));
    let owner = "[[access.token]]\nname = 'ops'\nscopes = ['operate']\napps = ['app']";
    let running = running_on(ledger_tests::kafka::shared(), &format!("{owner}\nsha256 = '{sha256}'\n"));
    let mut alone = pin("pin-1", "tenant-1");
    alone.as_object_mut().unwrap().remove("actor");
    assert_eq!(post_as(&running, &token, &alone).0, 201);
    assert_eq!(post_as(&running, &token, &pin("pin-2", "tenant-1")).0, 201);
    let moved = json!({"id": "m", "type": "product-moved", "time": "2026-01-03T00:00:00Z", "clientKey": "tenant-1",
                       "productRealm": "US"});
    let mut other = pin("pin-3", "tenant-1");
    other["appKey"] = "other".into();
    for refused in [moved, other] {
        let (status, problem) = post_as(&running, &token, &refused);
        assert_eq!((status, &problem["code"]), (404, &"not-found".into()), "{problem}");
    }
    let written = running.cluster.read_all(&running.setup.topic, Isolation::ReadCommitted);
    let actors = written.iter().filter_map(|message| {
        let event: Value = serde_json::from_slice(message.value.as_ref()?).unwrap();
        event["actor"].as_str().map(ToOwned::to_owned)
    });
    assert_eq!(actors.collect::<Vec<_>>(), ["ops", "eva via ops"]);
    running.server.drain();
}
