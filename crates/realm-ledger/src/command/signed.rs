//! What was signed of a log: the last checkpoint, as it is kept beside the keys.

use ledger_ingest::sign::{KeptError, KeptNote, SigningKeys};
use ledger_record::proof::note::{Checkpoint, NoteError, NoteKeyError, VerifierKey};
use ledger_store::ShardId;

use crate::config::Config;
use crate::{Failure, evidence};

/// The last signed checkpoint of a log.
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: String,
}

/// What is kept cannot be used.
#[derive(Debug, thiserror::Error)]
enum SignedError {
    #[error("the checkpoint that is kept of {origin} was not signed by the keys that are there")]
    Note {
        origin: String,
        #[source]
        source: NoteError,
    },
    #[error("no origin: {0}")]
    Origin(#[from] NoteKeyError),
    #[error(transparent)]
    KeptNote(#[from] KeptError),
}

/// Nothing was signed yet.
#[derive(Debug, thiserror::Error)]
#[error("no checkpoint of {0} is signed")]
pub(super) struct Unsigned(pub(super) ShardId);

/// The last one of a shard, if there is one.
pub(super) fn last(config: &Config, shard: &ShardId) -> Result<Option<Signed>, Failure> {
    let keys_dir = config.keys_dir();
    let origin = evidence::origins(config)?.of(shard);
    let note = KeptNote::of(&keys_dir, &origin)
        .read()
        .map_err(|error| Failure::new(SignedError::KeptNote(error)))?;
    let Some(note) = note else { return Ok(None) };
    let keys: Result<Vec<VerifierKey>, NoteKeyError> =
        SigningKeys::of(&keys_dir).read()?.iter().map(|key| Ok(key.renamed(&origin)?.verifier())).collect();
    let keys = keys.map_err(|error| Failure::new(SignedError::Origin(error)))?;
    let checkpoint = Checkpoint::open(&note, &keys)
        .map_err(|source| Failure::new(SignedError::Note { origin: origin.clone(), source }))?;
    Ok(Some(Signed { checkpoint, note }))
}

/// The last one of a shard, or what to do.
pub(super) fn needed(config: &Config, shard: &ShardId) -> Result<Signed, Failure> {
    last(config, shard)?.ok_or_else(|| missing(shard))
}

/// There is none.
pub(super) fn missing(shard: &ShardId) -> Failure {
    Failure::new(Unsigned(shard.clone())).hint(
        "`serve` signs what is sealed, and so does the end of an import; `realm-ledger keys` has the keys",
    )
}
