//! The map of a log as it grows from seal to seal, in parts that grow side by side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};

use ledger_record::proof::map::{MapEntry, MapNode, WholeMap};
use ledger_record::proof::{Hash, log};

use crate::check::verify::ShardFault;
use crate::check::verify::log::Broken;

/// How many first bits of the ids part the map among threads.
const PARTING_BITS: u16 = 2;

/// So many lists of claims wait for the map at most.
pub(super) const AHEAD: usize = 4;

/// What a seal says of the map.
#[derive(Debug)]
pub(super) struct SealClaim {
    pub(super) position: u64,
    pub(super) root: Hash,
    /// Since the seal before: sorted by id, each once.
    pub(super) changed: Vec<MapEntry>,
}

/// The map of the log so far, in parts that grow side by side.
pub(super) struct Parts(Vec<WholeMap>);

impl Default for Parts {
    fn default() -> Self {
        Self((0..1 << PARTING_BITS).map(|_| WholeMap::below(PARTING_BITS)).collect())
    }
}

impl Parts {
    /// Lets the parts grow as the seals tell, none waiting for the others, and compares what the seals say.
    pub(super) fn follow(&mut self, claims: Receiver<Vec<SealClaim>>) -> Result<(), Broken> {
        thread::scope(|scope| {
            let parts: Vec<_> =
                (0..).zip(&mut self.0).map(|(number, part)| Part::start(scope, number, part)).collect();
            let mut waiting = VecDeque::new();
            for claims in claims {
                let claims = Arc::new(claims);
                // A part that panicked is found out when its root is taken.
                for part in &parts {
                    let _disconnected = part.changes.send(Arc::clone(&claims));
                }
                waiting.push_back(claims);
                if waiting.len() > AHEAD {
                    waiting.pop_front().map_or(Ok(()), |claims| compare(&claims, &parts))?;
                }
            }
            waiting.iter().try_for_each(|claims| compare(claims, &parts))
        })
    }
}

/// A part that grows in a thread of its own.
struct Part {
    changes: Sender<Arc<Vec<SealClaim>>>,
    /// For each seal, in turn.
    roots: Receiver<Option<MapNode>>,
}

impl Part {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, number: u8, part: &'scope mut WholeMap) -> Self {
        let (changes, seals) = channel::<Arc<Vec<SealClaim>>>();
        let (sender, roots) = channel();
        scope.spawn(move || {
            for some in seals {
                for seal in some.iter() {
                    // Nobody may listen any more.
                    let _disconnected = sender.send(part.update(of_part(&seal.changed, number)));
                }
            }
        });
        Self { changes, roots }
    }
}

/// What changed in a part.
fn of_part(changed: &[MapEntry], number: u8) -> &[MapEntry] {
    let part_of = |entry: &MapEntry| entry.stream.0[0] >> (8 - PARTING_BITS);
    let from = changed.partition_point(|entry| part_of(entry) < number);
    let until = changed.partition_point(|entry| part_of(entry) <= number);
    &changed[from..until]
}

fn compare(claims: &[SealClaim], parts: &[Part]) -> Result<(), Broken> {
    for SealClaim { position, root, .. } in claims {
        let mut roots: Vec<Option<MapNode>> =
            parts.iter().map(|part| part.roots.recv().ok().flatten()).collect();
        while roots.len() > 1 {
            roots = roots.chunks(2).map(|pair| MapNode::over(pair[0], pair[1])).collect();
        }
        let found = MapNode::hash_of(roots.first().copied().flatten());
        if found != *root {
            let position = *position;
            let error = ShardFault::Log { position, fault: log::LogFault::Map }.into();
            return Err(Broken { position, error });
        }
    }
    Ok(())
}
