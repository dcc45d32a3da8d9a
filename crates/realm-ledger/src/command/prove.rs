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

use super::signed::{self, Signed};
use super::{Context, REFILL, SIGNED_BY_SERVE, data_dir_flag};
use crate::backend::Remote;
use crate::cli::Prove;
use crate::output::OutputError;
use crate::{Exit, Failure, secret};

/// How long the signature of a seal is waited for, beside a server that signs.
const WAIT: Duration = Duration::from_secs(2);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Which log is to be asked?
#[derive(Debug, thiserror::Error)]
enum NoShard {
    #[error("no partition has {client}, and there are {count}")]
    Nowhere { client: ClientKey, count: usize },
    #[error("{client} is in {first} and in {second}: neither has its whole history")]
    Split { client: ClientKey, first: ShardId, second: ShardId },
    #[error("there is no partition {0} here")]
    NoPartition(u32),
    #[error(
        "nothing of {client} is in {shard} so far, but it still reads what its topic has, or was left or halted before \
         it had: an absence is proven once `serve` has come to the end"
    )]
    NotReadToItsEnd { client: ClientKey, shard: ShardId },
}

/// A bundle could not be written to its end.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] io::Error),
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Prove) -> Result<Exit, Failure> {
    let told = match context.server(&args.place) {
        Some(server) => asked(context, &server, args)?,
        None => made(context, args)?,
    };
    context.say(&told);
    Ok(Exit::Done)
}

/// What a server answers is looked at, as it is to be handed on.
fn asked(context: &mut Context<'_, '_>, server: &Remote, args: &Prove) -> Result<String, Failure> {
    let text = server.proof(&args.asked())?;
    let bundle = Bundle::parse(&text).map_err(Failure::new)?;
    deliver(context, args.output.as_deref(), |out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(told(&bundle.client, bundle.history.count, &bundle.origin, bundle.seal.index + 1))
}

fn told(client: &ClientKey, records: u64, origin: &str, size: u64) -> String {
    format!("{records} records of {client} in {origin} up to size {size}")
}

impl Prove {
    fn asked(&self) -> ProofQuery {
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

fn made(context: &mut Context<'_, '_>, args: &Prove) -> Result<String, Failure> {
    let config = context.config(&data_dir_flag(args.place.data_dir.as_deref()))?.config;
    let (data, secret) = secret::open_existing(&config)?;
    let shard = shard_of(&data, args)?;
    let asked = Proving { client: &args.client_key, app: args.app.as_ref(), pinned: args.pinned };
    let until = Instant::now() + WAIT;
    loop {
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let signed = signed::needed(&config, &shard)?;
        let reader = data.read_shard(&shard)?;
        let snapshot = reader.snapshot();
        match snapshot.prove(asked, &signed.checkpoint, &signed.note, &secret) {
            Err(ProveError::NotSigned { .. }) if Instant::now() < until => thread::sleep(LOOK),
            proven => {
                let proven = proven?;
                if proven.records() == 0 && data.is_behind(&reader).map_err(Failure::new)? {
                    let client = asked.client.clone();
                    return Err(Failure::new(NoShard::NotReadToItsEnd { client, shard }));
                }
                write_lines(context, &shard, &proven, args.output.as_deref())?;
                let Signed { checkpoint, .. } = &signed;
                return Ok(told(asked.client, proven.records(), &checkpoint.origin, checkpoint.size));
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
    write: impl FnOnce(&mut dyn Write) -> Result<(), Unfinished>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        let mut out = BufWriter::new(&mut context.env.output);
        let written = write(&mut out).and_then(|()| Ok(out.flush()?));
        return written.map_err(|error| error.failure(|source| OutputError(source).into()));
    };
    write_file(path, write)
}

/// A file is there whole, or as it was before; what is no file (a pipe, a device) takes it as it comes.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Unfinished>,
) -> Result<(), Failure> {
    let unwritable = |source| Failure::unwritable(path, source);
    if path.exists() && !path.is_file() {
        let mut out = BufWriter::new(File::options().write(true).open(path).map_err(unwritable)?);
        return write(&mut out).and_then(|()| Ok(out.flush()?)).map_err(|error| error.failure(unwritable));
    }
    // A link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace_file(&target, 0o666, write).map_err(|error| error.failure(unwritable))
}

impl Unfinished {
    fn failure(self, unwritable: impl FnOnce(io::Error) -> Failure) -> Failure {
        match self {
            Self::Read(error) => Failure::new(error),
            Self::Write(source) => unwritable(source),
        }
    }
}

fn shard_of(data: &DataDir, args: &Prove) -> Result<ShardId, Failure> {
    let (client, shards) = (&args.client_key, data.shards()?);
    if let Some(partition) = args.partition {
        let is_of_topic = |shard: &ShardId| args.topic.as_ref().is_none_or(|topic| *topic == shard.topic);
        let named = shards.into_iter().find(|shard| shard.partition == partition && is_of_topic(shard));
        return named.ok_or_else(|| Failure::new(NoShard::NoPartition(partition)));
    }
    let count = shards.len();
    let mut found: Option<ShardId> = None;
    for shard in &shards {
        if data.read_shard(shard)?.snapshot().tenant(client).map_err(Failure::new)?.is_none() {
            continue;
        }
        if let Some(first) = found {
            let (client, second) = (client.clone(), shard.clone());
            return Err(Failure::new(NoShard::Split { client, first, second }).hint(REFILL));
        }
        found = Some(shard.clone());
    }
    match (found, shards.into_iter().next()) {
        (Some(shard), _) => Ok(shard),
        (None, Some(only)) if count == 1 => Ok(only),
        _ => Err(Failure::new(NoShard::Nowhere { client: client.clone(), count })
            .hint("name the one that it would be in with --partition: its absence is proven for one log")),
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        let exit = if matches!(error, ProveError::Differs { .. }) { Exit::Difference } else { Exit::Failed };
        let hint = match error {
            ProveError::NotSigned { .. } => Some(SIGNED_BY_SERVE),
            ProveError::Behind { .. } => Some("let `serve` fill it up from Kafka, then it signs again"),
            ProveError::PinnedNewer { .. } => {
                Some("is it a checkpoint of this log? `realm-ledger checkpoint` lists the last ones")
            }
            ProveError::Unsealed | ProveError::Differs { .. } | ProveError::Read(_) => None,
        };
        let failure = Self::new(error).exit(exit);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_to_its_end_leaves_what_was_there() {
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
        // A directory is no file: nothing takes its place.
        assert!(write_file(directory.path(), |_| Ok(())).is_err());
        assert!(path.exists());
    }
}
