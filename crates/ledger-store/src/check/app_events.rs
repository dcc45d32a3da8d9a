//! Whether every shard of a topic has its copy of each app-level event (interfaces 1). A producer that does not
//! broadcast sends one copy to one partition, and from then on partitions answer differently.
//!
//! This is beside the write path and stores nothing: what one shard records cannot depend on another (I-5). Streams of
//! apps are compared by what is in them and not by their order, which two producers at a time make different: the
//! number of events, and a sum over the hashes of their ids. Only where those differ are the ids read.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, EventId};
use ledger_record::record::{Content, Stream};
use sha2::{Digest, Sha256};

use crate::error::ReadError;
use crate::read::reader::Reader;
use crate::read::snapshot::Snapshot;
use crate::source::ShardId;

/// App-level events that a shard lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingCopies {
    /// The shard.
    pub shard: ShardId,
    /// The app.
    pub app: AppKey,
    /// The events that other shards of its topic have.
    pub events: Vec<Event>,
}

/// Compares shards again and again; what was read of a stream once is not read again.
#[derive(Debug, Default)]
pub struct AppEvents(BTreeMap<(ShardId, AppKey), Sum>);

/// The events of a stream, in whatever order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    /// How many.
    seq: u64,
    hashes: u128,
}

impl AppEvents {
    /// What shards lack of what others of the same topic have, by shard and app.
    pub fn missing(&mut self, shards: &[(ShardId, Reader)]) -> Result<Vec<MissingCopies>, ReadError> {
        let snapshots: Vec<_> = shards.iter().map(|(id, reader)| (id, reader.snapshot())).collect();
        let mut missing = Vec::new();
        for of_topic in snapshots.chunk_by(|(one, _), (other, _)| one.topic == other.topic) {
            let mut apps = BTreeSet::new();
            for (_, snapshot) in of_topic {
                for app in snapshot.apps()? {
                    let (app, row) = app?;
                    apps.extend((row.seq > 0).then_some(app));
                }
            }
            for app in apps {
                let sums = of_topic.iter().map(|(id, snapshot)| self.sum(id, snapshot, &app));
                let sums = sums.collect::<Result<Vec<_>, _>>()?;
                if sums.windows(2).any(|two| two[0] != two[1]) {
                    missing.extend(lacked(of_topic, &app)?);
                }
            }
        }
        Ok(missing)
    }

    fn sum(&mut self, shard: &ShardId, snapshot: &Snapshot<'_>, app: &AppKey) -> Result<Sum, ReadError> {
        let last = snapshot.app(app)?.map_or(0, |row| row.seq);
        let sum = self.0.entry((shard.clone(), app.clone())).or_default();
        // A shard that was begun anew.
        if sum.seq > last {
            *sum = Sum::default();
        }
        if sum.seq < last {
            for event in events(snapshot, app, sum.seq + 1)? {
                let hash: [u8; 32] = Sha256::digest(event.id.as_str()).into();
                let half = hash.first_chunk().map_or(0, |half| u128::from_le_bytes(*half));
                sum.hashes = sum.hashes.wrapping_add(half);
            }
            sum.seq = last;
        }
        Ok(*sum)
    }
}

fn lacked(shards: &[(&ShardId, Snapshot<'_>)], app: &AppKey) -> Result<Vec<MissingCopies>, ReadError> {
    let mut all = BTreeMap::<EventId, Event>::new();
    let mut there = Vec::new();
    for (shard, snapshot) in shards {
        let found = events(snapshot, app, 1)?;
        there.push((*shard, found.iter().map(|event| event.id.clone()).collect::<BTreeSet<_>>()));
        all.extend(found.into_iter().map(|event| (event.id.clone(), event)));
    }
    let missing = there.into_iter().map(|(shard, found)| {
        let events = all.values().filter(|event| !found.contains(&event.id)).cloned().collect();
        MissingCopies { shard: shard.clone(), app: app.clone(), events }
    });
    Ok(missing.filter(|missing| !missing.events.is_empty()).collect())
}

/// The app-level events of a shard from a seq on.
fn events(snapshot: &Snapshot<'_>, app: &AppKey, from_seq: u64) -> Result<Vec<Event>, ReadError> {
    let stream = Stream::App(app.clone());
    let mut events = Vec::new();
    for record in snapshot.records(&stream, from_seq)? {
        if let Content::Event { event, .. } = record?.content {
            events.push(event);
        }
    }
    Ok(events)
}
