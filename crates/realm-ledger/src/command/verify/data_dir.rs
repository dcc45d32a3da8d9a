//! `verify --data-dir`: everything that is kept, against everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ledger_core::ids::ClientKey;
use ledger_ingest::sign::Origins;
use ledger_record::json::time::format_instant;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::{Checkpoint, NoteError, VerifierKey};
use ledger_store::{
    DataDir, OpenError, ReadError, Reader, ShardId, StopCode, TornTenant, TornTenants, VerifiedShard,
    VerifyError, check_spread,
};
use serde::Serialize;

use super::{LogBefore, Verdict, based_on};
use crate::command::{Context, REFILL, data_dir_flag, signed};
use crate::output::{Column, raw};
use crate::{Exit, Failure, evidence, secret};

const COLUMNS: &[Column] = &[
    Column::of("shard", "/shard"),
    Column::of("verdict", "/verdict"),
    Column::of("leaves", "/size"),
    Column::of("signed", "/signedSize"),
    Column::of("tenants", "/tenants"),
    Column::of("refused", "/refused"),
    Column::of("repeated", "/duplicates"),
    Column::of("complete up to", "/completeUpTo"),
];

/// What is true of a shard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    shard: String,
    verdict: &'static str,
    size: u64,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_on_from_pinned: Option<bool>,
    tenants: u64,
    seals: u64,
    refused: u64,
    duplicates: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_up_to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    based_on: Vec<LogBefore>,
}

/// Offsets that a source had lost when it was first read, as was accepted.
#[derive(Serialize)]
struct Missing {
    source: String,
    from: u64,
    /// Exclusive.
    until: u64,
}

/// What was kept elsewhere cannot be compared.
#[derive(Debug, thiserror::Error)]
enum PinnedError {
    #[error("the pinned checkpoint cannot be used; is the key of its log among those of --key?")]
    Note(#[from] NoteError),
    #[error("the pinned checkpoint is of {0}, which is no log of this directory")]
    OtherLog(String),
    #[error(
        "the pinned checkpoint is of {origin}, which had {size} leaves when this directory took its place; compare it \
         by `verify --pinned` of the old directory"
    )]
    LogBefore { origin: String, size: u64 },
}

/// Whoever gave a key trusts what it signed, and nothing else.
#[derive(Debug, thiserror::Error)]
enum KeyDoubt {
    #[error("no log of this directory is named {0}, as the key of --key is")]
    OtherLog(String),
    #[error("its last signed checkpoint cannot be judged by --key")]
    Note(#[source] NoteError),
    #[error("nothing signed of it is kept that --key could judge")]
    Unsigned,
}

/// A shard that is not there any more.
#[derive(Debug, thiserror::Error)]
#[error("the shard {shard} is gone, and with it {size} leaves that were signed")]
struct Gone {
    shard: ShardId,
    size: u64,
}

/// A shard that is not what it should be, beside those that are.
#[derive(Serialize)]
struct Failed {
    shard: String,
    verdict: &'static str,
    fault: String,
}

/// Tenants that several shards have. Each shard is what was recorded in it, so nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{tenants} tenants stand in more than one partition, so nobody answers for them; every shard is valid by itself"
)]
struct Torn {
    tenants: usize,
}

/// What was never filled is not valid either.
#[derive(Debug, thiserror::Error)]
#[error("there is nothing to verify: {path} has no shard", path = .0.display())]
struct Nothing(PathBuf);

/// A list over all tenants would leave this one out in silence.
#[derive(Debug, thiserror::Error)]
#[error("{client} is in {}, and no shard remembers that", shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and in "))]
struct NotRemembered {
    client: ClientKey,
    shards: Vec<ShardId>,
}

pub(super) fn run(
    context: &mut Context<'_, '_>,
    directory: Option<&Path>,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<Exit, Failure> {
    let config = context.config(&data_dir_flag(directory))?.config;
    DataDir::exists(&config.data_dir).map_err(unlike_the_shards)?;
    let (data, secret) = secret::open_existing(&config)?;
    let mut pinned = pinned.map(|note| open_pinned(note, keys)).transpose()?;
    // One that is gone is among them.
    let begun = data.shards()?;
    let origins = evidence::origins(&config)?;
    let (mut readers, mut reports, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut topics = BTreeMap::<String, Vec<Option<VerifiedShard>>>::new();
    for shard in data.partitions()? {
        let of_topic = topics.entry(shard.topic.clone()).or_default();
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let last = signed::last(&config, &shard)?;
        let origin = origins.of(&shard);
        let kept = pinned.take_if(|checkpoint| checkpoint.origin == origin);
        let by_key = judge_by_key(keys, &shard, &origin, last.as_ref(), kept.is_some());
        let signed_size = last.as_ref().map(|signed| signed.checkpoint.size);
        let goes_on_from_pinned = kept.is_some().then_some(true);
        let signed: Vec<_> = last.map(|signed| signed.checkpoint).into_iter().chain(kept).collect();
        if !data.has(&shard)
            && let Err(failure) = still_empty(&shard, &signed, begun.contains(&shard))
        {
            of_topic.push(None);
            failed.push((shard, failure));
            continue;
        }
        if !begun.contains(&shard) {
            of_topic.push(None);
            continue;
        }
        let opened = data.read_shard(&shard).map_err(|error| unopened(&shard, error));
        let verdict = opened.and_then(|reader| {
            let verdict = verify_with_progress(context, &shard, &reader, (&secret, &signed));
            readers.push(reader);
            verdict.map_err(|error| failure(&shard, error)).and_then(|verified| by_key.map(|()| verified))
        });
        match verdict {
            Ok(verified) => {
                reports.push(Report { goes_on_from_pinned, ..Report::of(&shard, &verified, signed_size) });
                of_topic.push(Some(verified));
            }
            Err(failure) => {
                of_topic.push(None);
                failed.push((shard, failure));
            }
        }
    }
    if let Some(checkpoint) = pinned {
        return Err(Failure::new(other_log(checkpoint.origin, &reports)));
    }
    print(context, data.path(), &reports, &failed)?;
    if let Some(worst) = worst(context, failed) {
        return Err(worst);
    }
    refuse_other_keys(&data, &origins, keys)?;
    topics.into_values().try_for_each(look_for_lines)?;
    tell_torn(context, &readers)?;
    context.say(&summary(&data, &reports));
    Ok(Exit::Done)
}

fn verify_with_progress(
    context: &Context<'_, '_>,
    shard: &ShardId,
    reader: &Reader,
    (secret, signed): (&LedgerSecret, &[Checkpoint]),
) -> Result<VerifiedShard, VerifyError> {
    let bar = context.progress(&shard.to_string());
    let verdict = reader.snapshot().verify(secret, signed, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    verdict
}

/// None of the shards has the log of the pinned checkpoint.
fn other_log(origin: String, reports: &[Report]) -> PinnedError {
    let mut before = reports.iter().flat_map(|report| &report.based_on);
    match before.find(|log| log.origin == origin).map(|log| log.size) {
        Some(size) => PinnedError::LogBefore { origin, size },
        None => PinnedError::OtherLog(origin),
    }
}

fn print(
    context: &mut Context<'_, '_>,
    directory: &Path,
    reports: &[Report],
    failed: &[(ShardId, Failure)],
) -> Result<(), Failure> {
    if reports.is_empty() && failed.is_empty() {
        return Err(Failure::new(Nothing(directory.to_owned())));
    }
    let mut printer = context.printer(COLUMNS);
    for report in reports {
        printer.item(&raw(report)?)?;
    }
    for (shard, failure) in failed {
        printer.item(&raw(&Failed::of(shard, failure))?)?;
    }
    printer.finish()?;
    for report in reports {
        report.tell_missing(context);
    }
    Ok(())
}

/// Says what is wrong with each shard, and leaves the gravest to be said last: a difference before a doubt.
fn worst(context: &mut Context<'_, '_>, mut failed: Vec<(ShardId, Failure)>) -> Option<Failure> {
    failed.sort_by_key(|(_, failure)| failure.code() != Exit::Difference);
    for (shard, failure) in failed.iter().skip(1) {
        context.say(&format!("{shard}: {}", failure.reason()));
    }
    failed.into_iter().next().map(|(_, failure)| failure)
}

/// A line of an imported file is in one shard of the topic or another, and so is what a refill carried over; both open
/// them all.
fn look_for_lines(shards: Vec<Option<VerifiedShard>>) -> Result<(), Failure> {
    let all: Option<Vec<VerifiedShard>> = shards.into_iter().collect();
    let what = "the data directory".to_owned();
    let spread = all.map_or(Ok(()), |shards| check_spread(&shards));
    spread.map_err(|fault| Verdict::Invalid { what, fault }.into())
}

/// As in a bundle: only a key whose name is the origin judges.
fn open_pinned(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, Failure> {
    let origin = note.split('\n').next().unwrap_or_default();
    let keys: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
    Checkpoint::open(note, &keys).map_err(|error| Failure::new(PinnedError::Note(error)))
}

/// The last checkpoint of a log that keys were given of has to be signed by one of them.
fn judge_by_key(
    keys: &[VerifierKey],
    shard: &ShardId,
    origin: &str,
    last: Option<&signed::Signed>,
    is_pinned: bool,
) -> Result<(), Failure> {
    let keys: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
    let judged = match last {
        _ if keys.is_empty() => Ok(()),
        Some(signed) => Checkpoint::open(&signed.note, &keys).map(drop).map_err(KeyDoubt::Note),
        // The keys have judged that.
        None if is_pinned => Ok(()),
        None => Err(KeyDoubt::Unsigned),
    };
    let what = format!("the shard {shard}");
    judged.map_err(|doubt| Verdict::Undecided { what, doubt }.into())
}

/// A key that names no log of the directory judges nothing here.
fn refuse_other_keys(data: &DataDir, origins: &Origins, keys: &[VerifierKey]) -> Result<(), Failure> {
    let names: BTreeSet<String> = data.partitions()?.iter().map(|shard| origins.of(shard)).collect();
    let Some(other) = keys.iter().find(|key| !names.contains(key.name())) else { return Ok(()) };
    let (what, doubt) = ("the data directory".to_owned(), KeyDoubt::OtherLog(other.name().to_owned()));
    Err(Verdict::Undecided { what, doubt }.into())
}

/// A shard without a directory is one that nothing was signed of.
fn still_empty(shard: &ShardId, signed: &[Checkpoint], is_gone: bool) -> Result<(), Failure> {
    match signed.iter().map(|checkpoint| checkpoint.size).max() {
        None | Some(0) => Ok(()),
        Some(size) => {
            let what = "the data directory".to_owned();
            let fault = Verdict::Invalid { what, fault: Gone { shard: shard.clone(), size } };
            Err(Failure::from(fault).hint(if is_gone {
                StopCode::ShardGone.remedy_for(shard)
            } else {
                "it was given up here: `serve` fills it again from Kafka, or restore a backup".to_owned()
            }))
        }
    }
}

fn failure(shard: &ShardId, error: VerifyError) -> Failure {
    let what = format!("the shard {shard}");
    if error.is_damage() {
        Verdict::Invalid { what, fault: error }.into()
    } else {
        Verdict::Undecided { what, doubt: error }.into()
    }
}

/// What cannot be opened for good is a difference: it was written once.
fn unopened(shard: &ShardId, error: OpenError) -> Failure {
    if error.is_damage() {
        let remedy = error.remedy();
        let fault = Verdict::Invalid { what: format!("the shard {shard}"), fault: error };
        return Failure::from(fault).hint(remedy);
    }
    error.into()
}

/// A `ledger.json` that is not the one that the shards were made with is a difference too.
fn unlike_the_shards(error: OpenError) -> Failure {
    if error.is_of_manifest() {
        return Verdict::Invalid { what: "the data directory".to_owned(), fault: error }.into();
    }
    error.into()
}

/// Names the tenants that several shards have: no reason to doubt any shard, but nobody answers for them.
fn tell_torn(context: &mut Context<'_, '_>, readers: &[Reader]) -> Result<(), Failure> {
    let torn = torn_tenants(readers).map_err(Failure::new)?;
    let remembered = TornTenants::default();
    remembered.catch_up(readers).map_err(Failure::new)?;
    for TornTenant { client, shards } in &torn {
        let names: Vec<String> = shards.iter().map(ToString::to_string).collect();
        context.say(&format!("torn: {client}, whose events are in {}", names.join(", ")));
        if remembered.shards_of(client).is_none() {
            let fault = NotRemembered { client: client.clone(), shards: shards.clone() };
            return Err(Verdict::Invalid { what: "the data directory".to_owned(), fault }.into());
        }
    }
    let tenants = torn.len();
    if tenants == 0 { Ok(()) } else { Err(Failure::new(Torn { tenants }).hint(REFILL)) }
}

/// Walks over the tenants of all shards in step.
fn torn_tenants(readers: &[Reader]) -> Result<Vec<TornTenant>, ReadError> {
    let snapshots: Vec<_> = readers.iter().map(|reader| (reader.shard(), reader.snapshot())).collect();
    let mut walks = Vec::new();
    for (shard, snapshot) in &snapshots {
        walks.push((*shard, snapshot.tenant_keys()?.peekable()));
    }
    let mut torn = Vec::new();
    loop {
        // A key that does not decode was found above.
        let heads = walks.iter_mut().filter_map(|(_, walk)| walk.peek()?.as_ref().ok());
        let Some(client) = heads.min().cloned() else { return Ok(torn) };
        let mut shards = Vec::new();
        for (shard, walk) in &mut walks {
            if walk.next_if(|key| key.as_ref().is_ok_and(|key| *key == client)).is_some() {
                shards.push((*shard).clone());
            }
        }
        if shards.len() > 1 {
            torn.push(TornTenant { client, shards });
        }
    }
}

impl Failed {
    fn of(shard: &ShardId, failure: &Failure) -> Self {
        let verdict = if failure.code() == Exit::Difference { "invalid" } else { "undecided" };
        Self { shard: shard.to_string(), verdict, fault: failure.reason() }
    }
}

impl Missing {
    fn before((source, first): &(String, u64)) -> Self {
        Self { source: source.clone(), from: 0, until: *first }
    }
}

fn summary(data: &DataDir, reports: &[Report]) -> String {
    let is_compared = |report: &Report| report.signed_size.is_some() || report.goes_on_from_pinned.is_some();
    let unsigned = reports.iter().filter(|report| !is_compared(report)).count();
    let signed = match unsigned {
        0 => String::new(),
        count => format!("; nothing that was signed could be compared for {count} of them"),
    };
    // All shards of a topic are based on the same logs.
    let before: BTreeMap<&str, &LogBefore> = reports
        .iter()
        .flat_map(|report| &report.based_on)
        .map(|before| (before.origin.as_str(), before))
        .collect();
    let based_on = based_on(before.into_values());
    format!("valid: all {} shards of {}{signed}{based_on}", reports.len(), data.path().display())
}

impl Report {
    fn tell_missing(&self, context: &mut Context<'_, '_>) {
        for Missing { source, from, until } in &self.missing {
            context.say(&format!(
                "the history of {} begins late: {source} had lost offsets {from} to {until} (exclusive) when it was \
                 first read",
                self.shard
            ));
        }
    }

    fn of(shard: &ShardId, verified: &VerifiedShard, signed_size: Option<u64>) -> Self {
        Self {
            shard: shard.to_string(),
            verdict: "valid",
            size: verified.size,
            root: verified.root.to_text(),
            signed_size,
            goes_on_from_pinned: None,
            tenants: verified.tenants,
            seals: verified.seals,
            refused: verified.refused,
            duplicates: verified.duplicates,
            complete_up_to: verified.seal.as_ref().map(|seal| format_instant(seal.recorded)),
            missing: verified.late_beginnings.iter().map(Missing::before).collect(),
            based_on: verified.predecessors.iter().map(LogBefore::of).collect(),
        }
    }
}
