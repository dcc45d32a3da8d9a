//! Threads that end when they are asked to, and waiting for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long stopping may take when the caller sets no deadline.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// What a thread ended with; none if it still runs at the deadline.
pub(crate) fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> Option<thread::Result<T>> {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(thread.join())
}

/// Sleeps, but no longer than until it is to stop.
pub(crate) fn sleep_unless_stopped(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(20));
    }
}
