//! The reason that an error of the store is.

use std::io::{self, ErrorKind};

use ledger_record::codec::DecodeError;

use crate::error::{
    AppendError, BindError, Damage, Damaged, OpenError, Poison, ReadError, StorageError, WriteError,
};
use crate::stop::StopCode;

/// An error that stops a shard.
pub trait StopCause {
    /// The reason.
    fn stop_code(&self) -> StopCode;
}

/// What the system says in RocksDB's errors, which keep no number.
const SYSTEM_TEXTS: [(&str, StopCode); 8] = [
    ("No space left on device", StopCode::DiskFull),
    ("Disk quota exceeded", StopCode::DiskFull),
    ("File too large", StopCode::DiskFull),
    ("Read-only file system", StopCode::DiskReadOnly),
    ("Too many open files", StopCode::FilesExhausted),
    ("No such file or directory", StopCode::ShardDamaged),
    ("lock file", StopCode::ShardLocked),
    ("lock hold", StopCode::ShardLocked),
];

impl StopCause for rocksdb::Error {
    fn stop_code(&self) -> StopCode {
        let text: &str = self.as_ref();
        let said = SYSTEM_TEXTS.into_iter().find(|(words, _)| text.contains(words)).map(|(_, code)| code);
        match self.kind() {
            rocksdb::ErrorKind::IOError => said.unwrap_or(StopCode::DiskFailed),
            rocksdb::ErrorKind::Corruption => StopCode::ShardDamaged,
            _ => said.unwrap_or(StopCode::StoreFailed),
        }
    }
}

impl StopCause for io::Error {
    fn stop_code(&self) -> StopCode {
        /// `EMFILE` and `ENFILE`: the process's limit, and the machine's. No kind stands for them.
        const NO_DESCRIPTOR: [i32; 2] = [24, 23];
        match self.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StopCode::DiskFull,
            ErrorKind::ReadOnlyFilesystem => StopCode::DiskReadOnly,
            _ if self.raw_os_error().is_some_and(|number| NO_DESCRIPTOR.contains(&number)) => {
                StopCode::FilesExhausted
            }
            _ => StopCode::DiskFailed,
        }
    }
}

impl StopCause for StorageError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::RocksDb { source, .. } => source.stop_code(),
            Self::NoThread => StopCode::StoreFailed,
            Self::NoFamily { .. } => StopCode::ShardDamaged,
        }
    }
}

impl StopCause for Damaged {
    fn stop_code(&self) -> StopCode {
        match self.cause {
            Damage::Value(DecodeError::NewerFormat { .. }) => StopCode::NewerFormat,
            _ => StopCode::ShardDamaged,
        }
    }
}

impl StopCause for ReadError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::Storage(error) => error.stop_code(),
            Self::Damaged(error) => error.stop_code(),
        }
    }
}

impl StopCause for WriteError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::Storage(error) => error.stop_code(),
            Self::Damaged(error) => error.stop_code(),
            Self::TooLarge(_) => StopCode::StoreFailed,
        }
    }
}

impl StopCause for Poison {
    fn stop_code(&self) -> StopCode {
        self.cause.stop_code()
    }
}

impl StopCause for AppendError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::Storage(error) => error.stop_code(),
            Self::Damaged(error) => error.stop_code(),
            Self::Poisoned(poison) => poison.stop_code(),
            Self::Abandoned | Self::TooLarge => StopCode::StoreFailed,
        }
    }
}

impl StopCause for OpenError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::NewerFormat { .. } | Self::UnknownFamily { .. } => StopCode::NewerFormat,
            Self::NotALedger { .. }
            | Self::Manifest { .. }
            | Self::ManifestLost { .. }
            | Self::ManifestOutdated { .. }
            | Self::Unbound { partitions: 0, .. } => StopCode::ManifestDamaged,
            // The topic is known, and had fewer partitions when it was first read.
            Self::Unbound { .. } => StopCode::TopicRepartitioned,
            Self::Locked { .. } => StopCode::ShardLocked,
            Self::WrongShard { .. } => StopCode::ShardMoved,
            Self::Gone { .. } => StopCode::ShardGone,
            Self::MissingFamily { .. }
            | Self::NoShard { .. }
            | Self::LostLog { .. }
            | Self::DamagedLog { .. }
            | Self::Broken { .. } => StopCode::ShardDamaged,
            Self::TooFewDescriptors { .. } => StopCode::FilesExhausted,
            Self::Restless { source, .. } => source.stop_code(),
            Self::Storage(source) => source.stop_code(),
            Self::Io { source, .. } => source.stop_code(),
            Self::Damaged(error) => error.stop_code(),
            Self::OlderFormat { .. }
            | Self::Unfinished { .. }
            | Self::NotEmpty { .. }
            | Self::OtherSecret { .. }
            | Self::TopicName { .. }
            | Self::ReadOnly { .. } => StopCode::StoreFailed,
        }
    }
}

impl StopCause for BindError {
    fn stop_code(&self) -> StopCode {
        match self {
            Self::Differs { what: "partitions", .. } => StopCode::TopicRepartitioned,
            Self::Differs { what: "topic id", .. } => StopCode::TopicRecreated,
            Self::Differs { .. } => StopCode::OtherCluster,
            Self::Open(error) => error.stop_code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardId;

    #[test]
    fn what_the_system_says_decides_and_not_who_asked_it() {
        let io = |number| OpenError::Io {
            path: "ledger.json".into(),
            source: io::Error::from_raw_os_error(number),
        };
        let expected = [
            (28, StopCode::DiskFull),
            (122, StopCode::DiskFull),
            (27, StopCode::DiskFull),
            (30, StopCode::DiskReadOnly),
            (5, StopCode::DiskFailed),
            (24, StopCode::FilesExhausted),
            (23, StopCode::FilesExhausted),
        ];
        for (number, code) in expected {
            assert_eq!(io(number).stop_code(), code, "{}", io(number));
            assert_eq!(BindError::from(io(number)).stop_code(), code);
        }
    }

    #[test]
    fn added_partitions_and_moved_shards_are_no_fault_of_the_disk() {
        let shard = ShardId { topic: "t".to_owned(), partition: 7 };
        let unbound = |partitions| OpenError::Unbound { shard: shard.clone(), partitions }.stop_code();
        assert_eq!([unbound(6), unbound(0)], [StopCode::TopicRepartitioned, StopCode::ManifestDamaged]);
        let moved = OpenError::WrongShard { path: "p".into(), expected: "t/7".into(), found: "t/6".into() };
        assert_eq!(moved.stop_code(), StopCode::ShardMoved);
        assert_eq!(OpenError::Locked { shard }.stop_code(), StopCode::ShardLocked);
    }
}
