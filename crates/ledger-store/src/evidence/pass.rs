//! The pass over a batch's leaves at its commit.

use std::collections::HashMap;

use ledger_record::key::evidence::LeafRow;
use ledger_record::key::{self, Family, evidence};
use ledger_record::proof::Hash;
use ledger_record::proof::line::{RecordLeaf, SealLeaf, TooLarge, leaf_hash, stream_id};
use ledger_record::proof::map::{Entry, Head};
use ledger_record::proof::tree::Node;
use ledger_record::record::{Content, Record, Seal, Stream};
use rocksdb::{ReadOptions, WriteBatch};

use super::draft::{Draft, Noted, Previous};
use super::map::Changes;
use super::{Evidence, State, tree};
use crate::database::{Database, damaged};
use crate::error::{AppendError, Damage, ReadError};
use crate::{decode, evidence::proofs};

/// A batch's leaves on their way into the store.
struct Pass<'a> {
    database: &'a Database,
    state: State,
    /// Position of the first leaf.
    first: u64,
    leaves: Vec<LeafRow>,
    nodes: Vec<(Node, Hash)>,
    map: Option<Changes<'a>>,
    /// Leaf hashes, by position, that were read because nothing in memory has them.
    fetched: HashMap<u64, Hash>,
    seals: Vec<Vec<u8>>,
}

impl Evidence {
    /// Hashes the leaves of a batch that begins at `first`, and adds their rows to its write. Answers the
    /// seals as they are stored, in order.
    pub(crate) fn write(
        &mut self,
        draft: &mut Draft,
        first: u64,
        database: &Database,
        write: &mut WriteBatch,
    ) -> Result<Vec<Vec<u8>>, AppendError> {
        let noted = std::mem::take(&mut draft.leaves);
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.take_state(database, first)?;
        let fetched = fetch(database, &state, &noted, first)?;
        let (leaves, nodes) = (Vec::with_capacity(noted.len()), Vec::new());
        let mut pass = Pass { database, state, first, leaves, nodes, map: None, fetched, seals: Vec::new() };
        for leaf in noted {
            match leaf {
                Noted::Record(leaf, previous) => pass.record(leaf, &previous)?,
                Noted::Seal(record, seal) => pass.seal(record, seal)?,
            }
        }
        pass.put(write)?;
        self.state = Some(pass.state);
        (self.placement, self.seals) = (draft.placement, draft.seals);
        Ok(pass.seals)
    }
}

impl Pass<'_> {
    fn position(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    fn record(&mut self, mut leaf: RecordLeaf, previous: &Previous) -> Result<(), ReadError> {
        leaf.previous = match previous {
            Previous::None => Hash::ZERO,
            Previous::At(position) => self.leaf_at(*position)?,
            Previous::Stored(stream) => self.last_of(stream, &leaf)?,
        };
        let hash = leaf_hash(&leaf.write());
        let head = Head { seq: leaf.seq, index: self.position(), leaf: hash };
        self.state.unsealed.insert(leaf.stream, head);
        self.state.streams += u64::from(leaf.seq == 1);
        self.take_in(LeafRow { hash, pinned_realm: leaf.pinned_realm });
        Ok(())
    }

    fn seal(&mut self, mut record: Box<Record>, seal: Seal) -> Result<(), AppendError> {
        let unsealed = self.state.unsealed.drain();
        let mut changed: Vec<Entry> =
            unsealed.map(|(stream, head)| Entry { stream, commitment: head.commitment() }).collect();
        changed.sort_unstable();
        let mut map = match self.map.take() {
            Some(map) => map,
            None => Changes::new(self.database, &mut self.state.top)?,
        };
        let map_root = map.put(&mut self.state.top, &changed)?;
        self.map = Some(map);
        let seal = Seal { map_root, streams: self.state.streams, ..seal };
        record.content = Content::Seal(seal);
        let line = SealLeaf::of(&record, &seal).write().map_err(|TooLarge| AppendError::TooLarge)?;
        self.seals.push(record.encode());
        self.take_in(LeafRow { hash: leaf_hash(&line), pinned_realm: None });
        Ok(())
    }

    fn take_in(&mut self, leaf: LeafRow) {
        let nodes = &mut self.nodes;
        tree::grow(&mut self.state.frontier, leaf.hash, |node, hash| nodes.push((node, hash)));
        self.state.recent.push(leaf.hash);
        self.leaves.push(leaf);
    }

    fn leaf_at(&self, position: u64) -> Result<Hash, ReadError> {
        let here = position
            .checked_sub(self.first)
            .and_then(|at| self.leaves.get(usize::try_from(at).ok()?))
            .map(|leaf| leaf.hash);
        here.or_else(|| self.state.recent.get(position))
            .or_else(|| self.fetched.get(&position).copied())
            .ok_or_else(|| damaged(Family::Leaves, &key::position(position), Damage::Missing).into())
    }

    /// The last stored leaf of a stream of which no row tells where it is.
    fn last_of(&self, stream: &Stream, leaf: &RecordLeaf) -> Result<Hash, ReadError> {
        if let Some(head) = self.state.unsealed.get(&stream_id(stream)) {
            return Ok(head.leaf);
        }
        let at = key::log::log(stream, leaf.seq.saturating_sub(1));
        let value = self
            .database
            .get(Family::Log, &at, &ReadOptions::default())?
            .ok_or_else(|| damaged(Family::Log, &at, Damage::Missing))?;
        let position = decode::record(&at, &value)?.position;
        Ok(proofs::leaf(self.database, position, &ReadOptions::default())?
            .ok_or_else(|| damaged(Family::Leaves, &key::position(position), Damage::Missing))?
            .hash)
    }

    fn put(&mut self, write: &mut WriteBatch) -> Result<(), AppendError> {
        let family = self.database.family(Family::Leaves)?;
        for (position, leaf) in (self.first..).zip(&self.leaves) {
            write.put_cf(family, key::position(position), leaf.encode());
        }
        self.nodes.sort_unstable();
        let family = self.database.family(Family::Tree)?;
        for (node, hash) in &self.nodes {
            write.put_cf(family, evidence::tree_node(*node), hash.0);
        }
        if let Some(map) = &mut self.map {
            map.write(&self.state.top, self.database, write)?;
        }
        Ok(())
    }
}

/// The leaf hashes that records name and that nothing in memory has, in one read.
fn fetch(
    database: &Database,
    state: &State,
    noted: &[Noted],
    first: u64,
) -> Result<HashMap<u64, Hash>, ReadError> {
    let previous = noted.iter().filter_map(|noted| match noted {
        Noted::Record(_, Previous::At(position)) => Some(*position),
        Noted::Record(_, Previous::None | Previous::Stored(_)) | Noted::Seal(..) => None,
    });
    let is_stored = |position: &u64| *position < first && !state.recent.keeps(*position, noted.len());
    let mut positions: Vec<u64> = previous.filter(is_stored).collect();
    positions.sort_unstable();
    positions.dedup();
    let keys: Vec<Vec<u8>> = positions.iter().map(|position| key::position(*position).to_vec()).collect();
    let values = database.get_many(Family::Leaves, &keys, &ReadOptions::default())?;
    let mut fetched = HashMap::with_capacity(positions.len());
    for (position, value) in positions.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let bad = |error| damaged(Family::Leaves, &key::position(position), error);
        fetched.insert(position, LeafRow::decode(&value).map_err(bad)?.hash);
    }
    Ok(fetched)
}
