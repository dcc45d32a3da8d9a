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

use ledger_core::ids::{AppKey, ClientKey};
use serde::{Deserialize, Serialize};

use super::canonical;
use super::line::newer_version;
use super::map::{End, MapEntry, Proof};
use crate::hash::Hash;

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
    pub other: Option<MapEntry>,
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
enum BundleLine {
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

impl BundleLine {
    fn written(&self) -> String {
        canonical::write(self) + "\n"
    }
}

impl SealPart {
    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { index, entry, proof } = self.clone();
        BundleLine::Seal { index, entry, proof }.written()
    }
}

impl RecordPart {
    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { index, entry, opening, proof } = self.clone();
        let (salt, payload) = opening.unzip();
        BundleLine::Record { index, entry, salt, payload, proof }.written()
    }
}

impl ConsistencyPart {
    /// Its line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { from, proof } = self.clone();
        BundleLine::Consistency { from, proof }.written()
    }
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

    /// The line of the tenant's way through the map. Its records follow.
    #[must_use]
    pub fn head_line(&self) -> String {
        let (siblings, other) = (self.siblings.clone(), self.other_line());
        BundleLine::Head { n: self.count, siblings, other }.written()
    }

    /// The line of the way of an app. Its records follow.
    #[must_use]
    pub fn app_line(&self, app: &AppKey) -> String {
        let (siblings, other) = (self.siblings.clone(), self.other_line());
        BundleLine::App { app_key: app.as_str().to_owned(), n: self.count, siblings, other }.written()
    }

    fn other_line(&self) -> Option<Other> {
        self.other.map(|entry| Other { k: entry.stream, c: entry.commitment })
    }
}

impl Bundle {
    /// The first line, with its end: for a bundle that is written while it is made, as all lines here.
    #[must_use]
    pub fn header(client: &ClientKey, origin: &str) -> String {
        let (client_key, origin) = (client.as_str().to_owned(), origin.to_owned());
        BundleLine::Header { v: VERSION, client_key, origin }.written()
    }

    /// The line of the signed note.
    #[must_use]
    pub fn checkpoint(note: &str) -> String {
        BundleLine::Checkpoint { note: note.to_owned() }.written()
    }

    /// The file.
    #[must_use]
    pub fn write(&self) -> String {
        let beginning = [
            Self::header(&self.client, &self.origin),
            Self::checkpoint(&self.note),
            self.seal.line(),
            self.history.head_line(),
        ];
        let mut out = beginning.concat();
        out.extend(self.history.records.iter().map(RecordPart::line));
        for (app, part) in &self.apps {
            out.push_str(&part.app_line(app));
            out.extend(part.records.iter().map(RecordPart::line));
        }
        out.extend(self.consistency.iter().map(ConsistencyPart::line));
        out
    }

    /// Reads a file. Refused unless writing it again gives the same bytes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut lines = BundleLines { rest: text, number: 0, next: None };
        let first = text.split('\n').next().unwrap_or_default();
        if let Some(version) = newer_version(first, r#"{"type":"realm-ledger-bundle","v":"#) {
            return Err(ParseError::UnknownVersion(version));
        }
        let BundleLine::Header { v: _, client_key, origin } = lines.take()? else {
            return Err(lines.misplaced());
        };
        let client = ClientKey::new(client_key).map_err(|_| lines.misplaced())?;
        let BundleLine::Checkpoint { note } = lines.take()? else { return Err(lines.misplaced()) };
        let BundleLine::Seal { index, entry, proof } = lines.take()? else { return Err(lines.misplaced()) };
        let seal = SealPart { index, entry, proof };
        let BundleLine::Head { n, siblings, other } = lines.take()? else { return Err(lines.misplaced()) };
        let history = lines.stream(n, siblings, other)?;
        let (mut apps, mut consistency) = (Vec::<(AppKey, StreamPart)>::new(), None);
        while !lines.is_done() {
            match lines.take()? {
                BundleLine::App { app_key, n, siblings, other } => {
                    let app = AppKey::new(app_key).map_err(|_| lines.misplaced())?;
                    if apps.last().is_some_and(|(last, _)| *last >= app) {
                        return Err(lines.misplaced());
                    }
                    let part = lines.stream(n, siblings, other)?;
                    apps.push((app, part));
                }
                BundleLine::Consistency { from, proof } if lines.is_done() => {
                    consistency = Some(ConsistencyPart { from, proof });
                }
                _ => return Err(lines.misplaced()),
            }
        }
        Ok(Self { client, origin, note, seal, history, apps, consistency })
    }
}

/// The lines of a file that are left, of which one can be looked at before it is taken.
struct BundleLines<'a> {
    rest: &'a str,
    number: u64,
    next: Option<BundleLine>,
}

impl BundleLines<'_> {
    const fn misplaced(&self) -> ParseError {
        ParseError::Malformed { line: self.number }
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty() && self.next.is_none()
    }

    fn take(&mut self) -> Result<BundleLine, ParseError> {
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
                BundleLine::Record { index, entry, salt, payload, proof } => {
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
        let other = other.map(|other| MapEntry { stream: other.k, commitment: other.c });
        Ok(StreamPart { count, siblings, other, records })
    }
}
