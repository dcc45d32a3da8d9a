//! Leaf hashes of many records: what [`RecordLeaf`] writes, in memory that is used again.
//!
//! [`RecordLeaf`]: super::RecordLeaf

use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;

use super::{
    LeafContext, LedgerSecret, LineFields, RecordFields, SealLeaf, TooLarge, VERSION, check, committed,
    leaf_hash, rule, stream_id,
};
use crate::hash::Hash;
use crate::proof::{payload, tree};
use crate::record::{Content, Coordinates, Record};

/// Hashes the lines of records.
#[derive(Debug, Clone)]
pub struct LeafHasher {
    secret: LedgerSecret,
    payload: Vec<u8>,
    source: String,
    line: Vec<u8>,
}

impl LeafHasher {
    /// For a ledger whose salts are derived from that secret.
    #[must_use]
    pub const fn new(secret: LedgerSecret) -> Self {
        Self { secret, payload: Vec::new(), source: String::new(), line: Vec::new() }
    }

    /// The leaf hash of any record.
    pub fn leaf(&mut self, record: &Record, context: LeafContext) -> Result<Hash, TooLarge> {
        if let Content::Seal(seal) = &record.content {
            return SealLeaf::from_record(record, seal).write().map(|line| leaf_hash(&line));
        }
        check(record)?;
        Ok(self.hash(rule(record), record, stream_id(&record.stream), context))
    }

    /// The leaf hash of a record that is no seal and [fits](super::check), whether or not it has its outcome: the
    /// [`rule`] comes beside it. `stream` is the id of its stream.
    pub fn hash(&mut self, rule: Option<Rule>, record: &Record, stream: Hash, context: LeafContext) -> Hash {
        let Self { secret, payload, source, line } = self;
        payload.clear();
        payload::put(payload, record);
        source.clear();
        let own = LineFields::from_record(record);
        let fields = RecordFields {
            v: VERSION,
            k: stream,
            n: record.seq,
            p: context.previous,
            y: own.type_name.into(),
            a: own.app.map_or("", AppKey::as_str).into(),
            t: own.time.as_millis(),
            q: record.recorded.as_millis(),
            o: written(&record.source, source).into(),
            r: context.pinned_realm.as_ref().map_or("", Realm::as_str).into(),
            u: rule.map_or("", Rule::as_str).into(),
            d: committed(record, stream, payload, secret),
        };
        line.clear();
        fields.write(line);
        tree::leaf_hash(line)
    }
}

/// What the `Display` of [`Coordinates`] writes.
fn written<'a>(coordinates: &Coordinates, into: &'a mut String) -> &'a str {
    let Coordinates { source, partition, offset } = coordinates;
    let mut digits = itoa::Buffer::new();
    into.push_str(source);
    into.push('/');
    into.push_str(digits.format(*partition));
    into.push('/');
    into.push_str(digits.format(*offset));
    into
}
