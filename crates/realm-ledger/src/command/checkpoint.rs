//! `checkpoint`: the last signed checkpoint of each log.

use std::io::Write as _;

use ledger_api::query::{CheckpointJson, CheckpointsQuery, Raw};
use ledger_ingest::sign::{Identity, KeptError, KeptNote, SigningKeys};
use ledger_store::{DataDir, ShardId};

use super::{Context, data_dir_flag};
use crate::backend::AskError;
use crate::cli::{self, Place};
use crate::config::Config;
use crate::output::{Column, OutputError, raw};
use crate::{Exit, Failure, evidence};

const COLUMNS: &[Column] =
    &[Column::of("origin", "/origin"), Column::of("size", "/size"), Column::of("root hash", "/rootHash")];

/// Nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("no checkpoint of {shard} is known")]
struct NotSigned {
    shard: ShardId,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: cli::Checkpoint) -> Result<Exit, Failure> {
    let cli::Checkpoint { shard, place } = args;
    let checkpoints = checkpoints(context, &place)?;
    let Some(shard) = shard else {
        let mut printer = context.printer(COLUMNS);
        for checkpoint in &checkpoints {
            printer.item(checkpoint)?;
        }
        printer.finish()?;
        return Ok(Exit::Done);
    };
    for checkpoint in &checkpoints {
        let found: CheckpointJson =
            serde_json::from_str(checkpoint.get()).map_err(|source| AskError::NotAnAnswer { source })?;
        if found.topic == shard.topic && found.partition == shard.partition {
            let out = &mut context.env.output;
            let written = out.write_all(found.note.as_bytes()).and_then(|()| out.flush());
            written.map_err(OutputError)?;
            return Ok(Exit::Done);
        }
    }
    Err(Failure::new(NotSigned { shard }).hint("`checkpoint` without a name lists those that there are"))
}

fn checkpoints(context: &Context<'_, '_>, place: &Place) -> Result<Vec<Raw>, Failure> {
    if place.url.is_some() {
        return Ok(context.backend(place)?.ask(&CheckpointsQuery {})?.checkpoints);
    }
    let config = context.config(&data_dir_flag(place.data_dir.as_deref()))?.config;
    Ok(kept(&config)?.iter().map(raw).collect::<Result<_, _>>()?)
}

/// Those that are kept beside the keys: what this machine published or followed last.
fn kept(config: &Config) -> Result<Vec<CheckpointJson>, Failure> {
    let keys_dir = config.keys_dir();
    let (origins, keys) = (evidence::origins(config)?, SigningKeys::new(&keys_dir).read()?);
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    let mut checkpoints = Vec::new();
    for shard in data.shards()? {
        let origin = origins.origin(&shard);
        let Some(note) = KeptNote::new(&keys_dir, &origin).read()? else { continue };
        let identity = Identity::new(&origin, &keys).map_err(Failure::new)?;
        let checkpoint = identity.open(&note).map_err(Failure::new)?;
        checkpoints.push(CheckpointJson::new(&shard, checkpoint, note));
    }
    Ok(checkpoints)
}

impl From<KeptError> for Failure {
    fn from(error: KeptError) -> Self {
        Self::new(error)
    }
}
