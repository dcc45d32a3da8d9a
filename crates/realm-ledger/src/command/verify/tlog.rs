//! `verify --tlog`: a whole log, as a directory of C2SP tiles.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use ledger_record::json::time::format_instant;
use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::tlog::{TilesRefusal, VerifiedTiles, verify};
use serde::Serialize;

use super::{LogBefore, Verdict, based_on};
use crate::command::{Context, Unreadable};
use crate::output::raw;
use crate::{Exit, Failure};

/// What a valid log proves.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    verdict: &'static str,
    origin: String,
    size: u64,
    root: String,
    streams: u64,
    seals: u64,
    refused: u64,
    duplicates: u64,
    complete_up_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_on_from_pinned: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    based_on: Vec<LogBefore>,
}

pub(super) fn run(
    context: &mut Context<'_, '_>,
    directory: &Path,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<Exit, Failure> {
    let bar = progress(context.env.messages_are_terminal);
    let read = |path: &str| {
        let path: PathBuf = directory.join(path);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(source) => Err(Unreadable { path, source }),
        }
    };
    let verdict = verify(read, keys, pinned, |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let what = format!("the log in {}", directory.display());
    let verified = verdict.map_err(|refusal| match refusal {
        TilesRefusal::Invalid(fault) => Failure::from(Verdict::Invalid { what, fault }),
        TilesRefusal::Undecided(doubt) => Verdict::Undecided { what, doubt }.into(),
        TilesRefusal::Unreadable(error) => Failure::new(error),
    })?;
    let report = Report::of(&verified, pinned.is_some());
    context.print_one(&raw(&report)?)?;
    let VerifiedTiles { checkpoint, seals, .. } = verified;
    context.say(&format!(
        "valid: all {} leaves of {} are chained and make the root, and all {seals} seals are true{}",
        checkpoint.size,
        checkpoint.origin,
        based_on(&report.based_on)
    ));
    Ok(Exit::Done)
}

/// A part of the path that is a file is as good as no file there.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn progress(terminal: bool) -> ProgressBar {
    if !terminal {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} leaves, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Report {
    fn of(verified: &VerifiedTiles, pinned: bool) -> Self {
        let VerifiedTiles { checkpoint, seal, seals, predecessors } = verified;
        Self {
            verdict: "valid",
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root.to_text(),
            streams: seal.streams,
            seals: *seals,
            refused: seal.rejected,
            duplicates: seal.duplicates,
            complete_up_to: format_instant(seal.recorded),
            goes_on_from_pinned: pinned.then_some(true),
            based_on: predecessors.iter().map(LogBefore::of).collect(),
        }
    }
}
