//! Pass 1: the log by position.

use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family};
use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Beside, Leaf, LedgerSecret, leaf_hash, stream_id};
use ledger_record::proof::log::Reader;
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::tiles::{Kind, Tile, Tiler};
use ledger_record::proof::tree::Node;
use ledger_record::record::{Content, Record, Stream};

use super::offsets::Offsets;
use super::{Fault, Verified, VerifyError, check_rules};
use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::scan::{Scan, everything};
use crate::snapshot::Snapshot;

const PROGRESS_EVERY: u64 = 4096;

pub(super) fn check(
    snapshot: &Snapshot<'_>,
    secret: &LedgerSecret,
    signed: &[Checkpoint],
    progress: &dyn Fn(u64),
) -> Result<Verified, VerifyError> {
    let head = snapshot.head()?;
    let leaves = snapshot.database.scan(Family::Leaves, everything(), snapshot.sweeping());
    let leaves = leaves.map_err(ReadError::from)?;
    let mut pass = Pass { snapshot, leaves, reader: Reader::default(), tiler: Tiler::default() };
    let mut offsets = Offsets::new(snapshot)?;
    let (mut refused, mut ahead_ms) = (0, 0);
    pass.compare_signed(signed)?;
    for record in snapshot.records_from(0)? {
        let record = record?;
        pass.take_in(&record, secret)?;
        pass.compare_signed(signed)?;
        if !matches!(record.content, Content::Seal(_)) {
            offsets.record(&record.source)?;
        }
        refused += u64::from(matches!(record.content, Content::Refused(_)));
        ahead_ms = ahead_ms.max(millis_ahead(&record));
        if record.position.is_multiple_of(PROGRESS_EVERY) {
            progress(record.position);
        }
    }
    pass.compare_nodes(pass.tiler.partial())?;
    let duplicates = offsets.finish()?;
    let tree: &Frontier = pass.reader.tree();
    let (size, root) = (tree.size(), tree.root());
    count("records", size, head.next_position)?;
    count("refused messages", refused, head.refused)?;
    count("repeats", duplicates, head.duplicates)?;
    count("milliseconds an event was ahead", ahead_ms, head.ahead_ms.unsigned_abs())?;
    if let Some(signed) = signed.iter().find(|signed| signed.size > size) {
        return Err(Fault::Shorter { size: signed.size, found: size }.into());
    }
    let (seal, seals) = (pass.reader.last_seal().cloned(), pass.reader.seals());
    let late_beginnings = snapshot.late_beginnings()?;
    Ok(Verified { size, root, seal, seals, tenants: 0, refused, duplicates, late_beginnings })
}

/// How far the event of a tenant was ahead of the time it was recorded.
fn millis_ahead(record: &Record) -> u64 {
    match (&record.stream, &record.content) {
        (Stream::Tenant(_), Content::Event { event, .. }) => {
            u64::try_from(event.time.millis_since(record.recorded)).unwrap_or(0)
        }
        _ => 0,
    }
}

fn count(what: &'static str, found: u64, counted: u64) -> Result<(), Fault> {
    if found == counted { Ok(()) } else { Err(Fault::Count { what, found, counted }) }
}

struct Pass<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    /// In step with the records.
    leaves: Scan<'a>,
    reader: Reader,
    tiler: Tiler,
}

impl Pass<'_, '_> {
    fn take_in(&mut self, record: &Record, secret: &LedgerSecret) -> Result<(), VerifyError> {
        let position = record.position;
        check_rules(record)?;
        let at = key::position(position);
        let bad = |cause: Damage| ReadError::from(damaged(Family::Leaves, &at, cause));
        let row = self.leaves.step().map_err(ReadError::from)?.filter(|(key, _)| *key == at);
        let (_, row) = row.ok_or_else(|| bad(Damage::Missing))?;
        let stored = LeafRow::decode(row).map_err(|error| bad(error.into()))?;
        let previous = self.reader.head(stream_id(&record.stream)).map_or(Hash::ZERO, |head| head.leaf);
        let beside = Beside { previous, pinned_realm: stored.pinned_realm };
        let leaf = Leaf::of(record, beside, secret).map_err(|_| bad(Damage::Misplaced))?;
        let line = leaf.write().map_err(|_| bad(Damage::Misplaced))?;
        if leaf_hash(&line) != stored.hash {
            return Err(Fault::Leaf { position }.into());
        }
        let taken = self.reader.take_in_leaf(&leaf, stored.hash);
        taken.map_err(|fault| Fault::Log { position, fault })?;
        let made = self.tiler.push(&line).map_err(|_| bad(Damage::Misplaced))?;
        self.compare_nodes(made)
    }

    /// Nodes of every eighth level above the leaves are stored: those that tiles hold.
    fn compare_nodes(&self, made: Vec<(Tile, Vec<u8>)>) -> Result<(), VerifyError> {
        for (tile, bytes) in made {
            let Kind::Hashes { level: level @ 1.. } = tile.kind else { continue };
            let first = tile.index * 256;
            for (index, hash) in (first..).zip(bytes.chunks_exact(32)) {
                let node = Node { level: 8 * level, index };
                if self.snapshot.tree_node(node)?.0 != hash {
                    return Err(Fault::Node { level: node.level, index }.into());
                }
            }
        }
        Ok(())
    }

    fn compare_signed(&self, signed: &[Checkpoint]) -> Result<(), Fault> {
        let tree = self.reader.tree();
        let mut here = signed.iter().filter(|signed| signed.size == tree.size());
        match here.find(|signed| signed.root != tree.root()) {
            Some(other) => Err(Fault::Signed { size: other.size }),
            None => Ok(()),
        }
    }
}
