//! A ledger that skips messages of its topic: each hash fits, everything is signed, and `verify` reports the missing
//! offsets.

use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, ShardId, StoreOptions};
use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::secret;
use ledger_tests::server::{self, Server, Setup};

use super::{events, options, tick, write_key};

const PASSED_OVER: u64 = 4;

#[test]
fn verify_finds_omitted_offsets() {
    let cluster = kafka::shared();
    let options = options(cluster, "passed-over", 1);
    let scratch = scratch::directory();
    let setup = Setup {
        checkpoints_topic: options.checkpoints_topic.clone().unwrap(),
        ..Setup::new(cluster, options.topics[0].clone(), scratch.path().join("ledger"))
    };
    write_key(&scratch.path().join("ledger.keys"));
    // Reads and signs everything: the last message is a tick.
    let read_on = |from: i64| {
        cluster.produce(&setup.topic, &[events(0, from, 10), vec![tick(0, from + 10)]].concat());
        let server = Server::start(&setup, &scratch.path().join("log"));
        server.wait_until_ready(1);
        server.drain();
    };
    read_on(0);
    let reports = server::verified(&setup.data_dir, &[]);
    assert_eq!(reports[0]["signedSize"], reports[0]["size"]);

    let from = pass_over(&setup);
    read_on(10);
    let found = server::verify(&setup.data_dir, &[]);
    let reported = String::from_utf8(found.stderr).unwrap();
    let fact = format!(
        "offsets {from} to {} (exclusive) of {} are neither recorded, repeated nor empty",
        from + PASSED_OVER,
        setup.topic
    );
    assert!(reported.contains(&fact), "{reported}");
    assert_eq!(found.status.code(), Some(3), "{reported}");
}

/// Records offsets as read without their messages; returns the first.
fn pass_over(setup: &Setup) -> u64 {
    let data = DataDir::open(&setup.data_dir, StoreOptions::default(), secret()).unwrap();
    let mut shard = data.open_shard(&ShardId { topic: setup.topic.clone(), partition: 0 }).unwrap();
    let position = shard.source_position(&setup.topic).unwrap();
    let Some(SourcePosition::Kafka { next_offset, leader_epoch }) = position else {
        unreachable!("it was read from Kafka: {position:?}")
    };
    let mut batch = shard.begin();
    let next_offset_then = next_offset + PASSED_OVER;
    batch.advance(&setup.topic, SourcePosition::Kafka { next_offset: next_offset_then, leader_epoch });
    batch.commit().unwrap();
    next_offset
}
