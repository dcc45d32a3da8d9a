//! A refill over copies of app-level events that an earlier refill added.

use crate::tests::refilling::*;

/// Regression: `verify` always exited with 3, as an offset was before one of another shard's copy.
#[test]
fn second_refill_keeps_the_order_of_filled_in_copies() {
    let scratch = tempfile::tempdir().unwrap();
    let old = directory(&scratch.path().join("old"));
    {
        let mut shards: Vec<Feed> = (0..PARTITIONS).map(|partition| Feed::of(&old, partition)).collect();
        // In one millisecond, so that only the offsets order them.
        shards[0].message(1, policy_set("app", "p1", 20, 3));
        shards[0].message(1, installed("xa", "app", "e1", 40, "US"));
        shards[0].message(1, policy_set("app", "p2", 25, 9));
        shards[0].message(1, uninstalled("xa", "app", "e2", 50));
        shards[1].message(1, installed("yb", "app", "e3", 40, "US"));
        shards[2].message(1, installed("zc", "app", "e4", 40, "US"));
    }
    let (new, report) = refilled(&old, &scratch.path().join("new"));
    assert_eq!(report.copied, 4);
    all_true(&new);
    for turn in 1..PARTITIONS {
        let moved = |client: &ClientKey| (place(client) + turn) % PARTITIONS;
        let path = scratch.path().join(format!("moved-{turn}"));
        let next = begin(&path).unwrap();
        let how = RefillPlan {
            topic: TOPIC,
            log_name: "t~2",
            place: &moved,
            secret: &secret(),
            signed: &|_| Vec::new(),
        };
        let report = refill(&new, &next, &how, &mut |_, _, _| {}).unwrap();
        assert_eq!((report.moved, report.copied, report.conflicts), (3, 0, 0));
        all_true(&next.finish().unwrap());
    }
}
