use crate::tests::*;
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_record::record::{Content, Stream};

#[test]
fn appended_records_survive_closing() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let events = [
        installed("acme", "app", "e1", 0, "EU"),
        installed("birch", "app", "e1", 1, "US"),
        uninstalled("acme", "app", "e2", 2),
        policy_set("app", "p1", 3, 30),
    ];
    let offers = append(&mut shard, events.clone());
    assert_eq!(offers[..3], [appended(0, 1, false), appended(1, 1, false), appended(2, 2, false)]);
    assert_eq!(offers[3], AppendResult::Appended { position: 3, seq: 1, late: false, new_tenant: false });
    drop(shard);

    let shard = ledger.shard();
    assert_eq!(shard.head().next_position, 4);
    assert_eq!(shard.source_position(TOPIC).unwrap(), Some(kafka(4)));
    assert_eq!(shard.source_position("import:x").unwrap(), None);
    let reader = shard.reader();
    let records: Vec<_> = reader.snapshot().records_from(0).unwrap().map(Result::unwrap).collect();
    let stored = records.iter().filter_map(|record| match &record.content {
        Content::Event { event, .. } => Some(event.clone()),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => None,
    });
    assert_eq!(stored.collect::<Vec<_>>(), events);
    assert_eq!(records[2].stream, Stream::Tenant(client("acme")));
    assert_eq!(records[2].source, from_offset(2));
    assert_eq!(reader.snapshot().tenant(&client("acme")).unwrap().unwrap().seq, 2);
    assert_eq!(reader.snapshot().tenant(&client("nobody")).unwrap(), None);
    assert_whole(&reader);
}

#[test]
fn duplicate_is_counted_and_not_appended() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let first = installed("acme", "app", "e1", 0, "EU");
    append(&mut shard, [first.clone()]);
    let twice = uninstalled("acme", "app", "e2", 1);
    let offers = append(&mut shard, [first.clone(), twice.clone(), twice, first]);
    let repeat = |position, seq| AppendResult::Duplicate { position, seq };
    assert_eq!(offers, [repeat(0, 1), appended(1, 2, false), repeat(1, 2), repeat(0, 1)]);
    assert_eq!((shard.head().next_position, shard.head().duplicates), (2, 3));
    let reader = shard.reader();
    let duplicates: Vec<_> = reader.snapshot().duplicates(TOPIC, 3).unwrap().map(Result::unwrap).collect();
    assert_eq!(duplicates, [(3, 1), (4, 0)]);
}

#[test]
fn conflicting_id_is_refused_and_changes_nothing() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let app_event = policy_set("app", "p1", 1, 30);
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU"), app_event]);
    let before = dump(&shard.reader());
    let mut batch = shard.begin();
    let pending = uninstalled("acme", "app", "e2", 2);
    batch.offer(arrival(2, pending)).unwrap();
    let conflicts = [
        installed("acme", "app", "e1", 0, "US"),
        installed("acme", "app", "e1", 1, "EU"),
        uninstalled("acme", "app", "e2", 3),
        policy_set("app", "p1", 1, 31),
    ];
    for conflict in conflicts {
        let AppendResult::Refused(rejection) = batch.offer(arrival(3, conflict)).unwrap() else { panic!() };
        assert_eq!(rejection.reason, Reason::EventIdConflict);
    }
    // Another tenant or app with the same id is no conflict.
    assert_eq!(
        batch.offer(arrival(3, installed("birch", "app", "e1", 1, "US"))).unwrap(),
        appended(3, 1, false)
    );
    let other_app = batch.offer(arrival(4, policy_set("other", "p1", 9, 1))).unwrap();
    assert_eq!(other_app, AppendResult::Appended { position: 4, seq: 1, late: false, new_tenant: false });
    drop(batch);
    assert_eq!(dump(&shard.reader()), before);
}

#[test]
fn ids_are_unique_per_subject() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let subjects = [
        installed("acme", "app", "e1", 0, "EU"),
        installed("acme", "other", "e1", 0, "EU"),
        product_moved("acme", "e1", 0, "EU"),
        policy_set("acme", "e1", 0, 30),
        policy_set("app", "e1", 0, 30),
    ];
    // In one batch and stored: each is its own event and a duplicate only of itself.
    let offers = append(&mut shard, subjects.clone());
    assert!(offers.iter().all(|offer| matches!(offer, AppendResult::Appended { .. })), "{offers:?}");
    let again = append(&mut shard, subjects);
    let position = |offer: &AppendResult| match offer {
        AppendResult::Duplicate { position, .. } => Some(*position),
        AppendResult::Appended { .. } | AppendResult::Refused(_) => None,
    };
    let positions: Vec<Option<u64>> = again.iter().map(position).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4].map(Some));
    let mut batch = shard.begin();
    for other in [installed("acme", "other", "e1", 0, "US"), product_moved("acme", "e1", 0, "US")] {
        assert!(matches!(batch.offer(arrival(10, other)).unwrap(), AppendResult::Refused(_)));
    }
    drop(batch);
    assert_whole(&shard.reader());
}

#[test]
fn defaulted_time_is_not_compared_for_duplicates() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let mut batch = shard.begin();
    let mut later = arrival(1, installed("acme", "app", "e1", 5, "EU"));
    later.time_defaulted = true;
    assert_eq!(batch.offer(later.clone()).unwrap(), AppendResult::Duplicate { position: 0, seq: 1 });
    later.event = installed("acme", "app", "e1", 5, "US");
    assert!(matches!(batch.offer(later).unwrap(), AppendResult::Refused(_)));
    batch
        .offer(IncomingEvent { time_defaulted: true, ..arrival(2, uninstalled("acme", "app", "e2", 6)) })
        .unwrap();
    let reported = arrival(3, uninstalled("acme", "app", "e2", 7));
    assert_eq!(batch.offer(reported).unwrap(), AppendResult::Duplicate { position: 1, seq: 2 });
}

#[test]
fn recorded_time_never_falls_and_follows_accepted_events() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let at = |offset, id: &str, source_hour| IncomingEvent {
        source_time: hour(source_hour),
        ..arrival(offset, installed("acme", "app", id, 0, "EU"))
    };
    let mut batch = shard.begin();
    batch.offer(at(0, "e1", 10)).unwrap();
    batch.offer(at(1, "e2", 5)).unwrap();
    batch.refuse(from_offset(2), refused(hour(50))).unwrap();
    batch.offer(at(3, "e1", 60)).unwrap();
    batch.offer(at(4, "e3", 11)).unwrap();
    batch.refuse(from_offset(5), refused(hour(3))).unwrap();
    batch.advance(TOPIC, kafka(6));
    batch.commit().unwrap();
    assert_eq!(shard.head().recorded, Some(hour(11)));
    assert_eq!(shard.head().refused, 2);
    let reader = shard.reader();
    assert_true(&reader);
    let snapshot = reader.snapshot();
    let records = snapshot.records_from(0).unwrap().map(Result::unwrap);
    let came_in = records.filter(|record| record.stream != Stream::Seals);
    let recorded: Vec<_> = came_in.map(|record| record.recorded).collect();
    assert_eq!(recorded, [hour(10), hour(10), hour(50), hour(11), hour(11)]);
    let quarantine: Vec<_> =
        reader.snapshot().records(&Stream::Rejected, 2).unwrap().map(Result::unwrap).collect();
    assert_eq!(quarantine.len(), 1);
    assert_eq!(quarantine[0].content, Content::Refused(refused(hour(3))));
}

#[test]
fn event_too_far_after_its_recorded_time_is_refused() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    let ahead = |offset, id: &str, hours| IncomingEvent {
        source_time: hour(0),
        ..arrival(offset, installed("acme", "app", id, hours, "EU"))
    };
    assert_eq!(batch.offer(ahead(0, "e1", FUTURE_MAX_MS / HOUR_MS)).unwrap(), appended(0, 1, false));
    let AppendResult::Refused(rejection) = batch.offer(ahead(1, "e2", 25)).unwrap() else { panic!() };
    assert_eq!(rejection.reason, Reason::TimeInFuture);
    // The clock of an import replaces the recorded time as the limit.
    let import = IncomingEvent { future: FutureLimit::At(hour(100)), ..ahead(1, "e2", 100) };
    assert_eq!(batch.offer(import).unwrap(), appended(1, 2, false));
    let import = IncomingEvent { future: FutureLimit::At(hour(100)), ..ahead(2, "e3", 101) };
    assert!(matches!(batch.offer(import).unwrap(), AppendResult::Refused(_)));
    // The recorded time is the limit, not the message's own timestamp.
    let recorded = IncomingEvent { source_time: hour(100), ..ahead(2, "e4", 90) };
    // The record begins another minute, so a seal precedes it.
    assert_eq!(batch.offer(recorded).unwrap(), appended(3, 3, true));
    assert_eq!(batch.offer(ahead(3, "e5", 124)).unwrap(), appended(4, 4, false));
}

#[test]
fn adjacent_gaps_are_merged() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let mut batch = shard.begin();
    batch.gap(TOPIC, 5, 7).unwrap();
    batch.gap(TOPIC, 7, 7).unwrap();
    batch.gap(TOPIC, 7, 9).unwrap();
    batch.gap("import:x", 9, 10).unwrap();
    batch.commit().unwrap();
    let mut batch = shard.begin();
    batch.gap(TOPIC, 9, 10).unwrap();
    batch.gap(TOPIC, 11, 12).unwrap();
    batch.gap(TOPIC, 12, 13).unwrap();
    batch.commit().unwrap();
    let reader = shard.reader();
    let gaps = |source| reader.snapshot().gaps(source).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(gaps(TOPIC), [(5, 10), (11, 13)]);
    assert_eq!(gaps("import:x"), [(9, 10)]);
}

#[test]
fn adjacent_gap_does_not_wait_for_the_pending_write() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    for first in [0, 10, 20] {
        let mut batch = shard.begin();
        batch.gap(TOPIC, first, first + 1).unwrap();
        batch.submit().unwrap();
        let mut next = shard.begin();
        next.gap(TOPIC, first + 1, first + 3).unwrap();
        assert!(next.shard.pending.is_some(), "the batch before was waited for");
        next.submit().unwrap();
    }
    shard.settle().unwrap();
    let gaps = shard.reader().snapshot().gaps(TOPIC).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(gaps, [(0, 3), (10, 13), (20, 23)]);
}

#[test]
fn each_source_keeps_its_own_position() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let import = SourcePosition::Import { lines: 7, sha256: [3; 32] };
    let mut batch = shard.begin();
    batch.advance(TOPIC, kafka(1));
    batch.advance("import:history", import.clone());
    batch.advance(TOPIC, kafka(2));
    assert!(batch.is_empty());
    batch.commit().unwrap();
    assert_eq!(shard.source_position("import:history").unwrap(), Some(import.clone()));
    let all = shard.reader().snapshot().source_positions().unwrap();
    assert_eq!(all, [("import:history".to_owned(), import), (TOPIC.to_owned(), kafka(2))]);
}
