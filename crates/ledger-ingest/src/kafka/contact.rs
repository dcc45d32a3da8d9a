//! Whether the brokers answer: one warning when they do not, one line when they do again, and the reason in `/readyz` as
//! long as it lasts.
//!
//! Without brokers everything fails at once: fetches, offsets, ticks, decisions, checkpoints, and after the session
//! timeout the place in the group. Each of these is one fact, and it is told here ([`Catalog::away`]); who fails
//! meanwhile keeps quiet.
//!
//! ```text
//!   something fails, or nothing is assigned ─► asked every two seconds ─► no answer for three ─► told ─► an answer ─► told
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger_store::{Catalog, Halted, ShardId, StopCode};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, info, warn};

use super::client_log;

/// How often the brokers are asked while it is not known whether they answer.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// How long they may take. Rebalances wait meanwhile.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// A broker that only restarts is no news.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// What is known of the brokers. Whoever fails to reach them says so; the group's thread asks.
#[derive(Debug, Default)]
pub(super) struct Contact(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lost: Option<Lost>,
    asked: Option<Instant>,
}

/// They did not answer somebody.
#[derive(Debug)]
struct Lost {
    since: Instant,
    error: String,
    told: bool,
}

impl Contact {
    /// Something failed, most likely because the brokers are out of reach. Answers whether that may be so.
    pub(super) fn failed(&self, error: &KafkaError) -> bool {
        let is_away = error.rdkafka_error_code().is_some_and(is_of_transport);
        if is_away {
            let lost = || Lost { since: Instant::now(), error: error.to_string(), told: false };
            self.lock().lost.get_or_insert_with(lost);
        }
        is_away
    }

    /// Whether they did not answer when they were last asked.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    /// Asks them, if there is a reason and it is time; tells what is new.
    pub(super) fn look<C: ClientContext>(
        &self,
        client: &Client<C>,
        topic: &str,
        catalog: &Catalog,
        is_assigned: bool,
    ) {
        let now = Instant::now();
        {
            let state = self.lock();
            let is_time = state.asked.is_none_or(|asked| now.duration_since(asked) >= ASK_INTERVAL);
            if !is_time || is_assigned && state.lost.is_none() {
                return;
            }
        }
        self.ask(client, topic, catalog);
    }

    /// Asks them now.
    pub(super) fn ask<C: ClientContext>(&self, client: &Client<C>, topic: &str, catalog: &Catalog) {
        let began = Instant::now();
        let answer = client.fetch_metadata(Some(topic), ASK_TIMEOUT);
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        match answer {
            Ok(_) => {
                if let Some(lost) = state.lost.take().filter(|lost| lost.told) {
                    info!(after = ?lost.since.elapsed(), "the brokers answer again");
                    set_away(catalog, None);
                }
            }
            Err(error) => {
                debug!(%error, "the brokers do not answer");
                let lost = Lost { since: began, error: error.to_string(), told: false };
                let lost = state.lost.get_or_insert(lost);
                if lost.since.elapsed() >= TOLD_AFTER {
                    lost.tell(catalog);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lost {
    fn tell(&mut self, catalog: &Catalog) {
        let error = client_log::last_failure().unwrap_or_else(|| self.error.clone());
        if !std::mem::replace(&mut self.told, true) {
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

/// Of the process, and of the shards that it had to give up for it: a shard that is read says so itself.
fn set_away(catalog: &Catalog, facts: Option<String>) {
    let code = StopCode::SourceUnreachable;
    let told = |shard: &ShardId| facts.as_ref().map(|facts| Halted::new(code, shard, facts));
    for (shard, served) in catalog.all() {
        let now = served.status.freshness();
        let is_told = now.held_up.as_ref().is_some_and(|told| told.code == code.as_str());
        if !now.is_ours && (facts.is_some() || is_told) {
            served.status.hold_up(told(&shard), facts.is_none());
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
