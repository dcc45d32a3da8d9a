//! The writer thread: everything that waits goes into one write and one fsync, and is answered after that.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ledger_store::with_causes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{debug, error, info};

use crate::journal::metric;
use crate::journal::segment::{self, Opened, Place};
use crate::journal::shared::Shared;
use crate::limits::{COMMIT_BYTES, REOPEN_INTERVAL, SEGMENT_AGE};

/// How long the thread waits for what still comes while the journal is broken.
const LOOK: Duration = Duration::from_millis(100);

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
        while let Some(first) = queued.blocking_recv() {
            let mut bytes = first.text.len();
            let mut group = vec![first];
            while bytes < COMMIT_BYTES
                && let Ok(next) = queued.try_recv()
            {
                bytes += next.text.len();
                group.push(next);
            }
            let Err(failed) = self.commit(&group) else {
                self.answer(group, None);
                continue;
            };
            let reason = failed.to_string();
            error!(
                error = reason,
                "the journal is broken: nothing more is taken before it can be opened again"
            );
            self.shared.break_for(&reason, true);
            // Nothing of it was answered. Where the disk refuses this as well, it is tried again.
            let _ = self.file.set_len(self.end.offset);
            self.answer(group, Some(&reason));
            if !self.is_mended(&mut queued, &reason) {
                return;
            }
            info!("the journal can be written again");
        }
    }

    /// Answers what still comes, and tries to go on, until that is possible; not: nobody can append any more.
    fn is_mended(&mut self, queued: &mut Receiver<Queued>, reason: &str) -> bool {
        loop {
            let tried = Instant::now();
            while tried.elapsed() < REOPEN_INTERVAL {
                match queued.try_recv() {
                    Ok(queued) => self.answer(vec![queued], Some(reason)),
                    Err(TryRecvError::Disconnected) => return false,
                    Err(TryRecvError::Empty) => thread::sleep(LOOK),
                }
            }
            match segment::reopen(self.shared.dir(), self.end, self.sync) {
                Ok(file) => {
                    self.file = file;
                    if self.shared.mend() {
                        return true;
                    }
                }
                Err(error) => debug!(error = with_causes(&error), "the journal cannot be opened again yet"),
            }
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
