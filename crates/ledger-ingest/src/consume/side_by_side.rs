//! Work on many shards at a time.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does each job on one of a few threads, and returns the results in the order of the jobs. Opening a shard may wait for
/// its write-ahead log, or for a process that keeps it open.
pub(super) fn side_by_side<J: Send, T: Send>(jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
    const AT_A_TIME: usize = 16;
    let threads = AT_A_TIME.min(jobs.len());
    let (left, done) = (Mutex::new(jobs.into_iter().enumerate()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, job)) = next() {
                    let result = work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
