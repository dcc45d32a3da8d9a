//! What whoever holds all leaf lines of a log checks, line by line from the first: the chain of every stream,
//! and that every seal says what is true. A map that lies is found here, and nowhere else.
//!
//! 1. Each line is as it is written.
//! 2. A record: its stream is the one that its app, or its being refused, tells where that can be known; `n`
//!    counts from 1; `p` is the stream's record before; recorded times do not fall; what came from one source
//!    came in its order.
//! 3. A seal: `c` is its index; `m` is the root of the map that follows from all records before it, `keys` the
//!    number of streams in it; `rej` is the number of refused records, `dup` does not fall; `t` is the recorded
//!    time of the last record; what it says is read next was not read before.
//! 4. Seals stand where they must, and never twice in a row.
//!
//! It needs memory for the head of every stream and for the map over them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_core::time::Timestamp;

use super::frontier::Frontier;
use super::hash::Hash;
use super::line::{Leaf, LineError, REJECTED, RecordLeaf, SealLeaf, leaf_hash, stream_id};
use super::map::{self, Entry, Head};
use super::seal::Placement;
use crate::record::Stream;

/// A log that is checked as it is read.
#[derive(Debug, Default)]
pub struct Reader {
    tree: Frontier,
    heads: BTreeMap<Hash, Head>,
    unsealed: BTreeMap<Hash, Entry>,
    map: BTreeMap<map::Path, map::Node>,
    placement: Placement,
    seal_is_due: bool,
    recorded: Option<Timestamp>,
    rejected: u64,
    seals: u64,
    /// What each source gives next at the earliest.
    next: BTreeMap<String, u64>,
    seal: Option<SealLeaf>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not one.
    #[error("not a leaf line as it is written")]
    Line,
    /// `k`
    #[error("its stream is not the one of its app, or of refused input")]
    Stream,
    /// `n`
    #[error("it is number {found} of its stream, of which {before} are before it")]
    Number {
        /// What the line says.
        found: u64,
        /// How many there are.
        before: u64,
    },
    /// `p`
    #[error("it does not name the record before it in its stream")]
    Previous,
    /// `q`
    #[error("it was recorded before the one before it")]
    Recorded,
    /// `o`
    #[error("{0} does not come after what was read from there before")]
    Source(String),
    /// No seal.
    #[error("a seal is missing before it")]
    SealMissing,
    /// A seal with nothing to seal.
    #[error("it is a seal, but so is the one before it")]
    SealRepeated,
    /// `c`
    #[error("the seal says that its index is {0}")]
    SealIndex(u64),
    /// `m`
    #[error("the map of the seal is not the one that follows from the records: a head is stale, or missing")]
    Map,
    /// `keys`
    #[error("the seal counts {found} streams, but there are {streams}")]
    Streams {
        /// What the seal says.
        found: u64,
        /// How many there are.
        streams: u64,
    },
    /// `rej`
    #[error("the seal counts {found} refused messages, but there are {rejected}")]
    Rejected {
        /// What the seal says.
        found: u64,
        /// How many there are.
        rejected: u64,
    },
    /// `dup`
    #[error("the seal counts fewer duplicates than the one before it")]
    Duplicates,
    /// `t`
    #[error("the seal does not have the recorded time of the last record")]
    SealRecorded,
    /// `next`
    #[error("the seal says that {0} is read next, but it was read before")]
    Next(String),
}

/// Why a line is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not true.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// Written by a newer program.
    #[error("the line has version {0}: use a newer program")]
    UnknownVersion(u64),
}

impl Reader {
    /// Takes in the next line.
    pub fn take_in(&mut self, line: &str) -> Result<Leaf, Refusal> {
        let leaf = Leaf::parse(line).map_err(|error| match error {
            LineError::Malformed => Fault::Line.into(),
            LineError::UnknownVersion(version) => Refusal::UnknownVersion(version),
        })?;
        self.take_in_leaf(&leaf, leaf_hash(line))?;
        Ok(leaf)
    }

    /// Takes in the next leaf, with the hash of its line: for those who wrote the line a moment ago.
    pub fn take_in_leaf(&mut self, leaf: &Leaf, hash: Hash) -> Result<(), Fault> {
        match leaf {
            Leaf::Record(record) => self.record(record, hash)?,
            Leaf::Seal(seal) => self.seal(seal)?,
        }
        self.tree.push(hash);
        Ok(())
    }

    fn record(&mut self, leaf: &RecordLeaf, hash: Hash) -> Result<(), Fault> {
        if self.seal_is_due || self.placement.is_due_before(leaf.recorded) {
            return Err(Fault::SealMissing);
        }
        if !may_be_of(leaf) {
            return Err(Fault::Stream);
        }
        let before = self.heads.get(&leaf.stream);
        let count = before.map_or(0, |head| head.seq);
        if leaf.seq != count + 1 {
            return Err(Fault::Number { found: leaf.seq, before: count });
        }
        if leaf.previous != before.map_or(Hash::ZERO, |head| head.leaf) {
            return Err(Fault::Previous);
        }
        if self.recorded.is_some_and(|last| leaf.recorded < last) {
            return Err(Fault::Recorded);
        }
        self.read_from(&leaf.source).ok_or_else(|| Fault::Source(leaf.source.clone()))?;
        let head = Head { seq: leaf.seq, index: self.tree.size(), leaf: hash };
        self.heads.insert(leaf.stream, head);
        self.unsealed.insert(leaf.stream, Entry { stream: leaf.stream, commitment: head.commitment() });
        self.recorded = Some(leaf.recorded);
        self.rejected += u64::from(leaf.type_name == REJECTED);
        self.seal_is_due = self.placement.record(leaf.recorded);
        Ok(())
    }

    /// Nothing when those coordinates were read before, or are none.
    fn read_from(&mut self, coordinates: &str) -> Option<()> {
        let (source, offset) = split(coordinates)?;
        let next = self.next.entry(source.to_owned()).or_default();
        (offset >= *next).then(|| *next = offset.saturating_add(1))
    }

    fn seal(&mut self, seal: &SealLeaf) -> Result<(), Fault> {
        if !self.placement.is_due_at_tick() {
            return Err(Fault::SealRepeated);
        }
        if seal.index != self.tree.size() {
            return Err(Fault::SealIndex(seal.index));
        }
        if seal.map_root != self.update_map() {
            return Err(Fault::Map);
        }
        let streams = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        if seal.streams != streams {
            return Err(Fault::Streams { found: seal.streams, streams });
        }
        if seal.rejected != self.rejected {
            return Err(Fault::Rejected { found: seal.rejected, rejected: self.rejected });
        }
        if self.seal.as_ref().is_some_and(|last| seal.duplicates < last.duplicates) {
            return Err(Fault::Duplicates);
        }
        if Some(seal.recorded) != self.recorded {
            return Err(Fault::SealRecorded);
        }
        if split(&seal.next)
            .is_some_and(|(source, offset)| self.next.get(source).is_some_and(|next| offset < *next))
        {
            return Err(Fault::Next(seal.next.clone()));
        }
        self.placement.sealed();
        self.seal_is_due = false;
        self.seals += 1;
        self.seal = Some(seal.clone());
        Ok(())
    }

    fn update_map(&mut self) -> Hash {
        let changed: Vec<Entry> = std::mem::take(&mut self.unsealed).into_values().collect();
        let stored = |path| Ok::<_, Infallible>(self.map.get(&path).copied().unwrap_or(map::Node::Missing));
        let Ok((root, written)) = map::update(&changed, stored);
        self.map.extend(written);
        root
    }

    /// The tree of the lines so far.
    #[must_use]
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// The last record of a stream.
    #[must_use]
    pub fn head(&self, stream: Hash) -> Option<Head> {
        self.heads.get(&stream).copied()
    }

    /// The last seal.
    #[must_use]
    pub const fn last_seal(&self) -> Option<&SealLeaf> {
        self.seal.as_ref()
    }

    /// The last seal, if it is the last line.
    #[must_use]
    pub fn sealed(&self) -> Option<&SealLeaf> {
        self.seal.as_ref().filter(|seal| seal.index + 1 == self.tree.size())
    }

    /// How many seals there were.
    #[must_use]
    pub const fn seals(&self) -> u64 {
        self.seals
    }
}

/// Whether a record can be of the stream that it says. Whose client key a stream is made of is not in the
/// lines; but no tenant's record is in an app's stream or among what was refused, or the other way round.
fn may_be_of(leaf: &RecordLeaf) -> bool {
    let is = |stream: &Stream| leaf.stream == stream_id(stream);
    match (leaf.type_name, &leaf.app) {
        (REJECTED, None) => is(&Stream::Rejected),
        ("descriptor-published" | "policy-set", Some(app)) => is(&Stream::App(app.clone())),
        ("product-moved", None) => !is(&Stream::Rejected),
        (REJECTED | "descriptor-published" | "policy-set" | "product-moved", _) | (_, None) => false,
        (_, Some(app)) => !is(&Stream::Rejected) && !is(&Stream::App(app.clone())),
    }
}

/// Source and offset.
fn split(coordinates: &str) -> Option<(&str, u64)> {
    let (source, offset) = coordinates.rsplit_once('/')?;
    Some((source, offset.parse().ok()?))
}
