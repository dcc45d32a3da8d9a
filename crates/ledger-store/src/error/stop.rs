//! Why a shard takes nothing more: every reason once, with what it is, what the operator does, and whether the
//! shard goes on by itself.
//!
//! | where it shows | what of it |
//! | --- | --- |
//! | `/readyz`, `freshness` of answers, the log | the code, and the facts followed by the remedy ([`Halted::new`]) |
//! | `realm_ledger_stopped`, and the alerts on it | the code and the remedy, as labels |
//! | README, "When it stops" | all of it, as a table; a test compares |
//!
//! A new reason is a row of the table below, and nothing else. An error of the store knows its reason
//! ([`StopCause`]), so that one fault has one code whichever thread meets it.

use std::fmt;
use std::io::{self, ErrorKind};

use ledger_record::codec::DecodeError;

use crate::error::{
    AppendError, BindError, Damage, Damaged, OpenError, Poison, ReadError, StorageError, WriteError,
};
use crate::source::ShardId;

/// What ends a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// The shard looks again and goes on when the cause is gone.
    ByItself,
    /// A person, who restarts the process afterwards.
    ByPerson,
}

macro_rules! stops {
    ($($name:ident $code:literal $ends:ident, $is:literal, $remedy:literal;)*) => {
        /// A reason to stop.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum StopCode {
            $(#[doc = $is] $name,)*
        }

        impl StopCode {
            /// Every reason, as README lists them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable code, for alerts.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it is.
            #[must_use]
            pub const fn is(self) -> &'static str {
                match self { $(Self::$name => $is,)* }
            }

            /// What ends it.
            #[must_use]
            pub const fn ends(self) -> Ends {
                match self { $(Self::$name => Ends::$ends,)* }
            }

            /// What the operator does; `TOPIC` and `PARTITION` stand for those of the shard, `THEIRS` and `OURS` for the
            /// partitioner of a misplaced message and that of imported history.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

stops! {
    RetentionGap "retention-gap" ByPerson,
        "retention removed messages of the topic before they were read",
        "restore a backup that has read beyond them, or fill a new data directory from a complete copy of the topic; \
         `topics create` shows the retention that a ledger needs";
    HistoryIncomplete "history-incomplete" ByPerson,
        "the shard is new, and the oldest messages of the topic are gone",
        "restore a backup; or set kafka.accept_incomplete_history = true and restart, and the history begins with the \
         first message that is left";
    TopicTruncated "topic-truncated" ByPerson,
        "the topic ends before what was read of it: brokers lost acknowledged messages",
        "bring the lost end back from a replica or a copy of the brokers' disks and restart; if it is lost for good, \
         move shards/TOPIC/PARTITION to shards/TOPIC/PARTITION.away (only it has those events now), restart, and the \
         shard is filled from the topic as it is: then publish what `log` of the kept one has more";
    TopicDiverged "topic-diverged" ByPerson,
        "the topic lost its end and has grown again: it no longer holds what was read of it",
        "do as for topic-truncated: bring the old messages back, or move shards/TOPIC/PARTITION to \
         shards/TOPIC/PARTITION.away, restart, and publish what the kept one has more; a log that was signed then begins under another evidence.origin";
    TopicRecreated "topic-recreated" ByPerson,
        "the topic was deleted and made again: offsets of the old one mean nothing in it",
        "give the new topic a data directory of its own (data_dir), after everything of the old topic was sent to it; \
         or let kafka.topics name the topic that this data directory was filled from";
    TopicRepartitioned "topic-repartitioned" ByPerson,
        "partitions were added to the topic: client keys land in other partitions than before",
        "make a new topic with that many partitions, send everything to it by client key, and fill a new data \
         directory from it";
    OtherCluster "other-cluster" ByPerson,
        "another cluster answers than the one that the data directory was filled from",
        "let kafka.brokers name that cluster, or use another data directory";
    OutOfOrder "out-of-order" ByPerson,
        "the Kafka client delivered an offset twice or out of order",
        "restart the process, and report it";
    SourceRefused "source-refused" ByPerson,
        "the brokers refuse to let this client read the partition",
        "check that the topic is there and that kafka.client may read it (READ and DESCRIBE of topic and group), \
         then restart";
    KeyMisplaced "key-misplaced" ByPerson,
        "an event is not in the partition that its client key belongs in, and imported history is there: recorded here \
         it would tear the tenant apart",
        "if all producers place keys as the message was placed, make a data directory that fits them and serve that: \
         `realm-ledger refill --from OLD --data-dir NEW --partitioner THEIRS`; else set the producer right as the reason \
         says and, as what it sent stays in the topic, restart with kafka.partitioner = \"unknown\" until that is read, \
         then stop, put those tenants together by `realm-ledger refill --from OLD --data-dir NEW --partitioner OURS`, and \
         serve NEW without that setting";
    ProducerTimes "producer-times" ByItself,
        "the times of the topic are its producers', and the brokers let any time in the future pass: one wrong clock \
         would rule every later recorded time of the partition",
        "`kafka-configs.sh --bootstrap-server BROKERS --alter --entity-type topics --entity-name TOPIC --add-config \
         message.timestamp.type=LogAppendTime`, or trust all producers for good with kafka.accept_producer_times = true \
         and a restart";
    TimeAhead "time-ahead" ByPerson,
        "a message has its producer's time, more than 24 hours ahead of this machine's clock: once recorded, no later \
         record of the partition could have an earlier time",
        "set this machine's clock if it is the wrong one, and restart; else find the producer, and either send the good \
         messages to a new topic, or set kafka.accept_producer_times = true and restart to record it as it is";
    DiskFull "disk-full" ByItself,
        "the disk of the data directory has no room, or a quota is used up",
        "make room on the disk of the data directory";
    DiskReadOnly "disk-read-only" ByItself,
        "the file system of the data directory is mounted read-only",
        "see in the system's log why (often an I/O error), check the disk, and mount it writable again";
    DiskFailed "disk-failed" ByItself,
        "the disk of the data directory failed to read or write",
        "see in the system's log why, check the disk and the rights on the data directory; what cannot be read any \
         more is restored from a backup";
    FilesExhausted "files-exhausted" ByItself,
        "the process or the machine has no file descriptor left",
        "raise the limit of open files (`ulimit -n`, LimitNOFILE), or lower store.open_files_per_shard and \
         http.connections";
    ShardLocked "shard-locked" ByItself,
        "another process writes to the shard",
        "stop the other process";
    ShardDamaged "shard-damaged" ByPerson,
        "files or entries of the shard are damaged or missing",
        "check the disk; then, if nothing was imported into this shard and the topic has all its messages from offset \
         0, move shards/TOPIC/PARTITION to shards/TOPIC/PARTITION.away and restart: Kafka fills it anew; else restore a backup (`rebuild` \
         mends tenants, apps, ids and index alone)";
    ShardGone "shard-gone" ByPerson,
        "the directory of a shard that was begun here is gone",
        "mount its disk, or restore a backup, and restart; or, if nothing was imported into this shard and the topic has \
         all its messages from offset 0, make an empty directory shards/TOPIC/PARTITION.away and restart: Kafka fills it \
         anew";
    ShardMoved "shard-moved" ByPerson,
        "the directory is that of another shard, topic or cluster",
        "put each directory back to where it was; if Kafka has all messages of the shard, move shards/TOPIC/PARTITION \
         to shards/TOPIC/PARTITION.away instead and restart: Kafka fills it anew";
    ManifestDamaged "manifest-damaged" ByPerson,
        "ledger.json of the data directory is missing, damaged, or does not know the shard",
        "restore ledger.json from a backup, then restart";
    NewerFormat "newer-format" ByPerson,
        "a newer program wrote the data",
        "run that realm-ledger or a newer one";
    StoreFailed "store-failed" ByPerson,
        "the store failed in a way that has no other code",
        "restart the process; report it if it comes again";
    WorkerPanicked "worker-panicked" ByPerson,
        "a thread of the shard ended by a fault of this program",
        "restart the process, and report what the log says";
    SourceUnreachable "source-unreachable" ByItself,
        "the brokers do not answer, or say that there is no such topic",
        "check the brokers and the network, and that the topic is there";
    JournalDiffers "journal-differs" ByPerson,
        "a ledger without Kafka was made of another journal than the one that is there, or a line of that is damaged",
        "put the files of the journal back from a backup of the disk and restart; where the journal is whole and the data \
         is not its, begin a data directory anew with a copy of the journal in it: it is read from its first line";
    TransactionHanging "transaction-hanging" ByItself,
        "a transaction in the topic that does not end keeps back all that follows",
        "find its producer, or end it with `kafka-transactions.sh abort`";
}

impl StopCode {
    /// The reason of a code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == code)
    }

    /// What the operator does about this shard.
    #[must_use]
    pub fn remedy_for(self, shard: &ShardId) -> String {
        self.remedy().replace("TOPIC", &shard.topic).replace("PARTITION", &shard.partition.to_string())
    }
}

impl fmt::Display for StopCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a shard stopped, or does not do all it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Stable, for alerts: a [`crate::StopCode`], or why nothing is signed.
    pub code: &'static str,
    /// What happened, and what the operator can do.
    pub message: String,
}

impl Halted {
    /// The facts, and what to do about them.
    pub fn new(code: StopCode, shard: &ShardId, facts: impl fmt::Display) -> Self {
        let ends = match code.ends() {
            Ends::ByItself => "; it goes on by itself then",
            Ends::ByPerson => "",
        };
        Self { code: code.as_str(), message: format!("{facts}; {}{ends}", code.remedy_for(shard)) }
    }

    /// An error of the store.
    pub fn of_error<E: StopCause + std::error::Error>(shard: &ShardId, error: &E) -> Self {
        Self::new(error.stop_code(), shard, crate::with_causes(error))
    }

    /// Whether nothing but a person ends it.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        StopCode::parse(self.code).is_none_or(|code| code.ends() == Ends::ByPerson)
    }
}

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
            | Self::Restoring { .. }
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
    use crate::source::ShardId;

    #[test]
    fn every_stop_code_is_unique_and_has_a_remedy() {
        let mut codes: Vec<_> = StopCode::ALL.iter().map(|code| code.as_str()).collect();
        for code in StopCode::ALL {
            assert_eq!(StopCode::parse(code.as_str()), Some(*code));
            assert!(!code.is().is_empty() && code.remedy().len() > 20, "{code}");
            assert!(!code.remedy().contains('|'), "{code} breaks README's table");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), StopCode::ALL.len());
    }

    #[test]
    fn halt_message_has_the_facts_and_the_shards_remedy() {
        let shard = ShardId { topic: "t".to_owned(), partition: 3 };
        let damaged = Halted::new(StopCode::ShardDamaged, &shard, "a block does not fit its checksum");
        assert!(
            damaged.message.starts_with("a block does not fit its checksum; check the disk"),
            "{damaged:?}"
        );
        assert!(damaged.message.contains("move shards/t/3 to shards/t/3.away"), "{damaged:?}");
        assert!(damaged.needs_person());
        let full = Halted::new(StopCode::DiskFull, &shard, "no space left");
        assert!(full.message.ends_with("it goes on by itself then") && !full.needs_person(), "{full:?}");
        assert!(Halted { code: "unheard-of", message: String::new() }.needs_person());
    }

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
