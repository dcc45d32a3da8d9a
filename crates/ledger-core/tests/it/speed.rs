//! A hot tenant of 100,000 records stays cheap: no step looks at the whole history.

use std::time::{Duration, Instant};

use ledger_core::history::trace;
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use serde_json::json;

use crate::reader;

/// Far above what it takes, far below what a quadratic fold takes.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn a_hundred_thousand_records_fold_in_no_time() {
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
    let events: Vec<_> = (0..100_000_u32)
        .map(|number| {
            let event = json!({
                "id": format!("e-{number}"), "type": kinds[number as usize % kinds.len()],
                "time": "2026-01-01T00:00:00Z", "clientKey": "acme", "appKey": "roadmap",
                "endpointRealm": endpoints[number as usize / 10 % 2], "productRealm": "EU",
                "migrationId": number / 2, "targetRealm": "DE", "realm": "EU",
            });
            let mut event = reader::event(&event);
            event.time = Timestamp::from_millis(i64::from(number));
            event
        })
        .collect();
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
    assert!(taken < LIMIT, "took {taken:?}");
}
