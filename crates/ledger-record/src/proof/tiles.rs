//! A whole log as files: C2SP `tlog-tiles`, which foreign monitors and mirrors read.
//!
//! ```text
//! checkpoint                     the signed note
//! tile/entries/<N>[.p/<W>]       leaf lines N·256 …, each after its length as u16 BE
//! tile/<L>/<N>[.p/<W>]           hashes of level 8·L of the tree, 256 of them, 32 bytes each
//! ```
//!
//! A number in a path is written in groups of three digits, all but the last after an `x`: 1234067 is
//! `x001/x234/067`. A tile with all its 256 hashes never changes. At the right edge lie partial ones of
//! `W` = 1 to 255, of exactly what the size of the checkpoint has.

use super::tree::{leaf_hash, parent};
use crate::hash::Hash;

/// Hashes or lines of a full tile.
pub const WIDTH: u16 = 256;

/// Where the signed note lies.
pub const CHECKPOINT: &str = "checkpoint";

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileKind {
    /// Leaf lines.
    Entries,
    /// Hashes of full subtrees of 256 to the power of the level.
    Hashes {
        /// 0 for leaf hashes.
        level: u8,
    },
}

/// A tile's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// From 0, from the left.
    pub index: u64,
    /// How much of it there is, 1 to [`WIDTH`].
    pub width: u16,
}

/// A leaf line of more than 65,535 bytes has no place in a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a leaf line of {0} bytes is too long for a tile")]
pub struct TooLong(pub usize);

/// The bytes are no leaf lines after their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not leaf lines, each after its length")]
pub struct NotEntries;

impl Tile {
    /// Its path in the directory.
    #[must_use]
    pub fn path(self) -> String {
        let kind = match self.kind {
            TileKind::Entries => "entries".to_owned(),
            TileKind::Hashes { level } => level.to_string(),
        };
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let partial = if self.width < WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{kind}/{}{partial}", groups.join("/"))
    }

    /// The full tile of that place.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { width: WIDTH, ..self }
    }
}

/// The tiles of the leaf lines of a log of that size, in the order of the log.
pub fn entries(size: u64) -> impl Iterator<Item = Tile> {
    let full = u64::from(WIDTH);
    (0..size.div_ceil(full)).map(move |index| {
        let width = u16::try_from(size - index * full).unwrap_or(WIDTH).min(WIDTH);
        Tile { kind: TileKind::Entries, index, width }
    })
}

/// The lines of a tile.
pub fn lines(tile: &[u8]) -> Result<Vec<&str>, NotEntries> {
    let mut rest = tile;
    let mut lines = Vec::with_capacity(usize::from(WIDTH));
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(NotEntries)?;
        let (line, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(NotEntries)?;
        lines.push(std::str::from_utf8(line).map_err(|_| NotEntries)?);
        rest = after;
    }
    Ok(lines)
}

/// Makes the tiles of a log as it grows from its first line on.
#[derive(Debug, Clone, Default)]
pub struct Tiler {
    size: u64,
    entries: Vec<u8>,
    /// What is not in a full tile yet, by level.
    levels: Vec<Vec<Hash>>,
}

impl Tiler {
    /// Appends a line. Answers the tiles that are full now, the lines first.
    pub fn push(&mut self, line: &str) -> Result<Vec<(Tile, Vec<u8>)>, TooLong> {
        let length = u16::try_from(line.len()).map_err(|_| TooLong(line.len()))?;
        self.entries.extend(length.to_be_bytes());
        self.entries.extend(line.as_bytes());
        self.size += 1;
        let mut made = Vec::new();
        if self.size.is_multiple_of(u64::from(WIDTH)) {
            let tile = Tile { kind: TileKind::Entries, index: self.full_tiles(0) - 1, width: WIDTH };
            made.push((tile, std::mem::take(&mut self.entries)));
        }
        let mut hash = leaf_hash(line.as_bytes());
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(usize::from(WIDTH)));
            }
            self.levels[level].push(hash);
            if self.levels[level].len() < usize::from(WIDTH) {
                break;
            }
            let hashes = std::mem::take(&mut self.levels[level]);
            let index = self.full_tiles(level) - 1;
            made.push((Tile { kind: hashes_of(level), index, width: WIDTH }, bytes(&hashes)));
            hash = root(hashes);
        }
        Ok(made)
    }

    /// The tiles of the right edge, the lines first: with them and all full ones the log is whole.
    #[must_use]
    pub fn partial(&self) -> Vec<(Tile, Vec<u8>)> {
        let mut made = Vec::new();
        if let Some(tile) = entries(self.size).last().filter(|tile| tile.width < WIDTH) {
            made.push((tile, self.entries.clone()));
        }
        for (level, hashes) in self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty()) {
            let width = u16::try_from(hashes.len()).unwrap_or(WIDTH);
            let index = self.full_tiles(level);
            made.push((Tile { kind: hashes_of(level), index, width }, bytes(hashes)));
        }
        made
    }

    fn full_tiles(&self, level: usize) -> u64 {
        let shift = u32::try_from(8 * (level + 1)).unwrap_or(u32::MAX);
        self.size.checked_shr(shift).unwrap_or_default()
    }
}

fn hashes_of(level: usize) -> TileKind {
    TileKind::Hashes { level: u8::try_from(level).unwrap_or(u8::MAX) }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The root over the hashes of a full tile.
fn root(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| parent(pair[0], pair[1])).collect();
    }
    hashes[0]
}
