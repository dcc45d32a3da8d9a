//! Memory: one figure for all shards of a process, of which every use gets its share (I-8).
//!
//! What a process and a partition take whatever they do (code, threads, column families, what the allocators keep) is
//! set aside first: [`PROCESS_BYTES`] and [`PARTITION_BYTES`]. The rest is divided:
//!
//! | part | of 16 | what it holds |
//! | --- | --- | --- |
//! | `blocks` | 5 | RocksDB's block cache: blocks, indexes and filters of all shards, and the write buffers |
//! | `write-buffers` | 2 of these 5 | memtables |
//! | `tenants` | 3 | folded tenants of the writers, and the stored bytes of those that have not come for a while |
//! | `batches` | 2 | messages from the reader's hands until they are durable |
//! | `histories` | 1 | histories of tenants that were late |
//! | `evidence` | 1 | upper levels and streams of the maps, last leaves |
//! | `queues` | 1 | what Kafka's client has fetched ahead |
//! | `recent` | 1 | records of the last batches, for the publisher and live subscriptions |
//! | `answers` | 1 | what questions keep, and histories that they read |
//! | – | 1 | spare: caches take a little more than they count |
//!
//! A part is divided evenly among the shards that are open, but two: write buffers among all partitions, as their size is
//! fixed when a shard is opened, and batches mostly among those that are catching up ([`crate::BatchPlaces`]).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::db::batch_places::{BatchPlaces, PLACES};
use crate::db::options::MIB;

/// A use of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryPart {
    Blocks,
    WriteBuffers,
    Tenants,
    Batches,
    Histories,
    Evidence,
    Queues,
    Recent,
    Answers,
}

impl MemoryPart {
    const fn sixteenths(self) -> usize {
        match self {
            Self::Blocks => 5,
            Self::Tenants => 3,
            Self::WriteBuffers | Self::Batches => 2,
            Self::Histories | Self::Evidence | Self::Queues | Self::Recent | Self::Answers => 1,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::WriteBuffers => "write-buffers",
            Self::Tenants => "tenants",
            Self::Batches => "batches",
            Self::Histories => "histories",
            Self::Evidence => "evidence",
            Self::Queues => "queues",
            Self::Recent => "recent",
            Self::Answers => "answers",
        }
    }
}

/// The memory of a process, its parts, and how much of some of them is in use.
#[derive(Debug)]
pub struct Memory {
    bytes: usize,
    /// Writers that are open.
    writers: AtomicUsize,
    /// Partitions of the data directory, whether or not they are open here.
    partitions: AtomicUsize,
    tenants: AtomicUsize,
    batches: AtomicUsize,
    evidence: AtomicUsize,
    recent: AtomicUsize,
    batch_places: Arc<BatchPlaces>,
}

/// Taken by the process alone: code, threads, clients of Kafka.
const PROCESS_BYTES: usize = 64 * MIB;

/// Taken by a partition, however little is in it: three threads with what their allocators keep, the families of a
/// RocksDB and their least memtables, tables of files.
const PARTITION_BYTES: usize = 8 * MIB;

/// Small batches of a shard that are in memory at a time: one is filled, one waits, one is applied, one is written.
const SMALL_BATCHES: usize = 4;

/// A batch may take so much, however little memory there is.
const BATCH_LEAST_BYTES: usize = 128 * 1024;

/// About what a record of a history takes when decoded.
const HISTORY_RECORD_BYTES: usize = 1024;

impl Memory {
    /// So many bytes; none: a quarter of what the machine or its control group has, and 4 GiB at most.
    pub(crate) fn new(bytes: Option<usize>) -> Self {
        let bytes = bytes.unwrap_or_else(|| (machine_bytes() / 4).min(MOST_UNASKED_BYTES));
        let none = || AtomicUsize::new(0);
        let (writers, partitions) = (none(), none());
        let (tenants, batches, evidence, recent) = (none(), none(), none(), none());
        let batch_places = Arc::default();
        Self { bytes, writers, partitions, tenants, batches, evidence, recent, batch_places }
    }

    /// All of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What all shards together may use for a part.
    pub fn share(&self, part: MemoryPart) -> usize {
        self.divided() / 16 * part.sixteenths()
    }

    fn divided(&self) -> usize {
        self.bytes.saturating_sub(self.set_aside()).max(self.bytes / 4)
    }

    fn set_aside(&self) -> usize {
        PROCESS_BYTES + PARTITION_BYTES * self.shards()
    }

    /// Partitions of the data directory, or writers that are open here, if there are more.
    pub fn shards(&self) -> usize {
        self.writers.load(Ordering::Relaxed).max(self.partitions.load(Ordering::Relaxed))
    }

    /// How much the partitions need, if that is more than there is: the process will take more than it should.
    fn lacking(&self) -> Option<usize> {
        let needed = self.set_aside() / 3 * 4;
        (needed > self.bytes).then_some(needed)
    }

    /// What one shard may use for a part.
    pub fn shard_share(&self, part: MemoryPart) -> usize {
        let shards = match part {
            MemoryPart::WriteBuffers => self.shards(),
            _ => self.writers.load(Ordering::Relaxed),
        };
        self.share(part) / shards.max(1)
    }

    /// Who may fill a large batch.
    pub fn batch_places(&self) -> &Arc<BatchPlaces> {
        &self.batch_places
    }

    /// What a batch may take that has a place among the large ones.
    pub fn large_batch(&self) -> usize {
        (self.share(MemoryPart::Batches) / 4 * 3 / PLACES).max(BATCH_LEAST_BYTES)
    }

    /// What any other batch of a shard may take.
    pub fn small_batch(&self) -> usize {
        (self.shard_share(MemoryPart::Batches) / 4 / SMALL_BATCHES).max(BATCH_LEAST_BYTES)
    }

    /// Records in histories that one writer keeps.
    pub(crate) fn late_records(&self) -> usize {
        self.shard_share(MemoryPart::Histories) / HISTORY_RECORD_BYTES
    }

    /// Divides among so many partitions; whether that is news.
    pub(crate) fn set_partitions(&self, partitions: usize) -> bool {
        let is_news = self.partitions.swap(partitions, Ordering::Relaxed) != partitions;
        if let Some(needed_bytes) = self.lacking().filter(|_| is_news) {
            tracing::warn!(
                memory_bytes = self.bytes,
                needed_bytes,
                partitions,
                "memory is too little for so many partitions: the process takes more; set memory higher"
            );
        }
        is_news
    }

    /// What is in use of a part that is counted here; none: it is not.
    pub(crate) fn used(&self, part: MemoryPart) -> Option<usize> {
        self.counter(part).map(|used| used.load(Ordering::Relaxed))
    }

    fn counter(&self, part: MemoryPart) -> Option<&AtomicUsize> {
        match part {
            MemoryPart::Tenants => Some(&self.tenants),
            MemoryPart::Batches => Some(&self.batches),
            MemoryPart::Evidence => Some(&self.evidence),
            MemoryPart::Recent => Some(&self.recent),
            MemoryPart::Blocks
            | MemoryPart::WriteBuffers
            | MemoryPart::Histories
            | MemoryPart::Queues
            | MemoryPart::Answers => None,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(None)
    }
}

/// A writer that is open, and divides the memory with the others.
#[derive(Debug)]
pub(crate) struct WriterMemory(Arc<Memory>);

impl WriterMemory {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        memory.writers.fetch_add(1, Ordering::Relaxed);
        Self(memory)
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.0
    }
}

impl Drop for WriterMemory {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Memory that is in use, counted until this is dropped.
#[derive(Debug)]
pub struct MemoryUse {
    memory: Arc<Memory>,
    part: MemoryPart,
    bytes: usize,
}

impl MemoryUse {
    /// Nothing yet.
    pub fn new(memory: Arc<Memory>, part: MemoryPart) -> Self {
        Self { memory, part, bytes: 0 }
    }

    /// So much, to the byte.
    pub fn of(memory: Arc<Memory>, part: MemoryPart, bytes: usize) -> Self {
        let mut used = Self::new(memory, part);
        used.count(bytes);
        used
    }

    /// It is about so much now.
    pub fn set(&mut self, bytes: usize) {
        // Small changes of every shard would fight for one cache line.
        if bytes.abs_diff(self.bytes) >= COUNTED_FROM_BYTES {
            self.count(bytes);
        }
    }

    fn count(&mut self, bytes: usize) {
        if let Some(used) = self.memory.counter(self.part) {
            used.fetch_add(bytes.wrapping_sub(self.bytes), Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for MemoryUse {
    fn drop(&mut self) {
        self.count(0);
    }
}

/// Smaller differences are not counted.
const COUNTED_FROM_BYTES: usize = 16 * 1024;

/// What is taken of a large machine unless more is asked for.
const MOST_UNASKED_BYTES: usize = 4096 * MIB;

/// Taken for the memory of a machine that does not tell.
const UNKNOWN_MACHINE_BYTES: usize = 2048 * MIB;

/// The memory of the machine, or what the control groups of this process leave of it.
fn machine_bytes() -> usize {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = group_limit(Path::new("/sys/fs/cgroup"), &groups);
    total.into_iter().chain(limit).min().unwrap_or(UNKNOWN_MACHINE_BYTES)
}

/// `MemTotal` of `/proc/meminfo`.
fn total_bytes(meminfo: &str) -> Option<usize> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest `memory.max` of the control group (version 2) that `/proc/self/cgroup` names, and of those around it.
fn group_limit(root: &Path, groups: &str) -> Option<usize> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = root.join(group);
    let around = own.ancestors().take_while(|path| path.starts_with(root));
    around.filter_map(|path| fs::read_to_string(path.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_of_the_memory_and_shards_divide_them() {
        let memory = Arc::new(Memory::new(Some(1600 * MIB + PROCESS_BYTES + 10 * PARTITION_BYTES)));
        assert!(memory.set_partitions(10) && !memory.set_partitions(10));
        let parts = [
            MemoryPart::Blocks,
            MemoryPart::Tenants,
            MemoryPart::Batches,
            MemoryPart::Histories,
            MemoryPart::Evidence,
            MemoryPart::Queues,
            MemoryPart::Recent,
            MemoryPart::Answers,
        ];
        let all: usize = parts.into_iter().map(|part| memory.share(part)).sum();
        assert_eq!(all, 1500 * MIB);
        assert!(memory.share(MemoryPart::WriteBuffers) < memory.share(MemoryPart::Blocks));
        let writers = [(); 4].map(|()| WriterMemory::new(Arc::clone(&memory)));
        assert_eq!(memory.shard_share(MemoryPart::Tenants), 75 * MIB);
        assert_eq!(memory.shard_share(MemoryPart::WriteBuffers), 20 * MIB);
        drop(writers);
        assert_eq!(memory.shard_share(MemoryPart::Tenants), 300 * MIB);
        assert_eq!(memory.lacking(), None);
        memory.set_partitions(200);
        assert_eq!(memory.lacking(), Some((PROCESS_BYTES + 200 * PARTITION_BYTES) / 3 * 4));
        assert_eq!(memory.divided(), memory.bytes() / 4, "something is left to work with");
    }

    #[test]
    fn large_and_small_batches_fit_into_their_part() {
        let memory = Arc::new(Memory::new(Some(4096 * MIB)));
        let part = memory.share(MemoryPart::Batches);
        for shards in [1, 6] {
            let _writers: Vec<_> = (0..shards).map(|_| WriterMemory::new(Arc::clone(&memory))).collect();
            let all = PLACES * memory.large_batch() + shards * SMALL_BATCHES * memory.small_batch();
            assert!(all <= part && all > part / 10 * 9, "{all} of {part}");
        }
        assert_eq!(Memory::new(Some(MIB)).small_batch(), BATCH_LEAST_BYTES);
    }

    #[test]
    fn use_is_counted_until_it_is_dropped() {
        let memory = Arc::new(Memory::new(Some(MIB)));
        let mut used = [(); 2].map(|()| MemoryUse::new(Arc::clone(&memory), MemoryPart::Batches));
        used[0].set(3 * MIB);
        used[1].set(MIB);
        used[0].set(2 * MIB);
        assert_eq!(memory.used(MemoryPart::Batches), Some(3 * MIB));
        drop(used);
        assert_eq!(memory.used(MemoryPart::Batches), Some(0));
        assert_eq!(memory.used(MemoryPart::Queues), None);
    }

    #[test]
    fn lowest_limit_of_the_groups_around_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("pod/container");
        fs::create_dir_all(&inner).unwrap();
        let limit = |groups| group_limit(root.path(), groups);
        assert_eq!(limit("0::/pod/container\n"), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("pod/memory.max"), "1073741824\n").unwrap();
        assert_eq!(limit("1:cpu:/x\n0::/pod/container\n"), Some(1 << 30));
        fs::write(inner.join("memory.max"), "536870912\n").unwrap();
        assert_eq!(limit("0::/pod/container\n"), Some(1 << 29));
        assert_eq!((limit("0::/\n"), limit("")), (None, None));
        assert_eq!(total_bytes("MemTotal:       24684424 kB\nMemFree: 1 kB\n"), Some(24_684_424 * 1024));
    }
}
