//! Reads of a shard, beside its writer or on a read-only opening.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger_core::ids::ClientKey;
use ledger_record::key::{Family, MetaKey};
use ledger_record::rows::{PublisherRow, ShardHead};
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use crate::db::database::{Database, damaged};
use crate::db::memory::Memory;
use crate::error::{Damage, OpenError, Poison, ReadError, StorageError, WaitError};
use crate::read::history::row_is_fold;
use crate::read::recent::{Follower, RecentBatch, RecentRecords};
use crate::read::snapshot::{ReadTier, Snapshot};
use crate::source::ShardId;

/// Reads of one shard. Cheap to clone; the shard stays open as long as there is one.
#[derive(Debug, Clone)]
pub struct Reader {
    open: Arc<OpenShard>,
}

/// What a writer and its readers share.
#[derive(Debug)]
pub(crate) struct OpenShard {
    pub(crate) database: Database,
    pub(crate) progress: WriterProgress,
    pub(crate) recent: RecentRecords,
}

/// Where a shard stands; a shard that was only just made stands at the beginning.
pub(crate) fn read_head(database: &Database, options: &ReadOptions) -> Result<ShardHead, ReadError> {
    let head = database.row(Family::Meta, &MetaKey::Head.encode(), options, ShardHead::decode)?;
    if head.is_none() && !is_new(database, options)? {
        return Err(damaged(Family::Meta, &MetaKey::Head.encode(), Damage::Missing).into());
    }
    Ok(head.unwrap_or_default())
}

fn is_new(database: &Database, options: &ReadOptions) -> Result<bool, ReadError> {
    Ok(database.get(Family::Positions, &ledger_record::key::position(0), options)?.is_none())
}

impl Reader {
    pub(crate) fn new(open: Arc<OpenShard>) -> Self {
        Self { open }
    }

    pub(crate) fn read_only(database: Database, memory: &Arc<Memory>) -> Result<Self, OpenError> {
        let head = read_head(&database, &ReadOptions::default())?;
        let progress = WriterProgress::new(head.next_position, true);
        let recent = RecentRecords::new(Arc::clone(memory));
        Ok(Self::new(Arc::new(OpenShard { database, progress, recent })))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.open.database
    }

    /// Which shard.
    pub fn shard(&self) -> &ShardId {
        self.open.database.id()
    }

    /// Everything as of one moment.
    pub fn snapshot(&self) -> Snapshot<'_> {
        self.snapshot_of(ReadTier::Disk)
    }

    /// The same, of what lies there.
    pub fn snapshot_of(&self, tier: ReadTier) -> Snapshot<'_> {
        Snapshot::new(&self.open.database, tier)
    }

    /// As [`Self::snapshot`], once the record at `position` is there. On a read-only opening nothing new ever
    /// comes, so it does not wait.
    pub fn snapshot_at_least(&self, position: u64, timeout: Duration) -> Result<Snapshot<'_>, WaitError> {
        self.open.progress.wait_for(position, timeout)?;
        Ok(self.snapshot())
    }

    /// Position of the next record: everything before it is durable.
    pub fn next_position(&self) -> u64 {
        self.open.progress.next_position()
    }

    /// The batch that has the record at a position, if it is still in memory; each is given up once to a follower. The
    /// records that are not in one are read from a snapshot.
    pub fn take_recent(&self, follower: Follower, position: u64) -> Option<Arc<RecentBatch>> {
        self.open.recent.take(follower, position)
    }

    /// Nothing is kept in memory for this follower any more, until it takes again.
    pub fn leave_recent(&self, follower: Follower) {
        self.open.recent.leave(follower);
    }

    /// The publisher's own place, written independently of the batches. A read-only opening refuses to set it.
    pub fn publisher_cursor(&self) -> PublisherCursor {
        PublisherCursor::new(Arc::clone(&self.open))
    }

    /// Why the writer stopped, if so: what is read is no longer fresh.
    pub fn poisoned(&self) -> Option<Arc<Poison>> {
        self.open.progress.poison()
    }

    /// Whether a tenant's row is, byte for byte, the fold of its log from zero; true when there is neither.
    /// For sampled checks in production (I-1).
    pub fn check_tenant(&self, client: &ClientKey) -> Result<bool, ReadError> {
        row_is_fold(&self.snapshot(), client)
    }
}

/// Written by the one writer after each commit, read by everyone.
#[derive(Debug)]
pub(crate) struct WriterProgress {
    now: Mutex<WriterState>,
    moved: Condvar,
}

#[derive(Debug)]
struct WriterState {
    next_position: u64,
    poison: Option<Arc<Poison>>,
    /// Nothing will ever move: a read-only opening.
    still: bool,
}

impl WriterProgress {
    pub(crate) fn new(next_position: u64, still: bool) -> Self {
        Self { now: Mutex::new(WriterState { next_position, poison: None, still }), moved: Condvar::new() }
    }

    pub(crate) fn next_position(&self) -> u64 {
        self.lock().next_position
    }

    pub(crate) fn poison(&self) -> Option<Arc<Poison>> {
        self.lock().poison.clone()
    }

    pub(crate) fn advance(&self, next_position: u64) {
        self.lock().next_position = next_position;
        self.moved.notify_all();
    }

    pub(crate) fn set_poison(&self, poison: Arc<Poison>) {
        self.lock().poison = Some(poison);
        self.moved.notify_all();
    }

    /// Waits until the record at `position` is durable.
    pub(crate) fn wait_for(&self, position: u64, timeout: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut now = self.lock();
        loop {
            if now.next_position > position {
                return Ok(());
            }
            if let Some(poison) = &now.poison {
                return Err(WaitError::Poisoned(Arc::clone(poison)));
            }
            // A deadline beyond the clock's range is none; waiting is then cut into hours.
            let left = deadline.map_or(Duration::from_hours(1), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if now.still || left.is_zero() {
                return Err(WaitError::TimedOut { asked: position, next: now.next_position });
            }
            now = self.moved.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, WriterState> {
        // Nothing panics while it holds the lock, and every state of it is whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far decisions and dead letters were published.
///
/// The publisher follows the log at its own pace, so its place is written beside the batches and is no part of what
/// replicas agree on. It is not synced: after a power cut it may stand further back, and what was published since is
/// published again, which the stable ids of the messages allow for.
#[derive(Debug, Clone)]
pub struct PublisherCursor {
    open: Arc<OpenShard>,
}

impl PublisherCursor {
    pub(crate) fn new(open: Arc<OpenShard>) -> Self {
        Self { open }
    }

    /// Position of the next record to publish.
    pub fn get(&self) -> Result<u64, ReadError> {
        let key = MetaKey::Publisher.encode();
        let row =
            self.open.database.row(Family::Meta, &key, &ReadOptions::default(), PublisherRow::decode)?;
        Ok(row.unwrap_or_default().next_position)
    }

    /// Everything before this position was acknowledged by the broker.
    pub fn set(&self, next_position: u64) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let meta = self.open.database.family(Family::Meta)?;
        batch.put_cf(meta, MetaKey::Publisher.encode(), PublisherRow { next_position }.encode());
        self.open.database.write(batch, &WriteOptions::default())
    }
}
