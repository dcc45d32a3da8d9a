use std::collections::BTreeSet;

use crate::tests::*;
use ledger_record::record::{Content, Record};

fn record(reader: &Reader, position: u64) -> Record {
    reader.snapshot().record_at(position).unwrap().unwrap()
}

#[test]
fn late_event_corrects_later_outcomes() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    // The policy keeps the pin 30 days: with the late uninstall seen, the second install is a reinstall.
    append(
        &mut shard,
        [
            policy_set("app", "p1", 0, 30),
            installed("acme", "app", "e1", 1, "EU"),
            installed("acme", "app", "e2", 100, "EU"),
        ],
    );
    let offers = append(&mut shard, [uninstalled("acme", "app", "e3", 50)]);
    assert_eq!(offers, [appended(3, 3, true)]);
    let reader = shard.reader();
    let Content::Event { outcome, .. } = record(&reader, 3).content else { panic!() };
    assert!(outcome.late);
    let correction = outcome.changes[0].correction.unwrap();
    assert_eq!((correction.first_seq, correction.count), (2, 1));
    assert_true(&reader);
}

#[test]
fn lateness_counts_stored_and_batched_events() {
    let events = [
        installed("acme", "app", "e1", 1, "EU"),
        uninstalled("acme", "app", "e2", 90),
        installed("acme", "app", "e3", 50, "US"),
        uninstalled("acme", "app", "e4", 40),
        installed("acme", "app", "e5", 100, "EU"),
        product_moved("acme", "e6", 60, "EU"),
    ];
    let [split, whole] = [Ledger::new(), Ledger::new()];
    let (mut one, mut other) = (split.shard(), whole.shard());
    for event in events.clone() {
        append(&mut one, [event]);
    }
    let offers = append(&mut other, events);
    assert_eq!(offers[2], appended(2, 3, true));
    assert_eq!(offers[4], appended(4, 5, false));
    assert_eq!(dump(&one.reader()), dump(&other.reader()));
    assert_true(&one.reader());
}

#[test]
fn app_event_in_time_corrects_nothing() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 1, "EU"), installed("acme", "other", "e2", 50, "EU")]);
    let tenants = dump(&shard.reader())["tenants"].clone();
    // After everything of its app, though not of the tenant.
    let offers = append(&mut shard, [policy_set("app", "p1", 2, 10), policy_set("nobody", "p1", 0, 1)]);
    let in_time = |position| AppendResult::Appended { position, seq: 1, late: false, new_tenant: false };
    assert_eq!(offers, [in_time(2), in_time(3)]);
    assert_eq!(dump(&shard.reader())["tenants"], tenants);
    assert_eq!(dump(&shard.reader())["corrections"], []);
    assert_eq!(shard.reader().snapshot().app(&app("app")).unwrap().unwrap().latest, Some(hour(1)));
}

#[test]
fn late_app_event_corrects_every_later_installation() {
    const TENANTS: usize = 300;
    let name = |number: usize| format!("tenant-{number:03}");
    let [cold, warm] = [0, 256 << 20].map(|memory_bytes| {
        let ledger =
            Ledger::with(StoreOptions { memory_bytes: Some(memory_bytes), ..StoreOptions::default() });
        let mut shard = ledger.shard();
        let installs = (0..TENANTS).map(|number| installed(&name(number), "app", "i", 1, "EU"));
        append(&mut shard, installs);
        // Two thirds are uninstalled after the hour of the late policy, one third before it.
        let uninstalls = (0..TENANTS)
            .map(|number| uninstalled(&name(number), "app", "u", if number % 3 == 0 { 5 } else { 20 }));
        append(&mut shard, uninstalls);
        // In the same batch: a tenant that is not stored yet, and one that is.
        let fresh = ["fresh-a", "fresh-b"]
            .map(|of| [installed(of, "app", "i", 1, "EU"), uninstalled(of, "app", "u", 30)]);
        let touched = installed(&name(1), "other", "o", 2, "US");
        let mut events: Vec<_> = fresh.into_iter().flatten().collect();
        events.extend([touched, policy_set("app", "p1", 10, 30)]);
        let offers = append(&mut shard, events);
        let Some(AppendResult::Appended { position, late: true, .. }) = offers.last() else { panic!() };

        let reader = shard.reader();
        let snapshot = reader.snapshot();
        let corrected: Vec<_> = snapshot.corrections(*position, None).unwrap().map(Result::unwrap).collect();
        assert_eq!(corrected.len(), TENANTS * 2 / 3 + 2);
        assert!(corrected.iter().all(|(_, changes)| changes.len() == 1 && changes[0].correction.is_some()));
        assert_eq!(corrected[0].0, client("fresh-a"));
        let from = client("tenant-299");
        assert_eq!(snapshot.corrections(*position, Some(&from)).unwrap().count(), 1);
        let window = |of: &str| {
            snapshot.tenant(&client(of)).unwrap().unwrap().tenant.installations[&app("app")].window
        };
        assert_eq!(window("tenant-001").unwrap().policy, Policy::Days { days: 30 });
        assert_eq!(window("tenant-000"), None);
        assert_true(&reader);
        dump(&reader)
    });
    assert_eq!(cold, warm);
}

/// An event recorded at an hour.
fn arrives(offset: u64, at: i64, event: Event) -> IncomingEvent {
    IncomingEvent { source_time: hour(at), ..arrival(offset, event) }
}

#[test]
fn late_app_event_reads_only_tenants_recorded_since() {
    let ledger = Ledger::with(StoreOptions { memory_bytes: Some(0), ..StoreOptions::default() });
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    for number in 0..40 {
        let old = installed(&format!("old-{number}"), "app", "i", 10, "EU");
        batch.offer(arrives(number, 10, old)).unwrap();
    }
    // Its clock is wrong: its event of hour 30 is recorded at hour 12.
    batch.offer(arrives(40, 11, installed("ahead", "app", "i", 11, "EU"))).unwrap();
    batch.offer(arrives(41, 12, uninstalled("ahead", "app", "u", 30))).unwrap();
    batch.offer(arrives(42, 40, installed("recent", "app", "i", 13, "EU"))).unwrap();
    batch.refuse(from_offset(43), refused(hour(900))).unwrap();
    batch.offer(arrives(44, 41, uninstalled("recent", "app", "u", 41))).unwrap();
    batch.offer(arrives(45, 41, installed("recent", "other", "i", 41, "EU"))).unwrap();
    batch.commit().unwrap();
    assert_eq!(shard.head().ahead_ms, 18 * HOUR_MS);
    // Reading one of these rows fails.
    let reader = shard.reader();
    let mut lost = rocksdb::WriteBatch::default();
    for number in 0..40 {
        lost.delete_cf(reader.database().family(Family::Tenants).unwrap(), format!("old-{number}"));
    }
    reader.database().write(lost, &rocksdb::WriteOptions::default()).unwrap();

    let mut batch = shard.begin();
    let AppendResult::Appended { position, late: true, .. } =
        batch.offer(arrives(46, 42, policy_set("app", "p1", 29, 30))).unwrap()
    else {
        panic!("a late event")
    };
    batch.commit().unwrap();
    let corrected = reader.snapshot().corrections(position, None).unwrap().map(|tenant| tenant.unwrap().0);
    assert_eq!(corrected.collect::<Vec<_>>(), [client("ahead"), client("recent")]);
    let all = shard.begin().offer(arrives(47, 43, policy_set("app", "p2", 9, 31)));
    assert!(matches!(all, Err(crate::AppendError::Damaged(_))), "this one concerns them all: {all:?}");
}

#[test]
fn cached_history_gives_the_same_as_rereading() {
    // Every third event is late, by more and more, with late app-level events in between.
    let events = (0..600_i64).map(|number| {
        let hours = if number % 3 == 0 { number - number % 40 } else { number };
        let id = format!("e{number}");
        match number % 7 {
            0 => uninstalled("acme", "app", &id, hours),
            1 => product_moved("acme", &id, hours, "US"),
            2 if number % 5 == 0 => policy_set("app", &id, hours - 30, 10),
            3 => installed("acme", "other", &id, hours, "DE"),
            _ => installed("acme", "app", &id, hours, "EU"),
        }
    });
    let events: Vec<_> = events.collect();
    let [split, whole] = [Ledger::new(), Ledger::new()];
    let (mut one, mut other) = (split.shard(), whole.shard());
    for events in events.chunks(7) {
        append(&mut one, events.to_vec());
    }
    append(&mut other, events);
    assert_eq!(dump(&one.reader()), dump(&other.reader()));
    assert_true(&one.reader());
}

#[test]
fn tenants_ahead_are_found_at_the_end_of_the_log() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    for number in 0..50 {
        let event = installed(&format!("t{number:02}"), "app", "e", number, "EU");
        let at = IncomingEvent { source_time: hour(number), ..arrival(number.cast_unsigned(), event) };
        batch.offer(at).unwrap();
    }
    // Recorded in hour 50, dated three hours ahead.
    let ahead =
        IncomingEvent { source_time: hour(50), ..arrival(50, installed("ahead", "app", "e", 53, "EU")) };
    batch.offer(ahead).unwrap();
    batch.commit().unwrap();
    let reader = shard.reader();
    let found = |at, most| reader.snapshot().tenants_ahead_of(hour(at), most).unwrap();
    let names = |found: Option<BTreeSet<ClientKey>>| {
        found.map(|clients| clients.iter().map(|client| client.as_str().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(names(found(51, 10)), Some(["ahead", "t48", "t49"].map(str::to_owned).to_vec()));
    assert_eq!(names(found(54, 10)), Some(Vec::new()));
    assert_eq!(names(found(20, 10)), None, "more than are looked at");
}
