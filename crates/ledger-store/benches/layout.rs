//! Two ways to lay out the log, on the same records, by hand:
//!
//! ```text
//! cargo bench -p ledger-store --bench layout -- [events] [tenants] [directory] [batch]
//! ```
//!
//! - **B**: records under `stream ‖ seq`, positions point to them. What the store does.
//! - **C**: records under their position, `stream ‖ seq` points to them.
//!
//! And the store itself, for what the rest costs: the fold, ids, tenants, index.
//!
//! B and C run with the options of the store, sorted synced batches and the head in a family of its own. The records
//! are those of lives that the fold went through, each tenant's in its own order, tenants at random. What it
//! costs to make them is taken off: the CPU time of this thread while it makes them, and the wall time.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger_record::key::log;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::{Record, Stream};
use ledger_record::rows::SourcePosition;
use ledger_store::{DataDir, FutureLimit, IncomingEvent, ShardId, SourceIdentity, StoreOptions};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options,
    ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions,
};

#[path = "layout/cpu.rs"]
mod cpu;
#[path = "layout/lives.rs"]
mod lives;

use cpu::{process_cpu, thread_cpu};
use lives::{Lives, client, coordinates};

type Failure = Box<dyn Error>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    B,
    C,
}

const AT_A_TIME: usize = 256;
const TENANT_READS: u64 = 5_000;

fn main() -> Result<(), Failure> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let events = arguments.next().map_or(Ok(2_000_000), |text| text.parse())?;
    let tenants = arguments.next().map_or(Ok(events / 20), |text| text.parse())?;
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let batches =
        arguments.next().map_or(Ok(vec![1_000, 10_000]), |text| text.parse().map(|one| vec![one]))?;
    println!("{events} events, {tenants} tenants");
    for batch in batches {
        for layout in [Layout::B, Layout::C] {
            let path = dir.join(format!("layout-{layout:?}-{batch}"));
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            run(layout, &path, events, tenants, batch)?;
            fs::remove_dir_all(&path)?;
        }
        let path = dir.join(format!("layout-store-{batch}"));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fill_store(&path, events, tenants, batch)?;
        fs::remove_dir_all(&path)?;
    }
    Ok(())
}

fn run(layout: Layout, path: &Path, events: u64, tenants: u64, batch: u64) -> Result<(), Failure> {
    println!("layout {layout:?}, batches of {batch}");
    let cache = Cache::new_lru_cache(512 << 20);
    let db = open(path, layout, &cache)?;
    fill(&db, layout, events, tenants, batch)?;
    let mib = bytes_in(path)? as f64 / f64::from(1 << 20);
    println!(
        "  on disk          {mib:>10.0} MiB, {:.0} bytes/event",
        mib * f64::from(1 << 20) / events as f64
    );
    timed("by tenant, all", events, || by_tenant(&db, layout))?;
    timed("by position, all", events, || by_position(&db, layout))?;
    let begun = Instant::now();
    let mut read = 0;
    for number in 0..TENANT_READS {
        // Knuth's multiplicative hash walks over the tenants in no order.
        let stream = Stream::Tenant(client(number.wrapping_mul(2_654_435_761) % tenants)?);
        read += one_tenant(&db, layout, &stream)?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / TENANT_READS as f64;
    let records = read as f64 / TENANT_READS as f64;
    println!("  one tenant       {each:>10.1} µs ({records:.1} records)");
    Ok(())
}

fn fill(db: &DB, layout: Layout, events: u64, tenants: u64, batch: u64) -> Result<(), Failure> {
    let mut lives = Lives::new(tenants)?;
    let cpu_before = process_cpu()?;
    let (mut making_cpu, mut writing) = (Duration::ZERO, Duration::ZERO);
    let mut position = 0;
    let mut value_bytes = 0;
    while position < events {
        let cpu = thread_cpu()?;
        let mut records = Vec::new();
        for position in position..events.min(position + batch) {
            let (stream, seq, record) = lives.next_record(position)?;
            value_bytes += record.len();
            records.push((log::log(&stream, seq), position, record));
        }
        making_cpu += thread_cpu()?.saturating_sub(cpu);
        let begun = Instant::now();
        write(db, layout, &mut records)?;
        writing += begun.elapsed();
        position += records.len() as u64;
    }
    let begun = Instant::now();
    for family in ["log", "pointer", "meta"] {
        db.flush_cf(handle(db, family)?)?;
    }
    db.wait_for_compact(&WaitForCompactOptions::default())?;
    let settled = writing + begun.elapsed();
    let cpu = process_cpu()?.saturating_sub(cpu_before).saturating_sub(making_cpu);
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    println!("  record           {:>10.0} bytes", value_bytes as f64 / events as f64);
    println!("  append           {:>10.0} events/s", rate(writing));
    println!("  settled          {:>10.0} events/s", rate(settled));
    println!("  CPU              {:>10.2} µs/event", cpu.as_secs_f64() * 1e6 / events as f64);
    Ok(())
}

/// The store with all it writes.
fn fill_store(path: &Path, events: u64, tenants: u64, batch: u64) -> Result<(), Failure> {
    println!("the store, batches of {batch}");
    let data_dir = DataDir::open(path, StoreOptions::default(), LedgerSecret::from_bytes([7; 32]))?;
    let identity = SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 };
    data_dir.bind("realm.lifecycle", &identity)?;
    let mut shard = data_dir.open_shard(&ShardId { topic: "realm.lifecycle".to_owned(), partition: 0 })?;
    let mut lives = Lives::new(tenants)?;
    let cpu_before = process_cpu()?;
    let (mut making_cpu, mut writing) = (Duration::ZERO, Duration::ZERO);
    let mut position = 0;
    while position < events {
        let cpu = thread_cpu()?;
        let arrivals = (position..events.min(position + batch)).map(|offset| arrival(&mut lives, offset));
        let arrivals: Vec<_> = arrivals.collect::<Result<_, _>>()?;
        making_cpu += thread_cpu()?.saturating_sub(cpu);
        position += arrivals.len() as u64;
        let begun = Instant::now();
        let mut batch = shard.begin();
        for arrival in arrivals {
            batch.offer(arrival)?;
        }
        batch.advance("realm.lifecycle", SourcePosition::Kafka { next_offset: position, leader_epoch: None });
        batch.commit()?;
        writing += begun.elapsed();
    }
    if shard.head().next_position != events {
        return Err(format!("{} of {events} records", shard.head().next_position).into());
    }
    drop(shard);
    let cpu = process_cpu()?.saturating_sub(cpu_before).saturating_sub(making_cpu);
    println!("  append           {:>10.0} events/s", events as f64 / writing.as_secs_f64());
    println!("  CPU              {:>10.2} µs/event", cpu.as_secs_f64() * 1e6 / events as f64);
    let bytes = bytes_in(&path.join("shards/realm.lifecycle/0"))?;
    println!("  on disk          {:>10.0} bytes/event, not all compacted", bytes as f64 / events as f64);
    Ok(())
}

fn arrival(lives: &mut Lives, offset: u64) -> Result<IncomingEvent, Failure> {
    let (_, event, _) = lives.next(offset)?;
    let (from, source_time) = (coordinates(offset), event.time);
    Ok(IncomingEvent { from, source_time, event, time_defaulted: false, future: FutureLimit::AfterRecorded })
}

fn write(db: &DB, layout: Layout, records: &mut [(Vec<u8>, u64, Vec<u8>)]) -> Result<(), Failure> {
    let mut batch = WriteBatch::default();
    let (log, pointer) = (handle(db, "log")?, handle(db, "pointer")?);
    let mut last = 0;
    if layout == Layout::B {
        for (key, position, _) in records.iter() {
            batch.put_cf(pointer, position.to_be_bytes(), key);
        }
    } else {
        for (_, position, record) in records.iter() {
            batch.put_cf(log, position.to_be_bytes(), record);
        }
    }
    records.sort_unstable();
    for (key, position, record) in records.iter() {
        match layout {
            Layout::B => batch.put_cf(log, key, record),
            Layout::C => batch.put_cf(pointer, key, position.to_be_bytes()),
        }
        last = last.max(*position);
    }
    batch.put_cf(handle(db, "meta")?, b"head", last.to_be_bytes());
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options.set_memtable_insert_hint_per_batch(true);
    Ok(db.write_opt(batch, &options)?)
}

/// Every record, grouped by tenant.
fn by_tenant(db: &DB, layout: Layout) -> Result<u64, Failure> {
    match layout {
        Layout::B => walk(db, decode),
        Layout::C => follow(db, sweeping(), |pointer_key, _, record| decode(pointer_key, record)),
    }
}

/// Every record, in order of position.
fn by_position(db: &DB, layout: Layout) -> Result<u64, Failure> {
    match layout {
        Layout::B => follow(db, sweeping(), |_, key, record| decode(key, record)),
        // The stream would stand in the record then; any will do to decode it.
        Layout::C => {
            let stream = Stream::Tenant(client(0)?);
            walk(db, |_, value| Ok(Record::decode_event(&stream, value).map(drop)?))
        }
    }
}

fn one_tenant(db: &DB, layout: Layout, stream: &Stream) -> Result<u64, Failure> {
    let mut options = ReadOptions::default();
    let prefix = log::stream_prefix(stream);
    let end = log::log(stream, u64::MAX);
    options.set_iterate_range(prefix..end);
    match layout {
        Layout::B => {
            let mut scan = db.raw_iterator_cf_opt(handle(db, "log")?, options);
            let mut read = 0;
            scan.seek_to_first();
            while let Some(value) = scan.value() {
                Record::decode_event(stream, value)?;
                read += 1;
                scan.next();
            }
            scan.status()?;
            Ok(read)
        }
        Layout::C => follow(db, options, |_, _, record| Ok(Record::decode_event(stream, record).map(drop)?)),
    }
}

/// Walks over `log`.
fn walk(db: &DB, mut see: impl FnMut(&[u8], &[u8]) -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut read = 0;
    let mut scan = db.raw_iterator_cf_opt(handle(db, "log")?, sweeping());
    scan.seek_to_first();
    while let Some((key, value)) = scan.item() {
        see(key, value)?;
        read += 1;
        scan.next();
    }
    scan.status()?;
    Ok(read)
}

/// Walks over `pointer`, and fetches what it points to.
fn follow(
    db: &DB,
    options: ReadOptions,
    mut see: impl FnMut(&[u8], &[u8], &[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let log = handle(db, "log")?;
    let mut pointers = db.iterator_cf_opt(handle(db, "pointer")?, options, IteratorMode::Start);
    let mut read = 0;
    loop {
        let some: Vec<_> = pointers.by_ref().take(AT_A_TIME).collect::<Result<_, _>>()?;
        if some.is_empty() {
            return Ok(read);
        }
        let values = db.batched_multi_get_cf(log, some.iter().map(|(_, to)| to), false);
        for ((key, to), value) in some.iter().zip(values) {
            see(key, to, &value?.ok_or("a pointer to nothing")?)?;
            read += 1;
        }
    }
}

fn decode(key: &[u8], value: &[u8]) -> Result<(), Failure> {
    let stream = log::LogKey::decode(key)?.stream;
    Record::decode_event(&stream, value)?;
    Ok(())
}

fn timed(what: &str, events: u64, run: impl FnOnce() -> Result<u64, Failure>) -> Result<(), Failure> {
    let begun = Instant::now();
    let read = run()?;
    if read != events {
        return Err(format!("{what}: {read} of {events} records").into());
    }
    println!("  {what:<16} {:>10.0} events/s", events as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

fn sweeping() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(2 << 20);
    options
}

fn open(path: &Path, layout: Layout, cache: &Cache) -> Result<DB, Failure> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    let family = |name: &str, holds_records: bool| {
        let mut options = Options::default();
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_block_size(16 * 1024);
        options.set_write_buffer_size(64 << 20);
        options.set_max_write_buffer_number(4);
        options.set_compression_type(DBCompressionType::Lz4);
        if name == "pointer" && layout == Layout::B {
            options.set_compression_type(DBCompressionType::Zstd);
        } else if name == "pointer" {
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        if holds_records {
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
            if layout == Layout::B {
                table.set_bloom_filter(10.0, false);
                options.set_optimize_filters_for_hits(true);
            }
        }
        options.set_block_based_table_factory(&table);
        ColumnFamilyDescriptor::new(name, options)
    };
    let families = [family("log", true), family("pointer", false), family("meta", false)];
    Ok(DB::open_cf_descriptors(&options, path, families)?)
}

fn handle<'a>(db: &'a DB, name: &str) -> Result<&'a rocksdb::ColumnFamily, Failure> {
    Ok(db.cf_handle(name).ok_or("no such family")?)
}

fn bytes_in(path: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in fs::read_dir(path)? {
        let file = file?;
        if file.path().extension().is_some_and(|extension| extension == "sst") {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}
