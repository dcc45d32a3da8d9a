//! Work on many shards at a time.

use std::sync::{Mutex, PoisonError};
use std::thread;

use ledger_store::ShardId;

/// Does something for each shard on threads of their own: opening one may wait for its write-ahead log or for whoever
/// keeps it open, and a rebalance that opens many has to end before the group gives this member up.
pub(super) fn side_by_side<T: Send>(
    ids: Vec<ShardId>,
    work: impl Fn(&ShardId) -> T + Sync,
) -> Vec<(ShardId, T)> {
    const AT_A_TIME: usize = 16;
    let (left, done) = (Mutex::new(ids.into_iter()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(id) = next() {
                    let result = work(&id);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((id, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|(one, _), (other, _)| one.cmp(other));
    done
}
