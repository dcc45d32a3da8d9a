//! Why an import ends.

use std::io;
use std::path::PathBuf;

use ledger_store::{AppendError, BindError, OpenError, ReadError};

use crate::import::refusals::RefusedLines;
use crate::import::{ImportReport, PARTITIONS};
use crate::kafka::KafkaError;
use crate::placing::PlacingError;
use crate::text::LineError;

/// An import that did not reach the end. What was taken before is kept, and the next one goes on there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file's beginning differs from what was imported under this name.
    #[error(
        "the first {lines} lines of {name} are not those imported before; name another source with --source"
    )]
    BeginningDiffers {
        /// The name.
        name: String,
        /// How many lines were taken before.
        lines: u64,
    },
    /// The file is shorter than what was imported under this name.
    #[error(
        "{name} ends after {found} lines, but {lines} were imported before; name another source with --source"
    )]
    Shorter {
        /// The name.
        name: String,
        /// How many lines were taken before.
        lines: u64,
        /// How many it has now.
        found: u64,
    },
    /// The last line has no end and is no complete JSON: its producer is still writing, or it was cut off.
    #[error(
        "line {line} has no line end and is not complete JSON; it was not taken, import again when it is complete"
    )]
    CutOff {
        /// The line, from 1.
        line: u64,
        /// What became of the lines before it: they are imported.
        before: ImportReport,
    },
    /// The data directory is spread over another number of partitions.
    #[error("the data directory has {recorded} partitions of {topic}, not {asked}; leave --partitions away")]
    Partitions {
        /// The topic.
        topic: String,
        /// As remembered.
        recorded: u32,
        /// As asked for.
        asked: u32,
    },
    /// The topic has another number of partitions.
    #[error(
        "{topic} has {found} partitions, not {asked}: a data directory of {asked} could not read it; leave --partitions away"
    )]
    OtherTopic {
        /// The topic.
        topic: String,
        /// As the brokers report.
        found: u32,
        /// As asked for.
        asked: u32,
    },
    /// The number of partitions is neither given nor known to a broker.
    #[error("cannot learn how many partitions {topic} has: {error}; give --partitions, or name no brokers")]
    Uncounted {
        /// The topic.
        topic: String,
        /// The error of the client.
        error: KafkaError,
    },
    /// More shards than one process writes to.
    #[error(
        "an import writes to all partitions at once, {PARTITIONS} at most, and {topic} would have {partitions}"
    )]
    TooManyPartitions {
        /// The topic.
        topic: String,
        /// How many.
        partitions: u32,
    },
    /// The first lines cannot be looked at before they are taken.
    #[error("the first lines cannot be kept in {directory}", directory = directory.display())]
    Ahead {
        /// Where the temporary file is.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Of the first lines too many are refused. None of them was recorded.
    #[error("{} of the first {lines} lines would be refused; nothing was recorded", refusals.lines())]
    TooManyRefused {
        /// How many lines were looked at.
        lines: u64,
        /// Which of them would be refused.
        refusals: RefusedLines,
    },
    /// The partitioner of the topic's producers is not known.
    #[error(transparent)]
    Placement(#[from] PlacingError),
    /// The file cannot be read.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A shard cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data directory belongs to another source.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A shard cannot be read.
    #[error(transparent)]
    Stored(#[from] ReadError),
    /// A shard cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}
