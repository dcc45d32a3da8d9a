//! `verify`: a bundle or an exported log, which others can check alone, and a data directory, which its operator can.

mod data_dir;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_record::proof::note::{Checkpoint, VerifierKey};
use ledger_record::proof::{Hash, tlog, verify as bundle};
use ledger_record::record::PriorLog;
use serde::Serialize;

use super::{Context, InputFile, advance};
use crate::cli::Verify;
use crate::output::raw;
use crate::{Exit, Failure};

pub(super) fn run(context: &mut Context<'_, '_>, args: Verify) -> Result<Exit, Failure> {
    let Verify { data_dir, bundle, tlog, keys, pinned, client } = args;
    let pinned = pinned.map(|path| read_pinned(context, path)).transpose()?;
    let pinned = pinned.as_deref();
    match (bundle, tlog) {
        (Some(file), _) => verify_bundle(context, &InputFile::new(file), &keys, pinned, client),
        (None, Some(directory)) => verify_tlog(context, &directory, &keys, pinned),
        (None, None) => data_dir::run(context, data_dir, &keys, pinned),
    }
}

/// The checkpoint that was kept. A file that is none says nothing about what is verified.
fn read_pinned(context: &mut Context<'_, '_>, path: PathBuf) -> Result<String, Failure> {
    let input = InputFile::new(path);
    let bytes = context.read(&input)?;
    // A text that is none any more has no form of a note either.
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if Checkpoint::is_note(&text) {
        return Ok(text);
    }
    let message =
        format!("{} is not a signed checkpoint, so nothing can be compared with it", input.name().display());
    Err(Failure::new(message).hint("--pinned takes what `checkpoint TOPIC/PARTITION` prints"))
}

/// A fact fails: exit code 3.
fn invalid(what: &str, fault: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure::caused(format!("{what} is not valid"), fault).exit(Exit::Difference)
}

/// Something is missing to judge.
fn undecided(what: &str, doubt: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure::caused(format!("{what} cannot be judged"), doubt)
}

/// What a valid bundle proves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidBundle<'a> {
    verdict: &'static str,
    client_key: &'a ClientKey,
    records: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    installations: Vec<ProvenInstallation<'a>>,
    decisions_follow: bool,
    origin: &'a str,
    size: u64,
    root: Hash,
    complete_up_to: Timestamp,
    goes_on_from_pinned: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProvenInstallation<'a> {
    app_key: &'a AppKey,
    pinned_realm: Option<Realm>,
    records: u64,
}

fn verify_bundle(
    context: &mut Context<'_, '_>,
    input: &InputFile,
    keys: &[VerifierKey],
    pinned: Option<&str>,
    client: Option<ClientKey>,
) -> Result<Exit, Failure> {
    const WHAT: &str = "the bundle";
    let bytes = context.read(input)?;
    let verdict = match std::str::from_utf8(&bytes) {
        Ok(text) => bundle::verify(text, keys, pinned),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + String::from_utf8_lossy(good).matches('\n').count() as u64;
            Err(bundle::BundleFault::Malformed { line }.into())
        }
    };
    let verified = verdict.map_err(|refusal| match refusal {
        bundle::BundleRefusal::Invalid(fault) => invalid(WHAT, fault),
        bundle::BundleRefusal::Undecided(doubt) => undecided(WHAT, doubt),
    })?;
    if let Some(asked) = client.filter(|asked| *asked != verified.client) {
        let fault = format!("it tells of client key {}, not of {asked}", verified.client);
        return Err(invalid(WHAT, fault));
    }
    let bundle::VerifiedBundle { client, checkpoint, seal, records, .. } = &verified;
    let valid = ValidBundle {
        verdict: "valid",
        client_key: client,
        records: records.len(),
        installations: proven_installations(&verified),
        decisions_follow: verified.decisions_follow(),
        origin: &checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        complete_up_to: seal.recorded,
        goes_on_from_pinned: pinned.is_some().then_some(true),
    };
    context.print_one(&raw(&valid)?)?;
    context.report(&bundle_summary(&verified));
    Ok(Exit::Done)
}

fn proven_installations(verified: &bundle::VerifiedBundle) -> Vec<ProvenInstallation<'_>> {
    let mut apps: BTreeMap<&AppKey, ProvenInstallation<'_>> = BTreeMap::new();
    for record in &verified.records {
        let Some(app_key) = &record.leaf.app else { continue };
        let installation =
            apps.entry(app_key).or_insert(ProvenInstallation { app_key, pinned_realm: None, records: 0 });
        installation.records += 1;
        // The fold counts, where the history can be folded: a late record changes what a leaf has.
        installation.pinned_realm = match &verified.tenant {
            Some(tenant) => tenant.installations.get(app_key).and_then(Installation::pinned_realm),
            None => record.leaf.pinned_realm,
        };
    }
    apps.into_values().collect()
}

fn bundle_summary(verified: &bundle::VerifiedBundle) -> String {
    let bundle::VerifiedBundle { client, checkpoint, records, .. } = verified;
    let whole = match records.len() {
        0 => format!("there is no record of {client}"),
        1 => format!("the one record is the whole history of {client}"),
        count => format!("the {count} records are the whole history of {client}"),
    };
    let decisions = match (records.is_empty(), verified.decisions_follow()) {
        (true, _) => "",
        (false, true) => "; the decisions follow from the records",
        (false, false) => {
            "; whether the decisions follow was not checked, as not all that they rest on is shown"
        }
    };
    format!("valid: {whole} in {} up to size {}{decisions}", checkpoint.origin, checkpoint.size)
}

/// What a valid log proves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidLog<'a> {
    verdict: &'static str,
    origin: &'a str,
    size: u64,
    root: Hash,
    streams: u64,
    seals: u64,
    refused: u64,
    duplicates: u64,
    complete_up_to: Timestamp,
    goes_on_from_pinned: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    based_on: Vec<PriorLogJson>,
}

/// A file of the log that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read", path = path.display())]
struct UnreadableTile {
    path: PathBuf,
    source: std::io::Error,
}

fn verify_tlog(
    context: &mut Context<'_, '_>,
    directory: &Path,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<Exit, Failure> {
    let bar = context.bar(ProgressBar::new(0), "{bar:40} {human_pos}/{human_len} leaves, {eta} left");
    let read = |path: &str| {
        let path = directory.join(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            // A part of the path that is a file is as good as no file there.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(UnreadableTile { path, source }),
        }
    };
    let verdict = tlog::verify(read, keys, pinned, advance(&bar));
    bar.finish_and_clear();
    let what = format!("the log in {}", directory.display());
    let tlog::VerifiedTiles { checkpoint, seal, seals, predecessors } =
        verdict.map_err(|refusal| match refusal {
            tlog::TilesRefusal::Invalid(fault) => invalid(&what, fault),
            tlog::TilesRefusal::Undecided(doubt) => undecided(&what, doubt),
            tlog::TilesRefusal::Unreadable(error) => error.into(),
        })?;
    let valid = ValidLog {
        verdict: "valid",
        origin: &checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root,
        streams: seal.streams,
        seals,
        refused: seal.rejected,
        duplicates: seal.duplicates,
        complete_up_to: seal.recorded,
        goes_on_from_pinned: pinned.is_some().then_some(true),
        based_on: predecessors.into_iter().map(PriorLogJson::from).collect(),
    };
    context.print_one(&raw(&valid)?)?;
    context.report(&format!(
        "valid: all {} leaves of {} are chained and make the root, and all {seals} seals are true{}",
        checkpoint.size,
        checkpoint.origin,
        based_on(&valid.based_on)
    ));
    Ok(Exit::Done)
}

/// A log that another one takes the place of, as that one's first records name it.
#[derive(Debug, Serialize)]
struct PriorLogJson {
    origin: String,
    size: u64,
    root: Hash,
}

impl From<PriorLog> for PriorLogJson {
    fn from(PriorLog { origin, size, root }: PriorLog) -> Self {
        Self { origin, size, root }
    }
}

/// What a log is based on, in words; empty for a log that takes the place of none.
fn based_on<'a>(prior: impl IntoIterator<Item = &'a PriorLogJson>) -> String {
    let named: Vec<String> = prior.into_iter().map(|log| format!("{} at {}", log.origin, log.size)).collect();
    if named.is_empty() { String::new() } else { format!("; based on {}", named.join(", ")) }
}
