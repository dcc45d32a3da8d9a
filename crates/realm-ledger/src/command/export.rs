//! `export`: every log as C2SP tiles, or every record as NDJSON.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use ledger_record::json::record::{QuarantineJson, RecordJson};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::tiles::{CHECKPOINT, Tile, Tiler, TooLong};
use ledger_record::record::Record;
use ledger_store::{DataDir, PreviousLeaves, ReadError, ShardId, line_of, with_causes};
use serde::Serialize;

use super::signed::{self, Signed};
use super::{Context, data_dir_flag};
use crate::cli::Export;
use crate::config::Config;
use crate::output::{OutputError, raw};
use crate::{Exit, Failure, secret};

/// An export went wrong.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{shard} has {found} leaves, but a checkpoint was signed at size {signed}")]
    Shorter { shard: ShardId, found: u64, signed: u64 },
    #[error("the log of {shard} is not the one whose checkpoint was signed at size {signed}")]
    Differs { shard: ShardId, signed: u64 },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// A record and where it is.
#[derive(Serialize)]
struct Line<'a, T> {
    topic: &'a str,
    partition: u32,
    #[serde(rename = "")]
    record: T,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Export) -> Result<Exit, Failure> {
    let config = context.config(&data_dir_flag(args.data_dir.as_deref()))?.config;
    match &args.tlog {
        Some(directory) => tlog(context, &config, directory),
        None => ndjson(context, &config),
    }
}

fn tlog(context: &mut Context<'_, '_>, config: &Config, directory: &Path) -> Result<Exit, Failure> {
    let (data, secret) = secret::open_existing(config)?;
    for shard in data.shards()? {
        let Some(signed) = signed::last(config, &shard)? else {
            let sealed = data.read_shard(&shard)?.snapshot().sealed_size().map_err(ExportError::Read)?;
            if sealed > 0 {
                return Err(signed::missing(&shard));
            }
            // Of a partition without messages, an assignment makes an empty shard.
            context.say(&format!("{shard} is left out: nothing is sealed there yet"));
            continue;
        };
        let target = directory.join(&shard.topic).join(shard.partition.to_string());
        write_log(context, &data, &shard, &signed, &secret, &target)?;
        let size = signed.checkpoint.size;
        context.say(&format!("{size} leaves of {} are in {}", signed.checkpoint.origin, target.display()));
    }
    Ok(Exit::Done)
}

fn write_log(
    context: &Context<'_, '_>,
    data: &DataDir,
    shard: &ShardId,
    signed: &Signed,
    secret: &LedgerSecret,
    target: &Path,
) -> Result<(), Failure> {
    let reader = data.read_shard(shard)?;
    let snapshot = reader.snapshot();
    let size = signed.checkpoint.size;
    let found = snapshot.tree_size().map_err(ExportError::Read)?;
    if found < size {
        return Err(ExportError::Shorter { shard: shard.clone(), found, signed: size }.into());
    }
    if snapshot.tree_root(size).map_err(ExportError::Read)? != signed.checkpoint.root {
        return Err(ExportError::Differs { shard: shard.clone(), signed: size }.into());
    }
    let bar = context.progress(&shard.to_string());
    bar.set_length(size);
    let mut tiler = Tiler::default();
    let mut links = PreviousLeaves::default();
    for linked in snapshot.linked(0..size, &mut links).map_err(ExportError::Read)? {
        let (record, beside) = linked.map_err(ExportError::Read)?;
        let (index, line) = (record.position, line_of(&record, beside, secret).map_err(ExportError::Read)?);
        write_tiles(target, tiler.push(&line).map_err(ExportError::TooLong)?)?;
        if index.is_multiple_of(1024) {
            bar.set_position(index);
        }
    }
    write_tiles(target, tiler.partial())?;
    bar.finish_and_clear();
    // Last: whoever reads it finds all that it speaks of.
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
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    context.completeness.note_of_all();
    let mut readers = Vec::new();
    // All of them first: what is lacking counts, however soon the reader of the output has seen enough.
    for shard in data.shards()? {
        match data.read_shard(&shard) {
            Ok(reader) => readers.push((shard, reader)),
            Err(error) => context.completeness.note_unasked(&shard, &with_causes(&error)),
        }
    }
    for (shard, reader) in readers {
        for record in reader.snapshot().records_from(0).map_err(ExportError::Read)? {
            let record = record.map_err(ExportError::Read)?;
            let Some(line) = shown(&shard, &record)? else { continue };
            writeln!(context.env.output, "{line}").map_err(OutputError)?;
        }
    }
    context.env.output.flush().map_err(OutputError)?;
    Ok(Exit::Done)
}

/// Seals are of the log, and say nothing of their own.
fn shown(shard: &ShardId, record: &Record) -> Result<Option<String>, OutputError> {
    let ShardId { topic, partition } = shard;
    let partition = *partition;
    let line = match (RecordJson::of(record), QuarantineJson::of(record)) {
        (Some(record), _) => raw(&Line { topic, partition, record })?,
        (None, Some(record)) => raw(&Line { topic, partition, record })?,
        (None, None) => return Ok(None),
    };
    Ok(Some(line.get().to_owned()))
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let exit = match error {
            ExportError::Differs { .. } | ExportError::Shorter { .. } => Exit::Difference,
            _ => Exit::Failed,
        };
        Self::new(error).exit(exit)
    }
}
