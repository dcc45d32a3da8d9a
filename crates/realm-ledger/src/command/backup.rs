//! `backup`: makes a generation, of a data directory or by a server, or checks what is kept.

use std::io::{BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use ledger_api::action::BACKUP;
use ledger_api::backup::{BackupAnswer, BackupLine, BackupOrder, BackupShard, BytesDone};
use ledger_api::query::ProblemJson;
use ledger_record::json;
use ledger_store::{BackupCheck, BackupDamage, Generation, verify_backup, with_causes};
use serde::Serialize;

use super::{Context, advance, data_dir_flag, in_store, open_read_only};
use crate::ask_error::AskError;
use crate::backend::Remote;
use crate::cli::BackupArgs;
use crate::output::{Column, raw};
use crate::{Exit, Failure, backups};

const SHARDS: &[Column] = &[
    Column::at("generation", "/generation"),
    Column::at("topic", "/topic"),
    Column::at("partition", "/partition"),
    Column::at("next offset", "/nextOffset"),
    Column::at("records", "/nextPosition"),
    Column::at("sealed", "/sealedSize"),
    Column::at("root", "/sealedRoot"),
    Column::at("bytes", "/bytes"),
];

const DAMAGE: &[Column] = &[Column::at("damage", "/damage")];

#[derive(Serialize)]
struct ShardOfGeneration<'a> {
    generation: u64,
    #[serde(rename = "")]
    shard: &'a BackupShard,
}

#[derive(Serialize)]
struct DamageLine {
    damage: String,
}

pub(super) fn run(context: &mut Context<'_, '_>, args: BackupArgs) -> Result<Exit, Failure> {
    let BackupArgs { dir, data_dir, url, server, keep, to, copy_only, verify } = args;
    let made = match (url, dir) {
        (Some(url), _) => by_server(context, &context.server_at(&url, &server)?, &url, keep)?,
        (None, Some(dir)) if verify => match in_store::place(&dir) {
            Some(place) => return in_store::check(context, place),
            None => return check(context, &dir),
        },
        (None, Some(dir)) if in_store::place(&dir).is_some() => {
            return Err(Failure::new("a backup is made in a directory, and copied to a store with --to")
                .exit(Exit::Usage));
        }
        (None, Some(dir)) => {
            if let Some(to) = to.as_deref().filter(|_| copy_only) {
                return in_store::copy(context, &dir, to, keep);
            }
            let made = of_directory(context, data_dir, &dir, keep)?;
            if let Some(to) = &to {
                in_store::copy(context, &dir, to, keep)?;
            }
            made
        }
        // The grammar demands one of them.
        (None, None) => return Err(Failure::new("name a directory, or a server").exit(Exit::Usage)),
    };
    print_shards(context, made.generation, &made.shards)?;
    let BackupAnswer { dir, generation, bytes, copied_bytes, removed, unread, keys_dir, .. } = made;
    context.report(&format!(
        "generation {generation} in {dir} has {}, of which {} are new",
        HumanBytes(bytes),
        HumanBytes(copied_bytes)
    ));
    let listed = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if !removed.is_empty() {
        context.report(&format!("removed generation {}, and what only that needed", listed(&removed)));
    }
    if !unread.is_empty() {
        context.report(&format!(
            "nothing was removed: generation {}, which is to stay, does not read, and may need any file. `backup --verify` \
             says why; move it out of {dir}/generations when it is given up",
            listed(&unread)
        ));
    }
    context.report(&format!(
        "the secret and the keys are not in it: they are in {keys_dir}; keep a copy of them apart from the backup"
    ));
    Ok(if unread.is_empty() { Exit::Done } else { Exit::Difference })
}

fn of_directory(
    context: &mut Context<'_, '_>,
    data_dir: Option<PathBuf>,
    dir: &Path,
    keep: Option<NonZeroUsize>,
) -> Result<BackupAnswer, Failure> {
    let config = context.config([data_dir_flag(data_dir)])?;
    let data = open_read_only(&config)?;
    let _held = data.hold_shards().map_err(|error| {
        Failure::from(error).hint("a server runs on it: `backup --url URL` lets that server make the backup")
    })?;
    let keys_dir = config.keys_dir();
    Ok(context.with_bytes("copying", |bytes| backups::make(&data, &|_| None, dir, keep, &keys_dir, bytes))?)
}

fn by_server(
    context: &Context<'_, '_>,
    server: &Remote,
    url: &str,
    keep: Option<NonZeroUsize>,
) -> Result<BackupAnswer, Failure> {
    let order = json::to_string(&BackupOrder { keep }).map_err(|error| Failure::caused("no order", error))?;
    let mut response = server.order(BACKUP.route, order)?;
    let bar = context.progress_of_bytes("copying");
    for text in BufReader::new(response.body_mut().as_reader()).lines() {
        let text = text.map_err(|source| server.broken(source))?;
        let line: BackupLine =
            serde_json::from_str(&text).map_err(|source| AskError::NotAnAnswer { source })?;
        match line {
            BackupLine::Progress(BytesDone { bytes, total }) => advance(&bar)(bytes, total),
            BackupLine::Backup(made) => {
                bar.finish_and_clear();
                return Ok(made);
            }
            BackupLine::Problem(ProblemJson { detail, code, .. }) => {
                let (detail, code) = (detail.into_owned(), code.into_owned());
                return Err(AskError::Problem { detail, code }.into());
            }
        }
    }
    Err(AskError::CutOff { url: url.to_owned() }.into())
}

fn check(context: &mut Context<'_, '_>, dir: &Path) -> Result<Exit, Failure> {
    let checked = context.with_bytes("reading", |bytes| verify_backup(dir, bytes));
    let BackupCheck { generations, blobs, bytes, damage } = checked?;
    let shown = |damage: &BackupDamage| raw(&DamageLine { damage: with_causes(damage) });
    context.print_list(DAMAGE, damage.iter().map(shown))?;
    let read = format!(
        "{} of {} generation(s) read, and {blobs} blobs of {}",
        generations.len(),
        generations.len() + unread(&damage),
        HumanBytes(bytes)
    );
    if damage.is_empty() {
        context.report(&format!("{read}: not a byte differs"));
        return Ok(Exit::Done);
    }
    context.report(&format!(
        "{read}: {} fault(s). Check the disk, and make a new generation: it mends what the data directory still has",
        damage.len()
    ));
    Ok(Exit::Difference)
}

fn unread(damage: &[BackupDamage]) -> usize {
    let is_generation = |damage: &&BackupDamage| {
        matches!(damage, BackupDamage::Generation { .. } | BackupDamage::Names { .. })
    };
    damage.iter().filter(is_generation).count()
}

/// Prints the shards of a generation that was made or brought back.
pub(super) fn print_shards(
    context: &mut Context<'_, '_>,
    generation: u64,
    shards: &[BackupShard],
) -> Result<(), Failure> {
    let rows = shards.iter().map(|shard| raw(&ShardOfGeneration { generation, shard }));
    Ok(context.print_list(SHARDS, rows)?)
}

/// The same, of one that was read.
pub(super) fn print_generation(
    context: &mut Context<'_, '_>,
    generation: &Generation,
) -> Result<(), Failure> {
    let shown = BackupAnswer::new(generation, String::new(), String::new());
    print_shards(context, shown.generation, &shown.shards)
}
