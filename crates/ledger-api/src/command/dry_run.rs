//! What a command would change: folded in beside the ledger, and compared as it would be shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::event::{AppFact, Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::{Entry, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::{AppTimeline, AppTimelines};
use ledger_record::json;
use ledger_record::rows::TenantRow;
use ledger_store::{KnowledgeCut, List, TornTenant};
use serde::Serialize;

use super::{Command, CommandError, RecordPlace, find};
use crate::ledger::{
    FreshnessJson, InstallationState, Ledger, LoadedHistory, Located, QueryError, Reading, RefusedTenant,
    ShardSnapshot, row_serves,
};
use crate::limits::{INDEX_ENTRIES_AT_A_TIME, LIST_MAX};
use crate::query::shard_of_app;

/// What a command would change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// Its id.
    pub id: String,
    /// The event as it would be published.
    pub event: Event,
    /// The installations of its tenant as they are; none for an event of a whole app.
    pub before: Vec<InstallationState>,
    /// The same with the event.
    pub after: Vec<InstallationState>,
    /// Every installation that would be shown otherwise; the first thousand.
    pub changes: Vec<ChangedInstallation>,
    /// How many there are.
    pub changed: u64,
    /// Where the event is recorded already: so it would change nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordPlace>,
    /// Tenants that are left out, as no shard has their whole history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Of every shard that answered.
    pub freshness: Vec<FreshnessJson>,
}

/// An installation that would be shown otherwise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedInstallation {
    /// Whose.
    pub client_key: ClientKey,
    /// Of which app.
    pub app_key: AppKey,
    /// As it is; absent: there is none.
    pub before: Option<InstallationState>,
    /// As it would be.
    pub after: Option<InstallationState>,
}

/// The installations of one tenant.
struct Side {
    tenant: Tenant,
    apps: AppTimelines,
    seq: u64,
}

impl Side {
    fn new(entries: &[Entry<'_>], apps: &AppTimelines, seq: u64, at: Timestamp) -> Self {
        Self { tenant: Tenant::as_of(entries, apps, at), apps: apps.clone(), seq }
    }

    fn states(&self, client: &ClientKey, at: Timestamp) -> Vec<InstallationState> {
        self.tenant.installations.keys().filter_map(|app| self.state(client, app, at)).collect()
    }

    fn state(&self, client: &ClientKey, app: &AppKey, at: Timestamp) -> Option<InstallationState> {
        Some(InstallationState {
            client: client.clone(),
            app: app.clone(),
            installation: self.tenant.installations.get(app)?.clone(),
            product_realm: self.tenant.product_realm,
            timeline: self.apps.shared(app),
            seq: self.seq,
            as_of: at,
        })
    }
}

impl Ledger {
    /// Folds a command in and compares. Nothing is recorded.
    pub fn dry_run(&self, command: &Command, now: Timestamp) -> Result<DryRun, CommandError> {
        if !command.is_granted(&self.grants) {
            return Err(CommandError::NotGranted);
        }
        let event = command.event();
        let handles = self.shards.all();
        let reading = Reading::new(self, &handles, now);
        let recorded = find::recorded(&reading, event)?;
        let mut run = DryRun {
            id: event.id.as_str().to_owned(),
            event: event.clone(),
            before: Vec::new(),
            after: Vec::new(),
            changes: Vec::new(),
            changed: 0,
            records: recorded.places.into_values().collect(),
            refused: Vec::new(),
            freshness: Vec::new(),
        };
        // What is dated ahead shows from then on.
        let at = now.max(event.time);
        match &event.body {
            Body::Installation { client, .. } | Body::Tenant { client, .. } => {
                run.of_tenant(&reading, event, client, at)?;
            }
            Body::App { app, fact } => run.of_app(&reading, event, (app, fact), at)?,
        }
        Ok(run)
    }
}

impl DryRun {
    fn of_tenant(
        &mut self,
        reading: &Reading<'_>,
        event: &Event,
        client: &ClientKey,
        at: Timestamp,
    ) -> Result<(), QueryError> {
        // A tenant that is not seen is folded as one that does not exist.
        let located = reading.seen(client)?;
        let (shard, entries_of) = if let Some(Located { shard, .. }) = &located {
            (Some(*shard), Some(reading.history(shard, client, KnowledgeCut::Open)?))
        } else {
            // One that another process has is no new one.
            reading.ready()?;
            let known = event.app().map(|app| shard_of_app(&reading.shards, app)).transpose()?.flatten();
            (known, None)
        };
        let mut apps = entries_of.as_ref().map(|history| history.apps.clone()).unwrap_or_default();
        if let (Some(app), Some(shard)) = (event.app(), shard) {
            apps.share(app.clone(), reading.timeline(shard, app, KnowledgeCut::Open)?);
        }
        let mut entries = entries_of.as_ref().map(LoadedHistory::entries).unwrap_or_default();
        let mut seq = entries_of.as_ref().map_or(0, LoadedHistory::seq);
        let mut before = Side::new(&entries, &apps, seq, at);
        if self.records.is_empty() {
            seq += 1;
            entries.push(Entry { seq, event });
        }
        let mut after = Side::new(&entries, &apps, seq, at);
        for side in [&mut before, &mut after] {
            reading.ledger.grants.retain_in(&mut side.tenant);
        }
        self.compare(client, &before, &after, None, at);
        (self.before, self.after) = (before.states(client, at), after.states(client, at));
        self.freshness = match &located {
            Some(Located { shard, .. }) => vec![reading.freshness_of(shard)?],
            None => reading.freshness(),
        };
        Ok(())
    }

    fn of_app(
        &mut self,
        reading: &Reading<'_>,
        event: &Event,
        (app, fact): (&AppKey, &AppFact),
        at: Timestamp,
    ) -> Result<(), QueryError> {
        reading.some_partition_is_known()?;
        self.freshness = reading.freshness();
        let mut torn = BTreeSet::new();
        let has_it = |shard: &&ShardSnapshot<'_>| {
            self.records
                .iter()
                .any(|place| (&place.topic, place.partition) == (&shard.id.topic, shard.id.partition))
        };
        let lacking: Vec<_> = reading.shards.iter().filter(|shard| !has_it(shard)).collect();
        for shard in lacking {
            let before = reading.timeline(shard, app, KnowledgeCut::Open)?;
            let mut after = AppTimeline::clone(&before);
            after.insert(event.time, event.id.clone(), fact);
            let sides = (before, Arc::new(after));
            let mut cursor = None;
            loop {
                let list = List::App(app.clone());
                let page = shard.snapshot.list(&list, cursor.as_deref(), INDEX_ENTRIES_AT_A_TIME);
                let page = page.map_err(|error| shard.unread(error))?;
                for (client, _) in page.installations {
                    reading.ledger.in_time()?;
                    if reading.ledger.shards.torn()?.shards_of(&client).is_some() {
                        torn.insert(client);
                        continue;
                    }
                    self.of_affected(reading, shard, (&client, app, event.time), &sides, at)?;
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        for client in torn {
            let shards = reading.ledger.shards.torn()?.shards_of(&client).unwrap_or_default();
            self.refused.push(RefusedTenant::from(&TornTenant { client, shards }));
        }
        Ok(())
    }

    fn of_affected(
        &mut self,
        reading: &Reading<'_>,
        shard: &ShardSnapshot<'_>,
        (client, app, since): (&ClientKey, &AppKey, Timestamp),
        (before, after): &(Arc<AppTimeline>, Arc<AppTimeline>),
        at: Timestamp,
    ) -> Result<(), QueryError> {
        let row = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))?;
        let Some(TenantRow { tenant, seq, .. }) = row else { return Ok(()) };
        let only = |timeline: &Arc<AppTimeline>| {
            let mut apps = AppTimelines::default();
            apps.share(app.clone(), Arc::clone(timeline));
            apps
        };
        let (one, other) = if tenant.looked_up_since(app, since) || !row_serves(&tenant, at) {
            let history = reading.history(shard, client, KnowledgeCut::Open)?;
            let side = |timeline: &Arc<AppTimeline>| {
                let mut apps = history.apps.clone();
                apps.share(app.clone(), Arc::clone(timeline));
                Side::new(&history.entries(), &apps, seq, at)
            };
            (side(before), side(after))
        } else {
            // Nothing of it was looked up there; what is derived for the instant may be shown otherwise.
            let side = |timeline| Side { tenant: tenant.clone(), apps: only(timeline), seq };
            (side(before), side(after))
        };
        self.compare(client, &one, &other, Some(app), at);
        Ok(())
    }

    /// Notes every installation, or that of one app, that is shown otherwise.
    fn compare(
        &mut self,
        client: &ClientKey,
        before: &Side,
        after: &Side,
        only: Option<&AppKey>,
        at: Timestamp,
    ) {
        let both = before.tenant.installations.keys().chain(after.tenant.installations.keys());
        let apps: BTreeSet<&AppKey> = both.filter(|app| only.is_none_or(|only| only == *app)).collect();
        for app in apps {
            let (one, other) = (before.state(client, app, at), after.state(client, app, at));
            if shown(one.as_ref()) == shown(other.as_ref()) {
                continue;
            }
            self.changed += 1;
            if self.changes.len() < LIST_MAX {
                self.changes.push(ChangedInstallation {
                    client_key: client.clone(),
                    app_key: app.clone(),
                    before: one,
                    after: other,
                });
            }
        }
    }
}

/// What of a state can differ: all but the record that it is known by.
fn shown(state: Option<&InstallationState>) -> Option<String> {
    json::to_string(&state?.view()).ok()
}
