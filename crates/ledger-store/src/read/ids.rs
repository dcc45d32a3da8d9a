//! A record by the id of its event.

use ledger_core::event::Event;
use ledger_record::key::{self, Family};
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::FirstIds;

use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

impl Snapshot<'_> {
    /// The record that has the id of an event within its subject, whatever else the two hold.
    pub fn record_with_id_of(&self, event: &Event) -> Result<Option<Record>, ReadError> {
        let stream = Stream::from_event(event);
        if let Stream::Tenant(client) = &stream {
            let Some(row) = self.tenant(client)? else { return Ok(None) };
            for suspect in row.first_ids.suspects(event) {
                let record = self.record_of(&stream, suspect)?;
                if record.as_ref().is_some_and(|record| has_id_of(record, event)) {
                    return Ok(record);
                }
            }
            if row.seq <= FirstIds::LAST_SEQ {
                return Ok(None);
            }
        }
        match seq_of(self.database(), &key::log::id(event), &self.options())? {
            Some(seq) => self.record_of(&stream, seq),
            None => Ok(None),
        }
    }

    fn record_of(&self, stream: &Stream, seq: u64) -> Result<Option<Record>, ReadError> {
        self.records(stream, seq)?.next().transpose()
    }
}

/// Where the record is in its stream that has a row for the id of its event.
pub(crate) fn seq_of(
    database: &Database,
    id_key: &[u8],
    options: &ReadOptions,
) -> Result<Option<u64>, ReadError> {
    let Some(seq) = database.get(Family::Ids, id_key, options)? else { return Ok(None) };
    Ok(Some(key::parse_u64(&seq).map_err(|error| damaged(Family::Ids, id_key, error))?))
}

fn has_id_of(record: &Record, wanted: &Event) -> bool {
    match &record.content {
        Content::Event { event, .. } => is_same_id(event, wanted),
        _ => false,
    }
}

/// Whether two events of a subject have one id. An id counts within its app.
pub(crate) fn is_same_id(one: &Event, other: &Event) -> bool {
    one.id == other.id && one.app() == other.app()
}
