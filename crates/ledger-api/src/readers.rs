//! Threads that read chunks of streams, and others that make pages. They are few, as the memory that a thread keeps is worth
//! many chunks, and some pages: the pool of the runtime makes another one whenever none is idle at that moment, so that 200
//! streams took a hundred.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, until the last copy of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct ReaderThreads(Sender<Job>);

impl ReaderThreads {
    pub(crate) fn start(name: &str, threads: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(move || work(&queue)) {
                tracing::warn!(%error, name, "a thread that reads cannot be started");
            }
        }
        Self(jobs)
    }

    /// Reads on one of the threads, once it is free; none: it panicked.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // The client may be gone.
            let _ = done.send(read());
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // Reported where it happened; the thread is for the others as well.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_ends_alone() {
        let readers = ReaderThreads::start("test", 4);
        for _ in 0..8 {
            assert_eq!(readers.read(|| -> u32 { panic!("on purpose") }).await, None);
        }
        assert_eq!(readers.read(|| 7).await, Some(7));
    }
}
