//! `verify`: what others can check alone, and what the operator can.

mod bundle;
mod data_dir;
mod tlog;

use std::path::PathBuf;

use ledger_record::record::PriorLog;
use serde::Serialize;

use super::{Context, Input, Unreadable};
use crate::cli::Verify;
use crate::{Exit, Failure};

/// A verdict that is not "valid".
#[derive(Debug, thiserror::Error)]
enum Verdict<E: std::error::Error + 'static> {
    /// A fact fails.
    #[error("{what} is not valid")]
    Invalid {
        what: String,
        #[source]
        fault: E,
    },
    /// Something is missing to judge.
    #[error("{what} cannot be judged")]
    Undecided {
        what: String,
        #[source]
        doubt: E,
    },
}

impl<E: std::error::Error + Send + Sync + 'static> From<Verdict<E>> for Failure {
    fn from(verdict: Verdict<E>) -> Self {
        let exit = match verdict {
            Verdict::Invalid { .. } => Exit::Difference,
            Verdict::Undecided { .. } => Exit::Failed,
        };
        Self::new(verdict).exit(exit)
    }
}

pub(super) fn run(context: &mut Context<'_, '_>, args: Verify) -> Result<Exit, Failure> {
    let Verify { data_dir, bundle, tlog, keys, pinned, client } = args;
    let pinned = pinned.map(|path| Input::of(path).read(context)).transpose()?;
    // What is no text is no note either, and is told so by whoever reads it.
    let pinned = pinned.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let pinned = pinned.as_deref();
    match (bundle, tlog) {
        (Some(file), _) => bundle::run(context, Input::of(file), &keys, pinned, client),
        (None, Some(directory)) => tlog::run(context, &directory, &keys, pinned),
        (None, None) => data_dir::run(context, data_dir.as_deref(), &keys, pinned),
    }
}

/// A log that another one takes the place of, as that one's first records name it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogBefore {
    origin: String,
    size: u64,
    root: String,
}

impl LogBefore {
    fn of(before: &PriorLog) -> Self {
        let PriorLog { origin, size, root } = before;
        Self { origin: origin.clone(), size: *size, root: root.to_text() }
    }
}

/// What a log is based on, in words; nothing for one that takes the place of none.
fn based_on<'a>(before: impl IntoIterator<Item = &'a LogBefore>) -> String {
    let named: Vec<String> =
        before.into_iter().map(|log| format!("{} at {}", log.origin, log.size)).collect();
    if named.is_empty() { String::new() } else { format!("; based on {}", named.join(", ")) }
}

impl Input {
    /// All of it.
    fn read(self, context: &mut Context<'_, '_>) -> Result<Vec<u8>, Failure> {
        let (path, read) = match self {
            Self::Standard => {
                let mut bytes = Vec::new();
                let read = context.env.input.read_to_end(&mut bytes).map(|_| bytes);
                (PathBuf::from("standard input"), read)
            }
            Self::File(path) => {
                let read = std::fs::read(&path);
                (path, read)
            }
        };
        read.map_err(|source| Failure::new(Unreadable { path, source }))
    }
}
