//! What is recorded of a table, for rows that do not say when.

use ledger_core::event::{Body, Event, InstallationFact, Installed};
use ledger_core::ids::EventId;
use ledger_core::time::Timestamp;
use ledger_store::{DataDir, HistoryEvent, KnowledgeCut, Reader};

use super::Key;
use crate::Failure;
use crate::config::Config;

/// The shards of a data directory; none of one that is not there.
#[derive(Default)]
pub(crate) struct RecordedInstalls(Vec<Reader>);

impl RecordedInstalls {
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        if !DataDir::exists(&config.data_dir)? {
            return Ok(Self::default());
        }
        let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
        let readers =
            data.shards()?.iter().map(|id| Ok(data.read_shard(id)?)).collect::<Result<_, Failure>>();
        Ok(Self(readers?))
    }

    /// What a form told last of an installation, if an event with this id is recorded of it.
    pub(super) fn last_if_known(
        &self,
        (client, app): &Key,
        id: &str,
        form: &str,
    ) -> Result<Option<LastTold>, Failure> {
        let Ok(id) = EventId::new(id) else { return Ok(None) };
        // An id counts within its installation, whatever else an event is.
        let (of_client, of_app) = (client.clone(), app.clone());
        let body = Body::Installation { client: of_client, app: of_app, fact: InstallationFact::Enabled };
        let wanted = Event { id, time: Timestamp::from_millis(0), body, actor: None, reason: None };
        for reader in &self.0 {
            let snapshot = reader.snapshot();
            if snapshot.record_with_id_of(&wanted)?.is_none() {
                continue;
            }
            let events = snapshot.events::<Failure>(client, KnowledgeCut::Open, |_| Ok(()))?;
            let told = events.into_iter().rev().find_map(|HistoryEvent { event, .. }| match event.body {
                Body::Installation { app: of, fact: InstallationFact::Installed(installed), .. }
                    if of == *app && event.id.as_str().starts_with(form) =>
                {
                    Some(LastTold { id: event.id.as_str().to_owned(), time: event.time, installed })
                }
                _ => None,
            });
            return Ok(told);
        }
        Ok(None)
    }
}

/// An install that a form told of.
pub(crate) struct LastTold {
    pub(super) id: String,
    pub(super) time: Timestamp,
    pub(super) installed: Box<Installed>,
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
        let recorded = RecordedInstalls::open(&config).unwrap();
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
        // There and back: what it said once is news again, and then said already.
        for (day, expected) in [(6, (2, 4)), (7, (0, 6))] {
            let back = imported(&data, made(table, &data, day), &format!("back on day {day}")).applied;
            assert_eq!((back.appended, back.duplicates, back.refused), (expected.0, expected.1, 0), "{day}");
        }
        let named = table
            .replace(",installedAt", ",installedAt,siteUrl")
            .replace("a,app,EU,", "a,app,EU,,https://a.example");
        let named = named.replace("2024-01-01", "2024-01-01,").replace("c,app,US,", "c,app,US,,");
        let named = imported(&data, made(&named, &data, 8), "named").applied;
        assert_eq!((named.appended, named.duplicates, named.refused), (2, 4, 0), "another site is news");
    }
}
