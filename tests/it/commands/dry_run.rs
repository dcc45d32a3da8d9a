//! A dry run shows what then happens: over every scenario, with commands of every type between its events, dated before,
//! among and after them.

use std::path::Path;

use ledger_api::command::{Command, CommandError};
use ledger_api::ledger::Ledger;
use ledger_api::query::{InstallationsQuery, Page, no_lines};
use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_ingest::decode::{self, Message};
use ledger_record::json;
use ledger_record::json::time::format_instant;
use ledger_record::record::Coordinates;
use ledger_record::rejection::Rejection;
use ledger_record::rows::SourcePosition;
use ledger_store::{
    AppendResult, DataDir, FutureLimit, IncomingEvent, Shard, ShardId, SourceIdentity, StoreOptions,
};
use ledger_tests::scratch;
use serde::Serialize;
use serde_json::{Value, json};

const TOPIC: &str = "realm.lifecycle";
const HOUR_MS: i64 = 3_600_000;

fn decoded(text: &[u8]) -> Result<Event, Rejection> {
    let decoded = decode::decode(&Message { value: Some(text), ..Message::default() })?;
    Ok(decoded.event().cloned().unwrap())
}

fn to_json(value: &impl Serialize) -> Value {
    serde_json::from_slice(&json::to_vec(value).unwrap()).unwrap()
}

/// A ledger of one shard, written as ingestion does.
struct World {
    shard: Shard,
    ledger: Ledger,
    offset: u64,
    /// Of the last event.
    recorded: Timestamp,
}

impl World {
    fn new(directory: &Path) -> Self {
        let secret = ledger_record::proof::line::LedgerSecret::from_bytes([7; 32]);
        let options = StoreOptions { memory_bytes: Some(96 * 1024 * 1024), ..StoreOptions::default() };
        let data = DataDir::open(directory, options, secret).unwrap();
        data.bind(TOPIC, &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).unwrap();
        let id = ShardId { topic: TOPIC.to_owned(), partition: 0 };
        let shard = data.open_shard(&id).unwrap();
        let ledger = Ledger::from_readers(vec![(id, shard.reader())]);
        Self { shard, ledger, offset: 0, recorded: Timestamp::from_millis(0) }
    }

    fn take(&mut self, event: Event) -> bool {
        self.offset += 1;
        self.recorded = self.recorded.max(event.time);
        let mut batch = self.shard.begin();
        let offer = batch.offer(IncomingEvent {
            from: Coordinates { source: TOPIC.into(), partition: 0, offset: self.offset },
            source_time: self.recorded,
            event,
            time_defaulted: false,
            future: FutureLimit::AfterRecorded,
        });
        let is_appended = matches!(offer.unwrap(), AppendResult::Appended { .. });
        batch.advance(TOPIC, SourcePosition::Kafka { next_offset: self.offset + 1, leader_epoch: None });
        batch.commit().unwrap();
        is_appended
    }

    /// Every installation, by its keys.
    fn states(&self, at: Timestamp) -> Vec<Value> {
        let all = InstallationsQuery {
            page: Page { cursor: None, limit: Some(1000) },
            ..InstallationsQuery::default()
        };
        let list = self.ledger.ask(&all, at, &no_lines).unwrap();
        list.installations.iter().map(to_json).collect()
    }

    /// Runs a command dry, then takes it in: the ledger is what the dry run showed.
    fn check(&mut self, given: &Value, about: &str) -> usize {
        let now = Timestamp::from_millis(self.recorded.as_millis() + HOUR_MS);
        let command = Command::read(given.to_string().as_bytes(), None, decoded, now).unwrap();
        let event = command.event().clone();
        let at = now.max(event.time);
        let before = self.states(at);
        let dry = to_json(&self.ledger.dry_run(&command, now).unwrap());
        assert!(self.take(event.clone()), "{about}");
        let after = self.states(at);
        if let Some(client) = given["clientKey"].as_str() {
            let of_client = |states: &[Value]| {
                states.iter().filter(|state| state["clientKey"] == client).cloned().collect::<Vec<_>>()
            };
            assert_eq!(dry["before"], Value::Array(of_client(&before)), "{about}");
            assert_eq!(dry["after"], Value::Array(of_client(&after)), "{about}");
        }
        let expected = differences(&before, &after);
        assert_eq!(dry["changes"], Value::Array(expected.clone()), "{about}");
        assert_eq!(dry["changed"], expected.len(), "{about}");
        let again = to_json(&self.ledger.dry_run(&command, now).unwrap());
        assert_eq!(
            (&again["changed"], again["records"].as_array().unwrap().len()),
            (&0.into(), 1),
            "{about}"
        );
        let mut other = given.clone();
        other["reason"] = "another".into();
        let other = Command::read(other.to_string().as_bytes(), None, decoded, now).unwrap();
        assert!(matches!(self.ledger.dry_run(&other, now), Err(CommandError::Conflict { .. })), "{about}");
        expected.len()
    }
}

/// The installations that are shown otherwise, as a dry run lists them.
fn differences(before: &[Value], after: &[Value]) -> Vec<Value> {
    let shown = |state: &Value| {
        let mut state = state.clone();
        state.as_object_mut().unwrap().remove("seq");
        state
    };
    let was = |state: &Value| {
        before.iter().find(|was| was["clientKey"] == state["clientKey"] && was["appKey"] == state["appKey"])
    };
    let changed = after.iter().filter(|state| was(state).map(shown) != Some(shown(state)));
    let change = |state: &Value| {
        let mut change = json!({"clientKey": state["clientKey"], "appKey": state["appKey"], "after": state});
        if let Some(was) = was(state) {
            change["before"] = was.clone();
        }
        change
    };
    changed.map(change).collect()
}

/// The command of a number, of each type in turn.
fn command(number: usize, client: &str, app: &str, time: Timestamp) -> Value {
    let urls = json!({ "EU": "https://eu.example.com", "US": "https://us.example.com" });
    let descriptor = json!({
        "baseUrl": "https://example.com", "regionBaseUrls": urls, "dataResidency": { "realmPersistence": true }
    });
    let (kind, fields) = match number % 12 {
        0 => ("override", json!({"action": "PIN", "realm": "US"})),
        1 => ("override", json!({"action": "FORGET"})),
        2 => ("product-moved", json!({"productRealm": "EU"})),
        3 => ("policy-set", json!({"policy": {"mode": "days", "days": 3}})),
        4 => ("descriptor-published", json!({"descriptor": descriptor})),
        5 => ("data-located", json!({"realm": "AU"})),
        6 => ("subscription-observed", json!({"state": "INACTIVE"})),
        7 => ("continued", json!({"fromClientKey": "older", "fromRealm": "DE", "evidence": "operator"})),
        8 => ("superseded", json!({"toClientKey": "newer", "evidence": "operator"})),
        9 => ("migrated", json!({"targetRealm": "EU"})),
        10 => ("override", json!({"action": "RELEASE"})),
        _ => ("policy-set", json!({"policy": {"mode": "subscription", "graceDays": 2}})),
    };
    let mut event = json!({"id": format!("command-{number}"), "type": kind, "time": format_instant(time),
                           "actor": "eva", "reason": "case 1"});
    let members = event.as_object_mut().unwrap();
    members.extend(fields.as_object().unwrap().clone());
    if !matches!(kind, "policy-set" | "descriptor-published") {
        members.insert("clientKey".to_owned(), client.into());
    }
    if kind != "product-moved" {
        members.insert("appKey".to_owned(), app.into());
    }
    event
}

#[test]
fn dry_run_of_any_command_shows_what_then_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let (mut checked, mut changed, mut scenarios) = (0, 0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let scenario: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let scratch = scratch::directory();
        let mut world = World::new(&scratch.path().join("data"));
        let mut times = Vec::new();
        let (mut client, mut app) = ("nobody.example".to_owned(), "no.app".to_owned());
        for event in scenario["events"].as_array().unwrap() {
            let Ok(read) = decoded(event.to_string().as_bytes()) else { continue };
            times.push(read.time);
            client = event["clientKey"].as_str().map_or(client, ToOwned::to_owned);
            app = event["appKey"].as_str().map_or(app, ToOwned::to_owned);
            world.take(read);
            let time = match checked % 4 {
                0 => world.recorded,
                1 => times[times.len() / 2],
                2 => Timestamp::from_millis(times.iter().min().unwrap().as_millis() - HOUR_MS),
                _ => Timestamp::from_millis(world.recorded.as_millis() + 20 * HOUR_MS),
            };
            let given = command(scenarios + checked, &client, &app, time);
            let about = format!("{} after {}: {given}", scenario["name"], event["id"]);
            changed += world.check(&given, &about);
            checked += 1;
        }
        scenarios += 1;
    }
    assert!(scenarios >= 30 && checked > 150 && changed > 100, "{scenarios} {checked} {changed}");
}
