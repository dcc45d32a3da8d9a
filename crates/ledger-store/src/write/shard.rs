//! The writer of a shard.
//!
//! Between batches it keeps what the next batch is likely to need: the head, the timelines of all apps
//! (every installation's descriptor and policy are looked up there), a few app rows, folded tenants. All of
//! it is in the store as well, and is thrown away with the writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger_core::ids::AppKey;
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{Family, MetaKey};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::rows::{AppRow, ShardHead, SourcePosition};
use rocksdb::ReadOptions;

use crate::audit::{Begin, recover};
use crate::db::cache::TenantCache;
use crate::db::database::Database;
use crate::db::placed::LastRow;
use crate::db::tuning::Resources;
use crate::error::{AppendError, OpenError, Poison, ReadError, WriteError};
use crate::read::reader::{OpenShard, Reader, WriterProgress, read_head};
use crate::read::recent::RecentRecords;
use crate::read::snapshot::read_timelines;
use crate::source::ShardId;
use crate::write::batch::{Batch, BatchSize, LateHistories};
use crate::write::pending_commit::{PendingCommit, WriteThread};

/// The one writer of a shard. Dropping it closes the shard once the last [`Reader`] is gone too.
#[derive(Debug)]
pub struct Shard {
    pub(crate) open: Arc<OpenShard>,
    pub(crate) head: ShardHead,
    pub(crate) timelines: AppTimelines,
    pub(crate) app_rows: BTreeMap<AppKey, AppRow>,
    pub(crate) tenants: TenantCache,
    pub(crate) histories: LateHistories,
    /// The last gap of each source that was looked for: from its first offset up to its end.
    pub(crate) last_gaps: BTreeMap<String, Option<(u64, u64)>>,
    pub(crate) last_batch: BatchSize,
    pub(crate) evidence: Begin,
    /// Where positions are added.
    pub(crate) last_positions: LastRow,
    /// What was handed over and not waited for yet.
    pub(crate) pending: Option<PendingCommit>,
    pub(crate) write_thread: WriteThread,
}

impl Shard {
    pub(crate) fn start(
        database: Database,
        resources: &Resources,
        secret: LedgerSecret,
    ) -> Result<Self, OpenError> {
        let options = ReadOptions::default();
        let head = read_head(&database, &options)?;
        let timelines = read_timelines(&database, options)?;
        let last_positions = LastRow::read(&database, Family::Positions, head.next_position)?;
        let memory = resources.memory();
        let tenants = TenantCache::new(Arc::clone(memory));
        let (evidence, trail) = recover(secret, memory, &database, head.next_position)?;
        let progress = WriterProgress::new(head.next_position, false);
        let recent = RecentRecords::new(Arc::clone(memory));
        let open = Arc::new(OpenShard { database, progress, recent });
        Ok(Self {
            write_thread: WriteThread::start(&open, trail)?,
            open,
            head,
            timelines,
            app_rows: BTreeMap::new(),
            tenants,
            histories: LateHistories::default(),
            last_gaps: BTreeMap::new(),
            last_batch: BatchSize::default(),
            evidence,
            last_positions,
            pending: None,
        })
    }

    /// Which shard.
    pub fn id(&self) -> &ShardId {
        self.open.database.id()
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.open))
    }

    /// How far a source was read.
    pub fn source_position(&self, source: &str) -> Result<Option<SourcePosition>, ReadError> {
        let key = MetaKey::Source(source.to_owned()).encode();
        self.open.database.row(Family::Meta, &key, &ReadOptions::default(), SourcePosition::decode)
    }

    /// Waits until the batch that was handed over ([`Batch::submit`]) is durable, if one was.
    pub fn settle(&mut self) -> Result<(), AppendError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        self.write_thread.wait().map_err(|cause| self.poison_at(pending.first, cause).into())
    }

    /// Puts everything that is durable into table files: what is in the write-ahead log alone has no second copy
    /// that a damaged byte could be told by.
    pub fn flush(&mut self) -> Result<(), AppendError> {
        self.settle()?;
        Ok(self.open.database.flush()?)
    }

    /// Where the shard stands, as of the last commit or what was handed over last.
    pub fn head(&self) -> ShardHead {
        self.head
    }

    /// Begins a batch. A batch that is dropped instead of committed leaves nothing behind.
    pub fn begin(&mut self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Why nothing more can be written, if so.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        self.open.progress.poison()
    }

    /// Nobody can tell whether the records from a position on are there.
    pub(crate) fn poison_at(&self, next_position: u64, cause: WriteError) -> Arc<Poison> {
        let poison = Arc::new(Poison { shard: self.id().clone(), next_position, cause });
        self.open.progress.set_poison(Arc::clone(&poison));
        poison
    }
}
