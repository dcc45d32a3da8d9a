//! However signers are killed, restored or duplicated, a size has one signed root, and published sizes only grow.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ledger_record::proof::Hash;
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::proof::tree::{self, Node};
use ledger_store::ReadError;

use crate::sign::*;

const ORIGIN: &str = "example.com/realm/3";

/// The point at which a process is killed or its connection cut while publishing a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nowhere,
    BeforeReading,
    BeforeClaiming,
    AfterClaiming,
    BeforePublishing,
    /// The note is published, but the sender gets no answer.
    AfterPublishing,
}

const CUTS: [Cut; 6] = [
    Cut::Nowhere,
    Cut::BeforeReading,
    Cut::BeforeClaiming,
    Cut::AfterClaiming,
    Cut::BeforePublishing,
    Cut::AfterPublishing,
];

/// The topic: its notes, and the process that may publish.
#[derive(Debug, Default)]
struct Topic {
    notes: Vec<String>,
    epoch: u64,
    /// A note that another process publishes right before the next claim.
    meanwhile: Option<String>,
}

#[derive(Debug, Clone)]
struct Simulated {
    topic: Rc<RefCell<Topic>>,
    cut: Rc<RefCell<Cut>>,
    epoch: Option<u64>,
}

fn cut_off() -> CheckpointLogError {
    CheckpointLogError::NotRead { topic: "simulated".to_owned() }
}

impl Simulated {
    fn pass(&self, place: Cut) -> Result<(), CheckpointLogError> {
        if *self.cut.borrow() == place { Err(cut_off()) } else { Ok(()) }
    }
}

impl CheckpointLog for Simulated {
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError> {
        self.pass(Cut::BeforeReading)?;
        Ok(self.topic.borrow().notes.last().cloned())
    }

    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError> {
        self.pass(Cut::BeforeClaiming)?;
        let mut topic = self.topic.borrow_mut();
        let said = topic.meanwhile.take();
        topic.notes.extend(said);
        topic.epoch += 1;
        self.pass(Cut::AfterClaiming)?;
        self.epoch = Some(topic.epoch);
        Ok(topic.notes.last().cloned())
    }

    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError> {
        self.pass(Cut::BeforePublishing)?;
        let mut topic = self.topic.borrow_mut();
        if self.epoch != Some(topic.epoch) {
            return Err(CheckpointLogError::ShutOut);
        }
        topic.notes.push(note.to_owned());
        self.pass(Cut::AfterPublishing)
    }

    fn release(&mut self) {
        self.epoch = None;
    }
}

/// A log in memory: its leaves, of which every fifth is a seal.
#[derive(Debug, Clone, Default)]
struct Log {
    leaves: Vec<Hash>,
    /// Hashes that the disk returns in place of the true ones.
    flipped: BTreeMap<u64, Hash>,
    /// Seals that proofs wait for.
    awaited: BTreeSet<u64>,
}

const SEAL_EVERY: u64 = 5;

impl Log {
    fn grow(&mut self, flavour: u8) {
        let index = self.leaves.len() as u64;
        self.leaves.push(tree::leaf_hash(&[&[flavour], &index.to_be_bytes()[..]].concat()));
    }

    fn of(size: u64) -> Self {
        let mut log = Self::default();
        (0..size).for_each(|_| log.grow(0));
        log
    }

    fn root(&self, size: u64) -> Hash {
        tree::root(size, |node| self.node(node)).unwrap()
    }
}

impl SealedLog for Log {
    fn sealed(&self) -> Result<u64, ReadError> {
        Ok(self.leaves.len() as u64 / SEAL_EVERY * SEAL_EVERY)
    }

    fn next_stop(&self, published: u64, sealed: u64) -> Result<u64, ReadError> {
        Ok(self.awaited.range(published + 1..sealed).next().copied().unwrap_or(sealed))
    }

    fn node(&self, Node { level, index }: Node) -> Result<Hash, ReadError> {
        if level == 0 {
            return Ok(self.leaves[usize::try_from(index).unwrap()]);
        }
        let child = |index| self.node(Node { level: level - 1, index });
        Ok(tree::parent(child(2 * index)?, child(2 * index + 1)?))
    }

    fn leaves(&self, from: u64, until: u64, take: &mut dyn FnMut(Hash)) -> Result<(), ReadError> {
        for index in from..until {
            let leaf = self.leaves[usize::try_from(index).unwrap()];
            take(self.flipped.get(&index).copied().unwrap_or(leaf));
        }
        Ok(())
    }
}

fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed("any", [seed; 32]).unwrap()
}

/// One process: its log, its keys' directory, its signer.
struct Process {
    log: Log,
    cut: Rc<RefCell<Cut>>,
    signer: Signer<Simulated>,
    topic: Rc<RefCell<Topic>>,
    keys: tempfile::TempDir,
}

impl Process {
    fn start(topic: &Rc<RefCell<Topic>>, log: Log) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let cut = Rc::new(RefCell::new(Cut::Nowhere));
        let signer = signer(topic, &cut, &keys, &[key(1)]);
        Self { log, cut, signer, topic: Rc::clone(topic), keys }
    }

    /// A killed process keeps only its files.
    fn restart(&mut self) {
        self.restart_with(&[key(1)]);
    }

    fn restart_with(&mut self, keys: &[SignerKey]) {
        self.signer = signer(&self.topic, &self.cut, &self.keys, keys);
    }

    fn step(&mut self, now: Instant) -> Result<u64, &'static str> {
        match self.signer.step(&self.log, now) {
            Ok(()) => Ok(self.signer.note().map_or(0, |(checkpoint, _)| checkpoint.size)),
            Err(SigningFailure::Halt(halt)) => Err(halt.code()),
            Err(_) => Err("cut"),
        }
    }
}

fn signer(
    topic: &Rc<RefCell<Topic>>,
    cut: &Rc<RefCell<Cut>>,
    keys: &tempfile::TempDir,
    with: &[SignerKey],
) -> Signer<Simulated> {
    let journal = Simulated { topic: Rc::clone(topic), cut: Rc::clone(cut), epoch: None };
    let identity = Identity::new(ORIGIN, with).unwrap();
    Signer::new(identity, journal, Some(KeptNote::new(keys.path(), ORIGIN)))
}

fn published(topic: &Rc<RefCell<Topic>>) -> Vec<Checkpoint> {
    let verifiers = [key(1).renamed(ORIGIN).unwrap().verifier()];
    topic.borrow().notes.iter().map(|note| Checkpoint::open(note, &verifiers).unwrap()).collect()
}

fn note(size: u64, root: Hash) -> String {
    Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(&[&key(1).renamed(ORIGIN).unwrap()])
}

fn topic() -> Rc<RefCell<Topic>> {
    Rc::new(RefCell::new(Topic::default()))
}

#[test]
fn sealed_sizes_are_signed_once() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::default());
    for size in 1..=23 {
        process.log.grow(0);
        assert_eq!(process.step(now), Ok(size / SEAL_EVERY * SEAL_EVERY));
        assert_eq!(process.step(now), Ok(size / SEAL_EVERY * SEAL_EVERY));
    }
    let found: Vec<_> = published(&topic).into_iter().map(|note| (note.size, note.root)).collect();
    assert_eq!(found, [5, 10, 15, 20].map(|size| (size, process.log.root(size))));
}

#[test]
fn seal_awaited_by_a_proof_is_signed_first() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(40));
    process.log.awaited.extend([10, 25]);
    let found: Vec<_> = (0..4).map(|_| process.step(now).unwrap()).collect();
    assert_eq!(found, [10, 25, 40, 40]);
    process.log = Log::of(60);
    process.log.awaited.extend([10, 40, 55]);
    assert_eq!((process.step(now), process.step(now)), (Ok(55), Ok(60)), "what is past is past");
    let found = published(&topic);
    assert!(found.iter().all(|note| note.root == process.log.root(note.size)), "{found:?}");
}

#[test]
fn restored_backup_halts_until_it_has_caught_up() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(40));
    assert_eq!(process.step(now), Ok(40));
    process.log = Log::of(20);
    process.restart();
    assert_eq!(process.step(now), Err("log-behind-checkpoint"));
    process.log = Log::of(44);
    assert_eq!(process.step(now), Ok(40));
    process.log = Log::of(45);
    assert_eq!(process.step(now), Ok(45));
    assert_eq!(published(&topic).len(), 2);
}

#[test]
fn diverged_backup_is_never_signed() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(40));
    process.step(now).unwrap();
    process.log = Log::of(20);
    (0..40).for_each(|_| process.log.grow(1));
    process.restart();
    assert_eq!(process.step(now), Err("log-differs-from-checkpoint"));
    // Nor when the topic is lost: the last note is kept beside the keys too.
    topic.borrow_mut().notes.clear();
    process.restart();
    assert_eq!(process.step(now), Err("log-differs-from-checkpoint"));
    assert_eq!(published(&topic), []);
}

#[test]
fn damaged_leaf_is_never_signed() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(40));
    process.log.flipped.insert(17, Hash::of(&[b"flipped"]));
    assert_eq!(process.step(now), Err("log-damaged"));
    assert_eq!(published(&topic), []);
    process.log.flipped.clear();
    assert_eq!(process.step(now), Ok(40));
}

#[test]
fn fenced_signer_follows_and_takes_over_after_a_time() {
    let (topic, mut now) = (topic(), Instant::now());
    let mut one = Process::start(&topic, Log::of(5));
    let mut other = Process::start(&topic, Log::of(5));
    assert_eq!(one.step(now), Ok(5));
    assert_eq!(other.step(now), Ok(5), "nothing to add: nobody is shut out");
    other.log = Log::of(10);
    assert_eq!(other.step(now), Ok(10));
    one.log = Log::of(15);
    assert_eq!(one.step(now), Err("signed-elsewhere"));
    now += TAKE_OVER / 2;
    other.log = Log::of(15);
    assert_eq!(other.step(now), Ok(15));
    assert_eq!(one.step(now), Err("signed-elsewhere"), "it follows");
    assert_eq!(one.signer.note().map(|(checkpoint, _)| checkpoint.size), Some(15));
    one.log = Log::of(20);
    assert_eq!(one.step(now), Err("signed-elsewhere"));
    now += TAKE_OVER;
    assert_eq!(one.step(now), Ok(20), "the other is gone");
    other.log = Log::of(25);
    assert_eq!(other.step(now), Err("signed-elsewhere"));
    assert!(published(&topic).is_sorted_by_key(|checkpoint| checkpoint.size));
}

#[test]
fn note_of_unknown_key_halts_and_overlapping_keys_resume() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(5));
    process.step(now).unwrap();
    let with = |process: &Process, keys: &[SignerKey]| signer(&topic, &process.cut, &process.keys, keys);
    process.signer = with(&process, &[key(2)]);
    assert_eq!(process.step(now), Err("checkpoint-of-unknown-key"));
    for keys in [vec![key(1), key(2)], vec![key(2)]] {
        process.signer = with(&process, &keys);
        (0..5).for_each(|_| process.log.grow(0));
        assert!(process.step(now).is_ok());
    }
    assert_eq!(topic.borrow().notes.len(), 3);
}

#[test]
fn added_key_signs_an_unchanged_log_again() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(5));
    process.step(now).unwrap();
    for keys in [vec![key(1), key(2)], vec![key(2)]] {
        process.restart_with(&keys);
        assert_eq!((process.step(now), process.step(now)), (Ok(5), Ok(5)));
    }
    let notes = topic.borrow().notes.clone();
    assert_eq!(notes.len(), 2, "once, and nothing is published when a key is taken away");
    for seed in [1, 2] {
        let verifier = key(seed).renamed(ORIGIN).unwrap().verifier();
        let again = Checkpoint::open(&notes[1], &[verifier]).unwrap();
        assert_eq!(again, published(&topic)[0], "the same checkpoint, by key {seed}");
    }
}

#[test]
fn damaged_signer_does_not_fence_a_healthy_one() {
    let (topic, now) = (topic(), Instant::now());
    let mut healthy = Process::start(&topic, Log::of(5));
    healthy.step(now).unwrap();
    let mut damaged = Process::start(&topic, Log::of(10));
    damaged.log.flipped.insert(7, Hash::of(&[b"flipped"]));
    healthy.log = Log::of(10);
    for _ in 0..3 {
        assert_eq!(damaged.step(now), Err("log-damaged"));
    }
    assert_eq!(healthy.step(now), Ok(10));
    assert_eq!(damaged.step(now), Ok(10), "it follows");
}

#[test]
fn every_kept_note_is_compared() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(10));
    process.step(now).unwrap();
    // A note of another log, of the same size or smaller: a signed smaller note is as bad as the last one.
    for size in [10, 5] {
        let strange = note(size, Hash::of(&[b"another"]));
        KeptNote::new(process.keys.path(), ORIGIN).replace(&strange).unwrap();
        process.restart();
        assert_eq!(process.step(now), Err("log-differs-from-checkpoint"), "size {size}");
    }
}

#[test]
fn note_published_before_the_claim_is_extended() {
    let (now, log) = (Instant::now(), Log::of(10));
    let another = Hash::of(&[b"another"]);
    for (root, said) in [(log.root(10), Ok(10)), (another, Err("log-differs-from-checkpoint"))] {
        let topic = topic();
        let mut process = Process::start(&topic, log.clone());
        topic.borrow_mut().meanwhile = Some(note(10, root));
        assert_eq!(process.step(now), said);
        assert_eq!(topic.borrow().notes, [note(10, root)], "nothing is added");
    }
    let topic = topic();
    let mut process = Process::start(&topic, log);
    topic.borrow_mut().meanwhile = Some(note(5, process.log.root(5)));
    assert_eq!(process.step(now), Ok(10));
    assert_eq!(published(&topic).iter().map(|note| note.size).collect::<Vec<_>>(), [5, 10]);
}

#[test]
fn uncertain_note_is_resolved_before_the_next() {
    let (topic, now) = (topic(), Instant::now());
    let mut process = Process::start(&topic, Log::of(5));
    *process.cut.borrow_mut() = Cut::AfterPublishing;
    assert_eq!(process.step(now), Err("cut"));
    *process.cut.borrow_mut() = Cut::Nowhere;
    assert_eq!(process.step(now), Ok(5));
    assert_eq!(topic.borrow().notes.len(), 1, "it was said");
}

/// Small and the same everywhere (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// Three processes on one origin; each is cut off at any point, killed, restored from older copies, filled with other
/// records, given another key, or deprived of its kept note.
fn play(seed: u64, steps: usize) -> usize {
    let (topic, mut now, mut dice) = (topic(), Instant::now(), Dice(seed));
    // The leaves under each signed note.
    let mut signed: Vec<Vec<Hash>> = Vec::new();
    let mut processes: Vec<Process> = (0..3).map(|_| Process::start(&topic, Log::default())).collect();
    for _ in 0..steps {
        now += Duration::from_secs(dice.below(20) as u64);
        let process = &mut processes[dice.below(3)];
        match dice.below(64) {
            0..3 => process.log.leaves.truncate(dice.below(process.log.leaves.len() + 1)),
            3..5 => process.restart(),
            5 => process.restart_with(&[key(1), key(2)]),
            6..8 => process.signer.give_up(),
            8 => process.log.grow(1),
            9 => process.log.leaves.clear(),
            10 => drop(process.log.awaited.insert(dice.below(20) as u64 * SEAL_EVERY)),
            11..32 => (0..dice.below(12)).for_each(|_| process.log.grow(0)),
            _ => {
                *process.cut.borrow_mut() = CUTS[dice.below(CUTS.len())];
                if process.step(now) == Err("cut") && dice.below(2) == 0 {
                    process.restart();
                }
                *process.cut.borrow_mut() = Cut::Nowhere;
            }
        }
        let notes = topic.borrow().notes.len();
        signed.resize_with(notes, || process.log.leaves.clone());
    }
    let found = published(&topic);
    for (note, leaves) in found.iter().zip(&mut signed) {
        leaves.truncate(usize::try_from(note.size).unwrap());
        let log = Log { leaves: leaves.clone(), ..Log::default() };
        assert_eq!(log.root(note.size), note.root, "seed {seed}, size {}", note.size);
    }
    for (notes, logs) in found.windows(2).zip(signed.windows(2)) {
        // A note published again has more signatures.
        let grows = notes[0].size < notes[1].size || notes[0] == notes[1];
        assert!(grows && logs[1].starts_with(&logs[0]), "seed {seed}: {notes:?}");
    }
    found.len()
}

#[test]
fn no_interruption_signs_two_roots_of_one_size() {
    let notes: usize = (0..40).map(|seed| play(seed, 150)).sum();
    assert!(notes > 150, "{notes} notes are too few to say anything");
}
