//! A refused message as a command: the event is what was sent, by whoever sent it, so its id, its actor and its type are its own.

use ledger_core::time::Timestamp;
use serde::Deserialize;

use super::{Command, CommandError, DecodeRefused};
use crate::ledger::Ledger;
use crate::query::{QuarantineItemQuery, no_lines};

/// Which refused message is published once more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryParameters {
    topic: String,
    partition: u32,
    seq: u64,
    pub(crate) dry_run: Option<bool>,
}

impl RetryParameters {
    pub(crate) fn item(self) -> QuarantineItemQuery {
        let Self { topic, partition, seq, .. } = self;
        QuarantineItemQuery { topic, partition, seq }
    }
}

impl Command {
    /// Reads the event of a refused message. It goes to the topic that the message came to.
    pub(crate) fn retry(
        ledger: &Ledger,
        item: &QuarantineItemQuery,
        decode: DecodeRefused,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let found = ledger.ask(item, now, &no_lines)?.item;
        Self::new(decode(found.refused()?)?, Some(found.shard.topic), now)
    }
}
