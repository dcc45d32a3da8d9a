//! Compares the app-level events of the shards that this process feeds, beside what is written: a producer that sends
//! an app-level event to one partition only makes partitions answer differently, and no shard can see that alone.
//!
//! Copies of one event come to the partitions at different moments. So one is missing when the shard was read past the
//! moment at which another shard was seen to have it, and [`GRACE`] more, within which a producer sends all copies. A
//! shard that is not live is not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::ids::{AppKey, EventId};
use ledger_store::{AppEvents, Catalog, Freshness, Halted, MissingCopies, Phase, ShardId};
use tracing::{error, info, warn};

use crate::background::Background;

/// How often shards are compared.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a producer may take to send the copies of an event.
const GRACE: Duration = Duration::from_secs(10);

/// Apps named before the rest is counted.
const NAMED_AT_MOST: usize = 4;

/// Compares the shards until it is stopped.
pub(crate) fn start(catalog: Arc<Catalog>) -> io::Result<Background> {
    let mut comparison = AppCopies::default();
    Background::start("app-copies", INTERVAL, move || {
        comparison.compare(&catalog, Instant::now(), GRACE);
        INTERVAL
    })
}

/// A copy that a shard lacks.
type LackedCopy = (ShardId, AppKey, EventId);

#[derive(Default)]
struct AppCopies {
    app_events: AppEvents,
    /// Copies that were seen to be lacking, and since when.
    seen: BTreeMap<LackedCopy, Instant>,
    /// Those that are missing.
    missing: BTreeSet<LackedCopy>,
}

impl AppCopies {
    fn compare(&mut self, catalog: &Catalog, now: Instant, grace: Duration) {
        let shards = catalog.all();
        // Before the shards are read: they may know more than this freshness, never less.
        let live = shards.iter().filter_map(|(id, served)| {
            let freshness = served.status.freshness();
            let is_compared = freshness.is_ours && freshness.phase == Phase::Live;
            is_compared.then(|| (id.clone(), freshness))
        });
        let live: BTreeMap<ShardId, Freshness> = live.collect();
        let readers = shards.iter().filter(|(id, _)| live.contains_key(id));
        let readers: Vec<_> = readers.map(|(id, served)| (id.clone(), served.reader.clone())).collect();
        let lacking = match self.app_events.missing(&readers) {
            Ok(lacking) => lacking.into_iter().flat_map(copies).collect::<BTreeSet<_>>(),
            Err(failed) => {
                return error!(error = %failed, "app-level events could not be compared: see to the disk");
            }
        };
        self.seen.retain(|copy, _| lacking.contains(copy));
        self.missing.retain(|copy| lacking.contains(copy));
        for copy in lacking {
            let since = *self.seen.entry(copy.clone()).or_insert(now);
            let is_at_end = live.get(&copy.0).is_some_and(|freshness| freshness.lag_events == Some(0));
            if is_at_end && now.duration_since(since) >= grace {
                self.missing.insert(copy);
            }
        }
        for (id, served) in &shards {
            let (count, missing) = self.missing_in(id);
            let before = served.status.freshness().missing_app_events;
            if count != before {
                if let Some(Halted { message, .. }) = &missing {
                    warn!(shard = %id, apps = self.lacking_apps(id), "{message}");
                } else {
                    info!(shard = %id, "has all app-level events of the other partitions again");
                }
            }
            served.status.update(|now| (now.missing_app_events, now.missing_copies) = (count, missing));
        }
    }

    /// The apps of which a shard lacks copies, the first of them by name. That is for the log: readiness shows the message
    /// to everyone.
    fn lacking_apps(&self, shard: &ShardId) -> String {
        let of_shard = self.missing.iter().filter(|(of, _, _)| of == shard);
        let apps: BTreeSet<&str> = of_shard.map(|(_, app, _)| app.as_str()).collect();
        let named = apps.iter().take(NAMED_AT_MOST).copied().collect::<Vec<_>>().join(", ");
        match apps.len().saturating_sub(NAMED_AT_MOST) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }

    /// How many copies a shard lacks, and why that matters.
    fn missing_in(&self, shard: &ShardId) -> (u64, Option<Halted>) {
        let count = self.missing.iter().filter(|(of, _, _)| of == shard).count() as u64;
        if count == 0 {
            return (0, None);
        }
        let message = format!(
            "{count} app-level events are in other partitions and not in this one, so that \
             partitions answer differently: `realm-ledger publish --missing-copies` sends them; a producer has to \
             send a copy of an app-level event to every partition"
        );
        (count, Some(Halted { code: "app-events-missing", message }))
    }
}

fn copies(missing: MissingCopies) -> impl Iterator<Item = LackedCopy> {
    let MissingCopies { shard, app, events } = missing;
    events.into_iter().map(move |event| (shard.clone(), app.clone(), event.id))
}

#[cfg(test)]
mod tests {
    use ledger_ingest::import::{ImportOptions, import};
    use ledger_ingest::text::Lines;
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{DataDir, Served, ShardStatus, StoreOptions};

    use super::*;

    /// A shard that has these app-level events, at the end of its partition.
    fn served(directory: &std::path::Path, ids: &[&str]) -> Served {
        let data =
            DataDir::open(directory, StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap();
        let line = |id: &&str| {
            format!(
                "{{\"id\":\"{id}\",\"type\":\"policy-set\",\"time\":\"2026-01-01T00:00:00Z\",\"appKey\":\"a\",\
                 \"policy\":{{\"mode\":\"off\"}}}}\n"
            )
        };
        let options = ImportOptions {
            source: "test".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(1),
            placing: ledger_ingest::placing::Placement::default(),
            accept_refusals: false,
            now: crate::command::now(),
        };
        let lines: String = ids.iter().map(line).collect();
        import(&data, Lines::new(lines.as_bytes()), &options).unwrap();
        let reader = data.read_shard(&shard(0)).unwrap();
        let status = Arc::new(ShardStatus::default());
        status.update(|now| (now.is_ours, now.phase, now.lag_events) = (true, Phase::Live, Some(0)));
        Served { reader, status }
    }

    fn shard(partition: u32) -> ShardId {
        ShardId { topic: "t".to_owned(), partition }
    }

    #[test]
    fn a_copy_is_missing_once_its_partition_was_read_past_the_grace() {
        let scratch = tempfile::tempdir().unwrap();
        let catalog = Catalog::default();
        // Whatever their order, what is in both is missing in none.
        let of = |name: &str, ids: &[&str]| served(&scratch.path().join(name), ids);
        let (short, long) = (of("short", &["e-1", "e-2"]), of("long", &["e-2", "e-3", "e-1"]));
        catalog.insert(shard(0), short.clone());
        catalog.insert(shard(1), long.clone());
        let (mut comparison, begun) = (AppCopies::default(), Instant::now());
        let mut missing = |after_s: u64| {
            comparison.compare(&catalog, begun + Duration::from_secs(after_s), Duration::from_secs(10));
            let of = |served: &Served| served.status.freshness().missing_app_events;
            assert_eq!(of(&long), 0);
            of(&short)
        };
        assert_eq!((missing(0), missing(9)), (0, 0), "the producer may still send it");
        short.status.update(|now| now.lag_events = Some(3));
        assert_eq!(missing(20), 0, "it may be among those");
        short.status.update(|now| now.phase = Phase::CatchingUp);
        assert_eq!(missing(100), 0, "it is not compared while it reads");
        short.status.update(|now| (now.phase, now.lag_events) = (Phase::Live, Some(0)));
        assert_eq!((missing(101), missing(112)), (0, 1), "from when it is live");
        let reported = short.status.freshness().missing_copies.unwrap();
        assert!(reported.message.starts_with("1 app-level events are in other partitions"), "{reported:?}");
        let healed = of("healed", &["e-1", "e-2", "e-3"]);
        catalog.insert(shard(0), Served { status: Arc::clone(&short.status), ..healed });
        assert_eq!(missing(113), 0);
        assert_eq!(short.status.freshness().missing_copies, None);
    }
}
