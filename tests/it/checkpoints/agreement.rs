//! Ledgers of the same topic agree: whatever arrives, and however they are started, killed and sized, they have one
//! log. A lost ledger is filled again from Kafka and signs the same checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ledger_ingest::kafka::KafkaOptions;
use ledger_record::proof::note::Checkpoint;
use ledger_store::{DataDir, FamilyDigest, ShardId, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Isolation, Message};
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::{Mix, stream};
use ledger_tests::{scratch, wait};

use super::{notes, options, tick, write_key};

const PARTITIONS: u32 = 2;
const PHASES: usize = 5;
/// Messages between two ticks: more often than once a minute.
const TICK_EVERY: i64 = 40;
/// 1 January 2026: after all event times of the workload, and in the past.
const RECORDED_MS: i64 = 1_767_225_600_000;
/// At this distance a minute, and with it a seal, ends every few messages.
const APART_MS: i64 = 7_000;

/// Every kind of message, with ticks in between; the last of each partition is a tick.
fn messages() -> Vec<Vec<Message>> {
    let mix = Mix {
        seed: 4,
        tenants: 60,
        events: 4_000,
        partitions: i32::try_from(PARTITIONS).unwrap(),
        late_percent: 5,
        repeats_per_mille: 30,
        conflicts_per_mille: 10,
        malformed_per_mille: 5,
        late_app_events: true,
    };
    let ticks = |number| (0..mix.partitions).map(move |partition| tick(partition, number));
    let mut messages = Vec::new();
    for (number, sent) in (0..).zip(stream(mix)) {
        messages.push(sent.message);
        if number % TICK_EVERY == 0 {
            messages.extend(ticks(number));
        }
    }
    let at = |(number, message): (i64, Message)| message.at(RECORDED_MS + number * APART_MS);
    let messages: Vec<Message> = (0..).zip(messages).map(at).collect();
    let phases = messages.chunks(messages.len().div_ceil(PHASES)).map(<[Message]>::to_vec);
    let mut phases: Vec<_> = phases.collect();
    for (number, phase) in (1..).zip(&mut phases) {
        phase.extend(ticks(-number));
    }
    phases
}

/// A ledger with its own origin, group and directory. All share the checkpoints topic: a ledger killed inside a
/// transaction must not block another.
fn ledger(cluster: &Cluster, options: &KafkaOptions, scratch: &Path, name: &str) -> Setup {
    write_key(&scratch.join(format!("{name}.keys")));
    Setup {
        instance: name.to_owned(),
        checkpoints_topic: options.checkpoints_topic.clone().unwrap(),
        more: vec![("EVIDENCE__ORIGIN", origin(options, name))],
        ..Setup::new(cluster, options.topics[0].clone(), scratch.join(name))
    }
}

fn origin(options: &KafkaOptions, name: &str) -> String {
    format!("{name}.{}", options.topics[0])
}

/// Sizes of the last checkpoints, by partition.
fn sizes(server: &Server) -> BTreeMap<u64, u64> {
    let (_, answer) = server.get("/v1/checkpoints");
    let checkpoints = answer["checkpoints"].as_array().unwrap().iter();
    checkpoints.map(|one| (one["partition"].as_u64().unwrap(), one["size"].as_u64().unwrap())).collect()
}

/// Waits until the whole topic is read and signed: until all have signed the same, and more than before.
fn wait_until_signed(servers: &[&Server], before: &mut BTreeMap<u64, u64>) {
    for server in servers {
        server.wait_until_ready(PARTITIONS as usize);
    }
    let found = || servers.iter().map(|server| sizes(server)).collect::<Vec<_>>();
    let reported = || servers.iter().map(|server| server.get("/v1/checkpoints").1.to_string()).collect();
    let has_grown = |sizes: &BTreeMap<u64, u64>| {
        sizes.len() == PARTITIONS as usize
            && sizes.iter().all(|(partition, size)| before.get(partition).is_none_or(|old| old < size))
    };
    wait::until_or(|| found().iter().all(|sizes| *sizes == found()[0] && has_grown(sizes)), reported);
    *before = sizes(servers[0]);
}

fn published(cluster: &Cluster, options: &KafkaOptions, name: &str, partition: u32) -> Vec<Checkpoint> {
    let origin = format!("{}/{partition}", origin(options, name));
    notes(cluster, options, &origin, Isolation::ReadUncommitted)
}

fn digests(dir: &Path, id: &ShardId) -> Vec<FamilyDigest> {
    let data = DataDir::open_existing_read_only(dir, StoreOptions::default()).unwrap();
    data.read_shard(id).unwrap().snapshot().digests().unwrap()
}

#[test]
fn ledgers_of_one_topic_sign_the_same_log() {
    let cluster = kafka::shared();
    let options = options(cluster, "agreement", i32::try_from(PARTITIONS).unwrap());
    let scratch = scratch::directory();
    let ledger = |name: &str, batch: &str, memory: &str| {
        let mut setup = ledger(cluster, &options, scratch.path(), name);
        setup.more.push(("KAFKA__BATCH_MAX_EVENTS", batch.to_owned()));
        setup.more.push(("MEMORY", memory.to_owned()));
        setup
    };
    let start = |setup: &Setup| Server::start(setup, &scratch.path().join(format!("{}.log", setup.instance)));
    let (large, small) = (ledger("large", "50000", "1GiB"), ledger("small", "7", "64MiB"));
    let (mut one, mut two, mut signed) = (start(&large), start(&small), BTreeMap::new());
    for phase in messages() {
        let (first, second) = phase.split_at(phase.len() / 2);
        cluster.produce(&options.topics[0], first);
        two.process.kill();
        two = start(&small);
        cluster.produce(&options.topics[0], second);
        two.process.kill();
        one.drain();
        (one, two) = (start(&large), start(&small));
        wait_until_signed(&[&one, &two], &mut signed);
    }
    one.drain();
    two.drain();

    let again = ledger("again", "311", "128MiB");
    start(&again).process.kill();
    let third = start(&again);
    third.wait_until_ready(PARTITIONS as usize);
    // Up to the size of the others.
    wait::until_or(|| sizes(&third) == signed, || third.get("/v1/checkpoints").1.to_string());
    third.drain();
    compare(cluster, &options, [&large, &small, &again]);
}

fn compare(cluster: &Cluster, options: &KafkaOptions, setups: [&Setup; 3]) {
    for setup in setups {
        let reports = server::verified(&setup.data_dir, &setup.more);
        assert_eq!(reports.len(), PARTITIONS as usize);
        assert!(reports.iter().all(|report| report["signedSize"] == report["size"]), "{reports:?}");
        let some = |what: &str| reports.iter().all(|report| report[what].as_u64() > Some(0));
        assert!(["refused", "duplicates", "tenants"].into_iter().all(some), "{reports:?}");
    }
    for partition in 0..PARTITIONS {
        let id = ShardId { topic: options.topics[0].clone(), partition };
        let published = setups.map(|setup| published(cluster, options, &setup.instance, partition));
        let sizes =
            published.each_ref().map(|notes| notes.iter().map(|note| note.size).collect::<BTreeSet<_>>());
        let [one, two, again] = &sizes;
        let common = one.intersection(two).count();
        assert!(common >= PHASES, "{common} common sizes of {} and {}", one.len(), two.len());
        assert_eq!(again.last(), one.last());
        for setup in setups {
            let data = DataDir::open_existing_read_only(&setup.data_dir, StoreOptions::default()).unwrap();
            let reader = data.read_shard(&id).unwrap();
            for Checkpoint { origin, size, root } in published.iter().flatten() {
                let found = reader.snapshot().tree_root(*size).unwrap();
                assert_eq!(found, *root, "{} at {size}, which {origin} signed", setup.instance);
            }
        }
        let written = setups.map(|setup| digests(&setup.data_dir, &id));
        assert!(written.iter().all(|digests| *digests == written[0]), "{partition}: {written:?}");
    }
}
