//! What became of a command.

use std::collections::BTreeSet;

use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_store::ShardId;
use serde::{Deserialize, Serialize};

use super::LineSink;
use super::parameters::text;
use crate::command::{CommandAnswer, places_of, probes};
use crate::ledger::{Located, QueryError, Reading};

/// What became of the event with an id: of a tenant and its installations, of one installation, or of a whole app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandQuery {
    /// The id of the event.
    #[serde(with = "text")]
    pub id: EventId,
    /// The tenant; none: the event is of a whole app.
    #[serde(rename = "clientKey", with = "text")]
    pub client: Option<ClientKey>,
    /// The app.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
}

impl CommandQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<CommandAnswer, QueryError> {
        let Self { id, client, app } = self;
        let is_seen = app.as_ref().is_none_or(|app| reading.ledger.grants.has(app));
        let (located, apps) = match (client, app) {
            (None, None) => return Err(QueryError::NoSubject),
            (None, Some(app)) => (None, vec![Some(app.clone())]),
            (Some(client), Some(app)) => (reading.seen(client)?, vec![Some(app.clone())]),
            (Some(client), None) => {
                let located = reading.seen(client)?;
                let installed = located.iter().flat_map(|located| located.row.tenant.installations.keys());
                let seen = installed.filter(|app| reading.ledger.grants.has(app)).cloned().map(Some);
                let apps = [None].into_iter().chain(seen).collect();
                (located, apps)
            }
        };
        let is_seen = is_seen && (client.is_none() || located.is_some());
        let probes = if is_seen { probes(id, client.as_ref(), &apps) } else { Vec::new() };
        let found = places_of(reading, &probes)?;
        if found.is_empty() {
            let unknown = QueryError::UnknownCommand { id: id.clone() };
            return Err(match located {
                Some(Located { shard, .. }) => reading.not_found_in(shard.id, unknown),
                None => reading.not_found(unknown),
            });
        }
        let has_it: BTreeSet<&ShardId> = found.iter().map(|(shard, _)| shard).collect();
        // One of a whole app goes to every partition.
        let all = if client.is_none() { reading.ledger.partitions() } else { None };
        let lacking = all.into_iter().flatten().filter(|shard| !has_it.contains(shard));
        let (pending, elsewhere): (Vec<_>, Vec<_>) =
            lacking.partition(|shard| reading.ledger.is_fed_here(shard));
        let names = |shards: Vec<ShardId>| shards.iter().map(ToString::to_string).collect();
        Ok(CommandAnswer {
            id: id.as_str().to_owned(),
            pending: names(pending),
            elsewhere: names(elsewhere),
            records: found.iter().map(|(_, place)| place.clone()).collect(),
            freshness: match located {
                Some(Located { shard, .. }) => vec![reading.freshness_of(shard)?],
                None => reading.freshness(),
            },
        })
    }
}
