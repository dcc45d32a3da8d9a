//! `prove`: a bundle for others.

use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ledger_api::query::Proof;
use ledger_core::ids::ClientKey;
use ledger_record::proof::bundle::Bundle;
use ledger_store::{DataDir, ProveError, Proving, ShardId};

use super::{Context, data_dir_flag, signed};
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
}

pub(super) fn run(context: &mut Context<'_, '_>, args: &Prove) -> Result<Exit, Failure> {
    let text = match context.server(&args.place) {
        Some(server) => server.proof(&args.asked())?,
        None => made(context, args)?.write(),
    };
    // What a server answers is looked at, too: it is to be handed on.
    let bundle = Bundle::parse(&text).map_err(Failure::new)?;
    if let Some(path) = args.output.as_deref() {
        write(path, &text)?;
    } else {
        let out = &mut context.surroundings.output;
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError)?;
    }
    context.say(&format!(
        "{} records of {} in {} up to size {}",
        bundle.history.records.len(),
        bundle.client,
        bundle.origin,
        bundle.seal.index + 1
    ));
    Ok(Exit::Done)
}

impl Prove {
    fn asked(&self) -> Proof {
        let Self { client_key, app, pinned, partition, topic, .. } = self;
        Proof {
            client: client_key.clone(),
            app: app.clone(),
            pinned: *pinned,
            partition: *partition,
            topic: topic.clone(),
        }
    }
}

fn made(context: &Context<'_, '_>, args: &Prove) -> Result<Bundle, Failure> {
    let config = context.config(&data_dir_flag(args.place.data_dir.as_deref()))?.config;
    let (data, secret) = secret::open_existing(&config)?;
    let shard = shard_of(&data, args)?;
    let asked = Proving { client: &args.client_key, app: args.app.as_ref(), pinned: args.pinned };
    let until = Instant::now() + WAIT;
    loop {
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let signed = signed::needed(&config, &shard)?;
        let reader = data.read_shard(&shard)?;
        match reader.snapshot().bundle(asked, &signed.checkpoint, &signed.note, &secret) {
            Err(ProveError::NotSigned { .. }) if Instant::now() < until => thread::sleep(LOOK),
            bundle => return Ok(bundle?),
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::unwritable(path, source))
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
            return Err(Failure::new(NoShard::Split { client, first, second }));
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
        Self::new(error).exit(exit)
    }
}
