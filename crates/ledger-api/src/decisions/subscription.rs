//! One subscription: a task that makes portions ([`feed`](super::feed)), and the stream that its client takes them from.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use ledger_store::ShardId;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::end::DecisionsEnd;
use super::feed::Feed;
use super::filter::DecisionFilter;
use super::hub::Seat;
use super::mark::LogMark;
use super::notices::Notice;
use super::place::{DecisionCursor, Place};
use crate::access::HeldPlace;

/// What a subscription reports, one after the other. [`Subscription::cursor`] covers it once it was taken.
#[derive(Debug, Clone)]
pub enum DecisionItem {
    /// A decision or a correction.
    Notice(Notice),
    /// The subscription is alive, and this far.
    Heartbeat,
    /// A shard came, went away, or does not read.
    Shard(ShardChange),
    /// Nothing more comes.
    End(DecisionsEnd),
}

/// A shard of the process that came, went away, or does not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardChange {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// What happened.
    pub state: ShardState,
    /// Why it does not read.
    pub detail: Option<String>,
}

ledger_core::words! {
    /// What happened to a shard of the process.
    pub enum ShardState {
        /// It was assigned to this process: its notices follow, from where the cursor was.
        Assigned = "ASSIGNED",
        /// It was released: its notices come from another process now.
        Released = "RELEASED",
        /// What it has does not read; it is tried again.
        Unread = "UNREAD",
    }
}

/// What the task hands to the stream.
#[derive(Debug)]
pub(super) enum Step {
    Item(DecisionItem),
    Notice(Arc<ShardId>, Notice),
    /// There is nothing for this subscription before this place.
    Reached(Arc<ShardId>, Place, Option<LogMark>),
}

/// A subscription to decisions; it ends when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    steps: mpsc::Receiver<Vec<Step>>,
    taken: VecDeque<Step>,
    cursor: DecisionCursor,
    /// How many notices are still to come; none is all there are.
    left: Option<u64>,
    /// Its place among those of its principal.
    _held: Option<HeldPlace>,
    /// When the credentials of its client expire.
    expiry: Option<Pin<Box<Sleep>>>,
}

impl Subscription {
    pub(super) fn start(seat: Seat, cursor: DecisionCursor, filter: DecisionFilter) -> Self {
        let (queue, steps) = mpsc::channel(1);
        tokio::spawn(Feed::new(seat, cursor.clone(), filter).run(queue));
        Self { steps, taken: VecDeque::new(), cursor, left: None, _held: None, expiry: None }
    }

    /// The same, ended behind so many notices.
    #[must_use]
    pub fn limited_to(self, limit: Option<u64>) -> Self {
        Self { left: limit, ..self }
    }

    /// The same, with a place among those of its principal.
    pub(crate) fn holding(self, held: Option<HeldPlace>) -> Self {
        Self { _held: held, ..self }
    }

    /// The same, ended at this instant, as the credentials of its client expire.
    #[must_use]
    pub fn expiring_at(self, instant: Option<Instant>) -> Self {
        Self { expiry: instant.map(|instant| Box::pin(tokio::time::sleep_until(instant))), ..self }
    }

    /// Goes into `from` to go on behind the last item.
    pub fn cursor(&self) -> &DecisionCursor {
        &self.cursor
    }

    /// Whether another item is there already.
    pub fn has_more(&self) -> bool {
        !self.is_over() && self.taken.iter().any(|step| !matches!(step, Step::Reached(..)))
    }

    /// The next item, if it is there already.
    pub fn ready(&mut self) -> Option<DecisionItem> {
        if self.has_more() { self.take() } else { None }
    }

    fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    fn take(&mut self) -> Option<DecisionItem> {
        let mut item = None;
        while item.is_none() {
            match self.taken.pop_front()? {
                Step::Item(taken) => item = Some(taken),
                Step::Notice(shard, notice) => {
                    self.cursor.set(&shard, notice.place.after(), notice.mark);
                    self.left = self.left.map(|left| left.saturating_sub(1));
                    item = Some(DecisionItem::Notice(notice));
                }
                Step::Reached(shard, place, mark) => self.cursor.set(&shard, place, mark),
            }
        }
        // What follows the last item is covered, too.
        while let Some(Step::Reached(..)) = self.taken.front() {
            if let Some(Step::Reached(shard, place, mark)) = self.taken.pop_front() {
                self.cursor.set(&shard, place, mark);
            }
        }
        item
    }
}

impl Stream for Subscription {
    type Item = DecisionItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DecisionItem>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        if self.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(context).is_ready()) {
            self.left = Some(0);
            return Poll::Ready(Some(DecisionItem::End(DecisionsEnd::CredentialsExpired)));
        }
        loop {
            if let Some(item) = self.take() {
                return Poll::Ready(Some(item));
            }
            match self.steps.poll_recv(context) {
                Poll::Ready(Some(steps)) => self.taken = steps.into(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
