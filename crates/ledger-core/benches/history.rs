//! Whether a hot tenant stays cheap: what ten times the history costs, in times of the fold.
//!
//! ```text
//! cargo bench -p ledger-core --bench history
//! ```
//!
//! Linear is 10, quadratic is 100. Every way through a history is taken: from zero, record by record, around a
//! late record, traced. Best of five, in turn.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "only the fold itself is pure")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "the history is its own")]

use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::history::trace;
use ledger_core::refold::Refold;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use serde_json::json;

#[path = "../tests/it/reader.rs"]
mod reader;

fn main() {
    let events = history(100_000);
    let pairs: Vec<_> =
        (0..5).map(|_| (time_of_every_way(&events[..10_000]), time_of_every_way(&events))).collect();
    let small = pairs.iter().map(|(small, _)| *small).min().unwrap();
    let large = pairs.iter().map(|(_, large)| *large).min().unwrap();
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("10,000 records: {small:.1?}; 100,000: {large:.1?}; ratio {ratio:.1}");
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
    let mut history: Refold<&Event> = entries[1..].iter().map(|entry| (entry.seq, entry.event)).collect();
    let mut late = Tenant::from_history(&entries[1..], &apps);
    let outcome = history.append_late(&mut late, entries[0].seq, entries[0].event, &apps);
    let traced = trace(&entries, &apps, Timestamp::MAX);
    let taken = begun.elapsed();

    assert_eq!(folded, appended);
    assert_eq!(folded, late);
    assert!(outcome.late);
    assert_eq!(traced.len(), entries.len());
    taken
}
