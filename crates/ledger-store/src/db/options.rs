//! What a store may use of the machine, for all its shards together (I-8). Every bound is here.

/// Limits for the shards of a data directory. Memory and threads are bounded for all of them together, files and
/// write-ahead logs for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Decoded-on-read blocks, index and filter blocks of all shards, and the memtables, which are charged
    /// to the same cache: the native memory of the store stays near this figure.
    pub block_cache_bytes: usize,
    /// Memtables of all shards together. Above it the fullest one is written out; it is part of
    /// [`Self::block_cache_bytes`], not beside it.
    pub write_buffer_bytes: usize,
    /// Folded tenants that the writers of all shards together keep decoded between batches.
    pub tenant_cache_bytes: usize,
    /// Threads for flushes and compactions of all shards together.
    pub background_jobs: u32,
    /// Table files that one shard holds open for writing and reading. A shard opened read-only holds all of
    /// its files open instead: the server beside it may delete them at any time.
    pub open_files_per_shard: u32,
    /// Descriptors that all shards together may use; each gets its part, and opens no more than
    /// [`Self::open_files_per_shard`]. None: that many for each.
    pub descriptors: Option<u32>,
    /// Write-ahead log of one shard; above it the oldest memtables are written out. Bounds what a start
    /// after a crash has to replay, and what a read-only opening keeps in memory.
    pub wal_bytes_per_shard: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 512 * MIB,
            write_buffer_bytes: 256 * MIB,
            tenant_cache_bytes: 64 * MIB,
            background_jobs: 2,
            open_files_per_shard: 512,
            descriptors: None,
            wal_bytes_per_shard: 256 * MIB as u64,
        }
    }
}

impl StoreOptions {
    /// Table files that a shard may hold open beside others; none: too few to work with.
    pub(crate) fn open_files(&self, partitions: u32) -> Option<u32> {
        let Some(descriptors) = self.descriptors else { return Some(self.open_files_per_shard) };
        let part = (descriptors / partitions.max(1)).checked_sub(DESCRIPTORS_BESIDE_TABLES)?;
        let files = part.min(self.open_files_per_shard);
        (files >= OPEN_FILES_LEAST.min(self.open_files_per_shard)).then_some(files)
    }
}

pub(crate) const MIB: usize = 1024 * 1024;

/// Records that a scan in position order fetches at a time.
pub(crate) const POSITIONS_AT_A_TIME: usize = 256;

/// Records of tenants folded anew that the writers of all shards together keep decoded, in case the same tenant is late
/// again: some hundred megabytes.
pub(crate) const LATE_RECORDS_KEPT: usize = 200_000;

/// Records of the last batches that all shards together keep for the publisher, in bytes, roughly: some ten batches, which
/// it falls behind while other threads have the cores.
pub(crate) const RECENT_BYTES: usize = if cfg!(test) { MIB } else { 128 * MIB };

/// Rows of apps that a writer keeps between batches.
pub(crate) const APP_ROWS_KEPT: usize = 4096;

/// Descriptors of a shard beside its table files: write-ahead logs, manifest, log and lock, and the clients that
/// publish its checkpoints.
pub const DESCRIPTORS_BESIDE_TABLES: u32 = 48;

/// Fewest table files that a shard can work with.
pub const OPEN_FILES_LEAST: u32 = 32;

/// Read-ahead of whole-shard scans.
pub(crate) const SCAN_READAHEAD_BYTES: usize = 2 * MIB;

/// Tries to open a shard read-only while the server beside it deletes files.
pub(crate) const READ_ONLY_TRIES: u32 = 20;

/// Pause between those tries.
pub(crate) const READ_ONLY_PAUSE_MS: u64 = 50;

/// Rows that a rebuild sorts and writes at a time.
pub(crate) const REBUILD_WRITE_BYTES: usize = 8 * MIB;

/// Tenants that a thread of `verify` takes at a time.
pub(crate) const VERIFY_TENANTS_AT_A_TIME: usize = if cfg!(test) { 7 } else { 512 };

/// Records that `verify` remembers by position, 72 bytes each: 1.2 GB. A longer log takes one walk over all streams
/// for so many of them.
pub(crate) const VERIFY_RECORDS_AT_A_TIME: u64 = if cfg!(test) { 256 } else { 1 << 24 };
