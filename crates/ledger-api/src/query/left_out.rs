//! Shards that do not read: a list goes on without them, and its freshness says so.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ledger_store::{ReadTier, ShardId, TornTenants};

use crate::ledger::{
    FreshnessJson, HaltedJson, Ledger, QueryError, Reading, ShardHandle, in_order, of_unread,
};

/// A page, and the freshness of all shards. A shard that does not read is left out, and the page is filled anew without
/// it. The tenants that several of the others have come with the shards.
pub(super) fn without_unread<T>(
    first: &Reading<'_>,
    mut fill: impl FnMut(&Reading<'_>, &TornTenants) -> Result<T, QueryError>,
) -> Result<(T, Vec<FreshnessJson>), QueryError> {
    let ledger = first.ledger;
    let (torn, unread) = ledger.shards.torn_of_those_that_read();
    let mut left_out = UnreadShards::default();
    let mut handles = Vec::new();
    for (shard, error) in unread {
        left_out.leave_out(ledger, &mut handles, QueryError::Read(error).in_shard(&shard))?;
    }
    loop {
        let error = {
            let again = (!left_out.is_empty()).then(|| Reading::new(ledger, &handles, first.now));
            let reading = again.as_ref().unwrap_or(first);
            match fill(reading, torn) {
                Ok(filled) => return Ok((filled, left_out.among(reading.freshness()))),
                Err(error) => error,
            }
        };
        left_out.leave_out(ledger, &mut handles, error)?;
    }
}

/// The shards that a list is answered without.
#[derive(Debug, Default)]
struct UnreadShards(Vec<FreshnessJson>);

/// Of which shards that was logged.
static LOGGED: Mutex<BTreeSet<ShardId>> = Mutex::new(BTreeSet::new());

impl UnreadShards {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves out the shard that an error is of. With no other shard there is nothing to list. `handles` are those that
    /// are left; the first that is left out fills them.
    fn leave_out(
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
    fn among(self, mut others: Vec<FreshnessJson>) -> Vec<FreshnessJson> {
        let is_same = |one: &FreshnessJson, other: &FreshnessJson| {
            (&one.topic, one.partition) == (&other.topic, other.partition)
        };
        others.retain(|other| !self.0.iter().any(|one| is_same(one, other)));
        others.extend(self.0);
        in_order(others)
    }
}
