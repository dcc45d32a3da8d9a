//! What the writer thread, the reader and those who append know of each other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger_api::http::JournalHealth;
use tokio::sync::Semaphore;

use crate::journal::segment::{self, Destination, Opened, Place, Published};
use crate::journal::{AppendError, JournalOptions, line, metric};
use crate::limits::QUEUED_BYTES;

#[derive(Debug)]
pub(super) struct Shared {
    dir: PathBuf,
    options: JournalOptions,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes that may still be queued.
    pub(super) queue_room: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    /// Behind the last line that is on disk.
    end: Place,
    /// Behind the last line that the reader has marked.
    taken: Place,
    waiting_bytes: u64,
    /// Bytes that are promised to events whose calls are under way.
    reserved_bytes: u64,
    /// An event was refused for want of room, and nothing went on since.
    is_full: bool,
    broken: Option<String>,
    /// What is wrong is not the disk.
    is_broken_for_good: bool,
    /// How often it was mended.
    mended: u64,
    blocked: Option<String>,
    published_to: Option<Destination>,
}

impl Shared {
    pub(super) fn new(dir: &Path, options: JournalOptions, opened: &Opened) -> Self {
        let Opened { end, taken, waiting_bytes, .. } = *opened;
        let published_to = opened.published_to.clone();
        let state = State {
            end,
            taken,
            waiting_bytes,
            reserved_bytes: 0,
            is_full: false,
            broken: None,
            is_broken_for_good: false,
            mended: 0,
            blocked: None,
            published_to,
        };
        let queue_room = Arc::new(Semaphore::new(QUEUED_BYTES as usize));
        metric::waiting(end.line - taken.line, waiting_bytes);
        metric::broken(false);
        metric::opened(options.max_bytes);
        Self { dir: dir.to_owned(), options, state: Mutex::new(state), changed: Condvar::new(), queue_room }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn options(&self) -> JournalOptions {
        self.options
    }

    pub(super) fn end(&self) -> Place {
        self.state().end
    }

    /// How often something was cut off that a reader may have read ahead.
    pub(super) fn mended(&self) -> u64 {
        self.state().mended
    }

    pub(super) fn taken(&self) -> Place {
        self.state().taken
    }

    /// Whether so many bytes more may wait.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), AppendError> {
        self.reserve_room(bytes, 0)
    }

    /// The same, and promises some of it.
    pub(super) fn reserve_room(&self, bytes: u64, reserved: u64) -> Result<(), AppendError> {
        let mut state = self.state();
        if let Some(reason) = &state.broken {
            return Err(AppendError::Broken { reason: reason.clone() });
        }
        let queued = u64::from(QUEUED_BYTES).saturating_sub(self.queue_room.available_permits() as u64);
        let waiting_bytes = state.waiting_bytes + state.reserved_bytes + queued;
        let max_bytes = self.options.max_bytes;
        if waiting_bytes + bytes > max_bytes {
            state.is_full = true;
            return Err(AppendError::Full { waiting_bytes, max_bytes });
        }
        state.reserved_bytes += reserved;
        Ok(())
    }

    pub(super) fn give_back(&self, reserved: u64) {
        let mut state = self.state();
        state.reserved_bytes = state.reserved_bytes.saturating_sub(reserved);
    }

    /// Whether it is broken, whatever room there is.
    pub(super) fn check_broken(&self) -> Result<(), AppendError> {
        match &self.state().broken {
            Some(reason) => Err(AppendError::Broken { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn broken(&self) -> AppendError {
        let reason = self.state().broken.clone();
        AppendError::Broken { reason: reason.unwrap_or_else(|| "its thread has ended".to_owned()) }
    }

    /// The writer thread has so many bytes more on disk.
    pub(super) fn written(&self, end: Place, bytes: u64) {
        let mut state = self.state();
        state.end = end;
        state.waiting_bytes += bytes;
        metric::waiting(end.line - state.taken.line, state.waiting_bytes);
        self.changed.notify_all();
    }

    /// Nothing more is taken, for good unless the disk may be mended.
    pub(super) fn break_for(&self, reason: &str, can_be_mended: bool) {
        metric::broken(true);
        let mut state = self.state();
        state.broken.get_or_insert_with(|| reason.to_owned());
        state.is_broken_for_good |= !can_be_mended;
        drop(state);
        self.changed.notify_all();
    }

    /// It can be written again. Answers whether that is all that was wrong.
    pub(super) fn mend(&self) -> bool {
        let mut state = self.state();
        if !state.is_broken_for_good {
            state.broken = None;
            state.mended += 1;
            metric::broken(false);
        }
        !state.is_broken_for_good
    }

    /// The reader has so many bytes more behind it.
    pub(super) fn mark_taken(&self, taken: Place, bytes: u64) {
        let mut state = self.state();
        // What the reader of a ledger reads again was counted as taken when it began.
        if taken.line > state.taken.line {
            (state.taken, state.is_full) = (taken, false);
            state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
            metric::waiting(state.end.line - taken.line, state.waiting_bytes);
        }
    }

    pub(super) fn published_to(&self) -> Option<Destination> {
        self.state().published_to.clone()
    }

    pub(super) fn set_published_to(&self, to: Destination) {
        self.state().published_to = Some(to);
    }

    pub(super) fn note_published(&self, place: Place) -> std::io::Result<()> {
        segment::write_published(&self.dir, &Published { place, to: self.published_to() })
    }

    pub(super) fn mark_all_taken(&self) {
        let mut state = self.state();
        (state.taken, state.is_full) = (state.end, false);
        state.waiting_bytes = 0;
        metric::waiting(0, 0);
    }

    pub(super) fn set_blocked(&self, reason: Option<String>) {
        self.state().blocked = reason;
    }

    /// Waits until there is a line at `place`, or the time is over. Answers whether there is.
    pub(super) fn wait_for(&self, place: Place, time: Duration) -> bool {
        let is_missing = |state: &mut State| state.end.line <= place.line;
        let waited = self.changed.wait_timeout_while(self.state(), time, is_missing);
        waited.unwrap_or_else(PoisonError::into_inner).0.end.line > place.line
    }

    pub(super) fn status(&self) -> JournalHealth {
        let (status, taken) = {
            let State { end, taken, waiting_bytes, is_full, broken, blocked, .. } = &*self.state();
            let status = JournalHealth {
                lines: end.line - 1,
                waiting_events: end.line - taken.line,
                waiting_bytes: *waiting_bytes,
                max_bytes: self.options.max_bytes,
                oldest: None,
                broken: broken.clone(),
                blocked: blocked.clone(),
                full: *is_full,
            };
            (status, *taken)
        };
        if status.waiting_events == 0 {
            return status;
        }
        // The first that waits may begin the next segment.
        let head = segment::read_head(&self.dir, taken);
        let head = head.or_else(|_| segment::read_head(&self.dir, Place::start_of(taken.line)));
        JournalHealth { oldest: head.ok().and_then(|head| line::recorded(&head)), ..status }
    }
}
