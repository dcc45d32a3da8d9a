//! The thread that reads the end of every shard's log, once for all live subscriptions, into the [`ring`](super::ring).
//!
//! It runs while there is a subscription. Right behind the writer, records come from memory ([`Reader::take_recent`]). It
//! goes up to what is synced and no further (I-7).
//!
//! [`Reader::take_recent`]: ledger_store::Reader::take_recent

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ledger_store::{Follower, ReadError, ShardId, with_causes};

use super::filter::DecisionFilter;
use super::hub::Hub;
use super::notices::{Gathering, PortionBounds};
use super::place::Place;
use super::ring::{Mark, NoticeBatch};
use crate::ledger::ShardHandle;
use crate::limits::{TAIL_BYTES, TAIL_IDLE, TAIL_NOTICES, TAIL_REST};

const BOUNDS: PortionBounds =
    PortionBounds { bytes: TAIL_BYTES, notices: TAIL_NOTICES, records: usize::MAX, time: Duration::MAX };

/// Runs until the last subscription has ended.
pub(super) fn run(hub: &Weak<Hub>) {
    loop {
        let Some(hub) = hub.upgrade() else { return };
        if hub.ends_tail() {
            return;
        }
        // A panic, reported where it happened, must not leave the subscriptions without a tail.
        let _ = catch_unwind(AssertUnwindSafe(|| hub.read_tail()));
        drop(hub);
        // Also after a round that read something: subscriptions are woken for many notices, not for each.
        thread::sleep(TAIL_IDLE);
    }
}

impl Hub {
    /// Reads every shard to its end.
    pub(super) fn read_tail(&self) {
        let before = self.state();
        self.follow_shards();
        for (id, handle, from) in self.due() {
            if let Err(error) = self.read_shard(&id, &handle, from) {
                self.note_unread(&id, &error);
            }
        }
        if self.state() != before {
            self.wake();
        }
    }

    /// What subscriptions look at.
    fn state(&self) -> (Mark, u64) {
        let ring = self.lock();
        (ring.mark(), ring.generation)
    }

    /// The shards that have something new, and where to go on.
    fn due(&self) -> Vec<(Arc<ShardId>, ShardHandle, Place)> {
        let ring = self.lock();
        let due = ring.followed.values().filter(|followed| {
            followed.unread.is_none() && followed.next.position < followed.handle.reader.next_position()
        });
        due.map(|followed| (Arc::clone(&followed.id), followed.handle.clone(), followed.next.clone()))
            .collect()
    }

    fn read_shard(&self, id: &Arc<ShardId>, handle: &ShardHandle, mut from: Place) -> Result<(), ReadError> {
        let everything = DecisionFilter::default();
        let end = handle.reader.next_position();
        let (most, mut unseen) = (self.lock().bounds.kept_notices / 2, 0);
        while from.position < end {
            let recent = handle.reader.take_recent(Follower::Subscriptions, from.position);
            // Taken after: what is in memory is in the snapshot.
            let snapshot = handle.reader.snapshot();
            loop {
                let gathering = Gathering::new(id, &everything, BOUNDS, from.clone());
                let portion = match &recent {
                    Some(recent) => gathering.recent(&snapshot, recent.records_from(from.position))?,
                    None => gathering.log(&snapshot, end)?,
                };
                if portion.next == from {
                    break;
                }
                unseen += portion.notices.len();
                let first = std::mem::replace(&mut from, portion.next.clone());
                self.push(NoticeBatch::new(Arc::clone(id), first, portion));
                if unseen > most {
                    // A batch of the writer can be more than the ring keeps: live subscriptions take it part by part.
                    self.wake();
                    thread::sleep(TAIL_IDLE);
                    unseen = 0;
                }
                if recent.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// One that does not read is left alone for a moment; the others go on (I-9).
    fn note_unread(&self, id: &ShardId, error: &ReadError) {
        let error = with_causes(error);
        tracing::error!(shard = %id, error, "decisions of this shard are not read, trying again");
        let mut ring = self.lock();
        if let Some(followed) = ring.followed.get_mut(id) {
            followed.unread = Some((error, Instant::now() + TAIL_REST));
        }
    }
}
