//! Where the ledger is kept: shards in RocksDB, atomic append, reads, rebuild.
//!
//! A shard is the state of one Kafka partition, in a RocksDB of its own, so that one that breaks breaks no
//! other (I-9). What its bytes mean is said in `ledger-record`, what is true in `ledger-core`; here is what
//! is written together, what is read together, and what survives.
//!
//! # Who writes, who reads
//!
//! ```text
//! DataDir ── open_shard ──► Shard ── begin ──► Batch ── commit, submit ──► one synced WriteBatch
//!    │                        │                offer · refuse · tick · seal · gap · advance
//!    │                        └── reader ──► Reader ── snapshot ──► Snapshot     one moment of everything
//!    └── read_shard ──────────────────────────► Reader                           beside a running server
//! ```
//!
//! - A shard has **one writer**, [`Shard`], on one thread; RocksDB's lock keeps other processes out. It
//!   takes messages in the order of their source, in [`Batch`]es. A batch that is submitted is written on a
//!   thread of the shard's own while the next one is made (`write::pending_commit`).
//! - **Readers** are many, on any thread, and never wait for the writer: a [`Snapshot`] is one moment, and
//!   all answers from it agree with each other.
//! - The **publisher** follows the log with a cursor of its own ([`PublisherCursor`]). That, and which tenants other
//!   shards have too ([`TornTenants`]), is all that is written beside the batches.
//! - A **rebuild** ([`rebuild()`]) has the shard for itself.
//!
//! # Rooms
//!
//! Each imports only those before it: `source`, `files`, `error` (with the reasons to stop) ← `db` ← `read` ← `audit` ←
//! `write` ← `data_dir` ← `check`, `backup` ← `catalog` (what a process serves), `refill`.
//!
//! # Life of a shard
//!
//! Made under another name and renamed when its identity is durable → opened, its identity, format and
//! column families checked, the write-ahead log checked (`db::wal`) and replayed to its last whole batch, what an
//! unfinished rebuild left dropped → batches → closed by being dropped, with or without warning. There is no clean shutdown:
//! opening after a crash and after a normal end is the same. A failed write ends the writer ([`Poison`]):
//! readers go on with what is durable, and opening anew finds out what that is.
//!
//! # Invariants
//!
//! - **I-2 One write.** Records, positions, event ids, tenants, apps, index, corrections, repeats, gaps,
//!   counts, source positions, late beginnings and the audit trail of a batch go into one synced write.
//!   Nothing has to be brought up to date on opening; the timelines of the apps are read again from their
//!   streams.
//! - **I-5 Same messages, same bytes**, however they are cut into batches: see [`Batch`]. The format of the
//!   directory, the publisher's cursor and the number of rebuilds are a machine's own business.
//! - **I-6 Append-only.** Nothing in `log` is written twice, and no entry of `positions` changes once its row is begun. Rows of tenants, apps, ids and
//!   index are a function of the log, replaced as it grows, and can be built anew from it. A newer directory
//!   or shard is refused ([`OpenError::NewerFormat`]).
//! - **I-7 Durable before told.** [`Batch::commit`] and [`Shard::settle`] return, readers see, and waiters
//!   wake, once the write is synced.
//! - **I-8 Bounded.** Everything that could grow has a limit in [`StoreOptions`], but two: the apps of a
//!   shard, whose timelines are kept in memory, and the tenants that one late app-level event changes, as
//!   they are one write.
//!
//! # Layout of the log
//!
//! Records lie under `stream ‖ seq`, a position points to them (B). The other way round (C) was measured
//! against it with `benches/layout.rs`: records of 180 bytes, 20 a tenant, tenants at random, synced sorted
//! batches of 10,000. Single runs, one after the other, on two cores that others used too (load 6 to 10):
//! only factors mean anything, and of the rates of appending not even those.
//!
//! | | B, 2 million | C, 2 million | B, 10 million | C, 10 million |
//! | --- | --- | --- | --- | --- |
//! | append, events/s | 157,000 | 192,000 | 103,000 | 401,000 |
//! | CPU until settled, µs/event | 4.9 | 3.5 | 6.2 | 4.5 |
//! | on disk, bytes/event | 65 | 54 | 92 | 43 |
//! | all, by tenant, events/s | 757,000 | 86,000 | 622,000 | 24,000 |
//! | all, by position, events/s | 71,000 | 894,000 | 41,000 | 653,000 |
//! | one tenant of 20, µs | 41 | 241 | 91 | 1371 |
//!
//! (With 10 million, positions were still compressed with LZ4; with zstd they take 17 bytes/event less.)
//! C writes for a quarter less CPU, B reads a tenant 6 to 15 times faster and all tenants 9 to 26 times.
//! What reads by tenant decides: history, explanation, a refold, audit, what-if and rebuild do. By position
//! read the publisher and subscriptions, as a rule near the end.
//!
//! Without the audit trail the store took 10.8 µs CPU of the writer for an event (`benches/append.rs`: 200,000
//! events of 10,000 tenants at random in batches of 5,000, medians of three on cores that others used too). 4.6 of
//! them are for RocksDB to write the batch: its 4.7 entries and 690 bytes an event, of which the record is 220, the tenant's
//! row 270 and the rest positions, ids and index. The records alone cost 1.7. In batches of 500 it was 17.7 in
//! one run, and 4.6 for the records alone: a tenant's row is written for nearly every event, and a sync is
//! shared by fewer. Bursts of one tenant share the cost of its row.
//!
//! With the audit trail it is 14.7 and 15.9 µs (two runs of 300,000 events of 15,000 tenants, three and five pairs,
//! when the records alone cost the same 1.7): hashing, and the additional rows. It was 19.0 when the neighbours of a
//! stream in the map were sought in RocksDB at each seal, and lines and payloads cloned what they wrote. Since a batch
//! is written while the next is made, the same 14.4 µs are 0.61 of the rate of its own write batches, which was 0.37
//! (five pairs). The thread that writes makes the audit trail, too: of 14.8 µs the writer's own are 5.3 since then,
//! before that 8.8 (two runs of three pairs each, in turn).
//!
//! An app-level event that is late and changes nothing took 0.7 ms when it was a minute late and 121 ms when it was
//! a day late and so concerned all 20,000 tenants of its app; with 200,000 tenants 9 ms and 2.9 s (`benches/late.rs`,
//! five events each in a day, single runs on shared cores). It costs by what was recorded since, at most by all
//! tenants of the app.

mod audit;
mod backup;
mod catalog;
mod check;
mod data_dir;
mod db;
mod error;
mod files;
mod read;
mod refill;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use crate::audit::bundle::{ProveError, Proven, Proving};
pub use crate::audit::{PreviousLeaves, StoredLeaf, line_of};
pub use crate::backup::{
    BackedUpFile, BackedUpShard, BackupCheck, BackupDamage, BackupError, BackupProgress, BackupReport,
    BlobName, Generation, GenerationSummary, PruneReport, RestoreReport, back_up, last_generation, prune,
    restore, verify_backup,
};
pub use crate::catalog::checkpoints::{Checkpoints, SignedCheckpoint};
pub use crate::catalog::status::{Freshness, GroupPublished, Phase, PublishedOffsets, ShardStatus};
pub use crate::catalog::{Catalog, Elsewhere, Served};
pub use crate::check::app_events::{AppEvents, MissingCopies};
pub use crate::check::digest::FamilyDigest;
pub use crate::check::rebuild::{FamilyDifference, RebuildReport, check, rebuild};
pub use crate::check::torn::{TornTenant, TornTenants, Unread, find_torn};
pub use crate::check::verify::{
    ShardFault, SpreadFault, SpreadOffsets, VerifiedShard, VerifyError, check_spread,
};
pub use crate::data_dir::journal::{
    JOURNAL, JOURNAL_CHECKSUM_BYTES, JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED, JOURNAL_SEGMENT_SUFFIX,
    is_journal_line, journal_line,
};
pub use crate::data_dir::{DataDir, Renamed};
pub use crate::db::batch_places::{BatchPlace, BatchPlaces};
pub use crate::db::memory::{Memory, MemoryPart, MemoryUse};
pub use crate::db::options::{DESCRIPTORS_BESIDE_TABLES, OPEN_FILES_LEAST, StoreOptions};
pub use crate::error::stop::{Ends, Halted, StopCause, StopCode};
pub use crate::error::{
    AppendError, BindError, Damage, Damaged, HistoryError, OpenError, Poison, ReadError, RebuildError,
    StorageError, WaitError, WriteError, with_causes,
};
pub use crate::files::{create_file, lock_file, replace_file, sync_dir};
pub use crate::read::history::{Histories, History, HistoryEvent, KnowledgeBound, KnowledgeCut, entries};
pub use crate::read::lists::{AlignmentClass, AppsWith, InstallationPage, List};
pub use crate::read::reader::{PublisherCursor, Reader};
pub use crate::read::recent::{Follower, RecentBatch};
pub use crate::read::snapshot::{ReadTier, Snapshot};
pub use crate::refill::{PlacedKeys, RefillError, RefillPlan, RefillReport, RefillStage, refill};
pub use crate::source::{Partitioner, ShardId, SourceIdentity};
pub use crate::write::batch::{AppendResult, Batch, Committed, FutureLimit, IncomingEvent};
pub use crate::write::shard::Shard;
