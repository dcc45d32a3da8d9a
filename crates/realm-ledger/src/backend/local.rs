//! Asking a data directory, whether or not a server runs on it.

use std::path::Path;
use std::sync::Arc;

use ledger_api::ledger::Ledger;
use ledger_api::query::{QuarantineItemQuery, Query, no_lines};
use ledger_core::time::Timestamp;
use ledger_record::json;
use ledger_record::rejection::Refused;
use ledger_store::{Catalog, DataDir, Elsewhere, Halted, Phase, Served, ShardStatus, StoreOptions};

use super::Completeness;
use crate::ask_error::AskError;

const NEVER_FILLED: &str = "it was never filled in this directory; ask the one that has it";

const LEFT_BEHIND: &str = "it still reads what its topic has, was left or halted before it had, or has lost what it had since; let `serve` \
     come to the end";

/// The shards of a data directory as they were when it was opened.
pub(crate) struct Local {
    pub(super) ledger: Ledger,
    pub(super) now: Timestamp,
    pub(super) completeness: Completeness,
}

impl Local {
    /// Opens every shard for reading. One that cannot be asked is noted, and the others answer (I-9); with none of
    /// them the opening fails. `now` is the clock for the whole command.
    ///
    /// A directory holds what it held when it was left, and that is what is asked for. It is short of that where a
    /// shard is gone, does not open, was never filled here, was left while it still read what its topic had, or has less
    /// of that than it once had. Where no partition was ever learnt, those of `topics` are what is not known.
    pub(crate) fn open(
        path: &Path,
        options: StoreOptions,
        topics: &[String],
        now: Timestamp,
        completeness: &Completeness,
    ) -> Result<Self, AskError> {
        let data = DataDir::open_existing_read_only(path, options)?;
        let (catalog, mut failed) = (Catalog::default(), Vec::new());
        for shard in data.shards()? {
            let opened = data.read_shard(&shard).and_then(|reader| Ok((data.is_behind(&reader)?, reader)));
            match opened {
                Ok((is_behind, reader)) => {
                    let phase = if is_behind { Phase::CatchingUp } else { Phase::Live };
                    if phase == Phase::CatchingUp {
                        completeness.note_unasked(&shard, LEFT_BEHIND);
                    }
                    let status = Arc::new(ShardStatus::default());
                    // No other process knows more of it than its directory here.
                    status.update(|now| (now.is_ours, now.phase) = (true, phase));
                    catalog.insert(shard, Served { reader, status });
                }
                Err(error) => failed.push((shard, error)),
            }
        }
        if catalog.all().is_empty() && !failed.is_empty() {
            return Err(failed.swap_remove(0).1.into());
        }
        for (shard, error) in failed {
            let halted = Halted::of_error(&shard, &error);
            completeness.note_unasked(&shard, &halted.message);
            catalog.fail(shard, halted);
        }
        let partitions = data.partitions()?;
        if partitions.is_empty() {
            for topic in topics {
                catalog.expect(topic, None);
            }
        }
        for shard in partitions {
            catalog.expect(&shard.topic, Some(shard.partition + 1));
        }
        for shard in catalog.elsewhere() {
            if let Elsewhere::Shard(shard) = shard {
                completeness.note_unasked(&shard, NEVER_FILLED);
            }
        }
        let ledger = Ledger::from_catalog(Arc::new(catalog));
        Ok(Self { ledger, now, completeness: completeness.clone() })
    }

    /// What is kept of a refused message.
    pub(crate) fn refused(&self, item: &QuarantineItemQuery) -> Result<Refused, AskError> {
        let found = self.ledger.ask(item, self.now, &no_lines)?.item;
        Ok(found.refused()?.clone())
    }

    /// The answer as a server would send it.
    pub(super) fn ask(&self, query: &Query) -> Result<String, AskError> {
        let answer = self.ledger.answer(query, self.now, &no_lines)?;
        json::to_string(&answer).map_err(|source| AskError::NotAnAnswer { source })
    }
}
