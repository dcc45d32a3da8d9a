//! Finding the shard that has a tenant, and waiting for what is to be recorded there.

use std::time::{Duration, Instant as Clock};

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_store::KnowledgeBound;

use super::Ledger;
use super::error::QueryError;
use super::reading::Reading;
use super::shards::{Located, ShardSnapshot, locate};
use crate::limits::{GRANTS_LOOKED_UP, POSITION_RETRY};

impl Ledger {
    /// Waits until the tenant's shard has the record at `position`; questions asked afterwards see it. A
    /// tenant that no shard has yet is waited for too.
    pub fn await_position(
        &self,
        client: &ClientKey,
        position: u64,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        let deadline = Clock::now() + timeout;
        loop {
            self.in_time()?;
            let handles = self.shards.all();
            let left = deadline.saturating_duration_since(Clock::now());
            match Reading::new(self, &handles, now).found(client, KnowledgeBound::All) {
                Ok(Located { shard, .. }) => {
                    halted_before(shard, position)?;
                    shard.reader.snapshot_at_least(position, left)?;
                    return Ok(());
                }
                Err(error) if !may_come(&error) || left.is_zero() => return Err(error),
                Err(_) => std::thread::sleep(POSITION_RETRY.min(left)),
            }
        }
    }
}

impl Reading<'_> {
    /// The tenant where it is, or why there is no answer.
    pub(crate) fn found(&self, client: &ClientKey, known: KnowledgeBound) -> Result<Located<'_>, QueryError> {
        let located = self.seen(client)?;
        self.ledger.note_missed(located.is_none());
        let located = located.ok_or_else(|| self.unknown_tenant(client))?;
        self.ready_for(known, &located)?;
        Ok(located)
    }

    /// The tenant where it is. One of which no installation is seen is as good as none: nothing tells them apart.
    pub(crate) fn seen(&self, client: &ClientKey) -> Result<Option<Located<'_>>, QueryError> {
        let is_seen = |located: &Located<'_>| self.ledger.grants.has_some_of(&located.row.tenant);
        // How long it takes must not tell a large tenant that is not seen from none.
        if self.is_hidden(client)? {
            return Ok(None);
        }
        Ok(self.whole(client)?.filter(is_seen))
    }

    /// The tenant where it is, seen or not: for what is not answered. That it is in two partitions is an error only where it
    /// is seen.
    pub(crate) fn whole(&self, client: &ClientKey) -> Result<Option<Located<'_>>, QueryError> {
        match locate(&self.shards, client) {
            Err(QueryError::TenantInTwoPartitions { .. }) if !self.sees_part_of(client)? => Ok(None),
            located => located,
        }
    }

    /// Whether no shard has an app of it that is granted, where that is quick to see by the index.
    fn is_hidden(&self, client: &ClientKey) -> Result<bool, QueryError> {
        let few = self.ledger.grants.apps().filter(|apps| apps.len() <= GRANTS_LOOKED_UP);
        let Some(apps) = few else { return Ok(false) };
        for shard in &self.shards {
            for app in apps.iter() {
                let mut found = shard.snapshot.tenants_beginning_with(client.as_str(), Some(app), None)?;
                let first = found.next().transpose().map_err(|error| shard.unread(error))?;
                if first.is_some_and(|first| first == *client) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether any shard has an installation of the tenant that is seen.
    fn sees_part_of(&self, client: &ClientKey) -> Result<bool, QueryError> {
        for shard in &self.shards {
            let row = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))?;
            if row.is_some_and(|row| self.ledger.grants.has_some_of(&row.tenant)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The error for a tenant of which nothing is recorded that is seen.
    pub(crate) fn unknown_tenant(&self, client: &ClientKey) -> QueryError {
        self.not_found(QueryError::UnknownTenant { client: client.clone() })
    }
}

/// Whether something that was not found can still be taken in here.
fn may_come(error: &QueryError) -> bool {
    match error {
        QueryError::UnknownTenant { .. } => true,
        QueryError::NotReady(not_ready) => not_ready.is_read_on(),
        _ => false,
    }
}

/// Waiting, and asking again, helps only with a shard that still takes something in.
fn halted_before(shard: &ShardSnapshot<'_>, position: u64) -> Result<(), QueryError> {
    match shard.freshness.as_ref().and_then(|freshness| freshness.halted.as_ref()) {
        Some(halted) if shard.reader.next_position() <= position => Err(QueryError::ShardHalted {
            shard: shard.id.clone(),
            position,
            message: halted.message.clone(),
        }),
        _ => Ok(()),
    }
}
