//! The task of a subscription: catches up from the log, portion by portion on the reader threads, then takes what is new
//! from the ring.
//!
//! ```text
//!   catching up ──── every shard's place is covered by the ring ────► live
//!        ▲                                                             │
//!        └── shards changed, or the ring lost batches that it needs ───┘
//! ```
//!
//! A portion is made once the client took the one before, so a subscription holds two at most. What is not for this
//! subscription moves its places all the same; the client learns them with the next notice, or with a heartbeat.
//!
//! A live subscription is behind by what came since the mark that it goes for: the end of the ring when it had last
//! taken everything before. So a burst alone does not end it, but taking less than comes does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_store::{ReadError, ShardId, with_causes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout};

use super::end::DecisionsEnd;
use super::filter::DecisionFilter;
use super::hub::Seat;
use super::mark::{Fit, LogMark};
use super::metric;
use super::notices::{Gathering, Portion, PortionBounds};
use super::place::{DecisionCursor, Place, Rest};
use super::ring::{Followed, Mark, NoticeBatch, Ring};
use super::subscription::{DecisionItem, ShardChange, ShardState, Step};
use crate::ledger::ShardHandle;
use crate::limits::{CATCH_UP_NOTICES, CATCH_UP_RECORDS, CATCH_UP_TIME, STREAM_CHUNK_BYTES, STREAM_STALL};

/// Batches that are taken from the ring at a time.
const BATCHES_AT_A_TIME: usize = 64;

/// Of a portion for one subscription.
const BOUNDS: PortionBounds = PortionBounds {
    bytes: STREAM_CHUNK_BYTES,
    notices: CATCH_UP_NOTICES,
    records: CATCH_UP_RECORDS,
    time: CATCH_UP_TIME,
};

/// Where a subscription is.
#[derive(Debug, Clone, Copy)]
enum FeedMode {
    CatchingUp,
    Live {
        /// The number of the batch that comes next.
        next: u64,
        /// What it goes for.
        target: Mark,
    },
}

/// What to do next.
enum NextStep {
    Send(Vec<Step>),
    Take(Vec<Arc<NoticeBatch>>),
    Read(Arc<ShardId>, ShardHandle, Place),
    Compare(Arc<ShardId>, ShardHandle, LogMark),
    Wait,
    End(DecisionsEnd),
}

pub(super) struct Feed {
    seat: Seat,
    filter: Arc<DecisionFilter>,
    cursor: DecisionCursor,
    /// Places that the client does not know yet.
    unsent: BTreeMap<Arc<ShardId>, (Place, Option<LogMark>)>,
    /// Shards that are not compared with the cursor yet. None of them is read before.
    uncompared: BTreeSet<Arc<ShardId>>,
    mode: FeedMode,
    /// The shards as the client knows them; none before the first look. Those that do not read are named.
    shards: Option<BTreeMap<ShardId, ShardState>>,
    generation: u64,
    /// The shard that was read last: the next one has its turn.
    last_read: Option<Arc<ShardId>>,
}

impl Feed {
    pub(super) fn new(seat: Seat, cursor: DecisionCursor, filter: DecisionFilter) -> Self {
        Self {
            seat,
            filter: Arc::new(filter),
            cursor,
            unsent: BTreeMap::new(),
            uncompared: BTreeSet::new(),
            mode: FeedMode::CatchingUp,
            shards: None,
            generation: 0,
            last_read: None,
        }
    }

    pub(super) async fn run(mut self, queue: Sender<Vec<Step>>) {
        let mut changes = self.seat.0.changes();
        let every = self.seat.0.lock().bounds.heartbeat;
        let mut heartbeat = Instant::now() + every;
        loop {
            changes.mark_unchanged();
            // First: a batch that is taken from the ring stays in memory, and many wait.
            let turn = self.turn(heartbeat, &queue).await;
            if queue.is_closed() {
                return;
            }
            let steps = if heartbeat <= Instant::now() {
                heartbeat = Instant::now() + every;
                vec![Step::Item(DecisionItem::Heartbeat)]
            } else {
                match self.next() {
                    NextStep::Send(steps) => steps,
                    NextStep::Take(batches) => self.take(&batches),
                    NextStep::Read(id, handle, from) => match self.read(id, handle, from).await {
                        Some(steps) => steps,
                        // A panic, reported where it happened.
                        None => return,
                    },
                    NextStep::Compare(id, handle, mark) => match self.compare(&id, handle, mark).await {
                        Some(steps) => steps,
                        None => return,
                    },
                    NextStep::End(end) => vec![Step::Item(DecisionItem::End(end))],
                    NextStep::Wait => {
                        drop(turn);
                        tokio::select! {
                            _ = changes.changed() => {}
                            () = tokio::time::sleep_until(heartbeat) => {}
                            () = queue.closed() => return,
                        }
                        continue;
                    }
                }
            };
            if self.send(steps, turn, &queue).await.is_break() {
                return;
            }
        }
    }

    /// Waits for its turn; none: a heartbeat is due, the client is gone, or the server stops.
    async fn turn(&self, heartbeat: Instant, queue: &Sender<Vec<Step>>) -> Option<OwnedSemaphorePermit> {
        let hub = &self.seat.0;
        let turns = match self.mode {
            FeedMode::CatchingUp => &hub.catching_up,
            FeedMode::Live { .. } => &hub.live,
        };
        tokio::select! {
            turn = turns.wait() => turn,
            () = tokio::time::sleep_until(heartbeat) => None,
            () = queue.closed() => None,
        }
    }

    /// Sends, with the places that were reached; who waits for its client keeps no turn. Break: it is over.
    async fn send(
        &mut self,
        mut steps: Vec<Step>,
        turn: Option<OwnedSemaphorePermit>,
        queue: &Sender<Vec<Step>>,
    ) -> ControlFlow<()> {
        if steps.is_empty() {
            // What is filtered out takes no turn of the queue, but the others have theirs.
            drop(turn);
            tokio::task::yield_now().await;
            return if queue.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        let is_end = matches!(steps.last(), Some(Step::Item(DecisionItem::End(_))));
        let reached = std::mem::take(&mut self.unsent)
            .into_iter()
            .map(|(id, (place, mark))| Step::Reached(id, place, mark));
        // A notice sets its own place; an item is reported with all that was reached before it.
        let at = if matches!(steps.first(), Some(Step::Item(_))) { 0 } else { steps.len() };
        steps.splice(at..at, reached);
        let is_sent = match queue.try_send(steps) {
            Ok(()) => {
                // The others of this turn come before the next ones, and what they hand over is sent.
                tokio::task::yield_now().await;
                true
            }
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(steps)) => {
                drop(turn);
                matches!(timeout(STREAM_STALL, queue.send(steps)).await, Ok(Ok(())))
            }
        };
        if is_end || !is_sent { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn next(&mut self) -> NextStep {
        let hub = Arc::clone(&self.seat.0);
        let ring = hub.lock();
        if ring.is_closed {
            return NextStep::End(DecisionsEnd::Stopping);
        }
        if self.shards.is_none() || ring.generation != self.generation {
            let steps = self.look_at_shards(&ring);
            self.mode = FeedMode::CatchingUp;
            return NextStep::Send(steps);
        }
        if let Some(next) = self.next_to_compare(&ring) {
            return next;
        }
        let FeedMode::Live { next, target } = self.mode else { return self.next_to_read(&ring) };
        let target = if next < target.batch { target } else { ring.mark() };
        self.mode = FeedMode::Live { next, target };
        if let Some((notices, bytes)) = ring.behind(target, &self.filter) {
            metric::ended_slow();
            return NextStep::End(DecisionsEnd::SlowConsumer { notices, bytes });
        }
        let Some(batches) = ring.from(next) else {
            // Its turn is one of the live ones, who wait for no disk.
            self.mode = FeedMode::CatchingUp;
            return NextStep::Send(Vec::new());
        };
        let batches: Vec<_> = batches.take(BATCHES_AT_A_TIME).cloned().collect();
        if batches.is_empty() { NextStep::Wait } else { NextStep::Take(batches) }
    }

    /// The shard to read next; none: the subscription is live from now on.
    fn next_to_read(&mut self, ring: &Ring) -> NextStep {
        let uncovered: Vec<&Followed> = ring
            .followed
            .values()
            .filter(|followed| self.reads(&followed.id))
            .filter(|followed| self.place(&followed.id).is_none_or(|place| *place < followed.covered_from))
            .collect();
        let after_last = uncovered.iter().find(|followed| Some(&followed.id) > self.last_read.as_ref());
        if let Some(followed) = after_last.or(uncovered.first()) {
            self.last_read = Some(Arc::clone(&followed.id));
            let from = self.place(&followed.id).cloned().unwrap_or_else(|| followed.appeared.0.clone());
            return NextStep::Read(Arc::clone(&followed.id), followed.handle.clone(), from);
        }
        self.mode = FeedMode::Live { next: ring.first(), target: ring.mark() };
        let batches: Vec<_> =
            ring.from(ring.first()).into_iter().flatten().take(BATCHES_AT_A_TIME).cloned().collect();
        if batches.is_empty() { NextStep::Wait } else { NextStep::Take(batches) }
    }

    /// A shard that has come as far as the cursor knows it.
    fn next_to_compare(&self, ring: &Ring) -> Option<NextStep> {
        self.uncompared.iter().find_map(|id| {
            let followed = ring.followed.get(id.as_ref())?;
            let mark = self.cursor.marks.get(id.as_ref())?;
            let is_due = self.is_assigned(id) && followed.handle.reader.next_position() >= mark.size;
            is_due.then(|| NextStep::Compare(Arc::clone(id), followed.handle.clone(), *mark))
        })
    }

    fn place(&self, shard: &ShardId) -> Option<&Place> {
        self.cursor.places.get(shard)
    }

    /// Whether the shard is here, reads, and is the one that the cursor means.
    fn reads(&self, shard: &ShardId) -> bool {
        self.is_assigned(shard) && !self.uncompared.contains(shard)
    }

    fn is_assigned(&self, shard: &ShardId) -> bool {
        self.shards.as_ref().and_then(|shards| shards.get(shard)) == Some(&ShardState::Assigned)
    }

    /// Takes up the shards that came, and reports what the client does not know.
    fn look_at_shards(&mut self, ring: &Ring) -> Vec<Step> {
        self.generation = ring.generation;
        let is_first = self.shards.is_none();
        let mut known = self.shards.take().unwrap_or_default();
        let mut steps = Vec::new();
        for (id, followed) in &ring.followed {
            if self.place(id).is_none() {
                let (place, mark) = match self.cursor.rest {
                    Rest::Begin => (Place::start(0), None),
                    Rest::Now => followed.appeared.clone(),
                };
                self.reach(&followed.id, place, mark);
            }
            if !known.contains_key(id) && self.cursor.marks.contains_key(id) {
                self.uncompared.insert(Arc::clone(&followed.id));
            }
            let state = if followed.unread.is_some() { ShardState::Unread } else { ShardState::Assigned };
            let before = known.insert(id.clone(), state);
            if before != Some(state) && !(is_first && state == ShardState::Assigned) {
                let detail = followed.unread.as_ref().map(|(detail, _)| detail.clone());
                steps.push(changed(id, state, detail));
            }
        }
        let here: BTreeSet<&ShardId> = ring.followed.keys().collect();
        for (id, _) in known.extract_if(.., |id, _| !here.contains(id)) {
            steps.push(changed(&id, ShardState::Released, None));
        }
        self.shards = Some(known);
        steps
    }

    fn reach(&mut self, shard: &Arc<ShardId>, place: Place, mark: Option<LogMark>) {
        self.cursor.set(shard, place.clone(), mark);
        // A mark that its client does not know yet stays.
        let unsent = self.unsent.remove(shard).and_then(|(_, mark)| mark);
        self.unsent.insert(Arc::clone(shard), (place, mark.or(unsent)));
    }

    /// What of these batches is for this subscription, until a portion is full.
    fn take(&mut self, batches: &[Arc<NoticeBatch>]) -> Vec<Step> {
        let (filter, mut steps, mut bytes) = (Arc::clone(&self.filter), Vec::new(), 0);
        for batch in batches {
            let FeedMode::Live { next, target } = self.mode else { break };
            match self.place(&batch.shard).cloned() {
                // What it is none of, it has.
                Some(place) if place < batch.next && self.reads(&batch.shard) => {
                    if place < batch.first {
                        // A shard that was away: its batches begin anew.
                        self.mode = FeedMode::CatchingUp;
                        break;
                    }
                    for notice in batch.passing(&filter, &place) {
                        if bytes >= STREAM_CHUNK_BYTES {
                            let reached = notice.place.clone();
                            self.reach(&batch.shard, reached, None);
                            return steps;
                        }
                        bytes += notice.bytes();
                        steps.push(Step::Notice(Arc::clone(&batch.shard), notice.clone()));
                    }
                    self.reach(&batch.shard, batch.next.clone(), batch.mark);
                }
                _ => {}
            }
            self.mode = FeedMode::Live { next: next + 1, target };
        }
        steps
    }

    /// A portion out of the log. A shard that does not read is reported, and the others go on (I-9).
    async fn read(&mut self, id: Arc<ShardId>, handle: ShardHandle, from: Place) -> Option<Vec<Step>> {
        let (hub, filter) = (Arc::clone(&self.seat.0), Arc::clone(&self.filter));
        let reading = move || -> Result<Portion, ReadError> {
            // Read first: what is in the snapshot may be more than is durable.
            let end = handle.reader.next_position();
            let gathering = Gathering::new(&handle.id, &filter, BOUNDS, from);
            gathering.shared(&hub.reads, &handle.reader.snapshot(), end)
        };
        match self.seat.0.readers.read(reading).await? {
            Ok(Portion { notices, next, mark, .. }) => {
                let steps = notices.into_iter().map(|notice| Step::Notice(Arc::clone(&id), notice)).collect();
                self.reach(&id, next, mark);
                Some(steps)
            }
            Err(error) => Some(vec![self.unread(&id, &error)]),
        }
    }

    /// Whether a shard is the one that the cursor means. What came of it meanwhile is read from the log.
    async fn compare(&mut self, id: &Arc<ShardId>, handle: ShardHandle, mark: LogMark) -> Option<Vec<Step>> {
        match self.seat.0.readers.read(move || mark.fit(&handle.reader)).await? {
            Ok(Fit::Same) => {
                self.uncompared.remove(id);
                self.mode = FeedMode::CatchingUp;
                Some(Vec::new())
            }
            Ok(Fit::Other) => {
                let end = DecisionsEnd::OtherLedger { shard: ShardId::clone(id) };
                Some(vec![Step::Item(DecisionItem::End(end))])
            }
            // It is not due before.
            Ok(Fit::Ahead) => Some(Vec::new()),
            Err(error) => Some(vec![self.unread(id, &error)]),
        }
    }

    fn unread(&mut self, id: &ShardId, error: &ReadError) -> Step {
        let error = with_causes(error);
        tracing::error!(shard = %id, error, "decisions of this shard are not read for a subscription");
        if let Some(shards) = &mut self.shards {
            shards.insert(id.clone(), ShardState::Unread);
        }
        changed(id, ShardState::Unread, Some(error))
    }
}

fn changed(ShardId { topic, partition }: &ShardId, state: ShardState, detail: Option<String>) -> Step {
    let change = ShardChange { topic: topic.clone(), partition: *partition, state, detail };
    Step::Item(DecisionItem::Shard(change))
}
