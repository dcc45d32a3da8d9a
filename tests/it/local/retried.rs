//! A refused line of a journal, once more through its server.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_tests::scratch;
use ledger_tests::server::{self, Server};
use serde_json::json;

use super::{TOPIC, import, setup};

#[test]
fn refused_line_of_a_journal_is_another_line_of_it_when_it_is_retried() {
    let scratch = scratch::directory();
    let data_dir = scratch.path().join("data");
    // Its clock was a day ahead, when it came, and a little more.
    let taken_from = SystemTime::now() + Duration::from_secs(15);
    let ms = taken_from.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let time = format_instant(Timestamp::from_millis(i64::try_from(ms).unwrap() + FUTURE_MAX_MS));
    let early = json!({"id": "early", "type": "enabled", "time": time, "clientKey": "acme", "appKey": "app"});
    import(&format!("{early}\n"), &data_dir);
    let server = Server::start(&setup(data_dir.clone()), &scratch.path().join("log"));
    server.wait_until_ready(3);
    thread::sleep(taken_from.duration_since(SystemTime::now()).unwrap_or_default());
    let item = &server.get("/v1/quarantine").1["items"][0];
    assert_eq!(item["reason"], "time-in-future", "{item}");
    let path = format!("/v1/quarantine/{TOPIC}/{}/1/retry", item["partition"]);
    let (status, dry) = server.post(&format!("{path}?dryRun=true"), &json!({}));
    assert_eq!((status, &dry["changed"]), (200, &json!(1)), "{dry}");
    assert_eq!(server.get("/v1/tenants/acme").0, 404, "a dry run records nothing");
    let (status, answer) = server.post(&path, &json!({}));
    assert_eq!((status, answer["records"].as_array().map(Vec::len)), (201, Some(1)), "{answer}");
    assert_eq!(server.post(&path, &json!({})), (201, answer.clone()), "again: its record");
    let log = server.get("/v1/tenants/acme/log").1;
    let ids: Vec<_> =
        log["records"].as_array().unwrap().iter().map(|record| &record["event"]["id"]).collect();
    assert_eq!(ids, ["early"]);
    let absent = server.post(&format!("/v1/quarantine/{TOPIC}/9/1/retry"), &json!({}));
    assert_eq!((absent.0, &absent.1["code"]), (404, &json!("not-found")));
    server.drain();
    server::verified(&data_dir, &[]);
    let segment = data_dir.join("journal").join(format!("{:020}.ndjson", 1));
    let journal = std::fs::read_to_string(segment).unwrap();
    assert_eq!(journal.lines().filter(|line| line.contains(r#""id":"early""#)).count(), 1, "{journal}");
}
