//! `export`: every log as C2SP tiles, or every record as NDJSON.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use ledger_api::query::Raw;
use ledger_record::json::record::{QuarantineJson, RecordJson};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::tiles::{CHECKPOINT, Tile, Tiler};
use ledger_record::record::Record;
use ledger_store::{DataDir, PreviousLeaves, Reader, ShardId, SignedCheckpoint, line_of, with_causes};
use serde::Serialize;

use super::{Context, data_dir_flag, open_read_only, shards_to};
use crate::cli::Export;
use crate::config::Config;
use crate::output::{OutputError, raw};
use crate::{Exit, Failure, evidence, secret};

/// A record and where it is.
#[derive(Serialize)]
struct ShardRecord<'a, T> {
    topic: &'a str,
    partition: u32,
    #[serde(rename = "")]
    record: T,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Export) -> Result<Exit, Failure> {
    let config = context.config([data_dir_flag(args.data_dir)])?;
    match args.tlog {
        Some(directory) => tlog(context, &config, &directory),
        None => ndjson(context, &config),
    }
}

fn tlog(context: &mut Context<'_, '_>, config: &Config, directory: &Path) -> Result<Exit, Failure> {
    let (data, secret) = secret::open_existing(config)?;
    for shard in shards_to("export", &data)? {
        let Some(signed) = evidence::last_signed(config, &shard)? else {
            if data.read_shard(&shard)?.snapshot().sealed_size()? > 0 {
                return Err(evidence::unsigned(&shard));
            }
            // Of a partition without messages, an assignment makes an empty shard.
            context.report(&format!("{shard} is left out: nothing is sealed there yet"));
            continue;
        };
        let target = directory.join(&shard.topic).join(shard.partition.to_string());
        write_log(context, &data, &shard, &signed, &secret, &target)?;
        let size = signed.checkpoint.size;
        context.report(&format!("{size} leaves of {} are in {}", signed.checkpoint.origin, target.display()));
    }
    Ok(Exit::Done)
}

fn write_log(
    context: &Context<'_, '_>,
    data: &DataDir,
    shard: &ShardId,
    signed: &SignedCheckpoint,
    secret: &LedgerSecret,
    target: &Path,
) -> Result<(), Failure> {
    let reader = data.read_shard(shard)?;
    let snapshot = reader.snapshot();
    let size = signed.checkpoint.size;
    let found = snapshot.tree_size()?;
    if found < size {
        return Err(Failure::new(format!(
            "{shard} has {found} leaves, but a checkpoint was signed at size {size}"
        ))
        .exit(Exit::Difference));
    }
    if snapshot.tree_root(size)? != signed.checkpoint.root {
        return Err(Failure::new(format!(
            "the log of {shard} is not the one whose checkpoint was signed at size {size}"
        ))
        .exit(Exit::Difference));
    }
    let bar = context.progress(&shard.to_string());
    bar.set_length(size);
    let mut tiler = Tiler::default();
    let mut links = PreviousLeaves::default();
    for linked in snapshot.linked(0..size, &mut links)? {
        let (record, beside) = linked?;
        let (index, line) = (record.position, line_of(&record, beside, secret)?);
        write_tiles(target, tiler.push(&line)?)?;
        if index.is_multiple_of(1024) {
            bar.set_position(index);
        }
    }
    write_tiles(target, tiler.partial())?;
    bar.finish_and_clear();
    // Last: the reader of a checkpoint finds all that it covers.
    write(&target.join(CHECKPOINT), signed.note.as_bytes())
}

fn write_tiles(target: &Path, tiles: Vec<(Tile, Vec<u8>)>) -> Result<(), Failure> {
    tiles.into_iter().try_for_each(|(tile, bytes)| write(&target.join(tile.path()), &bytes))
}

/// A reader finds the file whole, or the one before.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let unwritable = |source| Failure::unwritable(path, source);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(unwritable)?;
    }
    let part = path.with_extension("part");
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, path)).map_err(unwritable)
}

fn ndjson(context: &mut Context<'_, '_>, config: &Config) -> Result<Exit, Failure> {
    let data = open_read_only(config)?;
    // All of them first: what is lacking counts, however soon the reader of the output has seen enough.
    for (shard, reader) in read_all(context, &data, shards_to("export", &data)?) {
        for record in reader.snapshot().records_from(0)? {
            if let Some(line) = to_json(&shard, &record?)? {
                writeln!(context.env.output, "{}", line.get()).map_err(OutputError)?;
            }
        }
    }
    context.env.output.flush().map_err(OutputError)?;
    Ok(Exit::Done)
}

/// Opens shards of which each is needed: one that does not open is noted, and the others go on.
pub(super) fn read_all(
    context: &Context<'_, '_>,
    data: &DataDir,
    shards: Vec<ShardId>,
) -> Vec<(ShardId, Reader)> {
    context.completeness.note_of_all();
    let mut readers = Vec::new();
    for shard in shards {
        match data.read_shard(&shard) {
            Ok(reader) => readers.push((shard, reader)),
            Err(error) => context.completeness.note_unasked(&shard, &with_causes(&error)),
        }
    }
    readers
}

/// The JSON of an event or a refusal; none for other records, which are of the log only.
fn to_json(shard: &ShardId, record: &Record) -> Result<Option<Raw>, OutputError> {
    let ShardId { topic, partition } = shard;
    let partition = *partition;
    match (RecordJson::of(record), QuarantineJson::of(record)) {
        (Some(record), _) => raw(&ShardRecord { topic, partition, record }).map(Some),
        (None, Some(record)) => raw(&ShardRecord { topic, partition, record }).map(Some),
        (None, None) => Ok(None),
    }
}
