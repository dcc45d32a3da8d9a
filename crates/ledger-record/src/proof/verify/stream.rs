//! Steps 4 to 6: all records of a stream.

use ledger_core::ids::AppKey;

use super::{
    BundleFault, BundleRefusal, InconclusiveBundle, RecordFault, Sealed, StreamName, VerifiedRecord,
};
use crate::hash::Hash;
use crate::proof::bundle::{RecordPart, StreamPart};
use crate::proof::line::{Leaf, LeafLineError, REJECTED, RecordLeaf, commitment, leaf_hash, stream_id};
use crate::proof::map::{self, End, Proof, StreamHead};
use crate::proof::payload::{self, OpenedPayload};
use crate::proof::tree;
use crate::record::Stream;

/// A stream whose records are a chain in the log.
pub(super) struct Checked<'a> {
    name: StreamName,
    stream: &'a Stream,
    id: Hash,
    part: &'a StreamPart,
    leaves: Vec<RecordLeaf>,
    head: Option<StreamHead>,
}

/// Step 4.
pub(super) fn check<'a>(
    name: StreamName,
    stream: &'a Stream,
    part: &'a StreamPart,
    sealed: &Sealed,
) -> Result<Checked<'a>, BundleRefusal> {
    let id = stream_id(stream);
    let mut checked = Checked { name, stream, id, part, leaves: Vec::new(), head: None };
    for (number, record) in (1..).zip(&part.records) {
        let leaf = match Leaf::parse(&record.entry) {
            Ok(Leaf::Record(leaf)) => leaf,
            Ok(Leaf::Seal(_)) | Err(LeafLineError::Malformed) => {
                return Err(checked.fault(number, RecordFault::Line));
            }
            Err(LeafLineError::UnknownVersion(version)) => {
                return Err(InconclusiveBundle::UnknownVersion(version).into());
            }
        };
        let hash = leaf_hash(&record.entry);
        checked.link(number, &leaf, record, sealed).map_err(|fault| checked.fault(number, fault))?;
        let is_included = tree::verify_inclusion(
            hash,
            record.index,
            sealed.checkpoint.size,
            &record.proof,
            sealed.checkpoint.root,
        );
        is_included.map_err(|_| checked.fault(number, RecordFault::NotIncluded))?;
        checked.head = Some(StreamHead { seq: number, index: record.index, leaf: hash });
        checked.leaves.push(leaf);
    }
    Ok(checked)
}

impl Checked<'_> {
    fn fault(&self, number: u64, fault: RecordFault) -> BundleRefusal {
        BundleFault::Record { number, stream: self.name.clone(), fault }.into()
    }

    fn link(
        &self,
        number: u64,
        leaf: &RecordLeaf,
        record: &RecordPart,
        sealed: &Sealed,
    ) -> Result<(), RecordFault> {
        if leaf.stream != self.id || !self.may_hold(leaf) {
            return Err(RecordFault::Stream);
        }
        if leaf.seq != number {
            return Err(RecordFault::Number);
        }
        if leaf.previous != self.head.map_or(Hash::ZERO, |head| head.leaf) {
            return Err(RecordFault::Previous);
        }
        let rises = self.head.is_none_or(|head| head.index < record.index);
        if rises && record.index < sealed.seal.index { Ok(()) } else { Err(RecordFault::Index) }
    }

    /// Whether a record is about the app.
    pub(super) fn names(&self, app: &AppKey) -> bool {
        self.leaves.iter().any(|leaf| leaf.app.as_ref() == Some(app))
    }

    fn may_hold(&self, leaf: &RecordLeaf) -> bool {
        match self.stream {
            Stream::Tenant(_) => leaf.type_name != REJECTED,
            Stream::App(app) => leaf.app.as_ref() == Some(app),
            Stream::Rejected | Stream::Seals | Stream::Succession => false,
        }
    }

    fn opened(&self) -> impl Iterator<Item = Result<Option<OpenedPayload>, RecordFault>> {
        self.leaves.iter().zip(&self.part.records).map(|(leaf, record)| {
            let Some((salt, text)) = &record.opening else { return Ok(None) };
            if commitment(&salt.0, text.as_bytes()) != leaf.commitment {
                return Err(RecordFault::Commitment);
            }
            let opened = payload::open(text, leaf.type_name, leaf.app.as_ref(), leaf.time);
            let opened = opened.map_err(|_| RecordFault::Payload)?;
            let is_own = match self.stream {
                Stream::Tenant(client) => opened.event.client() == Some(client),
                Stream::App(_) => opened.event.client().is_none(),
                Stream::Rejected | Stream::Seals | Stream::Succession => false,
            };
            if is_own { Ok(Some(opened)) } else { Err(RecordFault::Payload) }
        })
    }

    /// Step 5.
    pub(super) fn open(&self) -> Result<Vec<Option<OpenedPayload>>, BundleRefusal> {
        let numbered = (1..).zip(self.opened());
        numbered.map(|(number, opened)| opened.map_err(|fault| self.fault(number, fault))).collect()
    }

    /// Step 6.
    pub(super) fn check_head(&self, sealed: &Sealed) -> Result<(), BundleRefusal> {
        let end = match (self.head, self.part.other) {
            (Some(head), None) => End::Own(head.commitment()),
            (None, Some(other)) => End::Other(other),
            (None, None) => End::Missing,
            (Some(_), Some(_)) => return Err(BundleFault::Incomplete(self.name.clone()).into()),
        };
        let proof = Proof { end, siblings: self.part.siblings.clone() };
        let is_whole = self.head.map_or(0, |head| head.seq) == self.part.count
            && map::verify(self.id, &proof, sealed.seal.map_root).is_ok();
        if is_whole { Ok(()) } else { Err(BundleFault::Incomplete(self.name.clone()).into()) }
    }

    /// What is proven.
    pub(super) fn finish(self, opened: Vec<Option<OpenedPayload>>) -> Vec<VerifiedRecord> {
        let records = self.part.records.iter().map(|record| record.index);
        let leaves = self.leaves.into_iter().zip(opened);
        records.zip(leaves).map(|(index, (leaf, opened))| VerifiedRecord { index, leaf, opened }).collect()
    }
}
