//! `prove`: a bundle for others.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ledger_api::query::ProofQuery;
use ledger_core::ids::ClientKey;
use ledger_record::proof::bundle::Bundle;
use ledger_store::{DataDir, ProveError, Proven, Proving, ReadError, ShardId, replace_file};

use super::{Context, REFILL, data_dir_flag};
use crate::backend::Remote;
use crate::cli::Prove;
use crate::output::OutputError;
use crate::{Exit, Failure, evidence, secret};

/// How long the command waits for the signature of a seal, beside a server that signs.
const WAIT: Duration = Duration::from_secs(2);

/// How often it checks for the signature.
const POLL: Duration = Duration::from_millis(100);

/// A bundle could not be written to its end.
#[derive(Debug, thiserror::Error)]
enum BundleWriteError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Prove) -> Result<Exit, Failure> {
    let summary = match context.server(&args.target)? {
        Some(server) => ask(context, &server, args)?,
        None => make(context, args)?,
    };
    context.report(&summary);
    Ok(Exit::Done)
}

/// Parses the answer of a server before it is passed on.
fn ask(context: &mut Context<'_, '_>, server: &Remote, args: &Prove) -> Result<String, Failure> {
    let text = server.proof(&args.query())?;
    let bundle = Bundle::parse(&text)?;
    deliver(context, args.output.as_deref(), |out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(summary(&bundle.client, bundle.history.count, &bundle.origin, bundle.seal.index + 1))
}

fn summary(client: &ClientKey, records: u64, origin: &str, size: u64) -> String {
    format!("{records} records of {client} in {origin} up to size {size}")
}

impl Prove {
    fn query(&self) -> ProofQuery {
        let Self { client_key, app, pinned, partition, topic, .. } = self;
        ProofQuery {
            client: client_key.clone(),
            app: app.clone(),
            pinned: *pinned,
            partition: *partition,
            topic: topic.clone(),
        }
    }
}

fn make(context: &mut Context<'_, '_>, args: &Prove) -> Result<String, Failure> {
    let config = context.config([data_dir_flag(args.target.data_dir.clone())])?;
    let (data, secret) = secret::open_existing(&config)?;
    let shard = shard_of(&data, args)?;
    let proving =
        Proving { client: &args.client_key, app: args.app.as_ref(), granted: None, pinned: args.pinned };
    let until = Instant::now() + WAIT;
    loop {
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let signed = evidence::last_signed(&config, &shard)?.ok_or_else(|| evidence::unsigned(&shard))?;
        let reader = data.read_shard(&shard)?;
        let snapshot = reader.snapshot();
        match snapshot.prove(proving, &signed.checkpoint, &signed.note, &secret) {
            Err(ProveError::NotSigned { .. }) if Instant::now() < until => thread::sleep(POLL),
            proven => {
                let proven = proven?;
                if proven.records() == 0 && data.is_behind(&reader)? {
                    return Err(Failure::new(format!(
                        "nothing of {} is in {shard} so far, but it still reads what its topic has, or was left or \
                         halted before it had: an absence is proven once `serve` has come to the end",
                        args.client_key
                    )));
                }
                write_lines(context, &shard, &proven, args.output.as_deref())?;
                let checkpoint = &signed.checkpoint;
                return Ok(summary(&args.client_key, proven.records(), &checkpoint.origin, checkpoint.size));
            }
        }
    }
}

fn write_lines(
    context: &mut Context<'_, '_>,
    shard: &ShardId,
    proven: &Proven<'_>,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let bar = context.progress(&shard.to_string());
    bar.set_length(proven.records());
    let written = deliver(context, output, |out| {
        proven.write(|line| {
            out.write_all(line.as_bytes())?;
            bar.inc(1);
            Ok(())
        })
    });
    bar.finish_and_clear();
    written
}

fn deliver(
    context: &mut Context<'_, '_>,
    output: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), BundleWriteError>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let mut out = BufWriter::new(&mut context.env.output);
        let written = write(&mut out).and_then(|()| Ok(out.flush()?));
        return written.map_err(|error| error.into_failure(|source| OutputError(source).into()));
    };
    write_file(path, write)
}

/// A file is there whole, or as it was before; a pipe or a device takes the text as it comes.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), BundleWriteError>,
) -> Result<(), Failure> {
    let unwritable = |source| Failure::unwritable(path, source);
    if path.exists() && !path.is_file() {
        let mut out = BufWriter::new(File::options().write(true).open(path).map_err(unwritable)?);
        return write(&mut out)
            .and_then(|()| Ok(out.flush()?))
            .map_err(|error| error.into_failure(unwritable));
    }
    // A link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace_file(&target, 0o666, write).map_err(|error| error.into_failure(unwritable))
}

impl BundleWriteError {
    fn into_failure(self, unwritable: impl FnOnce(io::Error) -> Failure) -> Failure {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(source) => unwritable(source),
        }
    }
}

fn shard_of(data: &DataDir, args: &Prove) -> Result<ShardId, Failure> {
    let (client, shards) = (&args.client_key, data.shards()?);
    if let Some(partition) = args.partition {
        let is_of_topic = |shard: &ShardId| args.topic.as_ref().is_none_or(|topic| *topic == shard.topic);
        let named = shards.into_iter().find(|shard| shard.partition == partition && is_of_topic(shard));
        return named.ok_or_else(|| Failure::new(format!("there is no partition {partition} here")));
    }
    let count = shards.len();
    let mut found: Option<ShardId> = None;
    for shard in &shards {
        if data.read_shard(shard)?.snapshot().tenant(client)?.is_none() {
            continue;
        }
        if let Some(first) = found {
            return Err(Failure::new(format!(
                "{client} is in {first} and in {shard}: neither has its whole history"
            ))
            .hint(REFILL));
        }
        found = Some(shard.clone());
    }
    match (found, shards.into_iter().next()) {
        (Some(shard), _) => Ok(shard),
        (None, Some(only)) if count == 1 => Ok(only),
        _ => Err(Failure::new(format!("no partition has {client}, and there are {count}"))
            .hint("name the one that it would be in with --partition: its absence is proven for one log")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_write_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle");
        fs::write(&path, "what was there").unwrap();
        let broken = write_file(&path, |out| {
            // More than is held back.
            out.write_all("x".repeat(100_000).as_bytes())?;
            Err(io::Error::other("no space").into())
        });
        assert_eq!(broken.unwrap_err().code(), Exit::Failed);
        assert_eq!(fs::read_to_string(&path).unwrap(), "what was there");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        write_file(&path, |out| Ok(out.write_all(b"whole")?)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        // A directory is not replaced.
        assert!(write_file(directory.path(), |_| Ok(())).is_err());
        assert!(path.exists());
    }
}
