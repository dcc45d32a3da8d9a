//! `verify --data-dir`: everything that is kept, against everything else.

use std::collections::BTreeMap;
use std::path::Path;

use ledger_core::ids::ClientKey;
use ledger_record::json::time::format_instant;
use ledger_record::proof::note::{Checkpoint, NoteError, VerifierKey};
use ledger_store::{DataDir, OpenError, Reader, ShardId, Verified, VerifyError, check_spread};
use serde::Serialize;

use super::{LogBefore, Verdict, based_on};
use crate::command::{Context, data_dir_flag, signed};
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
}

/// A shard that is not there any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "the shard {shard} is gone, and with it {size} leaves that were signed; restore it, or fill it again from Kafka"
)]
struct Gone {
    shard: ShardId,
    size: u64,
}

/// A tenant that two shards have.
#[derive(Debug, thiserror::Error)]
#[error("{client} is in {first} and in {second}")]
struct Split {
    client: ClientKey,
    first: ShardId,
    second: ShardId,
}

pub(super) fn run(
    context: &mut Context<'_, '_>,
    directory: Option<&Path>,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<Exit, Failure> {
    let config = context.config(&data_dir_flag(directory))?.config;
    let (data, secret) = secret::open_existing(&config)?;
    let mut pinned = pinned.map(|note| open_pinned(note, keys)).transpose()?;
    // One that is gone is among them.
    let begun = data.shards()?;
    let origins = evidence::origins(&config)?;
    let (mut readers, mut reports) = (Vec::new(), Vec::new());
    let mut topics = BTreeMap::<String, Vec<Option<Verified>>>::new();
    for shard in data.partitions()? {
        let of_topic = topics.entry(shard.topic.clone()).or_default();
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let last = signed::last(&config, &shard)?.map(|signed| signed.checkpoint);
        let signed_size = last.as_ref().map(|checkpoint| checkpoint.size);
        let kept = pinned.take_if(|checkpoint| checkpoint.origin == origins.of(&shard));
        let goes_on_from_pinned = kept.is_some().then_some(true);
        let signed: Vec<Checkpoint> = last.into_iter().chain(kept).collect();
        if !data.has(&shard) {
            still_empty(&shard, &signed)?;
        }
        if !begun.contains(&shard) {
            of_topic.push(None);
            continue;
        }
        let reader = data.read_shard(&shard).map_err(|error| unopened(&shard, error))?;
        let bar = context.progress(&shard.to_string());
        let verdict = reader.snapshot().verify(&secret, &signed, &mut |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let verified = verdict.map_err(|error| failure(&shard, error))?;
        reports.push(Report { goes_on_from_pinned, ..Report::of(&shard, &verified, signed_size) });
        readers.push((shard, reader));
        of_topic.push(Some(verified));
    }
    if let Some(checkpoint) = pinned {
        return Err(Failure::new(PinnedError::OtherLog(checkpoint.origin)));
    }
    look_for_splits(&readers)?;
    topics.into_values().try_for_each(look_for_lines)?;
    let mut printer = context.printer(COLUMNS);
    for report in &reports {
        printer.item(&raw(report)?)?;
    }
    printer.finish()?;
    for report in &reports {
        report.tell_missing(context);
    }
    context.say(&summary(&data, &reports));
    Ok(Exit::Done)
}

/// A line of an imported file is in one shard of the topic or another, and so is what a refill carried over; both open
/// them all.
fn look_for_lines(shards: Vec<Option<Verified>>) -> Result<(), Failure> {
    let all: Option<Vec<Verified>> = shards.into_iter().collect();
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

/// A shard without a directory is one that nothing was signed of.
fn still_empty(shard: &ShardId, signed: &[Checkpoint]) -> Result<(), Failure> {
    match signed.iter().map(|checkpoint| checkpoint.size).max() {
        None | Some(0) => Ok(()),
        Some(size) => {
            let what = "the data directory".to_owned();
            Err(Verdict::Invalid { what, fault: Gone { shard: shard.clone(), size } }.into())
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
        return Verdict::Invalid { what: format!("the shard {shard}"), fault: error }.into();
    }
    error.into()
}

/// Walks over the tenants of all shards in step: a tenant lives in one.
fn look_for_splits(readers: &[(ShardId, Reader)]) -> Result<(), Failure> {
    let snapshots: Vec<_> = readers.iter().map(|(shard, reader)| (shard, reader.snapshot())).collect();
    let mut walks = Vec::new();
    for (shard, snapshot) in &snapshots {
        walks.push((*shard, snapshot.tenants(None).map_err(Failure::new)?.peekable()));
    }
    loop {
        let mut least: Option<(ClientKey, &ShardId)> = None;
        for (shard, walk) in &mut walks {
            let Some(row) = walk.peek() else { continue };
            // A row that does not decode was found above.
            let Ok((client, _)) = row else { continue };
            match &least {
                Some((other, first)) if other == client => {
                    let split =
                        Split { client: client.clone(), first: (*first).clone(), second: shard.clone() };
                    let what = "the data directory".to_owned();
                    return Err(Verdict::Invalid { what, fault: split }.into());
                }
                Some((other, _)) if other < client => {}
                _ => least = Some((client.clone(), *shard)),
            }
        }
        let Some((client, _)) = least else { return Ok(()) };
        for (_, walk) in &mut walks {
            walk.next_if(|row| row.as_ref().is_ok_and(|(other, _)| *other == client));
        }
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

    fn of(shard: &ShardId, verified: &Verified, signed_size: Option<u64>) -> Self {
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
