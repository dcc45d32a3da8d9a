//! Which call it is.

/// A call that the gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// `connect/…`
    Connect(Lifecycle),
    /// `migration/…`, of Connect or of Forge.
    Migration(Phase),
    /// `forge`: lifecycle events and `preUninstall`.
    Forge,
    /// `forge/seen`: a copy of any call with a Forge token.
    Seen,
}

/// What happened to a Connect app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// `installed`
    Installed,
    /// `uninstalled`
    Uninstalled,
    /// `enabled`
    Enabled,
    /// `disabled`
    Disabled,
}

/// A step of a realm migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `schedule`
    Schedule,
    /// `start`
    Start,
    /// `status`: a question, never recorded.
    Status,
    /// `commit`
    Commit,
    /// `rollback`
    Rollback,
}

/// Every hook: its path below app and realm, and its path at the app unless that is configured.
const HOOKS: [(Hook, &str, &str); 11] = [
    (Hook::Connect(Lifecycle::Installed), "connect/installed", "/installed"),
    (Hook::Connect(Lifecycle::Uninstalled), "connect/uninstalled", "/uninstalled"),
    (Hook::Connect(Lifecycle::Enabled), "connect/enabled", "/enabled"),
    (Hook::Connect(Lifecycle::Disabled), "connect/disabled", "/disabled"),
    (Hook::Migration(Phase::Schedule), "migration/schedule", "/migration/schedule"),
    (Hook::Migration(Phase::Start), "migration/start", "/migration/start"),
    (Hook::Migration(Phase::Status), "migration/status", "/migration/status"),
    (Hook::Migration(Phase::Commit), "migration/commit", "/migration/commit"),
    (Hook::Migration(Phase::Rollback), "migration/rollback", "/migration/rollback"),
    (Hook::Forge, "forge", "/forge"),
    (Hook::Seen, "forge/seen", ""),
];

impl Hook {
    /// Those that an app can be called with, by the path below app and realm.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        HOOKS.into_iter().map(|(hook, name, _)| (hook, name))
    }

    /// The hook of a path below app and realm.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        HOOKS.into_iter().find(|(_, name, _)| *name == path).map(|(hook, ..)| hook)
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        HOOKS.into_iter().find(|(hook, ..)| *hook == self).unwrap_or(HOOKS[10])
    }

    /// Its path below app and realm, which names it in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its path at an app that says nothing else.
    pub(crate) fn usual_path(self) -> &'static str {
        self.row().2
    }

    /// Forwarded whatever becomes of the journal or the keys: a ledger that is in trouble must not fail a migration.
    pub(crate) const fn is_always_forwarded(self) -> bool {
        matches!(self, Self::Migration(Phase::Status | Phase::Rollback))
    }

    /// Whether a call with this method can be it.
    pub(crate) fn takes(self, method: &str) -> bool {
        method == "POST" || (method == "GET" && self == Self::Migration(Phase::Status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_has_its_path_and_nothing_else_is_one() {
        for (hook, name) in Hook::all() {
            assert_eq!(Hook::parse(name), Some(hook));
            assert_eq!(hook.name(), name);
        }
        for other in ["", "connect", "connect/", "connect/Installed", "forge/", "migration/abort", "/forge"] {
            assert_eq!(Hook::parse(other), None, "{other}");
        }
        let status = Hook::Migration(Phase::Status);
        assert!(status.takes("GET") && status.takes("POST") && !Hook::Forge.takes("GET"));
    }
}
