//! Publishes a command, and looks for its records.

use std::collections::BTreeSet;

use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_store::{Elsewhere, ShardId};

use super::find::{self, Recorded};
use super::{Command, CommandAnswer, CommandError, CommandSink};
use crate::ledger::{Ledger, Reading};

/// A command that is on its way to these shards, or is there.
#[derive(Debug)]
pub(crate) struct SentCommand {
    event: Event,
    expected: BTreeSet<ShardId>,
}

impl Ledger {
    /// Publishes a command, unless all shards of this process have it already. One of a whole app needs one shard that is fed
    /// here, as each has a copy of it.
    pub(crate) fn send(
        &self,
        command: &Command,
        sink: &dyn CommandSink,
        now: Timestamp,
    ) -> Result<SentCommand, CommandError> {
        if !command.is_granted(&self.grants) {
            return Err(CommandError::NotGranted);
        }
        let event = command.event();
        let handles = self.shards.all();
        let reading = Reading::new(self, &handles, now);
        let located = match event.client() {
            Some(client) => reading.whole(client)?,
            None => None,
        };
        let known = located.map(|located| located.shard.id.clone());
        let Recorded { places, event: recorded } = find::recorded(&reading, event)?;
        let is_whole = match event.client() {
            Some(_) => !places.is_empty(),
            None => self.partitions().is_some_and(|all| {
                all.iter().all(|shard| places.contains_key(shard) || !self.is_fed_here(shard))
            }),
        };
        // Sent once more by someone else, it is as the first one sent it: another actor would be a conflict.
        let event = recorded.unwrap_or_else(|| event.clone());
        if is_whole && !places.is_empty() {
            return Ok(SentCommand { event, expected: places.into_keys().collect() });
        }
        let to = sink.places(&event, known.as_ref(), command.topic.as_deref())?;
        // A refused message is known here alone, and its event may belong to a partition that others feed: what is recorded with
        // its id is found when it comes there.
        let is_retry = command.topic.is_some();
        if !is_retry && !to.is_empty() && !to.iter().any(|shard| self.is_fed_here(shard)) {
            return Err(CommandError::FedElsewhere { shards: to });
        }
        sink.publish(&event, &to)?;
        Ok(SentCommand { event, expected: to.into_iter().collect() })
    }

    /// What became of a command so far, and whether waiting can tell more. It is published: that it cannot be looked for at
    /// this moment does not change the answer to that.
    pub(crate) fn look_for(
        &self,
        sent: &SentCommand,
        now: Timestamp,
    ) -> Result<(CommandAnswer, bool), CommandError> {
        let handles = self.shards.all();
        let found = match find::recorded(&Reading::new(self, &handles, now), &sent.event) {
            Err(error @ CommandError::Conflict { .. }) => return Err(error),
            found => found.unwrap_or_default().places,
        };
        let mut answer = CommandAnswer { id: sent.event.id.as_str().to_owned(), ..CommandAnswer::default() };
        let mut may_come = false;
        for shard in sent.expected.iter().filter(|shard| !found.contains_key(shard)) {
            if self.is_fed_here(shard) {
                may_come |= !self.is_halted(shard);
                answer.pending.push(shard.to_string());
            } else {
                answer.elsewhere.push(shard.to_string());
            }
        }
        answer.records = found.into_values().collect();
        Ok((answer, may_come))
    }

    pub(crate) fn is_fed_here(&self, shard: &ShardId) -> bool {
        let handle = self.shards.all().into_iter().find(|handle| handle.id == *shard);
        handle.is_some_and(|handle| handle.status.is_none_or(|status| status.freshness().is_ours))
    }

    fn is_halted(&self, shard: &ShardId) -> bool {
        let handle = self.shards.all().into_iter().find(|handle| handle.id == *shard);
        handle.and_then(|handle| handle.status).is_some_and(|status| status.freshness().halted.is_some())
    }

    /// All shards of the topics that are served here, fed by this process or another one; none: not known yet.
    pub(crate) fn partitions(&self) -> Option<BTreeSet<ShardId>> {
        let mut all: BTreeSet<ShardId> = self.shards.all().into_iter().map(|handle| handle.id).collect();
        all.extend(self.shards.failed().into_iter().map(|(id, _)| id));
        for part in self.shards.elsewhere() {
            match part {
                Elsewhere::Topic(_) => return None,
                Elsewhere::Shard(id) => _ = all.insert(id),
            }
        }
        Some(all)
    }
}
