//! An old shard, read in order of position; what it accounts for; and what its log is named by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_record::key::side::parse_carried;
use ledger_record::record::{Content, Coordinates, PriorLog, Record, Stream};
use ledger_record::rows::SourcePosition;

use crate::check::verify::VerifiedShard;
use crate::error::ReadError;
use crate::read::reader::Reader;
use crate::read::snapshot::Snapshot;
use crate::refill::RefillError;

/// What was retried from quarantine counts its lines in each shard by itself.
const RETRIED: &str = "import:retry:";

/// A partition of a source: its messages have one order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    pub(super) source: Arc<str>,
    pub(super) partition: u32,
}

impl Lane {
    pub(super) fn from_coordinates(from: &Coordinates) -> Self {
        Self { source: Arc::clone(&from.source), partition: from.partition }
    }
}

type Records<'a> = Box<dyn Iterator<Item = Result<Record, ReadError>> + 'a>;

/// A shard whose next record is known.
pub(super) struct OldShard<'a> {
    pub(super) reader: &'a Reader,
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) verified: &'a VerifiedShard,
    records: Records<'a>,
    head: Option<Record>,
    /// Recorded time of the last event before the head.
    floor: Option<Timestamp>,
    published: u64,
}

impl<'a> OldShard<'a> {
    pub(super) fn open(
        reader: &'a Reader,
        snapshot: &'a Snapshot<'a>,
        verified: &'a VerifiedShard,
    ) -> Result<Self, ReadError> {
        let records = Box::new(snapshot.records_from(0)?);
        let published = snapshot.publisher_position()?;
        let mut shard = Self { reader, snapshot, verified, records, head: None, floor: None, published };
        shard.advance()?;
        Ok(shard)
    }

    pub(super) fn partition(&self) -> u32 {
        self.reader.shard().partition
    }

    pub(super) fn size(&self) -> u64 {
        self.verified.size
    }

    /// Positions before the head.
    pub(super) fn passed(&self) -> u64 {
        self.head.as_ref().map_or(self.size(), |record| record.position)
    }

    pub(super) fn is_published(&self, position: u64) -> bool {
        position < self.published
    }

    pub(super) fn head(&self) -> Option<&Record> {
        self.head.as_ref()
    }

    /// What orders the head among those of other shards: recorded times of events never fall, and a refused message
    /// goes with the event before it.
    pub(super) fn key(&self) -> Option<Timestamp> {
        match self.head.as_ref() {
            Some(Record { content: Content::Event { .. }, recorded, .. }) => Some(*recorded),
            _ => self.floor,
        }
    }

    /// Takes the head.
    pub(super) fn take(&mut self) -> Result<Option<Record>, ReadError> {
        let taken = self.head.take();
        if let Some(Record { content: Content::Event { .. }, recorded, .. }) = &taken {
            self.floor = Some(*recorded);
        }
        self.advance()?;
        Ok(taken)
    }

    /// What came in; seals and the logs before are of this log alone.
    fn advance(&mut self) -> Result<(), ReadError> {
        for record in self.records.by_ref() {
            let record = record?;
            if matches!(record.content, Content::Event { .. } | Content::Refused(_)) {
                self.head = Some(record);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The rows of the sources: what a refill carried over first, then what the shard read itself.
    pub(super) fn sources(&self) -> Result<Vec<(String, Lane, SourcePosition)>, ReadError> {
        let own = self.partition();
        let rows = self.snapshot.source_positions()?.into_iter().map(|(name, position)| {
            let (source, partition) = parse_carried(&name).unwrap_or((&name, own));
            let lane = Lane { source: source.into(), partition };
            (name, lane, position)
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by_key(|(_, _, position)| !matches!(position, SourcePosition::Carried { .. }));
        Ok(rows)
    }
}

/// How far each partition of each source was read: what is carried over of it.
pub(super) fn lanes_of(
    shards: &[OldShard<'_>],
    partitions: u32,
) -> Result<BTreeMap<Lane, SourcePosition>, RefillError> {
    let mut lanes = BTreeMap::new();
    let mut imported = BTreeMap::<Arc<str>, Vec<u64>>::new();
    for shard in shards {
        let late: BTreeMap<_, _> = shard.snapshot.late_beginnings()?.into_iter().collect();
        for (name, lane, position) in shard.sources()? {
            let (first, end, recorded) = match position {
                SourcePosition::Carried { first, end, recorded } => (first, end, recorded),
                SourcePosition::Kafka { next_offset, .. } => {
                    let first = late.get(&name).copied().unwrap_or(0);
                    (first, next_offset, shard.snapshot.head()?.recorded)
                }
                SourcePosition::Import { lines, .. } => {
                    imported.entry(Arc::clone(&lane.source)).or_default().push(lines);
                    (1, lines.saturating_add(1), None)
                }
            };
            let known = lanes.entry(lane).or_insert((first, end, recorded));
            *known = (known.0.min(first), known.1.max(end), known.2.max(recorded));
        }
    }
    for (source, mut lines) in imported.into_iter().filter(|(source, _)| !source.starts_with(RETRIED)) {
        lines.resize(partitions as usize, 0);
        if let (Some(one), Some(other)) = (lines.iter().min(), lines.iter().max())
            && one != other
        {
            let source_name = source.to_string();
            return Err(RefillError::HalfImported { source_name, one: *one, other: *other });
        }
    }
    let carried = |(first, end, recorded)| SourcePosition::Carried { first, end, recorded };
    Ok(lanes.into_iter().map(|(lane, known)| (lane, carried(known))).collect())
}

/// The old logs as of their last seals, and when those were: without a seal nothing was ever shown to anyone.
pub(super) fn predecessors(
    shards: &[OldShard<'_>],
    name: &str,
) -> Result<Vec<(PriorLog, Timestamp)>, ReadError> {
    let mut predecessors = Vec::new();
    for shard in shards {
        let Some(seal) = &shard.verified.seal else { continue };
        let size = seal.index + 1;
        let root = shard.snapshot.tree_root(size)?;
        let origin = format!("{name}/{}", shard.partition());
        predecessors.push((PriorLog { origin, size, root }, seal.recorded));
    }
    Ok(predecessors)
}

/// How many tenants are in more than one shard, and how many lie elsewhere than they are placed.
pub(super) fn count_tenants(
    snapshots: &[Snapshot<'_>],
    readers: &[Reader],
    place: &dyn Fn(&ClientKey) -> u32,
) -> Result<(u64, u64), ReadError> {
    let mut walks = Vec::new();
    for (snapshot, reader) in snapshots.iter().zip(readers) {
        walks.push((reader.shard().partition, snapshot.tenant_keys()?.peekable()));
    }
    let (mut torn, mut moved) = (0, 0);
    loop {
        let heads = walks.iter_mut().filter_map(|(_, walk)| match walk.peek()? {
            Ok(client) => Some(client.clone()),
            Err(_) => None,
        });
        let Some(least) = heads.min() else { break };
        let mut partitions = BTreeSet::new();
        for (partition, walk) in &mut walks {
            if walk.next_if(|client| client.as_ref().is_ok_and(|client| *client == least)).is_some() {
                partitions.insert(*partition);
            }
        }
        torn += u64::from(partitions.len() > 1);
        moved += u64::from(partitions != BTreeSet::from([place(&least)]));
    }
    // A key that does not decode ends its walk.
    for (_, walk) in &mut walks {
        walk.next().transpose()?;
    }
    Ok((torn, moved))
}

/// Whose record it is, where it is a tenant's.
pub(super) fn client_of(record: &Record) -> Option<&ClientKey> {
    match &record.stream {
        Stream::Tenant(client) => Some(client),
        _ => None,
    }
}
