//! Entries by position, many in a row ([`ledger_record::key::placed`]): of `positions` and `leaves`.

use std::collections::BTreeSet;
use std::ops::Range;

use foldhash::{HashMap, HashMapExt as _};
use ledger_record::key::placed::{ENTRIES, entry_at, push, ranges, row_of};
use ledger_record::key::{self, Family};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::scan::{Scan, everything, everything_from};
use crate::error::{Damage, Damaged, ReadError, StorageError};

/// The entries of a family in order, for a range of positions that all have one. Entries are lent until the next step; behind
/// an error nothing more is to be asked.
pub(crate) struct PlacedEntries<'a> {
    rows: Scan<'a>,
    row: PlacedRow,
    /// Position of the next entry, at the earliest.
    next: u64,
    end: u64,
}

impl<'a> PlacedEntries<'a> {
    pub(crate) fn new(
        database: &'a Database,
        family: Family,
        positions: Range<u64>,
        options: ReadOptions,
    ) -> Result<Self, StorageError> {
        let start = key::position(row_of(positions.start)).to_vec();
        let rows = database.scan(family, everything_from(start), options)?;
        Ok(Self { rows, row: PlacedRow::default(), next: positions.start, end: positions.end })
    }

    /// All that are there, for a check that knows which must be, and expects each.
    pub(crate) fn all(
        database: &'a Database,
        family: Family,
        options: ReadOptions,
    ) -> Result<Self, StorageError> {
        Self::new(database, family, 0..u64::MAX, options)
    }

    /// The next entry of the range, with its position: one that is missing is damage, also the last one.
    pub(crate) fn step(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        let position = self.next;
        if position >= self.end {
            return Ok(None);
        }
        Ok(Some((position, self.expect(position)?)))
    }

    /// The next entry that is there, with its position.
    fn stored(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        loop {
            let position = self.next;
            if let Some(range) = self.row.range(position) {
                self.next += 1;
                return Ok(Some((position, &self.row.bytes[range])));
            }
            let family = self.rows.family();
            let Some((key, value)) = self.rows.step()? else { return Ok(None) };
            self.row.read(family, key, value)?;
            self.next = position.max(self.row.first);
        }
    }

    /// The entry with a position, which must be the next one.
    pub(crate) fn expect(&mut self, position: u64) -> Result<&[u8], ReadError> {
        let family = self.rows.family();
        match self.stored()? {
            Some((found, entry)) if found == position => Ok(entry),
            _ => Err(missing(family, position)),
        }
    }

    /// There is no further one.
    pub(crate) fn expect_end(&mut self) -> Result<(), ReadError> {
        let family = self.rows.family();
        match self.stored()? {
            None => Ok(()),
            Some((at, _)) => Err(damaged(family, &key::position(at), Damage::Misplaced).into()),
        }
    }
}

/// A row, and where in it its entries are.
#[derive(Debug, Default)]
struct PlacedRow {
    first: u64,
    bytes: Vec<u8>,
    entries: Vec<Range<usize>>,
}

impl PlacedRow {
    fn read(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        self.first = key::parse_u64(key).map_err(|error| damaged(family, key, error))?;
        self.bytes.clear();
        self.bytes.extend_from_slice(value);
        self.entries.clear();
        for range in ranges(value) {
            self.entries.push(range.map_err(|error| damaged(family, key, error))?);
        }
        let is_full_at_most = (1..=ENTRIES).contains(&(self.entries.len() as u64));
        if self.first == row_of(self.first) && is_full_at_most {
            Ok(())
        } else {
            Err(damaged(family, key, Damage::Misplaced))
        }
    }

    fn range(&self, position: u64) -> Option<Range<usize>> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.entries.get(index).cloned()
    }
}

/// What a family has at a position, if anything.
pub(crate) fn placed_at(
    database: &Database,
    family: Family,
    position: u64,
    options: &ReadOptions,
) -> Result<Option<Vec<u8>>, ReadError> {
    let key = key::position(row_of(position));
    let Some(row) = database.get(family, &key, options)? else { return Ok(None) };
    let entry = entry_at(&row, position).map_err(|error| damaged(family, &key, error))?;
    Ok(entry.map(<[u8]>::to_vec))
}

/// What a family has at these positions, where something must be: in their order, each row read once.
pub(crate) fn placed_at_all<T>(
    database: &Database,
    family: Family,
    positions: &[u64],
    options: &ReadOptions,
    mut take: impl FnMut(u64, &[u8]) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let firsts: BTreeSet<u64> = positions.iter().map(|position| row_of(*position)).collect();
    let keys: Vec<Vec<u8>> = firsts.iter().map(|first| key::position(*first).to_vec()).collect();
    let mut rows = HashMap::with_capacity(keys.len());
    for (first, row) in firsts.into_iter().zip(database.get_many(family, &keys, options)?) {
        rows.insert(first, row);
    }
    let found = positions.iter().map(|position| {
        let first = row_of(*position);
        let row = rows.get(&first).and_then(Option::as_ref).ok_or_else(|| missing(family, *position))?;
        let entry =
            entry_at(row, *position).map_err(|error| damaged(family, &key::position(first), error))?;
        take(*position, entry.ok_or_else(|| missing(family, *position))?)
    });
    found.collect()
}

/// How many positions a family has.
pub(crate) fn placed_size(
    database: &Database,
    family: Family,
    options: ReadOptions,
) -> Result<u64, ReadError> {
    let mut rows = database.scan(family, everything(), options)?;
    let Some((key, value)) = rows.last()? else { return Ok(0) };
    let mut row = PlacedRow::default();
    row.read(family, key, value)?;
    Ok(row.first.saturating_add(row.entries.len() as u64))
}

pub(crate) fn missing(family: Family, position: u64) -> ReadError {
    damaged(family, &key::position(position), Damage::Missing).into()
}

/// The row that entries are added to.
#[derive(Debug, Clone)]
pub(crate) struct LastRow {
    next: u64,
    bytes: Vec<u8>,
}

impl LastRow {
    /// The one of a family that has so many entries.
    pub(crate) fn read(database: &Database, family: Family, size: u64) -> Result<Self, ReadError> {
        let mut last = Self { next: row_of(size), bytes: Vec::new() };
        let mut entries = PlacedEntries::new(database, family, last.next..size, ReadOptions::default())?;
        for position in last.next..size {
            push(&mut last.bytes, entries.expect(position)?);
        }
        last.next = size;
        Ok(last)
    }

    /// Adds an entry; hands a row on that is full.
    pub(crate) fn push(&mut self, entry: &[u8], mut put: impl FnMut([u8; 8], &[u8])) {
        push(&mut self.bytes, entry);
        self.next += 1;
        if self.next == row_of(self.next) {
            put(key::position(self.next - ENTRIES), &self.bytes);
            self.bytes.clear();
        }
    }

    /// Hands on what is not full yet.
    pub(crate) fn put_rest(&self, mut put: impl FnMut([u8; 8], &[u8])) {
        if !self.bytes.is_empty() {
            put(key::position(row_of(self.next)), &self.bytes);
        }
    }
}
