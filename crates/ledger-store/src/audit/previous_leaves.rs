//! What goes with records into their lines: for leaves that are made anew, many at a time.

use std::ops::Range;

use foldhash::HashMap;
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{Leaf, LeafContext, LedgerSecret};
use ledger_record::record::{Record, Stream};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::options::POSITIONS_AT_A_TIME;
use crate::db::placed::{PlacedEntries, placed_at_all};
use crate::error::{Damage, ReadError};
use crate::read::snapshot::Snapshot;

/// Streams of which the last leaf is remembered, some 4 MB; above so many, all are forgotten.
const STREAMS_REMEMBERED: usize = if cfg!(test) { 16 } else { 32_768 };

/// What the lines of records show of others, the leaf before: looked up, or remembered of the records that came by.
#[derive(Debug, Default)]
pub struct PreviousLeaves {
    /// Seq and leaf of the last record of a stream.
    last: HashMap<Stream, (u64, Hash)>,
}

impl Snapshot<'_> {
    /// The records of a range of positions, in order, each with what goes into its line beside it. What `links`
    /// remembers is of this log.
    pub fn linked<'s>(
        &'s self,
        positions: Range<u64>,
        links: &'s mut PreviousLeaves,
    ) -> Result<impl Iterator<Item = Result<(Record, LeafContext), ReadError>> + use<'s>, ReadError> {
        let wanted = usize::try_from(positions.end.saturating_sub(positions.start)).unwrap_or(usize::MAX);
        let mut records = self.records_from(positions.start)?.take(wanted);
        let mut leaves = PlacedEntries::new(self.database(), Family::Leaves, positions, self.options())?;
        let mut next = move || {
            let some = records.by_ref().take(POSITIONS_AT_A_TIME).collect::<Result<Vec<_>, _>>()?;
            let own = some.iter().map(|record| leaf_of(record.position, leaves.expect(record.position)?));
            let own = own.collect::<Result<Vec<_>, ReadError>>()?;
            Ok((links.link(self, &some, &own)?, some))
        };
        let mut linked = Vec::new().into_iter().zip(Vec::new());
        Ok(std::iter::from_fn(move || {
            if linked.len() == 0 {
                match next() {
                    Ok((contexts, some)) => linked = some.into_iter().zip(contexts),
                    Err(error) => return Some(Err(error)),
                }
            }
            linked.next().map(Ok)
        }))
    }

    /// The exact leaf line of a record.
    pub fn leaf_line(&self, record: &Record, secret: &LedgerSecret) -> Result<String, ReadError> {
        match PreviousLeaves::default().look_up(self, std::slice::from_ref(record))?[..] {
            [context] => line_of(record, context, secret),
            _ => Err(misplaced(record)),
        }
    }
}

/// The exact leaf line of a record with what goes into it.
pub fn line_of(record: &Record, context: LeafContext, secret: &LedgerSecret) -> Result<String, ReadError> {
    let line = Leaf::from_record(record, context, secret).and_then(|leaf| leaf.write());
    line.map_err(|_| misplaced(record))
}

/// What does not fit into a line was never in the log.
fn misplaced(record: &Record) -> ReadError {
    damaged(Family::Positions, &key::position(record.position), Damage::Misplaced).into()
}

impl PreviousLeaves {
    /// What goes with each of these records into its line; those of one stream are in order.
    pub(crate) fn look_up(
        &mut self,
        snapshot: &Snapshot<'_>,
        records: &[Record],
    ) -> Result<Vec<LeafContext>, ReadError> {
        let positions: Vec<u64> = records.iter().map(|record| record.position).collect();
        let own = leaves(snapshot.database(), &positions, &snapshot.options())?;
        self.link(snapshot, records, &own)
    }

    /// The same where their own leaves are known.
    fn link(
        &mut self,
        snapshot: &Snapshot<'_>,
        records: &[Record],
        own: &[LeafRow],
    ) -> Result<Vec<LeafContext>, ReadError> {
        if self.last.len() > STREAMS_REMEMBERED {
            self.last.clear();
        }
        let mut linked = Vec::with_capacity(records.len());
        let mut unknown = Vec::new();
        for (place, (record, leaf)) in records.iter().zip(own).enumerate() {
            let is_first = record.seq <= 1 || record.stream == Stream::Seals;
            let previous = match self.last.insert(record.stream.clone(), (record.seq, leaf.hash)) {
                _ if is_first => Hash::ZERO,
                Some((seq, hash)) if seq + 1 == record.seq => hash,
                Some(_) | None => {
                    unknown.push((place, key::log::log(&record.stream, record.seq - 1)));
                    Hash::ZERO
                }
            };
            linked.push(LeafContext { previous, pinned_realm: leaf.pinned_realm });
        }
        let (places, keys): (Vec<usize>, Vec<Vec<u8>>) = unknown.into_iter().unzip();
        for (place, leaf) in places.into_iter().zip(leaves_of(snapshot, &keys)?) {
            linked[place].previous = leaf.hash;
        }
        Ok(linked)
    }
}

/// The stored leaves of the records with these keys.
fn leaves_of(snapshot: &Snapshot<'_>, keys: &[Vec<u8>]) -> Result<Vec<LeafRow>, ReadError> {
    let values = snapshot.database().get_many(Family::Log, keys, &snapshot.options())?;
    let positions = keys.iter().zip(values).map(|(at, value)| {
        let value = value.ok_or_else(|| damaged(Family::Log, at, Damage::Missing))?;
        Record::decode_position(&value).map_err(|error| damaged(Family::Log, at, error))
    });
    leaves(snapshot.database(), &positions.collect::<Result<Vec<u64>, _>>()?, &snapshot.options())
}

/// The stored leaves with these indices.
pub(super) fn leaves(
    database: &Database,
    positions: &[u64],
    options: &ReadOptions,
) -> Result<Vec<LeafRow>, ReadError> {
    placed_at_all(database, Family::Leaves, positions, options, leaf_of)
}

/// The leaf in the entry of a position.
pub(crate) fn leaf_of(position: u64, entry: &[u8]) -> Result<LeafRow, ReadError> {
    let damaged = |error| damaged(Family::Leaves, &key::position(position), error);
    Ok(LeafRow::decode(entry).map_err(damaged)?)
}
