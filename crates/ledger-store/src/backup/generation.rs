//! A generation: which blobs make a data directory, and what the shards in it are.
//!
//! ```json
//! {"format":1,"number":7,"made":"2026-11-30T02:00:00.000Z","secretFingerprint":"…","ledger":{FILE},
//!  "shards":[{"topic":"realm.lifecycle","partition":0,"clusterId":"…","topicId":"…","nextOffset":4711,
//!             "nextPosition":4650,"sealedSize":4650,"sealedRoot":"…","isFed":true,"files":[FILE, …]}, …],
//!  "journal":[FILE, …]}
//! FILE = {"name":"000012.sst","size":1234,"sha256":"…","modifiedNs":1764468000000000000}
//! ```
//!
//! `ledger` is the `ledger.json` of the data directory as it would be if these shards were all that was ever begun.
//! `sealedSize` and `sealedRoot` are those of the tree at the last seal.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ledger_core::time::Timestamp;
use ledger_record::json::time::{format_instant, parse_instant};
use ledger_record::json::{self};
use ledger_record::proof::Hash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::backup::error::io_failed;
use crate::backup::journal::is_journal_file;
use crate::backup::{BackupDamage, BackupError};
use crate::data_dir::manifest::{FormatOnly, check_topic};
use crate::files::{create_file, create_private_dir};
use crate::source::{Partitioner, ShardId};

/// The newest format. One with a journal has it, so that a program that knows no journal leaves none out; any other has 1.
const FORMAT: u32 = 2;

/// A generation, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generation {
    format: u32,
    /// From 1, rising.
    pub number: u64,
    /// When it was begun, by the clock of its machine.
    #[serde(with = "instant")]
    pub made: Timestamp,
    /// Which ledger it is of.
    pub secret_fingerprint: Hash,
    /// `ledger.json`.
    pub ledger: BackedUpFile,
    /// Every shard that the data directory had.
    pub shards: Vec<BackedUpShard>,
    /// The journal that is the source of the shards; empty: a topic is.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub journal: Vec<BackedUpFile>,
}

/// A shard in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackedUpShard {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The Kafka cluster, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster_id: Option<String>,
    /// What Kafka calls the topic beyond its name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
    /// The offset that is read next; none: nothing came from Kafka.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_offset: Option<u64>,
    /// Position of the next record.
    pub next_position: u64,
    /// Leaves up to the last seal and with it; 0 without a seal.
    pub sealed_size: u64,
    /// The root of the tree at that size.
    pub sealed_root: Hash,
    /// A process fed it from a topic, so that it is behind when it comes back.
    pub is_fed: bool,
    /// Partitioners that contradict, if that has halted it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub misplaced: Option<Vec<Partitioner>>,
    /// The files of its directory.
    pub files: Vec<BackedUpFile>,
}

impl BackedUpShard {
    /// Which shard.
    pub fn id(&self) -> ShardId {
        ShardId { topic: self.topic.clone(), partition: self.partition }
    }
}

/// A file in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackedUpFile {
    /// Its name in the directory of the shard, or of the journal.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Which blob has its content.
    pub sha256: BlobName,
    /// When it was last written to, of a file that never changes again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified_ns: Option<u64>,
}

/// What a blob is called: the SHA-256 of its bytes, in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(pub(super) [u8; 32]);

impl BlobName {
    /// Reads the one spelling that a blob has.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?.try_into().ok().map(Self)?;
        (bytes.to_string() == text).then_some(bytes)
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for BlobName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not 32 bytes in hex"))
    }
}

/// When a file was last written to.
pub(super) fn modified_ns(path: &Path) -> Result<Option<u64>, BackupError> {
    let file = fs::metadata(path).map_err(io_failed(path))?;
    let ns = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    Ok(u64::try_from(ns).ok())
}

/// An instant as text, whoever writes it.
mod instant {
    use super::{Deserialize as _, Deserializer, Serializer, Timestamp, format_instant, parse_instant};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_instant(*instant))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        parse_instant(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The last generation without its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationSummary {
    /// How many generations there are.
    pub generations: usize,
    /// The last one.
    pub number: u64,
    /// When it was begun.
    pub made: Timestamp,
}

/// The last generation of a directory for backups; none where nothing was ever backed up.
pub fn last_generation(dir: &Path) -> Result<Option<GenerationSummary>, BackupError> {
    let numbers = numbers(dir)?;
    let Some(number) = numbers.last().copied() else { return Ok(None) };
    let Generation { made, .. } = Generation::read(dir, number)?;
    Ok(Some(GenerationSummary { generations: numbers.len(), number, made }))
}

impl Generation {
    pub(super) fn new(
        number: u64,
        made: Timestamp,
        secret_fingerprint: Hash,
        ledger: BackedUpFile,
        shards: Vec<BackedUpShard>,
        journal: Vec<BackedUpFile>,
    ) -> Self {
        let format = if journal.is_empty() { 1 } else { FORMAT };
        Self { format, number, made, secret_fingerprint, ledger, shards, journal }
    }

    pub(super) fn read(dir: &Path, number: u64) -> Result<Self, BackupError> {
        let path = path_of(dir, number);
        let text = fs::read(&path).map_err(io_failed(&path))?;
        let damaged = |source| BackupDamage::Generation { path: path.clone(), source };
        let FormatOnly { format: found } = serde_json::from_slice(&text).map_err(damaged)?;
        if found > FORMAT {
            return Err(BackupError::NewerFormat { path, found, supported: FORMAT });
        }
        let generation: Self = serde_json::from_slice(&text).map_err(damaged)?;
        match generation.wrong_name(number).or_else(|| generation.wrong_shard()) {
            Some(what) => Err(BackupDamage::Names { path, what }.into()),
            None => Ok(generation),
        }
    }

    /// What would lead out of its directory, or to another generation.
    fn wrong_name(&self, number: u64) -> Option<String> {
        if self.number != number {
            return Some(format!("it says that it is generation {}", self.number));
        }
        let mut of_shards = self.shards.iter().flat_map(|shard| &shard.files);
        let of_shard = of_shards.find(|file| !is_shard_file(&file.name)).map(|file| (file, "a shard"));
        let of_journal = || self.journal.iter().find(|file| !is_journal_file(&file.name));
        let wrong = of_shard.or_else(|| of_journal().map(|file| (file, "a journal")));
        let wrong = wrong.or((self.ledger.name != LEDGER).then_some((&self.ledger, "a data directory")));
        wrong.map(|(file, whose)| format!("{:?} is no file of {whose}", file.name))
    }

    /// A shard whose directory would be elsewhere, or that of another one.
    fn wrong_shard(&self) -> Option<String> {
        let mut ids = BTreeSet::new();
        let is_wrong = |shard: &&BackedUpShard| check_topic(&shard.topic).is_err() || !ids.insert(shard.id());
        self.shards.iter().find(is_wrong).map(|shard| format!("{} is no shard of its own", shard.id()))
    }

    /// Writes it, once and for ever.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = path_of(dir, self.number);
        let failed = io_failed(&path);
        let mut text = json::to_vec(self).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        create_file(&path, 0o600, |file| file.write_all(&text)).map_err(failed)
    }

    /// Every file by name, `ledger.json` first.
    pub fn files(&self) -> impl Iterator<Item = (&str, &BackedUpFile)> {
        let of_shards = self.shards.iter().flat_map(|shard| &shard.files);
        let all = std::iter::once(&self.ledger).chain(of_shards).chain(&self.journal);
        all.map(|file| (file.name.as_str(), file))
    }

    /// How many bytes it brings back.
    pub fn bytes(&self) -> u64 {
        self.files().map(|(_, file)| file.size).sum()
    }
}

/// The name of `ledger` in a generation.
pub(super) const LEDGER: &str = "ledger.json";

/// Whether RocksDB needs a file of this name. Its lock and its logs for people are not among them.
pub(super) fn is_shard_file(name: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once('.') {
        Some((number, "sst" | "log")) => is_number(number),
        Some(_) => false,
        None => {
            let numbered = name.strip_prefix("MANIFEST-").or_else(|| name.strip_prefix("OPTIONS-"));
            numbered.map_or(matches!(name, "CURRENT" | "IDENTITY"), is_number)
        }
    }
}

fn generations(dir: &Path) -> PathBuf {
    dir.join("generations")
}

pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    generations(dir).join(format!("{number}.json"))
}

pub(super) fn create_dir(dir: &Path) -> Result<(), BackupError> {
    let path = generations(dir);
    create_private_dir(&path).map_err(io_failed(&path))
}

pub(super) fn sync(dir: &Path) -> Result<(), BackupError> {
    let path = generations(dir);
    crate::files::sync_dir(&path).map_err(io_failed(&path))
}

/// The numbers of the generations that are there, rising.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, BackupError> {
    let path = generations(dir);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_failed(&path))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_failed(&path))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<NonZeroU64>().ok());
        numbers.extend(number.filter(|number| name == *format!("{number}.json")).map(NonZeroU64::get));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
