//! A tenant's records, taken in again in the order in which they were recorded, those of its apps among them: what the
//! ledger said when it appended each of them follows from nothing else.

use ledger_core::event::{Body, Event};
use ledger_core::ids::AppKey;
use ledger_core::refold::Refold;
use ledger_core::tenant::{Change, Outcome, Tenant};
use ledger_core::timeline::AppTimelines;

/// A tenant as of the records so far.
#[derive(Debug, Default)]
pub struct Replay<'r> {
    tenant: Tenant,
    apps: AppTimelines,
    history: Refold<&'r Event>,
}

impl<'r> Replay<'r> {
    /// Takes in the tenant's next event.
    pub fn append(&mut self, seq: u64, event: &'r Event) -> Outcome {
        self.history.append(&mut self.tenant, seq, event, &self.apps)
    }

    /// Takes in an event of an app. Returns what it corrects where it is late.
    pub fn append_to_app(&mut self, app: &AppKey, event: &Event) -> Vec<Change> {
        let Body::App { fact, .. } = &event.body else { return Vec::new() };
        let before = self.tenant.looked_up_since(app, event.time).then(|| self.apps.clone());
        self.apps.insert(app, event.time, event.id.clone(), fact);
        before.map_or_else(Vec::new, |before| {
            self.history.correct(&mut self.tenant, (app, event.time), &before, &self.apps)
        })
    }

    /// The tenant so far.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The tenant at the end.
    #[must_use]
    pub fn into_tenant(self) -> Tenant {
        self.tenant
    }
}
