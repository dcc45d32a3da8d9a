//! An installation as it looked at an instant: what every answer about installations is made of.

use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_core::view::View;
use ledger_record::json::state::{Shown, StateJson};
use serde::{Serialize, Serializer};

/// An installation as it looked at an instant. Serialises as the state of the interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The tenant.
    pub client: ClientKey,
    /// The app.
    pub app: AppKey,
    /// The folded state.
    pub installation: Installation,
    /// Where the tenant's product is.
    pub product_realm: Option<Realm>,
    /// Of the app, as known.
    pub timeline: Arc<AppTimeline>,
    /// The highest seq of the tenant that was recorded up to `known`.
    pub seq: u64,
    /// The instant.
    pub as_of: Timestamp,
}

impl State {
    /// What is derived for the instant.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.installation.view(self.product_realm, &self.timeline, self.as_of)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = self.view();
        let shown = Shown {
            client: &self.client,
            app: &self.app,
            installation: &self.installation,
            product_realm: self.product_realm,
            view: &view,
            seq: self.seq,
            as_of: self.as_of,
        };
        StateJson::of(shown).serialize(serializer)
    }
}
