//! Of which apps a principal sees the installations.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger_core::ids::AppKey;
use ledger_core::tenant::Tenant;

/// Stands for all apps, in configurations and claims.
const EVERY: &str = "*";

/// The apps whose installations are seen. A copy is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Grants {
    /// All of them, and what belongs to no app.
    #[default]
    All,
    /// These.
    Apps(Arc<BTreeSet<AppKey>>),
}

impl Grants {
    /// Reads exact app keys, or `*` for all; the error is the one that is no app key.
    pub fn parse<T: AsRef<str>>(keys: &[T]) -> Result<Self, String> {
        if keys.iter().any(|key| key.as_ref() == EVERY) {
            return Ok(Self::All);
        }
        let parse = |key: &T| AppKey::new(key.as_ref()).map_err(|_| key.as_ref().to_owned());
        Ok(Self::Apps(Arc::new(keys.iter().map(parse).collect::<Result<_, _>>()?)))
    }

    /// As they are written: app keys, or `*`.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::All => vec![EVERY.to_owned()],
            Self::Apps(apps) => apps.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether installations of this app are seen.
    #[must_use]
    pub fn has(&self, app: &AppKey) -> bool {
        self.apps().is_none_or(|apps| apps.contains(app))
    }

    /// The apps, where they are not all.
    #[must_use]
    pub fn apps(&self) -> Option<&Arc<BTreeSet<AppKey>>> {
        match self {
            Self::All => None,
            Self::Apps(apps) => Some(apps),
        }
    }

    /// Whether one of a tenant's installations is seen.
    pub(crate) fn has_some_of(&self, tenant: &Tenant) -> bool {
        self.apps().is_none_or(|apps| apps.iter().any(|app| tenant.installations.contains_key(app)))
    }

    /// Leaves a tenant the installations that are seen.
    pub(crate) fn retain_in(&self, tenant: &mut Tenant) {
        let Self::Apps(apps) = self else { return };
        let hidden: Vec<AppKey> =
            tenant.installations.keys().filter(|app| !apps.contains(*app)).cloned().collect();
        for app in hidden {
            tenant.installations.remove(&app);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_exact_keys_or_all() {
        let some = Grants::parse(&["com.example.app", "b"]).unwrap();
        let has = |grants: &Grants, app: &str| grants.has(&AppKey::new(app).unwrap());
        assert!(has(&some, "b") && has(&some, "com.example.app"));
        assert!(!has(&some, "com.example") && !has(&some, "com.example.app2") && !has(&some, "B"));
        assert_eq!(some.texts(), ["b", "com.example.app"]);
        assert_eq!(Grants::parse(&["b", "*"]).unwrap(), Grants::All);
        assert!(has(&Grants::All, "anything"));
        let none = Grants::parse::<&str>(&[]).unwrap();
        assert!(!has(&none, "b"), "no grant is not all of them");
        assert_eq!(Grants::parse(&["good", ""]).unwrap_err(), "");
    }
}
