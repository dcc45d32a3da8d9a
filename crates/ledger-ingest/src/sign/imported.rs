//! Signing without Kafka: at the end of an import.

use std::cell::RefCell;
use std::time::Instant;

use ledger_record::rows::SourcePosition;
use ledger_store::Reader;

use crate::sign::Failure;
use crate::sign::FileCheckpointLog;
use crate::sign::Identity;
use crate::sign::KeptNote;
use crate::sign::Signer;
use crate::sign::SigningOptions;
use crate::sign::StoredLog;

/// Signs the log of a shard that was only ever imported into, and answers the size that is signed; none when
/// there is nothing to sign, or no key, or the shard is fed by Kafka: then its checkpoints are published there,
/// and only who reads them may add to them.
pub fn sign_imported(reader: &Reader, options: &SigningOptions) -> Result<Option<u64>, Failure> {
    let snapshot = reader.snapshot();
    let mut sources = snapshot.source_positions()?.into_iter();
    if options.keys.is_empty()
        || sources.any(|(_, position)| matches!(position, SourcePosition::Kafka { .. }))
    {
        return Ok(None);
    }
    let origin = options.origins.of(reader.shard());
    let identity = Identity::new(&origin, &options.keys)?;
    let journal = FileCheckpointLog::new(KeptNote::of(&options.keys_dir, &origin));
    let mut signer = Signer::new(identity, journal, None);
    signer.step(
        &StoredLog {
            snapshot: &snapshot,
            secret: &options.secret,
            links: &RefCell::default(),
            awaited: None,
        },
        Instant::now(),
    )?;
    Ok(signer.note().map(|(checkpoint, _)| checkpoint.size))
}
