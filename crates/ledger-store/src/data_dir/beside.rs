//! What is known of a shard without opening it: a mark beside it, and its lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::data_dir::manifest::shard_path;
use crate::data_dir::{DataDir, behind};
use crate::db::options::StoreOptions;
use crate::error::OpenError;
use crate::source::{Partitioner, ShardId};

impl DataDir {
    /// A directory that is being made, for reading of it what is there.
    pub(crate) fn unopened(path: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        Self::with_resources(path, options, None)
    }

    /// Whether it was ever noted how far a shard has read its topic: a process feeds it.
    pub(crate) fn has_read_note(&self, id: &ShardId) -> bool {
        behind(&shard_path(&self.path, id)).exists()
    }

    /// Notes beside the data which partitioners put the message where it came that halts a shard; none: it is not halted
    /// by one. Who makes the directory anew has to know that not all producers place keys as it remembers.
    pub fn note_misplaced(&self, id: &ShardId, by: Option<&[Partitioner]>) -> Result<(), OpenError> {
        let mark = misplaced(&shard_path(&self.path, id));
        let noted = match by {
            Some(by) => {
                let names: Vec<&str> = by.iter().map(|partitioner| partitioner.as_str()).collect();
                fs::write(&mark, names.join(" "))
            }
            None => fs::remove_file(&mark),
        };
        match noted {
            Err(error) if by.is_some() || error.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::Io { path: mark, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Which partitioners put the message where it came that halts a shard; none: it is not halted by one.
    pub fn misplaced(&self, id: &ShardId) -> Result<Option<Vec<Partitioner>>, OpenError> {
        let mark = misplaced(&shard_path(&self.path, id));
        match fs::read_to_string(&mark) {
            Ok(names) => Ok(Some(names.split_whitespace().filter_map(Partitioner::parse).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::Io { path: mark, source }),
        }
    }

    /// Keeps every other process from writing to the shards as long as the answer is held, and fails where one does. Of
    /// what this process itself opens for writing it knows nothing. Nothing is written.
    pub fn hold_shards(&self) -> Result<Vec<File>, OpenError> {
        let mut held = Vec::new();
        for id in self.shards()?.into_iter().filter(|id| self.has(id)) {
            let path = shard_path(&self.path, &id).join("LOCK");
            let file = match File::options().read(true).write(true).open(&path) {
                Ok(file) => file,
                // Damage is found by whoever reads it, and what nobody may write has no writer.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound
                            | io::ErrorKind::PermissionDenied
                            | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
                {
                    continue;
                }
                Err(source) => return Err(OpenError::Io { path, source }),
            };
            // The lock that RocksDB takes.
            match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => held.push(file),
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(OpenError::Locked { shard: id }),
                Err(error) => return Err(OpenError::Io { path, source: error.into() }),
            }
        }
        Ok(held)
    }
}

fn misplaced(path: &Path) -> PathBuf {
    path.with_extension("misplaced")
}
