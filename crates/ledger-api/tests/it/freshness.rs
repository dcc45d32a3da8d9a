//! How fresh an answer is, and when a process is ready.

use ledger_api::ledger::FreshnessJson;
use ledger_api::query::AsOf;
use ledger_store::{Halted, Phase};

use crate::filled::Ask as _;
use crate::filled::{Filled, client, hour, installed};

fn of_acme(filled: &Filled, now: i64) -> FreshnessJson {
    let answer = filled.ledger.tenant(&client("acme"), AsOf::default(), hour(now)).unwrap();
    assert_eq!(answer.freshness.len(), 1);
    answer.freshness[0].clone()
}

#[test]
fn answer_has_the_freshness_of_its_shard() {
    let mut filled = Filled::with(2);
    filled.take(1, 1, installed("acme", "app", "EU", "EU"));
    filled.statuses[1].update(|now| {
        now.phase = Phase::CatchingUp;
        now.lag_events = Some(5);
        now.last_source_time = Some(hour(1));
        now.split_tenants = 2;
    });
    let fresh = of_acme(&filled, 2);
    assert_eq!((fresh.topic.as_str(), fresh.partition, &*fresh.phase), ("realm.lifecycle", 1, "CATCHING_UP"));
    assert_eq!((fresh.offset, fresh.position), (Some(2), Some(0)));
    assert_eq!((fresh.lag, fresh.lag_seconds), (Some(5), Some(3600)));
    assert_eq!((fresh.halted, fresh.split_tenants), (None, 2));
}

#[test]
fn halted_shard_answers_with_its_halt() {
    let mut filled = Filled::with(2);
    filled.take(1, 1, installed("acme", "app", "EU", "EU"));
    filled.statuses[1].halt(Halted { code: "retention-gap", message: "offsets 5 to 9 are gone".to_owned() });
    let fresh = of_acme(&filled, 2);
    assert_eq!(fresh.phase, "HALTED");
    assert_eq!(fresh.halted.unwrap().code, "retention-gap");
    let phases: Vec<_> = filled.ledger.freshness(hour(2)).iter().map(|shard| shard.phase.clone()).collect();
    assert_eq!(phases, ["LIVE", "HALTED"]);
}

#[test]
fn unreachable_source_replaces_the_not_sealed_reason() {
    let mut filled = Filled::with(2);
    filled.take(1, 1, installed("acme", "app", "EU", "EU"));
    let stalled = || of_acme(&filled, 2).stalled.map(|stalled| stalled.code);
    assert_eq!(stalled().as_deref(), None);
    let told = |code| Some(Halted { code, message: "the log says why".to_owned() });
    filled.statuses[1].update(|now| now.stalled = told("not-sealed"));
    assert_eq!(stalled().as_deref(), Some("not-sealed"));
    filled.statuses[1].set_source_blocked(told("source-unreachable"), false);
    assert_eq!(stalled().as_deref(), Some("source-unreachable"), "that is why");
}
