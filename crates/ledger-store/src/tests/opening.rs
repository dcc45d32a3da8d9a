use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::stop::StopCause as _;
use crate::error::stop::StopCode;
use crate::tests::*;
use crate::{BindError, OpenError};
use ledger_record::rows::ShardIdentity;

fn cluster(id: &str, topic_id: Option<&str>) -> SourceIdentity {
    SourceIdentity { cluster_id: Some(id.to_owned()), topic_id: topic_id.map(str::to_owned), partitions: 4 }
}

#[test]
fn directory_refuses_another_source() {
    let ledger = Ledger::new();
    let data = &ledger.data;
    assert_eq!(data.identity(TOPIC).unwrap(), Some(partitions(4)));
    // An import bound the partitions; Kafka adds the ids, once.
    data.bind(TOPIC, &cluster("c1", None)).unwrap();
    data.bind(TOPIC, &cluster("c1", Some("t1"))).unwrap();
    data.bind(TOPIC, &partitions(4)).unwrap();
    assert_eq!(data.identity(TOPIC).unwrap(), Some(cluster("c1", Some("t1"))));
    let refusals = [
        (cluster("c2", Some("t1")), "cluster id c1, now it is c2"),
        (cluster("c1", Some("t2")), "topic id t1, now it is t2"),
        (partitions(5), "partitions 4, now it is 5"),
    ];
    for (other, reported) in refusals {
        let error = data.bind(TOPIC, &other).unwrap_err();
        assert!(matches!(error, BindError::Differs { .. }));
        assert!(error.to_string().contains(reported), "{error}");
    }
    data.bind("another.topic", &partitions(1)).unwrap();
    let again = DataDir::open(ledger.dir.path(), StoreOptions::default(), secret()).unwrap();
    assert_eq!(again.identity(TOPIC).unwrap(), Some(cluster("c1", Some("t1"))));
    assert_eq!(again.shards().unwrap(), []);
    drop(again.open_shard(&shard_id(2)).unwrap());
    assert_eq!(again.shards().unwrap(), [shard_id(2)]);
}

#[test]
fn shard_of_an_invalid_topic_or_partition_is_refused() {
    let ledger = Ledger::new();
    for name in ["..", ".", "a/b", "", "größe"] {
        let bound = ledger.data.bind(name, &partitions(1));
        assert!(matches!(bound, Err(BindError::Open(OpenError::TopicName { .. }))), "{name}");
        let id = ShardId { topic: name.to_owned(), partition: 0 };
        assert!(matches!(ledger.data.open_shard(&id), Err(OpenError::TopicName { .. })), "{name}");
    }
    assert!(matches!(ledger.data.open_shard(&shard_id(4)), Err(OpenError::Unbound { partitions: 4, .. })));
    assert!(matches!(ledger.data.read_shard(&shard_id(0)), Err(OpenError::NoShard { .. })));
}

#[test]
fn older_format_is_refused_with_a_remedy() {
    let ledger = Ledger::new();
    fs::write(ledger.dir.path().join("ledger.json"), r#"{"format":6,"topics":{}}"#).unwrap();
    for opened in [
        DataDir::open(ledger.dir.path(), StoreOptions::default(), secret()),
        DataDir::open_existing_read_only(ledger.dir.path(), StoreOptions::default()),
    ] {
        let error = opened.unwrap_err();
        assert!(matches!(error, OpenError::OlderFormat { found: 6, supported: 7, .. }));
        let remedy = "has format 6, from before the first release; this version reads format 7: use a new data \
                      directory, and fill it from Kafka or with `import` of the same files";
        assert!(error.to_string().ends_with(remedy), "{error}");
    }
}

#[test]
fn another_secret_is_refused_by_its_fingerprint() {
    let ledger = Ledger::new();
    let path = ledger.dir.path();
    let other = LedgerSecret::from_bytes([8; 32]);
    let refused = DataDir::open(path, StoreOptions::default(), other).unwrap_err();
    assert!(matches!(refused, OpenError::OtherSecret { .. }), "{refused}");
    let manifest = fs::read_to_string(path.join("ledger.json")).unwrap();
    assert!(manifest.contains(&secret().fingerprint().to_text()), "{manifest}");
    // Reading needs no secret.
    assert!(DataDir::open_existing_read_only(path, StoreOptions::default()).is_ok());
    assert!(DataDir::open(path, StoreOptions::default(), secret()).is_ok());
}

#[test]
fn newer_directory_format_is_refused() {
    let ledger = Ledger::new();
    let file = ledger.dir.path().join("ledger.json");
    for (text, is_newer) in [
        (r#"{"format":8,"shards":{"unheard":"of"}}"#, true),
        (r#"{"format":7,"topics":{},"unheard":"of"}"#, false),
        ("{", false),
    ] {
        fs::write(&file, text).unwrap();
        for opened in [
            DataDir::open(ledger.dir.path(), StoreOptions::default(), secret()),
            DataDir::open_existing_read_only(ledger.dir.path(), StoreOptions::default()),
        ] {
            match opened {
                Err(OpenError::NewerFormat { found: 8, supported: 7, .. }) => assert!(is_newer),
                Err(OpenError::Manifest { .. }) => assert!(!is_newer),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn newer_shard_format_is_refused() {
    let ledger = Ledger::new();
    let shard = ledger.shard();
    let mut newer =
        ShardIdentity { cluster_id: None, topic: TOPIC.to_owned(), topic_id: None, partition: 0 }.encode();
    newer[0] += 1;
    let mut batch = rocksdb::WriteBatch::default();
    let database = &shard.open.database;
    batch.put_cf(database.family(Family::Meta).unwrap(), MetaKey::Identity.encode(), newer);
    database.write(batch, &rocksdb::WriteOptions::default()).unwrap();
    drop(shard);
    assert!(matches!(ledger.data.open_shard(&shard_id(0)), Err(OpenError::NewerFormat { .. })));
    assert!(matches!(ledger.data.read_shard(&shard_id(0)), Err(OpenError::NewerFormat { .. })));
}

#[test]
fn missing_ledger_is_refused_and_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let opened = DataDir::open_existing_read_only(dir.path(), StoreOptions::default());
    assert!(matches!(opened, Err(OpenError::NotALedger { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // Shards without `ledger.json` are a ledger that lost it.
    fs::create_dir(dir.path().join("shards")).unwrap();
    refused_for_its_manifest(dir.path(), "is missing");
}

fn refused_for_its_manifest(path: &std::path::Path, reported: &str) {
    for error in [
        DataDir::open(path, StoreOptions::default(), secret()).unwrap_err(),
        DataDir::open_existing_read_only(path, StoreOptions::default()).unwrap_err(),
        DataDir::exists(path).unwrap_err(),
        DataDir::partitions_at(path).unwrap_err(),
    ] {
        assert!(error.is_of_manifest() && error.to_string().contains(reported), "{error}");
        assert_eq!(error.stop_code(), StopCode::ManifestDamaged);
    }
}

#[test]
fn manifest_missing_a_shard_is_refused() {
    let ledger = Ledger::new();
    for partition in [0, 3] {
        drop(ledger.data.open_shard(&shard_id(partition)).unwrap());
    }
    let path = ledger.dir.path();
    let file = path.join("ledger.json");
    let good = fs::read_to_string(&file).unwrap();
    let fewer = good.replace("\"partitions\": 4", "\"partitions\": 3");
    assert_ne!(fewer, good);
    fs::write(&file, fewer).unwrap();
    refused_for_its_manifest(path, "does not know shard realm.lifecycle/3");
    // An open directory notices it too.
    assert!(matches!(ledger.data.shards(), Err(OpenError::ManifestOutdated { .. })));
    // A file from before the first topic: all lists would be empty and look complete.
    let mut none: serde_json::Value = serde_json::from_str(&good).unwrap();
    none["topics"] = serde_json::json!({});
    fs::write(&file, none.to_string()).unwrap();
    refused_for_its_manifest(path, "does not know shard realm.lifecycle/0");
    // Shards moved away by the operator and other file names are ignored.
    let topic = path.join("shards").join(TOPIC);
    fs::rename(topic.join("0"), topic.join("0.away")).unwrap();
    fs::rename(topic.join("3"), topic.join("03")).unwrap();
    assert!(DataDir::open(path, StoreOptions::default(), secret()).is_ok());
}

#[test]
fn shard_in_another_shards_directory_is_refused() {
    let ledger = Ledger::new();
    ledger.data.bind(TOPIC, &cluster("c1", None)).unwrap();
    drop(ledger.shard());
    let shards = ledger.dir.path().join("shards").join(TOPIC);
    fs::rename(shards.join("0"), shards.join("1")).unwrap();
    let Err(error) = ledger.data.open_shard(&shard_id(1)) else { panic!() };
    assert!(matches!(error, OpenError::WrongShard { .. }));
    assert!(error.to_string().contains("realm.lifecycle/0"), "{error}");

    // The shard stores its cluster id, so a move to another directory is found.
    let elsewhere = Ledger::new();
    elsewhere.data.bind(TOPIC, &cluster("c2", None)).unwrap();
    let place = elsewhere.dir.path().join("shards").join(TOPIC);
    fs::create_dir_all(&place).unwrap();
    fs::rename(shards.join("1"), place.join("0")).unwrap();
    let opened = elsewhere.data.open_shard(&shard_id(0));
    assert!(matches!(opened, Err(OpenError::WrongShard { .. })));
}

#[test]
fn unfinished_shard_is_remade_and_missing_family_refused() {
    let ledger = Ledger::new();
    let unfinished = ledger.dir.path().join("shards").join(TOPIC).join("0.new");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("CURRENT"), "MANIFEST-000001\n").unwrap();
    let mut shard = ledger.shard();
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    drop(shard);
    assert!(!unfinished.exists());

    let path = ledger.dir.path().join("shards").join(TOPIC).join("0");
    let options = rocksdb::Options::default();
    let names = rocksdb::DB::list_cf(&options, &path).unwrap();
    let mut db = rocksdb::DB::open_cf(&options, &path, names).unwrap();
    db.create_cf("of-a-later-day", &options).unwrap();
    drop(db);
    let Err(error) = ledger.data.open_shard(&shard_id(0)) else { panic!() };
    assert!(matches!(error, OpenError::UnknownFamily { .. }), "{error}");
    let names = rocksdb::DB::list_cf(&options, &path).unwrap();
    let mut db = rocksdb::DB::open_cf(&options, &path, names).unwrap();
    db.drop_cf("of-a-later-day").unwrap();
    db.drop_cf("gaps").unwrap();
    drop(db);
    for error in [
        ledger.data.open_shard(&shard_id(0)).map(drop).unwrap_err(),
        ledger.data.read_shard(&shard_id(0)).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, OpenError::MissingFamily { name, .. } if name == "gaps"), "{error}");
    }
}

#[test]
fn second_writer_is_refused_and_readers_continue() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    assert!(matches!(ledger.data.open_shard(&shard_id(0)), Err(OpenError::Locked { .. })));
    append(&mut shard, [installed("acme", "app", "e1", 0, "EU")]);
    let read_only = DataDir::open_existing_read_only(ledger.dir.path(), StoreOptions::default()).unwrap();
    assert!(matches!(read_only.open_shard(&shard_id(0)), Err(OpenError::ReadOnly { .. })));
    assert!(matches!(read_only.bind("t", &partitions(1)), Err(BindError::Open(OpenError::ReadOnly { .. }))));
    let reader = read_only.read_shard(&shard_id(0)).unwrap();
    append(&mut shard, [uninstalled("acme", "app", "e2", 1)]);
    assert_eq!(reader.next_position(), 1);
    assert_eq!(reader.snapshot().head().unwrap().next_position, 1);
    assert_whole(&reader);
    let fresh = read_only.read_shard(&shard_id(0)).unwrap();
    assert_eq!(dump(&fresh), dump(&shard.reader()));
}

#[test]
fn reader_opens_during_flush_and_compaction() {
    let small =
        StoreOptions { memory_bytes: Some(8 << 20), wal_bytes_per_shard: 1 << 18, ..StoreOptions::default() };
    let ledger = Ledger::with(small.clone());
    let mut shard = ledger.shard();
    let read_only = DataDir::open_existing_read_only(ledger.dir.path(), small).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..40 {
                let events = (0..500).map(|index| {
                    installed(&format!("tenant-{index}"), "app", &format!("e{round}"), round, "EU")
                });
                append(&mut shard, events);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut opened = 0;
        while !done.load(Ordering::Relaxed) || opened == 0 {
            let reader = read_only.read_shard(&shard_id(0)).unwrap();
            let snapshot = reader.snapshot();
            let head = snapshot.head().unwrap();
            let seals = snapshot.last_seal().unwrap().map_or(0, |seal| seal.seq);
            assert_eq!((head.next_position - seals) % 500, 0);
            let (mut seqs, mut tenants) = (0, 0);
            for tenant in snapshot.tenants(None).unwrap() {
                seqs += tenant.unwrap().1.seq;
                tenants += 1;
            }
            assert_eq!(seqs, head.next_position - seals);
            assert_eq!(snapshot.tenant_records().unwrap().map(Result::unwrap).count() as u64, seqs);
            assert!(tenants == 500 || seqs == 0);
            opened += 1;
        }
    });
}
