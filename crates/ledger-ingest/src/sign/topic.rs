//! Checkpoints on their topic: published in transactions, read back to the very end.
//!
//! All notes are in partition 0, whatever number of partitions the topic has or gets, keyed by origin, and the
//! topic is compacted: it keeps the last note of each origin. The id of the transactions is made of the origin,
//! so whoever initializes them shuts out every earlier producer, and its open transaction is decided.
//!
//! **To the very end** is further than a `read_committed` reader sees. It stops before the first transaction
//! that is still open, and that may be another origin's, with our last note behind it. So whoever claims looks
//! what is there without regard to transactions: what is not ours does not matter, and for what is ours the
//! committed end is waited for. Our own open transactions are none by then, since the claim has decided them: before
//! it they are waited for no longer than a moment, or a ledger that was killed would wait for itself until the broker
//! ends them.
//!
//! Reading begins a little before the end, and further back as long as nothing is found.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::client_log::LogContext;
use crate::kafka::options::KafkaOptions;
use crate::sign::{CheckpointLog, CheckpointLogError};

const PARTITION: i32 = 0;

/// How long a broker may take to answer a question.
const ASK: Duration = Duration::from_secs(5);

/// How long initializing or ending a transaction may take. Those that others left open end by themselves
/// after [`TRANSACTION`], when the broker looks next: by default it does every ten seconds.
const DECIDE: Duration = Duration::from_secs(15);

/// How long reading to the end may take.
const READ: Duration = Duration::from_secs(30);

/// How long a transaction may stay open before the broker ends it, and shuts out whoever began it.
const TRANSACTION: Duration = Duration::from_secs(10);

/// How long a note of ours behind another's transaction is waited for before that is told, and claimed anew.
const HIDDEN: Duration = Duration::from_secs(5);

/// How long without a claim: what was committed this moment is seen when its broker has noted that.
const A_MOMENT: Duration = Duration::from_secs(2);

/// How far before the end reading begins; each further attempt begins so many times further back.
const WINDOW: i64 = 64;
const WIDER: i64 = 16;

/// The notes of one origin on the topic of checkpoints.
pub struct CheckpointTopic {
    options: KafkaOptions,
    topic: String,
    origin: String,
    producer: Option<BaseProducer<LogContext>>,
    readers: OnceCell<NoteReaders>,
    /// A claim was given up without an answer: the broker may still come to it, and shut out the one after it.
    unanswered: bool,
}

impl std::fmt::Debug for CheckpointTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut told = f.debug_struct("CheckpointTopic");
        told.field("topic", &self.topic).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// One client for what is committed, one for where the end is.
struct NoteReaders {
    committed: BaseConsumer<LogContext>,
    all: BaseConsumer<LogContext>,
}

impl CheckpointTopic {
    /// Connects when it is used first.
    pub fn new(options: &KafkaOptions, topic: &str, origin: &str) -> Self {
        let (topic, origin) = (topic.to_owned(), origin.to_owned());
        Self {
            options: options.clone(),
            topic,
            origin,
            producer: None,
            readers: OnceCell::new(),
            unanswered: false,
        }
    }

    fn failed(&self, error: KafkaError) -> CheckpointLogError {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                CheckpointLogError::ShutOut
            }
            _ => CheckpointLogError::Kafka { topic: self.topic.clone(), error },
        }
    }

    fn transactional(&self) -> Result<BaseProducer<LogContext>, KafkaError> {
        let mut config = self.options.producer();
        config.set("transactional.id", format!("realm-ledger-checkpoints {}", self.origin));
        config.set("transaction.timeout.ms", TRANSACTION.as_millis().to_string());
        config.set("linger.ms", "0");
        let producer: BaseProducer<LogContext> = config.create_with_context(LogContext)?;
        producer.init_transactions(DECIDE)?;
        Ok(producer)
    }

    fn send(&self, producer: &BaseProducer<LogContext>, note: &str) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        let record = BaseRecord::to(&self.topic).key(&self.origin).payload(note).partition(PARTITION);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(DECIDE)?;
        producer.commit_transaction(DECIDE)
    }

    fn readers(&self) -> Result<&NoteReaders, CheckpointLogError> {
        if let Some(readers) = self.readers.get() {
            return Ok(readers);
        }
        let readers = NoteReaders::new(&self.options).map_err(|error| self.failed(error))?;
        Ok(self.readers.get_or_init(|| readers))
    }

    /// The first offset, and the end as this reader sees it.
    fn ends(&self, reader: &BaseConsumer<LogContext>) -> Result<(i64, i64), CheckpointLogError> {
        reader.fetch_watermarks(&self.topic, PARTITION, ASK).map_err(|error| self.failed(error))
    }

    /// The last note of the origin that is committed before the first open transaction.
    fn read_last(&self) -> Result<Option<String>, CheckpointLogError> {
        let (reader, deadline) = (&self.readers()?.committed, Instant::now() + READ);
        let (low, end) = self.ends(reader)?;
        let mut window = WINDOW;
        loop {
            let from = end.saturating_sub(window).max(low);
            if from >= end {
                return Ok(None);
            }
            let found = self.last_since(reader, from, deadline)?;
            if found.is_some() || from == low {
                return Ok(found);
            }
            window = window.saturating_mul(WIDER);
        }
    }

    /// Waits until none of the notes of the origin that are there now is behind an open transaction.
    fn wait_for_hidden(&self, patience: Duration) -> Result<(), CheckpointLogError> {
        let (readers, deadline) = (self.readers()?, Instant::now() + patience);
        let (end, seen) = (self.ends(&readers.all)?.1, self.ends(&readers.committed)?.1);
        if seen >= end || self.last_since(&readers.all, seen, Instant::now() + READ)?.is_none() {
            return Ok(());
        }
        loop {
            let seen = self.ends(&readers.committed)?.1;
            if seen >= end {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(CheckpointLogError::Hidden { topic: self.topic.clone(), seen });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last note of the origin from this offset to the end.
    fn last_since(
        &self,
        reader: &BaseConsumer<LogContext>,
        from: i64,
        deadline: Instant,
    ) -> Result<Option<String>, CheckpointLogError> {
        let failed = |error| self.failed(error);
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(&self.topic, PARTITION, Offset::Offset(from)).map_err(failed)?;
        reader.assign(&start).map_err(failed)?;
        let mut last = None;
        loop {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.key() == Some(self.origin.as_bytes()) => {
                    // What is no text, or deleted, is no note: whoever reads it will say so.
                    last = Some(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if is_about_data(&error) => return Err(failed(error)),
                Some(_) | None if Instant::now() >= deadline => {
                    return Err(CheckpointLogError::NotRead { topic: self.topic.clone() });
                }
                Some(_) | None => {}
            }
        }
        reader.unassign().map_err(failed)?;
        Ok(last)
    }
}

impl CheckpointLog for CheckpointTopic {
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError> {
        match self.wait_for_hidden(A_MOMENT) {
            // Perhaps behind our own transaction, from before a kill.
            Ok(()) | Err(CheckpointLogError::Hidden { .. }) => self.read_last(),
            Err(failed) => Err(failed),
        }
    }

    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError> {
        self.producer = None;
        let producer = self.transactional();
        self.unanswered |= producer.is_err();
        self.producer = Some(producer.map_err(|error| self.failed(error))?);
        self.wait_for_hidden(HIDDEN)?;
        self.read_last()
    }

    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError> {
        let Some(producer) = &self.producer else { return Err(CheckpointLogError::ShutOut) };
        let began = Instant::now();
        let Err(error) = self.send(producer, note) else { return Ok(()) };
        let failed = self.failed(error);
        let by_us = began.elapsed() >= TRANSACTION || self.unanswered;
        self.unanswered &= !matches!(failed, CheckpointLogError::ShutOut);
        Err(fenced(failed, by_us, &self.topic))
    }

    fn release(&mut self) {
        self.producer = None;
    }
}

impl NoteReaders {
    fn new(options: &KafkaOptions) -> Result<Self, KafkaError> {
        let made = |isolation: &str| {
            let mut config: ClientConfig = options.base();
            // Assigned by hand and never committed: the group is a name that the client insists on.
            config.set("group.id", "realm-ledger-checkpoints");
            for (name, value) in [
                ("isolation.level", isolation),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "error"),
                ("check.crcs", "true"),
                ("allow.auto.create.topics", "false"),
            ] {
                config.set(name, value);
            }
            BaseConsumer::from_config_and_context(&config, LogContext)
        };
        Ok(Self { committed: made("read_committed")?, all: made("read_uncommitted")? })
    }
}

/// To be shut out looks the same whether another process has claimed the origin, or the broker has ended a transaction
/// that took too long or come late to a claim that was given up here. Who takes those for the first stands by for a
/// process that is not there. The other way round no harm is done: one claim more, and the other one stands by.
fn fenced(failed: CheckpointLogError, by_us: bool, topic: &str) -> CheckpointLogError {
    match failed {
        CheckpointLogError::ShutOut if by_us => CheckpointLogError::Interrupted { topic: topic.to_owned() },
        failed => failed,
    }
}

/// Transport errors heal by themselves, within the deadline.
fn is_about_data(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    !matches!(
        error.rdkafka_error_code(),
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_shut_out_by_the_broker_does_not_stand_by_for_another() {
        let told = |failed, by_us| fenced(failed, by_us, "t");
        assert!(matches!(told(CheckpointLogError::ShutOut, false), CheckpointLogError::ShutOut));
        assert!(matches!(told(CheckpointLogError::ShutOut, true), CheckpointLogError::Interrupted { .. }));
        let not_read = CheckpointLogError::NotRead { topic: "t".to_owned() };
        assert!(matches!(told(not_read, true), CheckpointLogError::NotRead { .. }));
    }
}
