//! The order in which the records of all shards are carried over, with the repeats and the copies that belong between
//! them. It depends on the records alone, neither on read-ahead nor on a clock.

use std::collections::BTreeMap;
use std::iter::Peekable;

use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_record::key::side::carried;
use ledger_record::record::{Content, Coordinates, Record, Stream};
use ledger_record::rows::SourcePosition;
use roaring::RoaringTreemap;

use crate::error::{AppendError, ReadError};
use crate::refill::old::{Lane, OldShard, client_of};
use crate::refill::target::{CarriedRecord, Targets};

/// Picks the shard whose record comes next.
pub(super) struct RecordMerge {
    /// Offsets not yet carried over, by lane and shard: a later offset must overtake none of them. After a refill that
    /// filled in copies several shards have the same offset, and it waits until each of them is carried over.
    waiting: BTreeMap<Lane, Vec<RoaringTreemap>>,
}

impl RecordMerge {
    pub(super) fn new(
        shards: &[OldShard<'_>],
        lanes: &BTreeMap<Lane, SourcePosition>,
    ) -> Result<Self, ReadError> {
        let mut waiting = BTreeMap::new();
        for lane in lanes.keys() {
            let name = carried(&lane.source, lane.partition);
            let mut by_shard = Vec::new();
            for shard in shards {
                let mut own = RoaringTreemap::new();
                for (_, offsets) in shard.verified.spread.iter().filter(|(of, _)| *of == name) {
                    own |= offsets.recorded();
                }
                for repeat in shard.snapshot.duplicates(&name, 0)? {
                    own.remove(repeat?.0);
                }
                by_shard.push(own);
            }
            if by_shard.iter().any(|own| !own.is_empty()) {
                waiting.insert(lane.clone(), by_shard);
            }
        }
        Ok(Self { waiting })
    }

    /// The shard with the least recorded time, and of those the first.
    pub(super) fn next(&mut self, shards: &[OldShard<'_>]) -> Option<usize> {
        let heads = || {
            shards.iter().enumerate().filter_map(|(index, shard)| Some((index, shard.key(), shard.head()?)))
        };
        // A verified directory always has a head that waits for no other.
        let free = heads().filter(|(_, _, record)| self.is_free(record)).min_by_key(|(_, key, _)| *key);
        let (index, _, record) = free.or_else(|| heads().min_by_key(|(_, key, _)| *key))?;
        if let Some(own) = self
            .waiting
            .get_mut(&Lane::from_coordinates(&record.source))
            .and_then(|waiting| waiting.get_mut(index))
        {
            own.remove(record.source.offset);
        }
        Some(index)
    }

    fn is_free(&self, record: &Record) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let waiting = self.waiting.get(&Lane::from_coordinates(&record.source)).into_iter().flatten();
        waiting.filter_map(RoaringTreemap::min).all(|first| record.source.offset <= first)
    }
}

/// The app-level events that not every shard has: by the shard and position of one that has it, the partitions that
/// lack it.
pub(super) fn missing_copies(
    shards: &[OldShard<'_>],
    partitions: u32,
) -> Result<BTreeMap<(usize, u64), Vec<u32>>, ReadError> {
    let mut found = BTreeMap::<(AppKey, EventId), BTreeMap<u32, (usize, u64)>>::new();
    for (index, shard) in shards.iter().enumerate() {
        for record in shard.snapshot.app_records()? {
            let record = record?;
            let (Stream::App(app), Content::Event { event, .. }) = (record.stream, record.content) else {
                continue;
            };
            found.entry((app, event.id)).or_default().insert(shard.partition(), (index, record.position));
        }
    }
    let mut copies = BTreeMap::new();
    for places in found.into_values() {
        let lacking: Vec<u32> = (0..partitions).filter(|partition| !places.contains_key(partition)).collect();
        if let Some(first) = places.into_values().next().filter(|_| !lacking.is_empty()) {
            copies.insert(first, lacking);
        }
    }
    Ok(copies)
}

type Offsets<'a> = Peekable<Box<dyn Iterator<Item = Result<(u64, u64), ReadError>> + 'a>>;

/// The repeats of all shards, by lane: each goes behind its original, and before what came after it.
pub(super) struct Repeats<'a>(BTreeMap<Lane, Vec<(usize, Offsets<'a>)>>);

impl<'a> Repeats<'a> {
    pub(super) fn new(shards: &[OldShard<'a>]) -> Result<Self, ReadError> {
        let mut repeats = BTreeMap::<Lane, Vec<_>>::new();
        for (index, shard) in shards.iter().enumerate() {
            for (name, lane, _) in shard.sources()? {
                let offsets: Box<dyn Iterator<Item = _> + 'a> =
                    Box::new(shard.snapshot.duplicates(&name, 0)?);
                repeats.entry(lane).or_default().push((index, offsets.peekable()));
            }
        }
        Ok(Self(repeats))
    }

    /// Carries over those of a lane before an offset.
    pub(super) fn before(
        &mut self,
        lane: &Lane,
        offset: u64,
        shards: &[OldShard<'_>],
        place: &dyn Fn(&ClientKey) -> u32,
        targets: &mut Targets,
    ) -> Result<(), AppendError> {
        for (index, repeats) in self.0.get_mut(lane).into_iter().flatten() {
            let shard = &shards[*index];
            while let Some((at, original)) =
                next_if(repeats, |(at, original)| at < offset && original < shard.passed())?
            {
                carry_one(lane, at, original, shard, place, targets)?;
            }
        }
        Ok(())
    }

    /// Carries over the rest.
    pub(super) fn rest(
        mut self,
        shards: &[OldShard<'_>],
        place: &dyn Fn(&ClientKey) -> u32,
        targets: &mut Targets,
    ) -> Result<(), AppendError> {
        let lanes: Vec<Lane> = self.0.keys().cloned().collect();
        lanes.iter().try_for_each(|lane| self.before(lane, u64::MAX, shards, place, targets))
    }
}

fn next_if(
    repeats: &mut Offsets<'_>,
    is_due: impl Fn((u64, u64)) -> bool,
) -> Result<Option<(u64, u64)>, ReadError> {
    let is_next =
        |next: &Result<(u64, u64), ReadError>| next.as_ref().is_ok_and(|next| is_due(*next)) || next.is_err();
    repeats.next_if(is_next).transpose()
}

/// The new shard finds by itself that it repeats its original.
fn carry_one(
    lane: &Lane,
    offset: u64,
    original: u64,
    shard: &OldShard<'_>,
    place: &dyn Fn(&ClientKey) -> u32,
    targets: &mut Targets,
) -> Result<(), AppendError> {
    let Some(record) = shard.snapshot.record_at(original)? else { return Ok(()) };
    let to = client_of(&record).map_or(shard.partition(), place);
    let source = Coordinates { source: lane.source.clone(), partition: lane.partition, offset };
    targets.push(to, CarriedRecord::new(Record { source, ..record }, true).into_repeat());
    targets.write_if_full()
}
