//! Whether the brokers answer: one warning when they do not, one line when they do again, and the reason in `/readyz` as
//! long as it lasts.
//!
//! Without brokers everything fails at once: fetches, offsets, ticks, decisions, checkpoints, and after the session
//! timeout the place in the group. All of these are one fact, which is reported here ([`Catalog::away`]); what
//! fails meanwhile is not logged as a warning.
//!
//! Nor does anything come where the brokers answer and a topic is not there, or the place in the group is not found again
//! yet: with nothing assigned the reason is reported too.
//!
//! ```text
//!   something fails, or nothing is assigned ─► asked every two seconds ─► no answer for three ─► reported
//!                                                                     └─► an answer ─► reported
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger_store::{Catalog, Halted, ShardId, StopCode};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, info, warn};

use crate::kafka::client_log;

/// How often the brokers are asked while it is not known whether they answer.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// How long they may take. Rebalances wait meanwhile.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a process may take to get partitions again. One that gets none by then is one too many in the group.
const JOINS_WITHIN: Duration = Duration::from_mins(2);

/// A broker that only restarts is no news.
const REPORT_AFTER: Duration = Duration::from_secs(3);

/// What is known of the brokers. Every thread that fails to reach them reports it here; the group's thread asks.
#[derive(Debug, Default)]
pub(super) struct Contact(Mutex<ContactState>);

#[derive(Debug, Default)]
struct ContactState {
    lost: Option<Lost>,
    asked: Option<Instant>,
    /// They answer again since, and nothing is assigned yet.
    joins_since: Option<Instant>,
    /// Why a topic is not read, as reported.
    unread: Option<String>,
}

/// A request to the brokers failed.
#[derive(Debug)]
struct Lost {
    since: Instant,
    error: String,
    reported: bool,
}

impl Contact {
    /// A request failed. Returns whether that may be because the brokers are out of reach.
    pub(super) fn failed(&self, error: &KafkaError) -> bool {
        let code = match error {
            KafkaError::AdminOp(code) => Some(*code),
            error => error.rdkafka_error_code(),
        };
        let is_away = code.is_some_and(is_of_transport);
        if is_away {
            let lost = || Lost { since: Instant::now(), error: error.to_string(), reported: false };
            self.lock().lost.get_or_insert_with(lost);
        }
        is_away
    }

    /// Whether they did not answer when they were last asked.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    /// Asks them, if there is a reason and it is time; reports what is new.
    pub(super) fn look<C: ClientContext>(
        &self,
        client: &Client<C>,
        topic: &str,
        catalog: &Catalog,
        is_assigned: bool,
    ) {
        let now = Instant::now();
        let was_reported = {
            let mut state = self.lock();
            let is_over = |since: &Instant| is_assigned || now.duration_since(*since) >= JOINS_WITHIN;
            if state.joins_since.take_if(|since| is_over(since)).is_some() {
                set_away(catalog, None);
            }
            let is_time = state.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_INTERVAL);
            if !is_time || is_assigned && state.lost.is_none() {
                return;
            }
            state.lost.as_ref().is_some_and(|lost| lost.reported)
        };
        self.ask(client, topic, catalog, REPORT_AFTER);
        if was_reported && !self.is_lost() && !is_assigned {
            self.lock().joins_since = Some(now);
            let facts = "the brokers answer again, and this process joins the group again: nothing is assigned to it yet";
            set_away(catalog, Some(facts.to_owned()));
        }
    }

    /// The place in the group is lost. What becomes of the partitions cannot be known here.
    pub(super) fn report_lost<C: ClientContext>(&self, client: &Client<C>, topic: &str, catalog: &Catalog) {
        self.ask(client, topic, catalog, Duration::ZERO);
        if self.is_lost() {
            info!(
                "without an answer of the brokers this process has lost its place in the group; it joins again then"
            );
        } else {
            warn!(
                "this process has lost its place in the group, which may give its partitions to another; it joins again"
            );
        }
    }

    /// Reports why a topic is not read, while nothing else is and the brokers answer; or that it is.
    pub(super) fn report_unread(&self, catalog: &Catalog, why: Option<String>) {
        let mut state = self.lock();
        let why = why.filter(|_| state.lost.is_none() && state.joins_since.is_none());
        if state.unread != why {
            // The thread that lost the brokers meanwhile has reported that.
            if why.is_some() || state.lost.is_none() && state.joins_since.is_none() {
                set_away(catalog, why.clone());
            }
            state.unread = why;
        }
    }

    /// Asks them now. Brokers that have not answered for a time are reported.
    pub(super) fn ask<C: ClientContext>(
        &self,
        client: &Client<C>,
        topic: &str,
        catalog: &Catalog,
        report_after: Duration,
    ) {
        let began = Instant::now();
        let answer = client.fetch_metadata(Some(topic), ASK_TIMEOUT);
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        match answer {
            Ok(_) => {
                if let Some(lost) = state.lost.take().filter(|lost| lost.reported) {
                    info!(after = ?lost.since.elapsed(), "the brokers answer again");
                    set_away(catalog, None);
                }
            }
            Err(error) => {
                debug!(%error, "the brokers do not answer");
                let lost = Lost { since: began, error: error.to_string(), reported: false };
                let lost = state.lost.get_or_insert(lost);
                if lost.since.elapsed() >= report_after {
                    lost.report(catalog);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ContactState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lost {
    fn report(&mut self, catalog: &Catalog) {
        let error = client_log::last_failure().unwrap_or_else(|| self.error.clone());
        if !std::mem::replace(&mut self.reported, true) {
            warn!(
                code = %StopCode::SourceUnreachable, error,
                "the brokers do not answer: nothing is recorded until they do; {}", StopCode::SourceUnreachable.remedy()
            );
        }
        let facts =
            format!("the brokers have not answered for {} s: {error}", self.since.elapsed().as_secs());
        set_away(catalog, Some(facts));
    }
}

/// Sets the reason for the process, and for the shards that it has given up; the reader of a shard sets its own.
fn set_away(catalog: &Catalog, facts: Option<String>) {
    let code = StopCode::SourceUnreachable;
    let reported = |shard: &ShardId| facts.as_ref().map(|facts| Halted::new(code, shard, facts));
    for (shard, served) in catalog.all() {
        let now = served.status.freshness();
        let is_reported = now.held_up.as_ref().is_some_and(|reported| reported.code == code.as_str());
        if !now.is_ours && (facts.is_some() || is_reported) {
            served.status.set_source_blocked(reported(&shard), facts.is_none());
            crate::metric::held_up(&shard, facts.as_ref().map(|_| code.as_str()));
        }
    }
    catalog.set_away(facts.map(|facts| Halted {
        code: code.as_str(),
        message: format!("{facts}; {}; it goes on by itself then", code.remedy()),
    }));
}

/// Whether it says that brokers are out of reach, rather than what they answered.
const fn is_of_transport(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::MessageTimedOut
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;
    use crate::kafka::EmbeddedBroker;
    use crate::kafka::options::KafkaOptions;

    fn asking(brokers: &str) -> BaseConsumer {
        let options = KafkaOptions { brokers: brokers.to_owned(), ..KafkaOptions::default() };
        options.base().create().unwrap()
    }

    #[test]
    fn brokers_that_do_not_answer_are_the_reason_until_they_do() {
        let (contact, catalog) = (Contact::default(), Catalog::default());
        // Nobody listens on the first port.
        let nobody = asking("127.0.0.1:1");
        contact.ask(nobody.client(), "t", &catalog, Duration::from_hours(1));
        assert!(contact.is_lost() && catalog.away().is_none(), "a moment is no news");
        contact.ask(nobody.client(), "t", &catalog, Duration::ZERO);
        let away = catalog.away().unwrap();
        assert_eq!(away.code, "source-unreachable");
        assert!(away.message.contains("check the brokers"), "{away:?}");
        let broker = EmbeddedBroker::start(&[("t", 1)]).unwrap();
        contact.ask(asking(&broker.address()).client(), "t", &catalog, Duration::ZERO);
        assert_eq!((contact.is_lost(), catalog.away()), (false, None));
    }

    #[test]
    fn a_reason_stands_until_something_is_assigned() {
        let (contact, catalog) = (Contact::default(), Catalog::default());
        let nobody = asking("127.0.0.1:1");
        contact.ask(nobody.client(), "t", &catalog, Duration::ZERO);
        let broker = EmbeddedBroker::start(&[("t", 1)]).unwrap();
        let answering = asking(&broker.address());
        contact.lock().asked = None;
        contact.look(answering.client(), "t", &catalog, false);
        assert!(!contact.is_lost());
        let joins = catalog.away().unwrap();
        assert!(joins.message.contains("joins the group again"), "{joins:?}");
        contact.report_unread(&catalog, None);
        assert_eq!(catalog.away(), Some(joins));
        contact.look(answering.client(), "t", &catalog, true);
        assert_eq!(catalog.away(), None);

        // A topic that is not there.
        contact.report_unread(&catalog, Some("u is not read: the brokers do not tell of it".to_owned()));
        let away = catalog.away().unwrap();
        assert_eq!(away.code, "source-unreachable");
        assert!(away.message.contains("u is not read") && away.message.contains("that the topic is there"));
        contact.report_unread(&catalog, None);
        assert_eq!(catalog.away(), None);
    }

    #[test]
    fn what_brokers_answer_is_no_sign_that_they_are_away() {
        let contact = Contact::default();
        assert!(!contact.failed(&KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)));
        assert!(!contact.failed(&KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed)));
        assert!(!contact.failed(&KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed)));
        assert!(!contact.is_lost());
        assert!(contact.failed(&KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)));
        assert!(contact.failed(&KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)));
        assert!(contact.is_lost());
    }
}
