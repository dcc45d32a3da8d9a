//! Damaged bytes give errors that name the entry, no panics and no wrong answers.

use crate::tests::verifying::put;
use crate::tests::*;
use crate::{AppendError, Damage, Damaged, OpenError, ReadError};
use ledger_record::key;
use ledger_record::record::{Content, Stream};
use rocksdb::{WriteBatch, WriteOptions};

fn damage_of(error: ReadError) -> Damaged {
    match error {
        ReadError::Damaged(damaged) => damaged,
        ReadError::Storage(error) => panic!("{error}"),
    }
}

#[test]
fn damaged_tenant_row_fails_that_tenant_only() {
    let ledger = Ledger::with(StoreOptions { memory_bytes: Some(0), ..StoreOptions::default() });
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU"), installed("birch", "app", "e1", 0, "EU")]);
    let reader = shard.reader();
    let good = reader.snapshot().tenant(&client("acme")).unwrap().unwrap().encode();
    for cut in 0..good.len() {
        put(&reader, Family::Tenants, b"acme", &good[..cut]);
        let damaged = damage_of(reader.snapshot().tenant(&client("acme")).unwrap_err());
        assert_eq!((damaged.family, damaged.key.as_slice()), (Family::Tenants, &b"acme"[..]));
    }
    let all: Vec<_> = reader.snapshot().tenants(None).unwrap().collect();
    assert!(matches!(all.as_slice(), [Err(ReadError::Damaged(_))]), "{all:?}");
    assert!(!reader.check_tenant(&client("acme")).unwrap());

    let mut batch = shard.begin();
    let failed = batch.offer(arrival(2, uninstalled("acme", "app", "e2", 1))).unwrap_err();
    assert!(matches!(failed, AppendError::Damaged(_)), "{failed}");
    assert!(failed.to_string().contains("`rebuild` mends it"), "{failed}");
    let next = batch.offer(arrival(3, uninstalled("birch", "app", "e2", 1)));
    assert!(matches!(next, Err(AppendError::Abandoned)));
    assert!(matches!(batch.commit(), Err(AppendError::Abandoned)));
    assert!(shard.poisoned().is_none());
    assert_eq!(append(&mut shard, [uninstalled("birch", "app", "e2", 1)]), [appended(2, 2, false)]);
}

/// A lost row looks like a new stream; starting it again would overwrite its records.
#[test]
fn lost_row_does_not_overwrite_a_record() {
    let ledger = Ledger::with(StoreOptions { memory_bytes: Some(0), ..StoreOptions::default() });
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU"), policy_set("app", "p1", 0, 3)]);
    let reader = shard.reader();
    let mut lost = WriteBatch::default();
    for (family, row) in [(Family::Tenants, "acme"), (Family::Apps, "app")] {
        lost.delete_cf(reader.database().family(family).unwrap(), row);
    }
    reader.database().write(lost, &WriteOptions::default()).unwrap();
    drop((reader, shard));

    let mut shard = ledger.shard();
    for event in [uninstalled("acme", "app", "e2", 1), policy_set("app", "p2", 1, 4)] {
        let mut batch = shard.begin();
        let failed = batch.offer(arrival(2, event)).unwrap_err();
        assert!(
            matches!(&failed, AppendError::Damaged(damaged) if matches!(damaged.cause, Damage::Missing)),
            "{failed}"
        );
    }
    let first = shard.reader().snapshot().record_at(0).unwrap().unwrap();
    assert!(matches!(first.content, Content::Event { event, .. } if event.id.as_str() == "e1"));
}

#[test]
fn damaged_record_fails_every_read_of_it() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU"), uninstalled("acme", "app", "e2", 1)]);
    let reader = shard.reader();
    let stream = Stream::Tenant(client("acme"));
    let record = key::log::log(&stream, 2);
    let good =
        reader.database().get(Family::Log, &record, &ReadOptions::default()).unwrap().unwrap().to_vec();
    put(&reader, Family::Log, &record, b"\x01junk");
    let snapshot = reader.snapshot();
    assert_eq!(damage_of(snapshot.record_at(1).unwrap_err()).key, record);
    assert_eq!(snapshot.records(&stream, 1).unwrap().filter(Result::is_err).count(), 1);
    assert_eq!(snapshot.tenant_records().unwrap().filter(Result::is_err).count(), 1);
    assert!(snapshot.records_from(0).unwrap().any(|record| record.is_err()));
    assert!(snapshot.history(&client("acme"), crate::KnowledgeBound::All).is_err());
    // A late event would read it.
    let mut batch = shard.begin();
    let late = batch.offer(arrival(2, uninstalled("acme", "app", "e3", -1)));
    assert!(matches!(late, Err(AppendError::Damaged(_))));
    drop(batch);

    // A record under another record's key is damage too.
    put(&reader, Family::Log, &record, &good);
    put_placed(&reader, Family::Positions, 0, &record);
    let damaged = damage_of(reader.snapshot().record_at(0).unwrap_err());
    assert!(matches!(damaged.cause, Damage::Misplaced), "{damaged}");
}

#[test]
fn position_without_record_is_damage() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, (0..100).map(|hour| installed("acme", "app", &format!("e{hour}"), hour, "EU")));
    let reader = shard.reader();
    let family = |family| reader.database().family(family).unwrap();
    let mut batch = WriteBatch::default();
    batch.delete_cf(family(Family::Positions), key::position(32));
    batch.delete_cf(family(Family::Log), key::log::log(&Stream::Tenant(client("acme")), 3));
    reader.database().write(batch, &WriteOptions::default()).unwrap();
    let damaged = damage_of(reader.snapshot().records_from(3).unwrap().find_map(Result::err).unwrap());
    assert_eq!((damaged.family, damaged.key), (Family::Positions, key::position(32).to_vec()));
    let damaged = damage_of(reader.snapshot().record_at(2).unwrap_err());
    assert!(matches!((damaged.family, damaged.cause), (Family::Log, Damage::Missing)));
}

/// Otherwise the log would seem to end there, and whoever follows it would ask for the rest for ever.
#[test]
fn lost_end_of_the_positions_is_damage() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, (0..100).map(|hour| installed("acme", "app", &format!("e{hour}"), hour, "EU")));
    let reader = shard.reader();
    let mut batch = WriteBatch::default();
    batch.delete_cf(reader.database().family(Family::Positions).unwrap(), key::position(96));
    reader.database().write(batch, &WriteOptions::default()).unwrap();
    for (from, whole) in [(0, 96), (95, 1), (96, 0), (99, 0)] {
        let snapshot = reader.snapshot();
        let mut records = snapshot.records_from(from).unwrap();
        assert_eq!(records.by_ref().take(whole).flatten().count(), whole, "from {from}");
        let damaged = damage_of(records.next().unwrap().unwrap_err());
        assert_eq!((damaged.family, damaged.key), (Family::Positions, key::position(from.max(96)).to_vec()));
        let readable: Vec<_> = snapshot.readable_from(from).unwrap().map(|record| record.is_ok()).collect();
        assert_eq!(readable, if whole == 0 { vec![false] } else { vec![true; whole] }, "from {from}");
    }
    assert_eq!(reader.snapshot().records_from(100).unwrap().count(), 0, "the log ends there");
    assert!(reader.snapshot().record_at(98).is_err() && reader.snapshot().record_at(100).unwrap().is_none());
    let ahead = reader.snapshot().tenants_ahead_of(hour(200), 1000);
    assert!(ahead.is_err(), "{ahead:?}");
}

#[test]
fn missing_head_is_damage() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let reader = shard.reader();
    let mut batch = WriteBatch::default();
    batch.delete_cf(reader.database().family(Family::Meta).unwrap(), MetaKey::Head.encode());
    reader.database().write(batch, &WriteOptions::default()).unwrap();
    drop((shard, reader));
    assert!(matches!(ledger.data.open_shard(&shard_id(0)), Err(OpenError::Damaged(_))));
}

/// A flipped bit in any part of a table file that opening and verifying read is reported with the file.
#[test]
fn flipped_bit_in_a_table_file_names_the_file() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    append(&mut shard, (0..200).map(|hour| installed(&format!("t{hour}"), "app", "e", hour, "EU")));
    shard.flush().unwrap();
    drop(shard);
    let files = std::fs::read_dir(ledger.dir.path().join("shards").join(TOPIC).join("0")).unwrap();
    let tables =
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("sst".as_ref()));
    let mut flipped = 0;
    for table in tables {
        let whole = std::fs::read(&table).unwrap();
        // Data blocks are first; the parts read at opening follow.
        for at in (0..whole.len()).step_by(whole.len() / 7 + 1) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&table, damaged).unwrap();
            let reported = match ledger.data.read_shard(&shard_id(0)) {
                Err(error) => error.is_damage().then(|| crate::with_causes(&error)),
                Ok(reader) => verifying::verified(&reader).err().map(|error| {
                    assert!(error.is_damage(), "{error}");
                    crate::with_causes(&error)
                }),
            };
            let name = table.file_name().unwrap().to_string_lossy();
            println!("{name} {at}/{}: {reported:?}", whole.len());
            flipped += u32::from(reported.is_some_and(|reported| reported.contains(&*name)));
        }
        std::fs::write(&table, whole).unwrap();
    }
    assert!(flipped > 20, "{flipped}");
}
