//! What becomes of each partition: a state machine without clock, thread or broker.
//!
//! In: what the group reports, what became of the commands before, and the time. Out: commands for the owner of the
//! partitions ([`crate::consume::owner`]), which carries them out in order.
//!
//! ```text
//!              Assigned           Opened            Revoked · Lost · Leave
//!   Parked ───────────► Opening ─────────► Running ────────────────────────► Draining ───► Parked
//!                         ▲  │ Failed         │ Reopen · Halted                │ Drained
//!                  Reopen │  ▼                └───────────────► Draining ──────┤ it opens again
//!                        Failed ◄────────────── it was halted ─────────────────┴──────────► Opening
//! ```
//!
//! - A partition never has two workers: one that is assigned while its last worker drains opens after that has ended.
//! - A revocation is released when none of its partitions is being opened or drained, or at its deadline. Nothing is
//!   started in between.
//! - What a lost partition made durable is not committed to the group: another process owns its offset.
//! - After `Leave` nothing is opened or started.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger_store::ShardId;

/// How long a shard may stay open after it was to be closed.
pub(super) const OLD_HANDLES: Duration = Duration::from_secs(5);

/// By which the sender of a revocation recognizes its release.
pub(super) type Ticket = u64;

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum PartitionInput {
    /// The group gives these partitions to this process.
    Assigned(Vec<ShardId>),
    /// The group takes them, and waits for their release until the deadline.
    Revoked { ids: Vec<ShardId>, ticket: Ticket, deadline: Instant },
    /// The group has taken them already.
    Lost { ids: Vec<ShardId>, ticket: Ticket, deadline: Instant },
    /// The shard is open.
    Opened(ShardId),
    /// The shard did not open, or its worker did not start.
    Failed(ShardId),
    /// Both threads of the worker have ended.
    Drained(ShardId),
    /// The partition is not to be read any more, although it is assigned.
    Halted(ShardId),
    /// The shard is to be closed and opened anew.
    Reopen(ShardId),
    /// The process ends. What is recorded by now stays its own to publish.
    Leave { ticket: Ticket, deadline: Instant },
    /// It is time to commit to the group.
    CommitDue,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartitionCommand {
    /// Open the shard, then answer `Opened` or `Failed`.
    Open(ShardId),
    /// Start the worker of the open shard, or answer `Failed`.
    Start(ShardId),
    /// Ask the worker to finish what it has begun, then answer `Drained`.
    Drain(ShardId),
    /// The open shard has no worker now.
    Park(ShardId),
    /// The worker before has not ended, so the shard cannot be opened.
    ReportHeld(ShardId),
    /// Commit how far these partitions are durable, and go on.
    Commit(Vec<ShardId>),
    /// Give the partitions up, if they are another process's now, commit how far some of them are durable, then
    /// answer the sender of the revocation.
    Release { ticket: Ticket, ids: Vec<ShardId>, commits: Vec<ShardId>, gives_up: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum PartitionState {
    /// No worker. The shard is closed, or open and answers.
    #[default]
    Parked,
    Opening,
    Running,
    Draining,
    /// No worker, although it is assigned.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Partition {
    state: PartitionState,
    /// What the group reported last.
    is_assigned: bool,
    /// While it drains: it is opened after that.
    opens_again: bool,
    /// While it drains and is to open again: when that is reported.
    held_until: Option<Instant>,
    /// Whether the group's offset of it is this process's to commit.
    commits: bool,
}

impl Partition {
    fn is_settled(&self) -> bool {
        matches!(self.state, PartitionState::Parked | PartitionState::Failed)
    }
}

/// A revocation that waits for its partitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    ticket: Ticket,
    ids: Vec<ShardId>,
    deadline: Instant,
    gives_up: bool,
}

/// All partitions of this process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Partitions {
    by_id: BTreeMap<ShardId, Partition>,
    releases: Vec<Release>,
    is_leaving: bool,
}

impl Partitions {
    /// What the group has given to this process, fed or not.
    pub(super) fn assigned(&self) -> Vec<ShardId> {
        self.ids(|partition| partition.is_assigned)
    }

    /// Those that can be opened anew: they are read, or nothing is done for them.
    pub(super) fn reopenable(&self) -> Vec<ShardId> {
        self.ids(|partition| {
            partition.is_assigned
                && matches!(partition.state, PartitionState::Running | PartitionState::Failed)
        })
    }

    /// Those whose shards are being opened.
    pub(super) fn opening(&self) -> Vec<ShardId> {
        self.ids(|partition| partition.is_assigned && partition.state == PartitionState::Opening)
    }

    pub(super) fn is_assigned(&self, id: &ShardId) -> bool {
        self.by_id.get(id).is_some_and(|partition| partition.is_assigned)
    }

    pub(super) fn apply(&mut self, input: PartitionInput, now: Instant) -> Vec<PartitionCommand> {
        let mut commands = Vec::new();
        match input {
            PartitionInput::Assigned(ids) => {
                // The group gives nothing before it has taken: the sender of a revocation does not wait any more.
                for release in &mut self.releases {
                    if release.ids.iter().any(|id| ids.contains(id)) {
                        release.deadline = now;
                    }
                }
                self.release(now, &mut commands);
                for id in ids {
                    self.assign(&id, now, &mut commands);
                }
            }
            PartitionInput::Revoked { ids, ticket, deadline } => {
                self.take_back(&ids, &mut commands);
                self.releases.push(Release { ticket, ids, deadline, gives_up: true });
            }
            PartitionInput::Lost { ids, ticket, deadline } => {
                self.take_back(&ids, &mut commands);
                for id in &ids {
                    self.partition(id).commits = false;
                }
                self.releases.push(Release { ticket, ids, deadline, gives_up: true });
            }
            PartitionInput::Leave { ticket, deadline } => {
                self.is_leaving = true;
                let ids = self.ids(|partition| !partition.is_settled());
                for id in &ids {
                    self.drain(id, false, &mut commands);
                }
                self.releases.push(Release { ticket, ids, deadline, gives_up: false });
            }
            PartitionInput::Opened(id) => self.start(id, &mut commands),
            PartitionInput::Failed(id) => {
                let partition = self.partition(&id);
                if matches!(partition.state, PartitionState::Opening | PartitionState::Running) {
                    partition.state =
                        if partition.is_assigned { PartitionState::Failed } else { PartitionState::Parked };
                    partition.commits = false;
                }
            }
            PartitionInput::Drained(id) => self.park(id, &mut commands),
            PartitionInput::Halted(id) => self.drain(&id, false, &mut commands),
            PartitionInput::Reopen(id) if self.is_assigned(&id) && !self.is_leaving => {
                if self.partition(&id).state == PartitionState::Failed {
                    self.open(id, &mut commands);
                } else {
                    self.drain(&id, true, &mut commands);
                }
            }
            PartitionInput::CommitDue => {
                let ids = self.ids(|partition| partition.commits);
                commands.extend((!ids.is_empty()).then_some(PartitionCommand::Commit(ids)));
            }
            PartitionInput::Reopen(_) | PartitionInput::Tick => {}
        }
        self.report_held(now, &mut commands);
        self.release(now, &mut commands);
        commands
    }

    fn ids(&self, of: impl Fn(&Partition) -> bool) -> Vec<ShardId> {
        let matching = self.by_id.iter().filter(|(_, partition)| of(partition));
        matching.map(|(id, _)| id.clone()).collect()
    }

    fn partition(&mut self, id: &ShardId) -> &mut Partition {
        self.by_id.entry(id.clone()).or_default()
    }

    fn assign(&mut self, id: &ShardId, now: Instant, commands: &mut Vec<PartitionCommand>) {
        let is_leaving = self.is_leaving;
        let partition = self.partition(id);
        partition.is_assigned = true;
        match partition.state {
            _ if is_leaving => {}
            PartitionState::Parked | PartitionState::Failed => self.open(id.clone(), commands),
            PartitionState::Draining => {
                (partition.opens_again, partition.held_until) = (true, Some(now + OLD_HANDLES));
            }
            PartitionState::Opening | PartitionState::Running => {}
        }
    }

    fn open(&mut self, id: ShardId, commands: &mut Vec<PartitionCommand>) {
        self.partition(&id).state = PartitionState::Opening;
        commands.push(PartitionCommand::Open(id));
    }

    /// The group has taken these from this process.
    fn take_back(&mut self, ids: &[ShardId], commands: &mut Vec<PartitionCommand>) {
        for id in ids {
            self.partition(id).is_assigned = false;
            self.drain(id, false, commands);
        }
    }

    /// Ends the worker, if there is one. For a worker that ends already, the last word on opening again counts.
    fn drain(&mut self, id: &ShardId, opens_again: bool, commands: &mut Vec<PartitionCommand>) {
        let partition = self.partition(id);
        if partition.state == PartitionState::Running {
            partition.state = PartitionState::Draining;
            commands.push(PartitionCommand::Drain(id.clone()));
        }
        if partition.state == PartitionState::Draining {
            (partition.opens_again, partition.held_until) = (opens_again, None);
        }
    }

    fn start(&mut self, id: ShardId, commands: &mut Vec<PartitionCommand>) {
        let is_leaving = self.is_leaving;
        let partition = self.partition(&id);
        if partition.state != PartitionState::Opening {
            return;
        }
        if partition.is_assigned && !is_leaving {
            (partition.state, partition.commits) = (PartitionState::Running, true);
            commands.push(PartitionCommand::Start(id));
        } else {
            partition.state = PartitionState::Parked;
            commands.push(PartitionCommand::Park(id));
        }
    }

    fn park(&mut self, id: ShardId, commands: &mut Vec<PartitionCommand>) {
        let is_leaving = self.is_leaving;
        let partition = self.partition(&id);
        if partition.state != PartitionState::Draining {
            return;
        }
        let opens_again = std::mem::take(&mut partition.opens_again) && !is_leaving;
        partition.held_until = None;
        partition.state = if partition.is_assigned { PartitionState::Failed } else { PartitionState::Parked };
        commands.push(PartitionCommand::Park(id.clone()));
        if opens_again {
            self.open(id, commands);
        }
    }

    fn report_held(&mut self, now: Instant, commands: &mut Vec<PartitionCommand>) {
        for (id, partition) in &mut self.by_id {
            if partition.held_until.take_if(|until| *until <= now).is_some() {
                commands.push(PartitionCommand::ReportHeld(id.clone()));
            }
        }
    }

    fn release(&mut self, now: Instant, commands: &mut Vec<PartitionCommand>) {
        let Self { by_id, releases, is_leaving } = self;
        releases.retain(|release| {
            let is_settled = |id: &ShardId| by_id.get(id).is_none_or(Partition::is_settled);
            if now < release.deadline && !release.ids.iter().all(is_settled) {
                return true;
            }
            let mut commits = Vec::new();
            for id in &release.ids {
                let Some(partition) = by_id.get_mut(id) else { continue };
                if std::mem::take(&mut partition.commits) {
                    commits.push(id.clone());
                }
                if !partition.is_assigned && partition.state == PartitionState::Failed {
                    partition.state = PartitionState::Parked;
                }
            }
            let Release { ticket, ids, gives_up, .. } = release.clone();
            commands.push(PartitionCommand::Release {
                ticket,
                ids,
                commits,
                gives_up: gives_up && !*is_leaving,
            });
            false
        });
    }
}

#[cfg(test)]
mod tests;
