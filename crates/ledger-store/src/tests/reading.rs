use std::time::Duration;

use crate::tests::*;
use crate::{AlignmentClass, HistoryError, KnowledgeBound, KnowledgeCut, List, ReadTier, WaitError};
use ledger_core::event::SubscriptionState;
use ledger_record::record::Stream;

fn with_product(of: &str, app_key: &str, id: &str, hours: i64, at: &str, product: &str) -> Event {
    let fact = Installed {
        endpoint_realm: Some(realm(at)),
        product_realm: Some(realm(product)),
        ..Installed::default()
    };
    on_installation(of, app_key, id, hours, InstallationFact::Installed(Box::new(fact)))
}

#[test]
fn history_ends_at_the_knowledge_bound() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    // Recorded in one minute, a second for each hour.
    let recorded = |hours: i64| hour(100).plus_millis(1000 * hours);
    let events = [
        policy_set("app", "p1", 0, 10),
        installed("acme", "app", "e1", 1, "EU"),
        policy_set("app", "p2", 2, 20),
        uninstalled("acme", "app", "e2", 3),
        installed("birch", "app", "e1", 4, "EU"),
        policy_set("app", "p3", 5, 30),
        policy_set("other", "p1", 5, 50),
    ];
    let mut batch = shard.begin();
    for (offset, event) in (0..).zip(events) {
        let source_time = hour(100).plus_millis(event.time.millis_since(hour(0)) / 3600);
        batch.offer(IncomingEvent { source_time, ..arrival(offset, event) }).unwrap();
    }
    batch.commit().unwrap();
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let acme = client("acme");
    let days_at_the_end = |known| {
        let history = snapshot.history(&acme, known).unwrap();
        let Policy::Days { days } = history.apps.of(&app("app")).policy_at(Timestamp::MAX) else {
            return (history.events.len(), 0);
        };
        assert_eq!(history.entries().len(), history.events.len());
        (history.events.len(), days)
    };
    assert_eq!(days_at_the_end(KnowledgeBound::All), (2, 30));
    assert_eq!(days_at_the_end(KnowledgeBound::Seq(2)), (2, 20));
    assert_eq!(days_at_the_end(KnowledgeBound::Seq(1)), (1, 10));
    assert_eq!(days_at_the_end(KnowledgeBound::Seq(0)), (0, 0));
    assert_eq!(days_at_the_end(KnowledgeBound::Recorded(recorded(1))), (1, 10));
    assert_eq!(days_at_the_end(KnowledgeBound::Recorded(recorded(2))), (1, 20));
    assert_eq!(days_at_the_end(KnowledgeBound::Recorded(recorded(0))), (0, 0));
    let Err(HistoryError::NoSuchSeq { asked: 3, last: 2 }) = snapshot.history(&acme, KnowledgeBound::Seq(3))
    else {
        panic!()
    };
    let nobody = snapshot.history(&client("nobody"), KnowledgeBound::All).unwrap();
    assert_eq!(nobody.events, []);
    let other = app("other");
    let known = |cut| snapshot.timelines_of([&other], cut).unwrap().of(&other).policy_at(Timestamp::MAX);
    assert_eq!(known(KnowledgeCut::Open), Policy::Days { days: 50 });
    assert_eq!(known(KnowledgeCut::AfterPosition(5)), Policy::Descriptor);
    assert_eq!(snapshot.app_timelines().unwrap(), shard.timelines);
}

#[test]
fn scans_start_at_the_given_position() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    for round in 0..3 {
        let events = (0..300)
            .map(|index| installed(&format!("tenant-{index:03}"), "app", &format!("e{round}"), round, "EU"));
        append(&mut shard, events);
    }
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let positions: Vec<_> =
        snapshot.records_from(250).unwrap().map(|record| record.unwrap().position).collect();
    assert_eq!(positions, (250..900).collect::<Vec<_>>());
    for position in [900, u64::MAX] {
        assert_eq!(snapshot.records_from(position).unwrap().count(), 0, "{position}");
    }
    let stream = Stream::Tenant(client("tenant-007"));
    let seqs: Vec<_> = snapshot.records(&stream, 2).unwrap().map(|record| record.unwrap().seq).collect();
    assert_eq!(seqs, [2, 3]);
    let clients: Vec<_> =
        snapshot.tenants(Some(&client("tenant-298"))).unwrap().map(|tenant| tenant.unwrap().0).collect();
    assert_eq!(clients, [client("tenant-298"), client("tenant-299")]);
    let grouped: Vec<_> = snapshot.tenant_records().unwrap().map(Result::unwrap).collect();
    assert!(grouped.iter().map(|record| (&record.stream, record.seq)).is_sorted());
    assert_eq!(grouped.len(), 900);
    let apps: Vec<_> = snapshot.apps().unwrap().map(Result::unwrap).collect();
    assert_eq!(apps.len(), 1);
    assert_eq!((apps[0].1.installations, apps[0].1.latest), (300, Some(hour(2))));
}

#[test]
fn snapshot_excludes_later_commits() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let mut positions = snapshot.records_from(0).unwrap();
    append(&mut shard, [uninstalled("acme", "app", "e2", 1), installed("birch", "app", "e1", 1, "EU")]);
    assert!(positions.next().is_some());
    assert!(positions.next().is_none());
    assert_eq!(snapshot.head().unwrap().next_position, 1);
    assert_eq!(snapshot.tenant(&client("acme")).unwrap().unwrap().seq, 1);
    assert_eq!(snapshot.tenants(None).unwrap().count(), 1);
    assert_eq!(snapshot.history(&client("acme"), KnowledgeBound::All).unwrap().events.len(), 1);
}

#[test]
fn snapshot_waits_for_a_position() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let reader = shard.reader();
    assert!(reader.snapshot_at_least(0, Duration::ZERO).is_ok());
    let Err(WaitError::TimedOut { asked: 1, next: 1 }) =
        reader.snapshot_at_least(1, Duration::from_millis(1))
    else {
        panic!()
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let snapshot = reader.snapshot_at_least(1, Duration::from_mins(1)).unwrap();
            snapshot.head().unwrap().next_position
        });
        append(&mut shard, [uninstalled("acme", "app", "e2", 1)]);
        assert_eq!(waiting.join().unwrap(), 2);
    });
    let still = ledger.data.read_shard(&shard_id(0)).unwrap();
    assert!(matches!(still.snapshot_at_least(2, Duration::from_mins(1)), Err(WaitError::TimedOut { .. })));
}

#[test]
fn publisher_cursor_is_stored_apart_from_the_log() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let cursor = shard.reader().publisher_cursor();
    let before = dump(&shard.reader());
    assert_eq!(cursor.get().unwrap(), 0);
    cursor.set(1).unwrap();
    assert_eq!(cursor.get().unwrap(), 1);
    assert_eq!(shard.reader().snapshot().publisher_position().unwrap(), 1);
    assert_eq!(dump(&shard.reader()), before);
    drop((cursor, shard));
    assert_eq!(ledger.shard().reader().publisher_cursor().get().unwrap(), 1);
}

#[test]
fn list_pages_follow_every_change() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let names: Vec<_> = (0..5).map(|number| format!("tenant-{number}")).collect();
    append(&mut shard, [policy_set("app", "p1", 0, 30)]);
    append(&mut shard, names.iter().map(|of| with_product(of, "app", "e1", 1, "EU", "US")));
    append(&mut shard, [with_product("tenant-9", "other", "e1", 1, "US", "US")]);
    let all = |shard: &Shard, list: &List| {
        let reader = shard.reader();
        let snapshot = reader.snapshot();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = snapshot.list(list, cursor.as_deref(), 2).unwrap();
            assert!(page.installations.len() == 2 || page.next.is_none());
            found.extend(page.installations.into_iter().map(|(client, _)| client.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    assert_eq!(all(&shard, &List::App(app("app"))), names);
    assert_eq!(all(&shard, &List::Realm(realm("EU"))), names);
    assert_eq!(all(&shard, &List::Realm(realm("US"))), ["tenant-9"]);
    let class = |app_key: &str, pinned: &str, product: &str| AlignmentClass {
        app: app(app_key),
        pinned: realm(pinned),
        product: realm(product),
    };
    let classes = shard.reader().snapshot().alignment_classes(None).unwrap();
    assert_eq!(classes, [class("app", "EU", "US"), class("other", "US", "US")]);
    let of_other = shard.reader().snapshot().alignment_classes(Some(&app("other"))).unwrap();
    assert_eq!(of_other, [class("other", "US", "US")]);
    assert_eq!(all(&shard, &List::Alignment(class("app", "EU", "US"))), names);

    append(&mut shard, [uninstalled("tenant-1", "app", "e2", 2), uninstalled("tenant-3", "app", "e2", 9)]);
    let located = |of: &str, at: &str| {
        on_installation(of, "app", &format!("d{at}"), 3, InstallationFact::DataLocated { realm: realm(at) })
    };
    append(&mut shard, [located("tenant-0", "US"), located("tenant-2", "EU")]);
    let observed = InstallationFact::SubscriptionObserved { state: SubscriptionState::Active };
    append(&mut shard, [on_installation("tenant-4", "app", "s1", 3, observed)]);
    let windows = |from, before| List::Windows { from, before };
    let month = 30 * 24;
    assert_eq!(all(&shard, &windows(None, None)), ["tenant-1", "tenant-3"]);
    assert_eq!(all(&shard, &windows(None, Some(hour(month + 9)))), ["tenant-1"]);
    assert_eq!(all(&shard, &windows(Some(hour(month + 9)), None)), ["tenant-3"]);
    assert_eq!(all(&shard, &List::SplitBrain), ["tenant-0"]);
    assert_eq!(all(&shard, &List::Alignment(class("app", "EU", "US"))), ["tenant-0", "tenant-2", "tenant-4"]);
    append(&mut shard, [located("tenant-0", "EU"), uninstalled("tenant-1", "app", "e3", 10)]);
    assert_eq!(all(&shard, &List::SplitBrain), [""; 0]);
    assert_eq!(all(&shard, &List::Anomalous), ["tenant-1"]);
    assert_whole(&shard.reader());
}

#[test]
fn full_scan_gives_whole_histories() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(
        &mut shard,
        [
            installed("birch", "app", "e1", 1, "EU"),
            installed("acme", "app", "e1", 2, "EU"),
            policy_set("app", "p1", 0, 10),
            uninstalled("birch", "app", "e2", 3),
            // Late, and still last: arrival order.
            uninstalled("acme", "app", "e2", 1),
            installed("acme.b", "app", "e1", 5, "EU"),
        ],
    );
    let reader = shard.reader();
    let snapshot = reader.snapshot();
    let mut histories = snapshot.histories().unwrap();
    let mut found = Vec::new();
    while let Some((client, events)) = histories.advance().unwrap() {
        let history = snapshot.history(client, KnowledgeBound::All).unwrap();
        assert_eq!(events, history.events, "{client}");
        found.push((client.to_string(), events.len()));
    }
    assert_eq!(found, [("acme".to_owned(), 2), ("acme.b".to_owned(), 1), ("birch".to_owned(), 2)]);
    let keys: Vec<_> = snapshot.tenant_keys().unwrap().map(|key| key.unwrap().to_string()).collect();
    assert_eq!(keys, ["acme", "acme.b", "birch"]);
}

#[test]
fn a_snapshot_of_memory_reads_nothing_from_disk() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 1, "EU")]);
    let kept = shard.reader().snapshot_of(ReadTier::Memory).tenant(&client("acme")).unwrap();
    assert!(kept.is_some(), "it was only just written");
    shard.flush().unwrap();
    drop(shard);
    // Other caches, as after a start.
    let data = DataDir::open_existing_read_only(ledger.dir.path(), StoreOptions::default()).unwrap();
    let reader = data.read_shard(&shard_id(0)).unwrap();
    assert!(reader.snapshot_of(ReadTier::Memory).tenant(&client("acme")).is_err());
    assert_eq!(reader.snapshot().tenant(&client("acme")).unwrap(), kept);
    assert_eq!(reader.snapshot_of(ReadTier::Memory).tenant(&client("acme")).unwrap(), kept);
}
