//! Why a subscription ends, or does not begin.

use ledger_store::ShardId;

use crate::problem::ProblemKind;

/// Why a subscription ends, or does not begin. What came before the end is covered by the cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionsEnd {
    /// The client took less than came.
    #[error(
        "{notices} notices with {bytes} bytes came while the client did not take what it had; go on from the cursor, \
         and read faster or ask for less by a filter"
    )]
    SlowConsumer {
        /// How many.
        notices: u64,
        /// How much.
        bytes: u64,
    },
    /// The credentials that it was begun with are good no longer.
    #[error("the credentials have expired; go on from the cursor with new ones")]
    CredentialsExpired,
    /// The server ends.
    #[error("the server is stopping; go on from the cursor once it has started anew")]
    Stopping,
    /// What the cursor covers is not in this ledger.
    #[error(
        "the cursor belongs to another ledger, or to one before a refill or a restore: {shard} has other records before it; \
         go on at the ledger that gave it, or begin anew"
    )]
    OtherLedger {
        /// Where they differ, or a shard that there is none of.
        shard: ShardId,
    },
    /// What the cursor covers cannot be compared with what is here.
    #[error("a shard that the cursor covers does not read: {0}")]
    Unread(String),
    /// There is no place.
    #[error("{most} subscriptions are open; ask again later")]
    TooMany {
        /// How many can be.
        most: usize,
    },
    /// The system gives no thread to read on.
    #[error("the system gives no thread to read decisions on; ask again later")]
    NoThread,
}

impl DecisionsEnd {
    /// What kind of problem it is at every door.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        match self {
            Self::OtherLedger { .. } => ProblemKind::InvalidCursor,
            Self::Unread(_) => ProblemKind::Storage,
            Self::SlowConsumer { .. } => ProblemKind::SlowConsumer,
            Self::CredentialsExpired => ProblemKind::Unauthenticated,
            Self::Stopping => ProblemKind::Stopping,
            Self::TooMany { .. } | Self::NoThread => ProblemKind::Overloaded,
        }
    }
}
