//! Ledgers of the same topic agree, and a restored backup is told from a fork.

use std::path::Path;
use std::sync::Arc;

use ledger_ingest::kafka::{Ingest, KafkaOptions};
use ledger_record::proof::Hash;
use ledger_record::record::Stream;
use ledger_store::{Catalog, DataDir, Served, ShardId, ShardStatus, StoreOptions};
use ledger_tests::kafka::{self, Cluster};
use ledger_tests::scratch;

use super::{events, open, options, published, run_until, signed, signing, wait};

/// Size and root at every seal of the first partition.
fn sealed_roots(dir: &Path, topic: &str) -> Vec<(u64, Hash)> {
    let data = DataDir::open_existing_read_only(dir, StoreOptions::default()).unwrap();
    let reader = data.read_shard(&ShardId { topic: topic.to_owned(), partition: 0 }).unwrap();
    let snapshot = reader.snapshot();
    let seals = snapshot.records(&Stream::Seals, 1).unwrap();
    let sizes = seals.map(|seal| seal.unwrap().position + 1);
    sizes.map(|size| (size, snapshot.tree_root(size).unwrap())).collect()
}

/// Reads everything, in so many runs.
fn fill(cluster: &Cluster, options: &KafkaOptions, dir: &Path, store: &StoreOptions, runs: u64) {
    let topic = &options.topics[0];
    let (_, end) = cluster.watermarks(topic, 0);
    let end = u64::try_from(end).unwrap();
    for run in 1..=runs {
        let catalog = Arc::new(Catalog::default());
        let ingest = Ingest::start(open(dir, store.clone()), Arc::clone(&catalog), options).unwrap();
        let next = |catalog: &Catalog| {
            let served = catalog.get(&ShardId { topic: topic.clone(), partition: 0 });
            served.and_then(|served| served.status.freshness().next_offset).unwrap_or(0)
        };
        wait(|| next(&catalog) >= end * run / runs, || format!("{:?}", catalog.all()));
        ingest.stop();
    }
}

#[test]
fn ledgers_of_one_topic_have_one_log_whatever_their_batches_caches_and_restarts() {
    let cluster = kafka::shared();
    let options = options(cluster, "agreement", 1);
    cluster.produce(&options.topics[0], &events(0, 0, 3_000));
    let scratch = scratch::directory();
    let small = StoreOptions { tenant_cache_bytes: 4 * 1024, ..StoreOptions::default() };
    let ledgers =
        [("one", 10_000, StoreOptions::default(), 1), ("two", 7, small.clone(), 1), ("three", 311, small, 4)];
    let mut roots = Vec::new();
    for (name, batch_max_events, store, runs) in ledgers {
        let group = kafka::unique_name("group");
        let options = KafkaOptions { batch_max_events, group, ..options.clone() };
        let dir = scratch.path().join(name);
        fill(cluster, &options, &dir, &store, runs);
        roots.push(sealed_roots(&dir, &options.topics[0]));
    }
    assert!(roots[0].len() > 500, "{} seals", roots[0].len());
    assert!(roots.iter().all(|found| *found == roots[0]));

    // A ledger that is filled again from nothing signs what the first one would have.
    let again = scratch.path().join("again");
    let (last, root) = *roots[0].last().unwrap();
    run_until(&options, &again, |catalog| signed(catalog, &options.topics[0], 0) == last);
    let found = published(cluster, &options, 0);
    assert!(found.iter().all(|note| roots[0].contains(&(note.size, note.root))));
    assert_eq!(found.last().map(|note| note.root), Some(root));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_restored_backup_signs_nothing_until_it_has_caught_up() {
    let cluster = kafka::shared();
    let options = options(cluster, "restored", 1);
    let topic = &options.topics[0];
    let scratch = scratch::directory();
    let (dir, backup) = (scratch.path().join("ledger"), scratch.path().join("backup"));
    cluster.produce(topic, &events(0, 0, 100));
    run_until(&options, &dir, |catalog| signed(catalog, topic, 0) > 100);
    copy(&dir, &backup);
    cluster.produce(topic, &events(0, 100, 100));
    run_until(&options, &dir, |catalog| signed(catalog, topic, 0) > 220);
    let before = published(cluster, &options, 0);
    std::fs::remove_dir_all(&dir).unwrap();
    copy(&backup, &dir);

    // Served, but not fed yet.
    let catalog = Arc::new(Catalog::default());
    let id = ShardId { topic: topic.clone(), partition: 0 };
    let status = Arc::new(ShardStatus::default());
    status.update(|now| now.is_ours = true);
    let data = DataDir::open_existing_read_only(&dir, StoreOptions::default()).unwrap();
    let reader = data.read_shard(&id).unwrap();
    catalog.insert(id, Served { reader, status: Arc::clone(&status) });
    let running = signing(&catalog, &options, dir.with_extension("keys"));
    wait(|| status.freshness().unsigned.is_some(), || format!("{:?}", status.freshness()));
    running.stop();
    assert_eq!(status.freshness().unsigned.map(|halted| halted.code), Some("log-behind-checkpoint"));
    assert_eq!(published(cluster, &options, 0), before);

    cluster.produce(topic, &events(0, 200, 100));
    run_until(&options, &dir, |catalog| signed(catalog, topic, 0) > 340);
    let after = published(cluster, &options, 0);
    assert!(after.starts_with(&before) && after.is_sorted_by(|one, next| one.size < next.size));
}
