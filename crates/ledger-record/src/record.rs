//! One record of the log: an event, or a refusal, and what the ledger said when it was appended.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;
use ledger_core::words::read_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{self, DecodeError, ValueReader};
use crate::hash::Hash;
use crate::rejection::Refused;

/// The rule set that outcomes are derived by (`rules/2`). Rule set 1 was never released.
pub const RULES: u16 = 2;

/// Whose log a record belongs to. The numbers are the stream kinds of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Kind 1: a tenant.
    Tenant(ClientKey),
    /// Kind 2: the app-level events of an app, in this shard.
    App(AppKey),
    /// Kind 3: the refused input of the shard.
    Rejected,
    /// Kind 4: the seals of the shard. They are leaves of the log, but no stream of its map.
    Seals,
    /// Kind 5: the logs that this one takes the place of. Only the first records of a log are of this stream.
    Succession,
}

impl Stream {
    /// Whose log an event belongs to.
    #[must_use]
    pub fn from_event(event: &Event) -> Self {
        match &event.body {
            Body::Installation { client, .. } | Body::Tenant { client, .. } => Self::Tenant(client.clone()),
            Body::App { app, .. } => Self::App(app.clone()),
        }
    }
}

/// Where a message came from: `realm.lifecycle/7/884213`, or `import:history.ndjson/0/12` (the line, from 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordinates {
    /// Topic, or `import:<NAME>`; shared by all messages of it.
    #[serde(rename = "name", serialize_with = "write_source", deserialize_with = "read_source")]
    pub source: Arc<str>,
    /// Partition of the source; of the shard for imports.
    pub partition: u32,
    /// Kafka offset, or line number from 1.
    pub offset: u64,
}

/// As leaf lines and published ids have it: `source/partition/offset`.
impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.partition, self.offset)
    }
}

fn write_source<S: Serializer>(source: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(source)
}

fn read_source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    read_text(deserializer, |text| Ok::<_, Infallible>(text.into()))
}

/// A stored record. Never changed once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Dense in the shard, from 0: arrival order.
    pub position: u64,
    /// Whose log.
    pub stream: Stream,
    /// Dense in the stream, from 1.
    pub seq: u64,
    /// Where it came from; of a seal, what is read next.
    pub source: Coordinates,
    /// When the source recorded it; of a seal, that of the record before.
    pub recorded: Timestamp,
    /// The rule set of the outcome.
    pub rules: u16,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event that counts.
    Event {
        /// What happened.
        event: Event,
        /// Its time was taken from the source's record, so it does not count when repeats are told from conflicts.
        time_defaulted: bool,
        /// What it changed, as derived at append. For a late app-level event the changes stand beside the
        /// record ([`crate::key::CorrectionKey`]), as they may concern every tenant of the app.
        outcome: Outcome,
    },
    /// A message that was refused.
    Refused(Refused),
    /// Nothing that came in: the ledger's own word on everything before.
    Seal(Seal),
    /// A log that this one takes the place of: its root. The coordinates name its origin and size.
    Succession(Hash),
}

/// A log that another one takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorLog {
    /// Its origin: a name, `/`, the partition.
    pub origin: String,
    /// How many leaves it had at its last seal.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// What a seal says of everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Root of the map of the heads of all streams.
    pub map_root: Hash,
    /// How many streams that map holds.
    pub streams: u64,
    /// Repeated messages so far.
    pub duplicates: u64,
    /// Refused messages so far.
    pub refused: u64,
}

/// The part of a record that the fold needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Dense in the shard, from 0.
    pub position: u64,
    /// When the source recorded it.
    pub recorded: Timestamp,
    /// Its time was taken from the source's record.
    pub time_defaulted: bool,
    /// What happened.
    pub event: Event,
}

impl PriorLog {
    /// What the coordinates of a succession begin with.
    pub const PREFIX: &str = "log:";

    /// The predecessor that a record names; none when it is no succession.
    #[must_use]
    pub fn from_record(record: &Record) -> Option<Self> {
        let Content::Succession(root) = record.content else { return None };
        let Coordinates { source, partition, offset } = &record.source;
        let name = source.strip_prefix(Self::PREFIX).unwrap_or(source);
        Some(Self { origin: format!("{name}/{partition}"), size: *offset, root })
    }

    /// The coordinates that name it, as those of partition `partition` of the log's name.
    #[must_use]
    pub fn coordinates(name: &str, partition: u32, size: u64) -> Coordinates {
        Coordinates { source: format!("{}{name}", Self::PREFIX).into(), partition, offset: size }
    }
}

impl Record {
    /// The record as it is stored, under [`crate::key::log::log`] of its stream and seq.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        self.encode_into(&mut out);
        out
    }

    /// Appends the record as it is stored.
    ///
    /// # Panics
    /// The content does not belong into the stream: a mistake of the caller, which must not become durable.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let Self { position, stream, seq: _, source, recorded, rules, content } = self;
        assert!(content.belongs_to(stream), "a record in the wrong stream");
        codec::open(out);
        codec::put(out, &(position, recorded, source, rules));
        match content {
            Content::Event { event, time_defaulted, outcome } => {
                codec::put(out, &(time_defaulted, event));
                encode_outcome(outcome, out);
            }
            Content::Refused(refused) => codec::put(out, refused),
            Content::Seal(seal) => codec::put(out, seal),
            Content::Succession(root) => codec::put(out, root),
        }
    }

    /// Reads a stored record; its stream and seq are told by its key.
    pub fn decode(stream: Stream, seq: u64, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut record, stored) = Self::decode_without_outcome(stream, seq, bytes)?;
        if let Content::Event { outcome, .. } = &mut record.content {
            *outcome = decode_outcome(stored)?;
        }
        Ok(record)
    }

    /// Reads a stored record but for its outcome, which stays empty; answers the bytes in which it is stored. For
    /// those who derive it themselves, and compare what [`encode_outcome`] writes.
    pub fn decode_without_outcome(
        stream: Stream,
        seq: u64,
        bytes: &[u8],
    ) -> Result<(Self, &[u8]), DecodeError> {
        let mut input = ValueReader::open(bytes)?;
        let (position, recorded, source, rules) = input.take()?;
        let content = match &stream {
            Stream::Tenant(_) | Stream::App(_) => {
                let (event, time_defaulted) = take_event(&mut input, &stream)?;
                Content::Event { event, time_defaulted, outcome: Outcome::default() }
            }
            Stream::Rejected => Content::Refused(input.take()?),
            Stream::Seals => Content::Seal(input.take()?),
            Stream::Succession => Content::Succession(input.take()?),
        };
        let stored = input.rest();
        if !matches!(content, Content::Event { .. }) {
            input.close()?;
        }
        Ok((Self { position, stream, seq, source, recorded, rules, content }, stored))
    }

    /// Reads only the position of a stored record.
    pub fn decode_position(bytes: &[u8]) -> Result<u64, DecodeError> {
        ValueReader::open(bytes)?.take()
    }

    /// Reads only what the fold needs of a stored record. The outcome, at its end, is not looked at: use
    /// [`Record::decode`] where damage matters.
    pub fn decode_event(stream: &Stream, bytes: &[u8]) -> Result<LoggedEvent, DecodeError> {
        if matches!(stream, Stream::Rejected | Stream::Seals | Stream::Succession) {
            return Err(DecodeError::OtherStream);
        }
        let mut input = ValueReader::open(bytes)?;
        let (position, recorded, _, _): (u64, Timestamp, (&str, u32, u64), u16) = input.take()?;
        let (event, time_defaulted) = take_event(&mut input, stream)?;
        Ok(LoggedEvent { position, recorded, time_defaulted, event })
    }
}

/// Reads an event, and whether its time was defaulted.
fn take_event(input: &mut ValueReader<'_>, stream: &Stream) -> Result<(Event, bool), DecodeError> {
    let (time_defaulted, event) = input.take()?;
    if holds(stream, &event) { Ok((event, time_defaulted)) } else { Err(DecodeError::OtherStream) }
}

/// Appends an outcome as it is stored in the record of its event.
pub fn encode_outcome(outcome: &Outcome, out: &mut Vec<u8>) {
    codec::put(out, outcome);
}

/// Reads the outcome that is stored in the record of an event.
pub fn decode_outcome(stored: &[u8]) -> Result<Outcome, DecodeError> {
    let mut input = ValueReader::part(stored);
    let outcome = input.take()?;
    input.close()?;
    Ok(outcome)
}

/// Whether an event belongs into a stream.
fn holds(stream: &Stream, event: &Event) -> bool {
    match stream {
        Stream::Tenant(client) => event.client() == Some(client),
        Stream::App(app) => event.client().is_none() && event.app() == Some(app),
        Stream::Rejected | Stream::Seals | Stream::Succession => false,
    }
}

impl Content {
    fn belongs_to(&self, stream: &Stream) -> bool {
        match (self, stream) {
            (Self::Event { event, .. }, stream) => holds(stream, event),
            (Self::Refused(_), Stream::Rejected)
            | (Self::Seal(_), Stream::Seals)
            | (Self::Succession(_), Stream::Succession) => true,
            (Self::Refused(_) | Self::Seal(_) | Self::Succession(_), _) => false,
        }
    }
}
