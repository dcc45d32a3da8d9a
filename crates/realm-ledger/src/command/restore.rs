//! `restore`: a data directory from a backup.

use indicatif::HumanBytes;
use ledger_record::json::time::format_instant;
use ledger_store::{RestoreReport, restore};

use super::backup::print_generation;
use super::{Context, data_dir_flag, in_store};
use crate::cli::RestoreArgs;
use crate::{Exit, Failure};

pub(super) fn run(context: &mut Context<'_, '_>, args: &RestoreArgs) -> Result<Exit, Failure> {
    let config = context.config([data_dir_flag(Some(args.data_dir.clone()))])?;
    let fetched = match in_store::place(&args.dir) {
        Some(place) => Some(in_store::fetch(context, place, args.generation, &config.data_dir)?),
        None => None,
    };
    let dir = fetched.as_ref().map_or(args.dir.as_path(), |fetched| fetched.path());
    let (options, number) = (config.store.clone(), args.generation);
    let restored =
        context.with_bytes("restoring", |bytes| restore(dir, number, &config.data_dir, options, bytes));
    let RestoreReport { generation, bytes } = restored?;
    print_generation(context, &generation)?;
    context.report(&format!(
        "{} is generation {} of {}, {}: each file has its hash, each shard its size and root",
        config.data_dir.display(),
        generation.number,
        format_instant(generation.made),
        HumanBytes(bytes)
    ));
    let goes_on = if generation.journal.is_empty() {
        "`serve` reads on from Kafka where the backup ended"
    } else {
        "its source, the journal, is there too: `serve --local` goes on with it"
    };
    context.report(&format!(
        "the secret and the keys were not in the backup: they are looked for in {}, or where evidence.keys_dir says. \
         {goes_on}, and signs once it has caught up with the last checkpoint",
        config.keys_dir().display()
    ));
    Ok(Exit::Done)
}
