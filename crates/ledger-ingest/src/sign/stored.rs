//! The log of a shard, as it reads back from its records.

use std::cell::RefCell;

use ledger_record::proof::Hash;
use ledger_record::proof::line::{LeafHasher, LedgerSecret};
use ledger_record::proof::tree::Node;
use ledger_record::record::Content;
use ledger_store::{Checkpoints, PreviousLeaves, ReadError, Snapshot};

use crate::sign::SealedLog;

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
