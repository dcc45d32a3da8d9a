//! Forged records and false statements about true ones: each is found and named.

use ledger_core::tenant::Outcome;
use ledger_record::key::{self, DuplicateKey, GapKey};
use ledger_record::proof::log;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::FirstIds;
use ledger_record::rows::{AppRow, ShardHead, TenantRow};

use crate::check::verify::{ShardFault, VerifyError};
use crate::error::ReadError;
use crate::tests::verifying::{delete, eventful, fault, put, rewrite, rewrite_with_leaf, seals, verified};
use crate::tests::*;

/// Writes a record under a key that no position refers to.
fn beside(reader: &Reader, record: &Record) {
    put(reader, Family::Log, &key::log::log(&record.stream, record.seq), &record.encode());
}

fn record(reader: &Reader, stream: &Stream, seq: u64) -> Record {
    reader.snapshot().records(stream, seq).unwrap().next().unwrap().unwrap()
}

fn assert_refused(reader: &Reader) {
    let found = verified(reader);
    assert!(
        matches!(found, Err(VerifyError::Read(ReadError::Damaged(_)) | VerifyError::Differs(_))),
        "not found: {found:?}"
    );
}

#[test]
fn record_without_position_is_found_in_every_stream() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let last = |stream: Stream| {
        let snapshot = reader.snapshot();
        snapshot.records(&stream, 1).unwrap().last().unwrap().unwrap()
    };
    let app = Stream::App(AppKey::new("app").unwrap());
    for stream in [Stream::Tenant(client("cedar")), app, Stream::Rejected, Stream::Seals] {
        let original = last(stream.clone());
        // With the position of another record, a new one, and one beyond the end.
        for position in [0, original.position + 1, 1000] {
            let forged = Record { seq: original.seq + 1, position, ..original.clone() };
            beside(&reader, &forged);
            assert_refused(&reader);
            delete(&reader, Family::Log, &key::log::log(&forged.stream, forged.seq));
        }
    }
    delete(&reader, Family::Log, b"\x05\0\0\0\0\0\0\0\0\x01");
    put(&reader, Family::Log, b"\x05\0\0\0\0\0\0\0\0\x01", b"");
    assert_refused(&reader);
}

#[test]
fn forged_tenant_with_matching_state_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let of_cedar = record(&reader, &Stream::Tenant(client("cedar")), 1);
    let Content::Event { event, .. } = installed_content("dune", &of_cedar) else { panic!("an event") };
    let mut tenant = ledger_core::tenant::Tenant::default();
    let entry = ledger_core::tenant::Entry { seq: 1, event: &event };
    let outcome = tenant.append(entry, &ledger_core::timeline::AppTimelines::default());
    let (position, mut first_ids) = (of_cedar.position, FirstIds::default());
    first_ids.push(1, &event);
    let content = Content::Event { event, time_defaulted: false, outcome };
    beside(&reader, &Record { stream: Stream::Tenant(client("dune")), content, ..of_cedar });
    put(&reader, Family::Tenants, b"dune", &TenantRow { seq: 1, position, first_ids, tenant }.encode());
    assert_refused(&reader);
}

/// The content of the record, for another tenant.
fn installed_content(name: &str, like: &Record) -> Content {
    let Content::Event { event, outcome, .. } = &like.content else { panic!("an event") };
    let event = installed(name, "other", event.id.as_str(), 5, "EU");
    Content::Event { event, time_defaulted: false, outcome: outcome.clone() }
}

#[test]
fn rewritten_outcome_of_an_app_event_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let app = AppKey::new("app").unwrap();
    for seq in [1, 2] {
        let good = record(&reader, &Stream::App(app.clone()), seq);
        let of_tenant = record(&reader, &Stream::Tenant(client("acme")), 1);
        let Content::Event { outcome: Outcome { changes, .. }, .. } = of_tenant.content else { panic!() };
        let lies: [&dyn Fn(&mut Outcome); 2] =
            [&|outcome| outcome.late = !outcome.late, &|outcome| outcome.changes.clone_from(&changes)];
        for lie in lies {
            rewrite_with_leaf(&reader, good.position, |record| {
                if let Content::Event { outcome, .. } = &mut record.content {
                    lie(outcome);
                }
            });
            assert_eq!(fault(&reader), ShardFault::AppOutcome { app: app.clone(), seq });
            beside(&reader, &good);
        }
    }
    assert!(verified(&reader).is_ok());
}

#[test]
fn wrong_app_row_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let app = AppKey::new("app").unwrap();
    let good = reader.snapshot().app(&app).unwrap().unwrap();
    for row in [
        AppRow { seq: good.seq + 1, ..good },
        AppRow { installations: good.installations + 1, ..good },
        AppRow { latest: good.latest.map(|latest| latest.plus_millis(1)), ..good },
    ] {
        put(&reader, Family::Apps, b"app", &row.encode());
        assert_eq!(fault(&reader), ShardFault::App(app.clone()));
    }
    delete(&reader, Family::Apps, b"app");
    assert_refused(&reader);
    put(&reader, Family::Apps, b"app", &good.encode());
    put(&reader, Family::Apps, b"zzz", &good.encode());
    assert_eq!(fault(&reader), ShardFault::App(AppKey::new("zzz").unwrap()));
}

#[test]
fn duplicate_turned_into_a_gap_is_found_by_the_seals() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let head = reader.snapshot().head().unwrap();
    delete(&reader, Family::Duplicates, &DuplicateKey { source: TOPIC.to_owned(), offset: 6 }.encode());
    put(
        &reader,
        Family::Gaps,
        &GapKey { source: TOPIC.to_owned(), first_offset: 6 }.encode(),
        &key::reference(7),
    );
    let lying = ShardHead { duplicates: 0, ..head };
    put(&reader, Family::Meta, &MetaKey::Head.encode(), &lying.encode());
    assert_eq!(fault(&reader), ShardFault::Repeats { position: seals(&reader)[1] });
}

#[test]
fn head_with_another_recorded_time_is_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let head = reader.snapshot().head().unwrap();
    let later = ShardHead { recorded: head.recorded.map(|time| time.plus_millis(1)), ..head };
    put(&reader, Family::Meta, &MetaKey::Head.encode(), &later.encode());
    assert_eq!(fault(&reader), ShardFault::LastRecorded);
}

#[test]
fn swapped_positions_are_found() {
    let ledger = Ledger::new();
    let shard = eventful(&ledger);
    let reader = shard.reader();
    let [first, second] = [1, 2].map(|position| placed(&reader, Family::Positions, position));
    put_placed(&reader, Family::Positions, 1, &second);
    put_placed(&reader, Family::Positions, 2, &first);
    assert_refused(&reader);
    put_placed(&reader, Family::Positions, 1, &first);
    put_placed(&reader, Family::Positions, 2, &second);
    rewrite(&reader, 2, |record| record.seq = 1);
    assert!(verified(&reader).is_ok(), "the same record");
    let missing = record(&reader, &Stream::Tenant(client("acme")), 2);
    delete(&reader, Family::Log, &key::log::log(&missing.stream, 2));
    let position = record(&reader, &missing.stream, 3).position;
    let number = log::LogFault::Number { found: 3, before: 1 };
    assert_eq!(fault(&reader), ShardFault::Log { position, fault: number });
}
