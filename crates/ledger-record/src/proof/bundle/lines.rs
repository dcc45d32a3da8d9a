//! The lines of a bundle, each with its end, for one that is written while it is made.

use ledger_core::ids::{AppKey, ClientKey};

use super::super::canonical;
use super::{ConsistencyPart, Line, RecordPart, SealPart, StreamPart, VERSION};

fn written(line: &Line) -> String {
    canonical::write(line) + "\n"
}

/// The first line.
#[must_use]
pub fn header(client: &ClientKey, origin: &str) -> String {
    let (client_key, origin) = (client.as_str().to_owned(), origin.to_owned());
    written(&Line::Header { v: VERSION, client_key, origin })
}

/// The signed note.
#[must_use]
pub fn checkpoint(note: &str) -> String {
    written(&Line::Checkpoint { note: note.to_owned() })
}

/// The last leaf of the checkpoint.
#[must_use]
pub fn seal(part: &SealPart) -> String {
    let SealPart { index, entry, proof } = part.clone();
    written(&Line::Seal { index, entry, proof })
}

/// The tenant's way through the map. Its records follow.
#[must_use]
pub fn head(part: &StreamPart) -> String {
    written(&Line::Head { n: part.count, siblings: part.siblings.clone(), other: part.other_line() })
}

/// The way of an app. Its records follow.
#[must_use]
pub fn app(key: &AppKey, part: &StreamPart) -> String {
    let (app_key, siblings) = (key.as_str().to_owned(), part.siblings.clone());
    written(&Line::App { app_key, n: part.count, siblings, other: part.other_line() })
}

/// A record.
#[must_use]
pub fn record(part: &RecordPart) -> String {
    let RecordPart { index, entry, opening, proof } = part.clone();
    let (salt, payload) = opening.unzip();
    written(&Line::Record { index, entry, salt, payload, proof })
}

/// That an earlier checkpoint is the beginning of this one.
#[must_use]
pub fn consistency(part: &ConsistencyPart) -> String {
    let ConsistencyPart { from, proof } = part.clone();
    written(&Line::Consistency { from, proof })
}
