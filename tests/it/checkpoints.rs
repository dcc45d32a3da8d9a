//! Signed checkpoints of real ledgers over a real broker: however ledgers are killed, restored from older copies or
//! started twice, no log is signed in two ways; and ledgers with the same input sign the same.

mod agreement;
mod fork;
mod passed_over;
mod restored;
mod twin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_ingest::consume::Ingest;
use ledger_ingest::kafka::KafkaOptions;
use ledger_ingest::sign::{Origins, Signing, SigningKeys, SigningOptions};
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::proof::tree::verify_consistency;
use ledger_store::{Catalog, DataDir, ShardId, Snapshot, StoreOptions};
use ledger_tests::kafka::{self, Cluster, Isolation, Message};
use ledger_tests::{secret, wait};

/// Event times rise by this much, so that every few events seal the minute before.
const STEP_MS: i64 = 12_000;

/// 2024-03-01T00:00:00Z
const START_MS: i64 = 1_709_251_200_000;

fn key() -> SignerKey {
    SignerKey::from_seed("test", [3; 32]).unwrap()
}

/// Topics of one test, and the options of a ledger that reads them.
fn options(cluster: &Cluster, stem: &str, partitions: i32) -> KafkaOptions {
    let options = KafkaOptions {
        brokers: cluster.bootstrap().to_owned(),
        topics: vec![kafka::unique_name(stem)],
        group: kafka::unique_name("group"),
        decisions_topic: None,
        dead_letter_topic: None,
        checkpoints_topic: Some(kafka::unique_name("checkpoints")),
        ..KafkaOptions::default()
    };
    let settings =
        [("message.timestamp.type", "CreateTime"), ("retention.ms", "-1"), ("max.message.bytes", "4194304")];
    cluster.create_topic(&options.topics[0], partitions, &settings);
    let compacted = [("cleanup.policy", "compact")];
    cluster.create_topic(options.checkpoints_topic.as_deref().unwrap(), 1, &compacted);
    options
}

fn events(partition: i32, from: i64, count: i64) -> Vec<Message> {
    let event = |number: i64| {
        let client = format!("tenant-{partition}-{}", number % 7);
        let value = format!(
            r#"{{"id":"e-{number}","type":"enabled","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"app"}}"#
        );
        Message::new(client, value).to_partition(partition).at(START_MS + number * STEP_MS)
    };
    (from..from + count).map(event).collect()
}

/// A tick; it seals the records before it in the partition.
fn tick(partition: i32, number: i64) -> Message {
    let value =
        format!(r#"{{"id":"tick-{partition}-{number}","type":"tick","time":"2024-03-01T00:00:00Z"}}"#);
    Message::new("tick", value).to_partition(partition).at(START_MS + number * STEP_MS)
}

/// Writes the key; copies of one ledger have the same.
pub(crate) fn write_key(keys_dir: &Path) {
    keep_key(keys_dir, &key());
}

pub(crate) fn keep_key(keys_dir: &Path, key: &SignerKey) {
    std::fs::create_dir_all(keys_dir).unwrap();
    std::fs::write(SigningKeys::new(keys_dir).path(), key.to_secret_text() + "\n").unwrap();
}

fn signing(catalog: &Arc<Catalog>, options: &KafkaOptions, keys_dir: PathBuf) -> Signing {
    let (keys, origins) = (vec![key()], Origins::default());
    let signing = SigningOptions { keys, keys_dir, origins, secret: secret() };
    Signing::start(Arc::clone(catalog), options.clone(), signing).unwrap()
}

fn open(dir: &Path, store: StoreOptions) -> Arc<DataDir> {
    ledger_tests::show_logs();
    Arc::new(DataDir::open(dir, store, secret()).unwrap())
}

/// Reads and signs in this process until `done` holds, then stops in order.
fn run_until(options: &KafkaOptions, dir: &Path, done: impl Fn(&Catalog) -> bool) {
    let catalog = Arc::new(Catalog::default());
    let ingest = Ingest::start(open(dir, StoreOptions::default()), Arc::clone(&catalog), options).unwrap();
    let signing = signing(&catalog, options, dir.with_extension("keys"));
    wait::until_or(|| done(&catalog), || format!("{:?}", catalog.all()));
    ingest.stop();
    signing.stop();
}

/// The size of the last checkpoint that a partition has here.
fn signed(catalog: &Catalog, topic: &str, partition: u32) -> u64 {
    let served = catalog.get(&ShardId { topic: topic.to_owned(), partition });
    served.and_then(|served| served.status.checkpoint()).map_or(0, |signed| signed.checkpoint.size)
}

/// Every published checkpoint of a partition, in order.
fn published(cluster: &Cluster, options: &KafkaOptions, partition: u32) -> Vec<Checkpoint> {
    let origin = format!("{}/{partition}", options.topics[0]);
    notes(cluster, options, &origin, Isolation::ReadCommitted)
}

/// Every note of an origin, including those of aborted transactions: a reader of uncommitted messages has them.
pub(crate) fn notes(
    cluster: &Cluster,
    options: &KafkaOptions,
    origin: &str,
    isolation: Isolation,
) -> Vec<Checkpoint> {
    let verifier = [key().renamed(origin).unwrap().verifier()];
    let notes = cluster.read_all(options.checkpoints_topic.as_deref().unwrap(), isolation);
    let ours = notes.into_iter().filter(|note| note.key.as_deref() == Some(origin.as_bytes()));
    let open = |value: Option<Vec<u8>>| {
        let note = String::from_utf8(value.unwrap()).unwrap();
        Checkpoint::open(&note, &verifier).unwrap()
    };
    ours.map(|note| open(note.value)).collect()
}

/// Checks all notes as a partner would: one root for a size, and each log is a prefix of each later one. The proofs
/// are this ledger's, the roots were published.
fn assert_one_log(snapshot: &Snapshot<'_>, notes: &[Checkpoint]) {
    let mut roots = BTreeMap::new();
    for Checkpoint { origin, size, root } in notes {
        assert_eq!(roots.entry(*size).or_insert(*root), root, "two notes of {origin} at {size}");
    }
    for (from, earlier) in &roots {
        for (to, later) in roots.range(from + 1..) {
            let proof = snapshot.consistency(*from, *to).unwrap();
            let checked = verify_consistency(*from, *to, *earlier, *later, &proof);
            assert_eq!(checked, Ok(()), "the log of {from} leaves is not the beginning of that of {to}");
        }
    }
}
