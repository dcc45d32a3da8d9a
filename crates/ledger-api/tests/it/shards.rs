//! Many shards as one ledger: which shard has a tenant, and which queries are refused.

use std::time::Duration;

use ledger_api::ledger::{Ledger, NotReady, QueryError};
use ledger_api::query::{AsOf, AsOfAll, Filter, PreviewQuery, WindowFilter};
use ledger_store::Halted;
use serde_json::json;

use crate::filled::Ask as _;
use crate::filled::{Filled, app, client, hour, installed, json, shard};

fn split() -> Filled {
    let mut filled = Filled::with(3);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.take(1, 2, installed("split", "app", "EU", "EU"));
    filled.take(2, 3, installed("split", "app", "US", "US"));
    filled.take(2, 4, installed("zeta", "app", "US", "US"));
    filled
}

#[test]
fn tenant_in_two_shards_is_refused() {
    let filled = split();
    let who = client("split");
    let ledger = &filled.ledger;
    let asked =
        PreviewQuery { client: who.clone(), app: app("app"), product_realm: None, as_of: AsOf::default() };
    let refusals = [
        ledger.tenant(&who, AsOf::default(), hour(9)).map(|_| ()).unwrap_err(),
        ledger.installation(&who, &app("app"), AsOf::default(), hour(9)).map(|_| ()).unwrap_err(),
        ledger.log(&who, 1, 9, AsOf::default(), hour(9)).map(|_| ()).unwrap_err(),
        ledger.explain(&who, &app("app"), AsOf::default(), hour(9)).map(|_| ()).unwrap_err(),
        ledger.put(&asked, hour(9)).map(|_| ()).unwrap_err(),
        ledger.await_position(&who, 0, Duration::ZERO, hour(9)).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), "tenant-in-two-partitions");
        let QueryError::TenantInTwoPartitions { client, shards } = refusal else { panic!("{refusal}") };
        assert_eq!((client, shards), (who.clone(), vec![shard(1), shard(2)]));
    }
    assert!(ledger.tenant(&client("zeta"), AsOf::default(), hour(9)).is_ok());
}

#[test]
fn list_omits_torn_tenants_and_names_them() {
    let filled = split();
    let nobody = app("nobody");
    for filter in [
        Filter::default(),
        Filter { app: Some(app("app")), ..Filter::default() },
        Filter { app: Some(nobody.clone()), ..Filter::default() },
        Filter { drift: Some(true), ..Filter::default() },
        Filter { split_brain: Some(true), ..Filter::default() },
        Filter { anomalous: Some(true), ..Filter::default() },
        Filter { window: Some(WindowFilter::Open), ..Filter::default() },
    ] {
        let lists_all = filter == Filter::default() || filter.app == Some(app("app"));
        let page = filled.ledger.installations(&filter, None, 100, AsOfAll::default(), hour(9)).unwrap();
        let listed: Vec<_> = page.installations.iter().map(|state| state.client.as_str()).collect();
        assert_eq!(listed, if lists_all { vec!["acme", "zeta"] } else { Vec::new() });
        let refused = json(&page)["refused"].clone();
        let shards = ["realm.lifecycle/1", "realm.lifecycle/2"];
        let expected = json!([{"clientKey": "split", "code": "tenant-in-two-partitions", "shards": shards}]);
        assert_eq!(refused, expected, "{filter:?}");
    }
}

/// Torn tenants fill the pages before the first installation.
#[test]
fn torn_tenants_come_first_page_by_page() {
    let mut filled = Filled::with(2);
    for torn in ["birch", "cedar", "dune"] {
        filled.take(0, 1, installed(torn, "app", "EU", "EU"));
        filled.take(1, 1, installed(torn, "app", "EU", "EU"));
    }
    filled.take(1, 2, installed("acme", "app", "EU", "EU"));
    for window in [None, Some(WindowFilter::Open)] {
        let filter = Filter { window, ..Filter::default() };
        let (mut named, mut listed, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let page = filled
                .ledger
                .installations(&filter, cursor.as_ref(), 2, AsOfAll::default(), hour(9))
                .unwrap();
            named.push(page.refused.iter().map(|torn| torn.client_key.clone()).collect::<Vec<_>>());
            listed.extend(page.installations.iter().map(|state| state.client.as_str().to_owned()));
            cursor = page.next_cursor.map(|cursor| cursor.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(named[..2], [vec!["birch", "cedar"], vec!["dune"]], "{window:?}");
        assert_eq!(listed, if window.is_none() { vec!["acme"] } else { Vec::new() });
    }
}

#[test]
fn failed_shard_makes_absence_not_ready() {
    let filled = split();
    let halted = Halted { code: "open", message: "the disk is gone".to_owned() };
    filled.catalog.fail(shard(7), halted);
    let unknown = filled.ledger.tenant(&client("nobody"), AsOf::default(), hour(9)).unwrap_err();
    assert_eq!(unknown.code(), "not-ready");
    assert!(unknown.to_string().contains("realm.lifecycle/7 has halted (open)"), "{unknown}");
    assert!(filled.ledger.tenant(&client("acme"), AsOf::default(), hour(9)).is_ok());
    let item = filled.ledger.quarantine_item(&shard(7), 1, hour(9)).unwrap_err();
    assert_eq!(item.code(), "not-ready");
    let freshness = filled.ledger.freshness(hour(9));
    assert_eq!(freshness.len(), 4);
    assert_eq!(freshness[3].partition, 7);
    assert_eq!(freshness[3].halted.as_ref().unwrap().code, "open");
}

#[test]
fn unassigned_shard_makes_absence_not_ready() {
    let filled = split();
    let ledger = &filled.ledger;
    let asked = |who: &str| {
        let asked = PreviewQuery {
            client: client(who),
            app: app("app"),
            product_realm: None,
            as_of: AsOf::default(),
        };
        [
            ledger.tenant(&client(who), AsOf::default(), hour(9)).err(),
            ledger.installation(&client(who), &app("other"), AsOf::default(), hour(9)).err(),
            ledger.log(&client(who), 1, 9, AsOf::default(), hour(9)).err(),
            ledger.put(&asked, hour(9)).err(),
            ledger.explain(&client(who), &app("other"), AsOf::default(), hour(9)).err(),
        ]
        .map(|error| error.map_or("answered", |error| error.code()))
    };
    filled.catalog.expect("realm.lifecycle", Some(3));
    assert_eq!(asked("nobody"), ["not-found", "not-found", "not-found", "answered", "not-found"]);
    filled.catalog.expect("realm.lifecycle", Some(4));
    assert_eq!(asked("nobody"), ["not-ready"; 5], "partition 3 is another process's");
    let its_shard_is_fed_here = ["answered", "not-found", "answered", "answered", "not-found"];
    assert_eq!(asked("acme"), its_shard_is_fed_here);
    filled.catalog.give_up(&shard(0));
    let of_acme = asked("acme");
    assert_eq!((of_acme[0], of_acme[1]), ("answered", "not-ready"), "installed since, perhaps");
    assert_eq!(of_acme[4], "not-ready");
    let error = ledger.tenant(&client("nobody"), AsOf::default(), hour(9)).unwrap_err();
    assert!(
        error.to_string().ends_with(": realm.lifecycle/0 is not fed here, realm.lifecycle/3 is not fed here"),
        "{error}"
    );
    let QueryError::NotReady(NotReady { topics, freshness, .. }) = error else { panic!("{error}") };
    assert_eq!((topics.len(), freshness.len()), (0, 4), "of all shards");
    for (of, code) in [(shard(3), "not-ready"), (shard(0), "not-ready"), (shard(1), "not-found")] {
        assert_eq!(ledger.quarantine_item(&of, 1, hour(9)).unwrap_err().code(), code, "{of}");
    }
    let page = ledger.installations(&Filter::default(), None, 100, AsOfAll::default(), hour(9)).unwrap();
    let stale: Vec<_> = page.freshness.iter().map(|of| (of.partition, of.stale, of.position)).collect();
    assert_eq!(stale[3], (3, true, None), "a list says what it lacks");
    filled.catalog.expect("realm.other", None);
    assert!(
        ledger
            .tenant(&client("nobody"), AsOf::default(), hour(9))
            .unwrap_err()
            .to_string()
            .contains("realm.other")
    );
}

#[test]
fn ledger_of_readers_gives_the_same_answers() {
    let filled = split();
    let mut readers = filled.readers();
    readers.reverse();
    let ledger = Ledger::from_readers(readers);
    let list = |ledger: &Ledger| {
        let page = ledger.installations(&Filter::default(), None, 100, AsOfAll::default(), hour(9)).unwrap();
        json(&page)["installations"].clone()
    };
    assert_eq!(list(&ledger), list(&filled.ledger));
    let freshness = ledger.freshness(hour(9));
    assert_eq!(freshness.iter().map(|one| one.partition).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(freshness.iter().all(|one| one.phase == "IDLE" && one.lag.is_none()));
}

#[test]
fn min_position_is_awaited() {
    let mut filled = split();
    let wait = |filled: &Filled, who: &str, position, ms| {
        let timeout = Duration::from_millis(ms);
        filled.ledger.await_position(&client(who), position, timeout, hour(9)).map_err(|error| error.code())
    };
    // Each record but the first begins another minute, so a seal precedes it.
    assert_eq!(wait(&filled, "zeta", 2, 0), Ok(()));
    assert_eq!(wait(&filled, "zeta", 3, 10), Err("position-not-reached"));
    assert_eq!(wait(&filled, "nobody", 0, 10), Err("not-found"));
    // A halted shard gets no new records, so waiting for a position is refused.
    let halted = Halted { code: "retention-gap", message: "offsets 5 to 9 are gone".to_owned() };
    filled.statuses[1].halt(halted);
    let before = std::time::Instant::now();
    filled.take(1, 5, installed("new-here", "app", "EU", "EU"));
    assert_eq!(wait(&filled, "new-here", 0, 60_000), Ok(()));
    assert_eq!(wait(&filled, "new-here", 99, 60_000), Err("shard-halted"));
    assert!(before.elapsed() < Duration::from_secs(30));
    let ledger = std::sync::Arc::clone(&filled.ledger);
    let waiting = std::thread::spawn(move || {
        let waited = ledger.await_position(&client("new"), 4, Duration::from_secs(20), hour(9));
        waited.map_err(|error| error.code())
    });
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(filled.take(2, 5, installed("new", "app", "US", "US")), 4);
    assert_eq!(waiting.join().unwrap(), Ok(()));
}
