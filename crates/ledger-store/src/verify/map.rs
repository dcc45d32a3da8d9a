//! The map of a log as it grows from seal to seal; and the stored one: its streams make the stored nodes above them,
//! and these the root of the last seal.

use std::collections::BTreeMap;
use std::thread;

use ledger_record::key::Family;
use ledger_record::key::evidence::{MapCell, MapKey};
use ledger_record::proof::Hash;
use ledger_record::proof::line::SealLeaf;
use ledger_record::proof::map::{self, Entry, Whole};

use super::{Fault, VerifyError, joined};
use crate::database::damaged;
use crate::error::ReadError;
use crate::evidence::{cell_of, entry, join};
use crate::scan::prefixed;
use crate::snapshot::Snapshot;

/// How many first bits of the ids part the map among threads.
const PARTING_BITS: u16 = 2;

/// Fewer changes than this are put in sooner than threads begin.
const PARTED_FROM: usize = if cfg!(test) { 8 } else { 512 };

/// The map of the log so far, in parts that threads go through at the same time.
pub(super) struct Parts(Vec<Whole>);

impl Default for Parts {
    fn default() -> Self {
        Self((0..1 << PARTING_BITS).map(|_| Whole::below(PARTING_BITS)).collect())
    }
}

impl Parts {
    /// Puts streams into the map, sorted by id, each once; answers its root.
    pub(super) fn update(&mut self, changed: &[Entry]) -> Hash {
        let mut rest = changed;
        let parted = self.0.iter_mut().enumerate().map(|(number, part)| {
            let is_of_it = |entry: &Entry| usize::from(entry.stream.0[0] >> (8 - PARTING_BITS)) == number;
            let (of_it, others) = rest.split_at(rest.partition_point(is_of_it));
            rest = others;
            (part, of_it)
        });
        let mut roots: Vec<Option<MapCell>> = if changed.len() < PARTED_FROM {
            parted.map(|(part, changed)| part.update(changed)).collect()
        } else {
            thread::scope(|scope| {
                let parted: Vec<_> =
                    parted.map(|(part, changed)| scope.spawn(|| part.update(changed))).collect();
                parted.into_iter().map(joined).collect()
            })
        };
        while roots.len() > 1 {
            roots = roots.chunks(2).map(|pair| join(pair[0], pair[1])).collect();
        }
        roots.first().copied().flatten().map_or(Hash::ZERO, |root| root.hash)
    }
}

/// Nodes of one depth, by their path.
type Row = BTreeMap<u16, MapCell>;

pub(super) fn check(snapshot: &Snapshot<'_>, seal: Option<&SealLeaf>) -> Result<(), VerifyError> {
    let (sixteenths, streams) = sixteenths(snapshot)?;
    let eighths = up(&sixteenths, 8);
    let root = up(&eighths, 8).get(&0).map_or(Hash::ZERO, |cell| cell.hash);
    let expected = seal.map_or(Hash::ZERO, |seal| seal.map_root);
    let is_true = stored(snapshot, &MapKey::SIXTEENTHS)? == sixteenths
        && stored(snapshot, &MapKey::EIGHTHS)? == eighths
        && root == expected
        && streams == seal.map_or(0, |seal| seal.streams);
    if is_true { Ok(()) } else { Err(Fault::Map.into()) }
}

/// The nodes at depth 16 as they follow from the stored streams, and how many of these there are.
fn sixteenths(snapshot: &Snapshot<'_>) -> Result<(Row, u64), ReadError> {
    let mut rows =
        snapshot.database().scan(Family::Map, prefixed(MapKey::streams(&[])), snapshot.sweeping())?;
    let (mut row, mut group, mut streams) = (Row::new(), Vec::<Entry>::new(), 0);
    let mut close = |group: &mut Vec<Entry>| {
        if let Some(first) = group.first() {
            let path = u16::from_be_bytes([first.stream.0[0], first.stream.0[1]]);
            row.extend(cell_of(map::below(16, group)).map(|cell| (path, cell)));
        }
        group.clear();
    };
    while let Some((key, value)) = rows.step()? {
        let entry = entry(key, value)?;
        if group.last().is_some_and(|last| last.stream.0[..2] != entry.stream.0[..2]) {
            close(&mut group);
        }
        group.push(entry);
        streams += 1;
    }
    close(&mut group);
    Ok((row, streams))
}

/// The nodes so many levels further up.
fn up(row: &Row, levels: u32) -> Row {
    (0..levels).fold(row.clone(), |row, _| {
        let paths: std::collections::BTreeSet<u16> = row.keys().map(|path| path / 2).collect();
        let child = |path: u16| row.get(&path).copied();
        paths
            .into_iter()
            .filter_map(|path| Some((path, join(child(2 * path), child(2 * path + 1))?)))
            .collect()
    })
}

/// The stored nodes of one depth.
fn stored(snapshot: &Snapshot<'_>, prefix: &[u8]) -> Result<Row, ReadError> {
    let mut rows = snapshot.database().scan(Family::Map, prefixed(prefix.to_vec()), snapshot.sweeping())?;
    let mut row = Row::new();
    while let Some((key, value)) = rows.step()? {
        let bad = |error| damaged(Family::Map, key, error);
        let path = match MapKey::decode(key).map_err(bad)? {
            MapKey::Sixteenth(path) => u16::from_be_bytes(path),
            MapKey::Eighth(path) => u16::from(path),
            MapKey::Stream(_) => continue,
        };
        row.insert(path, MapCell::decode(value).map_err(bad)?);
    }
    Ok(row)
}
