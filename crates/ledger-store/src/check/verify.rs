//! Everything of a shard, checked against everything else: what an operator does who trusts neither the disk
//! nor whoever had access to it. Nothing is written, and nothing is believed because it is stored.
//!
//! ```text
//! pass 1, by stream     a tenant's records and what was set for the apps, in order of arrival ─→ outcomes, corrections
//!                       = recorded ones; fold = stored state; record, realm, leaf before ─→ line ─→ leaf
//! pass 2, by position   leaf = stored leaf ─→ nodes of the tree = stored ones; root = the signed one
//!                       offsets: records, repeats and gaps of a source follow each other, and nothing is left out
//!          beside it    heads, seals, map (ledger_record::proof::log): what each seal says is true
//! then                  rows of the map ─→ root of the last seal; rows of the apps; what the shard says of itself
//! ```
//!
//! The log lies by stream, and that is how it is read: once, in chunks, on all cores. What the second pass needs of a
//! record is kept by position ([`mod@sweep`]), 72 bytes each; beyond 16 million records the two passes take turns, and the
//! log is read once for each 16 million. Every record has a position of its own and every position its record, so
//! nothing stands beside the log that was hashed.
//!
//! Ids and the index, which follow from the records alone, are read for their checksums; they are compared and mended
//! by [`crate::rebuild()`]. Which
//! record a repeat repeats, the source alone can tell; that it was one, and how many there were, is checked.

mod log;
mod map;
mod offsets;
mod spread;
mod sweep;
mod tenants;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::key::{self, Family};
use ledger_record::proof::line::{LedgerSecret, SealLeaf};
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::{Hash, log as whole};
use ledger_record::record::{PriorLog, RULES, Record};
use ledger_record::rows::SourcePosition;

use crate::check::verify::log::LogPass;
use crate::check::verify::offsets::{Accounted, Sources};
use crate::check::verify::sweep::{Table, sweep};
use crate::db::options::VERIFY_RECORDS_AT_A_TIME;
use crate::db::placed::placed_size;
use crate::db::scan::everything;
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;
use crate::source::ShardId;

pub use self::spread::SpreadFault;
pub use self::spread::SpreadOffsets;
pub use self::spread::check_spread;

/// How often progress is told while the first pass is waited for.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(20);

/// What was found true.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedShard {
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
    /// What this shard has of what is spread over the shards, by name: imported files, and what a refill carried
    /// over. For [`check_spread`].
    pub spread: Vec<(String, SpreadOffsets)>,
    /// The logs that this one takes the place of.
    pub predecessors: Vec<PriorLog>,
}

/// The first thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardFault {
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
        fault: whole::LogFault,
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
    /// An outcome of an app-level event.
    #[error("record {seq} of the app {app}: the outcome that is stored does not follow from the records")]
    AppOutcome {
        /// Whose.
        app: AppKey,
        /// Its seq.
        seq: u64,
    },
    /// The row of an app.
    #[error("the stored row of the app {0} does not follow from the records")]
    App(AppKey),
    /// Repeats in a seal.
    #[error("the seal at position {position} says of repeats what the stored ones do not")]
    Repeats {
        /// Its position.
        position: u64,
    },
    /// The recorded time that the next event has at the earliest.
    #[error("the last recorded time that is stored is not that of the last event")]
    LastRecorded,
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
    Differs(#[from] ShardFault),
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

impl VerifyError {
    /// Whether something is not as it was written, rather than not to be read for now.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Differs(_) | Self::Read(ReadError::Damaged(_)) => true,
            Self::Read(ReadError::Storage(error)) => error.is_damage(),
            Self::UnknownRules { .. } => false,
        }
    }
}

impl Snapshot<'_> {
    /// Checks everything. `signed` are checkpoints that were signed, kept elsewhere; `progress` hears of
    /// steps done and in total.
    pub fn verify(
        &self,
        secret: &LedgerSecret,
        signed: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<VerifiedShard, VerifyError> {
        let size = self.size()?;
        let windows = size.div_ceil(VERIFY_RECORDS_AT_A_TIME).max(1);
        let (done, total) = (AtomicU64::new(0), windows.saturating_add(1).saturating_mul(size));
        let (waiting, is_checked) = (thread::current(), AtomicBool::new(false));
        let verified = thread::scope(|scope| {
            let checking = scope.spawn(|| {
                let verified = self.verify_log(secret, signed, &done);
                is_checked.store(true, Ordering::Release);
                waiting.unpark();
                verified
            });
            // One that panics is finished, but has not said so.
            while !is_checked.load(Ordering::Acquire) && !checking.is_finished() {
                thread::park_timeout(PROGRESS_INTERVAL);
                progress(done.load(Ordering::Relaxed).min(total), total);
            }
            joined(checking)
        })?;
        progress(total, total);
        Ok(verified)
    }

    fn verify_log(
        &self,
        secret: &LedgerSecret,
        signed: &[Checkpoint],
        done: &AtomicU64,
    ) -> Result<VerifiedShard, VerifyError> {
        let (head, size) = (self.head()?, self.size()?);
        count("records", size, head.next_position)?;
        let sources = Sources::read(self)?;
        let mut pass = LogPass::new(self, secret, signed, &sources)?;
        let mut first = 0;
        let mut found = loop {
            let window = first..size.min(first + VERIFY_RECORDS_AT_A_TIME);
            first = window.end;
            let (table, found) = sweep(self, secret, &sources, Table::new(size, window), done)?;
            pass.check(&table, done)?;
            if first >= size {
                break found;
            }
        };
        let (tree, sealing, Accounted { repeats: duplicates, spread }) = pass.finish()?;
        count("refused messages", found.refused, head.refused)?;
        count("repeats", duplicates, head.duplicates)?;
        count("milliseconds an event was ahead", found.ahead_ms, head.ahead_ms.unsigned_abs())?;
        if found.recorded.max(self.carried_floor()?) != head.recorded {
            return Err(ShardFault::LastRecorded.into());
        }
        let (map_root, streams) =
            sealing.last().map_or((Hash::ZERO, 0), |seal| (seal.map_root, seal.streams));
        if !self.map_is(map_root, streams)? {
            return Err(ShardFault::Map.into());
        }
        // What is wrong with the log is told first, then what is wrong with a tenant.
        found.fault().map_or(Ok(()), Err)?;
        count("corrections by app-level events", self.count_rows(Family::Corrections)?, found.corrections)?;
        // Nothing else reads them here, and their blocks have checksums as well.
        for family in [Family::Ids, Family::Index] {
            self.count_rows(family)?;
        }
        Ok(VerifiedShard {
            size: tree.size(),
            root: tree.root(),
            seal: sealing.last().cloned(),
            seals: sealing.count(),
            tenants: found.tenants,
            refused: found.refused,
            duplicates,
            late_beginnings: self.late_beginnings()?,
            spread,
            predecessors: found.predecessors,
        })
    }

    /// How many positions there are. The head may say what it likes.
    fn size(&self) -> Result<u64, ReadError> {
        placed_size(self.database, Family::Positions, self.options())
    }

    /// The recorded time that a refill kept for what the shard reads next.
    fn carried_floor(&self) -> Result<Option<Timestamp>, ReadError> {
        let ShardId { topic, partition } = self.database().id();
        let own = key::side::carried(topic, *partition);
        Ok(self.source_positions()?.into_iter().find_map(|(name, position)| match position {
            SourcePosition::Carried { recorded, .. } if name == own => recorded,
            _ => None,
        }))
    }

    fn count_rows(&self, family: Family) -> Result<u64, ReadError> {
        let mut scan = self.database.scan(family, everything(), self.sweeping())?;
        let mut rows = 0;
        while scan.step()?.is_some() {
            rows += 1;
        }
        Ok(rows)
    }
}

/// What a thread came to; its panic is ours.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn count(what: &'static str, found: u64, counted: u64) -> Result<(), ShardFault> {
    if found == counted { Ok(()) } else { Err(ShardFault::Count { what, found, counted }) }
}

/// What other rules derived cannot be derived here.
const fn check_rules(record: &Record) -> Result<(), VerifyError> {
    match record.rules {
        RULES => Ok(()),
        rules => Err(VerifyError::UnknownRules { position: record.position, rules }),
    }
}
