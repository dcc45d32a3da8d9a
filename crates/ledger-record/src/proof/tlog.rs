//! A whole log in C2SP tiles, checked: a directory that was handed out, or a mirror of one.
//!
//! 1. A known key signed the checkpoint.
//! 2. The lines, from the first to the size of the checkpoint, are a true log ([`super::log`]).
//! 3. Every tile of hashes is the one that the lines make.
//! 4. The lines make the root of the checkpoint, and of the pinned one at its size.
//! 5. The last line is a seal.
//!
//! Files are asked for by their path, one at a time. Where a partial tile is gone because the log has grown,
//! the beginning of the full one does. What is in the directory beyond the checkpoint is not looked at.

use std::cmp::Ordering;

use super::frontier::Frontier;
use super::line::SealLeaf;
use super::log::{self, LogReader};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::tiles::{self, CHECKPOINT, Tile, TileKind, Tiler};
use crate::record::PriorLog;

/// What a valid log proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTiles {
    /// What bears it.
    pub checkpoint: Checkpoint,
    /// Its last seal: how many streams there are, what was refused, up to when it is complete.
    pub seal: SealLeaf,
    /// How many seals there are, all of them true.
    pub seals: u64,
    /// The logs that this one takes the place of.
    pub predecessors: Vec<PriorLog>,
}

/// Why a log is not valid.
#[derive(Debug, thiserror::Error)]
pub enum TilesRefusal<E: std::error::Error + 'static> {
    /// It is not what it claims.
    #[error(transparent)]
    Invalid(#[from] TilesFault),
    /// It cannot be judged.
    #[error(transparent)]
    Undecided(#[from] InconclusiveTiles),
    /// A file could not be read.
    #[error(transparent)]
    Unreadable(E),
}

/// A fact that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TilesFault {
    /// Step 1.
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] NoteError),
    /// A part is missing.
    #[error("{0} is missing, or shorter than the checkpoint says")]
    Missing(String),
    /// Step 2.
    #[error("{0} does not hold leaf lines, each after its length")]
    Entries(String),
    /// Step 2.
    #[error("leaf {index}")]
    Leaf {
        /// Its index.
        index: u64,
        /// What is wrong with it.
        #[source]
        fault: log::LogFault,
    },
    /// Step 3.
    #[error("{0} does not hold the hashes of the leaves")]
    Hashes(String),
    /// Step 4.
    #[error("the leaves do not make the root of the checkpoint")]
    Root,
    /// Step 4.
    #[error("the pinned checkpoint is refused")]
    Pinned(#[source] NoteError),
    /// Step 4.
    #[error("the pinned checkpoint is of another log")]
    PinnedOrigin,
    /// Step 4.
    #[error("the log does not go on from the pinned checkpoint: it was changed, or forked")]
    Inconsistent,
    /// Step 5.
    #[error("the last leaf of the checkpoint is no seal")]
    Unsealed,
}

/// What is missing to judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InconclusiveTiles {
    /// There is nothing.
    #[error("there is no checkpoint: is it the directory of a log?")]
    NoCheckpoint,
    /// Other keys.
    #[error("the checkpoint is not signed by a key that is known here: give the ledger's verifier key")]
    UnknownKey,
    /// The pinned note by other keys.
    #[error("the pinned checkpoint is not signed by a key that is known here: give the key of that time too")]
    PinnedUnknownKey,
    /// It is newer than the log.
    #[error("the pinned checkpoint has {pinned} leaves, this one {size}: get a newer copy of the log")]
    PinnedNewer {
        /// What was kept.
        pinned: u64,
        /// What there is.
        size: u64,
    },
    /// A newer form.
    #[error("leaf {index} has version {version}: use a newer program")]
    UnknownVersion {
        /// Its index.
        index: u64,
        /// What it says.
        version: u64,
    },
}

/// Judges the log whose files `read` answers, by the keys that are trusted and the checkpoint that was kept.
/// `progress` is told how many leaves are checked, of how many.
pub fn verify<E: std::error::Error>(
    read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>,
    keys: &[VerifierKey],
    pinned: Option<&str>,
    mut progress: impl FnMut(u64, u64),
) -> Result<VerifiedTiles, TilesRefusal<E>> {
    let mut files = Files { read };
    let note = files.read(CHECKPOINT)?.ok_or(InconclusiveTiles::NoCheckpoint)?;
    let note = String::from_utf8(note).map_err(|_| TilesFault::Checkpoint(NoteError::Malformed))?;
    // The name of the key is that of the log.
    let origin = note.split('\n').next().unwrap_or_default();
    let keys: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
    let checkpoint = Checkpoint::open_known(&note, &keys)
        .map_err(TilesFault::Checkpoint)?
        .ok_or(InconclusiveTiles::UnknownKey)?;
    let pinned = pinned.map(|note| open_pinned(note, &keys, &checkpoint)).transpose()?;
    let differs = |tree: &Frontier| {
        pinned.as_ref().is_some_and(|pinned| pinned.size == tree.size() && pinned.root != tree.root())
    };
    let (mut reader, mut tiler) = (LogReader::default(), Tiler::default());
    if differs(reader.tree()) {
        return Err(TilesFault::Inconsistent.into());
    }
    for tile in tiles::entries(checkpoint.size) {
        let bytes = files.tile(tile)?;
        for line in lines(tile, &bytes)? {
            let index = reader.tree().size();
            reader.append(line).map_err(|refusal| match refusal {
                log::LineRefusal::Invalid(fault) => TilesRefusal::from(TilesFault::Leaf { index, fault }),
                log::LineRefusal::UnknownVersion(version) => {
                    InconclusiveTiles::UnknownVersion { index, version }.into()
                }
            })?;
            let made = tiler.push(line).map_err(|_| TilesFault::Entries(tile.path()))?;
            files.compare(made)?;
            if differs(reader.tree()) {
                return Err(TilesFault::Inconsistent.into());
            }
        }
        progress(reader.tree().size(), checkpoint.size);
    }
    files.compare(tiler.partial())?;
    if reader.tree().root() != checkpoint.root {
        return Err(TilesFault::Root.into());
    }
    let seal = reader.sealed().cloned().ok_or(TilesFault::Unsealed)?;
    let predecessors = reader.predecessors().to_vec();
    Ok(VerifiedTiles { checkpoint, seal, seals: reader.seals(), predecessors })
}

fn open_pinned<E: std::error::Error>(
    note: &str,
    keys: &[VerifierKey],
    checkpoint: &Checkpoint,
) -> Result<Checkpoint, TilesRefusal<E>> {
    let pinned = Checkpoint::open_known(note, keys)
        .map_err(TilesFault::Pinned)?
        .ok_or(InconclusiveTiles::PinnedUnknownKey)?;
    if pinned.origin != checkpoint.origin {
        return Err(TilesFault::PinnedOrigin.into());
    }
    if pinned.size > checkpoint.size {
        return Err(InconclusiveTiles::PinnedNewer { pinned: pinned.size, size: checkpoint.size }.into());
    }
    Ok(pinned)
}

struct Files<R> {
    read: R,
}

impl<R, E> Files<R>
where
    R: FnMut(&str) -> Result<Option<Vec<u8>>, E>,
    E: std::error::Error,
{
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, TilesRefusal<E>> {
        (self.read)(path).map_err(TilesRefusal::Unreadable)
    }

    /// A tile, or the full one that took its place.
    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, TilesRefusal<E>> {
        if let Some(bytes) = self.read(&tile.path())? {
            return Ok(bytes);
        }
        let full = if tile.width < tiles::WIDTH { self.read(&tile.full().path())? } else { None };
        let missing = || TilesFault::Missing(tile.path());
        let full = full.ok_or_else(missing)?;
        let length = match tile.kind {
            TileKind::Hashes { .. } => 32 * usize::from(tile.width),
            TileKind::Entries => {
                let lines = tiles::lines(&full).map_err(|_| TilesFault::Entries(tile.full().path()))?;
                let first = lines.get(..usize::from(tile.width)).ok_or_else(missing)?;
                first.iter().map(|line| 2 + line.len()).sum()
            }
        };
        Ok(full.get(..length).ok_or_else(missing)?.to_vec())
    }

    /// What the lines make is what is there. The lines themselves were read from there.
    fn compare(&mut self, made: Vec<(Tile, Vec<u8>)>) -> Result<(), TilesRefusal<E>> {
        for (tile, bytes) in made.into_iter().filter(|(tile, _)| tile.kind != TileKind::Entries) {
            if self.tile(tile)? != bytes {
                return Err(TilesFault::Hashes(tile.path()).into());
            }
        }
        Ok(())
    }
}

/// The lines of a tile, as many as it must have.
fn lines(tile: Tile, bytes: &[u8]) -> Result<Vec<&str>, TilesFault> {
    let lines = tiles::lines(bytes).map_err(|_| TilesFault::Entries(tile.path()))?;
    match lines.len().cmp(&usize::from(tile.width)) {
        Ordering::Less => Err(TilesFault::Missing(tile.path())),
        Ordering::Equal => Ok(lines),
        Ordering::Greater => Err(TilesFault::Entries(tile.path())),
    }
}
