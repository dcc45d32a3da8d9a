//! A hot tenant stays cheap: ten times the history costs ten times the fold, not a hundred times.

use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::history::trace;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use serde_json::json;

use crate::reader;

/// Linear is 10, quadratic is 100; the machine is busy with other things.
const MOST: u32 = 40;

#[test]
fn a_hundred_thousand_records_cost_ten_times_ten_thousand() {
    let events = history(100_000);
    let small = (0..3).map(|_| time_of_every_way(&events[..10_000])).min().unwrap();
    let large = time_of_every_way(&events);
    assert!(large < small * MOST, "{large:?} against {small:?}");
}

/// Installs, uninstalls and ever new migrations, a millisecond apart, so that every look back looks far.
fn history(count: usize) -> Vec<Event> {
    let kinds = [
        "installed",
        "enabled",
        "migration-scheduled",
        "migration-committed",
        "data-located",
        "disabled",
        "installed",
        "migration-scheduled",
        "migration-rolled-back",
        "uninstalled",
    ];
    let endpoints = ["EU", "US"];
    let native = |number: usize| {
        json!({
            "id": format!("e-{number}"), "type": kinds[number % kinds.len()],
            "time": "2026-01-01T00:00:00Z", "clientKey": "acme", "appKey": "roadmap",
            "endpointRealm": endpoints[number / 10 % 2], "productRealm": "EU",
            "migrationId": number / 2, "targetRealm": "DE", "realm": "EU",
        })
    };
    let events = (0..count).map(|number| reader::event(&native(number)));
    events.zip(0..).map(|(event, ms)| Event { time: Timestamp::from_millis(ms), ..event }).collect()
}

fn time_of_every_way(events: &[Event]) -> Duration {
    let entries: Vec<_> = events.iter().zip(1..).map(|(event, seq)| Entry { seq, event }).collect();
    let apps = AppTimelines::default();

    let begun = Instant::now();
    let folded = Tenant::from_history(&entries, &apps);
    let mut appended = Tenant::default();
    for entry in &entries {
        appended.append(*entry, &apps);
    }
    let (late, outcome) = Tenant::append_late(&entries[1..], entries[0], &apps);
    let traced = trace(&entries, &apps, Timestamp::MAX);
    let taken = begun.elapsed();

    assert_eq!(folded, appended);
    assert_eq!(folded, late);
    assert!(outcome.late);
    assert_eq!(traced.len(), entries.len());
    taken
}
