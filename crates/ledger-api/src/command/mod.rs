//! Commands: an operator's event on its way through the topic.
//!
//! ```text
//! refused message ─► Command::retry ─┐                                                                     retry
//! text ─► Command::read ─┬─ dry run ─► folded in beside the ledger: what would change       dry_run
//!   actor, type, checks  └─ submit ──► published by the sink ─► ingestion records it        submit
//!                                                └─► looked for in the shards, for a while    find
//! ```
//!
//! In: the text of a native event, who sends it, and [`Commands`] as the program hands them in: the decoder of ingestion and
//! a [`CommandSink`], since this crate knows no Kafka. Out: the records that the event became, or what it would change.
//! Nothing here writes to a shard.
//!
//! The id makes a command idempotent: one that is recorded already is answered with its records and not published again,
//! and the same id with other content is refused before it is published. A tenant that is recorded is sent to where it
//! is; only the place of a new one is computed. Nothing is published for a shard that another process feeds: only that one
//! knows whether the id is recorded there with other content.

mod dry_run;
mod find;
mod retry;
mod submit;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ledger_core::event::{Body, Event, InstallationFact};
use ledger_core::ids::AppKey;
use ledger_core::limits::FUTURE_MAX_MS;
use ledger_core::time::Timestamp;
use ledger_record::json;
use ledger_record::rejection::{Reason, Refused, Rejection};
use ledger_store::ShardId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use dry_run::{ChangedInstallation, DryRun};
pub(crate) use find::{places_of, probes};
pub(crate) use retry::RetryParameters;
pub(crate) use submit::SentCommand;

use crate::access::Grants;
use crate::ledger::{FreshnessJson, QueryError};

/// The types of event that a command may have.
pub const COMMAND_TYPES: [&str; 9] = [
    "override",
    "policy-set",
    "descriptor-published",
    "product-moved",
    "data-located",
    "subscription-observed",
    "continued",
    "superseded",
    "migrated",
];

/// Where commands go.
pub trait CommandSink: Send + Sync {
    /// The shards that record an event: every one for an event of a whole app; for one of a tenant that a shard has already
    /// that one, and else where its key belongs, in this topic if one is named.
    fn places(
        &self,
        event: &Event,
        known: Option<&ShardId>,
        topic: Option<&str>,
    ) -> Result<Vec<ShardId>, NotPublished>;

    /// Publishes an event to these shards, and returns once it is durable there.
    fn publish(&self, event: &Event, to: &[ShardId]) -> Result<(), NotPublished>;
}

/// Why a command was not published, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPublished(pub String);

/// Reads and checks a native event as ingestion does.
pub type DecodeEvent = fn(&[u8]) -> Result<Event, Rejection>;

/// Reads what is kept of a refused message as ingestion reads a message.
pub type DecodeRefused = fn(&Refused) -> Result<Event, NotRetried>;

/// Why a refused message is not sent once more: it is no event still, or not all of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NotRetried {
    /// The field, where one is to blame.
    pub path: Option<String>,
    /// The reason.
    pub detail: String,
}

/// How a server takes commands.
#[derive(Clone)]
pub struct Commands {
    /// The decoder of ingestion.
    pub decode: DecodeEvent,
    /// The same for refused messages.
    pub decode_refused: DecodeRefused,
    /// Where they go.
    pub sink: Arc<dyn CommandSink>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

/// An event that may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    event: Event,
    /// Where it goes if its tenant is new; none: the first of the topics.
    topic: Option<String>,
}

/// Why a command is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The body is no JSON object.
    #[error("expected one native event, a JSON object: {0}")]
    NoObject(serde_json::Error),
    /// The type is that of something that happened elsewhere.
    #[error("events of this type are no commands; those are {}", COMMAND_TYPES.join(", "))]
    NotACommand,
    /// Ingestion would refuse it.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// No event can be made of a refused message.
    #[error(transparent)]
    NotRetried(#[from] NotRetried),
    /// Who sends it is granted some apps, and it is not about one of them.
    #[error("nothing is there under these keys that these credentials may command")]
    NotGranted,
    /// The id is recorded with other content.
    #[error(
        "the id is recorded with other content, in {shard} as seq {seq}; take another id for another command"
    )]
    Conflict {
        /// Where.
        shard: ShardId,
        /// As which record of its stream.
        seq: u64,
    },
    /// Whether its id is recorded already only the processes know that feed these shards.
    #[error(
        "nothing was published, as this process does not feed {}; send it to the one that does, or here once this one does",
        shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    FedElsewhere {
        /// Those that it goes to.
        shards: Vec<ShardId>,
    },
    /// The sink did not take it.
    #[error("{0}; the same command with the same id can be sent again")]
    NotPublished(#[from] NotPublished),
    /// The ledger could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Where a record of a command is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordPlace {
    /// The topic of its shard.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Position in the shard.
    pub position: u64,
    /// Seq in its stream: the tenant's, or the app's in this shard.
    pub seq: u64,
}

/// What became of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandAnswer {
    /// Its id.
    pub id: String,
    /// The records that it became, by shard.
    pub records: Vec<RecordPlace>,
    /// Shards (`topic/partition`) that it goes to and that have no record of it yet, as far as is seen here.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pending: Vec<String>,
    /// Shards that it goes to and that another process feeds: that one tells.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub elsewhere: Vec<String>,
    /// Of every shard; not with a command that was just sent.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub freshness: Vec<FreshnessJson>,
}

impl Command {
    /// Reads a command. Where the principal is known, the event says that it is the principal's, and by whose word.
    pub fn read(
        text: &[u8],
        principal: Option<&str>,
        decode: DecodeEvent,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        // Of members with the same name the last one counts, as in ingestion.
        let mut members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(text).map_err(CommandError::NoObject)?;
        if members.get("specversion").is_some_and(|version| version.get() != "null") {
            let detail = "expected a native event: in a CloudEvent the actor would be overlooked".to_owned();
            let path = Some("specversion".to_owned());
            return Err(Rejection { reason: Reason::InvalidField, path, detail }.into());
        }
        let event = match principal {
            Some(principal) => {
                let given = members.get("actor");
                let given = given.and_then(|given| serde_json::from_str::<String>(given.get()).ok());
                let actor = json::to_string(&recorded_actor(principal, given.as_deref()));
                let raw = actor.and_then(RawValue::from_string).map_err(CommandError::NoObject)?;
                members.insert("actor".to_owned(), raw);
                decode(object(&members).map_err(CommandError::NoObject)?.as_bytes())?
            }
            None => decode(text)?,
        };
        if !COMMAND_TYPES.contains(&event.type_name()) {
            return Err(CommandError::NotACommand);
        }
        Self::new(event, None, now)
    }

    /// Ingestion would refuse what is too far ahead.
    fn new(event: Event, topic: Option<String>, now: Timestamp) -> Result<Self, CommandError> {
        if event.time > now.plus_millis(FUTURE_MAX_MS) {
            let (path, detail) = (Some("time".to_owned()), "expected at most 24 hours from now".to_owned());
            return Err(Rejection { reason: Reason::TimeInFuture, path, detail }.into());
        }
        Ok(Self { event, topic })
    }

    /// The event as it is published.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Whether someone with these grants may send it: it is about granted apps alone, and not about a whole tenant unless
    /// all are granted.
    #[must_use]
    pub fn is_granted(&self, grants: &Grants) -> bool {
        let linked: Option<&AppKey> = match &self.event.body {
            Body::Installation { fact: InstallationFact::Continued { from, .. }, .. } => Some(&from.app),
            Body::Installation { fact: InstallationFact::Superseded { to, .. }, .. } => Some(&to.app),
            _ => None,
        };
        grants.apps().is_none()
            || self.event.app().is_some_and(|app| grants.has(app)) && linked.is_none_or(|app| grants.has(app))
    }
}

/// The members as they were written.
fn object(members: &BTreeMap<String, Box<RawValue>>) -> Result<String, serde_json::Error> {
    let members =
        members.iter().map(|(name, value)| Ok(format!("{}:{}", json::to_string(name)?, value.get())));
    Ok(format!("{{{}}}", members.collect::<Result<Vec<_>, serde_json::Error>>()?.join(",")))
}

/// Who did it: the principal, and whose word that was if another one is named.
fn recorded_actor(principal: &str, given: Option<&str>) -> String {
    match given {
        Some(given) if !given.is_empty() && given != principal => format!("{given} via {principal}"),
        _ => principal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_the_principal_whoever_is_named() {
        assert_eq!(recorded_actor("ops", None), "ops");
        assert_eq!(recorded_actor("ops", Some("")), "ops");
        assert_eq!(recorded_actor("ops", Some("ops")), "ops");
        assert_eq!(recorded_actor("ops", Some("eva")), "eva via ops");
    }
}
