//! When events are recorded to have been, for rows that do not say when.

use ledger_core::event::{Body, Event, InstallationFact};
use ledger_core::ids::EventId;
use ledger_core::time::Timestamp;
use ledger_record::record::Content;
use ledger_store::{DataDir, Reader};

use super::Key;
use crate::Failure;
use crate::config::Config;

/// The shards of a data directory; none of one that is not there.
#[derive(Default)]
pub(crate) struct RecordedTimes(Vec<Reader>);

impl RecordedTimes {
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        if !DataDir::exists(&config.data_dir)? {
            return Ok(Self::default());
        }
        let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
        let readers =
            data.shards()?.iter().map(|id| Ok(data.read_shard(id)?)).collect::<Result<_, Failure>>();
        Ok(Self(readers?))
    }

    /// The time of the event of an installation that has this id; none: it is not recorded.
    pub(super) fn find(&self, (client, app): &Key, id: &str) -> Result<Option<Timestamp>, Failure> {
        let (client, app) = (client.clone(), app.clone());
        let Ok(id) = EventId::new(id) else { return Ok(None) };
        // An id counts within its installation, whatever else an event is.
        let body = Body::Installation { client, app, fact: InstallationFact::Enabled };
        let wanted = Event { id, time: Timestamp::from_millis(0), body, actor: None, reason: None };
        for reader in &self.0 {
            if let Some(record) = reader.snapshot().record_with_id_of(&wanted)?
                && let Content::Event { event, .. } = record.content
            {
                return Ok(Some(event.time));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::limits::DAY_MS;
    use ledger_ingest::import::{ImportOptions, ImportReport, import};
    use ledger_ingest::placing::Placement;
    use ledger_ingest::text::{Line, Text};
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{Partitioner, StoreOptions};

    use super::*;
    use crate::partner_list::{AppNames, ListForm, events};

    const FIRST_DAY: i64 = 1_767_225_600_000;

    fn made(table: &str, data: &DataDir, day: i64) -> Vec<Line> {
        let text = Text::open(table.as_bytes()).unwrap();
        let now = Timestamp::from_millis(FIRST_DAY + day * DAY_MS + 7);
        let config = Config { data_dir: data.path().to_owned(), ..Config::default() };
        let recorded = RecordedTimes::open(&config).unwrap();
        events(text, ListForm::Installations, &AppNames::default(), &recorded, now, "FILE").unwrap().lines
    }

    fn imported(data: &DataDir, lines: Vec<Line>, source: &str) -> ImportReport {
        let options = ImportOptions {
            source: source.to_owned(),
            topic: "t".to_owned(),
            partitions: Some(3),
            placing: Placement { set: Some(Partitioner::Murmur2), kafka: None },
            now: Timestamp::from_millis(FIRST_DAY + 9 * DAY_MS),
            accept_refusals: false,
        };
        import(data, lines.into_iter().map(Ok), &options).unwrap()
    }

    #[test]
    fn table_without_dates_that_is_imported_on_another_day_is_the_same_events() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(scratch.path(), StoreOptions::default(), secret).unwrap();
        let table = "clientKey,appKey,realm,installedAt\na,app,EU,\nb,app,US,2024-01-01\nc,app,US,\n";
        let first = made(table, &data, 0);
        assert_eq!(first.iter().map(|line| line.origin).collect::<Vec<_>>(), [3, 3, 2, 2, 4, 4]);
        assert_ne!(first, made(table, &data, 3), "nothing is recorded yet");
        assert_eq!(imported(&data, first, "list").applied.appended, 6);

        let again = imported(&data, made(table, &data, 3), "list");
        assert_eq!((again.lines, again.already_taken, again.applied.appended), (6, 6, 0));
        let elsewhere = imported(&data, made(table, &data, 4), "list of tuesday").applied;
        assert_eq!((elsewhere.appended, elsewhere.duplicates, elsewhere.refused), (0, 6, 0));
        // What is new of a table is of the day on which it came.
        let moved = imported(&data, made(&table.replace("c,app,US", "c,app,EU"), &data, 5), "moved").applied;
        assert_eq!((moved.appended, moved.duplicates, moved.late, moved.refused), (2, 4, 0, 0));
    }
}
