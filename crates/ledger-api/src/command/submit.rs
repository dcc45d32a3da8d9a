//! Publishes a command and waits for its records.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use ledger_core::time::Timestamp;
use ledger_store::{Elsewhere, ShardId};

use super::{Command, CommandAnswer, CommandError, CommandSink, RecordPlace, find};
use crate::ledger::{Ledger, Reading, locate};
use crate::limits::COMMAND_RETRY;

impl Ledger {
    /// Publishes a command and waits until it is recorded, or waiting goes on no more. What is pending then is named.
    pub fn submit(
        &self,
        command: &Command,
        sink: &dyn CommandSink,
        now: Timestamp,
        goes_on: impl Fn() -> bool,
    ) -> Result<CommandAnswer, CommandError> {
        if !command.is_granted(&self.grants) {
            return Err(CommandError::NotGranted);
        }
        let event = command.event();
        let (found, known) = {
            let handles = self.shards.all();
            let reading = Reading::new(self, &handles, now);
            let located = match event.client() {
                Some(client) => locate(&reading.shards, client)?,
                None => None,
            };
            (find::recorded(&reading, event)?, located.map(|located| located.shard.id.clone()))
        };
        let is_whole = match event.client() {
            Some(_) => !found.is_empty(),
            None => self.partitions().is_some_and(|all| all.iter().all(|shard| found.contains_key(shard))),
        };
        if is_whole && !found.is_empty() {
            return Ok(answer(command, found, &BTreeSet::new()));
        }
        let expected: BTreeSet<_> = sink.publish(event, known.as_ref())?.into_iter().collect();
        loop {
            let handles = self.shards.all();
            let found = find::recorded(&Reading::new(self, &handles, now), event)?;
            if expected.iter().all(|shard| found.contains_key(shard)) || !goes_on() {
                return Ok(answer(command, found, &expected));
            }
            thread::sleep(COMMAND_RETRY);
        }
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

fn answer(
    command: &Command,
    found: BTreeMap<ShardId, RecordPlace>,
    expected: &BTreeSet<ShardId>,
) -> CommandAnswer {
    let pending = expected.iter().filter(|shard| !found.contains_key(shard)).map(ToString::to_string);
    CommandAnswer {
        id: command.event().id.as_str().to_owned(),
        pending: pending.collect(),
        records: found.into_values().collect(),
        freshness: Vec::new(),
    }
}
