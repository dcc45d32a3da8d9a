//! Why a question is not answered.

use std::fmt;

use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::{Halted, HistoryError, ProveError, ReadError, ShardId, StopCode, WaitError};

use super::ready::NotReady;
use crate::decisions::DecisionsEnd;
use crate::limits::BUNDLE_MAX_BYTES;
use crate::problem::ProblemKind;

const NAMED_AT_MOST: usize = 8;

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nothing is recorded of the tenant.
    #[error("nothing is recorded of tenant {client}")]
    UnknownTenant {
        /// Who was asked for.
        client: ClientKey,
    },
    /// The tenant has, or at that instant had, no installation of the app.
    #[error("tenant {client} has no installation of app {app} at that instant, as far as known")]
    UnknownInstallation {
        /// Who was asked for.
        client: ClientKey,
        /// What was asked for.
        app: AppKey,
    },
    /// Nothing is recorded of the app, so there is nothing to decide by.
    #[error("nothing is recorded of app {app}")]
    UnknownApp {
        /// What was asked for.
        app: AppKey,
    },
    /// There is no such item in quarantine.
    #[error("shard {shard} has no item {seq} in quarantine")]
    UnknownItem {
        /// Which shard.
        shard: ShardId,
        /// The item's number there.
        seq: u64,
    },
    /// An id is one of a tenant, of an installation or of a whole app.
    #[error("an id is one within a tenant or an app: give clientKey, or appKey for an event of a whole app")]
    NoSubject,
    /// Nothing with this id is recorded there.
    #[error("no record of an event {id} is there; one that was just published comes within seconds")]
    UnknownCommand {
        /// The id of the event.
        id: EventId,
    },
    /// The tenant's events are in more than one partition: none of them has the whole history.
    #[error(
        "the events of tenant {client} are in {}; answering from one would leave out the others, \
         `realm-ledger refill --from OLD --data-dir NEW` makes a data directory in which each tenant is whole",
        listed(shards)
    )]
    TenantInTwoPartitions {
        /// Who was asked for.
        client: ClientKey,
        /// Where it was found.
        shards: Vec<ShardId>,
    },
    /// Not found, but a shard that could have it was not read to its end.
    #[error("not found, but not every shard that could have it was read to its end: {0}")]
    NotReady(NotReady),
    /// The cursor belongs to another list, or to none.
    #[error("the cursor belongs to another list; begin again without one, or repeat the list's parameters")]
    ForeignCursor,
    /// The cursor of a stream of decisions is none of this ledger.
    #[error(transparent)]
    Decisions(#[from] DecisionsEnd),
    /// A shard has not come as far as the cursor: whether there is something behind it is not known.
    #[error("shard {shard} has {here} records, and the cursor is behind {covered}; ask again later")]
    CursorAhead {
        /// Which shard.
        shard: ShardId,
        /// What it has.
        here: u64,
        /// What the cursor covers.
        covered: u64,
    },
    /// A number that is too small or too large.
    #[error("expected a whole number {}", range(*least, *most))]
    OutOfRange {
        /// Of which field.
        parameter: &'static str,
        /// The smallest.
        least: usize,
        /// The largest.
        most: Option<usize>,
    },
    /// Nothing that could be searched for.
    #[error("expected 1 to {most} bytes of text without control characters")]
    SearchText {
        /// The longest, in bytes.
        most: usize,
    },
    /// There is no such shard.
    #[error("there is no shard {shard} here")]
    UnknownShard {
        /// Which was asked for.
        shard: ShardId,
    },
    /// A position counts within one shard.
    #[error("a position counts within one shard, and there are several; name the shard, or a tenant")]
    PositionOfNoShard,
    /// Proofs take the ledger secret.
    #[error("nothing can be proven here: it takes the ledger secret")]
    NoSecret,
    /// No checkpoint was signed.
    #[error("no checkpoint of this log is signed yet")]
    NothingSigned,
    /// No bundle.
    #[error(transparent)]
    NotProven(ProveError),
    /// A bundle is held in memory until it is sent.
    #[error(
        "the history of {client} has {records} records, and its bundle is longer than the {} MiB that are handed \
         out over HTTP: `realm-ledger prove` with --data-dir writes it, beside the running server too",
        BUNDLE_MAX_BYTES / (1024 * 1024)
    )]
    BundleTooLong {
        /// Whose history.
        client: ClientKey,
        /// How many.
        records: u64,
    },
    /// No such partition.
    #[error("there is no partition {partition} here")]
    UnknownPartition {
        /// What was asked for.
        partition: u32,
    },
    /// An absence is proven for one log.
    #[error("no partition has {client}, and its absence is proven for one: name the one that it would be in")]
    AbsentFromEach {
        /// Who was asked for.
        client: ClientKey,
    },
    /// The log that was asked has nothing of the tenant, and another one has.
    #[error(
        "{client} is in {shard}, so that the partition that was named has nothing of it proves nothing: name that one, \
         or none"
    )]
    TenantElsewhere {
        /// Who was asked for.
        client: ClientKey,
        /// Where it is.
        shard: ShardId,
    },
    /// A topic alone names no log.
    #[error("topic and partition name a shard together; give both")]
    TopicAlone,
    /// A span that has nothing in it, whatever happened.
    #[error("the span ends at {to}, before it begins at {from}; change the two")]
    SpanEndsFirst {
        /// Its beginning.
        from: String,
        /// Its end.
        to: String,
    },
    /// Too many policies, or none.
    #[error("{given} policies were given; 1 to {most} are tried side by side, ask for the others apart")]
    Policies {
        /// How many were given.
        given: usize,
        /// How many can be.
        most: usize,
    },
    /// The shard takes nothing more, so what it does not have does not come.
    #[error("shard {shard} is halted and has no position {position}: {message}; see to it first")]
    ShardHalted {
        /// Which shard.
        shard: ShardId,
        /// What was asked for.
        position: u64,
        /// Why it is halted.
        message: String,
    },
    /// Several topics have this partition.
    #[error("{} have this number; name the topic too", listed(shards))]
    PartitionOfSeveral {
        /// Which.
        shards: Vec<ShardId>,
    },
    /// No client waits for the answer any more.
    #[error("the question was given up before it was answered")]
    GivenUp,
    /// The position that was asked for is not there yet.
    #[error(transparent)]
    Wait(WaitError),
    /// The stored data could not be read.
    #[error(transparent)]
    Read(ReadError),
    /// What a shard has could not be read.
    #[error("shard {shard} does not read: {message}")]
    ShardUnread {
        /// Which shard.
        shard: ShardId,
        /// Storage where the disk may give it another time.
        kind: ProblemKind,
        /// Why, and what to do about it.
        message: String,
    },
    /// What was known "as of" a record that was never recorded.
    #[error("seq {asked} is not recorded for this tenant, the last one is {last}")]
    SeqNotRecorded {
        /// The seq that was asked for.
        asked: u64,
        /// The last seq of the tenant.
        last: u64,
    },
}

impl QueryError {
    /// What kind of problem it is at every door, and the parameter that is to blame.
    #[must_use]
    pub const fn problem(&self) -> (ProblemKind, Option<&'static str>) {
        use ProblemKind as Kind;
        match self {
            Self::UnknownTenant { .. }
            | Self::UnknownInstallation { .. }
            | Self::UnknownApp { .. }
            | Self::UnknownShard { .. }
            | Self::UnknownCommand { .. }
            | Self::UnknownItem { .. } => (Kind::NotFound, None),
            Self::TenantInTwoPartitions { .. } => (Kind::TenantInTwoPartitions, None),
            Self::NotReady(_) => (Kind::NotReady, None),
            Self::Decisions(end) => (end.kind(), Some("from")),
            Self::CursorAhead { .. } => (Kind::PositionNotReached, Some("from")),
            Self::ForeignCursor => (Kind::InvalidCursor, Some("cursor")),
            Self::SearchText { .. } => (Kind::InvalidParameter, Some("q")),
            Self::OutOfRange { parameter, .. } => (Kind::InvalidParameter, Some(parameter)),
            Self::NoSubject => (Kind::InvalidParameter, Some("clientKey")),
            Self::PositionOfNoShard => (Kind::InvalidParameter, Some("fromPosition")),
            Self::SpanEndsFirst { .. } => (Kind::InvalidParameter, Some("to")),
            Self::PartitionOfSeveral { .. } | Self::TopicAlone => (Kind::InvalidParameter, Some("topic")),
            Self::UnknownPartition { .. } | Self::AbsentFromEach { .. } | Self::TenantElsewhere { .. } => {
                (Kind::InvalidParameter, Some("partition"))
            }
            Self::NotProven(ProveError::PinnedNewer { .. }) => (Kind::InvalidParameter, Some("pinned")),
            Self::SeqNotRecorded { .. } => (Kind::SeqNotRecorded, Some("knownSeq")),
            Self::NoSecret
            | Self::NothingSigned
            | Self::NotProven(
                ProveError::Unsealed | ProveError::NotSigned { .. } | ProveError::Behind { .. },
            ) => (Kind::NotSigned, None),
            Self::BundleTooLong { .. } => (Kind::BundleTooLong, None),
            Self::Policies { .. } => (Kind::InvalidBody, None),
            Self::GivenUp => (Kind::Timeout, None),
            Self::Wait(WaitError::TimedOut { .. }) => (Kind::PositionNotReached, None),
            Self::Wait(WaitError::Poisoned(_)) | Self::ShardHalted { .. } => (Kind::ShardHalted, None),
            Self::ShardUnread { kind, .. } => (*kind, None),
            Self::NotProven(ProveError::Differs { .. } | ProveError::Read(_))
            | Self::Wait(WaitError::Read(_))
            | Self::Read(_) => (Kind::Storage, None),
        }
    }

    /// Stable, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.problem().0.code()
    }
}

impl QueryError {
    /// The error, of this shard if it is one of reading.
    pub(crate) fn in_shard(self, shard: &ShardId) -> Self {
        let Self::Read(error) = self else { return self };
        let Halted { code, message } = Halted::of_error(shard, &error);
        let is_damage = code == StopCode::ShardDamaged.as_str();
        let kind = if is_damage { ProblemKind::ShardDamaged } else { ProblemKind::Storage };
        Self::ShardUnread { shard: shard.clone(), kind, message }
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<HistoryError> for QueryError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NoSuchSeq { asked, last } => Self::SeqNotRecorded { asked, last },
            HistoryError::Read(error) => Self::Read(error),
        }
    }
}

impl From<WaitError> for QueryError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Read(error) => error.into(),
            error @ (WaitError::TimedOut { .. } | WaitError::Poisoned(_)) => Self::Wait(error),
        }
    }
}

/// A span that ends before it begins would be answered with nothing, which looks like an answer.
pub fn check_span(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), QueryError> {
    match (from, to) {
        (Some(from), Some(to)) if to < from => {
            Err(QueryError::SpanEndsFirst { from: format_instant(from), to: format_instant(to) })
        }
        _ => Ok(()),
    }
}

fn range(least: usize, most: Option<usize>) -> String {
    most.map_or_else(|| format!("from {least} on"), |most| format!("from {least} to {most}"))
}

/// The first few by name, and how many more there are: a topic can have a thousand partitions.
pub fn listed(parts: &[impl fmt::Display]) -> String {
    let named = parts.iter().take(NAMED_AT_MOST).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match parts.len().saturating_sub(NAMED_AT_MOST) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
