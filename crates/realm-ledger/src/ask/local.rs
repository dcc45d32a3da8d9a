//! Asking a data directory, whether or not a server runs on it.

use std::path::Path;
use std::sync::Arc;

use ledger_api::query::{Cursor, Ledger};
use ledger_core::time::Timestamp;
use ledger_store::{Catalog, DataDir, Elsewhere, Halted, Phase, Served, ShardStatus, StoreOptions};
use serde::Serialize;

use super::{AskError, Lacking, Question};

const NEVER_FILLED: &str = "it was never filled in this directory; ask the one that has it";

const LEFT_BEHIND: &str = "it still reads what its topic has, was left or halted before it had, or has lost what it had since; let `serve` \
     come to the end";

/// The shards of a data directory as they were when it was opened.
pub(crate) struct Local {
    pub(super) ledger: Ledger,
    pub(super) now: Timestamp,
    pub(super) lacking: Lacking,
}

impl Local {
    /// Opens every shard for reading. One that cannot be asked is noted, and the others answer (I-9); with none of
    /// them there is nobody to ask. `now` is the clock for the whole command.
    ///
    /// A directory holds what it held when it was left, and that is what is asked for. It is short of that where a
    /// shard is gone, does not open, was never filled here, was left while it still read what its topic had, or has less
    /// of that than it once had.
    pub(crate) fn open(
        path: &Path,
        options: StoreOptions,
        now: Timestamp,
        lacking: &Lacking,
    ) -> Result<Self, AskError> {
        let data = DataDir::open_existing_read_only(path, options)?;
        let (catalog, mut failed) = (Catalog::default(), Vec::new());
        for shard in data.shards()? {
            let opened = data.read_shard(&shard).and_then(|reader| Ok((data.is_behind(&reader)?, reader)));
            match opened {
                Ok((is_behind, reader)) => {
                    let phase = if is_behind { Phase::CatchingUp } else { Phase::Live };
                    if phase == Phase::CatchingUp {
                        lacking.note_unasked(&shard, LEFT_BEHIND);
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
            lacking.note_unasked(&shard, &halted.message);
            catalog.fail(shard, halted);
        }
        for shard in data.partitions()? {
            catalog.expect(&shard.topic, Some(shard.partition + 1));
        }
        for shard in catalog.elsewhere() {
            if let Elsewhere::Shard(shard) = shard {
                lacking.note_unasked(&shard, NEVER_FILLED);
            }
        }
        let ledger = Ledger::of_catalog(Arc::new(catalog));
        Ok(Self { ledger, now, lacking: lacking.clone() })
    }

    /// The answer as a server would send it.
    pub(super) fn ask(&self, question: &Question) -> Result<String, AskError> {
        let (ledger, now) = (&self.ledger, self.now);
        match question {
            Question::Installation { client, app, as_of } => {
                json(&ledger.installation(client, app, *as_of, now)?)
            }
            Question::Tenant { client, as_of } => json(&ledger.tenant(client, *as_of, now)?),
            Question::Installations { filter, as_of, cursor, limit } => {
                let cursor = read_cursor(cursor.as_deref())?;
                json(&ledger.installations(filter, cursor.as_ref(), *limit, *as_of, now)?)
            }
            Question::Log { client, from_seq, limit, as_of } => {
                json(&ledger.log(client, *from_seq, *limit, *as_of, now)?)
            }
            Question::Corrections { client, from_position, limit, as_of } => {
                json(&ledger.corrections(client, *from_position, *limit, *as_of, now)?)
            }
            Question::Explain { client, app, as_of } => json(&ledger.explain(client, app, *as_of, now)?),
            Question::Preview(preview) => json(&ledger.preview(preview, now)?),
            Question::Quarantine { cursor, limit } => {
                let cursor = read_cursor(cursor.as_deref())?;
                json(&ledger.quarantine(None, cursor.as_ref(), *limit, now)?)
            }
            Question::Checkpoints => json(&ledger.checkpoints(now)),
            Question::QuarantineItem { shard, seq } => json(&ledger.quarantine_item(shard, *seq, now)?),
        }
    }
}

fn read_cursor(text: Option<&str>) -> Result<Option<Cursor>, AskError> {
    Ok(text.map(str::parse).transpose()?)
}

fn json(answer: &impl Serialize) -> Result<String, AskError> {
    ledger_record::json::to_string(answer).map_err(|source| AskError::NotAnAnswer { source })
}
