use crate::db::database::family_name;
use crate::rebuild;
use crate::tests::*;
use crate::{FamilyDifference, RebuildReport, check};
use ledger_record::key;
use rocksdb::{WriteBatch, WriteOptions};

fn filled() -> Ledger {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let tenants = (0..40).map(|number| format!("tenant-{number:02}"));
    let installs = tenants.map(|of| installed(&of, "app", "e1", 1, "EU"));
    append(&mut shard, installs);
    append(
        &mut shard,
        [
            descriptor_published("app", "d1", 0, &["EU"]),
            uninstalled("tenant-07", "app", "e2", 9),
            installed("tenant-07", "other", "e3", 5, "US"),
            policy_set("app", "p1", 4, 20),
            policy_set("unused", "p1", 4, 20),
        ],
    );
    let mut batch = shard.begin();
    batch.refuse(from_offset(45), refused(hour(3))).unwrap();
    batch.commit().unwrap();
    ledger
}

fn run(ledger: &Ledger) -> RebuildReport {
    rebuild(&ledger.data, &shard_id(0), &mut |_, _| ()).unwrap()
}

#[test]
fn rebuild_of_a_sound_shard_changes_nothing() {
    let ledger = filled();
    let before = dump(&ledger.shard().reader());
    let mut reported = Vec::new();
    let report =
        rebuild(&ledger.data, &shard_id(0), &mut |done, total| reported.push((done, total))).unwrap();
    assert_eq!(report, RebuildReport { tenants: 40, records: 45, differences: Vec::new() });
    assert_eq!(reported.last(), Some(&(45, 45)));
    for generation in 1..3 {
        let mut shard = ledger.shard();
        assert_eq!(shard.open.database.generation(), generation);
        assert_eq!(dump(&shard.reader()), before);
        let names = family_names(&ledger);
        assert_eq!(names.len(), 1 + Family::ALL.len(), "{names:?}");
        // A rebuilt shard is written and read like any other.
        let mut batch = shard.begin();
        let repeat = batch.offer(arrival(46, uninstalled("tenant-07", "app", "e2", 9))).unwrap();
        assert!(matches!(repeat, AppendResult::Duplicate { .. }));
        drop(batch);
        drop(shard);
        assert_eq!(run(&ledger).differences, []);
    }
    let reader = ledger.data.read_shard(&shard_id(0)).unwrap();
    assert_eq!(dump(&reader), before);
}

fn family_names(ledger: &Ledger) -> Vec<String> {
    let path = ledger.dir.path().join("shards").join(TOPIC).join("0");
    rocksdb::DB::list_cf(&rocksdb::Options::default(), path).unwrap()
}

#[test]
fn rebuild_reports_and_repairs_differences() {
    let ledger = filled();
    let shard = ledger.shard();
    let good = dump(&shard.reader());
    let database = &shard.open.database;
    let family = |family| database.family(family).unwrap();
    let id_key = key::log::id(&descriptor_published("app", "d1", 0, &[]));
    let mut batch = WriteBatch::default();
    batch.put_cf(family(Family::Tenants), b"tenant-03", b"\x01junk");
    batch.delete_cf(family(Family::Tenants), b"tenant-05");
    batch.put_cf(family(Family::Tenants), b"zz", b"too many");
    batch.put_cf(family(Family::Apps), b"zz", b"too many");
    batch.delete_cf(family(Family::Ids), &id_key);
    let lost = good["index"][3].0.clone();
    batch.delete_cf(family(Family::Index), &lost);
    database.write(batch, &WriteOptions::default()).unwrap();
    drop(shard);
    let difference =
        |family, rows, first: &[u8]| FamilyDifference { family, rows, first_key: first.to_vec() };
    let expected = [
        difference(Family::Tenants, 3, b"tenant-03"),
        difference(Family::Apps, 1, b"zz"),
        difference(Family::Ids, 1, &id_key),
        difference(Family::Index, 1, &lost),
    ];
    let families = family_names(&ledger);
    // A check finds the same and repairs nothing, however often.
    for _ in 0..2 {
        let found = check(&ledger.data, &shard_id(0), &mut |_, _| {}).unwrap();
        assert_eq!((found.differences, family_names(&ledger)), (expected.to_vec(), families.clone()));
    }
    assert_eq!(run(&ledger).differences, expected);
    assert_eq!(dump(&ledger.shard().reader()), good);
    assert_eq!(run(&ledger).differences, []);
}

#[test]
fn unfinished_rebuild_is_dropped_on_opening() {
    let ledger = filled();
    let good = dump(&ledger.shard().reader());
    let mut database = ledger.data.open_database(&shard_id(0)).unwrap();
    database.create_generation(1, ledger.data.resources()).unwrap();
    let mut batch = WriteBatch::default();
    batch.put_cf(database.family_in(Family::Tenants, 1).unwrap(), b"half", b"done");
    database.write(batch, &WriteOptions::default()).unwrap();
    drop(database);
    assert!(family_names(&ledger).contains(&family_name(Family::Tenants, 1)));
    // Readers ignore it, the next writer removes it.
    assert_eq!(dump(&ledger.data.read_shard(&shard_id(0)).unwrap()), good);
    assert_eq!(dump(&ledger.shard().reader()), good);
    assert!(!family_names(&ledger).contains(&family_name(Family::Tenants, 1)));

    // Switched to the new generation, but the old one is not dropped yet.
    let mut database = ledger.data.open_database(&shard_id(0)).unwrap();
    database.create_generation(1, ledger.data.resources()).unwrap();
    let mut batch = WriteBatch::default();
    for family in crate::db::database::PROJECTIONS {
        for (key, value) in &good[family.as_str()] {
            batch.put_cf(database.family_in(family, 1).unwrap(), key, value);
        }
    }
    let live = ledger_record::rows::Generation { live: 1 }.encode();
    batch.put_cf(database.family(Family::Meta).unwrap(), MetaKey::Generation.encode(), live);
    database.write(batch, &WriteOptions::default()).unwrap();
    drop(database);
    assert_eq!(dump(&ledger.data.read_shard(&shard_id(0)).unwrap()), good);
    assert_eq!(dump(&ledger.shard().reader()), good);
    assert!(!family_names(&ledger).contains(&"tenants".to_owned()));
}
