//! The writer thread: everything that waits goes into one write and one fsync, and is answered after that.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::error;

use crate::journal::metric;
use crate::journal::segment::{self, Opened, Place};
use crate::journal::shared::Shared;
use crate::limits::{COMMIT_BYTES, SEGMENT_AGE};

/// Makes what was written durable.
pub(super) type SyncFile = fn(&File) -> io::Result<()>;

/// A line that waits for the disk.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) text: Vec<u8>,
    /// The number of the line, or why it was not written.
    pub(super) answer: oneshot::Sender<Result<u64, String>>,
    /// Its bytes of the queue.
    pub(super) _room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: File,
    end: Place,
    /// When this process began the segment, or found it.
    began: Instant,
    sync: SyncFile,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, opened: Opened, sync: SyncFile) -> Self {
        Self { shared, file: opened.file, end: opened.end, began: Instant::now(), sync }
    }

    /// Until nobody can append any more.
    pub(super) fn run(mut self, mut queued: Receiver<Queued>) {
        let mut broken = None;
        while let Some(first) = queued.blocking_recv() {
            let mut bytes = first.text.len();
            let mut group = vec![first];
            while bytes < COMMIT_BYTES
                && let Ok(next) = queued.try_recv()
            {
                bytes += next.text.len();
                group.push(next);
            }
            if broken.is_none()
                && let Err(failed) = self.commit(&group)
            {
                let reason = failed.to_string();
                error!(
                    error = reason,
                    "the journal is broken: nothing more is taken before it is opened anew"
                );
                self.shared.break_for(&reason);
                // Nothing of it was answered. Where the disk refuses this as well, opening the journal looks again.
                let _ = self.file.set_len(self.end.offset);
                broken = Some(reason);
            }
            self.answer(group, broken.as_deref());
        }
    }

    fn commit(&mut self, group: &[Queued]) -> io::Result<()> {
        let began = Instant::now();
        let is_large = self.end.offset >= self.shared.options().segment_bytes;
        if is_large || (self.end.offset > 0 && self.began.elapsed() >= SEGMENT_AGE) {
            self.file = segment::create(self.shared.dir(), self.end.line)?;
            (self.end, self.began) = (Place::start_of(self.end.line), Instant::now());
        }
        let text: Vec<u8> = group.iter().flat_map(|queued| &queued.text).copied().collect();
        self.file.write_all(&text)?;
        (self.sync)(&self.file)?;
        metric::committed(group.len(), began.elapsed());
        Ok(())
    }

    /// Answers in the order of the lines.
    fn answer(&mut self, group: Vec<Queued>, broken: Option<&str>) {
        let (mut bytes, mut answers) = (0, Vec::with_capacity(group.len()));
        for Queued { text, answer, _room } in group {
            let line = self.end.line;
            if broken.is_none() {
                bytes += text.len() as u64;
                self.end = self.end.behind(text.len() as u64);
            }
            answers.push((answer, broken.map_or(Ok(line), |reason| Err(reason.to_owned()))));
        }
        if broken.is_none() {
            self.shared.written(self.end, bytes);
        }
        for (answer, result) in answers {
            // A caller that went away has no use for it.
            let _ = answer.send(result);
        }
    }
}
