//! A restored backup is distinguished from a fork.

use std::path::Path;
use std::sync::Arc;

use ledger_store::{Catalog, DataDir, Served, ShardId, ShardStatus, StoreOptions};
use ledger_tests::kafka;
use ledger_tests::{scratch, wait};

use super::{events, options, published, run_until, signed, signing};

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
fn restored_backup_signs_nothing_until_caught_up() {
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

    // Served, but not assigned yet.
    let catalog = Arc::new(Catalog::default());
    let id = ShardId { topic: topic.clone(), partition: 0 };
    let status = Arc::new(ShardStatus::default());
    status.update(|now| now.is_ours = true);
    let data = DataDir::open_existing_read_only(&dir, StoreOptions::default()).unwrap();
    let reader = data.read_shard(&id).unwrap();
    catalog.insert(id, Served { reader, status: Arc::clone(&status) });
    let running = signing(&catalog, &options, dir.with_extension("keys"));
    wait::until_or(|| status.freshness().unsigned.is_some(), || format!("{:?}", status.freshness()));
    running.stop();
    assert_eq!(status.freshness().unsigned.map(|halted| halted.code), Some("log-behind-checkpoint"));
    assert_eq!(published(cluster, &options, 0), before);

    cluster.produce(topic, &events(0, 200, 100));
    run_until(&options, &dir, |catalog| signed(catalog, topic, 0) > 340);
    let after = published(cluster, &options, 0);
    assert!(after.starts_with(&before) && after.is_sorted_by(|one, next| one.size < next.size));
}
