//! What goes with records into their lines: for leaves that are made anew, many at a time.

use std::ops::Range;

use foldhash::{HashMap, HashMapExt as _};
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{Beside, Leaf, LedgerSecret};
use ledger_record::record::{Record, Stream};

use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::options::POSITIONS_AT_A_TIME;
use crate::snapshot::Snapshot;

/// Streams of which the last leaf is remembered; above so many, all are forgotten.
const STREAMS_REMEMBERED: usize = if cfg!(test) { 16 } else { 65_536 };

/// Looks up what the lines of records show of others: the leaf before, and the realm.
#[derive(Debug)]
pub(crate) struct Links<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    /// Seq and leaf of the last record of a stream.
    last: HashMap<Stream, (u64, Hash)>,
}

impl Snapshot<'_> {
    /// The records of a range of positions, in order, each with what goes into its line beside it.
    pub fn linked(
        &self,
        positions: Range<u64>,
    ) -> Result<impl Iterator<Item = Result<(Record, Beside), ReadError>> + use<'_>, ReadError> {
        let wanted = usize::try_from(positions.end.saturating_sub(positions.start)).unwrap_or(usize::MAX);
        let mut records = self.records_from(positions.start)?.take(wanted);
        let mut links = Links::new(self);
        let mut linked = Vec::new().into_iter().zip(Vec::new());
        Ok(std::iter::from_fn(move || {
            if linked.len() == 0 {
                let some = records.by_ref().take(POSITIONS_AT_A_TIME).collect::<Result<Vec<_>, _>>();
                match some.and_then(|some| Ok((links.of(&some)?, some))) {
                    Ok((beside, some)) => linked = some.into_iter().zip(beside),
                    Err(error) => return Some(Err(error)),
                }
            }
            linked.next().map(Ok)
        }))
    }

    /// The exact leaf lines of a range of positions.
    pub fn leaf_lines<'s>(
        &'s self,
        positions: Range<u64>,
        secret: &'s LedgerSecret,
    ) -> Result<impl Iterator<Item = Result<String, ReadError>> + use<'s>, ReadError> {
        let linked = self.linked(positions)?;
        Ok(linked.map(|linked| linked.and_then(|(record, beside)| line_of(&record, beside, secret))))
    }

    /// The exact leaf line of a record.
    pub fn leaf_line(&self, record: &Record, secret: &LedgerSecret) -> Result<String, ReadError> {
        let beside = Links::new(self).of(std::slice::from_ref(record))?;
        let [beside] = beside[..] else { return Err(misplaced(record)) };
        line_of(record, beside, secret)
    }
}

/// The exact leaf line of a record with what goes into it.
pub(crate) fn line_of(record: &Record, beside: Beside, secret: &LedgerSecret) -> Result<String, ReadError> {
    let line = Leaf::of(record, beside, secret).and_then(|leaf| leaf.write());
    line.map_err(|_| misplaced(record))
}

/// What does not fit into a line was never in the log.
fn misplaced(record: &Record) -> ReadError {
    damaged(Family::Positions, &key::position(record.position), Damage::Misplaced).into()
}

impl<'s, 'a> Links<'s, 'a> {
    /// Remembers nothing yet.
    pub(crate) fn new(snapshot: &'s Snapshot<'a>) -> Self {
        Self { snapshot, last: HashMap::new() }
    }

    /// What goes with each of these records into its line; those of one stream are in order.
    pub(crate) fn of(&mut self, records: &[Record]) -> Result<Vec<Beside>, ReadError> {
        if self.last.len() > STREAMS_REMEMBERED {
            self.last.clear();
        }
        let own = self.leaves(records.iter().map(|record| record.position))?;
        let mut previous = Vec::with_capacity(records.len());
        let mut unknown = Vec::new();
        for (place, (record, leaf)) in records.iter().zip(&own).enumerate() {
            let is_first = record.seq <= 1 || record.stream == Stream::Seals;
            match self.last.insert(record.stream.clone(), (record.seq, leaf.hash)) {
                _ if is_first => previous.push(Hash::ZERO),
                Some((seq, hash)) if seq + 1 == record.seq => previous.push(hash),
                Some(_) | None => {
                    previous.push(Hash::ZERO);
                    unknown.push((place, key::log::log(&record.stream, record.seq - 1)));
                }
            }
        }
        let (places, keys): (Vec<usize>, Vec<Vec<u8>>) = unknown.into_iter().unzip();
        for (place, leaf) in places.into_iter().zip(self.leaves_of(&keys)?) {
            previous[place] = leaf.hash;
        }
        let beside = |(previous, own): (Hash, LeafRow)| Beside { previous, pinned_realm: own.pinned_realm };
        Ok(previous.into_iter().zip(own).map(beside).collect())
    }

    /// The stored leaves of the records with these keys.
    fn leaves_of(&self, keys: &[Vec<u8>]) -> Result<Vec<LeafRow>, ReadError> {
        let values = self.snapshot.database().get_many(Family::Log, keys, &self.snapshot.options())?;
        let positions = keys.iter().zip(values).map(|(at, value)| {
            let value = value.ok_or_else(|| damaged(Family::Log, at, Damage::Missing))?;
            Record::decode_position(&value).map_err(|error| damaged(Family::Log, at, error))
        });
        self.leaves(positions.collect::<Result<Vec<u64>, _>>()?)
    }

    fn leaves(&self, positions: impl IntoIterator<Item = u64>) -> Result<Vec<LeafRow>, ReadError> {
        let keys: Vec<Vec<u8>> =
            positions.into_iter().map(|position| key::position(position).to_vec()).collect();
        let values = self.snapshot.database().get_many(Family::Leaves, &keys, &self.snapshot.options())?;
        let leaves = keys.iter().zip(values).map(|(at, value)| {
            let value = value.ok_or_else(|| damaged(Family::Leaves, at, Damage::Missing))?;
            LeafRow::decode(&value).map_err(|error| damaged(Family::Leaves, at, error))
        });
        Ok(leaves.collect::<Result<_, _>>()?)
    }
}
