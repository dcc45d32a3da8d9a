//! Work that a thread of its own does again and again until it is stopped.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::error;

/// Work that is repeated until it is stopped.
#[derive(Debug)]
pub(crate) struct Background {
    name: &'static str,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Waits, does the work, and waits again for as long as the work returns.
    pub(crate) fn start(
        name: &'static str,
        first_wait: Duration,
        mut work: impl FnMut() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let repeat = move || {
            let mut wait = first_wait;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = work();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(repeat)?;
        Ok(Self { name, stop, thread })
    }

    /// Whether the thread ended by itself, which it never should.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends with the work that is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            error!(thread = self.name, "a background thread panicked: a fault of this program, report it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_repeated_until_it_is_stopped() {
        let (done, reported) = mpsc::channel();
        let work = move || {
            // The receiver is gone after the test.
            let _ = done.send(());
            Duration::from_millis(1)
        };
        let background = Background::start("often", Duration::from_millis(1), work).unwrap();
        for _ in 0..3 {
            reported.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert!(!background.is_finished());
        background.stop();
    }
}
