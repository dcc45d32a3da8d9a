//! Sampled checks of a running ledger (I-1): a tenant at a time is folded from zero beside the live state and
//! compared byte for byte.
//!
//! Each check takes the tenant of a random record of the next shard, so keys of any shape come up, those with
//! more records more often. The rate is bounded twice: by the setting, and by leaving a core alone for nineteen
//! times as long as a check took, so that a tenant with a long history does not matter. What differs is logged
//! as an error, counted once, and shown by `/readyz`; nothing is mended here, that is what `rebuild` is for.
//!
//! Both counters are there from the first check on: Prometheus sees no increase in a counter that begins at 1.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::ids::ClientKey;
use ledger_record::record::Stream;
use ledger_store::{Catalog, ReadError, Reader, Served, ShardId};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tracing::{debug, error};

use crate::background::Background;

const CHECKED: &str = "realm_ledger_checked_tenants_total";
const MISMATCHED: &str = "realm_ledger_mismatched_tenants_total";
const MISMATCHED_NOW: &str = "realm_ledger_mismatched_tenants";

/// Rest after a check, in times of what it took.
const REST: u32 = 19;

/// Records looked at for one that is a tenant's; the others are seals, refusals and events of whole apps.
const DRAWS: u32 = 16;

/// Tenants remembered as reported. Beyond that no count matters: something is wrong with all.
const REPORTED_AT_MOST: usize = 1000;

/// Describes each metric to the exporter; once, at start.
pub(crate) fn describe() {
    describe_counter!(CHECKED, "Tenants folded from zero beside their state, by shard.");
    describe_counter!(MISMATCHED, "Those whose state was not the fold of their log, by shard: act now.");
    describe_gauge!(
        MISMATCHED_NOW,
        "The same since the shard was opened, by shard; 0 as long as all is well."
    );
}

/// Compares a tenant's state with its log: a parameter, so that a test can make it fail.
type IsFold = fn(&Reader, &ClientKey) -> Result<bool, ReadError>;

/// Checks so many tenants a minute, of whichever shards there are; none for 0.
pub(crate) fn start(catalog: Arc<Catalog>, tenants_per_minute: u32) -> io::Result<Option<Background>> {
    start_with(catalog, tenants_per_minute, Reader::check_tenant)
}

fn start_with(
    catalog: Arc<Catalog>,
    tenants_per_minute: u32,
    is_fold: IsFold,
) -> io::Result<Option<Background>> {
    let Some(pause) = Duration::from_mins(1).checked_div(tenants_per_minute) else { return Ok(None) };
    let mut checks = Checks { random: RandomState::new(), reported: BTreeSet::new(), is_fold };
    let mut round = 0_usize;
    let check = move || {
        let shards = catalog.all();
        let Some((shard, served)) = shards.get(round % shards.len().max(1)) else { return pause };
        let begun = Instant::now();
        checks.check(shard, served, round);
        round = round.wrapping_add(1);
        pause.max(begun.elapsed() * REST)
    };
    Background::start("sampling", pause, check).map(Some)
}

struct Checks {
    random: RandomState,
    /// The tenants that are counted already: one that stays wrong counts once.
    reported: BTreeSet<(ShardId, ClientKey)>,
    is_fold: IsFold,
}

impl Checks {
    /// Checks one tenant of a shard.
    fn check(&mut self, shard: &ShardId, served: &Served, round: usize) {
        let checked = self.any_tenant(&served.reader, round).and_then(|tenant| {
            tenant.map(|client| Ok(((self.is_fold)(&served.reader, &client)?, client))).transpose()
        });
        let label = shard.to_string();
        counter!(CHECKED, "shard" => label.clone()).increment(u64::from(matches!(checked, Ok(Some(_)))));
        let mismatched = match checked {
            Ok(None) => false,
            Ok(Some((true, client))) => {
                debug!(%shard, %client, "checked: the state is the fold of the log");
                false
            }
            Ok(Some((false, client))) => {
                error!(
                    %shard, %client,
                    "the state of this tenant is not the fold of its log: stop, run `rebuild`, and find out why"
                );
                self.reported.len() < REPORTED_AT_MOST && self.reported.insert((shard.clone(), client))
            }
            Err(failed) => {
                error!(%shard, error = %failed, "a tenant could not be checked: see to the disk");
                false
            }
        };
        counter!(MISMATCHED, "shard" => label.clone()).increment(u64::from(mismatched));
        served.status.update(|now| now.mismatched_tenants += u64::from(mismatched));
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        gauge!(MISMATCHED_NOW, "shard" => label).set(served.status.freshness().mismatched_tenants as f64);
    }

    /// The tenant of a random record; none where no drawn record is of a tenant.
    fn any_tenant(&self, reader: &Reader, round: usize) -> Result<Option<ClientKey>, ReadError> {
        let snapshot = reader.snapshot();
        let next_position = snapshot.head()?.next_position;
        for draw in 0..DRAWS {
            let drawn = self.random.hash_one((round, draw));
            let Some(position) = drawn.checked_rem(next_position) else { return Ok(None) };
            if let Some(Stream::Tenant(client)) = snapshot.record_at(position)?.map(|record| record.stream) {
                return Ok(Some(client));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use ledger_ingest::import::{ImportOptions, import};
    use ledger_ingest::placing::Placement;
    use ledger_ingest::text::Lines;
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{DataDir, ShardStatus, StoreOptions};

    use super::*;
    use crate::telemetry;

    const TENANTS: u32 = 50;

    /// Tenants of one shard, among refusals and events of a whole app.
    fn served(directory: &std::path::Path, topic: &str) -> (ShardId, Served) {
        let data =
            DataDir::open(directory, StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap();
        let lines = |number: u32| {
            format!(
                "{{\"id\":\"1\",\"type\":\"enabled\",\"time\":\"2026-01-01T00:00:00Z\",\
                 \"clientKey\":\"jira:{number:08x}-1f2e-4c55\",\"appKey\":\"a\"}}\n\
                 {{\"id\":\"{number}\",\"type\":\"policy-set\",\"time\":\"2026-01-01T00:00:00Z\",\
                 \"appKey\":\"a\",\"policy\":{{\"mode\":\"off\"}}}}\n\
                 {{\"id\":\"1\",\"type\":\"enabbled\"}}\n"
            )
        };
        let lines: String = (0..TENANTS).map(lines).collect();
        let options = ImportOptions {
            source: "test".to_owned(),
            topic: topic.to_owned(),
            partitions: Some(1),
            placing: Placement::default(),
            now: crate::command::now(),
            accept_refusals: true,
        };
        import(&data, Lines::new(lines.as_bytes()), &options).unwrap();
        let shard = ShardId { topic: topic.to_owned(), partition: 0 };
        let reader = data.read_shard(&shard).unwrap();
        (shard, Served { reader, status: Arc::new(ShardStatus::default()) })
    }

    /// What a metric of a shard says; none if it is not there.
    fn metric(name: &str, shard: &ShardId) -> Option<u64> {
        let rendered = telemetry::start_metrics().unwrap().render();
        let named = format!("{name}{{shard=\"{shard}\"}} ");
        rendered.lines().find_map(|line| line.strip_prefix(&named)?.parse().ok())
    }

    /// Waits until something is so.
    fn wait_for(is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(20), "not within twenty seconds");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn every_tenant_comes_up_whatever_the_keys_look_like() {
        let directory = tempfile::tempdir().unwrap();
        let (_, served) = served(directory.path(), "every");
        let is_fold: IsFold = Reader::check_tenant;
        let checks = Checks { random: RandomState::new(), reported: BTreeSet::new(), is_fold };
        // A tenant is missed by so many draws of fifty once in 10^15 runs.
        let seen: BTreeSet<ClientKey> =
            (0..2000).filter_map(|round| checks.any_tenant(&served.reader, round).unwrap()).collect();
        assert_eq!(seen.len(), 50);
    }

    #[test]
    fn checks_go_on_and_are_counted_until_they_are_stopped() {
        let _metrics = telemetry::start_metrics().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (shard, served) = served(directory.path(), "right");
        let catalog = Arc::new(Catalog::default());
        catalog.insert(shard.clone(), served);
        assert!(start(Arc::clone(&catalog), 0).unwrap().is_none());
        let sampling = start(Arc::clone(&catalog), 60_000).unwrap().unwrap();
        wait_for(|| metric(CHECKED, &shard).is_some_and(|checked| checked > 10));
        assert!(!sampling.is_finished());
        sampling.stop();
        assert_eq!(metric(MISMATCHED, &shard), Some(0), "there before anything is wrong");
        assert_eq!(metric(MISMATCHED_NOW, &shard), Some(0));
    }

    #[test]
    fn a_tenant_whose_state_is_no_fold_is_reported_once() {
        let _metrics = telemetry::start_metrics().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (shard, served) = served(directory.path(), "wrong");
        let catalog = Arc::new(Catalog::default());
        catalog.insert(shard.clone(), served.clone());
        let wrong: IsFold =
            |reader, client| Ok(!client.as_str().contains("00000007") && reader.check_tenant(client)?);
        let sampling = start_with(Arc::clone(&catalog), 600_000, wrong).unwrap().unwrap();
        wait_for(|| metric(MISMATCHED, &shard).is_some_and(|count| count > 0));
        let checked = metric(CHECKED, &shard).unwrap();
        wait_for(|| metric(CHECKED, &shard).unwrap() > checked + 300);
        sampling.stop();
        assert_eq!((metric(MISMATCHED, &shard), metric(MISMATCHED_NOW, &shard)), (Some(1), Some(1)));
        assert_eq!(served.status.freshness().mismatched_tenants, 1);
    }
}
