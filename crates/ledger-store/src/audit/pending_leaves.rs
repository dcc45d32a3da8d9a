//! What a batch notes of its records until they are written.

use std::collections::BTreeMap;

use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::proof::line::{self, TooLarge};
use ledger_record::record::{Content, Coordinates, RULES, Record, Seal, Stream};

use crate::audit::Begin;

/// The leaves of a batch, by position.
#[derive(Debug)]
pub(crate) struct PendingLeaves {
    end: Begin,
    pub(super) leaves: Vec<PendingLeaf>,
    /// Position of the last record of the streams that have no row to tell it.
    last: BTreeMap<Stream, u64>,
}

#[derive(Debug)]
pub(super) enum PendingLeaf {
    /// A record, with the realm that its line shows.
    Record(Record, Option<Realm>, Previous),
    /// A seal as it will be, but for what it says of the map.
    Seal(Record, Seal),
}

/// The record before, in the same stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Previous {
    /// There is none.
    None,
    /// It has this position.
    At(u64),
    /// It is in the store.
    Stored,
}

impl PendingLeaves {
    pub(super) fn new(begin: Begin, leaves: usize) -> Self {
        Self { end: begin, leaves: Vec::with_capacity(leaves), last: BTreeMap::new() }
    }

    /// What the next batch begins with.
    pub(crate) const fn end(&self) -> Begin {
        self.end
    }

    /// Whether a seal goes in before a record of that recorded time.
    pub(crate) fn is_due_before(&self, recorded: Timestamp) -> bool {
        self.end.placement.is_due_before(recorded)
    }

    /// Whether anything is unsealed.
    pub(crate) fn is_due(&self) -> bool {
        self.end.placement.is_due_at_tick()
    }

    /// Notes a record, with the position of its tenant's record before. Answers whether a seal goes in
    /// after it.
    pub(crate) fn record(
        &mut self,
        record: Record,
        pinned_realm: Option<Realm>,
        previous: Option<u64>,
    ) -> Result<bool, TooLarge> {
        line::check(&record)?;
        let stream = &record.stream;
        let previous = match (record.seq, previous.or_else(|| self.last.get(stream).copied())) {
            (1, _) => Previous::None,
            (_, Some(position)) => Previous::At(position),
            (_, None) => Previous::Stored,
        };
        if !matches!(stream, Stream::Tenant(_)) {
            self.last.insert(stream.clone(), record.position);
        }
        let is_full = self.end.placement.record(record.recorded);
        self.leaves.push(PendingLeaf::Record(record, pinned_realm, previous));
        Ok(is_full)
    }

    /// Notes a seal; answers its seq.
    pub(crate) fn seal(&mut self, position: u64, next: Coordinates, duplicates: u64, refused: u64) -> u64 {
        self.end.seals += 1;
        let seal = Seal { map_root: Hash::ZERO, streams: 0, duplicates, refused };
        let record = Record {
            position,
            stream: Stream::Seals,
            seq: self.end.seals,
            source: next,
            recorded: self.end.placement.last().unwrap_or(Timestamp::from_millis(0)),
            rules: RULES,
            content: Content::Seal(seal),
        };
        self.leaves.push(PendingLeaf::Seal(record, seal));
        self.end.placement.sealed();
        self.end.seals
    }
}
