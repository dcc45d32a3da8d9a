//! What is asked for: the instant, the knowledge, and which installations.

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::{Installation, Status, Window};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_core::view::MigrationView;
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
    /// With a pending migration.
    pub migration: Option<MigrationFilter>,
}

/// Which pending migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MigrationFilter {
    /// Those that are overdue, or those that are not yet; all unless given.
    pub overdue: Option<bool>,
}

impl Filter {
    /// Whether an installation belongs on the list.
    pub(super) fn takes(
        &self,
        app: &AppKey,
        installation: &Installation,
        product: Option<Realm>,
        timeline: &AppTimeline,
        at: Timestamp,
    ) -> bool {
        let Self { app: of, status, realm, drift, split_brain, window, anomalous, migration } = self;
        let view = installation.view(product, timeline, at);
        of.as_ref().is_none_or(|of| of == app)
            && status.is_none_or(|status| status == installation.status)
            && realm.is_none_or(|realm| installation.pinned_realm() == Some(realm))
            && drift.is_none_or(|drift| drift == view.drift)
            && split_brain.is_none_or(|split| split == view.split_brain)
            && window.is_none_or(|asked| asked.takes(installation.window.as_ref(), at))
            && anomalous.is_none_or(|anomalous| anomalous == (installation.anomalies.count() > 0))
            && migration.is_none_or(|asked| view.migration.is_some_and(|pending| asked.takes(pending)))
    }

    /// Tells this list from others, whatever version of the program asks: goes into cursors.
    pub(super) fn fingerprint(&self, as_of: AsOf) -> u64 {
        let Self { app, status, realm, drift, split_brain, window, anomalous, migration } = self;
        let instant = |instant: Timestamp| instant.as_millis().to_string();
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        let window = window.map(|window| match window {
            WindowFilter::Open => "open".to_owned(),
            WindowFilter::ClosingBefore(end) => instant(end),
        });
        let known = match as_of.known {
            Known::All => None,
            Known::Seq(seq) => Some(format!("seq {seq}")),
            Known::Recorded(until) => Some(instant(until)),
        };
        let parts = [
            app.as_ref().map(ToString::to_string),
            status.map(|status| status.as_str().to_owned()),
            realm.map(|realm| realm.to_string()),
            flag(*drift),
            flag(*split_brain),
            window,
            flag(*anomalous),
            migration.map(|asked| format!("pending {}", flag(asked.overdue).unwrap_or_default())),
            as_of.at.map(instant),
            known,
        ];
        let text = parts.map(Option::unwrap_or_default).join("\0");
        // FNV-1a: small, and the same everywhere; nobody gains anything by making two lists look alike.
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl MigrationFilter {
    fn takes(self, pending: MigrationView) -> bool {
        self.overdue.is_none_or(|overdue| overdue == pending.overdue)
    }
}

impl WindowFilter {
    fn takes(self, window: Option<&Window>, at: Timestamp) -> bool {
        let Some(window) = window.filter(|window| window.is_open_at(at)) else {
            return false;
        };
        match self {
            Self::Open => true,
            Self::ClosingBefore(instant) => window.end.is_some_and(|end| end < instant),
        }
    }
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
    /// When, and by what was known when.
    pub as_of: AsOf,
}
