//! What it costs to append through the store, against bare synced writes of the same, by hand:
//!
//! ```text
//! cargo bench -p ledger-store --bench append -- [events] [tenants] [batch] [pairs] [directory]
//! ```
//!
//! - **store**: events offered to batches of a shard: repeats looked for, folded, encoded, indexed, hashed into
//!   the audit trail, synced; a batch is written while the next is made, as the consumer does it.
//! - **equal**: the very write batches that the store made, read back from its write-ahead log, written once
//!   more: what the same bytes cost without anything that leads to them.
//! - **writes**: the records alone, ready as bytes under their keys, sorted, in synced batches of as many,
//!   into one column family with the options of the log: without ids, positions, tenants and index.
//!
//! The three take turns, and the medians are told. More than some 300,000 events are more than the write-ahead
//! log keeps for *equal*. Making the events is done beforehand, batch by batch, and not counted: CPU is that of
//! the whole process, less what this thread used meanwhile.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;
use ledger_record::key::log;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, FutureLimit, IncomingEvent, Shard, ShardId, SourceIdentity, StoreOptions};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, Env, Options, WriteBatch,
    WriteOptions,
};

#[path = "layout/cpu.rs"]
mod cpu;
#[path = "layout/lives.rs"]
mod lives;

use cpu::{process_cpu, thread_cpu};
use lives::{Lives, coordinates};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

const TOPIC: &str = "realm.lifecycle";

const EVENTS_PER_MS: u64 = 20;

/// How much of it, and where.
struct Plan {
    events: u64,
    tenants: u64,
    batch: u64,
    dir: PathBuf,
}

/// What one run took.
struct Run {
    writing: Duration,
    /// Of the writing thread alone.
    own_cpu: Duration,
    /// Of all threads, flushes and compactions included.
    cpu: Duration,
}

fn main() -> Result<(), Failure> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let events = number(200_000)?;
    let (tenants, batch, pairs) = (number(events / 20)?, number(5_000)?, number(3)?);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("realm-ledger-append");
    let plan = Plan { events, tenants, batch, dir };
    println!("{events} events, {tenants} tenants, batches of {batch}, {pairs} pairs");
    let (mut store, mut equal, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let [of_store, of_equal, of_writes] = ["store", "equal", "writes"].map(|name| plan.dir.join(name));
        remove(&plan.dir)?;
        store.push(into_store(&plan, &of_store)?);
        equal.push(into_equal(&plan, &of_store, &of_equal)?);
        remove(&plan.dir)?;
        writes.push(into_writes(&plan, &of_writes)?);
        remove(&plan.dir)?;
    }
    tell("store", &plan, &store);
    tell("equal", &plan, &equal);
    tell("writes", &plan, &writes);
    println!("store / equal, rates: {:.2}", ratio(&store, &equal));
    println!("store / writes, rates: {:.2}", ratio(&store, &writes));
    Ok(())
}

fn remove(dir: &Path) -> Result<(), Failure> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

fn ratio(full: &[Run], bare: &[Run]) -> f64 {
    median(bare.iter().zip(full).map(|(bare, full)| bare.writing.as_secs_f64() / full.writing.as_secs_f64()))
}

fn tell(what: &str, plan: &Plan, runs: &[Run]) {
    let events = plan.events as f64;
    let per_event =
        |time: fn(&Run) -> Duration| median(runs.iter().map(|run| time(run).as_secs_f64() * 1e6 / events));
    let rate = median(runs.iter().map(|run| events / run.writing.as_secs_f64()));
    let (own, all) = (per_event(|run| run.own_cpu), per_event(|run| run.cpu));
    println!("{what:<8} {rate:>9.0} events/s   CPU {all:>6.2} µs/event, {own:.2} of them of the writer");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs over all events in batches: `make` is not counted, `write` is.
fn measured<T>(
    plan: &Plan,
    mut make: impl FnMut(u64) -> Result<T, Failure>,
    mut write: impl FnMut(Vec<T>) -> Result<(), Failure>,
) -> Result<Run, Failure> {
    let cpu_before = process_cpu()?;
    let (mut making, mut writing, mut own_cpu) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut position = 0;
    while position < plan.events {
        let before = thread_cpu()?;
        let upto = plan.events.min(position + plan.batch);
        let items: Vec<T> = (position..upto).map(&mut make).collect::<Result<_, _>>()?;
        let ready = thread_cpu()?;
        let begun = Instant::now();
        write(items)?;
        writing += begun.elapsed();
        own_cpu += thread_cpu()?.saturating_sub(ready);
        making += ready.saturating_sub(before);
        position = upto;
    }
    let cpu = process_cpu()?.saturating_sub(cpu_before).saturating_sub(making);
    Ok(Run { writing, own_cpu, cpu })
}

fn new_shard(dir: &Path) -> Result<Shard, Failure> {
    fs::create_dir_all(dir)?;
    let data_dir = DataDir::open(dir, StoreOptions::default(), LedgerSecret::from_bytes([7; 32]))?;
    data_dir.bind(TOPIC, &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 })?;
    Ok(data_dir.open_shard(&ShardId { topic: TOPIC.to_owned(), partition: 0 })?)
}

/// Where the store keeps the shard.
fn database_of(dir: &Path) -> PathBuf {
    dir.join("shards").join(TOPIC).join("0")
}

fn into_store(plan: &Plan, dir: &Path) -> Result<Run, Failure> {
    let mut shard = new_shard(dir)?;
    let mut lives = Lives::new(plan.tenants)?;
    let make = |offset| {
        let (_, event, _) = lives.next(offset)?;
        // Recorded as fast as they come, so that seals stand after so many leaves and not at every minute.
        let (from, source_time) =
            (coordinates(offset), Timestamp::from_millis((offset / EVENTS_PER_MS).cast_signed()));
        Ok(IncomingEvent {
            from,
            source_time,
            event,
            time_defaulted: false,
            future: FutureLimit::At(Timestamp::MAX),
        })
    };
    let mut taken = 0;
    let run = measured(plan, make, |arrivals| {
        taken += arrivals.len() as u64;
        let mut batch = shard.begin();
        for arrival in arrivals {
            batch.offer(arrival)?;
        }
        batch.advance(TOPIC, SourcePosition::Kafka { next_offset: taken, leader_epoch: None });
        batch.submit()?;
        if taken == plan.events {
            shard.settle()?;
        }
        Ok(())
    })?;
    let seals = shard.reader().snapshot().last_seal()?.map_or(0, |seal| seal.seq);
    match shard.head().next_position - seals {
        records if records == plan.events => Ok(run),
        records => Err(format!("{records} of {} records", plan.events).into()),
    }
}

/// What the store of `written` wrote, into an empty shard with the same options.
fn into_equal(plan: &Plan, written: &Path, dir: &Path) -> Result<Run, Failure> {
    let written = database_of(written);
    let families = DB::list_cf(&Options::default(), &written)?;
    let mut reading = Options::default();
    // RocksDB falls over a list of closed logs that it was not told to check.
    reading.set_track_and_verify_wals_in_manifest(true);
    let written = DB::open_cf_for_read_only(&reading, &written, families, false)?;
    // The write that names the shard is its only one of one entry.
    let of_events =
        |batch: &Result<(u64, WriteBatch), _>| batch.as_ref().is_ok_and(|(_, batch)| batch.len() > 1);
    let mut batches = written.get_updates_since(1)?.filter(of_events);
    drop(new_shard(dir)?);
    let path = database_of(dir);
    let (options, families) =
        Options::load_latest(&path, Env::new()?, false, Cache::new_lru_cache(512 << 20))?;
    let db = DB::open_cf_descriptors(&options, &path, families)?;
    let mut durable = WriteOptions::default();
    durable.set_sync(true);
    let all = Plan { events: plan.events.div_ceil(plan.batch), batch: 1, dir: PathBuf::new(), ..*plan };
    let next = |_| Ok(batches.next().ok_or("the log of writes was cut: take fewer events")??.1);
    measured(&all, next, |batches| {
        batches.into_iter().try_for_each(|batch| Ok(db.write_opt(batch, &durable)?))
    })
}

fn into_writes(plan: &Plan, dir: &Path) -> Result<Run, Failure> {
    fs::create_dir_all(dir)?;
    let db = open(dir)?;
    let family = db.cf_handle("log").ok_or("no such family")?;
    let mut options = WriteOptions::default();
    options.set_sync(true);
    let mut lives = Lives::new(plan.tenants)?;
    let make = |position| {
        let (stream, seq, record) = lives.next_record(position)?;
        Ok((log::log(&stream, seq), record))
    };
    measured(plan, make, |mut records| {
        records.sort_unstable();
        let mut batch = WriteBatch::default();
        for (key, record) in &records {
            batch.put_cf(family, key, record);
        }
        Ok(db.write_opt(batch, &options)?)
    })
}

fn open(path: &Path) -> Result<DB, Failure> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    // As the store has it: each key is looked for from the one before on.
    let hint = "memtable_insert_with_hint_prefix_extractor=rocksdb.CappedPrefix.0";
    let mut log = Options::default().get_options_from_string(hint)?;
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(512 << 20));
    table.set_block_size(16 * 1024);
    table.set_bloom_filter(10.0, false);
    log.set_write_buffer_size(64 << 20);
    log.set_max_write_buffer_number(4);
    log.set_compression_type(DBCompressionType::Lz4);
    log.set_bottommost_compression_type(DBCompressionType::Zstd);
    log.set_optimize_filters_for_hits(true);
    log.set_block_based_table_factory(&table);
    Ok(DB::open_cf_descriptors(&options, path, [ColumnFamilyDescriptor::new("log", log)])?)
}
