//! Which Forge installations were seen where: each is recorded once a day and realm, its licence when it changes.
//!
//! It is in memory only. After a restart each is recorded once more, which the rules take as a refresh.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;

use crate::limits::SIGHTINGS_MAX;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What was seen of all installations.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashMap<String, Sighting>>);

#[derive(Debug, Default, Clone)]
struct Sighting {
    /// The day on which it was seen last, by realm.
    days: Vec<(Realm, i64)>,
    is_active: Option<bool>,
    /// The day on which the ledger was asked for its predecessor.
    asked_on: Option<i64>,
    is_linked: bool,
    is_gone: bool,
}

/// What is new about an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// It was not seen in that realm today.
    pub(crate) is_sighting: bool,
    /// Its licence is not what it was.
    pub(crate) is_license: bool,
}

impl Sightings {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sighting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, installation: &str, change: impl FnOnce(&mut Sighting) -> T) -> T {
        let mut all = self.lock();
        if all.len() >= SIGHTINGS_MAX && !all.contains_key(installation) {
            all.clear();
        }
        change(all.entry(installation.to_owned()).or_default())
    }

    /// Takes note of a call. Whoever does so first records it, and takes it back if that fails.
    pub(crate) fn see(
        &self,
        installation: &str,
        realm: Realm,
        at: Timestamp,
        is_active: Option<bool>,
    ) -> News {
        let today = day(at);
        self.with(installation, |sighting| {
            let is_license = is_active.is_some() && is_active != sighting.is_active;
            sighting.is_active = is_active.or(sighting.is_active);
            let is_seen = sighting.days.contains(&(realm, today));
            if !is_seen {
                sighting.days.retain(|(other, _)| *other != realm);
                sighting.days.push((realm, today));
            }
            // What is gone is not installed by a call that was under way.
            News { is_sighting: !is_seen && !sighting.is_gone, is_license: is_license && !sighting.is_gone }
        })
    }

    /// The installation ends: it is not seen any more. Another one of the tenant has another id.
    pub(crate) fn end(&self, installation: &str) {
        self.with(installation, |sighting| sighting.is_gone = true);
    }

    /// Whether it was told that it ends.
    pub(crate) fn is_gone(&self, installation: &str) -> bool {
        self.lock().get(installation).is_some_and(|sighting| sighting.is_gone)
    }

    /// Nothing of an installation was recorded: it is as if it was never seen.
    pub(crate) fn forget(&self, installation: &str) {
        self.lock().remove(installation);
    }

    /// Whether the ledger is to be asked whether it knows the installation by another client key: once a day until it does.
    pub(crate) fn asks_for_link(&self, installation: &str, at: Timestamp) -> bool {
        let today = Some(day(at));
        self.with(installation, |sighting| {
            let asks = !sighting.is_linked && sighting.asked_on != today;
            sighting.asked_on = today;
            asks
        })
    }

    /// What came of asking: it is linked, or the ledger could not say and is asked again with the next call.
    pub(crate) fn set_link(&self, installation: &str, is_linked: bool, is_known: bool) {
        self.with(installation, |sighting| {
            sighting.is_linked = is_linked;
            if !is_known {
                sighting.asked_on = None;
            }
        });
    }
}

const fn day(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_news_once_a_day_and_realm_and_its_licence_when_it_changes() {
        let (sightings, eu) = (Sightings::default(), Realm::parse("EU").unwrap());
        let see = |realm, day: i64, active| {
            let News { is_sighting, is_license } =
                sightings.see("i", realm, Timestamp::from_millis(day * DAY_MS + 7), active);
            (is_sighting, is_license)
        };
        assert_eq!(see(eu, 1, None), (true, false));
        assert_eq!(see(eu, 1, Some(true)), (false, true));
        assert_eq!(see(Realm::GLOBAL, 1, Some(true)), (true, false));
        assert_eq!(see(eu, 1, None), (false, false), "no licence says nothing");
        assert_eq!(see(eu, 2, Some(false)), (true, true));
        sightings.forget("i");
        assert_eq!(see(eu, 2, Some(false)), (true, true));
        sightings.end("i");
        assert_eq!(see(eu, 3, Some(true)), (false, false), "a call that was under way");
    }

    #[test]
    fn the_ledger_is_asked_once_a_day_until_it_links_and_again_when_it_could_not_say() {
        let sightings = Sightings::default();
        let asks = |day: i64| sightings.asks_for_link("i", Timestamp::from_millis(day * DAY_MS));
        assert!(asks(1) && !asks(1));
        sightings.set_link("i", false, false);
        assert!(asks(1) && !asks(1));
        sightings.set_link("i", false, true);
        assert!(!asks(1) && asks(2));
        sightings.set_link("i", true, true);
        assert!(!asks(3));
    }
}
