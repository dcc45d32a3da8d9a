//! Exports of the program read by others: the directory of `export --tlog` with its signed note, and bundles of
//! `prove`. Only foreign code reads lines, hashes, proofs and signatures from the files.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::line::leaf_hash;
use ledger_record::proof::{Hash, tree};
use ledger_tests::workload::{Mix, native_lines};
use ledger_tests::{python, scratch, server};
use serde_json::{Value, json};
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use tempfile::TempDir;
use tlog_tiles::{Checkpoint, HashReader as _, Tile, TileHashReader, TileReader};

/// One third is imported and signed, then all of it.
const MIX: Mix = Mix {
    seed: 20,
    tenants: 60,
    events: 1_500,
    partitions: 1,
    late_percent: 5,
    repeats_per_mille: 20,
    conflicts_per_mille: 10,
    malformed_per_mille: 0,
    late_app_events: true,
};

/// A tenant without records.
const NOBODY: &str = "nobody.example.com";

static HANDED_OUT: LazyLock<HandedOut> = LazyLock::new(HandedOut::made);

struct HandedOut {
    scratch: TempDir,
    key: String,
    /// The note of the log when it was shorter.
    earlier: String,
    /// Note in the exported directory.
    last: String,
    tenants: Vec<String>,
}

impl HandedOut {
    fn made() -> Self {
        let mut made = Self {
            scratch: scratch::directory(),
            key: String::new(),
            earlier: String::new(),
            last: String::new(),
            tenants: Vec::new(),
        };
        let history = native_lines(MIX);
        let lines: Vec<&str> = history.lines().collect();
        made.import(&lines[..lines.len() / 3]);
        made.earlier = made.run(&["checkpoint", "realm.lifecycle/0"]);
        made.import(&[&lines[..], &["no event"]].concat());
        made.run(&["export", "--tlog", "mirror"]);
        made.last = fs::read_to_string(made.log().join("checkpoint")).unwrap();
        let keys: Value = serde_json::from_str(&made.run(&["keys", "show"])).unwrap();
        keys["verifierKey"].as_str().unwrap().clone_into(&mut made.key);
        let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let tenants: BTreeSet<String> =
            events.filter_map(|event| event["clientKey"].as_str().map(str::to_owned)).collect();
        made.tenants = tenants.into_iter().collect();
        made
    }

    fn import(&self, lines: &[&str]) {
        fs::write(self.scratch.path().join("history.ndjson"), lines.join("\n") + "\n").unwrap();
        // One in a hundred is a conflict, by chance more.
        self.run(&["import", "history.ndjson", "--accept-refusals"]);
    }

    /// Output of the program, run in the directory.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = server::command();
        command.current_dir(self.scratch.path()).env("REALM_LEDGER_DATA_DIR", "ledger").args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("mirror/realm.lifecycle/0")
    }

    /// A note, verified and parsed by foreign code.
    fn opened(&self, note: &str) -> Checkpoint {
        let verifier = StandardVerifier::new(&self.key).unwrap();
        let known = VerifierList::new(vec![Box::new(verifier)]);
        let note = Note::from_bytes(note.as_bytes()).unwrap();
        let (by_known, by_others) = note.verify(&known).unwrap();
        assert_eq!((by_known.len(), by_others.len()), (1, 0));
        Checkpoint::from_bytes(note.text()).unwrap()
    }

    fn checkpoints(&self) -> [Checkpoint; 2] {
        [&self.earlier, &self.last].map(|note| self.opened(note))
    }

    /// Every leaf line, out of the exported files at the paths that foreign code names.
    fn lines(&self) -> Vec<Vec<u8>> {
        let size = self.opened(&self.last).size();
        let (directory, mut lines) = (self.log(), Vec::new());
        for number in 0..size.div_ceil(256) {
            let width = u32::try_from((size - number * 256).min(256)).unwrap();
            let bytes = fs::read(path_of(&directory, &Tile::new(8, 0, number, width, true))).unwrap();
            let mut rest = &bytes[..];
            while let Some((length, tail)) = rest.split_first_chunk() {
                let (line, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
                lines.push(line.to_vec());
                rest = tail;
            }
        }
        assert_eq!(u64::try_from(lines.len()), Ok(size));
        lines
    }

    fn bundle(&self, client: &str) -> Bundle {
        let size = self.opened(&self.earlier).size().to_string();
        let text = self.run(&["prove", client, "--pinned", &size]);
        let parts = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Bundle { text, parts }
    }
}

/// Foreign code begins paths with the height of tiles, and calls lines "data".
fn path_of(directory: &Path, tile: &Tile) -> PathBuf {
    directory.join(tile.path().replacen("tile/8/", "tile/", 1).replacen("tile/data/", "tile/entries/", 1))
}

struct Directory(PathBuf);

impl TileReader for Directory {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| fs::read(path_of(&self.0, tile)).unwrap()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

struct Bundle {
    text: String,
    parts: Vec<Value>,
}

impl Bundle {
    /// Index, line and proof of every leaf in the bundle.
    fn included(&self) -> impl Iterator<Item = (u64, &[u8], Vec<[u8; 32]>)> {
        let with_line = self.parts.iter().filter_map(|part| Some((part, part["entry"].as_str()?)));
        with_line.map(|(part, line)| (part["index"].as_u64().unwrap(), line.as_bytes(), hashes(part)))
    }

    fn consistency(&self) -> Vec<[u8; 32]> {
        let last = self.parts.last().unwrap();
        assert_eq!(last["type"], "consistency");
        hashes(last)
    }
}

fn hashes(part: &Value) -> Vec<[u8; 32]> {
    let texts = part["proof"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap());
    texts.map(|text| URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()).collect()
}

#[test]
fn exported_history_has_every_leaf_kind_and_several_tiles() {
    let lines = HANDED_OUT.lines();
    let types: BTreeSet<String> = lines
        .iter()
        .map(|line| serde_json::from_slice::<Value>(line).unwrap()["y"].as_str().unwrap().to_owned())
        .collect();
    for expected in
        ["installed", "uninstalled", "migration-committed", "override", "policy-set", "rejected", "seal"]
    {
        assert!(types.contains(expected), "{expected} is missing: {types:?}");
    }
    let [earlier, last] = HANDED_OUT.checkpoints();
    assert!(256 < earlier.size() && earlier.size() + 256 < last.size(), "{} {}", earlier.size(), last.size());
    assert_eq!((earlier.origin(), last.origin()), ("realm.lifecycle/0", "realm.lifecycle/0"));
}

#[test]
fn tlog_tiles_reads_and_proves_from_the_export() {
    let [earlier, last] = HANDED_OUT.checkpoints();
    let (size, top) = (last.size(), *last.hash());
    let directory = Directory(HANDED_OUT.log());
    // The reader refuses every tile that does not lead to the signed root.
    let reader = TileHashReader::new(size, top, &directory);
    for (index, line) in (0..).zip(HANDED_OUT.lines()) {
        let leaf = tlog_tiles::record_hash(&line);
        let proof = tlog_tiles::prove_record(size, index, &reader).unwrap();
        tlog_tiles::check_record(&proof, size, top, index, leaf).unwrap();
    }
    let proof = tlog_tiles::prove_tree(size, earlier.size(), &reader).unwrap();
    tlog_tiles::check_tree(&proof, size, top, earlier.size(), *earlier.hash()).unwrap();
    let at = [tlog_tiles::stored_hash_index(8, 0)];
    assert!(reader.read_hashes(&at).is_ok(), "the level above");
    for client in &HANDED_OUT.tenants[..5] {
        let bundle = HANDED_OUT.bundle(client);
        for (index, line, proof) in bundle.included() {
            let proof = proof.into_iter().map(tlog_tiles::Hash).collect();
            tlog_tiles::check_record(&proof, size, top, index, tlog_tiles::record_hash(line)).unwrap();
        }
        let ours: Vec<_> = bundle.consistency().into_iter().map(tlog_tiles::Hash).collect();
        assert!(ours == proof, "the one proof that there is");
    }
}

#[test]
fn ct_merkle_reproduces_signed_roots_and_bundle_proofs() {
    let [earlier, last] = HANDED_OUT.checkpoints();
    let mut theirs: MemoryBackedTree<Sha256, Vec<u8>> = MemoryBackedTree::new();
    for line in HANDED_OUT.lines() {
        theirs.push(line);
        if theirs.len() == earlier.size() {
            assert_eq!(theirs.root().as_bytes().as_slice(), earlier.hash().0);
        }
    }
    assert_eq!(theirs.root().as_bytes().as_slice(), last.hash().0);
    let added = usize::try_from(last.size() - earlier.size()).unwrap();
    for client in &HANDED_OUT.tenants[..5] {
        let bundle = HANDED_OUT.bundle(client);
        for (index, line, proof) in bundle.included() {
            let index = usize::try_from(index).unwrap();
            assert_eq!(theirs.get(index).unwrap(), line);
            assert_eq!(theirs.prove_inclusion(index).as_bytes(), proof.concat());
        }
        assert_eq!(theirs.prove_consistency(added).as_bytes(), bundle.consistency().concat());
    }
}

#[test]
fn pymerkle_reproduces_signed_roots_and_accepts_proofs() {
    let lines: Vec<String> =
        HANDED_OUT.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
    let [earlier, last] = HANDED_OUT.checkpoints();
    let (mut grown, mut nodes) = (Frontier::default(), BTreeMap::new());
    for (index, line) in (0..).zip(&lines) {
        nodes.insert(tree::Node { level: 0, index }, leaf_hash(line));
        grown.grow(leaf_hash(line), |node, hash| assert_eq!(nodes.insert(node, hash), None));
    }
    // Unsigned sizes too: tiles and proofs are made of them.
    let stored = |node| Ok::<Hash, Infallible>(nodes[&node]);
    let sizes: Vec<u64> = (1..last.size()).filter(|size| size % 97 == 1).chain([2, 255, 256, 257]).collect();
    let mut roots: Vec<(u64, String)> =
        sizes.iter().map(|size| (*size, hex::encode(tree::root(*size, stored).unwrap().0))).collect();
    roots.extend([&earlier, &last].map(|signed| (signed.size(), hex::encode(signed.hash().0))));
    let mut inclusions = Vec::new();
    for size in sizes {
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = tree::inclusion(index, size, stored).unwrap();
            let proof: Vec<String> = proof.iter().map(|hash| hex::encode(hash.0)).collect();
            inclusions.push((index, size, proof));
        }
    }
    for client in &HANDED_OUT.tenants[..5] {
        let bundle = HANDED_OUT.bundle(client);
        let of_bundle = bundle.included().map(|(index, _, proof)| (index, last.size(), proof));
        inclusions.extend(
            of_bundle.map(|(index, size, proof)| (index, size, proof.iter().map(hex::encode).collect())),
        );
    }
    let input = json!({"lines": lines, "roots": roots, "inclusions": inclusions});
    let output = python::answer(python::script("accept_tree.py"), &input.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pairs = roots.len() * (roots.len() + 1) / 2;
    let checked = format!("{}\n", pairs + inclusions.len());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), checked);
}

#[test]
fn python_verifier_accepts_every_proved_bundle() {
    let clients = HANDED_OUT.tenants.iter().map(String::as_str).step_by(4).chain([NOBODY]);
    let bundles: Vec<String> = clients.map(|client| HANDED_OUT.bundle(client).text).collect();
    let input = bundles.iter().map(|bundle| {
        json!({"keys": [HANDED_OUT.key], "pinned": HANDED_OUT.earlier, "bundle": bundle}).to_string() + "\n"
    });
    let output = python::answer(python::script("judge_many.py"), &input.collect::<String>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(bundles.len() > 10, "{}", bundles.len());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n".repeat(bundles.len()));
}
