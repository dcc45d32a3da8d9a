//! Threads that end when they are asked to, and waiting for them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::error;

/// How long stopping may take when the caller sets no deadline.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// A thread that looks now and then whether it is to stop.
#[derive(Debug)]
pub struct StoppableThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// What is logged if it panicked.
    on_panic: &'static str,
}

impl StoppableThread {
    /// Starts it. `work` returns soon after its flag is set; `on_panic` is logged if it panics.
    pub fn start(
        name: &str,
        on_panic: &'static str,
        work: impl FnOnce(Arc<AtomicBool>) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let to_stop = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(to_stop))?;
        Ok(Self { stop, thread, on_panic })
    }

    /// Whether it has ended by itself.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks it to end, and waits for that until the deadline. Returns whether it did.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.stop.store(true, Ordering::Release);
        let Some(ended) = join_until(self.thread, deadline) else { return false };
        if ended.is_err() {
            error!("{}", self.on_panic);
        }
        true
    }
}

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
pub fn sleep_unless_stopped(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(20));
    }
}
