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

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger_core::ids::AppKey;
use ledger_core::time::Timestamp;

use super::frontier::Frontier;
use super::line::{Leaf, LeafLineError, REJECTED, RecordLeaf, SUCCESSION, SealLeaf, leaf_hash, stream_id};
use super::map::{MapEntry, MapNode, StreamHead, WholeMap};
use super::seal::SealPlacement;
use crate::hash::Hash;
use crate::record::{PriorLog, Stream};

/// A log that is checked as it is read.
#[derive(Debug, Default)]
pub struct LogReader {
    tree: Frontier,
    heads: BTreeMap<Hash, StreamHead>,
    map: WholeMap,
    sealing: Sealing,
    /// The logs that this one takes the place of.
    predecessors: Vec<PriorLog>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
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
pub enum LineRefusal {
    /// It is not true.
    #[error(transparent)]
    Invalid(#[from] LogFault),
    /// Written by a newer program.
    #[error("the line has version {0}: use a newer program")]
    UnknownVersion(u64),
}

impl LogReader {
    /// Takes in the next line.
    pub fn append(&mut self, line: &str) -> Result<Leaf, LineRefusal> {
        let leaf = Leaf::parse(line).map_err(|error| match error {
            LeafLineError::Malformed => LogFault::Line.into(),
            LeafLineError::UnknownVersion(version) => LineRefusal::UnknownVersion(version),
        })?;
        self.check_leaf(&leaf, leaf_hash(line))?;
        Ok(leaf)
    }

    fn check_leaf(&mut self, leaf: &Leaf, hash: Hash) -> Result<(), LogFault> {
        match leaf {
            Leaf::Record(record) => self.record(record, hash)?,
            Leaf::Seal(seal) => self
                .sealing
                .seal(seal, self.tree.size(), |changed| MapNode::hash_of(self.map.update(&changed)))?,
        }
        self.tree.push(hash);
        Ok(())
    }

    fn record(&mut self, leaf: &RecordLeaf, hash: Hash) -> Result<(), LogFault> {
        if !may_be_of(leaf) {
            return Err(LogFault::Stream);
        }
        let before = self.heads.get(&leaf.stream);
        let count = before.map_or(0, |head| head.seq);
        if leaf.seq != count + 1 {
            return Err(LogFault::Number { found: leaf.seq, before: count });
        }
        if leaf.previous != before.map_or(Hash::ZERO, |head| head.leaf) {
            return Err(LogFault::Previous);
        }
        let (source, offset) = split(&leaf.source).ok_or_else(|| LogFault::Source(leaf.source.clone()))?;
        let is_succession = leaf.type_name == SUCCESSION;
        if is_succession || source.starts_with(PriorLog::PREFIX) {
            self.predecessors.push(self.predecessor(leaf, source, offset).ok_or(LogFault::Succession)?);
        }
        let head = StreamHead { seq: leaf.seq, index: self.tree.size(), leaf: hash };
        self.sealing.record(&PassedRecord {
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
    static REJECTED_ID: LazyLock<Hash> = LazyLock::new(|| stream_id(&Stream::Rejected));
    static SUCCESSION_ID: LazyLock<Hash> = LazyLock::new(|| stream_id(&Stream::Succession));
    let (is_rejected, is_succession) = (leaf.stream == *REJECTED_ID, leaf.stream == *SUCCESSION_ID);
    let is_of_app = |app: &AppKey| leaf.stream == stream_id(&Stream::App(app.clone()));
    match (leaf.type_name, &leaf.app) {
        (REJECTED, None) => is_rejected,
        ("descriptor-published" | "policy-set", Some(app)) => is_of_app(app),
        (SUCCESSION, None) => is_succession,
        ("product-moved", None) => !is_rejected && !is_succession,
        (REJECTED | SUCCESSION | "descriptor-published" | "policy-set" | "product-moved", _) | (_, None) => {
            false
        }
        (_, Some(app)) => !is_rejected && !is_succession && !is_of_app(app),
    }
}

/// The seals of a log, checked as it is read: out of its lines, or out of the records they are made of.
#[derive(Debug, Default)]
pub struct Sealing {
    /// Heads of the streams that changed since the last seal; of a stream the last one counts.
    unsealed: Vec<(Hash, StreamHead)>,
    placement: SealPlacement,
    seal_is_due: bool,
    /// When the last event was recorded: what was refused, and the logs before, move no other record's time.
    floor: Option<Timestamp>,
    streams: u64,
    rejected: u64,
    seals: u64,
    /// What each source gives next at the earliest.
    next: BTreeMap<String, u64>,
    seal: Option<SealLeaf>,
}

/// What seals have to do with a record.
#[derive(Debug, Clone, Copy)]
pub struct PassedRecord<'a> {
    /// Its stream.
    pub stream: Hash,
    /// The stream's head with it.
    pub head: StreamHead,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// Where it came from: `source/partition`.
    pub source: &'a str,
    /// And at which offset.
    pub offset: u64,
    /// It was refused.
    pub is_rejected: bool,
    /// It names a log before.
    pub is_succession: bool,
}

impl Sealing {
    /// Takes in the next record.
    pub fn record(&mut self, record: &PassedRecord<'_>) -> Result<(), LogFault> {
        let PassedRecord { stream, head, recorded, source, offset, is_rejected, is_succession } = *record;
        if self.seal_is_due || self.placement.is_due_before(recorded) {
            return Err(LogFault::SealMissing);
        }
        if self.floor.is_some_and(|floor| recorded < floor) {
            return Err(LogFault::Recorded);
        }
        self.read_from(source, offset)?;
        if !is_rejected && !is_succession {
            self.floor = Some(recorded);
        }
        self.unsealed.push((stream, head));
        self.streams += u64::from(head.seq == 1);
        self.rejected += u64::from(is_rejected);
        self.seal_is_due = self.placement.record(recorded);
        Ok(())
    }

    /// Refused when those coordinates were read before.
    fn read_from(&mut self, source: &str, offset: u64) -> Result<(), LogFault> {
        let after = offset.saturating_add(1);
        match self.next.get_mut(source) {
            Some(next) if offset >= *next => *next = after,
            Some(_) => return Err(LogFault::Source(format!("{source}/{offset}"))),
            None => {
                self.next.insert(source.to_owned(), after);
            }
        }
        Ok(())
    }

    /// Takes in a seal, at an index. `update` puts what changed since the last one into the map, streams sorted by
    /// id, each once, and answers the map's root.
    pub fn seal(
        &mut self,
        seal: &SealLeaf,
        index: u64,
        update: impl FnOnce(Vec<MapEntry>) -> Hash,
    ) -> Result<(), LogFault> {
        if !self.placement.is_due_at_tick() {
            return Err(LogFault::SealRepeated);
        }
        if seal.index != index {
            return Err(LogFault::SealIndex(seal.index));
        }
        if seal.map_root != update(self.changed()) {
            return Err(LogFault::Map);
        }
        if seal.streams != self.streams {
            return Err(LogFault::Streams { found: seal.streams, streams: self.streams });
        }
        if seal.rejected != self.rejected {
            return Err(LogFault::Rejected { found: seal.rejected, rejected: self.rejected });
        }
        if self.seal.as_ref().is_some_and(|last| seal.duplicates < last.duplicates) {
            return Err(LogFault::Duplicates);
        }
        if Some(seal.recorded) != self.placement.last() {
            return Err(LogFault::SealRecorded);
        }
        self.goes_on_at(&seal.next).ok_or_else(|| LogFault::Next(seal.next.clone()))?;
        self.placement.sealed();
        self.seal_is_due = false;
        self.seals += 1;
        self.seal = Some(seal.clone());
        Ok(())
    }

    /// Nothing when those are no coordinates, or were read before.
    fn goes_on_at(&mut self, coordinates: &str) -> Option<()> {
        let (source, offset) = split(coordinates)?;
        let next = self.next.entry(source.to_owned()).or_default();
        (offset >= *next).then(|| *next = offset)
    }

    /// What changed in the map since the last seal.
    fn changed(&mut self) -> Vec<MapEntry> {
        // Stable: of a stream's heads the last one stays behind.
        self.unsealed.sort_by_key(|(stream, _)| *stream);
        let heads = self.unsealed.chunk_by(|a, b| a.0 == b.0).filter_map(<[_]>::last);
        let entry =
            |(stream, head): &(Hash, StreamHead)| MapEntry { stream: *stream, commitment: head.commitment() };
        let changed = heads.map(entry).collect();
        self.unsealed.clear();
        changed
    }

    /// The last seal.
    #[must_use]
    pub const fn last(&self) -> Option<&SealLeaf> {
        self.seal.as_ref()
    }

    /// How many seals there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.seals
    }
}

/// Source and offset, whose number is written in one way.
fn split(coordinates: &str) -> Option<(&str, u64)> {
    let (source, digits) = coordinates.rsplit_once('/')?;
    let offset: u64 = digits.parse().ok()?;
    (offset.to_string() == digits).then_some((source, offset))
}
