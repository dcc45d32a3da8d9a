//! Where the checkpoints of one origin are published, and the last note of an origin in a file beside the keys, outside the
//! data directory. The topic ([`crate::sign::CheckpointTopic`]) is one place, the file alone the other.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use ledger_store::replace_file;
use rdkafka::error::KafkaError;

/// The directory of the notes, in the directory of the keys.
const DIRECTORY: &str = "checkpoints";

/// The file of one origin.
#[derive(Debug, Clone)]
pub struct KeptNote {
    path: PathBuf,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the last checkpoint cannot be kept in {path}: {source}; it must be writable", path = path.display())]
pub struct KeptError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl KeptNote {
    /// The file of an origin, in this directory of keys.
    pub fn new(keys: &Path, origin: &str) -> Self {
        Self { path: keys.join(DIRECTORY).join(file_name(origin)) }
    }

    /// Every file of notes in this directory of keys.
    pub fn all(keys: &Path) -> Result<Vec<Self>, KeptError> {
        let directory = keys.join(DIRECTORY);
        let failed = |source| KeptError { path: directory.clone(), source };
        let files = match fs::read_dir(&directory) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>();
        let notes =
            paths.map_err(failed)?.into_iter().filter(|path| path.extension() == Some("note".as_ref()));
        Ok(notes.map(|path| Self { path }).collect())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The note, if one was kept.
    pub fn read(&self) -> Result<Option<String>, KeptError> {
        match fs::read_to_string(&self.path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Keeps another note instead, durably.
    pub fn replace(&self, note: &str) -> Result<(), KeptError> {
        self.write(note).map_err(|error| self.failed(error))
    }

    fn write(&self, note: &str) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        replace_file(&self.path, 0o666, |out| out.write_all(note.as_bytes()))
    }

    fn failed(&self, source: io::Error) -> KeptError {
        KeptError { path: self.path.clone(), source }
    }
}

/// An origin as the name of a file: everything but the plainest letters is encoded.
fn file_name(origin: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    let name: String = origin.bytes().map(encode).collect();
    format!("{name}.note")
}

/// The notes of one origin, one after the other.
pub trait CheckpointLog {
    /// The last note that anyone published, as far as it can be read by now: only a claim decides what is under way.
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError>;

    /// Shuts out everyone else who publishes for the origin. What they had under way is published or not when
    /// this returns; the last note is answered.
    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError>;

    /// Publishes a note. After an error it may be published or not: only another claim tells.
    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError>;

    /// Gives up the claim without waiting for anything.
    fn release(&mut self);
}

impl<T: CheckpointLog + ?Sized> CheckpointLog for Box<T> {
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError> {
        (**self).last()
    }

    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError> {
        (**self).claim()
    }

    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError> {
        (**self).publish(note)
    }

    fn release(&mut self) {
        (**self).release();
    }
}

/// A note was not published, or not read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointLogError {
    /// Someone else has claimed the origin.
    #[error("another process publishes the checkpoints of this origin now")]
    ShutOut,
    /// The client or the broker refused.
    #[error("topic {topic}: {error}; create it with `topics create`, or check the access rights")]
    Kafka { topic: String, error: KafkaError },
    /// Shut out, but not by someone else.
    #[error(
        "the broker ended a transaction of topic {topic} that took too long, or came late to an earlier claim of this \
         process; trying again"
    )]
    Interrupted { topic: String },
    /// The brokers do not give what is there.
    #[error("topic {topic} could not be read to its end in time; trying again")]
    NotRead { topic: String },
    /// Somebody's transaction stays open.
    #[error(
        "topic {topic} has a note of this origin behind a transaction that does not end, which keeps {seen} and all \
         after it back; find its producer, or end it with `kafka-transactions.sh abort`; trying again"
    )]
    Hidden {
        topic: String,
        /// The end of what can be read.
        seen: i64,
    },
    /// Another process uses the keys for the same origin.
    #[error("{path} is locked: another process signs with these keys for this origin", path = path.display())]
    Locked {
        /// The lock.
        path: std::path::PathBuf,
    },
    /// The file beside the keys.
    #[error(transparent)]
    KeptNote(#[from] KeptError),
}

/// Publishing without Kafka: what is kept is what is published, and a lock shuts others out.
#[derive(Debug)]
pub struct FileCheckpointLog {
    kept: KeptNote,
    lock: Option<File>,
}

impl FileCheckpointLog {
    /// For the origin of this file.
    pub fn new(kept: KeptNote) -> Self {
        Self { kept, lock: None }
    }

    fn lock(&self) -> Result<File, CheckpointLogError> {
        let path = self.kept.path.with_extension("lock");
        let failed = |source| KeptError { path: path.clone(), source };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(CheckpointLogError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(failed(source).into()),
        }
    }
}

impl CheckpointLog for FileCheckpointLog {
    fn last(&mut self) -> Result<Option<String>, CheckpointLogError> {
        Ok(self.kept.read()?)
    }

    fn claim(&mut self) -> Result<Option<String>, CheckpointLogError> {
        if self.lock.is_none() {
            self.lock = Some(self.lock()?);
        }
        self.last()
    }

    fn publish(&mut self, note: &str) -> Result<(), CheckpointLogError> {
        if self.lock.is_none() {
            return Err(CheckpointLogError::ShutOut);
        }
        Ok(self.kept.replace(note)?)
    }

    fn release(&mut self) {
        self.lock = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_is_kept_by_origin() {
        let keys = std::env::temp_dir().join(format!("realm-ledger-kept-{}", std::process::id()));
        let (one, other) =
            (KeptNote::new(&keys, "example.com/realm/1"), KeptNote::new(&keys, "example.com/realm/2"));
        assert_eq!(one.read().unwrap(), None);
        one.replace("first\n").unwrap();
        one.replace("second\n").unwrap();
        assert_eq!(one.read().unwrap().as_deref(), Some("second\n"));
        assert_eq!(other.read().unwrap(), None);
        let files: Vec<_> =
            fs::read_dir(keys.join(DIRECTORY)).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["example.com%2Frealm%2F1.note"]);
        fs::remove_dir_all(&keys).unwrap();
    }

    #[test]
    fn who_is_alone_shuts_others_out() {
        let keys = std::env::temp_dir().join(format!("realm-ledger-alone-{}", std::process::id()));
        let kept = KeptNote::new(&keys, "realm/0");
        let (mut one, mut other) = (FileCheckpointLog::new(kept.clone()), FileCheckpointLog::new(kept));
        assert!(matches!(one.publish("note"), Err(CheckpointLogError::ShutOut)));
        assert_eq!(one.claim().unwrap(), None);
        one.publish("note").unwrap();
        assert!(matches!(other.claim(), Err(CheckpointLogError::Locked { .. })));
        one.release();
        assert_eq!(other.claim().unwrap().as_deref(), Some("note"));
        fs::remove_dir_all(&keys).unwrap();
    }
}
