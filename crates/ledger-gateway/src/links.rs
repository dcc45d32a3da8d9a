//! From Connect to Forge: the installation that a site had under its Connect client key goes on under its cloud id.
//!
//! Connect's `installed` has the id of the Forge installation once an app is on its way, so the ledger may know it by
//! another client key when its first call arrives. Then both are told: `continued` to the new one, `superseded` to the
//! old one, with the evidence `connect-installed`. The site's host alone is no such evidence.
//!
//! Who knows is asked beside the call, never in its way. What it could not say is asked again.

use std::fmt;

use ledger_core::event::{Event, Evidence, InstallationFact};
use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::realm::Realm;

use crate::record::Stamp;

/// Whoever knows the installations of the ledger.
pub trait KnownInstallations: Send + Sync + fmt::Debug {
    /// The installations of an app that have this id at Atlassian. Blocks until it is known or cannot be.
    fn with_id(&self, app: &AppKey, installation_id: &str) -> Result<Vec<KnownInstallation>, LookupFailed>;
}

/// An installation, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstallation {
    /// Whose.
    pub client: ClientKey,
    /// Where it is pinned.
    pub realm: Option<Realm>,
    /// Where it goes on, if that is known already.
    pub successor: Option<ClientKey>,
    /// What it goes on from, if that is known already.
    pub predecessor: Option<ClientKey>,
}

/// The ledger could not say.
#[derive(Debug, thiserror::Error)]
#[error("the ledger does not know now which installations have an id: {reason}")]
pub struct LookupFailed {
    /// Why.
    pub reason: String,
}

/// What is to be recorded of what the ledger knows about a new installation; none if nothing is.
pub(crate) fn events(stamp: Stamp<'_>, new: &ClientKey, known: &[KnownInstallation]) -> Vec<Event> {
    let others = known.iter().filter(|old| old.client != *new);
    // The old one may have been installed again since, beside the new one: that makes no second beginning.
    let is_told =
        |old: &ClientKey| known.iter().any(|one| one.client == *new && one.predecessor.as_ref() == Some(old));
    others
        .filter(|old| old.successor.as_ref() != Some(new) && !is_told(&old.client))
        .filter_map(|old| {
            let key = |client: &ClientKey| InstallationKey { client: client.clone(), app: stamp.app.clone() };
            let evidence = Evidence::new("connect-installed").ok()?;
            let from = key(&old.client);
            let continued =
                InstallationFact::Continued { from, from_realm: old.realm, evidence: evidence.clone() };
            let superseded = InstallationFact::Superseded { to: key(new), evidence };
            Some([stamp.of_fact(new.clone(), continued)?, stamp.of_fact(old.client.clone(), superseded)?])
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use ledger_core::time::Timestamp;

    use super::*;

    #[test]
    fn both_installations_are_told_unless_they_know() {
        let (app, new) = (AppKey::new("app").unwrap(), ClientKey::new("cloud").unwrap());
        let stamp =
            Stamp { time: Timestamp::from_millis(1), realm: Realm::GLOBAL, app: &app, record_actor: true };
        let known = |client: &str, successor: Option<&str>| KnownInstallation {
            client: ClientKey::new(client).unwrap(),
            realm: Realm::parse("EU").ok(),
            successor: successor.map(|client| ClientKey::new(client).unwrap()),
            predecessor: None,
        };
        let told = events(stamp, &new, &[known("cloud", None), known("acme", None)]);
        let told: Vec<_> =
            told.iter().map(|event| (event.type_name(), event.client().unwrap().as_str())).collect();
        assert_eq!(told, [("continued", "cloud"), ("superseded", "acme")]);
        assert_eq!(events(stamp, &new, &[known("acme", Some("cloud"))]), []);
        assert_eq!(events(stamp, &new, &[known("acme", Some("elsewhere"))]).len(), 2);
        assert_eq!(events(stamp, &new, &[]), []);
        // Installed again, it has no successor any more; the new one still goes on from it.
        let linked = KnownInstallation { predecessor: ClientKey::new("acme").ok(), ..known("cloud", None) };
        assert_eq!(events(stamp, &new, &[linked.clone(), known("acme", None)]), []);
        assert_eq!(events(stamp, &new, &[linked, known("other", None)]).len(), 2);
    }
}
