//! Everything of a shard, checked against everything else: what an operator does who trusts neither the disk
//! nor whoever had access to it. Nothing is written, and nothing is believed because it is stored.
//!
//! ```text
//! pass 1, by position   record ─→ line ─→ its hash = stored leaf ─→ chain, map, seals (ledger_record::proof::log)
//!                                            └─→ nodes of the tree = stored ones; root = the signed one
//!                       offsets: records, repeats and gaps of a source follow each other, and nothing is left out
//!                       rows of the map ─→ root of the last seal
//! pass 2, by tenant     records and what was set for the apps, in order of arrival ─→ outcomes, pinned realms,
//!                       corrections = recorded ones; fold = stored state
//! ```
//!
//! The passes run side by side. The first keeps the head of every stream in memory, the second one tenant and
//! all app-level events. Ids and the index, which follow from the records alone, are compared and mended by
//! [`crate::rebuild()`].

mod log;
mod map;
mod offsets;
mod tenants;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ledger_core::ids::ClientKey;
use ledger_record::proof::line::{LedgerSecret, SealLeaf};
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::{Hash, log as whole};
use ledger_record::record::{RULES, Record};

use crate::error::ReadError;
use crate::snapshot::Snapshot;

/// How often progress is told while the first pass is waited for.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(20);

/// What was found true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many leaves the log has, and their root.
    pub size: u64,
    /// The root.
    pub root: Hash,
    /// The last seal, if there is one.
    pub seal: Option<SealLeaf>,
    /// How many seals.
    pub seals: u64,
    /// Tenants, whose states are the fold of their records.
    pub tenants: u64,
    /// Refused messages.
    pub refused: u64,
    /// Repeated messages.
    pub duplicates: u64,
    /// Sources that had lost what came before this offset when they were first read: an accepted loss.
    pub late_beginnings: Vec<(String, u64)>,
}

/// The first thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A record was changed after it was hashed, or its leaf.
    #[error("the record at position {position} is not the one that was hashed into the log")]
    Leaf {
        /// Its position.
        position: u64,
    },
    /// The log contradicts itself.
    #[error("the leaf at position {position}")]
    Log {
        /// Its position.
        position: u64,
        /// In what.
        #[source]
        fault: whole::Fault,
    },
    /// A stored hash of the tree.
    #[error("the stored node {index} of level {level} is not the hash over the leaves below it")]
    Node {
        /// Its level.
        level: u8,
        /// Its index there.
        index: u64,
    },
    /// Stored rows of the map.
    #[error("the stored map is not the one that the last seal says")]
    Map,
    /// What was signed.
    #[error("the log is not the one whose checkpoint was signed at size {size}")]
    Signed {
        /// Of the checkpoint.
        size: u64,
    },
    /// The log is shorter than what was signed.
    #[error("a checkpoint was signed at size {size}, but the log has {found} leaves only")]
    Shorter {
        /// Of the checkpoint.
        size: u64,
        /// Of the log.
        found: u64,
    },
    /// A range of offsets.
    #[error(
        "offsets {from} to {until} (exclusive) of {source_name} are neither recorded, repeated nor empty"
    )]
    OffsetsMissing {
        /// The source.
        source_name: String,
        /// First.
        from: u64,
        /// First that is accounted for again.
        until: u64,
    },
    /// One offset twice.
    #[error("offset {offset} of {source_name} is accounted for twice, or was never read")]
    OffsetTwice {
        /// The source.
        source_name: String,
        /// Which.
        offset: u64,
    },
    /// Two counts of the same.
    #[error("{found} {what} are stored, but {counted} are counted")]
    Count {
        /// What.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many the shard says there are.
        counted: u64,
    },
    /// An outcome.
    #[error("record {seq} of {client}: the outcome that is stored does not follow from the records")]
    Outcome {
        /// Whose.
        client: ClientKey,
        /// Its seq.
        seq: u64,
    },
    /// The realm in a line.
    #[error("record {seq} of {client}: the realm in its line does not follow from the records")]
    Realm {
        /// Whose.
        client: ClientKey,
        /// Its seq.
        seq: u64,
    },
    /// What a late app-level event changed.
    #[error("the corrections of {client} by the app-level event at position {position} do not follow")]
    Corrections {
        /// Of the event.
        position: u64,
        /// Whose.
        client: ClientKey,
    },
    /// A state.
    #[error("the stored state of {0} is not the fold of its records")]
    State(ClientKey),
}

/// Why a shard is not found true.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something is not as it must be.
    #[error(transparent)]
    Differs(#[from] Fault),
    /// Something cannot be read; where it is damaged, that is a difference too.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Written by other rules.
    #[error("the record at position {position} was derived by rule set {rules}: use a newer program")]
    UnknownRules {
        /// Its position.
        position: u64,
        /// Which.
        rules: u16,
    },
}

impl Snapshot<'_> {
    /// Checks everything. `signed` are checkpoints that were signed, kept elsewhere; `progress` hears of
    /// steps done and in total.
    pub fn verify(
        &self,
        secret: &LedgerSecret,
        signed: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, VerifyError> {
        let total = 2 * self.head()?.next_position;
        let by_position = AtomicU64::new(0);
        let steps = || by_position.load(Ordering::Relaxed);
        let (waiting, is_checked) = (thread::current(), AtomicBool::new(false));
        let (log, tenants) = thread::scope(|scope| {
            let log = scope.spawn(|| {
                let tell = |done| by_position.store(done, Ordering::Relaxed);
                let log = self.verify_log(secret, signed, &tell);
                is_checked.store(true, Ordering::Release);
                waiting.unpark();
                log
            });
            let mut by_tenant = 0;
            let tenants = tenants::check(self, &mut |done| {
                by_tenant = done;
                progress(steps() + done, total);
            });
            // One that panics is finished, but has not said so.
            while !is_checked.load(Ordering::Acquire) && !log.is_finished() {
                thread::park_timeout(PROGRESS_INTERVAL);
                progress(steps() + by_tenant, total);
            }
            (log.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), tenants)
        });
        // What is wrong with the log is told first, whichever pass was quicker.
        let verified = Verified { tenants: 0, ..log? };
        let tenants = tenants?;
        progress(total, total);
        Ok(Verified { tenants, ..verified })
    }

    fn verify_log(
        &self,
        secret: &LedgerSecret,
        signed: &[Checkpoint],
        progress: &dyn Fn(u64),
    ) -> Result<Verified, VerifyError> {
        let log = log::check(self, secret, signed, progress)?;
        map::check(self, log.seal.as_ref())?;
        Ok(log)
    }
}

/// What other rules derived cannot be derived here.
const fn check_rules(record: &Record) -> Result<(), VerifyError> {
    match record.rules {
        RULES => Ok(()),
        rules => Err(VerifyError::UnknownRules { position: record.position, rules }),
    }
}
