//! What all subscriptions share: the ring and its tail, the threads that read the log for those that catch up, and the
//! signal that there is something new.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::end::DecisionsEnd;
use super::filter::DecisionFilter;
use super::metric;
use super::place::{DecisionCursor, DecisionsFrom};
use super::ring::{NoticeBatch, Ring};
use super::shared_reads::SharedReads;
use super::subscription::Subscription;
use super::tail;
use crate::ledger::Ledger;
use crate::limits::{PORTIONS_AT_A_TIME, STREAM_READS_AT_A_TIME, SubscriptionBounds};
use crate::readers::ReaderThreads;

/// The source of decisions for all doors. A copy is the same source.
#[derive(Debug, Clone)]
pub struct Decisions(Arc<Hub>);

#[derive(Debug)]
pub(super) struct Hub {
    ledger: Arc<Ledger>,
    pub(super) readers: ReaderThreads,
    pub(super) reads: SharedReads,
    pub(super) catching_up: Turns,
    pub(super) live: Turns,
    ring: Mutex<Ring>,
    /// Counts what is new.
    changes: watch::Sender<u64>,
}

/// Whose turn it is to make a portion. Those that catch up wait for the disk, so live ones have turns of their own.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PORTIONS_AT_A_TIME)))
    }
}

impl Turns {
    /// Leave to make a portion, until it is handed over; none: the server stops.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// A subscription's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(pub(super) Arc<Hub>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut ring = self.0.lock();
        ring.subscriptions -= 1;
        metric::set_subscriptions(ring.subscriptions);
    }
}

impl Decisions {
    /// Of the shards of this ledger, with threads of its own.
    pub fn of(ledger: Arc<Ledger>, bounds: SubscriptionBounds) -> Self {
        Self::new(ledger, ReaderThreads::start("stream", STREAM_READS_AT_A_TIME), bounds)
    }

    /// The same; what is not in memory is read on these threads.
    pub(crate) fn new(ledger: Arc<Ledger>, readers: ReaderThreads, bounds: SubscriptionBounds) -> Self {
        metric::set_subscriptions(0);
        let ring = Mutex::new(Ring::new(bounds));
        let (catching_up, live) = (Turns::default(), Turns::default());
        let (reads, changes) = (SharedReads::default(), watch::Sender::new(0));
        Self(Arc::new(Hub { ledger, readers, reads, catching_up, live, ring, changes }))
    }

    /// Begins a subscription. It runs on the runtime of the caller until it is dropped, or ends.
    pub async fn subscribe(
        &self,
        from: DecisionsFrom,
        filter: DecisionFilter,
    ) -> Result<Subscription, DecisionsEnd> {
        let hub = &self.0;
        let cursor = hub.begin(from).await?;
        let shards = hub.ledger.assigned_shards();
        let mut ring = hub.lock();
        ring.follow(shards);
        if ring.is_closed {
            return Err(DecisionsEnd::Stopping);
        }
        if ring.subscriptions >= ring.bounds.most {
            return Err(DecisionsEnd::TooMany { most: ring.bounds.most });
        }
        ring.subscriptions += 1;
        metric::set_subscriptions(ring.subscriptions);
        let starts_tail = !std::mem::replace(&mut ring.has_tail, true);
        drop(ring);
        let seat = Seat(Arc::clone(hub));
        if starts_tail {
            let weak = Arc::downgrade(hub);
            let thread = thread::Builder::new().name("decisions".to_owned()).spawn(move || tail::run(&weak));
            if let Err(error) = thread {
                tracing::error!(%error, "the thread that reads decisions cannot be started");
                hub.lock().has_tail = false;
                return Err(DecisionsEnd::NoThread);
            }
        }
        Ok(Subscription::start(seat, cursor, filter))
    }

    /// How many can be open.
    pub(crate) fn most(&self) -> usize {
        self.0.lock().bounds.most
    }

    /// Ends every subscription: the server stops.
    pub fn close(&self) {
        self.0.lock().is_closed = true;
        self.0.catching_up.0.close();
        self.0.live.0.close();
        self.0.wake();
    }
}

impl Hub {
    /// Where to begin. A cursor of another ledger is refused at once where that shows; what is not here yet is compared
    /// when it comes.
    async fn begin(&self, from: DecisionsFrom) -> Result<DecisionCursor, DecisionsEnd> {
        let here = self.ledger.shards_here();
        let reading = move || from.cursor(&here);
        self.readers.read(reading).await.ok_or(DecisionsEnd::NoThread)?
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn wake(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows the shards that are this process's now. One that does not read is tried again after a while.
    pub(super) fn follow_shards(&self) {
        let shards = self.ledger.assigned_shards();
        let mut ring = self.lock();
        ring.follow(shards);
        let now = Instant::now();
        for followed in ring.followed.values_mut() {
            followed.unread.take_if(|(_, until)| *until <= now);
        }
        let unread = ring.followed.values().filter(|followed| followed.unread.is_some()).count();
        if unread != ring.unread {
            (ring.unread, ring.generation) = (unread, ring.generation + 1);
        }
    }

    pub(super) fn push(&self, batch: NoticeBatch) {
        self.lock().push(batch);
    }

    /// Whether there is no subscription left to read for.
    pub(super) fn ends_tail(&self) -> bool {
        let mut ring = self.lock();
        let ends = ring.subscriptions == 0;
        if ends {
            ring.clear();
            self.reads.clear();
            ring.has_tail = false;
        }
        ends
    }
}
