//! How far each output topic is.
//!
//! Decisions and dead letters do not wait for each other, and a shard has one cursor for both: it is where
//! both are. The position of the one that is ahead is kept in memory only; after a restart it publishes again what it
//! published since, with the same ids.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ledger_store::{PublisherCursor, ReadError, ShardId, StorageError};

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OutputKind {
    Decisions,
    DeadLetters,
}

/// The next position of each kind, by shard.
#[derive(Debug)]
pub(super) struct OutputProgress {
    kinds: Vec<OutputKind>,
    next: Mutex<BTreeMap<ShardId, BTreeMap<OutputKind, u64>>>,
}

impl OutputProgress {
    /// Of the kinds that are published.
    pub(super) fn new(kinds: Vec<OutputKind>) -> Self {
        Self { kinds, next: Mutex::default() }
    }

    /// What comes next of a shard: at first, where its cursor is.
    pub(super) fn next(
        &self,
        kind: OutputKind,
        id: &ShardId,
        cursor: &PublisherCursor,
    ) -> Result<u64, ReadError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = next.get(id).and_then(|kinds| kinds.get(&kind)) {
            return Ok(*next);
        }
        let stands = cursor.get()?;
        next.insert(id.clone(), self.kinds.iter().map(|kind| (*kind, stands)).collect());
        Ok(stands)
    }

    /// Everything of this kind before this position was acknowledged: the cursor goes to where all are.
    pub(super) fn advance(
        &self,
        kind: OutputKind,
        id: &ShardId,
        position: u64,
        cursor: &PublisherCursor,
    ) -> Result<(), StorageError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = next.entry(id.clone()).or_default();
        let stands = kinds.values().min().copied();
        kinds.insert(kind, position);
        let goes_to = kinds.values().min().copied();
        if goes_to == stands { Ok(()) } else { cursor.set(goes_to.unwrap_or(position)) }
    }
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{DataDir, SourceIdentity, StoreOptions};

    use super::*;

    #[test]
    fn the_cursor_stands_where_both_are_and_none_waits_for_the_other() {
        let scratch = tempfile::tempdir().unwrap();
        let data = DataDir::open(scratch.path(), StoreOptions::default(), LedgerSecret::from_bytes([7; 32]));
        let data = data.unwrap();
        data.bind("t", &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).unwrap();
        let id = ShardId { topic: "t".to_owned(), partition: 0 };
        let shard = data.open_shard(&id).unwrap();
        let cursor = shard.reader().publisher_cursor();
        let progress = OutputProgress::new(vec![OutputKind::Decisions, OutputKind::DeadLetters]);
        let next = |kind| progress.next(kind, &id, &cursor).unwrap();
        let mut stands = Vec::new();
        for (kind, position) in
            [(OutputKind::Decisions, 7), (OutputKind::DeadLetters, 4), (OutputKind::DeadLetters, 9)]
        {
            assert!(next(kind) < position);
            progress.advance(kind, &id, position, &cursor).unwrap();
            assert_eq!(next(kind), position);
            stands.push(cursor.get().unwrap());
        }
        assert_eq!(stands, [0, 4, 7]);
        let again = OutputProgress::new(vec![OutputKind::DeadLetters]);
        assert_eq!(
            again.next(OutputKind::DeadLetters, &id, &cursor).unwrap(),
            7,
            "told again after a restart"
        );
    }
}
