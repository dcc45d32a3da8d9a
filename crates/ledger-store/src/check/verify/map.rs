//! The map of a log as it grows from seal to seal; and the stored one: its streams make the stored nodes above them,
//! and these the root of the last seal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};

use ledger_record::key::Family;
use ledger_record::key::evidence::{MapCell, MapKey};
use ledger_record::proof::line::SealLeaf;
use ledger_record::proof::map::{self, Entry, Whole};
use ledger_record::proof::{Hash, log};

use crate::audit::cell_of;
use crate::audit::entry;
use crate::audit::join;
use crate::check::verify::log::Broken;
use crate::check::verify::{Fault, VerifyError};
use crate::db::database::damaged;
use crate::db::scan::prefixed;
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

/// How many first bits of the ids part the map among threads.
const PARTING_BITS: u16 = 2;

/// How much may be said before the map has taken it in.
pub(super) const AHEAD: usize = 4;

/// What a seal says of the map.
#[derive(Debug)]
pub(super) struct SealClaim {
    pub(super) position: u64,
    pub(super) root: Hash,
    /// Since the seal before: sorted by id, each once.
    pub(super) changed: Vec<Entry>,
}

/// The map of the log so far, in parts that grow side by side.
pub(super) struct Parts(Vec<Whole>);

impl Default for Parts {
    fn default() -> Self {
        Self((0..1 << PARTING_BITS).map(|_| Whole::below(PARTING_BITS)).collect())
    }
}

impl Parts {
    /// Lets the parts grow as the seals tell, none waiting for the others, and compares what the seals say.
    pub(super) fn follow(&mut self, said: Receiver<Vec<SealClaim>>) -> Result<(), Broken> {
        thread::scope(|scope| {
            let parts: Vec<_> =
                (0..).zip(&mut self.0).map(|(number, part)| Part::start(scope, number, part)).collect();
            let mut waiting = VecDeque::new();
            for said in said {
                let said = Arc::new(said);
                // A part that panicked is found out when its root is taken.
                for part in &parts {
                    let _no_one = part.changes.send(Arc::clone(&said));
                }
                waiting.push_back(said);
                if waiting.len() > AHEAD {
                    waiting.pop_front().map_or(Ok(()), |said| compare(&said, &parts))?;
                }
            }
            waiting.iter().try_for_each(|said| compare(said, &parts))
        })
    }
}

/// A part that grows in a thread of its own.
struct Part {
    changes: Sender<Arc<Vec<SealClaim>>>,
    /// For each seal, in turn.
    roots: Receiver<Option<MapCell>>,
}

impl Part {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, number: u8, part: &'scope mut Whole) -> Self {
        let (changes, seals) = channel::<Arc<Vec<SealClaim>>>();
        let (tells, roots) = channel();
        scope.spawn(move || {
            for some in seals {
                for seal in some.iter() {
                    // Nobody may listen any more.
                    let _no_one = tells.send(part.update(of_part(&seal.changed, number)));
                }
            }
        });
        Self { changes, roots }
    }
}

/// What changed in a part.
fn of_part(changed: &[Entry], number: u8) -> &[Entry] {
    let part_of = |entry: &Entry| entry.stream.0[0] >> (8 - PARTING_BITS);
    let from = changed.partition_point(|entry| part_of(entry) < number);
    let until = changed.partition_point(|entry| part_of(entry) <= number);
    &changed[from..until]
}

fn compare(said: &[SealClaim], parts: &[Part]) -> Result<(), Broken> {
    for SealClaim { position, root, .. } in said {
        let mut roots: Vec<Option<MapCell>> =
            parts.iter().map(|part| part.roots.recv().ok().flatten()).collect();
        while roots.len() > 1 {
            roots = roots.chunks(2).map(|pair| join(pair[0], pair[1])).collect();
        }
        let found = roots.first().copied().flatten().map_or(Hash::ZERO, |root| root.hash);
        if found != *root {
            let position = *position;
            let error = Fault::Log { position, fault: log::Fault::Map }.into();
            return Err(Broken { position, error });
        }
    }
    Ok(())
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
