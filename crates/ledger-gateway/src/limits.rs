//! What the gateway uses at most.

use std::time::Duration;

/// A segment of the journal that has so many bytes is followed by a new one.
pub(crate) const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// So is one that is as old: what is kept for some days must end some day, however little comes.
pub(crate) const SEGMENT_AGE: Duration = Duration::from_hours(24);

/// Lines that wait for the writer thread; more senders wait for a place.
pub(crate) const QUEUED_LINES: usize = 4_096;

/// Bytes of those lines.
pub(crate) const QUEUED_BYTES: u32 = 32 * 1024 * 1024;

/// Bytes of one group commit, but for its last line.
pub(crate) const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// The longest line that is read: an event has at most 1 MiB, and its line little more.
pub(crate) const LINE_BYTES: u64 = 8 * 1024 * 1024;

/// Lines that a reader takes before it notes how far it came.
pub(crate) const LINES_AT_ONCE: usize = 1_000;
