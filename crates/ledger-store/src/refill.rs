//! A new data directory out of the records of an old one: each tenant whole in the partition that its producer uses.
//!
//! Tenants are torn between shards when an import places keys by one partitioner and the live producer by another. A
//! refill puts them together. It serves any other change of the partitioner too.
//!
//! ```text
//!   old shards, read only                                                 new shards
//!   0  records by position ─┐                                          ┌─► 0  tenants placed here · apps · refused of 0
//!   1  records by position ─┼─► order: recorded time, partition ─► place ─┼─► 1
//!   …  repeats, gaps       ─┘                                          └─► …  names of the logs before, accounts
//! ```
//!
//! # What goes where
//!
//! | of the old shard p | goes |
//! | --- | --- |
//! | a tenant's record | where `place` says, with its recorded time and coordinates; its outcome is derived anew |
//! | a record of an app | to p, as every old shard has it already; to those that lack it, too |
//! | a refused message | to p, with its reason and recorded time |
//! | a repeat | to the shard of its original, and is counted there |
//! | an event that another half of its tenant has too | counted as a repeat; with other content refused as `event-id-conflict` |
//! | empty offsets, where the source is read next, late beginnings | to p |
//! | seals, corrections | nowhere: they are derived anew |
//! | the publisher's cursor | to the first new record that the old shard had not published |
//!
//! # Order
//!
//! The records of each old shard keep their order. The refill merges the shards by recorded time, then by partition
//! ([`order`]). The order depends on the old records alone, so the same old records always make the same new directory.
//! A refused message follows the event before it, whatever its own time is. Each new shard has the messages of a
//! partition in the order of their offsets, also when the old directory was refilled itself.
//!
//! # Offsets (I-4)
//!
//! Shard p reads partition p of the topic on from the offset that the old shard p had reached. The offsets before it are
//! spread over the new shards. Each shard keeps an account of those that it has, per partition of a source
//! ([`SourcePosition::Carried`]); [`check_spread`] checks that all shards together have each offset
//! once.
//!
//! # Succession
//!
//! The new logs have another origin than the old ones. The first records of each new log name all old logs, with size
//! and root at the last seal ([`Content::Succession`]). The holder of an old
//! checkpoint finds there which log took its place.
//!
//! # Life
//!
//! The old shards are verified first, so that no false record is carried over. The new directory is
//! [begun](DataDir::begin_refill); no other opening succeeds before it is [finished](DataDir::finish). At the end the
//! refill compares the old shards with what it read: a server that still writes to them must be stopped first. Then the
//! new shards are verified as the old ones were, so that no directory is called whole that is not valid.

mod old;
mod order;
mod placed;
mod target;

use std::collections::BTreeMap;

use ledger_core::ids::ClientKey;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::{Content, PriorLog, Stream};
use ledger_record::rows::SourcePosition;
use old::{Lane, OldShard, lanes_of};
use order::{RecordMerge, Repeats};
use target::Targets;

use crate::check::verify::{SpreadFault, VerifiedShard, VerifyError, check_spread};
use crate::data_dir::DataDir;
use crate::error::{AppendError, BindError, OpenError, ReadError};
use crate::read::reader::Reader;
use crate::read::snapshot::Snapshot;
use crate::source::ShardId;

pub use placed::PlacedKeys;

/// A topic whose shards are made anew.
#[derive(Clone, Copy)]
pub struct RefillPlan<'a> {
    /// The topic.
    pub topic: &'a str,
    /// What the origins of the old logs begin with.
    pub log_name: &'a str,
    /// The partition that a tenant's producer uses.
    pub place: &'a dyn Fn(&ClientKey) -> u32,
    /// The secret of the old directory.
    pub secret: &'a LedgerSecret,
    /// The checkpoints of an old log that were signed.
    pub signed: &'a dyn Fn(&ShardId) -> Vec<Checkpoint>,
}

impl std::fmt::Debug for RefillPlan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, log_name, .. } = self;
        f.debug_struct("RefillPlan").field("topic", topic).field("log_name", log_name).finish_non_exhaustive()
    }
}

/// The old records are checked, then carried over; then what became of them is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefillStage {
    /// The old shards are verified.
    Checking,
    /// Their records are carried over.
    Carrying,
    /// The new shards are verified.
    CheckingNew,
}

/// What a refill did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefillReport {
    /// Events and refused messages that were carried over.
    pub records: u64,
    /// Tenants that more than one old shard had.
    pub torn: u64,
    /// Tenants that lie in another partition than before.
    pub moved: u64,
    /// Repeats that were known.
    pub repeats: u64,
    /// Events that two halves of a tenant had.
    pub merged: u64,
    /// Events that two halves of a tenant had, with other content: refused now.
    pub conflicts: u64,
    /// Events of apps that a shard lacked.
    pub copied: u64,
    /// The logs before.
    pub predecessors: Vec<PriorLog>,
}

/// The refill failed; the new directory stays unfinished.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// The old directory has no such topic.
    #[error("the old data directory knows no topic {topic}")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// An old shard is not true.
    #[error("the old shard {shard} is not as it must be, so nothing of it is carried over")]
    Verify {
        /// The shard.
        shard: ShardId,
        /// What is wrong.
        #[source]
        source: VerifyError,
    },
    /// The old shards together are not true.
    #[error("the old shards together are not as they must be, so nothing of them is carried over")]
    Spread(#[from] SpreadFault),
    /// A new shard did not become true: a fault of this program.
    #[error("the new shard {shard} did not become what it must be, so the new directory stays unfinished")]
    Made {
        /// The shard.
        shard: ShardId,
        /// What is wrong.
        #[source]
        source: VerifyError,
    },
    /// The new shards together did not become true: a fault of this program.
    #[error(
        "the new shards together did not become what they must be, so the new directory stays unfinished"
    )]
    MadeSpread(#[source] SpreadFault),
    /// An import did not come to its end.
    #[error(
        "{source_name} was imported up to line {one} in one shard and {other} in another; import the same file into the \
         old data directory once more, to its end"
    )]
    HalfImported {
        /// The source.
        source_name: String,
        /// Lines of one shard.
        one: u64,
        /// Lines of another one.
        other: u64,
    },
    /// A shard is gone.
    #[error(
        "the old data directory lacks the shard {shard}, which has been read; restore it, or let `serve` fill it"
    )]
    Gone {
        /// The shard.
        shard: ShardId,
    },
    /// A server still writes to the old directory.
    #[error(
        "the old shard {shard} has grown meanwhile: stop its server, then run `refill` again, which starts over"
    )]
    Grown {
        /// The shard.
        shard: ShardId,
    },
    /// A shard cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The topic cannot be taken in.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A shard cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A shard cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Fills the shards of a topic. `new` was [begun](DataDir::begin_refill) and is not finished here, as there may be other
/// topics.
pub fn refill(
    old: &DataDir,
    new: &DataDir,
    refill: &RefillPlan<'_>,
    progress: &mut dyn FnMut(RefillStage, u64, u64),
) -> Result<RefillReport, RefillError> {
    let topic = refill.topic.to_owned();
    let identity = old.identity(&topic)?.ok_or_else(|| RefillError::NoTopic { topic: topic.clone() })?;
    let ids = (0..identity.partitions).map(|partition| ShardId { topic: topic.clone(), partition });
    // One that was begun and is gone is among them, and does not open.
    let begun = old.shards()?;
    let (there, missing): (Vec<ShardId>, Vec<ShardId>) = ids.partition(|id| begun.contains(id));
    let readers: Vec<Reader> = there.iter().map(|id| old.read_shard(id)).collect::<Result<_, _>>()?;
    let snapshots: Vec<Snapshot<'_>> = readers.iter().map(Reader::snapshot).collect();
    let verified = verify(&readers, &snapshots, refill, &missing, progress)?;

    let shards = readers.iter().zip(&snapshots).zip(&verified);
    let shards = shards.map(|((reader, snapshot), verified)| OldShard::open(reader, snapshot, verified));
    let mut shards: Vec<OldShard<'_>> = shards.collect::<Result<_, _>>()?;
    let lanes = lanes_of(&shards, identity.partitions)?;
    new.bind(&topic, &identity)?;
    let predecessors = old::predecessors(&shards, refill.log_name)?;
    let mut targets = Targets::open(new, &topic, identity.partitions, &predecessors)?;
    let predecessors = predecessors.into_iter().map(|(before, _)| before).collect();
    let mut report = RefillReport { predecessors, ..RefillReport::default() };
    (report.torn, report.moved) = old::count_tenants(&snapshots, &readers, refill.place)?;
    carry(&mut shards, &lanes, &mut targets, refill, &mut report, progress)?;
    targets.finish(&shards, &lanes)?;
    readers.iter().zip(&snapshots).try_for_each(|(reader, snapshot)| check_at_rest(old, reader, snapshot))?;
    if let Some(secret) = new.ledger_secret() {
        targets.check(secret, &mut |done, total| progress(RefillStage::CheckingNew, done, total))?;
    }
    // A partition that was left half-read is so still.
    for reader in &readers {
        if old.is_behind(reader)? {
            new.note_read_to(reader.shard(), None)?;
        }
    }
    targets.add_to(&mut report);
    Ok(report)
}

/// Everything is checked before anything is carried over.
fn verify(
    readers: &[Reader],
    snapshots: &[Snapshot<'_>],
    refill: &RefillPlan<'_>,
    missing: &[ShardId],
    progress: &mut dyn FnMut(RefillStage, u64, u64),
) -> Result<Vec<VerifiedShard>, RefillError> {
    let mut report = |done, total| progress(RefillStage::Checking, done, total);
    let wrong = |shard, source| RefillError::Verify { shard, source };
    let all = verify_each(readers, snapshots, refill.secret, refill.signed, wrong, &mut report)?;
    if missing.is_empty() {
        check_spread(&all)?;
    }
    let was_signed = |shard: &&ShardId| (refill.signed)(shard).iter().any(|checkpoint| checkpoint.size > 0);
    // A refill makes them all.
    let were_all_made = all.iter().any(|shard| !shard.predecessors.is_empty());
    match missing.iter().find(|shard| were_all_made || was_signed(shard)) {
        Some(shard) => Err(RefillError::Gone { shard: shard.clone() }),
        None => Ok(all),
    }
}

/// Verifies shards, the old ones or the new.
fn verify_each(
    readers: &[Reader],
    snapshots: &[Snapshot<'_>],
    secret: &LedgerSecret,
    signed: &dyn Fn(&ShardId) -> Vec<Checkpoint>,
    wrong: impl Fn(ShardId, VerifyError) -> RefillError,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<VerifiedShard>, RefillError> {
    let shards = readers.iter().map(Reader::shard).zip(snapshots);
    let verified = shards.map(|(shard, snapshot)| {
        snapshot.verify(secret, &signed(shard), progress).map_err(|source| wrong(shard.clone(), source))
    });
    verified.collect()
}

/// All records, in order, each to its shard.
fn carry(
    shards: &mut [OldShard<'_>],
    lanes: &BTreeMap<Lane, SourcePosition>,
    targets: &mut Targets,
    refill: &RefillPlan<'_>,
    report: &mut RefillReport,
    progress: &mut dyn FnMut(RefillStage, u64, u64),
) -> Result<(), RefillError> {
    let total = shards.iter().map(OldShard::size).sum();
    let copies = order::missing_copies(shards, targets.count())?;
    let mut repeats = Repeats::new(shards)?;
    let mut merge = RecordMerge::new(shards, lanes)?;
    let mut done = 0;
    while let Some(index) = merge.next(shards) {
        let Some(record) = shards[index].take()? else { break };
        let (own, is_published) = (shards[index].partition(), shards[index].is_published(record.position));
        let lane = Lane::from_coordinates(&record.source);
        repeats.before(&lane, record.source.offset, shards, refill.place, targets)?;
        match (&record.content, &record.stream) {
            (Content::Event { .. }, Stream::Tenant(client)) => {
                targets.push((refill.place)(client), target::CarriedRecord::new(record, is_published));
            }
            (Content::Event { .. }, Stream::App(_)) => {
                for lacking in copies.get(&(index, record.position)).into_iter().flatten() {
                    targets.push(*lacking, target::CarriedRecord::new(record.clone(), is_published));
                    report.copied += 1;
                }
                targets.push(own, target::CarriedRecord::new(record, is_published));
            }
            _ => targets.push(own, target::CarriedRecord::new(record, is_published)),
        }
        report.records += 1;
        targets.write_if_full()?;
        let gone: u64 = shards.iter().map(OldShard::passed).sum();
        if gone >= done + PROGRESS_STEP {
            done = gone;
            progress(RefillStage::Carrying, done, total);
        }
    }
    repeats.rest(shards, refill.place, targets)?;
    targets.write()?;
    progress(RefillStage::Carrying, total, total);
    Ok(())
}

/// So many records between two reports of progress.
const PROGRESS_STEP: u64 = 1_000;

/// Fails when the old shard has grown since it was read.
fn check_at_rest(old: &DataDir, reader: &Reader, snapshot: &Snapshot<'_>) -> Result<(), RefillError> {
    let now = old.read_shard(reader.shard())?;
    let now = now.snapshot();
    if now.head()? == snapshot.head()? && now.source_positions()? == snapshot.source_positions()? {
        return Ok(());
    }
    Err(RefillError::Grown { shard: reader.shard().clone() })
}
