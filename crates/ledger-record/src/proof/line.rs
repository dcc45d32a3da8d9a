//! Leaf lines: what is hashed into the tree, one line of [`canonical`] JSON for each leaf.
//!
//! ```text
//! {"v":1,"k":"<stream>","n":7,"p":"<leaf hash of the stream's n-1>","y":"migration-committed","a":"<app>",
//!  "t":<event time>,"q":<recorded time>,"o":"realm.lifecycle/7/884213","r":"EU","u":"PERSISTED",
//!  "d":"<payload commitment>"}
//! {"v":1,"y":"seal","c":<own index>,"m":"<map root>","keys":<streams>,"next":"<next source coordinates>",
//!  "dup":<duplicates so far>,"rej":<refused so far>,"t":<recorded time of the last record>}
//! ```
//!
//! (each one line). Both are written by the one who appends and never change. They hold nothing personal:
//! what may be is in the [`payload`], to which `d` commits under a salt that only the ledger's secret
//! tells, so that a payload can be erased one day without breaking a proof.
//!
//! - `r` is the pinned realm of the event's installation after the record, as the ledger saw it when it
//!   appended: `""` when unknown, and for tenant-level and app-level events and refused input.
//! - `u` is the rule of the decision that the record itself made, or `""`.
//! - Refused input has `y` = `rejected`, no app, and as event time its recorded time.
//! - Integers are at most 2^53 − 1 in amount, so that every reader holds them exactly.

mod hasher;
mod secret;

use std::borrow::Cow;

pub use hasher::LeafHasher;
pub use secret::{LedgerSecret, commitment};

use ledger_core::event::{Body, Event};
use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::tenant::{Outcome, Tenant};
use ledger_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::canonical::Member::{self, Natural, Signed, Text};
use super::canonical::{self, NotCanonical, is_exact, is_exact_signed, put_members};
use super::{payload, tree};
use crate::hash::Hash;
use crate::record::{Content, Record, Seal, Stream};

/// The version of the lines that are written.
pub const VERSION: u64 = 1;

/// The type of refused input.
pub const REJECTED: &str = "rejected";

/// The type of a record that names a log before.
pub const SUCCESSION: &str = "succession";

const SEAL: &str = "seal";

/// Every type that a record's line can have, besides [`REJECTED`] and [`SUCCESSION`].
pub const EVENT_TYPES: [&str; 17] = [
    "installed",
    "uninstalled",
    "enabled",
    "disabled",
    "migration-scheduled",
    "migration-started",
    "migration-committed",
    "migration-rolled-back",
    "migrated",
    "override",
    "data-located",
    "subscription-observed",
    "continued",
    "superseded",
    "product-moved",
    "descriptor-published",
    "policy-set",
];

/// The id of a stream in the log: 256 bits that follow from its key alone, so a stream has one place only.
/// Seals are in no stream of the log; their id is never written.
#[must_use]
pub fn stream_id(stream: &Stream) -> Hash {
    let (kind, key) = (stream.kind(), stream.key().as_bytes());
    // A key has at most 255 bytes.
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    Hash::of(&[b"realm-ledger/key/v1\0", &[kind], &length.to_be_bytes(), key])
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A record.
    Record(RecordLeaf),
    /// A seal.
    Seal(SealLeaf),
}

/// The line of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLeaf {
    /// `k`: whose log.
    pub stream: Hash,
    /// `n`: seq in the stream, from 1.
    pub seq: u64,
    /// `p`: leaf hash of the stream's record before; zero for the first.
    pub previous: Hash,
    /// `y`: event type, or [`REJECTED`].
    pub type_name: &'static str,
    /// `a`
    pub app: Option<AppKey>,
    /// `t`
    pub time: Timestamp,
    /// `q`
    pub recorded: Timestamp,
    /// `o`: `source/partition/offset`.
    pub source: String,
    /// `r`
    pub pinned_realm: Option<Realm>,
    /// `u`
    pub rule: Option<Rule>,
    /// `d`
    pub commitment: Hash,
}

/// The line of a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealLeaf {
    /// `c`: its own index.
    pub index: u64,
    /// `m`: root of the map of every stream before it.
    pub map_root: Hash,
    /// `keys`: how many streams that map holds.
    pub streams: u64,
    /// `next`: coordinates of what is read next.
    pub next: String,
    /// `dup`: duplicates so far.
    pub duplicates: u64,
    /// `rej`: refused messages so far.
    pub rejected: u64,
    /// `t`: recorded time of the last record.
    pub recorded: Timestamp,
}

/// What goes with a record into its line and is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafContext {
    /// Leaf hash of the stream's record before; zero for the first.
    pub previous: Hash,
    /// What [`pinned_realm`] says.
    pub pinned_realm: Option<Realm>,
}

/// The pinned realm that the line of a record shows, given its tenant as it stood after the record.
#[must_use]
pub fn pinned_realm(record: &Record, tenant: &Tenant) -> Option<Realm> {
    match &record.content {
        Content::Event { event, .. } => pinned_realm_after(event, tenant),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => None,
    }
}

/// The pinned realm that the line of an event shows, given its tenant as it stood after it.
#[must_use]
pub fn pinned_realm_after(event: &Event, tenant: &Tenant) -> Option<Realm> {
    match &event.body {
        Body::Installation { app, .. } => tenant.installations.get(app)?.pinned_realm(),
        Body::Tenant { .. } | Body::App { .. } => None,
    }
}

/// A record or a seal that has no line: a number is too large for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number beyond 2^53 - 1 cannot be written into the log")]
pub struct TooLarge;

/// The text is no leaf line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafLineError {
    /// Written by a newer program.
    #[error("the leaf has version {0}, but this program reads {VERSION}: use a newer program")]
    UnknownVersion(u64),
    /// Not what is written.
    #[error("not a leaf line as it is written")]
    Malformed,
}

impl From<NotCanonical> for LeafLineError {
    fn from(NotCanonical: NotCanonical) -> Self {
        Self::Malformed
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFields<'a> {
    v: u64,
    k: Hash,
    n: u64,
    p: Hash,
    y: Cow<'a, str>,
    a: Cow<'a, str>,
    t: i64,
    q: i64,
    o: Cow<'a, str>,
    r: Cow<'a, str>,
    u: Cow<'a, str>,
    d: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealFields<'a> {
    v: u64,
    y: Cow<'a, str>,
    c: u64,
    m: Hash,
    keys: u64,
    next: Cow<'a, str>,
    dup: u64,
    rej: u64,
    t: i64,
}

impl RecordLeaf {
    /// The leaf of a record that is no seal ([`SealLeaf::from_record`]).
    pub fn from_record(
        record: &Record,
        context: LeafContext,
        secret: &LedgerSecret,
    ) -> Result<Self, TooLarge> {
        check(record)?;
        let stream = stream_id(&record.stream);
        let LineFields { type_name, app, time } = LineFields::from_record(record);
        Ok(Self {
            stream,
            seq: record.seq,
            previous: context.previous,
            type_name,
            app: app.cloned(),
            time,
            recorded: record.recorded,
            source: record.source.to_string(),
            pinned_realm: context.pinned_realm,
            rule: rule(record),
            commitment: committed(record, stream, payload::of(record).as_bytes(), secret),
        })
    }

    /// The exact bytes.
    #[must_use]
    pub fn write(&self) -> String {
        let fields = RecordFields {
            v: VERSION,
            k: self.stream,
            n: self.seq,
            p: self.previous,
            y: self.type_name.into(),
            a: self.app.as_ref().map_or("", AppKey::as_str).into(),
            t: self.time.as_millis(),
            q: self.recorded.as_millis(),
            o: self.source.as_str().into(),
            r: self.pinned_realm.as_ref().map_or("", Realm::as_str).into(),
            u: self.rule.map_or("", Rule::as_str).into(),
            d: self.commitment,
        };
        let mut line = Vec::with_capacity(512);
        fields.write(&mut line);
        canonical::text(line)
    }

    fn restore(fields: RecordFields<'_>) -> Option<Self> {
        let known = EVENT_TYPES.iter().chain(&[REJECTED, SUCCESSION]);
        Some(Self {
            stream: fields.k,
            seq: fields.n,
            previous: fields.p,
            type_name: known.copied().find(|name| *name == fields.y)?,
            app: absent_if_empty(&fields.a, |text| AppKey::new(text).ok())?,
            time: Timestamp::from_millis(fields.t),
            recorded: Timestamp::from_millis(fields.q),
            source: fields.o.into_owned(),
            pinned_realm: absent_if_empty(&fields.r, |text| Realm::parse(text).ok())?,
            rule: absent_if_empty(&fields.u, |text| {
                Rule::ALL.iter().copied().find(|rule| rule.as_str() == text)
            })?,
            commitment: fields.d,
        })
    }
}

impl RecordFields<'_> {
    /// Appends the line: what serialising would write, as every record of a log comes by here.
    fn write(&self, out: &mut Vec<u8>) {
        let Self { v, k, n, p, y, a, t, q, o, r, u, d } = self;
        let members = [
            ("v", Natural(*v)),
            ("k", Member::Hash(*k)),
            ("n", Natural(*n)),
            ("p", Member::Hash(*p)),
            ("y", Text(y)),
            ("a", Text(a)),
            ("t", Signed(*t)),
            ("q", Signed(*q)),
            ("o", Text(o)),
            ("r", Text(r)),
            ("u", Text(u)),
            ("d", Member::Hash(*d)),
        ];
        put_members(out, &members);
    }
}

impl SealFields<'_> {
    /// The same of a seal, which a quiet shard has after nearly every record.
    fn write(&self, out: &mut Vec<u8>) {
        let Self { v, y, c, m, keys, next, dup, rej, t } = self;
        let members = [
            ("v", Natural(*v)),
            ("y", Text(y)),
            ("c", Natural(*c)),
            ("m", Member::Hash(*m)),
            ("keys", Natural(*keys)),
            ("next", Text(next)),
            ("dup", Natural(*dup)),
            ("rej", Natural(*rej)),
            ("t", Signed(*t)),
        ];
        put_members(out, &members);
    }
}

/// What a record itself puts into its line.
struct LineFields<'a> {
    type_name: &'static str,
    app: Option<&'a AppKey>,
    time: Timestamp,
}

impl<'a> LineFields<'a> {
    fn from_record(record: &'a Record) -> Self {
        match &record.content {
            Content::Event { event, .. } => {
                Self { type_name: event.type_name(), app: event.app(), time: event.time }
            }
            Content::Refused(_) | Content::Seal(_) => {
                Self { type_name: REJECTED, app: None, time: record.recorded }
            }
            Content::Succession(_) => Self { type_name: SUCCESSION, app: None, time: record.recorded },
        }
    }
}

/// `d`: what the line commits to of the payload. A succession has nothing to hide: the root of the log before.
fn committed(record: &Record, stream: Hash, payload: &[u8], secret: &LedgerSecret) -> Hash {
    match record.content {
        Content::Succession(root) => root,
        _ => commitment(&secret.salt(stream, record.seq), payload),
    }
}

/// The rule that the line of a record shows.
#[must_use]
pub fn rule(record: &Record) -> Option<Rule> {
    match &record.content {
        Content::Event { event, outcome, .. } => own_rule(event, outcome),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => None,
    }
}

/// The rule that the line of an event shows: that of the decision it made itself.
#[must_use]
pub fn own_rule(event: &Event, outcome: &Outcome) -> Option<Rule> {
    let Body::Installation { app, .. } = &event.body else { return None };
    let own = outcome.changes.iter().find(|change| change.app == *app)?;
    own.decision.map(|decision| decision.rule)
}

/// Whether the numbers of a record that is no seal fit into a line.
pub fn check(record: &Record) -> Result<(), TooLarge> {
    let times = [LineFields::from_record(record).time, record.recorded];
    if are_exact(record.seq, times) { Ok(()) } else { Err(TooLarge) }
}

/// The numbers of a record's line that could be too large.
fn are_exact(seq: u64, times: [Timestamp; 2]) -> bool {
    is_exact(seq) && times.into_iter().all(|time| is_exact_signed(time.as_millis()))
}

/// The empty text stands for nothing; any other must be read.
#[expect(clippy::option_option, reason = "the outer one is the failure, as in the function that asks")]
fn absent_if_empty<'a, T>(text: &'a str, read: impl Fn(&'a str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

impl SealLeaf {
    /// The leaf of a seal; `record` is what it is stored as.
    #[must_use]
    pub fn from_record(record: &Record, seal: &Seal) -> Self {
        Self {
            index: record.position,
            map_root: seal.map_root,
            streams: seal.streams,
            next: record.source.to_string(),
            duplicates: seal.duplicates,
            rejected: seal.refused,
            recorded: record.recorded,
        }
    }

    /// The exact bytes.
    pub fn write(&self) -> Result<String, TooLarge> {
        if self.is_exact() { Ok(self.written()) } else { Err(TooLarge) }
    }

    fn is_exact(&self) -> bool {
        let counts = [self.index, self.streams, self.duplicates, self.rejected];
        counts.into_iter().all(is_exact) && is_exact_signed(self.recorded.as_millis())
    }

    fn written(&self) -> String {
        let fields = SealFields {
            v: VERSION,
            y: SEAL.into(),
            c: self.index,
            m: self.map_root,
            keys: self.streams,
            next: self.next.as_str().into(),
            dup: self.duplicates,
            rej: self.rejected,
            t: self.recorded.as_millis(),
        };
        let mut line = Vec::with_capacity(256);
        fields.write(&mut line);
        canonical::text(line)
    }
}

impl Leaf {
    /// The leaf of a record or a seal. Of a seal nothing stands beside it.
    pub fn from_record(
        record: &Record,
        context: LeafContext,
        secret: &LedgerSecret,
    ) -> Result<Self, TooLarge> {
        match &record.content {
            Content::Seal(seal) => Ok(Self::Seal(SealLeaf::from_record(record, seal))),
            Content::Event { .. } | Content::Refused(_) | Content::Succession(_) => {
                RecordLeaf::from_record(record, context, secret).map(Self::Record)
            }
        }
    }

    /// The exact bytes.
    pub fn write(&self) -> Result<String, TooLarge> {
        match self {
            Self::Record(leaf) => Ok(leaf.write()),
            Self::Seal(leaf) => leaf.write(),
        }
    }

    /// Reads a line. Refused unless writing it again gives the same bytes.
    pub fn parse(line: &str) -> Result<Self, LeafLineError> {
        if let Some(version) = newer_version(line, r#"{"v":"#) {
            return Err(LeafLineError::UnknownVersion(version));
        }
        if line.starts_with(r#"{"v":1,"y":"seal","#) {
            let fields: SealFields<'_> = canonical::read(line)?;
            let seal = SealLeaf {
                index: fields.c,
                map_root: fields.m,
                streams: fields.keys,
                next: fields.next.into_owned(),
                duplicates: fields.dup,
                rejected: fields.rej,
                recorded: Timestamp::from_millis(fields.t),
            };
            return if seal.is_exact() { Ok(Self::Seal(seal)) } else { Err(LeafLineError::Malformed) };
        }
        let leaf = RecordLeaf::restore(canonical::read(line)?).ok_or(LeafLineError::Malformed)?;
        // A realm in lower case, or `default`, is read, but never written.
        if are_exact(leaf.seq, [leaf.time, leaf.recorded]) && leaf.write() == line {
            Ok(Self::Record(leaf))
        } else {
            Err(LeafLineError::Malformed)
        }
    }
}

/// The version of a text that begins so, where it is another than [`VERSION`]. Nothing else of the text is
/// looked at, as only the version says how it is written; but a version that stands there twice says nothing.
pub(super) fn newer_version(text: &str, before: &str) -> Option<u64> {
    let (digits, _) = text.strip_prefix(before)?.split_once([',', '}'])?;
    let version: u64 = digits.parse().ok()?;
    let is_said = version.to_string() == digits && text.matches(r#""v":"#).count() == 1;
    (is_said && version != VERSION).then_some(version)
}

/// The leaf hash of a line.
#[must_use]
pub fn leaf_hash(line: &str) -> Hash {
    tree::leaf_hash(line.as_bytes())
}
