//! Records out of stored bytes, with the entry's name on every error.

use std::ops::Range;

use ledger_core::time::Timestamp;
use ledger_record::key::{self, Family, LogKey};
use ledger_record::record::{LoggedEvent, Record, Stream};
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::placed::{missing, placed_at};
use crate::db::scan::prefixed;
use crate::error::{Damage, ReadError};

/// Keys of all records of all tenants.
pub(crate) fn all_tenants() -> Range<Vec<u8>> {
    prefixed(vec![key::log::TENANT])
}

/// Keys of all app-level records.
pub(crate) fn all_apps() -> Range<Vec<u8>> {
    prefixed(vec![key::log::APP])
}

/// The record with a position; none behind the end of the log.
pub(crate) fn stored_record(
    database: &Database,
    position: u64,
    options: &ReadOptions,
) -> Result<Option<Record>, ReadError> {
    let Some(reference) = placed_at(database, Family::Positions, position, options)? else { return Ok(None) };
    let value = database
        .get(Family::Log, &reference, options)?
        .ok_or_else(|| damaged(Family::Log, &reference, Damage::Missing))?;
    record_at(position, &reference, &value).map(Some)
}

/// A position before which nothing was recorded at the instant or later.
///
/// Recorded times never fall from event to event. Refused input can have a later one than the events behind
/// it, never an earlier one than those before: a record that is too early has no later event before it.
pub(crate) fn first_recorded_since(
    database: &Database,
    end: u64,
    since: Timestamp,
    options: &ReadOptions,
) -> Result<u64, ReadError> {
    let (mut first, mut last) = (0, end);
    while first < last {
        let middle = first + (last - first) / 2;
        let record =
            stored_record(database, middle, options)?.ok_or_else(|| missing(Family::Positions, middle))?;
        if record.recorded < since {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    Ok(first)
}

/// The record that a position refers to.
pub(crate) fn record_at(position: u64, key: &[u8], value: &[u8]) -> Result<Record, ReadError> {
    let record = record(key, value)?;
    if record.position != position {
        return Err(damaged(Family::Log, key, Damage::Misplaced).into());
    }
    Ok(record)
}

/// The record that an entry of `positions` refers to.
pub(crate) fn reference(position: u64, entry: &[u8]) -> Result<LogKey, ReadError> {
    let damaged = |error| damaged(Family::Positions, &key::position(position), error);
    Ok(LogKey::decode(entry).map_err(damaged)?)
}

/// A record of whatever stream.
pub(crate) fn record(key: &[u8], value: &[u8]) -> Result<Record, ReadError> {
    let LogKey { stream, seq } = log_key(key)?;
    Ok(Record::decode(stream, seq, value).map_err(|error| damaged(Family::Log, key, error))?)
}

/// The part of a record that the fold needs.
pub(crate) fn logged_event(key: &[u8], value: &[u8]) -> Result<LoggedEvent, ReadError> {
    let LogKey { stream, .. } = log_key(key)?;
    event_of(&stream, key, value)
}

/// The part of a record that the fold needs, when its stream is known.
pub(crate) fn event_of(stream: &Stream, key: &[u8], value: &[u8]) -> Result<LoggedEvent, ReadError> {
    Ok(Record::decode_event(stream, value).map_err(|error| damaged(Family::Log, key, error))?)
}

pub(crate) fn log_key(key: &[u8]) -> Result<LogKey, ReadError> {
    Ok(LogKey::decode(key).map_err(|error| damaged(Family::Log, key, error))?)
}
