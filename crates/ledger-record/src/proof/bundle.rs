//! A bundle: one file that proves one tenant's whole history, or that there is none, at a checkpoint.
//!
//! Lines of [`canonical`] JSON, each ended by a line feed, in this order:
//!
//! ```text
//! {"type":"realm-ledger-bundle","v":1,"clientKey":"…","origin":"…"}
//! {"type":"checkpoint","note":"…"}                                       the signed note
//! {"type":"seal","index":…,"entry":"<leaf line>","proof":["…"]}          the last leaf of the checkpoint
//! {"type":"head","n":…,"siblings":["…"]}                                 the tenant's way through the map
//! {"type":"record","index":…,"entry":"<leaf line>","salt":"…","payload":"…","proof":["…"]}      × n
//! {"type":"app","appKey":"…","n":…,"siblings":["…"]}                     optional, each app once, sorted
//! {"type":"record",…}                                                    its records × n
//! {"type":"consistency","from":<size>,"proof":["…"]}                     with a pinned checkpoint
//! ```
//!
//! Hashes and salts are base64url without padding, ways and proofs run from the leaf to the root. Where a way
//! through the map ends at another stream's leaf, `"other":{"k":"<stream>","c":"<commitment>"}` follows the
//! siblings. A record that the reader may not see has neither `salt` nor `payload`.
//!
//! Decisions follow from the tenant's records and from what was set for its apps; an `app` section shows all
//! of the latter. Without the sections of all its apps the history is proven, but not that the decisions
//! follow.
//!
//! The same parts give the same bytes: bundles of one checkpoint can be compared.

pub mod lines;

use ledger_core::ids::{AppKey, ClientKey};
use serde::{Deserialize, Serialize};

use super::canonical;
use super::hash::Hash;
use super::line::newer_version;
use super::map::{End, Entry, Proof};

/// The version of the bundles that are written.
pub const VERSION: u64 = 1;

/// The parts of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Whose history.
    pub client: ClientKey,
    /// Of which log.
    pub origin: String,
    /// The signed checkpoint.
    pub note: String,
    /// Its last leaf.
    pub seal: SealPart,
    /// The tenant's records.
    pub history: StreamPart,
    /// What was set for the apps, sorted by key.
    pub apps: Vec<(AppKey, StreamPart)>,
    /// That an earlier checkpoint is the beginning of this one.
    pub consistency: Option<ConsistencyPart>,
}

/// The seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealPart {
    /// Its index.
    pub index: u64,
    /// Its line.
    pub entry: String,
    /// That it is in the log.
    pub proof: Vec<Hash>,
}

/// All records of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPart {
    /// How many there are.
    pub count: u64,
    /// The siblings of its way through the map.
    pub siblings: Vec<Hash>,
    /// The other stream at whose leaf the way ends.
    pub other: Option<Entry>,
    /// The records.
    pub records: Vec<RecordPart>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPart {
    /// Its index.
    pub index: u64,
    /// Its line.
    pub entry: String,
    /// Salt and payload, for those who may see them.
    pub opening: Option<(Hash, String)>,
    /// That it is in the log.
    pub proof: Vec<Hash>,
}

/// That the log only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyPart {
    /// Size of the earlier checkpoint.
    pub from: u64,
    /// The proof.
    pub proof: Vec<Hash>,
}

/// The text is no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line is not written as it is always written, or not where it belongs.
    #[error("line {line} is not as it is always written, or not in its place")]
    Malformed {
        /// From 1.
        line: u64,
    },
    /// Written by a newer program.
    #[error("the bundle has version {0}, but this program reads {VERSION}: use a newer program")]
    UnknownVersion(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Line {
    #[serde(rename = "realm-ledger-bundle")]
    Header {
        v: u64,
        client_key: String,
        origin: String,
    },
    Checkpoint {
        note: String,
    },
    Seal {
        index: u64,
        entry: String,
        proof: Vec<Hash>,
    },
    Head {
        n: u64,
        siblings: Vec<Hash>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        other: Option<Other>,
    },
    Record {
        index: u64,
        entry: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        salt: Option<Hash>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
        proof: Vec<Hash>,
    },
    App {
        app_key: String,
        n: u64,
        siblings: Vec<Hash>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        other: Option<Other>,
    },
    Consistency {
        from: u64,
        proof: Vec<Hash>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    k: Hash,
    c: Hash,
}

impl StreamPart {
    /// The part of a stream whose way through the map is proven so.
    #[must_use]
    pub fn new(proof: Proof, records: Vec<RecordPart>) -> Self {
        let other = match proof.end {
            End::Other(entry) => Some(entry),
            End::Own(_) | End::Missing => None,
        };
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        Self { count, siblings: proof.siblings, other, records }
    }

    fn other_line(&self) -> Option<Other> {
        self.other.map(|entry| Other { k: entry.stream, c: entry.commitment })
    }
}

impl Bundle {
    /// The file.
    #[must_use]
    pub fn write(&self) -> String {
        let beginning = [
            lines::header(&self.client, &self.origin),
            lines::checkpoint(&self.note),
            lines::seal(&self.seal),
            lines::head(&self.history),
        ];
        let mut out = beginning.concat();
        out.extend(self.history.records.iter().map(lines::record));
        for (app, part) in &self.apps {
            out.push_str(&lines::app(app, part));
            out.extend(part.records.iter().map(lines::record));
        }
        out.extend(self.consistency.iter().map(lines::consistency));
        out
    }

    /// Reads a file. Refused unless writing it again gives the same bytes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut lines = Lines { rest: text, number: 0, next: None };
        let first = text.split('\n').next().unwrap_or_default();
        if let Some(version) = newer_version(first, r#"{"type":"realm-ledger-bundle","v":"#) {
            return Err(ParseError::UnknownVersion(version));
        }
        let Line::Header { v: _, client_key, origin } = lines.take()? else { return Err(lines.misplaced()) };
        let client = ClientKey::new(client_key).map_err(|_| lines.misplaced())?;
        let Line::Checkpoint { note } = lines.take()? else { return Err(lines.misplaced()) };
        let Line::Seal { index, entry, proof } = lines.take()? else { return Err(lines.misplaced()) };
        let seal = SealPart { index, entry, proof };
        let Line::Head { n, siblings, other } = lines.take()? else { return Err(lines.misplaced()) };
        let history = lines.stream(n, siblings, other)?;
        let (mut apps, mut consistency) = (Vec::<(AppKey, StreamPart)>::new(), None);
        while !lines.is_done() {
            match lines.take()? {
                Line::App { app_key, n, siblings, other } => {
                    let app = AppKey::new(app_key).map_err(|_| lines.misplaced())?;
                    if apps.last().is_some_and(|(last, _)| *last >= app) {
                        return Err(lines.misplaced());
                    }
                    let part = lines.stream(n, siblings, other)?;
                    apps.push((app, part));
                }
                Line::Consistency { from, proof } if lines.is_done() => {
                    consistency = Some(ConsistencyPart { from, proof });
                }
                _ => return Err(lines.misplaced()),
            }
        }
        Ok(Self { client, origin, note, seal, history, apps, consistency })
    }
}

/// The lines of a file that are left, of which one can be looked at before it is taken.
struct Lines<'a> {
    rest: &'a str,
    number: u64,
    next: Option<Line>,
}

impl Lines<'_> {
    const fn misplaced(&self) -> ParseError {
        ParseError::Malformed { line: self.number }
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty() && self.next.is_none()
    }

    fn take(&mut self) -> Result<Line, ParseError> {
        if let Some(line) = self.next.take() {
            return Ok(line);
        }
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n').ok_or(ParseError::Malformed { line: self.number })?;
        self.rest = rest;
        canonical::read(line).map_err(|_| self.misplaced())
    }

    /// The records that follow.
    fn stream(
        &mut self,
        count: u64,
        siblings: Vec<Hash>,
        other: Option<Other>,
    ) -> Result<StreamPart, ParseError> {
        let mut records = Vec::new();
        while !self.is_done() {
            match self.take()? {
                Line::Record { index, entry, salt, payload, proof } => {
                    if salt.is_some() != payload.is_some() {
                        return Err(self.misplaced());
                    }
                    records.push(RecordPart { index, entry, opening: salt.zip(payload), proof });
                }
                line => {
                    self.next = Some(line);
                    break;
                }
            }
        }
        let other = other.map(|other| Entry { stream: other.k, commitment: other.c });
        Ok(StreamPart { count, siblings, other, records })
    }
}
