//! The audit trail as it stands in the store: what opening begins with.

use foldhash::{HashMap, HashMapExt};
use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family, LogKey, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{LeafHasher, LedgerSecret, stream_id};
use ledger_record::proof::map::Head;
use ledger_record::proof::seal::Placement;
use ledger_record::record::{Content, Record, Stream};
use rocksdb::ReadOptions;

use crate::audit::AuditWriter;
use crate::audit::Begin;
use crate::audit::Recent;
use crate::audit::map::UpperLevels;
use crate::audit::tree;
use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::scan::prefixed;
use crate::error::{Damage, ReadError};

/// The last seal.
pub(crate) fn last_seal(database: &Database, options: ReadOptions) -> Result<Option<Record>, ReadError> {
    let range = prefixed(key::log::stream_prefix(&Stream::Seals));
    let mut seals = database.scan(Family::Log, range, options)?;
    seals.last()?.map(|(key, value)| decode::record(key, value)).transpose()
}

/// How many leaves are sealed, given the last seal.
pub(super) fn sealed_size(last: Option<&Record>) -> u64 {
    last.map_or(0, |seal| seal.position + 1)
}

/// Where seals go from here on.
fn placement(database: &Database, last: Option<&Record>, size: u64) -> Result<Placement, ReadError> {
    let unsealed = size.saturating_sub(sealed_size(last));
    let Some(position) = size.checked_sub(1) else { return Ok(Placement::default()) };
    let record = decode::stored_record(database, position, &ReadOptions::default())?
        .ok_or_else(|| damaged(Family::Positions, &key::position(position), Damage::Missing))?;
    Ok(Placement::resume(unsealed, Some(record.recorded)))
}

/// The audit trail of a log of that size.
pub(crate) fn recover(
    secret: LedgerSecret,
    database: &Database,
    size: u64,
) -> Result<(Begin, AuditWriter), ReadError> {
    let last = last_seal(database, ReadOptions::default())?;
    let placement = placement(database, last.as_ref(), size)?;
    let seals = last.as_ref().map_or(0, |seal| seal.seq);
    Ok((Begin { placement, seals }, AuditWriter::recover(secret, database, last.as_ref(), size)?))
}

impl AuditWriter {
    /// The running values of a log of that size, whose last seal is given.
    fn recover(
        secret: LedgerSecret,
        database: &Database,
        last: Option<&Record>,
        size: u64,
    ) -> Result<Self, ReadError> {
        let top = UpperLevels::restore(database)?;
        let sealed = match last.map(|seal| &seal.content) {
            Some(Content::Seal(seal)) => Some(*seal),
            _ => None,
        };
        if sealed.map_or(Hash::ZERO, |seal| seal.map_root) != top.root() {
            return Err(damaged(Family::Map, &MapKey::SIXTEENTHS, Damage::Contradicted).into());
        }
        let mut trail = Self {
            hasher: LeafHasher::new(secret),
            frontier: tree::restore(database, size)?,
            recent: Recent::after(size),
            top,
            unsealed: HashMap::new(),
            streams: sealed.map_or(0, |seal| seal.streams),
        };
        trail.read_unsealed(database, sealed_size(last), size)?;
        Ok(trail)
    }

    fn read_unsealed(&mut self, database: &Database, from: u64, size: u64) -> Result<(), ReadError> {
        let range = key::position(from).to_vec()..key::position(size).to_vec();
        let mut positions = database.scan(Family::Positions, range.clone(), ReadOptions::default())?;
        let mut leaves = database.scan(Family::Leaves, range, ReadOptions::default())?;
        for index in from..size {
            let at = key::position(index);
            let missing = |family| damaged(family, &at, Damage::Missing);
            let (_, reference) =
                positions.step()?.filter(|(key, _)| *key == at).ok_or_else(|| missing(Family::Positions))?;
            let LogKey { stream, seq } = decode::log_key(reference)?;
            let (_, value) =
                leaves.step()?.filter(|(key, _)| *key == at).ok_or_else(|| missing(Family::Leaves))?;
            let row = LeafRow::decode(value).map_err(|error| damaged(Family::Leaves, &at, error))?;
            self.unsealed.insert(stream_id(&stream), Head { seq, index, leaf: row.hash });
            self.streams += u64::from(seq == 1);
        }
        Ok(())
    }
}
