//! `ledger.json`: the format of the data directory, the fingerprint of the ledger secret, and the topics it
//! was filled from.
//!
//! ```json
//! {"format":7,"secretFingerprint":"…",
//!  "topics":{"realm.lifecycle":{"clusterId":"…","topicId":"…","partitions":12,
//!   "begun":[0,1,2],"partitioner":"murmur2"}}}
//! ```
//!
//! A shard whose directory is there and that the file does not know makes every opening fail, and so does a directory
//! with shards and without the file: it was lost, or is of an earlier time, or of another directory.
//!
//! `begun` are the partitions whose shard was made here: one whose directory is not there any more is gone, and not
//! merely empty. `partitioner` is there as soon as it is known how producers place keys.
//! A refill adds `"refill":{"unfinished":true,"renamed":{"from":"…","to":"…"}}`: the name of the logs, and a mark that
//! makes every opening fail, except that of another refill, until the directory is whole.
//!
//! Written whole: beside the old file, synced, renamed over it. Readers see the one or the other. The
//! format is looked at before anything else in it, so that a newer directory is refused whatever it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use ledger_record::proof::Hash;
use serde::{Deserialize, Serialize};

use crate::error::{BindError, OpenError};
use crate::files::replace_file;
use crate::source::{Partitioner, ShardId, SourceIdentity};

/// The format that is written, and the only one that is read. It is frozen: whoever makes another one reads this
/// one, too, and `tests/fixtures/format-7` is opened by every later version. Format 1 had no audit trail, in format 2 the
/// head of a shard did not tell how far its events were ahead, format 3 was of rule set 1, in format 4 values were laid
/// out by hand, in format 5 each event id and each position had a row, format 6 had no index of sites and links. None of
/// them was released.
pub(crate) const FORMAT: u32 = 7;

const FILE: &str = "ledger.json";

/// Beside no such file: the directory is being restored.
pub(crate) const RESTORE_MARK: &str = "restoring";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    secret_fingerprint: Hash,
    topics: BTreeMap<String, Topic>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refill: Option<RefillMark>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefillMark {
    #[serde(skip_serializing_if = "is_false", default)]
    unfinished: bool,
    renamed: Renamed,
}

/// The logs of a refilled data directory are other logs than those of the directory before, under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Renamed {
    /// The configured name of the logs before.
    pub from: String,
    /// What stands for it.
    pub to: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Topic {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    cluster_id: Option<String>,
    #[serde(rename = "topicId", skip_serializing_if = "Option::is_none", default)]
    id: Option<String>,
    partitions: u32,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    begun: BTreeSet<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    partitioner: Option<Partitioner>,
}

/// What is read first of a file with a format: the rest may be another in a newer one.
#[derive(Deserialize)]
pub(crate) struct FormatOnly {
    pub(crate) format: u32,
}

impl Manifest {
    pub(crate) fn new(secret_fingerprint: Hash) -> Self {
        Self { format: FORMAT, secret_fingerprint, topics: BTreeMap::new(), refill: None }
    }

    /// That of a directory that is being refilled.
    pub(crate) fn unfinished(secret_fingerprint: Hash, renamed: Renamed) -> Self {
        Self { refill: Some(RefillMark { unfinished: true, renamed }), ..Self::new(secret_fingerprint) }
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        self.refill.as_ref().is_some_and(|refill| refill.unfinished)
    }

    pub(crate) fn finish(&mut self) {
        if let Some(refill) = &mut self.refill {
            refill.unfinished = false;
        }
    }

    pub(crate) fn renamed(&self) -> Option<&Renamed> {
        self.refill.as_ref().map(|refill| &refill.renamed)
    }

    /// Whether the audit trail was begun with the secret of this fingerprint.
    pub(crate) fn is_of(&self, secret_fingerprint: Hash) -> bool {
        self.secret_fingerprint == secret_fingerprint
    }

    /// Reads the file of a data directory that is whole, and compares it with the shards; none: nothing is there.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, OpenError> {
        // In this order: a topic is written down before a shard of it is made.
        let there = shards_in(dir)?;
        let Some(manifest) = Self::read_any(dir)? else {
            let is_lost = dir.join("shards").exists();
            return if is_lost { Err(OpenError::ManifestLost { path: file_in(dir) }) } else { Ok(None) };
        };
        if manifest.is_unfinished() {
            return Err(OpenError::Unfinished { path: dir.to_owned() });
        }
        match there.into_iter().find(|id| !manifest.knows(id)) {
            Some(shard) => Err(OpenError::ManifestOutdated { path: file_in(dir), shard }),
            None => Ok(Some(manifest)),
        }
    }

    fn knows(&self, id: &ShardId) -> bool {
        self.topics.get(&id.topic).is_some_and(|topic| id.partition < topic.partitions)
    }

    /// Reads the file of a data directory; none: there is no such file.
    pub(crate) fn read_any(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = file_in(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_restored = dir.join(RESTORE_MARK).exists();
                return if is_restored {
                    Err(OpenError::Restoring { path: dir.to_owned() })
                } else {
                    Ok(None)
                };
            }
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        Self::parse(&path, &text).map(Some)
    }

    /// Reads what such a file has.
    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self, OpenError> {
        let damaged = |source| OpenError::Manifest { path: path.to_owned(), source };
        let FormatOnly { format: found } = serde_json::from_slice(text).map_err(damaged)?;
        let path = path.to_owned();
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path, found, supported: FORMAT });
        }
        if found < FORMAT {
            return Err(OpenError::OlderFormat { path, found, supported: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(text).map_err(damaged)?;
        manifest.topics.keys().try_for_each(|topic| check_topic(topic))?;
        Ok(manifest)
    }

    /// Replaces the file of a data directory.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), OpenError> {
        let path = file_in(dir);
        let text = self.to_text()?;
        let replaced = replace_file(&path, 0o666, |file| file.write_all(&text));
        replaced.map_err(|source| OpenError::Io { path, source })
    }

    /// What stands in the file.
    pub(crate) fn to_text(&self) -> Result<Vec<u8>, OpenError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|source| OpenError::Manifest { path: FILE.into(), source })?;
        text.push(b'\n');
        Ok(text)
    }

    /// Which secret the audit trail was begun with.
    pub(crate) fn secret_fingerprint(&self) -> Hash {
        self.secret_fingerprint
    }

    /// The same, as if these shards were all that was ever begun.
    pub(crate) fn of_shards(mut self, shards: &[ShardId]) -> Self {
        for (name, topic) in &mut self.topics {
            let of_topic = shards.iter().filter(|shard| shard.topic == *name);
            topic.begun = of_topic.map(|shard| shard.partition).collect();
        }
        self
    }

    pub(crate) fn identity(&self, topic: &str) -> Option<SourceIdentity> {
        self.topics.get(topic).map(|topic| SourceIdentity {
            cluster_id: topic.cluster_id.clone(),
            topic_id: topic.id.clone(),
            partitions: topic.partitions,
        })
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&String, u32)> {
        self.topics.iter().map(|(name, topic)| (name, topic.partitions))
    }

    /// Whether a shard was made here.
    pub(crate) fn has_begun(&self, id: &ShardId) -> bool {
        self.topics.get(&id.topic).is_some_and(|topic| topic.begun.contains(&id.partition))
    }

    /// Remembers that a shard was made. Answers whether anything changed.
    pub(crate) fn begin(&mut self, id: &ShardId) -> bool {
        self.topics.get_mut(&id.topic).is_some_and(|topic| topic.begun.insert(id.partition))
    }

    /// Forgets a topic. Answers whether it was known.
    pub(crate) fn forget(&mut self, topic: &str) -> bool {
        self.topics.remove(topic).is_some()
    }

    /// How keys of a topic are placed.
    pub(crate) fn partitioner(&self, topic: &str) -> Option<Partitioner> {
        self.topics.get(topic)?.partitioner
    }

    /// Notes how keys of a topic are placed, unless that is known. Answers whether anything changed.
    pub(crate) fn fill_in_partitioner(&mut self, topic: &str, partitioner: Partitioner) -> bool {
        let Some(topic) = self.topics.get_mut(topic) else { return false };
        let is_open = matches!(topic.partitioner, None | Some(Partitioner::Unknown));
        let changes = is_open && topic.partitioner != Some(partitioner);
        if changes {
            topic.partitioner = Some(partitioner);
        }
        changes
    }

    /// Notes how keys of a topic are placed, whatever was known. Answers whether anything changed.
    pub(crate) fn replace_partitioner(&mut self, topic: &str, partitioner: Partitioner) -> bool {
        let Some(topic) = self.topics.get_mut(topic) else { return false };
        topic.partitioner.replace(partitioner) != Some(partitioner)
    }

    /// Takes a topic in, or compares it with what is known. Answers whether anything changed.
    pub(crate) fn bind(&mut self, name: &str, now: &SourceIdentity) -> Result<bool, BindError> {
        let before = self.topics.get(name).cloned();
        let mut topic = before.clone().unwrap_or(Topic {
            cluster_id: None,
            id: None,
            partitions: now.partitions,
            begun: BTreeSet::new(),
            partitioner: None,
        });
        let differs = |what, stored: String, found: String| {
            Err(BindError::Differs { topic: name.to_owned(), what, stored, found })
        };
        if topic.partitions != now.partitions {
            return differs("partitions", topic.partitions.to_string(), now.partitions.to_string());
        }
        if let Err((stored, found)) = fill_in(&mut topic.cluster_id, now.cluster_id.as_ref()) {
            return differs("cluster id", stored, found);
        }
        if let Err((stored, found)) = fill_in(&mut topic.id, now.topic_id.as_ref()) {
            return differs("topic id", stored, found);
        }
        let changed = before.as_ref() != Some(&topic);
        self.topics.insert(name.to_owned(), topic);
        Ok(changed)
    }
}

fn fill_in(stored: &mut Option<String>, now: Option<&String>) -> Result<(), (String, String)> {
    match (stored.as_ref(), now) {
        (Some(stored), Some(now)) if stored != now => Err((stored.clone(), now.clone())),
        (None, Some(now)) => {
            *stored = Some(now.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The shards whose directories are there. What has another name than a shard's was put there by someone else, or was
/// moved away.
fn shards_in(dir: &Path) -> Result<Vec<ShardId>, OpenError> {
    let mut shards = Vec::new();
    for topic in dirs_in(&dir.join("shards"))? {
        for partition in dirs_in(&dir.join("shards").join(&topic))? {
            let number = partition.parse::<u32>().ok().filter(|number| number.to_string() == partition);
            shards.extend(number.map(|partition| ShardId { topic: topic.clone(), partition }));
        }
    }
    shards.sort();
    Ok(shards)
}

fn dirs_in(dir: &Path) -> Result<Vec<String>, OpenError> {
    let failed = |source| OpenError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// Where the file lies in a data directory.
pub(crate) fn file_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// A topic's name names a directory, so it must be one that Kafka would take.
pub(crate) fn check_topic(topic: &str) -> Result<(), OpenError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name =
        (1..=249).contains(&topic.len()) && topic.chars().all(allowed) && topic != "." && topic != "..";
    if is_name { Ok(()) } else { Err(OpenError::TopicName { topic: topic.to_owned() }) }
}

/// Where a shard lies in a data directory.
pub(crate) fn shard_path(dir: &Path, id: &ShardId) -> PathBuf {
    dir.join("shards").join(&id.topic).join(id.partition.to_string())
}
