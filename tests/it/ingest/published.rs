//! The output topics compared with the sent messages and the records.

use std::collections::{BTreeMap, BTreeSet};

use ledger_ingest::kafka::KafkaOptions;
use ledger_record::json::notice::{NoticeScope, PublishingShard, notices};
use ledger_record::record::{Content, Record};
use ledger_store::Reader;
use ledger_tests::kafka::{Cluster, Isolation, Received};
use ledger_tests::workload::{Fate, Sent};
use serde_json::Value;

pub(crate) fn dead_letters_are_complete(cluster: &Cluster, options: &KafkaOptions, sent: &[Sent]) {
    let topic = options.dead_letter_topic.as_deref().unwrap();
    let mut wanted: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for Sent { fate, .. } in sent {
        if let Fate::Refused(reason, path) = fate {
            *wanted.entry((reason, *path)).or_default() += 1;
        }
    }
    let letters = cluster.read_all(topic, Isolation::ReadCommitted);
    let mut found: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    let mut places = BTreeSet::new();
    for letter in &letters {
        assert_eq!(letter.header("realm-ledger-topic"), Some(options.topics[0].as_str()));
        let place =
            ["realm-ledger-partition", "realm-ledger-offset"].map(|name| letter.header(name).unwrap());
        // At least once: only the first of each position counts.
        if places.insert(place) {
            let kind = (letter.header("realm-ledger-reason").unwrap(), letter.header("realm-ledger-path"));
            *found.entry(kind).or_default() += 1;
        }
        no_canary(letter);
    }
    assert_eq!(found, wanted);
}

fn no_canary(message: &Received) {
    let value = message.value.as_deref().unwrap_or_default();
    let headers = message.headers.iter().filter_map(|(_, value)| value.as_deref());
    for bytes in headers.chain([value]) {
        assert!(!String::from_utf8_lossy(bytes).contains("canary"), "a secret came out: {message:?}");
    }
}

/// Every change in the logs is published, in the order of the tenant's log; duplicates have the ids of the originals.
pub(crate) fn decisions_are_complete_and_in_order(
    cluster: &Cluster,
    options: &KafkaOptions,
    readers: &BTreeMap<u32, Reader>,
) {
    let mut wanted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (partition, reader) in readers {
        let shard = PublishingShard { topic: &options.topics[0], partition: *partition };
        let snapshot = reader.snapshot();
        for record in snapshot.records_from(0).unwrap() {
            let record = record.unwrap();
            expect_notices(&mut wanted, shard, &record, &snapshot);
        }
    }
    let topic = options.decisions_topic.as_deref().unwrap();
    let mut ids = BTreeSet::new();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for message in cluster.read_all(topic, Isolation::ReadCommitted) {
        no_canary(&message);
        let notice: Value = serde_json::from_slice(message.value.as_deref().unwrap()).unwrap();
        let client = String::from_utf8(message.key.unwrap()).unwrap();
        assert_eq!(notice["subject"], client.as_str());
        if ids.insert(notice["id"].as_str().unwrap().to_owned()) {
            found.entry(client).or_default().push(notice);
        }
    }
    assert!(!wanted.is_empty());
    assert_eq!(found.len(), wanted.len());
    for (client, notices) in wanted {
        assert_eq!(found.get(&client), Some(&notices), "{client}");
    }
}

fn expect_notices(
    wanted: &mut BTreeMap<String, Vec<Value>>,
    shard: PublishingShard<'_>,
    record: &Record,
    snapshot: &ledger_store::Snapshot<'_>,
) {
    let Content::Event { event, outcome, .. } = &record.content else { return };
    let mut tell = |client: &ledger_core::ids::ClientKey, changes: &[ledger_core::tenant::Change]| {
        for notice in changes
            .iter()
            .flat_map(|change| notices(NoticeScope::Changes, shard, record, event, client, change))
        {
            let notice =
                serde_json::from_slice::<serde_json::Value>(&ledger_record::json::to_vec(&notice).unwrap())
                    .unwrap();
            wanted.entry(client.to_string()).or_default().push(notice);
        }
    };
    if let Some(client) = event.client() {
        tell(client, &outcome.changes);
    } else {
        for correction in snapshot.corrections(record.position, None).unwrap() {
            let (client, changes) = correction.unwrap();
            tell(&client, &changes);
        }
    }
}
