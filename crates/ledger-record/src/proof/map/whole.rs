//! A whole map in memory, while it grows: for those who read a log from its first line.
//!
//! Putting a stream in only marks the nodes above it; the hashes of what is marked are computed when the root is
//! asked for, so a stream that changes often between two seals costs its way to the root once. A stream takes
//! some 140 bytes.

use super::{Entry, goes_right, parent};
use crate::proof::hash::Hash;

/// A map of which everything is known.
#[derive(Debug, Default)]
pub struct Whole {
    root: Child,
    inner: Vec<Inner>,
    leaves: Vec<Leaf>,
}

/// What is below a node on one side. The numbers are places in the lists above.
#[derive(Debug, Clone, Copy, Default)]
enum Child {
    #[default]
    Missing,
    Leaf(usize),
    Inner(usize),
}

#[derive(Debug)]
struct Inner {
    children: [Child; 2],
    /// None: something below it changed.
    hash: Option<Hash>,
}

#[derive(Debug)]
struct Leaf {
    entry: Entry,
    hash: Option<Hash>,
}

impl Whole {
    /// Puts a stream into the map; one that is there gets its new head.
    pub fn put(&mut self, entry: Entry) {
        let new = Leaf { entry, hash: None };
        let (mut at, mut depth) = (self.root, 0);
        let mut above: Option<(usize, usize)> = None;
        loop {
            match at {
                Child::Inner(place) => {
                    let side = usize::from(goes_right(entry.stream, depth));
                    let node = &mut self.inner[place];
                    node.hash = None;
                    above = Some((place, side));
                    at = node.children[side];
                    depth += 1;
                }
                Child::Leaf(place) if self.leaves[place].entry.stream == entry.stream => {
                    self.leaves[place] = new;
                    return;
                }
                Child::Leaf(place) => {
                    let other = self.leaves[place].entry.stream;
                    self.leaves.push(new);
                    let grown =
                        self.part([at, Child::Leaf(self.leaves.len() - 1)], [other, entry.stream], depth);
                    return self.hang(above, grown);
                }
                Child::Missing => {
                    self.leaves.push(new);
                    return self.hang(above, Child::Leaf(self.leaves.len() - 1));
                }
            }
        }
    }

    /// The root.
    pub fn root(&mut self) -> Hash {
        self.hash(self.root)
    }

    /// The nodes over two leaves of different streams, which share their bits before `depth`.
    fn part(&mut self, leaves: [Child; 2], streams: [Hash; 2], depth: u16) -> Child {
        let [side, other] = streams.map(|stream| usize::from(goes_right(stream, depth)));
        let mut children = [Child::Missing; 2];
        if side == other {
            children[side] = self.part(leaves, streams, depth + 1);
        } else {
            (children[side], children[other]) = (leaves[0], leaves[1]);
        }
        self.inner.push(Inner { children, hash: None });
        Child::Inner(self.inner.len() - 1)
    }

    fn hang(&mut self, above: Option<(usize, usize)>, child: Child) {
        match above {
            Some((place, side)) => self.inner[place].children[side] = child,
            None => self.root = child,
        }
    }

    fn hash(&mut self, child: Child) -> Hash {
        match child {
            Child::Missing => Hash::ZERO,
            Child::Leaf(place) => {
                let Leaf { entry, hash } = &mut self.leaves[place];
                *hash.get_or_insert_with(|| entry.hash())
            }
            Child::Inner(place) => {
                if let Some(hash) = self.inner[place].hash {
                    return hash;
                }
                let [left, right] = self.inner[place].children;
                let (left, right) = (self.hash(left), self.hash(right));
                let hash = parent(left, right);
                self.inner[place].hash = Some(hash);
                hash
            }
        }
    }
}
