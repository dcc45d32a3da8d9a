//! The records that an event became.

use std::collections::BTreeMap;

use ledger_core::event::{AppFact, Body, Event, InstallationFact, TenantFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Record};
use ledger_store::ShardId;

use super::{CommandError, RecordPlace};
use crate::ledger::{QueryError, Reading};

/// Where an event is recorded, by shard, and as what.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) places: BTreeMap<ShardId, RecordPlace>,
    /// The actor is that of whoever sent it first.
    pub(super) event: Option<Event>,
}

/// Where an event is recorded. The id with other content, whoever is the actor, is an error.
pub(super) fn recorded(reading: &Reading<'_>, event: &Event) -> Result<Recorded, CommandError> {
    let mut found = Recorded::default();
    for shard in &reading.shards {
        reading.ledger.in_time()?;
        let record = shard.snapshot.record_with_id_of(event).map_err(|error| shard.unread(error))?;
        let Some(record) = record else { continue };
        if !is_same(event, &record) {
            return Err(CommandError::Conflict { shard: shard.id.clone(), seq: record.seq });
        }
        found.places.insert(shard.id.clone(), place(shard.id, &record));
        if let Content::Event { event, .. } = record.content {
            found.event = Some(event);
        }
    }
    Ok(found)
}

/// Where the records are that have the id of one of these events.
pub(crate) fn places_of(
    reading: &Reading<'_>,
    probes: &[Event],
) -> Result<Vec<(ShardId, RecordPlace)>, QueryError> {
    let mut found = Vec::new();
    for shard in &reading.shards {
        for probe in probes {
            reading.ledger.in_time()?;
            let record = shard.snapshot.record_with_id_of(probe).map_err(|error| shard.unread(error))?;
            found.extend(record.map(|record| (shard.id.clone(), place(shard.id, &record))));
        }
    }
    Ok(found)
}

/// Events of nothing but an id: of a tenant itself and its installations of these apps, or of a whole app.
pub(crate) fn probes(id: &EventId, client: Option<&ClientKey>, apps: &[Option<AppKey>]) -> Vec<Event> {
    let body = |app: &Option<AppKey>| match (client.cloned(), app.clone()) {
        (Some(client), Some(app)) => {
            Some(Body::Installation { client, app, fact: InstallationFact::Enabled })
        }
        (Some(client), None) => {
            Some(Body::Tenant { client, fact: TenantFact::ProductMoved { product_realm: Realm::GLOBAL } })
        }
        (None, Some(app)) => Some(Body::App { app, fact: AppFact::PolicySet { policy: Policy::Off } }),
        (None, None) => None,
    };
    let event =
        |body| Event { id: id.clone(), time: Timestamp::from_millis(0), body, actor: None, reason: None };
    apps.iter().filter_map(body).map(event).collect()
}

fn place(shard: &ShardId, record: &Record) -> RecordPlace {
    let ShardId { topic, partition } = shard.clone();
    RecordPlace { topic, partition, position: record.position, seq: record.seq }
}

/// As ingestion compares them: a time that the source gave does not count. Nor does the actor here.
fn is_same(ours: &Event, record: &Record) -> bool {
    let Content::Event { event, time_defaulted, .. } = &record.content else { return false };
    let time = if *time_defaulted { event.time } else { ours.time };
    *event == Event { time, actor: event.actor.clone(), ..ours.clone() }
}
