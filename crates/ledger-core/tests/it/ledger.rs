//! A ledger in memory that appends records in arrival order: the incremental path in a few lines.

use std::collections::BTreeMap;

use ledger_core::event::{Body, Event};
use ledger_core::ids::ClientKey;
use ledger_core::refold::Refold;
use ledger_core::tenant::{Change, Entry, Outcome, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) tenants: BTreeMap<ClientKey, TenantLog>,
    pub(crate) apps: AppTimelines,
    app_events: Vec<Event>,
}

/// A tenant's log and its incrementally folded state.
#[derive(Default)]
pub(crate) struct TenantLog {
    pub(crate) log: Vec<Event>,
    pub(crate) tenant: Tenant,
    history: Refold<Event>,
    pub(crate) outcomes: Vec<Outcome>,
    /// The corrections of the last app-level event.
    pub(crate) app_event_changes: Vec<Change>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Appended,
    Duplicate,
    Conflict,
}

impl TenantLog {
    pub(crate) fn entries(&self) -> Vec<Entry<'_>> {
        self.log.iter().zip(1..).map(|(event, seq)| Entry { seq, event }).collect()
    }
}

impl Ledger {
    pub(crate) fn from_events(events: impl IntoIterator<Item = Event>) -> Self {
        let mut ledger = Self::default();
        for event in events {
            ledger.append(event);
        }
        ledger
    }

    pub(crate) fn append(&mut self, event: Event) -> Arrival {
        match event.client().cloned() {
            Some(client) => self.append_for_tenant(client, event),
            None => self.append_for_app(event),
        }
    }

    fn append_for_tenant(&mut self, client: ClientKey, event: Event) -> Arrival {
        let kept = self.tenants.entry(client).or_default();
        if let Some(repeat) = repeats(&kept.log, &event) {
            return repeat;
        }
        let seq = kept.log.len() as u64 + 1;
        let is_late = kept.tenant.is_late(&event, &self.apps);
        let outcome = kept.history.append(&mut kept.tenant, seq, event.clone(), &self.apps);
        assert_eq!(outcome.late, is_late);
        kept.outcomes.push(outcome);
        kept.log.push(event);
        Arrival::Appended
    }

    fn append_for_app(&mut self, event: Event) -> Arrival {
        let Body::App { app, fact } = &event.body else {
            unreachable!("only app-level events have no tenant")
        };
        let same_app: Vec<_> =
            self.app_events.iter().filter(|known| known.app() == Some(app)).cloned().collect();
        if let Some(repeat) = repeats(&same_app, &event) {
            return repeat;
        }
        let mut after = self.apps.clone();
        after.insert(app, event.time, event.id.clone(), fact);
        for kept in self.tenants.values_mut() {
            kept.app_event_changes.clear();
            if kept.tenant.looked_up_since(app, event.time) {
                let of = (app, event.time);
                kept.app_event_changes = kept.history.correct(&mut kept.tenant, of, &self.apps, &after);
            }
        }
        self.apps = after;
        self.app_events.push(event);
        Arrival::Appended
    }

    /// Every tenant folded from zero.
    pub(crate) fn folded_anew(&self, at: Timestamp) -> BTreeMap<ClientKey, Tenant> {
        let folded = |(client, kept): (&ClientKey, &TenantLog)| {
            (client.clone(), Tenant::as_of(&kept.entries(), &self.apps, at))
        };
        self.tenants.iter().map(folded).collect()
    }

    pub(crate) fn incremental(&self) -> BTreeMap<ClientKey, Tenant> {
        self.tenants.iter().map(|(client, kept)| (client.clone(), kept.tenant.clone())).collect()
    }
}

fn repeats(log: &[Event], event: &Event) -> Option<Arrival> {
    let known = log.iter().find(|known| known.id == event.id && known.app() == event.app())?;
    Some(if known == event { Arrival::Duplicate } else { Arrival::Conflict })
}
