//! An installation as it looked at an instant: what every answer about installations is made of.

use std::sync::Arc;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_core::view::View;
use serde::{Serialize, Serializer};

/// An installation as it looked at an instant. Serialises as the state of the interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationState {
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

impl InstallationState {
    /// What is derived for the instant.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.installation.view(self.product_realm, &self.timeline, self.as_of)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateJson<'a> {
    client_key: &'a ClientKey,
    app_key: &'a AppKey,
    #[serde(rename = "")]
    view: View<'a>,
    seq: u64,
    as_of: Timestamp,
}

impl Serialize for InstallationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { client, app, seq, as_of, .. } = self;
        StateJson { client_key: client, app_key: app, view: self.view(), seq: *seq, as_of: *as_of }
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use ledger_record::json;

    use super::*;

    #[test]
    fn a_state_is_its_keys_its_view_and_what_it_is_as_of() {
        let state = InstallationState {
            client: ClientKey::new("acme").unwrap(),
            app: AppKey::new("app").unwrap(),
            installation: Installation::default(),
            product_realm: None,
            timeline: Arc::default(),
            seq: 5,
            as_of: Timestamp::from_millis(0),
        };
        let expected = concat!(
            r#"{"clientKey":"acme","appKey":"app","status":"NONE","enabled":false,"drift":false,"#,
            r#""splitBrain":false,"anomalyCount":0,"seq":5,"asOf":"1970-01-01T00:00:00.000Z"}"#,
        );
        assert_eq!(json::to_string(&state).unwrap(), expected);
    }
}
