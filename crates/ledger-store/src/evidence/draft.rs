//! What a batch notes of its records until the commit.

use std::collections::BTreeMap;

use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::proof::line::{Beside, RecordLeaf, TooLarge};
use ledger_record::proof::seal::Placement;
use ledger_record::record::{Content, Coordinates, RULES, Record, Seal, Stream};

use super::Evidence;

/// The leaves of a batch, by position.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) placement: Placement,
    pub(super) seals: u64,
    pub(super) leaves: Vec<Noted>,
    /// Position of the last record of the streams that have no row to tell it.
    last: BTreeMap<Stream, u64>,
}

#[derive(Debug)]
pub(super) enum Noted {
    /// The leaf as it will be, but for `p`.
    Record(RecordLeaf, Previous),
    /// The seal as it will be, but for what it says of the map.
    Seal(Box<Record>, Seal),
}

/// The record before, in the same stream.
#[derive(Debug)]
pub(super) enum Previous {
    /// There is none.
    None,
    /// It has this position.
    At(u64),
    /// It is in the store.
    Stored(Stream),
}

impl Draft {
    pub(super) fn new(placement: Placement, seals: u64, leaves: usize) -> Self {
        Self { placement, seals, leaves: Vec::with_capacity(leaves), last: BTreeMap::new() }
    }

    /// Whether a seal goes in before a record of that recorded time.
    pub(crate) fn is_due_before(&self, recorded: Timestamp) -> bool {
        self.placement.is_due_before(recorded)
    }

    /// Whether anything is unsealed.
    pub(crate) fn is_due(&self) -> bool {
        self.placement.is_due_at_tick()
    }

    /// Notes a record, with the position of its tenant's record before. Answers whether a seal goes in
    /// after it.
    pub(crate) fn record(
        &mut self,
        record: &Record,
        pinned_realm: Option<Realm>,
        previous: Option<u64>,
        evidence: &Evidence,
    ) -> Result<bool, TooLarge> {
        let stream = &record.stream;
        let previous = match (record.seq, previous.or_else(|| self.last.get(stream).copied())) {
            (1, _) => Previous::None,
            (_, Some(position)) => Previous::At(position),
            (_, None) => Previous::Stored(stream.clone()),
        };
        if !matches!(stream, Stream::Tenant(_)) {
            self.last.insert(stream.clone(), record.position);
        }
        let beside = Beside { previous: Hash::ZERO, pinned_realm };
        self.leaves.push(Noted::Record(RecordLeaf::of(record, beside, &evidence.secret)?, previous));
        Ok(self.placement.record(record.recorded))
    }

    /// Notes a seal; answers its seq.
    pub(crate) fn seal(&mut self, position: u64, next: Coordinates, duplicates: u64, refused: u64) -> u64 {
        self.seals += 1;
        let seal = Seal { map_root: Hash::ZERO, streams: 0, duplicates, refused };
        let record = Record {
            position,
            stream: Stream::Seals,
            seq: self.seals,
            source: next,
            recorded: self.placement.last().unwrap_or(Timestamp::from_millis(0)),
            rules: RULES,
            content: Content::Seal(seal),
        };
        self.leaves.push(Noted::Seal(Box::new(record), seal));
        self.placement.sealed();
        self.seals
    }
}
