//! Pass 2: each tenant, taken in again in order of arrival, with what was set for its apps.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::{Entry, Outcome, Tenant};
use ledger_core::timeline::AppTimelines;
use ledger_record::key::{self, Family};
use ledger_record::proof::line::pinned_realm_after;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::TenantRow;

use super::{Fault, VerifyError};
use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::snapshot::Snapshot;

/// App-level events of an app, with their positions.
type AppEvents = BTreeMap<AppKey, Vec<(u64, Event)>>;

/// Checks all of them; answers how many there are.
pub(super) fn check(snapshot: &Snapshot<'_>, progress: &mut dyn FnMut(u64)) -> Result<u64, VerifyError> {
    let mut pass = Pass { snapshot, apps: app_events(snapshot)?, tenants: 0, done: 0, corrections: 0 };
    let mut records: Vec<Record> = Vec::new();
    for record in snapshot.tenant_records()? {
        let record = record?;
        if records.last().is_some_and(|last| last.stream != record.stream) {
            pass.tenant(&records)?;
            records.clear();
            progress(pass.done);
        }
        records.push(record);
    }
    pass.tenant(&records)?;
    let stored = count(snapshot.tenants(None)?)?;
    if stored != pass.tenants {
        return Err(Fault::Count { what: "states", found: stored, counted: pass.tenants }.into());
    }
    pass.count_corrections()?;
    Ok(pass.tenants)
}

fn count<T>(rows: impl Iterator<Item = Result<T, ReadError>>) -> Result<u64, ReadError> {
    rows.map(|row| row.map(|_| 1)).sum()
}

fn app_events(snapshot: &Snapshot<'_>) -> Result<AppEvents, VerifyError> {
    let mut events = AppEvents::new();
    for app in snapshot.apps()? {
        let (app, _) = app?;
        for record in snapshot.records(&Stream::App(app.clone()), 1)? {
            let record = record?;
            if let Content::Event { event, .. } = record.content {
                events.entry(app.clone()).or_default().push((record.position, event));
            }
        }
    }
    Ok(events)
}

struct Pass<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    apps: AppEvents,
    tenants: u64,
    done: u64,
    corrections: u64,
}

/// What arrived, in the order of arrival.
#[derive(Clone, Copy)]
enum Arrived<'r> {
    OwnRecord { seq: u64, event: &'r Event, outcome: &'r Outcome },
    OfApp { app: &'r AppKey, event: &'r Event },
}

impl Pass<'_, '_> {
    fn tenant(&mut self, records: &[Record]) -> Result<(), VerifyError> {
        let Some(Record { stream: Stream::Tenant(client), seq, position, .. }) = records.last() else {
            return Ok(());
        };
        let mut replay = Replay::default();
        for (position, arrived) in arrivals(records, &self.apps) {
            match arrived {
                Arrived::OwnRecord { seq, event, outcome } => {
                    if replay.take_in(Entry { seq, event }) != *outcome {
                        return Err(Fault::Outcome { client: client.clone(), seq }.into());
                    }
                    self.check_realm(client, seq, position, pinned_realm_after(event, &replay.tenant))?;
                }
                Arrived::OfApp { app, event } => {
                    let changes = replay.take_in_of_app(app, event);
                    if changes.is_empty() {
                        continue;
                    }
                    let stored = self.snapshot.corrections(position, Some(client))?.next().transpose()?;
                    if stored.as_ref().is_none_or(|(of, stored)| of != client || *stored != changes) {
                        return Err(Fault::Corrections { position, client: client.clone() }.into());
                    }
                    self.corrections += 1;
                }
            }
        }
        let row = TenantRow { seq: *seq, position: *position, tenant: replay.tenant };
        if self.snapshot.tenant(client)?.as_ref() != Some(&row) {
            return Err(Fault::State(client.clone()).into());
        }
        self.tenants += 1;
        self.done += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn check_realm(
        &self,
        client: &ClientKey,
        seq: u64,
        position: u64,
        realm: Option<ledger_core::realm::Realm>,
    ) -> Result<(), VerifyError> {
        let leaf = self.snapshot.leaf(position)?;
        let missing = || ReadError::from(damaged(Family::Leaves, &key::position(position), Damage::Missing));
        if leaf.ok_or_else(missing)?.pinned_realm == realm {
            Ok(())
        } else {
            Err(Fault::Realm { client: client.clone(), seq }.into())
        }
    }

    /// There are no others than those that tenants have.
    fn count_corrections(&self) -> Result<(), VerifyError> {
        let mut found = 0;
        for (position, _) in self.apps.values().flatten() {
            found += count(self.snapshot.corrections(*position, None)?)?;
        }
        if found == self.corrections {
            Ok(())
        } else {
            Err(Fault::Count { what: "corrections by app-level events", found, counted: self.corrections }
                .into())
        }
    }
}

/// A tenant's records, and what was set for the apps in them.
fn arrivals<'r>(records: &'r [Record], apps: &'r AppEvents) -> BTreeMap<u64, Arrived<'r>> {
    let mut arrivals = BTreeMap::new();
    let mut own = BTreeSet::new();
    for record in records {
        let Content::Event { event, outcome, .. } = &record.content else { continue };
        own.extend(event.app());
        arrivals.insert(record.position, Arrived::OwnRecord { seq: record.seq, event, outcome });
    }
    for app in own {
        for (position, event) in apps.get(app).into_iter().flatten() {
            arrivals.insert(*position, Arrived::OfApp { app, event });
        }
    }
    arrivals
}

#[derive(Default)]
struct Replay<'r> {
    tenant: Tenant,
    apps: AppTimelines,
    history: Vec<Entry<'r>>,
}

impl<'r> Replay<'r> {
    fn take_in(&mut self, entry: Entry<'r>) -> Outcome {
        let outcome = self.tenant.take_in(&self.history, entry, &self.apps);
        self.history.push(entry);
        outcome
    }

    fn take_in_of_app(&mut self, app: &AppKey, event: &Event) -> Vec<ledger_core::tenant::Change> {
        let Body::App { fact, .. } = &event.body else { return Vec::new() };
        if !self.tenant.looked_up_since(app, event.time) {
            self.apps.insert(app, event.time, event.id.clone(), fact);
            return Vec::new();
        }
        let before = self.apps.clone();
        self.apps.insert(app, event.time, event.id.clone(), fact);
        let (tenant, changes) = Tenant::corrections_of_app_event(&self.history, &before, &self.apps, app);
        self.tenant = tenant;
        changes
    }
}
