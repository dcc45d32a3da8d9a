//! A directory of tiles: a true one is valid, and every change in it is found.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::{Leaf, leaf_hash};
use ledger_record::proof::log;
use ledger_record::proof::note::{Checkpoint, NoteError};
use ledger_record::proof::tlog::{InconclusiveTiles, TilesFault, TilesRefusal, VerifiedTiles, verify};

use super::bundle::keys;
use super::ledger::{Ledger, ORIGIN, key};
use super::tiles::tiles_of;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

fn judge(files: &Files, pinned: Option<&str>) -> Result<VerifiedTiles, TilesRefusal<Infallible>> {
    verify(|path| Ok(files.get(path).cloned()), &keys(), pinned, |_, _| {})
}

/// The directory of these leaf lines, signed by the ledger, true or not.
pub(crate) fn directory(lines: &[String]) -> Files {
    let mut tree = Frontier::default();
    for line in lines {
        tree.push(leaf_hash(line));
    }
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() };
    let mut files = tiles_of(lines.iter().map(String::as_str));
    files.insert("checkpoint".to_owned(), checkpoint.sign(&[&key(1)]).into_bytes());
    files
}

pub(crate) fn large() -> Ledger {
    let mut ledger = Ledger::eventful();
    for number in 0..600 {
        ledger.installed(&format!("tenant-{}", number % 90), "app.one", 9, None);
    }
    ledger.tick();
    ledger
}

fn fault(files: &Files) -> TilesFault {
    match judge(files, None) {
        Err(TilesRefusal::Invalid(fault)) => fault,
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn whole_log_is_valid() {
    for ledger in [Ledger::eventful(), large()] {
        let verified = judge(&directory(ledger.lines()), None).unwrap();
        assert_eq!(verified.checkpoint, ledger.checkpoint());
        assert_eq!(verified.seal.index + 1, ledger.size());
    }
    assert!(judge(&directory(large().lines()), None).unwrap().seals > 5);
}

#[test]
fn progress_is_reported() {
    let files = directory(large().lines());
    let mut reported = Vec::new();
    let read = |path: &str| Ok::<_, Infallible>(files.get(path).cloned());
    verify(read, &keys(), None, |done, of| reported.push((done, of))).unwrap();
    let size = large().size();
    assert_eq!(reported, [(256, size), (512, size), (size, size)]);
}

#[test]
fn every_flipped_bit_of_every_file_is_found() {
    let files = directory(Ledger::eventful().lines());
    let mut tried = 0;
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = files.clone();
                changed.get_mut(path).unwrap()[at] ^= 1 << bit;
                assert!(judge(&changed, None).is_err(), "bit {bit} of byte {at} of {path}");
                tried += 1;
            }
        }
    }
    assert!(tried > 30_000, "{tried}");
}

#[test]
fn flipped_bit_in_any_hash_of_a_large_log_is_found() {
    let files = directory(large().lines());
    let hashes = files.iter().filter(|(path, _)| !path.contains("entries") && *path != "checkpoint");
    let mut tried = 0;
    for (path, bytes) in hashes {
        for at in (0..bytes.len()).step_by(32) {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at + at / 32 % 32] ^= 1;
            assert_eq!(fault(&changed), TilesFault::Hashes(path.clone()));
            tried += 1;
        }
    }
    assert!(tried > 600, "{tried}");
}

#[test]
fn missing_or_shortened_file_is_found() {
    let files = directory(large().lines());
    for path in files.keys().filter(|path| *path != "checkpoint") {
        let mut without = files.clone();
        without.remove(path);
        assert_eq!(fault(&without), TilesFault::Missing(path.clone()));
        let mut shorter = files.clone();
        let bytes = shorter.get_mut(path).unwrap();
        bytes.truncate(bytes.len() - 32);
        assert!(judge(&shorter, None).is_err(), "{path}");
    }
    let verdict = judge(&Files::new(), None);
    assert!(matches!(verdict, Err(TilesRefusal::Undecided(InconclusiveTiles::NoCheckpoint))), "{verdict:?}");
}

#[test]
fn grown_log_still_proves_older_checkpoints() {
    let ledger = large();
    let mut grown = ledger.clone();
    for number in 0..300 {
        grown.installed(&format!("late-{number}"), "app.one", 9, None);
    }
    grown.tick();
    let note = ledger.note().into_bytes();
    let mut files = directory(grown.lines());
    files.insert("checkpoint".to_owned(), note.clone());
    // The full tiles begin with the partial ones, some of which are gone.
    let level_1 = directory(ledger.lines()).remove("tile/1/000.p/2").unwrap();
    files.insert("tile/1/000.p/2".to_owned(), level_1);
    assert_eq!(judge(&files, None).unwrap().checkpoint, ledger.checkpoint());
    let mut changed = files.clone();
    changed.get_mut("tile/0/002").unwrap()[5] ^= 1;
    assert!(matches!(fault(&changed), TilesFault::Hashes(_)));
}

#[test]
fn pinned_checkpoint_is_extended() {
    let before = Ledger::eventful();
    let files = directory(large().lines());
    assert!(judge(&files, Some(&before.note())).is_ok());
    assert!(judge(&files, Some(&large().note())).is_ok(), "the very checkpoint");
    let mut forked = before.checkpoint();
    forked.root.0[0] ^= 1;
    let verdict = judge(&files, Some(&forked.sign(&[&key(1)])));
    assert!(matches!(verdict, Err(TilesRefusal::Invalid(TilesFault::Inconsistent))), "{verdict:?}");
    let empty = Checkpoint { size: 0, ..forked };
    let verdict = judge(&files, Some(&empty.sign(&[&key(1)])));
    assert!(matches!(verdict, Err(TilesRefusal::Invalid(TilesFault::Inconsistent))), "{verdict:?}");
    let foreign = judge(&files, Some(&before.checkpoint().sign(&[&key(2)])));
    assert!(
        matches!(foreign, Err(TilesRefusal::Undecided(InconclusiveTiles::PinnedUnknownKey))),
        "{foreign:?}"
    );
    let older = judge(&directory(before.lines()), Some(&large().note()));
    assert!(
        matches!(older, Err(TilesRefusal::Undecided(InconclusiveTiles::PinnedNewer { .. }))),
        "{older:?}"
    );
}

#[test]
fn signed_lie_is_found() {
    let lines = large().lines().to_vec();
    let last = lines.len() - 1;
    // The map of the previous seal: every tenant with records since has a stale head.
    let seals: Vec<usize> =
        (0..lines.len()).filter(|index| lines[*index].contains(r#""y":"seal""#)).collect();
    let Leaf::Seal(before) = Leaf::parse(&lines[seals[seals.len() - 2]]).unwrap() else { panic!("a record") };
    let Leaf::Seal(mut seal) = Leaf::parse(&lines[last]).unwrap() else { panic!("a record") };
    seal.map_root = before.map_root;
    let mut lying = lines.clone();
    lying[last] = seal.write().unwrap();
    let index = u64::try_from(last).unwrap();
    assert_eq!(fault(&directory(&lying)), TilesFault::Leaf { index, fault: log::LogFault::Map });
    let unsealed = directory(&lines[..last]);
    assert_eq!(fault(&unsealed), TilesFault::Unsealed);
    let mut short = directory(&lines);
    short.insert("checkpoint".to_owned(), directory(&lines[..last]).remove("checkpoint").unwrap());
    assert!(judge(&short, None).is_err());
}

#[test]
fn unknown_key_is_inconclusive() {
    let files = directory(Ledger::eventful().lines());
    let read = |path: &str| Ok::<_, Infallible>(files.get(path).cloned());
    for keys in [vec![], vec![key(2).verifier()]] {
        let verdict = verify(read, &keys, None, |_, _| {});
        assert!(
            matches!(verdict, Err(TilesRefusal::Undecided(InconclusiveTiles::UnknownKey))),
            "{verdict:?}"
        );
    }
    let mut forged = files.clone();
    let other = Checkpoint { size: 3, ..Ledger::eventful().checkpoint() };
    let text = other.sign(&[&key(1)]).replacen("\n3\n", "\n15\n", 1);
    forged.insert("checkpoint".to_owned(), text.into_bytes());
    assert_eq!(fault(&forged), TilesFault::Checkpoint(NoteError::Signature));
}
