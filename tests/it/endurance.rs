//! The program is killed, its brokers stop and return, a second process takes partitions and releases them:
//! afterwards the log equals that of an undisturbed run, byte for byte (I-2, I-3, I-5).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ledger_ingest::kafka::KafkaOptions;
use ledger_record::proof::note::Checkpoint;
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, FamilyDigest, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Broker, Cluster, Isolation};
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::{Chance, Mix, Sent, stream};

use crate::checkpoints::{notes, write_key};
use crate::ingest::{published, readers};

const PARTITIONS: i32 = 6;
const KILLS: usize = 50;
/// At least this number of kills must hit a process that had written since its start.
const KILLS_AT_WORK: usize = KILLS / 2;
/// The stream is sent in so many parts for each kill.
const PARTS_PER_KILL: usize = 8;
/// A part waits no longer for its kill: a test that failed meanwhile ends.
const PART_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_mins(2);

fn setup(cluster: &Cluster, name: &str, data_dir: &Path) -> Setup {
    Setup {
        group: "realm-ledger".to_owned(),
        instance: name.to_owned(),
        decisions_topic: "realm.decisions".to_owned(),
        dead_letter_topic: "realm.dead-letter".to_owned(),
        checkpoints_topic: "realm.checkpoints".to_owned(),
        ..Setup::new(cluster, "realm.lifecycle".to_owned(), data_dir.join(name))
    }
}

fn digests(data_dir: &Path, topic: &str) -> Vec<Vec<FamilyDigest>> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let digests = |partition: i32| {
        let id = ShardId { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap() };
        data.read_shard(&id).unwrap().snapshot().digests().unwrap()
    };
    (0..PARTITIONS).map(digests).collect()
}

/// Sends the stream in small parts and at the pace of the kills, so that there is something to read before each of them
/// however slow the machine is. A stopped broker gets the missed part after its return.
fn trickle(cluster: &Cluster, topic: &str, sent: &[Sent], kills: &AtomicUsize) {
    let at_once = sent.len().div_ceil(KILLS * PARTS_PER_KILL);
    for (part, chunk) in sent.chunks(at_once).enumerate() {
        let messages: Vec<_> = chunk.iter().map(|sent| sent.message.clone()).collect();
        cluster.produce(topic, &messages);
        let sent_at = Instant::now();
        while kills.load(Ordering::Acquire) < KILLS && sent_at.elapsed() < PART_PATIENCE {
            thread::sleep(Duration::from_millis(100));
            if kills.load(Ordering::Acquire) >= part / PARTS_PER_KILL {
                break;
            }
        }
    }
}

#[test]
fn fifty_kills_leave_the_log_of_an_undisturbed_run() {
    let mut broker = Broker::start();
    let cluster = broker.cluster().clone();
    let scratch = scratch::directory();
    let first = setup(&cluster, "first", scratch.path());
    let settings = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "4194304")];
    cluster.create_topic(&first.topic, PARTITIONS, &settings);
    cluster.create_topic(&first.decisions_topic, 3, &[]);
    cluster.create_topic(&first.dead_letter_topic, 1, &[]);
    cluster.create_topic(&first.checkpoints_topic, 1, &[("cleanup.policy", "compact")]);
    for name in ["first", "second", "calm"] {
        write_key(&scratch.path().join(format!("{name}.keys")));
    }
    let sent = stream(Mix {
        seed: 50,
        tenants: 700,
        events: 40_000,
        partitions: PARTITIONS,
        late_percent: 5,
        repeats_per_mille: 30,
        conflicts_per_mille: 3,
        malformed_per_mille: 1,
        late_app_events: true,
    });
    let kills = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| trickle(&cluster, &first.topic, &sent, &kills));
        let at_work = disturb(&mut broker, &first, scratch.path(), &kills);
        assert!(at_work >= KILLS_AT_WORK, "{at_work} of {KILLS} kills hit a process at work");
    });
    finish(&first, &scratch.path().join("last.log"));
    what_was_told_is_complete(&cluster, &first, &sent);

    let calm = Setup { group: kafka::unique_name("calm"), ..setup(&cluster, "calm", scratch.path()) };
    finish(&calm, &scratch.path().join("calm.log"));
    let undisturbed = digests(&calm.data_dir, &calm.topic);
    assert_eq!(digests(&first.data_dir, &first.topic), undisturbed);
    // Partitions that the second process took and released continue from their old position.
    let second = Setup { group: kafka::unique_name("alone"), ..setup(&cluster, "second", scratch.path()) };
    finish(&second, &scratch.path().join("second.log"));
    assert_eq!(digests(&second.data_dir, &second.topic), undisturbed);
    for data_dir in [&first.data_dir, &second.data_dir, &calm.data_dir] {
        assert_eq!(server::verified(data_dir, &[]).len(), usize::try_from(PARTITIONS).unwrap());
    }
    what_was_signed_is_the_log(&cluster, &first);
    for log in ["first.log", "second.log", "last.log"] {
        let reported = std::fs::read_to_string(scratch.path().join(log)).unwrap();
        let errors: Vec<_> = reported.lines().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
        assert!(errors.is_empty(), "{log}: {errors:#?}");
    }
}

/// Every change is published at least once, by whichever process.
fn what_was_told_is_complete(cluster: &Cluster, setup: &Setup, sent: &[Sent]) {
    let options = KafkaOptions {
        topics: vec![setup.topic.clone()],
        decisions_topic: Some(setup.decisions_topic.clone()),
        dead_letter_topic: Some(setup.dead_letter_topic.clone()),
        ..KafkaOptions::default()
    };
    published::dead_letters_are_complete(cluster, &options, sent);
    let readers = readers(&setup.data_dir, &setup.topic);
    published::decisions_are_complete_and_in_order(cluster, &options, &readers);
}

/// Every note is of this log, by whichever process, committed or not.
fn what_was_signed_is_the_log(cluster: &Cluster, setup: &Setup) {
    let options =
        KafkaOptions { checkpoints_topic: Some(setup.checkpoints_topic.clone()), ..KafkaOptions::default() };
    let mut signed = 0;
    for (partition, reader) in readers(&setup.data_dir, &setup.topic) {
        let origin = format!("{}/{partition}", setup.topic);
        let notes = notes(cluster, &options, &origin, Isolation::ReadUncommitted);
        for Checkpoint { size, root, .. } in &notes {
            assert_eq!(reader.snapshot().tree_root(*size).unwrap(), *root, "{origin} at {size}");
        }
        signed += notes.len();
    }
    assert!(signed > 0, "nothing was signed");
}

/// The number of offsets that a data directory has read in all partitions.
fn read_so_far(data_dir: &Path) -> u64 {
    let Ok(data) = DataDir::open_existing_read_only(data_dir, StoreOptions::default()) else { return 0 };
    let next = |id: ShardId| {
        let sources = data.read_shard(&id).unwrap().snapshot().source_positions().unwrap();
        sources.into_iter().find_map(|(_, position)| match position {
            SourcePosition::Kafka { next_offset, .. } => Some(next_offset),
            SourcePosition::Import { .. } | SourcePosition::Carried { .. } => None,
        })
    };
    data.shards().unwrap().into_iter().filter_map(next).sum()
}

/// Kills at random moments; in between a second process joins and leaves in order, and the broker stops twice.
/// Returns the number of kills that hit a process that had written since its start.
fn disturb(broker: &mut Broker, first: &Setup, scratch: &Path, kills: &AtomicUsize) -> usize {
    let mut chance = Chance::new(1);
    let second = Setup { instance: "second".to_owned(), data_dir: scratch.join("second"), ..first.clone() };
    let second_log = scratch.join("second.log");
    let mut other: Option<Server> = None;
    let (mut at_work, mut read_before) = (0, 0);
    for kill in 0..KILLS {
        let mut server = Server::launch(first, &scratch.join("first.log"));
        match kill % 10 {
            3 => other = Some(Server::start(&second, &second_log)),
            6 => drop(other.take().map(|other| end_in_order(other, &second_log))),
            _ => {}
        }
        if kill == 17 || kill == 34 {
            broker.kill();
            broker.restart();
        }
        thread::sleep(Duration::from_millis(500 + chance.below(1_200)));
        server.process.kill();
        kills.store(kill + 1, Ordering::Release);
        let read = read_so_far(&first.data_dir);
        at_work += usize::from(read > read_before);
        read_before = read;
    }
    at_work
}

/// Checks that it drained despite its broker and the other process.
fn end_in_order(mut server: Server, log: &Path) {
    let ended_before = server.process.ended();
    let status = ended_before.unwrap_or_else(|| server.process.terminate(PATIENCE));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(status.success(), "{status}, by itself: {}\n{log}", ended_before.is_some());
}

/// Reads to the end of every partition, then drains.
fn finish(setup: &Setup, log: &Path) {
    let server = Server::start(setup, log);
    server.wait_until_ready(usize::try_from(PARTITIONS).unwrap());
    server.drain();
}
