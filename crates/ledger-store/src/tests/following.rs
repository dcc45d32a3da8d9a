//! Records that are handed to the reader that follows the writer.

use crate::db::memory::MemoryPart;
use crate::db::options::MIB;
use crate::read::recent::Follower;
use crate::tests::*;
use ledger_record::record::Record;

/// What is in memory of a position on, and then gone there.
fn recent(reader: &Reader, position: u64) -> Vec<Record> {
    let batch = reader.take_recent(Follower::Publisher, position);
    batch.map(|batch| batch.records_from(position).to_vec()).unwrap_or_default()
}

fn logged(reader: &Reader, from: u64, to: u64) -> Vec<Record> {
    let snapshot = reader.snapshot();
    let records = snapshot.records_from(from).unwrap().map(Result::unwrap);
    records.take_while(|record| record.position < to).collect()
}

#[test]
fn recent_batches_are_the_records_of_the_log() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let reader = shard.reader();
    append(&mut shard, [installed("acme", "app", "e0", 0, "EU")]);
    assert_eq!(recent(&reader, 0), [], "it was written before anyone followed");
    append(&mut shard, [uninstalled("acme", "app", "e1", 1), policy_set("app", "p1", 2, 30)]);
    let mut batch = shard.begin();
    batch.refuse(from_offset(9), refused(hour(3))).unwrap();
    batch.tick(from_offset(10)).unwrap();
    batch.commit().unwrap();
    append(&mut shard, [uninstalled("birch", "app", "e1", 4)]);

    assert_eq!(reader.next_position(), 6);
    assert_eq!(recent(&reader, 0), [], "what comes before is in the log, and the batches stay");
    assert_eq!(recent(&reader, 2), logged(&reader, 2, 3), "from within a batch on");
    assert_eq!(recent(&reader, 2), [], "each is given up once");
    assert_eq!(recent(&reader, 3), logged(&reader, 3, 5), "with the seal as it was stored");
    append(&mut shard, [uninstalled("birch", "app", "e2", 5)]);
    assert_eq!(recent(&reader, 6), logged(&reader, 6, 7), "what was passed over is dropped");
    append(&mut shard, [uninstalled("birch", "app", "e3", 6)]);
    drop(shard);
    assert_eq!(recent(&reader, 7), [], "nothing is kept without a writer");
    assert_eq!(logged(&reader, 7, 8).len(), 1);
}

#[test]
fn followers_get_the_same_batches_and_one_that_leaves_holds_none() {
    let ledger = Ledger::new();
    let mut shard = ledger.shard();
    let reader = shard.reader();
    let take = |follower| reader.take_recent(follower, 0);
    assert!(take(Follower::Publisher).is_none() && take(Follower::Subscriptions).is_none());
    append(&mut shard, [installed("acme", "app", "e0", 0, "EU")]);
    let (one, other) = (take(Follower::Publisher).unwrap(), take(Follower::Subscriptions).unwrap());
    assert!(std::sync::Arc::ptr_eq(&one, &other));
    drop((one, other));
    reader.leave_recent(Follower::Publisher);
    append(&mut shard, [uninstalled("acme", "app", "e1", 1)]);
    let held = || ledger.data.memory().used(MemoryPart::Recent).unwrap();
    assert!(held() > 0);
    reader.leave_recent(Follower::Subscriptions);
    assert_eq!(held(), 0);
}

#[test]
fn recent_batches_are_bounded_for_all_shards_together() {
    let ledger = Ledger::with(StoreOptions { memory_bytes: Some(64 * MIB), ..StoreOptions::default() });
    let (mut one, mut other) = (ledger.shard(), ledger.data.open_shard(&shard_id(1)).unwrap());
    let (reader, beside) = (one.reader(), other.reader());
    assert!(
        reader.take_recent(Follower::Publisher, 0).is_none()
            && beside.take_recent(Follower::Publisher, 0).is_none()
    );
    let of_batch = |batch: usize| {
        (0..100).map(move |event| installed(&format!("t-{batch}-{event}"), "app", "e", 0, "EU"))
    };
    append(&mut one, of_batch(0));
    let first = reader.take_recent(Follower::Publisher, 0).unwrap();
    assert_eq!(first.records_from(0).len(), 100);
    let batches = 2 + ledger.data.memory().share(MemoryPart::Recent) / (100 * size_of::<Record>());
    for batch in 1..batches {
        append(&mut one, of_batch(batch));
    }
    append(&mut other, of_batch(0));
    let kept = (1..batches as u64).filter(|batch| !recent(&reader, 100 * batch).is_empty()).count();
    assert!(0 < kept && kept < batches - 1, "{kept} of {batches}");
    assert_eq!(recent(&beside, 0), [], "there was no room");
    append(&mut other, of_batch(1));
    assert_eq!(recent(&beside, 100).len(), 100, "there is again");
}
