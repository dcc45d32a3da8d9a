//! Sampled checks of a running ledger (I-1): a tenant at a time is folded from zero beside the live state and
//! compared byte for byte.
//!
//! Each check begins at a random place among the tenants of the next shard. The rate is bounded twice: by the
//! setting, and by leaving a core alone for nineteen times as long as a check took, so that a tenant with a
//! long history does not matter. What differs is logged as an error, counted, and shown by `/readyz`; nothing
//! is mended here, that is what `rebuild` is for.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_core::ids::ClientKey;
use ledger_store::{Catalog, ReadError, Reader, Served, ShardId};
use metrics::{counter, describe_counter};
use tracing::{debug, error};

const CHECKED: &str = "realm_ledger_checked_tenants_total";
const MISMATCHED: &str = "realm_ledger_mismatched_tenants_total";

/// Rest after a check, in times of what it took.
const REST: u32 = 19;

/// Tells the exporter what each metric means; once, at start.
pub(crate) fn describe() {
    describe_counter!(CHECKED, "Tenants folded from zero beside their state, by shard.");
    describe_counter!(MISMATCHED, "Those whose state was not the fold of their log, by shard: act now.");
}

/// Checks that go on until they are stopped.
pub(crate) struct Sampling {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sampling {
    /// So many tenants a minute, of whichever shards there are; none for 0.
    pub(crate) fn start(catalog: Arc<Catalog>, tenants_per_minute: u32) -> std::io::Result<Option<Self>> {
        let Some(pause) = Duration::from_mins(1).checked_div(tenants_per_minute) else { return Ok(None) };
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sampling".to_owned())
            .spawn(move || run(&catalog, pause, &stopped))?;
        Ok(Some(Self { stop, thread }))
    }

    /// Whether it ended by itself, which it never should.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends with the check that is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            error!("the sampled checks had panicked: a mistake of the program, report it");
        }
    }
}

fn run(catalog: &Catalog, pause: Duration, stopped: &Receiver<()>) {
    let (random, mut round, mut wait) = (RandomState::new(), 0_usize, pause);
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = pause;
        let shards = catalog.all();
        let Some((shard, served)) = shards.get(round % shards.len().max(1)) else { continue };
        let begun = Instant::now();
        check(shard, served, random.hash_one(round), Reader::check_tenant);
        wait = pause.max(begun.elapsed() * REST);
        round = round.wrapping_add(1);
    }
}

/// Checks one tenant of a shard. What compares it is handed in, so that it can be seen to fail.
fn check(
    shard: &ShardId,
    served: &Served,
    random: u64,
    is_fold: impl Fn(&Reader, &ClientKey) -> Result<bool, ReadError>,
) {
    let checked = any_tenant(&served.reader, random)
        .and_then(|tenant| tenant.map(|client| Ok((is_fold(&served.reader, &client)?, client))).transpose());
    let label = shard.to_string();
    match checked {
        Ok(None) => {}
        Ok(Some((same, client))) => {
            counter!(CHECKED, "shard" => label.clone()).increment(1);
            if same {
                debug!(%shard, %client, "checked: the state is the fold of the log");
                return;
            }
            counter!(MISMATCHED, "shard" => label).increment(1);
            served.status.update(|now| now.mismatched_tenants += 1);
            error!(
                %shard, %client,
                "the state of this tenant is not the fold of its log: stop, run `rebuild`, and find out why"
            );
        }
        Err(failed) => error!(%shard, error = %failed, "a tenant could not be checked: see to the disk"),
    }
}

/// The first tenant at or behind a random key; keys are names and hexadecimal numbers for the most part.
fn any_tenant(reader: &Reader, random: u64) -> Result<Option<ClientKey>, ReadError> {
    const SIGNS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let start: String = (0..6)
        .scan(random, |rest, _| {
            let sign = SIGNS[usize::try_from(*rest % 36).unwrap_or_default()];
            *rest /= 36;
            Some(char::from(sign))
        })
        .collect();
    let snapshot = reader.snapshot();
    let start = ClientKey::new(start).ok();
    for from in [start.as_ref(), None] {
        if let Some(found) = snapshot.tenants(from)?.next() {
            return found.map(|(client, _)| Some(client));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use ledger_ingest::import::{ImportOptions, import};
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{DataDir, ShardStatus, StoreOptions};

    use super::*;

    /// Three tenants in one shard.
    fn served(directory: &std::path::Path) -> (ShardId, Served) {
        let data =
            DataDir::open(directory, StoreOptions::default(), LedgerSecret::from_bytes([7; 32])).unwrap();
        let line = |client| {
            format!(
                r#"{{"id":"1","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"{client}","appKey":"a"}}"#
            )
        };
        let lines = ["acme", "m-1", "zeta"].map(line).join("\n") + "\n";
        let options = ImportOptions {
            source: "test".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(1),
            now: crate::command::now(),
        };
        import(&data, lines.as_bytes(), &options, &mut |_, _| {}).unwrap();
        let shard = ShardId { topic: "t".to_owned(), partition: 0 };
        let reader = data.read_shard(&shard).unwrap();
        (shard, Served { reader, status: Arc::new(ShardStatus::default()) })
    }

    #[test]
    fn every_tenant_comes_up_and_a_state_that_is_no_fold_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let (shard, served) = served(directory.path());
        let seen = RefCell::new(BTreeSet::new());
        let random = RandomState::new();
        for round in 0..200 {
            check(&shard, &served, random.hash_one(round), |reader, client| {
                seen.borrow_mut().insert(client.to_string());
                reader.check_tenant(client)
            });
        }
        assert_eq!(seen.into_inner().into_iter().collect::<Vec<_>>(), ["acme", "m-1", "zeta"]);
        assert_eq!(served.status.freshness().mismatched_tenants, 0);
        check(&shard, &served, 7, |_, _| Ok(false));
        assert_eq!(served.status.freshness().mismatched_tenants, 1);
    }

    #[test]
    fn checks_go_on_until_they_are_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let (shard, served) = served(directory.path());
        let catalog = Arc::new(Catalog::default());
        catalog.insert(shard, served);
        assert!(Sampling::start(Arc::clone(&catalog), 0).unwrap().is_none());
        let sampling = Sampling::start(Arc::clone(&catalog), 60_000).unwrap().unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(!sampling.is_finished());
        sampling.stop();
    }
}
