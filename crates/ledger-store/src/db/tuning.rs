//! How RocksDB is set up: what all shards share, and each column family's options.
//!
//! | family | asked for | so |
//! | --- | --- | --- |
//! | `log` | a tenant's range; single records that exist | zstd at the bottom, no filter at the last level |
//! | `positions` | ranges | zstd at once: keys only grow, so compaction only moves files, and never recodes them; values are keys, which LZ4 hardly shrinks |
//! | `tenants`, `ids` | keys that mostly do not exist (new tenants, new events) | full Bloom filters, also on memtables |
//! | `index` | ranges | zstd at the bottom |
//! | `corrections`, `duplicates`, `gaps` | ranges | nothing |
//! | `leaves`, `tree`, `map` | single keys and short ranges that exist | nothing: hashes do not shrink |
//! | `apps`, `meta` | a few hot keys | small memtables of their own, so that they overlap no log file |
//!
//! Index and filters of every file stand in parts, which the cache takes in and gives up one by one.
//!
//! **Write-ahead log.** Checked before it is replayed (`wal`): what does not read and was durable refuses the shard.
//! Then it is replayed to the last point in time that is whole. A batch is torn only when its sync never returned, so
//! nobody was told of it. Should the medium lose the *end* of what was synced, the shard falls back as a whole:
//! records, position and head together. The source replays the rest to the same bytes, and the consumer sees that the
//! offset it once committed to Kafka lies ahead of this one. Logs that were closed are checked by number and size
//! (`track_and_verify_wals_in_manifest`), so a lost or shortened file is an error and no fallback.

use std::sync::Arc;

use ledger_record::key::Family;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Env, Options,
    WriteBufferManager, WriteOptions,
};

use crate::db::memory::{Memory, MemoryPart};
use crate::db::options::{MIB, StoreOptions};

/// What the shards of a data directory share.
pub(crate) struct Resources {
    options: StoreOptions,
    cache: Cache,
    memtables: WriteBufferManager,
    env: Env,
    memory: Arc<Memory>,
    /// What the options of every column family begin with.
    sorted_batches: Options,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Resources {
    pub(crate) fn new(options: StoreOptions) -> Result<Self, rocksdb::Error> {
        let memory = Arc::new(Memory::new(options.memory_bytes));
        let cache = Cache::new_lru_cache(memory.share(MemoryPart::Blocks));
        let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(
            // Nothing would be no limit.
            memory.share(MemoryPart::WriteBuffers).max(MIB),
            // Stalling every shard because one fills its memtables would break isolation (I-9).
            false,
            cache.clone(),
        );
        let mut env = Env::new()?;
        let jobs = i32::try_from(options.background_jobs.max(1)).unwrap_or(i32::MAX);
        env.set_low_priority_background_threads(jobs);
        env.set_high_priority_background_threads(1);
        let sorted_batches = Options::default().get_options_from_string(NEXT_TO_THE_LAST)?;
        Ok(Self { options, cache, memtables, env, memory, sorted_batches })
    }

    pub(crate) fn limits(&self) -> &StoreOptions {
        &self.options
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Divides the memory among so many partitions.
    pub(crate) fn set_partitions(&self, partitions: usize) {
        if self.memory.set_partitions(partitions) {
            // A handle of the one cache.
            self.cache.clone().set_capacity(self.memory.share(MemoryPart::Blocks));
            self.memtables.set_buffer_size(self.memory.share(MemoryPart::WriteBuffers).max(MIB));
        }
    }

    /// What is in use of each part that is known.
    pub(crate) fn memory_used(&self) -> Vec<(MemoryPart, usize)> {
        let write_buffers = self.memtables.get_usage();
        let blocks = self.cache.get_usage().saturating_sub(write_buffers);
        let counted = [MemoryPart::Tenants, MemoryPart::Batches, MemoryPart::Evidence, MemoryPart::Recent];
        let counted = counted.into_iter().filter_map(|part| Some((part, self.memory.used(part)?)));
        [(MemoryPart::Blocks, blocks), (MemoryPart::WriteBuffers, write_buffers)]
            .into_iter()
            .chain(counted)
            .collect()
    }

    /// Options of a shard as a whole, for writing. It holds so many files open.
    pub(crate) fn writing(&self, open_files: u32) -> Options {
        let mut options = self.shared();
        options.set_max_open_files(clamp(u64::from(open_files)));
        options
    }

    /// Options of a shard as a whole, for reading beside its writer: all files are opened at once and kept,
    /// as the writer may delete them later.
    pub(crate) fn reading(&self) -> Options {
        let mut options = self.shared();
        options.set_max_open_files(-1);
        options
    }

    fn shared(&self) -> Options {
        let mut options = Options::default();
        options.set_env(&self.env);
        options.set_write_buffer_manager(&self.memtables);
        options.set_max_background_jobs(clamp(u64::from(self.options.background_jobs.max(2))));
        options.set_max_file_opening_threads(2);
        options.set_max_total_wal_size(self.options.wal_bytes_per_shard);
        // Memtables have a budget of their own, above: of this RocksDB only takes how much of a log it reserves on the
        // disk at a time. By itself it reserves as much as the largest memtable holds, for every shard that is open.
        options.set_db_write_buffer_size(RESERVED_BYTES);
        options.set_manifest_preallocation_size(MIB);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_paranoid_checks(true);
        options.set_avoid_unnecessary_blocking_io(true);
        // Smooths the write-back of flushes and compactions; the log itself is synced with every batch.
        options.set_bytes_per_sync(MIB as u64);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(16 * MIB);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Options of a column family.
    pub(crate) fn family(&self, family: Family) -> Options {
        let mut options = self.sorted_batches.clone();
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        in_partitions(&mut table);
        table.set_block_size(block_bytes(family));
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(self.memtable_bytes(family));
        options.set_max_write_buffer_number(4);
        options.set_level_compaction_dynamic_level_bytes(true);
        match family {
            Family::Log => {
                options.set_bottommost_compression_type(DBCompressionType::Zstd);
                table.set_bloom_filter(BLOOM_BITS, false);
                options.set_optimize_filters_for_hits(true);
            }
            Family::Tenants | Family::Ids => {
                options.set_bottommost_compression_type(DBCompressionType::Zstd);
                expect_absent_keys(&mut options, &mut table);
            }
            Family::Index => options.set_bottommost_compression_type(DBCompressionType::Zstd),
            Family::Positions => options.set_compression_type(DBCompressionType::Zstd),
            // Hashes do not shrink.
            Family::Leaves | Family::Tree | Family::Map => {
                options.set_compression_type(DBCompressionType::None);
            }
            Family::Apps | Family::Corrections | Family::Duplicates | Family::Gaps | Family::Meta => {}
        }
        options.set_block_based_table_factory(&table);
        options
    }

    fn memtable_bytes(&self, family: Family) -> usize {
        let share = self.memory.shard_share(MemoryPart::WriteBuffers);
        match family {
            Family::Log | Family::Tenants | Family::Ids | Family::Index => {
                (share / 4).clamp(MEMTABLE_LEAST_BYTES, 64 * MIB)
            }
            Family::Positions | Family::Leaves | Family::Map | Family::Corrections | Family::Duplicates => {
                (share / 16).clamp(MEMTABLE_LEAST_BYTES, 16 * MIB)
            }
            Family::Apps | Family::Tree | Family::Gaps | Family::Meta => {
                (share / 64).clamp(MEMTABLE_LEAST_BYTES, MIB)
            }
        }
    }
}

/// Smaller memtables would be written out with every batch. RocksDB allocates an eighth of one, at most 1 MiB, before it
/// holds anything, and in those with a Bloom filter a twentieth more.
const MEMTABLE_LEAST_BYTES: usize = 128 * 1024;

/// How much of a write-ahead log is reserved on the disk ahead of what is written. Synced writes into reservations of
/// 4 MiB are as fast as into one of 70, where 1 MiB costs a tenth in some runs.
const RESERVED_BYTES: usize = 4 * MIB;

/// Batches are sorted, so each key is looked for from the one before on: one hint for each memtable. (What a
/// write can ask for, `memtable_insert_hint_per_batch`, counts only for writers that share a memtable.)
const NEXT_TO_THE_LAST: &str = "memtable_insert_with_hint_prefix_extractor=rocksdb.CappedPrefix.0";

const BLOOM_BITS: f64 = 10.0;

fn expect_absent_keys(options: &mut Options, table: &mut BlockBasedOptions) {
    table.set_bloom_filter(BLOOM_BITS, false);
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
}

/// Index and filter of a file in parts of this size: whole, the filter of a file of small keys takes megabytes, which
/// the cache cannot keep (it is divided among as many as 64 shards), so that every lookup would read all of it again.
const PARTITION_BYTES: usize = 16 * 1024;

fn in_partitions(table: &mut BlockBasedOptions) {
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(PARTITION_BYTES);
    table.set_pin_top_level_index_and_filter(true);
}

/// Ranges are read from large blocks, single keys from small ones.
fn block_bytes(family: Family) -> usize {
    match family {
        Family::Log | Family::Positions | Family::Index | Family::Corrections => 16 * 1024,
        Family::Tenants
        | Family::Apps
        | Family::Ids
        | Family::Duplicates
        | Family::Gaps
        | Family::Meta
        | Family::Leaves
        | Family::Tree
        | Family::Map => 4 * 1024,
    }
}

/// A write that is on the disk when it returns (I-7).
pub(crate) fn durable() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// A write that a flush makes durable later: only for what can be made again.
pub(crate) fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn clamp(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
    use rocksdb::{ColumnFamilyDescriptor, DB};

    use super::*;

    /// A filter of 10 bits for each of these keys is larger than the cache.
    const KEYS: u64 = 200_000;

    #[test]
    fn lookup_reads_little_with_a_large_file_and_small_cache() {
        let dir = tempfile::tempdir().unwrap();
        let limits = StoreOptions { memory_bytes: Some(MIB / 8 / 5 * 64), ..StoreOptions::default() };
        let resources = Resources::new(limits).unwrap();
        let mut options = resources.shared();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        for family in [Family::Ids, Family::Log, Family::Map] {
            let name = family.as_str();
            let open = || {
                let described = ColumnFamilyDescriptor::new(name, resources.family(family));
                DB::open_cf_descriptors(&options, dir.path().join(name), [described]).unwrap()
            };
            let db = open();
            let written = db.cf_handle(name).unwrap();
            for key in 0..KEYS {
                db.put_cf(written, key.to_be_bytes(), key.to_be_bytes()).unwrap();
            }
            db.flush_cf(written).unwrap();
            db.compact_range_cf::<&[u8], &[u8]>(written, None, None);
            drop(db);
            // A file that was just written keeps its filter.
            let db = open();
            let family = db.cf_handle(name).unwrap();
            set_perf_stats(PerfStatsLevel::EnableCount);
            let mut counted = PerfContext::default();
            for key in (0..KEYS).step_by(1999) {
                counted.reset();
                assert!(db.get_cf(family, key.to_be_bytes()).unwrap().is_some());
                let read = counted.metric(PerfMetric::BlockReadByte);
                assert!(read < 80 * 1024, "{name}: {read} bytes for one key");
            }
            set_perf_stats(PerfStatsLevel::Disable);
        }
    }
}
