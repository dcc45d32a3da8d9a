//! A whole map in memory, or a part of it, while it grows: for those who read a log from its first line.
//!
//! What changes is put in seal by seal, and goes down the map together: a node above many changed streams is
//! visited, and hashed, once. The hash of a node stands in the one above it, beside its sibling's, so that nothing
//! else is looked up on the way. A stream takes some 130 bytes.

use super::{Entry, divide, goes_right, parent};
use crate::key::evidence::MapCell;
use crate::proof::hash::Hash;

/// A map of which everything is known.
#[derive(Debug, Default)]
pub struct Whole {
    depth: u16,
    root: Child,
    inner: Vec<[Child; 2]>,
    streams: Vec<Hash>,
}

/// What is below a node on one side.
#[derive(Debug, Clone, Copy, Default)]
struct Child {
    hash: Hash,
    below: Below,
}

#[derive(Debug, Clone, Copy, Default)]
enum Below {
    #[default]
    Nothing,
    /// A stream alone, by its place in the list.
    Stream(usize),
    /// A node, by its place in the list.
    Inner(usize),
}

impl Whole {
    /// The part of a map that holds the streams which share so many first bits.
    #[must_use]
    pub fn below(depth: u16) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Puts streams into it, sorted by id, each once; one that is there gets its new head. Answers its root.
    pub fn update(&mut self, changed: &[Entry]) -> Option<MapCell> {
        self.fetch(changed);
        self.root = self.put(self.root, self.depth, changed);
        let Child { hash, below } = self.root;
        match below {
            Below::Nothing => None,
            Below::Stream(_) => Some(MapCell { is_lone: true, hash }),
            Below::Inner(_) => Some(MapCell { is_lone: false, hash }),
        }
    }

    /// Looks at every node above what changes, a level at a time. A large map does not fit into the caches of a
    /// processor: here the nodes of a level are waited for together, in [`Self::put`] each would be for itself.
    fn fetch(&self, changed: &[Entry]) {
        let (mut level, mut depth) = (vec![(self.root.below, changed)], self.depth);
        while !level.is_empty() {
            let mut next = Vec::with_capacity(2 * level.len());
            for (below, changed) in level {
                let (Below::Inner(place), false) = (below, changed.is_empty()) else { continue };
                let [left, right] = &self.inner[place];
                let (to_left, to_right) = divide(changed, depth);
                next.extend([(left.below, to_left), (right.below, to_right)]);
            }
            (level, depth) = (next, depth + 1);
        }
    }

    fn put(&mut self, at: Child, depth: u16, changed: &[Entry]) -> Child {
        let [left, right] = match (at.below, changed) {
            (_, []) => return at,
            (Below::Nothing, [entry]) => {
                self.streams.push(entry.stream);
                return Child { hash: entry.hash(), below: Below::Stream(self.streams.len() - 1) };
            }
            (Below::Stream(place), [entry]) if self.streams[place] == entry.stream => {
                return Child { hash: entry.hash(), ..at };
            }
            (Below::Nothing, _) => [Child::default(); 2],
            (Below::Stream(place), _) if goes_right(self.streams[place], depth) => [Child::default(), at],
            (Below::Stream(_), _) => [at, Child::default()],
            (Below::Inner(place), _) => self.inner[place],
        };
        let (to_left, to_right) = divide(changed, depth);
        let children = [self.put(left, depth + 1, to_left), self.put(right, depth + 1, to_right)];
        let place = match at.below {
            Below::Inner(place) => {
                self.inner[place] = children;
                place
            }
            Below::Nothing | Below::Stream(_) => {
                self.inner.push(children);
                self.inner.len() - 1
            }
        };
        Child { hash: parent(children[0].hash, children[1].hash), below: Below::Inner(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::map::root;

    #[test]
    fn has_the_root_of_the_same_map_whatever_it_was_put_together_from() {
        // Ids that share long beginnings, and others.
        let stream = |number: u64| match number % 3 {
            0 => Hash([0; 32]),
            _ => Hash::of(&[&(number % 40).to_be_bytes()]),
        };
        let entry = |number: u64| {
            let mut stream = stream(number);
            stream.0[31] = u8::try_from(number % 11).unwrap();
            Entry { stream, commitment: Hash::of(&[&number.to_le_bytes()]) }
        };
        let mut whole = Whole::default();
        let mut all = std::collections::BTreeMap::new();
        assert_eq!(whole.update(&[]), None);
        for seal in 0..60 {
            let changed: std::collections::BTreeMap<Hash, Entry> =
                (7 * seal..8 * seal + 3).map(entry).map(|entry| (entry.stream, entry)).collect();
            all.extend(changed.clone());
            let [changed, all] = [&changed, &all].map(|map| map.values().copied().collect::<Vec<_>>());
            assert_eq!(whole.update(&changed).unwrap().hash, root(&all), "seal {seal}");
        }
        assert!(all.len() > 100);
    }
}
