//! The log of a shard, as it reads back from its records; and signing it without Kafka, at the end of an import.

use std::cell::RefCell;
use std::time::Instant;

use ledger_record::proof::Hash;
use ledger_record::proof::line::{LeafHasher, LedgerSecret};
use ledger_record::proof::tree::Node;
use ledger_record::record::Content;
use ledger_record::rows::SourcePosition;
use ledger_store::{Checkpoints, PreviousLeaves, ReadError, Reader, Snapshot};

use crate::sign::{FileCheckpointLog, Identity, KeptNote, SealedLog, Signer, SigningFailure, SigningOptions};

/// One moment of a shard, and the secret that its commitments are made with.
#[derive(Debug)]
pub struct StoredLog<'a> {
    /// The moment.
    pub snapshot: &'a Snapshot<'a>,
    /// The secret.
    pub secret: &'a LedgerSecret,
    /// What is remembered of this log from one moment to the next.
    pub links: &'a RefCell<PreviousLeaves>,
    /// Which sizes are waited for; none: nobody waits.
    pub awaited: Option<&'a Checkpoints>,
}

impl SealedLog for StoredLog<'_> {
    fn sealed(&self) -> Result<u64, ReadError> {
        self.snapshot.sealed_size()
    }

    fn next_stop(&self, published: u64, sealed: u64) -> Result<u64, ReadError> {
        let stop = self.awaited.map_or(sealed, |awaited| awaited.next_awaited(published, sealed));
        // Whoever waits says so from a snapshot of this shard; what is signed does not rest on that.
        let last = stop.checked_sub(1).map(|last| self.snapshot.record_at(last)).transpose()?.flatten();
        Ok(if last.is_some_and(|last| matches!(last.content, Content::Seal(_))) { stop } else { sealed })
    }

    fn node(&self, node: Node) -> Result<Hash, ReadError> {
        self.snapshot.tree_node(node)
    }

    fn leaves(&self, from: u64, until: u64, take: &mut dyn FnMut(Hash)) -> Result<(), ReadError> {
        let mut hasher = LeafHasher::new(self.secret.clone());
        let mut links = self.links.borrow_mut();
        for linked in self.snapshot.linked(from..until, &mut links)? {
            let (record, beside) = linked?;
            // One that cannot be written makes the tree too small, which whoever asked will see.
            let Ok(leaf) = hasher.leaf(&record, beside) else { break };
            take(leaf);
        }
        Ok(())
    }
}

/// Signs the log of a shard that was only ever imported into, and answers the size that is signed; none when
/// there is nothing to sign, or no key, or the shard is fed by Kafka: then its checkpoints are published there,
/// and only who reads them may add to them.
pub fn sign_imported(reader: &Reader, options: &SigningOptions) -> Result<Option<u64>, SigningFailure> {
    let snapshot = reader.snapshot();
    let mut sources = snapshot.source_positions()?.into_iter();
    if options.keys.is_empty()
        || sources.any(|(_, position)| matches!(position, SourcePosition::Kafka { .. }))
    {
        return Ok(None);
    }
    let origin = options.origins.origin(reader.shard());
    let identity = Identity::new(&origin, &options.keys)?;
    let journal = FileCheckpointLog::new(KeptNote::new(&options.keys_dir, &origin));
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
