//! The topics that a ledger needs, created or compared with what is there.
//!
//! | topic | settings | why |
//! | --- | --- | --- |
//! | lifecycle | `message.timestamp.type=LogAppendTime` | the recorded time is the broker's, not a producer's |
//! | | `retention.ms=-1`, `retention.bytes=-1`, `cleanup.policy=delete` | a ledger on an empty disk replays all of it |
//! | checkpoints | `cleanup.policy=compact` | the last note of each log is never lost, and soon found |
//! | | one partition | all notes are in the first |
//! | decisions, dead letters | `cleanup.policy=delete` | read once, kept as long as the cluster's default says |

use std::time::Duration;

use futures_executor::block_on;
use ledger_store::{Halted, ShardId};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{info, warn};

use crate::consume::continuity::Halt;
use crate::kafka::client_log::LogContext;
use crate::kafka::options::{BROKER_TIMEOUT, KafkaOptions};
use crate::kafka::times::TimeSource;
use crate::kafka::topic;

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    pub name: String,
    /// How many partitions it gets, if that is not the operator's choice.
    pub partitions: Option<u32>,
    /// Settings that matter, with the values they need.
    pub settings: Vec<(&'static str, &'static str)>,
}

/// What became of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    pub name: String,
    /// How many partitions it has; 0: it is not there.
    pub partitions: u32,
    /// It was made just now.
    pub created: bool,
    /// Settings that differ, the number of partitions among them: name, wanted, found.
    pub differences: Vec<(String, String, String)>,
    /// Whose word recorded times are; of a lifecycle topic that is there.
    pub times: Option<TimeSource>,
}

impl TopicReport {
    /// Whether the topic is as it should be.
    pub fn is_fine(&self) -> bool {
        self.partitions > 0 && self.differences.is_empty()
    }

    /// Why `serve` does not read a lifecycle topic, as it would report it for the first partition.
    pub fn halts(&self, options: &KafkaOptions) -> Option<Halted> {
        let times = self.times.as_ref().filter(|times| matches!(times, TimeSource::Producers { .. }))?;
        let shard = ShardId { topic: self.name.clone(), partition: 0 };
        let halt = Halt::producer_times(&shard, times.to_string(), &options.brokers);
        (!options.accept_producer_times).then(|| halt.halted(&shard))
    }
}

const LOG_APPEND_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

/// The topics that the options name, as they should be.
pub fn wanted(options: &KafkaOptions) -> Vec<WantedTopic> {
    let lifecycle =
        [LOG_APPEND_TIME, ("retention.ms", "-1"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")];
    let inputs = options.topics.iter().map(|name| wanted_topic(name, None, &lifecycle));
    let checkpoints = [("cleanup.policy", "compact")];
    let checkpoints = options.checkpoints_topic.iter().map(|name| wanted_topic(name, Some(1), &checkpoints));
    let outputs = [&options.decisions_topic, &options.dead_letter_topic, &options.access_topic];
    let outputs =
        outputs.into_iter().flatten().map(|name| wanted_topic(name, None, &[("cleanup.policy", "delete")]));
    inputs.chain(checkpoints).chain(outputs).collect()
}

fn wanted_topic(
    name: &str,
    partitions: Option<u32>,
    settings: &[(&'static str, &'static str)],
) -> WantedTopic {
    WantedTopic { name: name.to_owned(), partitions, settings: settings.to_vec() }
}

/// How many partitions a topic gets by default.
pub const PARTITIONS: u32 = 12;

/// Creates the topics that are missing, and compares those that are there, also with how many partitions were asked for.
pub fn create(
    options: &KafkaOptions,
    partitions: Option<u32>,
    replication: u16,
) -> Result<Vec<TopicReport>, KafkaError> {
    let admin: AdminClient<LogContext> = options.base().create_with_context(LogContext)?;
    let mut reports = Vec::new();
    for mut wanted in wanted(options) {
        wanted.partitions = wanted.partitions.or(partitions);
        let count = i32::try_from(wanted.partitions.unwrap_or(PARTITIONS)).unwrap_or(i32::MAX);
        let mut topic = NewTopic::new(&wanted.name, count, TopicReplication::Fixed(i32::from(replication)));
        for (name, value) in &wanted.settings {
            topic = topic.set(name, value);
        }
        let results = block_on(admin.create_topics([&topic], &asking()))?;
        let created = match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => false,
            Some(Err((_, code))) => return Err(KafkaError::AdminOp(code)),
            Some(Ok(_)) | None => true,
        };
        reports.push(TopicReport { created, ..compare(&admin, &wanted, created)? });
    }
    Ok(reports)
}

/// Whether a topic was not made because there are fewer brokers than copies asked for.
#[must_use]
pub const fn lacks_brokers(error: &KafkaError) -> bool {
    matches!(error, KafkaError::AdminOp(RDKafkaErrorCode::InvalidReplicationFactor))
}

/// Compares the topics with what they should be; changes nothing.
pub fn check(options: &KafkaOptions) -> Result<Vec<TopicReport>, KafkaError> {
    let admin: AdminClient<LogContext> = options.base().create_with_context(LogContext)?;
    wanted(options).iter().map(|wanted| compare(&admin, wanted, false)).collect()
}

/// Warns of each topic that is not there, and of each setting that differs (rules 1: of recorded times that are not the broker's; of retention, before
/// it overtakes a ledger that must be filled anew). What cannot be asked for is no reason not to read.
pub fn warn_of_differences(options: &KafkaOptions) {
    let reports = match check(options) {
        Ok(reports) => reports,
        Err(error) => return info!(%error, "the settings of the topics could not be compared"),
    };
    for TopicReport { name, differences, partitions, .. } in reports {
        if partitions == 0 {
            warn!(topic = name, "the topic is not there, see `topics create`");
        }
        for (setting, wanted, found) in differences {
            warn!(
                topic = name,
                setting, wanted, found, "the topic is not as it should be, see `topics check`"
            );
        }
    }
}

fn compare(
    admin: &AdminClient<LogContext>,
    wanted: &WantedTopic,
    just_created: bool,
) -> Result<TopicReport, KafkaError> {
    let mut report = TopicReport {
        name: wanted.name.clone(),
        partitions: 0,
        created: false,
        differences: Vec::new(),
        times: None,
    };
    report.partitions = match partitions(admin, &wanted.name, just_created) {
        Ok(partitions) => partitions,
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => return Ok(report),
        Err(error) => return Err(error),
    };
    if let Some(partitions) = wanted.partitions.filter(|wanted| *wanted != report.partitions) {
        let found = report.partitions.to_string();
        report.differences.push(("partitions".to_owned(), partitions.to_string(), found));
    }
    let resource = ResourceSpecifier::Topic(&wanted.name);
    let described = block_on(admin.describe_configs([&resource], &asking()))?;
    let Some(described) = described.into_iter().next() else { return Ok(report) };
    let described = described.map_err(KafkaError::AdminOp)?;
    let value_of = |name: &str| described.get(name).and_then(|entry| entry.value.clone());
    report.times = wanted.settings.contains(&LOG_APPEND_TIME).then(|| TimeSource::from_settings(value_of));
    for (name, value) in &wanted.settings {
        let found = value_of(name).unwrap_or_default();
        if found != *value {
            report.differences.push(((*name).to_owned(), (*value).to_owned(), found));
        }
    }
    Ok(report)
}

/// A topic that was made a moment ago may not be known to every broker yet.
fn partitions(admin: &AdminClient<LogContext>, name: &str, just_created: bool) -> Result<u32, KafkaError> {
    let mut tries = if just_created { 50 } else { 1 };
    loop {
        tries -= 1;
        match topic::partitions(admin.inner(), name, BROKER_TIMEOUT) {
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) if tries > 0 => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}

fn asking() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(BROKER_TIMEOUT)).operation_timeout(Some(BROKER_TIMEOUT))
}
