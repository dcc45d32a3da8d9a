//! Shards that do not read: a list goes on without them, and its freshness says so.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ledger_store::{ReadTier, ShardId};

use crate::ledger::{FreshnessJson, HaltedJson, Ledger, QueryError, ShardHandle, in_order, of_unread};

/// The shards that a list is answered without.
#[derive(Debug, Default)]
pub(super) struct UnreadShards(Vec<FreshnessJson>);

/// Of which shards that was logged.
static LOGGED: Mutex<BTreeSet<ShardId>> = Mutex::new(BTreeSet::new());

impl UnreadShards {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves out the shard that an error is of. With no other shard there is nothing to list. `handles` are those that
    /// are left; the first that is left out fills them.
    pub(super) fn leave_out(
        &mut self,
        ledger: &Ledger,
        handles: &mut Vec<ShardHandle>,
        error: QueryError,
    ) -> Result<(), QueryError> {
        if self.is_empty() {
            *handles = ledger.shards.all();
        }
        let QueryError::ShardUnread { shard, kind, message } = &error else { return Err(error) };
        let Some(place) = handles.iter().position(|handle| handle.id == *shard).filter(|_| handles.len() > 1)
        else {
            return Err(error);
        };
        let code = kind.code();
        // Once: every page meets it again.
        if LOGGED.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.clone()) {
            tracing::error!(%shard, code, reason = message, "lists go on without a shard that does not read");
        }
        let halted = HaltedJson { code: code.into(), message: message.clone() };
        self.0.push(of_unread(&handles[place].snapshot(ReadTier::Disk), halted));
        handles.remove(place);
        Ok(())
    }

    /// The freshness of all: of the shards that answered, and of these.
    pub(super) fn among(self, mut others: Vec<FreshnessJson>) -> Vec<FreshnessJson> {
        let is_same = |one: &FreshnessJson, other: &FreshnessJson| {
            (&one.topic, one.partition) == (&other.topic, other.partition)
        };
        others.retain(|other| !self.0.iter().any(|one| is_same(one, other)));
        others.extend(self.0);
        in_order(others)
    }
}
