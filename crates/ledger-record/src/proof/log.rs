//! What whoever holds all leaf lines of a log checks, line by line from the first: the chain of every stream,
//! and that every seal says what is true. A map that lies is found here, and nowhere else.
//!
//! 1. Each line is as it is written.
//! 2. A record: its stream is the one that its app, or its being refused, tells where that can be known; `n`
//!    counts from 1; `p` is the stream's record before; it was recorded no earlier than any record before it
//!    that was not refused (what is refused, or names a log before, moves no other record's time); what came from
//!    one source came in its order. The logs before are named before everything else.
//! 3. A seal: `c` is its index; `m` is the root of the map that follows from all records before it, `keys` the
//!    number of streams in it; `rej` is the number of refused records, `dup` does not fall; `t` is the recorded
//!    time of the last record; what it says is read next was not read before.
//! 4. Seals stand where they must, and never twice in a row.
//!
//! It needs memory for the head of every stream and for the map over them.

mod sealing;

use std::collections::BTreeMap;

use sealing::split;
pub use sealing::{Passed, Sealing};

use super::frontier::Frontier;
use super::hash::Hash;
use super::line::{Leaf, LineError, REJECTED, RecordLeaf, SUCCESSION, SealLeaf, leaf_hash, stream_id};
use super::map::{Head, Whole};
use crate::record::{PriorLog, Stream};

/// A log that is checked as it is read.
#[derive(Debug, Default)]
pub struct Reader {
    tree: Frontier,
    heads: BTreeMap<Hash, Head>,
    map: Whole,
    sealing: Sealing,
    /// The logs that this one takes the place of.
    predecessors: Vec<PriorLog>,
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
    /// A log before.
    #[error("it names a log before, but not in the form of one, or behind other leaves")]
    Succession,
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
    #[error("it was recorded before a record that is before it")]
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

    fn take_in_leaf(&mut self, leaf: &Leaf, hash: Hash) -> Result<(), Fault> {
        match leaf {
            Leaf::Record(record) => self.record(record, hash)?,
            Leaf::Seal(seal) => self.sealing.seal(seal, self.tree.size(), |changed| {
                self.map.update(&changed).map_or(Hash::ZERO, |root| root.hash)
            })?,
        }
        self.tree.push(hash);
        Ok(())
    }

    fn record(&mut self, leaf: &RecordLeaf, hash: Hash) -> Result<(), Fault> {
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
        let (source, offset) = split(&leaf.source).ok_or_else(|| Fault::Source(leaf.source.clone()))?;
        let is_succession = leaf.type_name == SUCCESSION;
        if is_succession || source.starts_with(PriorLog::PREFIX) {
            self.predecessors.push(self.predecessor(leaf, source, offset).ok_or(Fault::Succession)?);
        }
        let head = Head { seq: leaf.seq, index: self.tree.size(), leaf: hash };
        self.sealing.record(&Passed {
            stream: leaf.stream,
            head,
            recorded: leaf.recorded,
            source,
            offset,
            is_rejected: leaf.type_name == REJECTED,
            is_succession,
        })?;
        self.heads.insert(leaf.stream, head);
        Ok(())
    }

    /// The log before that a line names: only the first lines of a log do.
    fn predecessor(&self, leaf: &RecordLeaf, source: &str, size: u64) -> Option<PriorLog> {
        let origin = source.strip_prefix(PriorLog::PREFIX)?.to_owned();
        let is_first = leaf.seq == self.tree.size() + 1;
        let is_plain = leaf.type_name == SUCCESSION && leaf.time == leaf.recorded;
        (is_plain && is_first).then_some(PriorLog { origin, size, root: leaf.commitment })
    }

    /// The logs that this one takes the place of, as its first lines name them.
    #[must_use]
    pub fn predecessors(&self) -> &[PriorLog] {
        &self.predecessors
    }

    /// The tree of the lines so far.
    #[must_use]
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// The last seal, if it is the last line.
    #[must_use]
    pub fn sealed(&self) -> Option<&SealLeaf> {
        self.sealing.last().filter(|seal| seal.index + 1 == self.tree.size())
    }

    /// How many seals there were.
    #[must_use]
    pub const fn seals(&self) -> u64 {
        self.sealing.count()
    }
}

/// Whether a record can be of the stream that it says. Whose client key a stream is made of is not in the
/// lines; but no tenant's record is in an app's stream or among what was refused, or the other way round.
fn may_be_of(leaf: &RecordLeaf) -> bool {
    let is = |stream: &Stream| leaf.stream == stream_id(stream);
    match (leaf.type_name, &leaf.app) {
        (REJECTED, None) => is(&Stream::Rejected),
        ("descriptor-published" | "policy-set", Some(app)) => is(&Stream::App(app.clone())),
        (SUCCESSION, None) => is(&Stream::Succession),
        ("product-moved", None) => !is(&Stream::Rejected) && !is(&Stream::Succession),
        (REJECTED | SUCCESSION | "descriptor-published" | "policy-set" | "product-moved", _) | (_, None) => {
            false
        }
        (_, Some(app)) => {
            let others = [Stream::Rejected, Stream::Succession, Stream::App(app.clone())];
            !others.iter().any(is)
        }
    }
}
