//! Operations of a test on a running broker. Every call waits until the broker has done it, or fails the test.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Received, unique_name};

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Of one of several attempts within [`TIMEOUT`].
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// A broker by its address.
///
/// Every call makes its own client: a longer-lived one remembers leaders of a deleted and recreated topic and asks
/// them for half a minute.
#[derive(Clone, Debug)]
pub struct Cluster {
    bootstrap: String,
}

/// The isolation level of a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

impl Cluster {
    /// The broker at `host:port`.
    pub fn at(bootstrap: String) -> Self {
        Self { bootstrap }
    }

    /// `host:port`, as `bootstrap.servers` wants it.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let wanted = settings.iter().fold(wanted, |topic, (name, value)| topic.set(name, value));
        let results = wait(self.admin().create_topics([&wanted], &Self::patience())).expect("create a topic");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot create the topic {topic}: {error}"));
        }
        for partition in 0..partitions {
            self.watermarks(topic, partition);
        }
    }

    /// Sets these settings and the defaults for all others, as an operator does; waits until they apply.
    pub fn configure_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let wanted = settings.iter().fold(wanted, |wanted, (name, value)| wanted.set(name, value));
        let results = wait(self.admin().alter_configs([&wanted], &Self::patience())).expect("alter a topic");
        for result in results {
            result.unwrap_or_else(|(_, error)| panic!("cannot alter the topic {topic}: {error}"));
        }
        self.until("the topic has its settings", || {
            let resource = ResourceSpecifier::Topic(topic);
            let described = wait(self.admin().describe_configs([&resource], &Self::patience())).ok()?;
            let described = described.into_iter().next()?.ok()?;
            let has = |name: &str| described.get(name).and_then(|entry| entry.value.clone());
            settings.iter().all(|(name, value)| has(name).as_deref() == Some(*value)).then_some(())
        });
    }

    /// Deletes the topic and waits until it is gone, so that the name can be used again.
    pub fn delete_topic(&self, topic: &str) {
        let results = wait(self.admin().delete_topics(&[topic], &Self::patience())).expect("delete a topic");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot delete the topic {topic}: {error}"));
        }
        self.until("the topic is gone", || {
            let metadata = self.admin().inner().fetch_metadata(None, TIMEOUT).expect("metadata");
            metadata.topics().iter().all(|known| known.name() != topic).then_some(())
        });
    }

    /// Adds partitions, as an operator must not.
    pub fn add_partitions(&self, topic: &str, partitions: usize) {
        let wanted = NewPartitions::new(topic, partitions);
        let results =
            wait(self.admin().create_partitions([&wanted], &Self::patience())).expect("more partitions");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("cannot extend the topic {topic}: {error}"));
        }
        self.watermarks(topic, i32::try_from(partitions).expect("few partitions") - 1);
    }

    /// Truncates a partition from below, as retention does: `offset` is the first that stays.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a valid offset");
        let done = wait(self.admin().delete_records(&list, &Self::patience())).expect("delete records");
        for element in done.elements() {
            element.error().unwrap_or_else(|error| panic!("cannot delete records of {topic}: {error}"));
        }
    }

    /// The first offset and the next offset. Waits for a partition without a leader, as after creation or a restart.
    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.until("the partition answers", || {
            self.admin().inner().fetch_watermarks(topic, partition, ATTEMPT_TIMEOUT).ok()
        })
    }

    /// Every message of every partition up to the present end, ordered by partition and offset.
    pub fn read_all(&self, topic: &str, isolation: Isolation) -> Vec<Received> {
        let consumer = self.reader(isolation);
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).expect("metadata of the topic");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a valid offset");
        }
        let mut open = list.count();
        assert!(open > 0, "the topic {topic} has no partitions");
        consumer.assign(&list).expect("assign the partitions");

        let deadline = Instant::now() + TIMEOUT;
        let mut received = Vec::new();
        while open > 0 {
            assert!(Instant::now() < deadline, "{open} partitions of {topic} not read within {TIMEOUT:?}");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => received.push(Received::from(message.detach())),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => panic!("cannot read {topic}: {error}"),
                None => {}
            }
        }
        received.sort_by_key(|message| (message.partition, message.offset));
        received
    }

    /// Whether the broker answers and reports itself as ready.
    pub(super) fn is_ready(&self) -> bool {
        let answer = self.admin().inner().fetch_metadata(None, ATTEMPT_TIMEOUT);
        answer.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            // A broker under test stops and returns; the default retries after up to ten seconds.
            .set("reconnect.backoff.max.ms", "100")
            .set("reconnect.backoff.ms", "20");
        config
    }

    fn reader(&self, isolation: Isolation) -> BaseConsumer {
        let isolation = match isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        self.client_config()
            .set("group.id", unique_name("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation)
            .create()
            .expect("a consumer")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client_config().create().expect("an admin client")
    }

    fn patience() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
    }

    fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(result) = attempt() {
                return result;
            }
            assert!(Instant::now() < deadline, "waited {TIMEOUT:?} on {} until {what}", self.bootstrap);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(answer)
}
