//! `keys`: made, shown, taken away.

use ledger_ingest::sign::{KeysError, SigningKeys, key_id};
use ledger_record::proof::note::{NoteKeyError, SignerKey};
use ledger_store::{DataDir, ShardId, SourceIdentity};
use serde::Serialize;

use super::{Context, data_dir_flag};
use crate::cli::{Keys, KeysGenerate, KeysOf, KeysRetire, KeysShow};
use crate::config::Config;
use crate::output::{Column, raw};
use crate::{Exit, Failure, evidence};

const COLUMNS: &[Column] =
    &[Column::of("key", "/key"), Column::of("origin", "/origin"), Column::of("verifier key", "/verifierKey")];

/// A key signs for a log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    key: String,
    origin: String,
    verifier_key: String,
}

/// There is nothing to show.
#[derive(Debug, thiserror::Error)]
#[error("{path} has no signing key", path = path.display())]
struct NoKeys {
    path: std::path::PathBuf,
}

/// The ledger has no such log.
#[derive(Debug, thiserror::Error)]
#[error("{topic} has {partitions} partitions, numbered from 0, and none is {partition}")]
struct NoLog {
    topic: String,
    partition: u32,
    partitions: u32,
}

/// The origin cannot be the name of a key.
#[derive(Debug, thiserror::Error)]
#[error("no origin: {0}")]
struct NoOrigin(#[from] NoteKeyError);

pub(super) fn run(context: &mut Context<'_, '_>, command: Keys) -> Result<Exit, Failure> {
    match command {
        Keys::Generate(KeysGenerate { of, add }) => {
            let (_, keys) = keys_of(context, &of)?;
            let made = if add { keys.add()? } else { keys.generate()? };
            context.say(&format!("key {} is in {}; keep a copy of it", key_id(&made), keys.path().display()));
            Ok(Exit::Done)
        }
        Keys::Show(KeysShow { of, origin, partition }) => {
            let (config, keys) = keys_of(context, &of)?;
            let origins = match origin {
                Some(origin) => vec![origin],
                None => origins(&config, partition)?,
            };
            show(context, &keys, &origins)
        }
        Keys::Retire(KeysRetire { of, key }) => {
            let (_, keys) = keys_of(context, &of)?;
            keys.retire(&key)?;
            context.say(&format!("key {key} signs no more once `serve` is restarted"));
            Ok(Exit::Done)
        }
    }
}

fn keys_of(context: &Context<'_, '_>, of: &KeysOf) -> Result<(Config, SigningKeys), Failure> {
    let config = context.config(&data_dir_flag(of.data_dir.as_deref()))?.config;
    let keys = SigningKeys::of(&config.keys_dir());
    Ok((config, keys))
}

/// The logs of the ledger, as far as they are known here.
fn origins(config: &Config, partition: Option<u32>) -> Result<Vec<String>, Failure> {
    let names = evidence::origins(config)?;
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone()).ok();
    let mut origins = Vec::new();
    for topic in &config.kafka.topics {
        let known = data.as_ref().and_then(|data| data.identity(topic).ok().flatten());
        let partitions = match (partition, known) {
            (Some(partition), Some(SourceIdentity { partitions, .. })) if partition >= partitions => {
                let no_log = NoLog { topic: topic.clone(), partition, partitions };
                return Err(Failure::new(no_log).hint("--origin names the log of another ledger"));
            }
            (Some(partition), _) => partition..partition.saturating_add(1),
            (None, known) => 0..known.map_or(1, |identity| identity.partitions),
        };
        origins.extend(partitions.map(|partition| names.of(&ShardId { topic: topic.clone(), partition })));
    }
    Ok(origins)
}

fn show(context: &mut Context<'_, '_>, keys: &SigningKeys, origins: &[String]) -> Result<Exit, Failure> {
    let all = keys.read()?;
    if all.is_empty() {
        let path = keys.path().to_owned();
        return Err(Failure::new(NoKeys { path }).hint("`realm-ledger keys generate` makes one"));
    }
    let mut lines = Vec::new();
    for origin in origins {
        for key in &all {
            lines.push(Line::of(key, origin).map_err(Failure::new)?);
        }
    }
    let mut printer = context.printer(COLUMNS);
    for line in lines {
        printer.item(&raw(&line)?)?;
    }
    printer.finish()?;
    Ok(Exit::Done)
}

impl Line {
    fn of(key: &SignerKey, origin: &str) -> Result<Self, NoOrigin> {
        let verifier_key = key.renamed(origin)?.verifier().to_string();
        Ok(Self { key: key_id(key), origin: origin.to_owned(), verifier_key })
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        Self::new(error)
    }
}
