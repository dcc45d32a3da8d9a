//! Behaviour of the real broker that the other tests depend on.

use std::collections::BTreeMap;

use ledger_tests::kafka::{self, Broker, Cluster, Ending, Isolation, Message, Received};

const PARTITIONS: i32 = 6;

fn numbered(count: usize) -> Vec<Message> {
    (0..count)
        .map(|number| {
            Message::new(format!("tenant-{}", number % 50), format!("message {number}"))
                .header("number", number.to_string())
                .at(1_700_000_000_000 + i64::try_from(number).unwrap())
        })
        .collect()
}

fn read(cluster: &Cluster, topic: &str) -> Vec<Received> {
    cluster.read_all(topic, Isolation::ReadCommitted)
}

#[test]
fn acknowledged_messages_survive_a_kill_in_order() {
    let mut broker = Broker::start();
    let topic = kafka::unique_name("smoke");
    broker.cluster().create_topic(&topic, PARTITIONS, &[]);
    let sent = numbered(1000);
    let places = broker.cluster().produce(&topic, &sent);

    let received = read(broker.cluster(), &topic);
    assert_eq!(received.len(), sent.len());
    let by_place: BTreeMap<_, _> =
        received.iter().map(|message| ((message.partition, message.offset), message)).collect();
    for (message, place) in sent.iter().zip(&places) {
        let found = by_place[place];
        assert_eq!((&found.key, &found.value), (&message.key, &message.value));
        assert_eq!((&found.headers, found.timestamp_ms), (&message.headers, message.timestamp_ms));
    }
    let mut partition_of_key = BTreeMap::new();
    for message in &received {
        let partition = *partition_of_key.entry(&message.key).or_insert(message.partition);
        assert_eq!(partition, message.partition, "a key stays in its partition");
    }

    broker.kill();
    broker.restart();
    assert_eq!(read(broker.cluster(), &topic), received);

    broker.stop();
    broker.restart();
    let more = broker.cluster().produce(&topic, &[Message::new("tenant-0", "after")]);
    assert_eq!(read(broker.cluster(), &topic).len(), sent.len() + more.len());
}

#[test]
fn aborted_transaction_is_stored_but_not_read_committed() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("transactions");
    cluster.create_topic(&topic, 1, &[]);
    cluster.produce_in_transaction(&topic, &[Message::new("k", "committed")], Ending::Commit);
    cluster.produce_in_transaction(&topic, &[Message::new("k", "aborted")], Ending::Abort);
    cluster.produce(&topic, &[Message::new("k", "plain")]);

    let values = |isolation| -> Vec<(i64, Vec<u8>)> {
        let messages = cluster.read_all(&topic, isolation).into_iter();
        messages.map(|message| (message.offset, message.value.unwrap())).collect()
    };
    // Each transaction ends with a marker that has an offset.
    assert_eq!(values(Isolation::ReadCommitted), [(0, b"committed".to_vec()), (4, b"plain".to_vec())]);
    assert_eq!(
        values(Isolation::ReadUncommitted),
        [(0, b"committed".to_vec()), (2, b"aborted".to_vec()), (4, b"plain".to_vec())]
    );
}

#[test]
fn records_can_be_deleted_from_below() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("truncated");
    cluster.create_topic(&topic, 1, &[]);
    cluster.produce(&topic, &numbered(10));
    assert_eq!(cluster.watermarks(&topic, 0), (0, 10));
    cluster.delete_records_before(&topic, 0, 7);
    assert_eq!(cluster.watermarks(&topic, 0), (7, 10));
    assert_eq!(read(cluster, &topic).first().map(|message| message.offset), Some(7));
}

#[test]
fn topic_can_be_deleted_and_recreated() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("recreated");
    cluster.create_topic(&topic, 1, &[]);
    cluster.produce(&topic, &numbered(3));
    cluster.delete_topic(&topic);
    cluster.create_topic(&topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    assert_eq!([cluster.watermarks(&topic, 0), cluster.watermarks(&topic, 1)], [(0, 0), (0, 0)]);
    cluster.produce(&topic, &[Message::new("k", "v").at(1).to_partition(1)]);
    let [message] = read(cluster, &topic).try_into().unwrap();
    assert_eq!((message.partition, message.offset), (1, 0));
    assert_ne!(message.timestamp_ms, Some(1), "the broker stamps its own time");
}
