//! The owner of the partitions: the only thread that opens, starts, drains and parks shards.
//!
//! In: rebalances from the callbacks, shards that were opened, and the group's thread. Out: workers, the catalog, commits
//! to the group. What is to be done is decided by [`Partitions`]; here it is carried out.
//!
//! ```text
//!   callbacks ──Assigned, Revoked, Lost──┐                         ┌──► open: threads, each shard on its own ──┐
//!   group ──────Joined, Leave, Dissolve──┼─► owner ─► Partitions ──┼──► start, drain: workers                  │
//!        ┌──────Opened, Failed───────────┘      ◄─── commands      └──► release: commit, give up, answer       │
//!        └─────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The callbacks know only a channel, the workers hold the consumer, the owner holds the workers: nothing holds the owner.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_store::{Halted, Served, Shard, ShardId, ShardStatus, StopCode, with_causes};
use rdkafka::consumer::{CommitMode, Consumer as _};
use tracing::{debug, error, info, warn};

use crate::consume::callbacks::{GroupCallbacks, GroupConsumer, Rebalance, added};
use crate::consume::continuity::Halt;
use crate::consume::group_progress;
use crate::consume::mending::{Mending, is_of_disk};
use crate::consume::opening::{Ingestion, OpenedShard, add, open, side_by_side};
use crate::consume::partitions::{PartitionCommand, PartitionInput, Partitions, Ticket};
use crate::consume::worker::{Durable, Worker, fail, halt};
use crate::kafka::partition::KafkaPartition as _;

/// How often the courtesy commit is sent.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// How often the owner looks for shards that the disk halted.
const MEND_INTERVAL: Duration = Duration::from_millis(500);

/// How long the owner waits for a message before it looks around.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The same while a worker drains.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What the owner's thread receives.
enum OwnerMessage {
    Rebalance(Rebalance),
    Opened(ShardId, Result<Box<OpenedShard>, Halt>),
    /// A new client, which has no partitions yet.
    Joined(Arc<GroupConsumer>),
    /// A message of a partition came out of the consumer itself.
    Stray(ShardId, u64),
    /// The client is thrown away.
    Dissolve(SyncSender<()>),
    Leave(SyncSender<()>),
    End,
}

/// The owner, as the group's thread knows it. Dropping it ends the owner's thread.
pub(super) struct OwnerHandle {
    messages: Sender<OwnerMessage>,
    thread: Option<JoinHandle<()>>,
    is_any_assigned: Arc<AtomicBool>,
    ingestion: Arc<Ingestion>,
}

impl OwnerHandle {
    /// Starts the thread. The shards that are parked are open, and answer.
    pub(super) fn start(
        ingestion: Arc<Ingestion>,
        parked: BTreeMap<ShardId, Shard>,
    ) -> std::io::Result<Self> {
        let (messages, received) = channel();
        let is_any_assigned = Arc::new(AtomicBool::new(false));
        let owner = PartitionOwner {
            ingestion: Arc::clone(&ingestion),
            messages: messages.clone(),
            consumer: None,
            partitions: Partitions::default(),
            parked,
            opened: BTreeMap::new(),
            workers: BTreeMap::new(),
            draining: BTreeMap::new(),
            durable: BTreeMap::new(),
            reopening: BTreeMap::new(),
            releases: BTreeMap::new(),
            last_ticket: 0,
            is_any_assigned: Arc::clone(&is_any_assigned),
        };
        let thread =
            thread::Builder::new().name("partitions".to_owned()).spawn(move || owner.run(&received))?;
        Ok(Self { messages, thread: Some(thread), is_any_assigned, ingestion })
    }

    /// The callbacks of a new client.
    pub(super) fn callbacks(&self) -> GroupCallbacks {
        let messages = self.messages.clone();
        // An owner that has ended releases at once: the sender of the release is dropped with the message.
        let report = move |rebalance| drop(messages.send(OwnerMessage::Rebalance(rebalance)));
        let Ingestion { contact, options, .. } = &*self.ingestion;
        GroupCallbacks::new(report, Arc::clone(contact), options.release_timeout())
    }

    pub(super) fn join(&self, consumer: &Arc<GroupConsumer>) {
        self.send(OwnerMessage::Joined(Arc::clone(consumer)));
    }

    /// Halts the shard of a message that its own queue did not deliver.
    pub(super) fn halt_stray(&self, topic: &str, partition: i32, offset: i64) {
        let found = u64::try_from(offset).unwrap_or(0);
        self.send(OwnerMessage::Stray(ShardId::from_kafka(topic, partition), found));
    }

    /// Gives everything up, as another client is to be assigned it.
    pub(super) fn dissolve(&self) {
        self.wait_for(OwnerMessage::Dissolve);
    }

    /// Drains everything for good. What is recorded by now stays this process's to publish.
    pub(super) fn leave(&self) {
        self.wait_for(OwnerMessage::Leave);
    }

    pub(super) fn is_any_assigned(&self) -> bool {
        self.is_any_assigned.load(Ordering::Acquire)
    }

    /// Whether the thread has ended by itself, which it does only by a panic.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn wait_for(&self, message: impl FnOnce(SyncSender<()>) -> OwnerMessage) {
        let (done, is_done) = sync_channel(1);
        self.send(message(done));
        let _ = is_done.recv_timeout(self.ingestion.options.release_timeout());
    }

    /// An owner that has ended does nothing more; that is noticed by [`OwnerHandle::is_finished`].
    fn send(&self, message: OwnerMessage) {
        let _ = self.messages.send(message);
    }
}

impl Drop for OwnerHandle {
    fn drop(&mut self) {
        self.send(OwnerMessage::End);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the owner of the partitions panicked; what it had begun comes again from Kafka");
        }
    }
}

struct PartitionOwner {
    ingestion: Arc<Ingestion>,
    messages: Sender<OwnerMessage>,
    consumer: Option<Arc<GroupConsumer>>,
    partitions: Partitions,
    /// Open, without a worker.
    parked: BTreeMap<ShardId, Shard>,
    /// Open, and about to be started.
    opened: BTreeMap<ShardId, Box<OpenedShard>>,
    workers: BTreeMap<ShardId, Worker>,
    /// Those that were asked to stop.
    draining: BTreeMap<ShardId, Worker>,
    /// What is durable of each partition, also while its worker is being stopped.
    durable: BTreeMap<ShardId, Durable>,
    /// Shards that the disk halted, until they are open again.
    reopening: BTreeMap<ShardId, (Halted, Arc<ShardStatus>)>,
    releases: BTreeMap<Ticket, SyncSender<()>>,
    last_ticket: Ticket,
    is_any_assigned: Arc<AtomicBool>,
}

impl PartitionOwner {
    fn run(mut self, received: &Receiver<OwnerMessage>) {
        let (mut committed, mut mended) = (Instant::now(), Instant::now());
        let mut mending = Mending::default();
        loop {
            let patience = if self.draining.is_empty() { LOOK_INTERVAL } else { DRAIN_LOOK_INTERVAL };
            match received.recv_timeout(patience) {
                Ok(OwnerMessage::End) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.receive(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.join_drained();
            self.apply(PartitionInput::Tick);
            if committed.elapsed() >= COMMIT_INTERVAL {
                committed = Instant::now();
                self.apply(PartitionInput::CommitDue);
            }
            if mended.elapsed() >= MEND_INTERVAL {
                mended = Instant::now();
                self.mend(&mut mending);
            }
        }
        for worker in self.workers.values() {
            worker.stop();
        }
    }

    fn receive(&mut self, message: OwnerMessage) {
        match message {
            OwnerMessage::Rebalance(Rebalance::Assigned(ids)) => self.apply(PartitionInput::Assigned(ids)),
            OwnerMessage::Rebalance(Rebalance::Revoked(ids, release)) => {
                let (ticket, deadline) = self.ticket(release);
                self.apply(PartitionInput::Revoked { ids, ticket, deadline });
            }
            OwnerMessage::Rebalance(Rebalance::Lost(ids, release)) => {
                let (ticket, deadline) = self.ticket(release);
                self.apply(PartitionInput::Lost { ids, ticket, deadline });
                let Ingestion { contact, options, catalog, .. } = &*self.ingestion;
                if let (Some(consumer), Some(topic)) = (&self.consumer, options.topics.first()) {
                    contact.report_lost(consumer.client(), topic, catalog);
                }
            }
            OwnerMessage::Opened(id, Ok(open)) => {
                self.reopening.remove(&id);
                self.opened.insert(id.clone(), open);
                self.apply(PartitionInput::Opened(id));
            }
            OwnerMessage::Opened(id, Err(halt)) => {
                if self.partitions.is_assigned(&id) {
                    fail(&self.ingestion.catalog, id.clone(), &halt);
                }
                self.serve_as_it_is(&id);
                self.apply(PartitionInput::Failed(id));
            }
            OwnerMessage::Joined(consumer) => self.consumer = Some(consumer),
            OwnerMessage::Stray(id, found) => self.halt_stray(&id, found),
            OwnerMessage::Dissolve(done) => {
                let (ticket, deadline) = self.ticket(done);
                self.apply(PartitionInput::Lost { ids: self.partitions.assigned(), ticket, deadline });
                self.consumer = None;
            }
            OwnerMessage::Leave(done) => {
                let (ticket, deadline) = self.ticket(done);
                self.apply(PartitionInput::Leave { ticket, deadline });
            }
            OwnerMessage::End => {}
        }
    }

    fn ticket(&mut self, release: SyncSender<()>) -> (Ticket, Instant) {
        self.last_ticket += 1;
        self.releases.insert(self.last_ticket, release);
        (self.last_ticket, Instant::now() + self.ingestion.options.drain_timeout)
    }

    fn apply(&mut self, input: PartitionInput) {
        let mut to_open = Vec::new();
        for command in self.partitions.apply(input, Instant::now()) {
            match command {
                PartitionCommand::Open(id) => to_open.push(id),
                PartitionCommand::Start(id) => self.start(id),
                PartitionCommand::Drain(id) => {
                    if let Some(worker) = self.workers.remove(&id) {
                        worker.stop();
                        self.draining.insert(id, worker);
                    }
                }
                PartitionCommand::Park(id) => {
                    if let Some(open) = self.opened.remove(&id) {
                        self.parked.insert(id.clone(), open.shard);
                    }
                    self.set_idle(&id);
                }
                PartitionCommand::ReportHeld(id) => {
                    let error = "the worker that had the shard before has not ended yet".to_owned();
                    fail(&self.ingestion.catalog, id, &Halt::Store { code: StopCode::ShardLocked, error });
                }
                PartitionCommand::Commit(ids) => self.commit(&ids, CommitMode::Async),
                PartitionCommand::Release { ticket, ids, commits, gives_up } => {
                    self.release(&ids, &commits, gives_up);
                    let waiting = self.releases.remove(&ticket);
                    if waiting.is_some_and(|waiting| waiting.send(()).is_err()) && gives_up {
                        self.give_back(&ids);
                    }
                }
            }
        }
        self.is_any_assigned.store(!self.partitions.assigned().is_empty(), Ordering::Release);
        self.ingestion.catalog.set_opening(self.partitions.opening());
        if !to_open.is_empty() {
            self.open(to_open);
        }
    }

    /// Opens shards on threads of their own, so that none waits for another.
    fn open(&mut self, ids: Vec<ShardId>) {
        let mut jobs = Vec::new();
        for id in &ids {
            crate::metric::assigned(id);
            if self.reopening.contains_key(id) {
                // A question meanwhile is refused with the reason: the shard is not there, which is not the same as empty.
                self.ingestion.catalog.remove(id);
            }
            jobs.push((id.clone(), self.parked.remove(id)));
        }
        let (ingestion, consumer) = (Arc::clone(&self.ingestion), self.consumer.clone());
        let messages = self.messages.clone();
        let work = move || {
            side_by_side(jobs, |(id, parked)| {
                let job = || open(&ingestion, consumer.as_deref(), &id, parked);
                let opened = match catch_unwind(AssertUnwindSafe(job)) {
                    Ok(opened) => opened.map(Box::new).map_err(|error| Halt::store(&error)),
                    // The partition would else be opening for ever.
                    Err(_) => Err(Halt::Panicked { shard: id.clone() }),
                };
                let _ = messages.send(OwnerMessage::Opened(id, opened));
            });
        };
        if let Err(failed) = thread::Builder::new().name("open".to_owned()).spawn(work) {
            for id in ids {
                let error = format!("no thread can be started: {failed}");
                let halt = Halt::Store { code: StopCode::StoreFailed, error };
                fail(&self.ingestion.catalog, id.clone(), &halt);
                self.apply(PartitionInput::Failed(id));
            }
        }
    }

    fn start(&mut self, id: ShardId) {
        let (Some(open), Some(consumer)) = (self.opened.remove(&id), self.consumer.clone()) else {
            return self.apply(PartitionInput::Failed(id));
        };
        let OpenedShard { shard, status, start } = *open;
        status.update(|now| now.is_ours = true);
        let added = add(&consumer, &id, start);
        let position = shard.source_position(&id.topic).map_err(|error| Halt::store(&error));
        let (queue, position) = match added.and_then(|queue| Ok((queue, position?))) {
            Ok(ready) => ready,
            Err(failed) => {
                halt(&id, &status, &failed);
                self.parked.insert(id.clone(), shard);
                return self.apply(PartitionInput::Failed(id));
            }
        };
        info!(shard = %id, "assigned");
        let task = self.ingestion.task(&id, Arc::clone(&status));
        match Worker::start(task, shard, position.as_ref(), queue, consumer) {
            Ok(worker) => {
                self.durable.insert(id.clone(), worker.durable());
                self.workers.insert(id, worker);
            }
            Err(failed) => {
                let error = format!("no thread can be started: {failed}");
                halt(&id, &status, &Halt::Store { code: StopCode::StoreFailed, error });
                self.apply(PartitionInput::Failed(id));
            }
        }
    }

    /// A shard that cannot be written any more is not served either: as long as it is, it cannot be opened anew.
    fn join_drained(&mut self) {
        let ended = self.draining.iter().filter(|(_, worker)| worker.is_finished());
        let ended: Vec<ShardId> = ended.map(|(id, _)| id.clone()).collect();
        for id in ended {
            let Some(worker) = self.draining.remove(&id) else { continue };
            match worker.join() {
                Some(shard) => {
                    info!(shard = %id, "given up");
                    self.parked.insert(id.clone(), shard);
                }
                None => self.remove_poisoned(&id),
            }
            self.apply(PartitionInput::Drained(id));
        }
    }

    /// As long as the partition is assigned, the reason why its shard was halted stays reported.
    fn remove_poisoned(&self, id: &ShardId) {
        let catalog = &self.ingestion.catalog;
        let halted = catalog.get(id).and_then(|served| served.status.freshness().halted);
        catalog.remove(id);
        if let Some(halted) = halted.filter(|_| self.partitions.is_assigned(id)) {
            catalog.fail(id.clone(), halted);
        }
    }

    fn release(&mut self, ids: &[ShardId], commits: &[ShardId], gives_up: bool) {
        for id in ids.iter().filter(|id| self.draining.contains_key(id)) {
            let reported = "not drained in time; what it had begun comes again from Kafka";
            // Its reader waits for brokers that are reported as away.
            if self.ingestion.contact.is_lost() {
                info!(shard = %id, "{reported}");
            } else {
                warn!(shard = %id, "{reported}");
            }
            self.set_idle(id);
        }
        if gives_up {
            for id in ids {
                self.ingestion.catalog.give_up(id);
            }
        }
        self.commit(commits, CommitMode::Sync);
        if gives_up {
            for id in ids {
                self.durable.remove(id);
                // What the next owner publishes is not known here.
                if let Some(served) = self.ingestion.catalog.get(id) {
                    served.status.published().forget();
                }
            }
        }
    }

    /// Gives back what was added after its revocation had stopped waiting.
    fn give_back(&self, ids: &[ShardId]) {
        let Some(consumer) = &self.consumer else { return };
        let late = added(consumer, ids);
        if late.count() > 0
            && let Err(error) = consumer.incremental_unassign(&late)
        {
            warn!(%error, "partitions that were given up are still assigned to the client");
        }
    }

    fn commit(&self, ids: &[ShardId], mode: CommitMode) {
        let Some(consumer) = &self.consumer else { return };
        let durable = ids.iter().filter_map(|id| Some((id.clone(), self.durable.get(id)?.offset()?)));
        group_progress::commit(consumer, &self.ingestion.catalog, durable, mode);
    }

    fn set_idle(&self, id: &ShardId) {
        if let Some(served) = self.ingestion.catalog.get(id) {
            served.status.set_idle();
        }
    }

    fn halt_stray(&mut self, id: &ShardId, found: u64) {
        if let Some(served) = self.ingestion.catalog.get(id) {
            let next = served.status.freshness().next_offset.unwrap_or(0);
            halt(id, &served.status, &Halt::OutOfOrder { shard: id.clone(), next, found });
        }
        self.apply(PartitionInput::Halted(id.clone()));
    }

    /// Tries the shards again that the disk halted and whose rest is over.
    fn mend(&mut self, mending: &mut Mending) {
        let now = Instant::now();
        let catalog = &self.ingestion.catalog;
        let failed: BTreeMap<ShardId, Halted> = catalog.failed().into_iter().collect();
        let halted = self.partitions.reopenable().into_iter().filter_map(|id| {
            let status = catalog.get(&id).map(|served| served.status);
            let of_status = || status.as_ref().and_then(|status| status.freshness().halted);
            let halted = failed.get(&id).cloned().or_else(of_status).filter(is_of_disk)?;
            Some((id, halted, status.unwrap_or_default()))
        });
        let due: Vec<_> = halted.filter(|(id, ..)| mending.is_due(id, now)).collect();
        if due.is_empty() {
            return;
        }
        if let Err(error) = self.ingestion.data.probe() {
            debug!(error = with_causes(&error), "the disk that halted shards is not mended yet");
            return;
        }
        for (id, halted, status) in due {
            info!(shard = %id, code = halted.code, "the shard that the disk halted is opened anew");
            self.ingestion.catalog.fail(id.clone(), halted.clone());
            self.reopening.insert(id.clone(), (halted, status));
            self.apply(PartitionInput::Reopen(id));
        }
    }

    /// A shard that still cannot be written answers from what is on disk.
    fn serve_as_it_is(&mut self, id: &ShardId) {
        let Some((halted, status)) = self.reopening.remove(id) else { return };
        let Ingestion { data, catalog, .. } = &*self.ingestion;
        let Ok(reader) = data.read_shard(id) else { return };
        let why = catalog.failed().into_iter().find(|(failed, _)| failed == id);
        status.halt_for(why.map_or(halted, |(_, why)| why));
        let is_ours = self.partitions.is_assigned(id);
        status.update(|now| now.is_ours = is_ours);
        catalog.insert(id.clone(), Served { reader, status });
    }
}
