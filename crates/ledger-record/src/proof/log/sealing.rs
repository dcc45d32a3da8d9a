//! What seals say, against the records before them: where seals stand, the map, the counts.

use std::collections::BTreeMap;

use ledger_core::time::Timestamp;

use super::Fault;
use crate::proof::hash::Hash;
use crate::proof::line::SealLeaf;
use crate::proof::map::{Entry, Head};
use crate::proof::seal::Placement;

/// The seals of a log, checked as it is read: out of its lines, or out of the records they are made of.
#[derive(Debug, Default)]
pub struct Sealing {
    /// Heads of the streams that changed since the last seal; of a stream the last one counts.
    unsealed: Vec<(Hash, Head)>,
    placement: Placement,
    seal_is_due: bool,
    /// When the last event was recorded: what was refused, and the logs before, move no other record's time.
    floor: Option<Timestamp>,
    streams: u64,
    rejected: u64,
    seals: u64,
    /// What each source gives next at the earliest.
    next: BTreeMap<String, u64>,
    seal: Option<SealLeaf>,
}

/// What seals have to do with a record.
#[derive(Debug, Clone, Copy)]
pub struct Passed<'a> {
    /// Its stream.
    pub stream: Hash,
    /// The stream's head with it.
    pub head: Head,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// Where it came from: `source/partition`.
    pub source: &'a str,
    /// And at which offset.
    pub offset: u64,
    /// It was refused.
    pub is_rejected: bool,
    /// It names a log before.
    pub is_succession: bool,
}

impl Sealing {
    /// Takes in the next record.
    pub fn record(&mut self, record: &Passed<'_>) -> Result<(), Fault> {
        let Passed { stream, head, recorded, source, offset, is_rejected, is_succession } = *record;
        if self.seal_is_due || self.placement.is_due_before(recorded) {
            return Err(Fault::SealMissing);
        }
        if self.floor.is_some_and(|floor| recorded < floor) {
            return Err(Fault::Recorded);
        }
        self.read_from(source, offset)?;
        if !is_rejected && !is_succession {
            self.floor = Some(recorded);
        }
        self.unsealed.push((stream, head));
        self.streams += u64::from(head.seq == 1);
        self.rejected += u64::from(is_rejected);
        self.seal_is_due = self.placement.record(recorded);
        Ok(())
    }

    /// Refused when those coordinates were read before.
    fn read_from(&mut self, source: &str, offset: u64) -> Result<(), Fault> {
        let after = offset.saturating_add(1);
        match self.next.get_mut(source) {
            Some(next) if offset >= *next => *next = after,
            Some(_) => return Err(Fault::Source(format!("{source}/{offset}"))),
            None => {
                self.next.insert(source.to_owned(), after);
            }
        }
        Ok(())
    }

    /// Takes in a seal, at an index. `update` puts what changed since the last one into the map, streams sorted by
    /// id, each once, and answers the map's root.
    pub fn seal(
        &mut self,
        seal: &SealLeaf,
        index: u64,
        update: impl FnOnce(Vec<Entry>) -> Hash,
    ) -> Result<(), Fault> {
        if !self.placement.is_due_at_tick() {
            return Err(Fault::SealRepeated);
        }
        if seal.index != index {
            return Err(Fault::SealIndex(seal.index));
        }
        if seal.map_root != update(self.changed()) {
            return Err(Fault::Map);
        }
        if seal.streams != self.streams {
            return Err(Fault::Streams { found: seal.streams, streams: self.streams });
        }
        if seal.rejected != self.rejected {
            return Err(Fault::Rejected { found: seal.rejected, rejected: self.rejected });
        }
        if self.seal.as_ref().is_some_and(|last| seal.duplicates < last.duplicates) {
            return Err(Fault::Duplicates);
        }
        if Some(seal.recorded) != self.placement.last() {
            return Err(Fault::SealRecorded);
        }
        self.goes_on_at(&seal.next).ok_or_else(|| Fault::Next(seal.next.clone()))?;
        self.placement.sealed();
        self.seal_is_due = false;
        self.seals += 1;
        self.seal = Some(seal.clone());
        Ok(())
    }

    /// Nothing when those are no coordinates, or were read before.
    fn goes_on_at(&mut self, coordinates: &str) -> Option<()> {
        let (source, offset) = split(coordinates)?;
        let next = self.next.entry(source.to_owned()).or_default();
        (offset >= *next).then(|| *next = offset)
    }

    /// What changed in the map since the last seal.
    fn changed(&mut self) -> Vec<Entry> {
        // Stable: of a stream's heads the last one stays behind.
        self.unsealed.sort_by_key(|(stream, _)| *stream);
        let heads = self.unsealed.chunk_by(|a, b| a.0 == b.0).filter_map(<[_]>::last);
        let entry = |(stream, head): &(Hash, Head)| Entry { stream: *stream, commitment: head.commitment() };
        let changed = heads.map(entry).collect();
        self.unsealed.clear();
        changed
    }

    /// The last seal.
    #[must_use]
    pub const fn last(&self) -> Option<&SealLeaf> {
        self.seal.as_ref()
    }

    /// How many seals there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.seals
    }
}

/// Source and offset, whose number is written in one way.
pub(super) fn split(coordinates: &str) -> Option<(&str, u64)> {
    let (source, digits) = coordinates.rsplit_once('/')?;
    let offset: u64 = digits.parse().ok()?;
    (offset.to_string() == digits).then_some((source, offset))
}
