//! Whose word the recorded times of a topic are (rules 1), and whether the ledger may take it.
//!
//! A partition's recorded time never goes back, so one message that comes with a time far ahead is the time of
//! all that follow. With `LogAppendTime` the broker's clock tells. With `CreateTime` the producers' clocks do, and
//! the broker refuses what is too far ahead: by an hour since Kafka 4.0, not at all before that.
//!
//! | brokers | the bound |
//! | --- | --- |
//! | 3.6 and later | `message.timestamp.after.max.ms`; while that has its old default, the one below |
//! | before 4.0 | `message.timestamp.difference.max.ms` |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use ledger_core::limits::FUTURE_MAX_MS;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{info, warn};

use crate::kafka::client_log::LogContext;
use crate::kafka::options::KafkaOptions;

const TYPE: &str = "message.timestamp.type";
const AFTER_MAX: &str = "message.timestamp.after.max.ms";
const DIFFERENCE_MAX: &str = "message.timestamp.difference.max.ms";

/// The value of a setting that bounds nothing.
const NO_BOUND: i64 = i64::MAX;

/// How long the brokers may take to describe a topic.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose word the times of a topic's messages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSource {
    /// The broker's.
    Broker,
    /// The producers', as far as the broker's bound, which is short enough.
    BoundedProducers {
        /// The bound.
        after_max_ms: i64,
    },
    /// The producers', further ahead than the ledger takes.
    Producers {
        /// The bound, if there is one.
        after_max_ms: Option<i64>,
    },
    /// The brokers do not tell.
    NotTold {
        /// What they answer instead.
        error: String,
    },
}

impl TimeSource {
    /// From the settings of a topic.
    pub(crate) fn from_settings(value: impl Fn(&str) -> Option<String>) -> Self {
        match value(TYPE).as_deref() {
            Some("LogAppendTime") => return Self::Broker,
            Some(_) => {}
            None => return Self::NotTold { error: format!("{TYPE} is not among the settings of the topic") },
        }
        let bound = |name| value(name).and_then(|text| text.parse().ok()).filter(|bound| *bound != NO_BOUND);
        match bound(AFTER_MAX).or_else(|| bound(DIFFERENCE_MAX)) {
            Some(after_max_ms) if after_max_ms <= FUTURE_MAX_MS => Self::BoundedProducers { after_max_ms },
            after_max_ms => Self::Producers { after_max_ms },
        }
    }

    /// Whether `serve` reads such a topic by default.
    pub const fn is_taken(&self) -> bool {
        matches!(self, Self::Broker | Self::BoundedProducers { .. })
    }
}

impl fmt::Display for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker => f.write_str("recorded times are the broker's"),
            Self::BoundedProducers { after_max_ms } => write!(
                f,
                "recorded times are the producers', at most {after_max_ms} ms ahead of the broker's; \
                 {TYPE}=LogAppendTime would make them the broker's"
            ),
            Self::Producers { after_max_ms: Some(bound) } => {
                write!(f, "recorded times are the producers', up to {bound} ms ahead of the broker's")
            }
            Self::Producers { after_max_ms: None } => {
                f.write_str("recorded times are the producers', however far ahead")
            }
            Self::NotTold { error } => {
                write!(
                    f,
                    "whose word the recorded times are is not known, as the brokers do not tell: {error}"
                )
            }
        }
    }
}

/// The last answers of the brokers, and when they came.
type Answers = BTreeMap<String, (Instant, Result<TimeSource, KafkaError>)>;

/// Asks for the settings of topics, once for all their shards.
pub(crate) struct TopicTimes {
    admin: AdminClient<LogContext>,
    /// So long an answer is good for.
    good_for: Duration,
    answers: Mutex<Answers>,
}

impl fmt::Debug for TopicTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicTimes").field("good_for", &self.good_for).finish_non_exhaustive()
    }
}

impl TopicTimes {
    pub(crate) fn new(options: &KafkaOptions) -> Result<Self, KafkaError> {
        let admin = options.base().create_with_context(LogContext)?;
        Ok(Self { admin, good_for: options.check_interval / 2, answers: Mutex::default() })
    }

    /// Whose word the times of a topic are; an error when the brokers cannot be reached. What is new of it is logged
    /// once. The others wait meanwhile, and hear the same.
    pub(crate) fn time_source(&self, topic: &str) -> Result<TimeSource, KafkaError> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = answers.get(topic).filter(|(when, _)| when.elapsed() < self.good_for);
        if let Some((_, answer)) = before {
            return answer.clone();
        }
        let answer = self.ask(topic);
        let before = answers.insert(topic.to_owned(), (Instant::now(), answer.clone()));
        if let Ok(now) = &answer
            && before.and_then(|(_, answer)| answer.ok()).as_ref() != Some(now)
        {
            if now == &TimeSource::Broker { info!(topic, "{now}") } else { warn!(topic, "{now}") }
        }
        answer
    }

    fn ask(&self, topic: &str) -> Result<TimeSource, KafkaError> {
        let resource = ResourceSpecifier::Topic(topic);
        let asking = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
        let described = block_on(self.admin.describe_configs([&resource], &asking));
        match described.map(|described| described.into_iter().next()) {
            Ok(Some(Ok(described))) => {
                let value = |name: &str| described.get(name).and_then(|entry| entry.value.clone());
                Ok(TimeSource::from_settings(value))
            }
            // `KafkaError` does not give the code of an admin operation away by its method.
            Ok(Some(Err(code))) | Err(KafkaError::AdminOp(code)) if !may_pass(code) => {
                Ok(TimeSource::NotTold { error: code.to_string() })
            }
            Ok(Some(Err(code))) => Err(KafkaError::AdminOp(code)),
            Ok(None) => Ok(TimeSource::NotTold { error: "the answer is empty".to_owned() }),
            Err(error) => Err(error),
        }
    }
}

/// Whether the brokers may tell it the next time: they are away, or do not know the topic yet. They have answered other
/// questions a moment ago, so one that gets no answer in time is one that they do not answer.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    !matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion
            | RDKafkaErrorCode::InvalidRequest
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::OperationTimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> TimeSource {
        TimeSource::from_settings(|name| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_broker_s_clock_is_taken_whatever_else_is_set() {
        assert_eq!(of(&[(TYPE, "LogAppendTime"), (AFTER_MAX, "9223372036854775807")]), TimeSource::Broker);
    }

    #[test]
    fn producers_are_taken_as_far_as_the_broker_bounds_them() {
        let (hour, day, no_bound) = ("3600000", "86400000", "9223372036854775807");
        let create = (TYPE, "CreateTime");
        for (settings, after_max_ms) in [
            (vec![create, (AFTER_MAX, hour)], 3_600_000),
            (vec![create, (AFTER_MAX, day)], 86_400_000),
            (vec![create, (AFTER_MAX, hour), (DIFFERENCE_MAX, no_bound)], 3_600_000),
            // Kafka 3.6 to 3.9 with the older setting, and what was before.
            (vec![create, (AFTER_MAX, no_bound), (DIFFERENCE_MAX, hour)], 3_600_000),
            (vec![create, (DIFFERENCE_MAX, hour)], 3_600_000),
        ] {
            assert_eq!(of(&settings), TimeSource::BoundedProducers { after_max_ms }, "{settings:?}");
        }
        let refused = |after_max_ms| TimeSource::Producers { after_max_ms };
        for (settings, expected) in [
            (vec![create, (AFTER_MAX, "86400001")], refused(Some(86_400_001))),
            // The newer setting counts where both are there.
            (vec![create, (AFTER_MAX, "172800000"), (DIFFERENCE_MAX, hour)], refused(Some(172_800_000))),
            (vec![create, (AFTER_MAX, no_bound)], refused(None)),
            (vec![create, (DIFFERENCE_MAX, no_bound)], refused(None)),
            (vec![create], refused(None)),
        ] {
            assert_eq!(of(&settings), expected, "{settings:?}");
            assert!(!expected.is_taken());
        }
    }

    #[test]
    fn what_is_not_told_is_not_taken() {
        assert!(matches!(of(&[]), TimeSource::NotTold { .. }) && !of(&[]).is_taken());
    }
}
