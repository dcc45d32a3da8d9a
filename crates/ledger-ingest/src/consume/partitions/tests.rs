use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const DRAIN: Duration = Duration::from_secs(20);

fn shard(partition: u32) -> ShardId {
    ShardId { topic: "t".to_owned(), partition }
}

/// What the commands have led to so far. Each command is checked against the promises when it is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct World {
    partitions: Partitions,
    opening: BTreeSet<ShardId>,
    /// Whether the worker was asked to stop.
    workers: BTreeMap<ShardId, bool>,
    /// Lost since their worker was started last.
    lost: BTreeSet<ShardId>,
    waiting: BTreeSet<Ticket>,
    has_left: bool,
}

impl World {
    fn apply(&mut self, input: PartitionInput, now: Instant) -> Vec<PartitionCommand> {
        match &input {
            PartitionInput::Lost { ids, ticket, .. } => {
                self.lost.extend(ids.iter().cloned());
                self.waiting.insert(*ticket);
            }
            PartitionInput::Revoked { ticket, .. } => {
                self.waiting.insert(*ticket);
            }
            PartitionInput::Leave { ticket, .. } => {
                self.has_left = true;
                self.waiting.insert(*ticket);
            }
            PartitionInput::Opened(id) => {
                self.opening.remove(id);
            }
            PartitionInput::Failed(id) | PartitionInput::Drained(id) => {
                self.opening.remove(id);
                self.workers.remove(id);
            }
            _ => {}
        }
        let commands = self.partitions.apply(input, now);
        for command in &commands {
            self.carry_out(command);
        }
        let opening = self.opening.iter().filter(|id| self.partitions.is_assigned(id));
        assert_eq!(self.partitions.opening(), opening.cloned().collect::<Vec<_>>(), "{self:?}");
        commands
    }

    fn carry_out(&mut self, command: &PartitionCommand) {
        match command {
            PartitionCommand::Open(id) => {
                assert!(!self.workers.contains_key(id) && !self.has_left, "{command:?}: {self:?}");
                assert!(self.opening.insert(id.clone()), "{command:?}: it is being opened: {self:?}");
            }
            PartitionCommand::Start(id) => {
                assert!(self.partitions.is_assigned(id) && !self.has_left, "{command:?}: {self:?}");
                assert!(!self.opening.contains(id), "{command:?}: it is not open: {self:?}");
                assert_eq!(self.workers.insert(id.clone(), false), None, "two workers: {self:?}");
                self.lost.remove(id);
            }
            PartitionCommand::Drain(id) => {
                assert_eq!(self.workers.insert(id.clone(), true), Some(false), "{self:?}");
            }
            PartitionCommand::Park(id) => assert!(!self.workers.contains_key(id), "{command:?}: {self:?}"),
            PartitionCommand::ReportHeld(id) => assert_eq!(self.workers.get(id), Some(&true), "{self:?}"),
            PartitionCommand::Commit(ids) => self.may_commit(ids),
            PartitionCommand::Release { ticket, ids, commits, gives_up } => {
                self.may_commit(commits);
                assert!(commits.iter().all(|id| ids.contains(id)), "{command:?}");
                assert!(ids.iter().all(|id| self.workers.get(id) != Some(&false)), "{command:?}: {self:?}");
                assert!(self.waiting.remove(ticket), "{command:?}: released twice");
                assert!(!(*gives_up && self.has_left), "{command:?}: it stays this process's to publish");
            }
        }
    }

    fn may_commit(&self, ids: &[ShardId]) {
        assert!(ids.iter().all(|id| !self.lost.contains(id)), "{ids:?} are another process's: {self:?}");
    }

    /// What can happen next, but for what the group reports.
    fn answers(&self) -> Vec<PartitionInput> {
        let opening = self
            .opening
            .iter()
            .flat_map(|id| [PartitionInput::Opened(id.clone()), PartitionInput::Failed(id.clone())]);
        let workers = self.workers.iter().map(|(id, is_draining)| match is_draining {
            true => PartitionInput::Drained(id.clone()),
            false => PartitionInput::Failed(id.clone()),
        });
        opening.chain(workers).collect()
    }

    /// Leaves, and carries out what was begun.
    fn leave(mut self, now: Instant) {
        self.apply(PartitionInput::Leave { ticket: 0, deadline: now + DRAIN }, now);
        while let Some(id) = self.opening.first().cloned() {
            self.apply(PartitionInput::Opened(id), now);
        }
        while let Some(id) = self.workers.keys().next().cloned() {
            assert!(self.workers[&id], "nothing stopped it: {self:?}");
            self.apply(PartitionInput::Drained(id), now);
        }
        assert!(self.waiting.is_empty(), "everything has ended: {self:?}");
    }
}

/// What the group and the owner can report at any time. The callback waits, so there is one revocation at a time.
fn reports(world: &World, now: Instant) -> Vec<PartitionInput> {
    let mut reports = vec![PartitionInput::CommitDue];
    for ids in [vec![shard(0)], vec![shard(1)], vec![shard(0), shard(1)]] {
        if world.waiting.is_empty() {
            let (ticket, deadline) = (1, now + DRAIN);
            reports.push(PartitionInput::Revoked { ids: ids.clone(), ticket, deadline });
            reports.push(PartitionInput::Lost { ids: ids.clone(), ticket, deadline });
        }
        reports.push(PartitionInput::Assigned(ids));
    }
    for id in [shard(0), shard(1)] {
        reports.extend([PartitionInput::Halted(id.clone()), PartitionInput::Reopen(id)]);
    }
    reports
}

#[test]
fn every_reachable_state_of_two_partitions_keeps_the_promises() {
    let now = Instant::now();
    let (mut seen, mut next) = (BTreeSet::new(), vec![World::default()]);
    while let Some(world) = next.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        if world.waiting.is_empty() {
            world.clone().leave(now);
        }
        let late = (PartitionInput::Tick, now + DRAIN);
        let inputs = reports(&world, now).into_iter().chain(world.answers()).map(|input| (input, now));
        for (input, at) in inputs.chain([late]) {
            let mut world = world.clone();
            world.apply(input, at);
            next.push(world);
        }
    }
    assert!(seen.len() > 500, "{} states", seen.len());
}

proptest! {
    #[test]
    fn random_sequences_keep_the_promises(
        steps in proptest::collection::vec((0_usize..64, 0_u64..8), 0..200), leaves_at in 0_usize..200,
    ) {
        let (mut world, mut now, mut ticket) = (World::default(), Instant::now(), 1);
        for (index, (choice, seconds)) in steps.into_iter().enumerate() {
            now += Duration::from_secs(seconds);
            let all = [0, 1, 2].map(shard);
            let ids = all[choice % 3..].to_vec();
            let (one, deadline) = (all[choice % 3].clone(), now + DRAIN);
            ticket += 1;
            let answers = world.answers();
            let input = match choice % 8 {
                _ if index == leaves_at => PartitionInput::Leave { ticket, deadline },
                0 | 1 => PartitionInput::Assigned(ids),
                2 => PartitionInput::Revoked { ids, ticket, deadline },
                3 => PartitionInput::Lost { ids, ticket, deadline },
                4 => PartitionInput::Reopen(one),
                5 if choice > 32 => PartitionInput::Halted(one),
                5 => PartitionInput::CommitDue,
                _ if answers.is_empty() => PartitionInput::Tick,
                _ => answers[choice % answers.len()].clone(),
            };
            world.apply(input, now);
        }
        world.apply(PartitionInput::Tick, now + DRAIN);
        prop_assert!(world.waiting.is_empty(), "nobody waits longer than the deadline");
        world.leave(now);
    }
}

/// A partition that is read.
fn running(now: Instant) -> World {
    let mut world = World::default();
    assert_eq!(
        world.apply(PartitionInput::Assigned(vec![shard(0)]), now),
        [PartitionCommand::Open(shard(0))]
    );
    assert_eq!(world.apply(PartitionInput::Opened(shard(0)), now), [PartitionCommand::Start(shard(0))]);
    world
}

fn released(commits: &[ShardId], gives_up: bool) -> PartitionCommand {
    PartitionCommand::Release { ticket: 7, ids: vec![shard(0)], commits: commits.to_vec(), gives_up }
}

#[test]
fn a_revoked_partition_is_drained_parked_committed_and_released() {
    let now = Instant::now();
    let mut world = running(now);
    let revoked = PartitionInput::Revoked { ids: vec![shard(0)], ticket: 7, deadline: now + DRAIN };
    assert_eq!(world.apply(revoked, now), [PartitionCommand::Drain(shard(0))]);
    assert_eq!(world.apply(PartitionInput::Tick, now), []);
    let drained = world.apply(PartitionInput::Drained(shard(0)), now);
    assert_eq!(drained, [PartitionCommand::Park(shard(0)), released(&[shard(0)], true)]);
}

#[test]
fn a_worker_that_does_not_end_is_released_at_the_deadline_and_parked_when_it_ends() {
    let now = Instant::now();
    let mut world = running(now);
    world.apply(PartitionInput::Revoked { ids: vec![shard(0)], ticket: 7, deadline: now + DRAIN }, now);
    assert_eq!(world.apply(PartitionInput::Tick, now + DRAIN), [released(&[shard(0)], true)]);
    assert_eq!(
        world.apply(PartitionInput::Drained(shard(0)), now + DRAIN),
        [PartitionCommand::Park(shard(0))]
    );
}

#[test]
fn a_lost_partition_commits_nothing() {
    let now = Instant::now();
    let mut world = running(now);
    assert_eq!(world.apply(PartitionInput::CommitDue, now), [PartitionCommand::Commit(vec![shard(0)])]);
    world.apply(PartitionInput::Lost { ids: vec![shard(0)], ticket: 7, deadline: now + DRAIN }, now);
    assert_eq!(world.apply(PartitionInput::CommitDue, now), []);
    assert_eq!(
        world.apply(PartitionInput::Drained(shard(0)), now),
        [PartitionCommand::Park(shard(0)), released(&[], true)]
    );
}

#[test]
fn a_partition_that_is_assigned_while_its_worker_drains_opens_after_that() {
    let now = Instant::now();
    let mut world = running(now);
    world.apply(PartitionInput::Revoked { ids: vec![shard(0)], ticket: 7, deadline: now + DRAIN }, now);
    let assigned = world.apply(PartitionInput::Assigned(vec![shard(0)]), now);
    assert_eq!(assigned, [released(&[shard(0)], true)]);
    assert_eq!(
        world.apply(PartitionInput::Tick, now + OLD_HANDLES),
        [PartitionCommand::ReportHeld(shard(0))]
    );
    assert_eq!(world.apply(PartitionInput::Tick, now + OLD_HANDLES), []);
    let drained = world.apply(PartitionInput::Drained(shard(0)), now + OLD_HANDLES);
    assert_eq!(drained, [PartitionCommand::Park(shard(0)), PartitionCommand::Open(shard(0))]);
}

#[test]
fn a_shard_that_the_disk_halted_is_closed_and_opened_anew_with_or_without_a_worker() {
    let now = Instant::now();
    let mut world = running(now);
    assert_eq!(world.apply(PartitionInput::Reopen(shard(0)), now), [PartitionCommand::Drain(shard(0))]);
    let drained = world.apply(PartitionInput::Drained(shard(0)), now);
    assert_eq!(drained, [PartitionCommand::Park(shard(0)), PartitionCommand::Open(shard(0))]);
    assert_eq!(world.apply(PartitionInput::Failed(shard(0)), now), []);
    assert_eq!(world.apply(PartitionInput::Reopen(shard(0)), now), [PartitionCommand::Open(shard(0))]);
}

#[test]
fn a_halted_partition_stays_assigned_and_unread() {
    let now = Instant::now();
    let mut world = running(now);
    assert_eq!(world.apply(PartitionInput::Halted(shard(0)), now), [PartitionCommand::Drain(shard(0))]);
    assert_eq!(world.apply(PartitionInput::Drained(shard(0)), now), [PartitionCommand::Park(shard(0))]);
    assert!(world.partitions.is_assigned(&shard(0)));
}

#[test]
fn a_process_that_leaves_keeps_what_it_has_recorded() {
    let now = Instant::now();
    let mut world = running(now);
    let leave = PartitionInput::Leave { ticket: 7, deadline: now + DRAIN };
    assert_eq!(world.apply(leave, now), [PartitionCommand::Drain(shard(0))]);
    let drained = world.apply(PartitionInput::Drained(shard(0)), now);
    assert_eq!(drained, [PartitionCommand::Park(shard(0)), released(&[shard(0)], false)]);
    let revoked = PartitionInput::Revoked { ids: vec![shard(0)], ticket: 7, deadline: now + DRAIN };
    assert_eq!(world.apply(revoked, now), [released(&[], false)]);
}
