//! What is asked for: the instant, the knowledge, and which installations.

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Status;
use ledger_core::time::Timestamp;
use ledger_store::Known;

/// What was true at an instant, as far as it was known (rules 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// Events up to and with this time; now unless given.
    pub at: Option<Timestamp>,
    /// Recorded so far.
    pub known: Known,
}

impl Default for AsOf {
    /// Now, and everything recorded.
    fn default() -> Self {
        Self { at: None, known: Known::All }
    }
}

/// Which installations to list. What is `None` does not matter; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this app.
    pub app: Option<AppKey>,
    /// With this status.
    pub status: Option<Status>,
    /// Pinned to this realm.
    pub realm: Option<Realm>,
    /// Pinned elsewhere than aligned, or not.
    pub drift: Option<bool>,
    /// With data elsewhere than pinned, or not.
    pub split_brain: Option<bool>,
    /// With an open window; the list is then ordered by its end, soonest first, instead of by key.
    pub window: Option<WindowFilter>,
    /// With at least one anomaly, or without any.
    pub anomalous: Option<bool>,
}

/// Which open windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowFilter {
    /// All, those without end last.
    Open,
    /// Those that end before this instant.
    ClosingBefore(Timestamp),
}

/// "If it were installed now."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Who would install.
    pub client: ClientKey,
    /// What would be installed.
    pub app: AppKey,
    /// Where the product would be; as known unless given.
    pub product_realm: Option<Realm>,
    /// When; now unless given.
    pub at: Option<Timestamp>,
}
