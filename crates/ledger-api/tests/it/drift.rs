//! Drift follows the descriptor in force, which an installation may have brought itself.

use ledger_api::query::{AsOfAll, Filter};
use ledger_core::ids::ClientKey;

use crate::filled::Ask as _;
use crate::filled::{Filled, app, hour, installed, installed_with, product_moved, realm};

fn drifting(filled: &Filled, now: i64) -> Vec<String> {
    let filter = Filter { drift: Some(true), ..Filter::default() };
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = filled.ledger.installations(&filter, cursor.as_ref(), 2, AsOfAll::default(), hour(now));
        let page = page.unwrap();
        listed.extend(page.installations.iter().map(|state| ClientKey::as_str(&state.client).to_owned()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return listed;
        }
    }
}

#[test]
fn drift_follows_the_published_or_own_descriptor() {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    // Pinned where the product is: aligned, by the published descriptor.
    filled.take(0, 1, installed("aligned", "app", "EU", "EU"));
    // The same, but its own descriptor has no URL there.
    filled.take(0, 2, installed("own-drift", "app", "EU", "EU"));
    filled.take(0, 3, installed_with("own-drift", "app", "EU", &["US"]));
    // Elsewhere, by the published descriptor.
    filled.take(1, 4, installed("moved", "app", "EU", "EU"));
    filled.take(1, 5, product_moved("moved", "US"));
    // Elsewhere by the published descriptor, but its own one serves no region.
    filled.take(1, 6, installed("own-calm", "app", "GLOBAL", "US"));
    filled.take(1, 7, installed_with("own-calm", "app", "GLOBAL", &[]));
    // Its realm is unknown, so there is no drift.
    filled.take(1, 8, installed("unknown", "app", "EU", ""));
    assert_eq!(drifting(&filled, 9), ["moved", "own-drift"]);

    // A later publication replaces the own descriptor.
    filled.publish(10, "app", &["EU", "US"]);
    assert_eq!(drifting(&filled, 9), ["moved", "own-drift"]);
    assert_eq!(drifting(&filled, 10), ["moved", "own-calm"]);

    // A publication without EU moves the whole class, and touches no entry of the index.
    filled.publish(20, "app", &["US"]);
    assert_eq!(drifting(&filled, 20), ["aligned", "moved", "own-calm", "own-drift"]);

    let filter = Filter {
        drift: Some(true),
        realm: Some(realm("GLOBAL")),
        app: Some(app("app")),
        ..Filter::default()
    };
    let page = filled.ledger.installations(&filter, None, 9, AsOfAll::default(), hour(20)).unwrap();
    assert_eq!(page.installations.len(), 1);
}
