//! Tiles against their definition, and read by a foreign implementation.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_record::proof::Hash;
use ledger_record::proof::tiles::{NotEntries, Tile, TileKind, Tiler, TooLong, WIDTH, entries, lines};
use ledger_record::proof::tree::{Node, leaf_hash, root};
use tlog_tiles::{HashReader as _, TileHashReader, TileReader};

use super::tree::append;

fn line(index: u64) -> String {
    format!("line {index}")
}

/// All tiles of a log of that size, by path.
pub(crate) fn tiles_of<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Vec<u8>> {
    let (mut tiler, mut files) = (Tiler::default(), BTreeMap::new());
    for line in lines {
        files.extend(tiler.push(line).unwrap().into_iter().map(|(tile, bytes)| (tile.path(), bytes)));
    }
    files.extend(tiler.partial().into_iter().map(|(tile, bytes)| (tile.path(), bytes)));
    files
}

fn nodes(size: u64) -> BTreeMap<Node, Hash> {
    let mut nodes = BTreeMap::new();
    for index in 0..size {
        let stored = |node| Ok::<_, Infallible>(nodes[&node]);
        let made = append(index, leaf_hash(line(index).as_bytes()), stored).unwrap();
        nodes.extend(made);
    }
    nodes
}

#[test]
fn tile_paths_follow_the_specification() {
    let tile = |kind, index, width| Tile { kind, index, width }.path();
    let hashes = |level| TileKind::Hashes { level };
    assert_eq!(tile(hashes(0), 0, WIDTH), "tile/0/000");
    assert_eq!(tile(hashes(1), 7, 3), "tile/1/007.p/3");
    assert_eq!(tile(hashes(3), 1_234_067, WIDTH), "tile/3/x001/x234/067");
    assert_eq!(tile(TileKind::Entries, 1_000, 255), "tile/entries/x001/000.p/255");
    assert_eq!(tile(TileKind::Entries, 999_000, WIDTH), "tile/entries/x999/000");
}

#[test]
fn tiles_hold_the_leaves_and_the_tree_nodes() {
    const SIZE: u64 = 65_536 + 2 * 256 + 9;
    let nodes = nodes(SIZE);
    for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, SIZE] {
        let all: Vec<String> = (0..size).map(line).collect();
        let mut tiles = tiles_of(all.iter().map(String::as_str));
        let mut found = Vec::new();
        for tile in entries(size) {
            found.extend(lines(&tiles.remove(&tile.path()).unwrap()).unwrap().into_iter().map(str::to_owned));
        }
        assert_eq!(found, all, "{size}");
        for level in 0..3_u8 {
            let count = size >> (8 * u32::from(level));
            let expected: Vec<u8> =
                (0..count).flat_map(|index| nodes[&Node { level: 8 * level, index }].0).collect();
            let mut found = Vec::new();
            for index in 0..count.div_ceil(256) {
                let width = u16::try_from(count - index * 256).unwrap_or(WIDTH).min(WIDTH);
                let tile = Tile { kind: TileKind::Hashes { level }, index, width };
                found.extend(tiles.remove(&tile.path()).unwrap());
            }
            assert!(found == expected, "level {level} of {size}");
        }
        assert!(tiles.is_empty(), "{size}: {:?}", tiles.keys());
    }
}

#[test]
fn malformed_entry_tiles_are_refused() {
    assert_eq!(lines(b""), Ok(Vec::new()));
    assert_eq!(lines(b"\0\x02ab\0\0\0\x01c"), Ok(vec!["ab", "", "c"]));
    for broken in [&b"\0"[..], b"\0\x02a", b"\0\x01a\0", b"\0\x01\xff"] {
        assert_eq!(lines(broken), Err(NotEntries), "{broken:?}");
    }
    let long = "x".repeat(65_536);
    assert_eq!(Tiler::default().push(&long), Err(TooLong(65_536)));
    assert!(Tiler::default().push(&long[1..]).is_ok());
}

/// Our tiles under the paths of the foreign implementation, which begin with the tile height.
struct Directory(BTreeMap<String, Vec<u8>>);

impl TileReader for Directory {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles.iter().map(|tile| self.0[&path(tile)].clone()).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_reads_and_proves_from_our_tiles() {
    let nodes = nodes(70_000);
    for size in [1, 255, 256, 300, 65_536, 70_000] {
        let all: Vec<String> = (0..size).map(line).collect();
        let directory = Directory(tiles_of(all.iter().map(String::as_str)));
        let top = root(size, |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        let top = tlog_tiles::Hash(top.0);
        // The reader refuses every tile that does not lead to this root.
        let reader = TileHashReader::new(size, top, &directory);
        assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap().0, top.0);
        for index in [0, size / 2, size - 1] {
            let leaf = tlog_tiles::record_hash(line(index).as_bytes());
            let at = [tlog_tiles::stored_hash_index(0, index)];
            assert_eq!(reader.read_hashes(&at).unwrap()[0].0, leaf.0);
            let proof = tlog_tiles::prove_record(size, index, &reader).unwrap();
            tlog_tiles::check_record(&proof, size, top, index, leaf).unwrap();
        }
    }
}
