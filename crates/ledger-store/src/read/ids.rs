//! A record by the id of its event.

use ledger_core::event::Event;
use ledger_record::key::{self, Family};
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::FirstIds;

use crate::db::database::damaged;
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
        let id_key = key::log::id(event);
        let Some(reference) = self.database().get(Family::Ids, &id_key, &self.options())? else {
            return Ok(None);
        };
        let seq = key::parse_u64(&reference).map_err(|error| damaged(Family::Ids, &id_key, error))?;
        self.record_of(&stream, seq)
    }

    fn record_of(&self, stream: &Stream, seq: u64) -> Result<Option<Record>, ReadError> {
        self.records(stream, seq)?.next().transpose()
    }
}

fn has_id_of(record: &Record, wanted: &Event) -> bool {
    match &record.content {
        Content::Event { event, .. } => event.id == wanted.id && event.app() == wanted.app(),
        _ => false,
    }
}
