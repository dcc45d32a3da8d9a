//! `keys` (made, shown, taken away) and `checkpoint` (the last signed checkpoint of each log).

use ledger_api::query::{CheckpointJson, CheckpointsQuery, Raw};
use ledger_ingest::sign::{SigningKeys, key_id};
use ledger_store::{ShardId, SignedCheckpoint, SourceIdentity};
use serde::Serialize;

use super::{Context, data_dir_flag, open_read_only};
use crate::ask_error::AskError;
use crate::cli::{CheckpointArgs, DataDirArg, KeysCommand, KeysGenerate, KeysRetire, KeysShow, QueryTarget};
use crate::config::Config;
use crate::output::{Column, raw};
use crate::{Exit, Failure, evidence};

const KEYS: &[Column] =
    &[Column::at("key", "/key"), Column::at("origin", "/origin"), Column::at("verifier key", "/verifierKey")];

const CHECKPOINTS: &[Column] =
    &[Column::at("origin", "/origin"), Column::at("size", "/size"), Column::at("root hash", "/rootHash")];

/// A key, and what others check its signatures under one log with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyOfLog<'o> {
    key: String,
    origin: &'o str,
    verifier_key: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, command: KeysCommand) -> Result<Exit, Failure> {
    match command {
        KeysCommand::Generate(KeysGenerate { of, add }) => {
            let (_, keys) = keys_of(context, of)?;
            let made = if add { keys.add()? } else { keys.generate()? };
            let path = keys.path().display();
            context.report(&format!("key {} is in {path}; keep a copy of it", key_id(&made)));
            Ok(Exit::Done)
        }
        KeysCommand::Show(KeysShow { of, origin, partition }) => {
            let (config, keys) = keys_of(context, of)?;
            let origins = match origin {
                Some(origin) => vec![origin],
                None => origins(&config, partition)?,
            };
            show(context, &keys, &origins)
        }
        KeysCommand::Retire(KeysRetire { of, key }) => {
            let (_, keys) = keys_of(context, of)?;
            keys.retire(&key)?;
            context.report(&format!("key {key} signs no more once `serve` is restarted"));
            Ok(Exit::Done)
        }
    }
}

fn keys_of(context: &Context<'_, '_>, of: DataDirArg) -> Result<(Config, SigningKeys), Failure> {
    let config = context.config([data_dir_flag(of.data_dir)])?;
    let keys = SigningKeys::new(&config.keys_dir());
    Ok((config, keys))
}

/// The logs of the ledger, as far as they are known here.
fn origins(config: &Config, partition: Option<u32>) -> Result<Vec<String>, Failure> {
    let names = evidence::origins(config)?;
    let data = open_read_only(config).ok();
    let mut origins = Vec::new();
    for topic in &config.kafka.topics {
        let known = data.as_ref().and_then(|data| data.identity(topic).ok().flatten());
        let partitions = match (partition, known) {
            (Some(partition), Some(SourceIdentity { partitions, .. })) if partition >= partitions => {
                return Err(Failure::new(format!(
                    "{topic} has {partitions} partitions, numbered from 0, and none is {partition}"
                ))
                .hint("--origin names the log of another ledger"));
            }
            (Some(partition), _) => partition..partition.saturating_add(1),
            (None, known) => 0..known.map_or(1, |identity| identity.partitions),
        };
        origins
            .extend(partitions.map(|partition| names.origin(&ShardId { topic: topic.clone(), partition })));
    }
    Ok(origins)
}

fn show(context: &mut Context<'_, '_>, keys: &SigningKeys, origins: &[String]) -> Result<Exit, Failure> {
    let all = keys.read()?;
    if all.is_empty() {
        return Err(Failure::new(format!("{} has no signing key", keys.path().display()))
            .hint("`realm-ledger keys generate` makes one"));
    }
    let mut shown = Vec::new();
    for origin in origins {
        for key in &all {
            let renamed = key.renamed(origin).map_err(|error| Failure::new(format!("no origin: {error}")))?;
            shown.push(KeyOfLog { key: key_id(key), origin, verifier_key: renamed.verifier().to_string() });
        }
    }
    context.print_list(KEYS, shown.iter().map(raw))?;
    Ok(Exit::Done)
}

pub(super) fn checkpoint(context: &mut Context<'_, '_>, args: CheckpointArgs) -> Result<Exit, Failure> {
    let CheckpointArgs { shard, target } = args;
    let checkpoints = checkpoints(context, &target)?;
    let Some(shard) = shard else {
        context.print_list(CHECKPOINTS, checkpoints.into_iter().map(Ok))?;
        return Ok(Exit::Done);
    };
    for checkpoint in &checkpoints {
        let found: CheckpointJson =
            serde_json::from_str(checkpoint.get()).map_err(|source| AskError::NotAnAnswer { source })?;
        if found.topic == shard.topic && found.partition == shard.partition {
            context.print_text(found.note.as_bytes())?;
            return Ok(Exit::Done);
        }
    }
    Err(Failure::new(format!("no checkpoint of {shard} is known"))
        .hint("`checkpoint` without a name lists those that there are"))
}

/// Those of a server, or those that are kept beside the keys: what this machine published or followed last.
fn checkpoints(context: &Context<'_, '_>, target: &QueryTarget) -> Result<Vec<Raw>, Failure> {
    if target.url.is_some() {
        return Ok(context.backend(target)?.ask(&CheckpointsQuery {})?.checkpoints);
    }
    let config = context.config([data_dir_flag(target.data_dir.clone())])?;
    let mut checkpoints = Vec::new();
    for shard in open_read_only(&config)?.shards()? {
        if let Some(SignedCheckpoint { checkpoint, note }) = evidence::last_signed(&config, &shard)? {
            checkpoints.push(raw(&CheckpointJson::new(&shard, checkpoint, note))?);
        }
    }
    Ok(checkpoints)
}
