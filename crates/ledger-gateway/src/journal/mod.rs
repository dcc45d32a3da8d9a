//! Events on disk, in order, until they are where they are to go.
//!
//! ```text
//!   append ─► queue ─► writer thread: one write, one fsync for all that wait ─► append answers
//!   append ─► queue ─┘                         │
//!                                              ▼
//!                          segments: 00000000000000000001.ndjson …  ─► Reader ─► Kafka, or a ledger without Kafka
//!                                                                         └─► `published`: how far, durable and atomic
//! ```
//!
//! One process writes a journal at a time (`lock`). Lines are numbered from 1 without a gap, and a segment is named by the
//! number of its first line. A line is a native event with two more members in front, so that a segment is a file that
//! `import` takes as it is:
//!
//! ```text
//!   {"crc":"1c291ca3","recordedAt":"2026-11-30T11:21:03.000Z","id":…}
//!           └─ CRC-32C of all that follows its comma
//! ```
//!
//! **What is answered is on disk.** [`Journal::append`] resolves after the fsync. A write or fsync that fails breaks the
//! journal: every further append is refused with the reason until what the disk has of that write could be cut off, and the
//! segment read as it was before. That is tried every few seconds.
//!
//! **Opening** checks every line that is not published. Behind the last valid line nothing was answered: that torn tail is
//! cut off. Damage in front of a valid line is none that a crash leaves: the journal does not open.
//!
//! **One reader.** What it has not marked as taken waits; at [`JournalOptions::max_bytes`] of it, appends are refused as
//! [`AppendError::Full`].
//!
//! This is no log of its own: records, positions and proofs are the ledger's. The journal is a source, as a topic is.

mod line;
mod metric;
mod publisher;
mod reader;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger_api::http::JournalHealth;
use ledger_core::event::Event;
use ledger_core::time::Timestamp;
use ledger_ingest::decode::to_native_json;
use ledger_store::{JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED, lock_file};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

pub use crate::limits::EVENT_MAX_BYTES;
use crate::limits::{QUEUED_BYTES, QUEUED_LINES, SEGMENT_BYTES};
pub use metric::describe;
pub use publisher::{JournalPublisher, PublishJournalError, PublishedLines, publish_waiting};
pub use reader::{JournalLine, JournalReader, ReadLineError};
pub use segment::Destination;
use shared::Shared;
use writer::{Queued, SyncFile, Writer};

/// Bounds of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes that may wait to be taken.
    pub max_bytes: u64,
    /// How long a segment is kept when all of it is published.
    pub keep: Duration,
    /// A segment that has so many bytes is followed by a new one.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024 * 1024,
            keep: Duration::from_hours(7 * 24),
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// The journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process writes it.
    #[error("the journal {} is in use by another process; stop that one, or name another directory", dir.display())]
    Locked { dir: PathBuf },
    /// A line is damaged, and valid lines follow it.
    #[error(
        "line {line} of the journal is damaged, at byte {offset} of {}, and valid lines follow it, so no crash left it; \
         put the file back from a backup of the disk, or take the line out of it",
        file.display()
    )]
    Damaged { file: PathBuf, line: u64, offset: u64 },
    /// The segments do not join.
    #[error(
        "the journal goes on at line {found} in {}, and line {expected} was to come; put back the segment that is missing",
        file.display()
    )]
    Gap { file: PathBuf, expected: u64, found: u64 },
    /// More was published than is there.
    #[error(
        "line {published} of the journal {} was published, and it ends before line {end}; put back its last segments",
        dir.display()
    )]
    Shorter { dir: PathBuf, published: u64, end: u64 },
    /// A file cannot be used.
    #[error("the journal cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// An event is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number of its line, from 1.
    pub line: u64,
    /// When the journal took it.
    pub recorded: Timestamp,
}

/// An event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// As much waits as may.
    #[error(
        "the journal is full: {waiting_bytes} bytes wait to be taken, and {max_bytes} may (gateway.journal_max); they go on \
         when their reader does, which `/readyz` tells about"
    )]
    Full { waiting_bytes: u64, max_bytes: u64 },
    /// It could never be published.
    #[error("the event is longer than {EVENT_MAX_BYTES} bytes, and no message with it would be taken")]
    TooLong,
    /// A write failed, and whether it is on disk is not known. Nothing is taken before the segment could be opened again.
    #[error("the journal cannot be written: {reason}; mend the disk, it is tried again every few seconds")]
    Broken { reason: String },
}

/// A journal that is open for writing. Clones are the same journal; the last one that is dropped ends its thread.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Open>);

#[derive(Debug)]
struct Open {
    queue: Option<Sender<Queued>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Held as long as this process writes.
    _lock: File,
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.queue.take());
        // What is queued is written first. A thread that panicked has told its senders by dropping their answers.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Room in a journal that is kept for an event until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.give_back(self.bytes);
    }
}

/// An event that is queued.
#[derive(Debug)]
pub struct PendingAppend {
    written: oneshot::Receiver<Result<u64, String>>,
    recorded: Timestamp,
}

impl Journal {
    /// Opens or makes it, cuts off a torn tail, and starts its writer.
    pub fn open(dir: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        Self::open_with(dir, options, File::sync_data)
    }

    /// Whether there is one; a backup has all of it but its lock.
    pub fn exists(dir: &Path) -> bool {
        [LOCK, JOURNAL_IS_SOURCE, JOURNAL_PUBLISHED].iter().any(|file| dir.join(file).is_file())
    }

    fn open_with(dir: &Path, options: &JournalOptions, sync: SyncFile) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = lock(dir)?;
        let opened = segment::open(dir)?;
        let shared = Arc::new(Shared::new(dir, *options, &opened));
        let (queue, queued) = channel(QUEUED_LINES);
        let writer = Writer::new(Arc::clone(&shared), opened, sync);
        let thread = thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || writer.run(queued)).map_err(failed)?;
        Ok(Self(Arc::new(Open { queue: Some(queue), thread: Some(thread), shared, _lock: lock })))
    }

    /// Resolves when the event is on disk.
    pub async fn append(&self, event: &Event) -> Result<Appended, AppendError> {
        self.append_text(&to_native_json(event), now()).await
    }

    /// The same for an event, or a tick, as native JSON that was recorded elsewhere at that instant.
    pub async fn append_text(&self, native: &[u8], recorded: Timestamp) -> Result<Appended, AppendError> {
        self.enqueue(native, recorded).await?.wait().await
    }

    /// The same for a thread that may wait.
    pub fn append_blocking(&self, native: &[u8], recorded: Timestamp) -> Result<Appended, AppendError> {
        futures_executor::block_on(self.append_text(native, recorded))
    }

    /// The same for many, in their order. After an error some of them may be there.
    pub fn append_all(&self, events: impl Iterator<Item = (Vec<u8>, Timestamp)>) -> Result<(), AppendError> {
        futures_executor::block_on(async {
            let mut queued = VecDeque::<PendingAppend>::new();
            for (native, recorded) in events {
                if queued.len() == QUEUED_LINES
                    && let Some(first) = queued.pop_front()
                {
                    first.wait().await?;
                }
                queued.push_back(self.enqueue(&native, recorded).await?);
            }
            for line in queued {
                line.wait().await?;
            }
            Ok(())
        })
    }

    /// Keeps room for an event of so many bytes that is to come, if there is some.
    pub fn reserve(&self, native_bytes: usize) -> Result<Reservation, AppendError> {
        check_length(native_bytes)?;
        let bytes = (native_bytes + line::HEAD_BYTES + 1) as u64;
        self.0.shared.reserve_room(bytes, bytes)?;
        Ok(Reservation { shared: Arc::clone(&self.0.shared), bytes })
    }

    /// Queues one without waiting for the disk. Lines have the order in which they were queued.
    pub async fn enqueue(&self, native: &[u8], recorded: Timestamp) -> Result<PendingAppend, AppendError> {
        check_length(native.len())?;
        let text = line::write(native, recorded);
        self.0.shared.check_room(text.len() as u64)?;
        self.enqueue_line(text, recorded).await
    }

    /// The same for one whose room is reserved.
    pub async fn enqueue_reserved(
        &self,
        native: &[u8],
        recorded: Timestamp,
        _room: &Reservation,
    ) -> Result<PendingAppend, AppendError> {
        self.0.shared.check_broken()?;
        self.enqueue_line(line::write(native, recorded), recorded).await
    }

    async fn enqueue_line(&self, text: Vec<u8>, recorded: Timestamp) -> Result<PendingAppend, AppendError> {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).min(QUEUED_BYTES);
        let room = Arc::clone(&self.0.shared.queue_room).acquire_many_owned(length).await;
        let room = room.map_err(|_| self.0.shared.broken())?;
        let (answer, written) = oneshot::channel();
        let Some(queue) = &self.0.queue else { return Err(self.0.shared.broken()) };
        let queued = Queued { text, answer, _room: room };
        queue.send(queued).await.map_err(|_| self.0.shared.broken())?;
        Ok(PendingAppend { written, recorded })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        self.0.shared.dir()
    }

    /// How it is, and how much waits.
    pub fn status(&self) -> JournalHealth {
        self.0.shared.status()
    }

    /// A reader that goes on behind what is published. What it marks is noted in the directory.
    pub fn read_on(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.0.shared), self.0.shared.taken())
    }

    /// Where it was published to, if it was and that is known.
    pub fn published_to(&self) -> Option<Destination> {
        self.0.shared.published_to()
    }

    /// A reader from the first line, whatever was published. What it marks is noted in the directory.
    pub fn read_again(&self) -> Result<JournalReader, JournalError> {
        let first = segment::first(self.0.shared.dir())?;
        Ok(JournalReader::new(Arc::clone(&self.0.shared), first))
    }

    /// A reader from the first line, for a ledger that has its place with its data. Nothing counts as waiting but what is
    /// appended from now on.
    pub fn read_from_start(&self) -> Result<JournalReader, JournalError> {
        let first = segment::first(self.0.shared.dir())?;
        self.0.shared.mark_all_taken();
        Ok(JournalReader::new(Arc::clone(&self.0.shared), first))
    }

    /// Reports why what waits does not go on; none: it does.
    pub fn set_blocked(&self, reason: Option<String>) {
        self.0.shared.set_blocked(reason);
    }

    /// Removes segments that were published as a whole, and have been for as long as they are kept.
    pub fn remove_old(&self, now: SystemTime) -> Result<usize, JournalError> {
        let shared = &self.0.shared;
        segment::remove_published(shared.dir(), shared.taken(), now, shared.options().keep)
    }
}

impl PendingAppend {
    /// Resolves when it is on disk.
    pub async fn wait(self) -> Result<Appended, AppendError> {
        match self.written.await {
            Ok(Ok(line)) => Ok(Appended { line, recorded: self.recorded }),
            Ok(Err(reason)) => Err(AppendError::Broken { reason }),
            Err(_) => Err(AppendError::Broken { reason: "its thread has ended".to_owned() }),
        }
    }
}

const fn check_length(native_bytes: usize) -> Result<(), AppendError> {
    if native_bytes > EVENT_MAX_BYTES { Err(AppendError::TooLong) } else { Ok(()) }
}

const LOCK: &str = "lock";

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    match lock_file(&path) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(JournalError::Locked { dir: dir.to_owned() }),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// The clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
