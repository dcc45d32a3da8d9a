//! Which installations to list.

use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_core::state::{Installation, Status, Window};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimeline;
use ledger_core::view::MigrationView;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cursor::fingerprint;
use super::parameters::text;

/// Which installations to list. What is `None` does not matter; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Of this app.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
    /// With this status.
    #[serde(with = "text")]
    pub status: Option<Status>,
    /// Pinned to this realm.
    #[serde(with = "text")]
    pub realm: Option<Realm>,
    /// Pinned elsewhere than aligned, or not.
    pub drift: Option<bool>,
    /// With data elsewhere than pinned, or not.
    pub split_brain: Option<bool>,
    /// With an open window; the list is then ordered by its end, soonest first, instead of by key.
    #[serde(with = "window")]
    pub window: Option<WindowFilter>,
    /// With at least one anomaly, or without any.
    pub anomalous: Option<bool>,
    /// With a pending migration: for a list of its own.
    #[serde(skip)]
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
    pub(super) fn fingerprint(&self, at: Option<Timestamp>, known_at: Option<Timestamp>) -> u64 {
        let Self { app, status, realm, drift, split_brain, window, anomalous, migration } = self;
        let instant = |instant: Timestamp| instant.as_millis().to_string();
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        let window = window.map(|window| match window {
            WindowFilter::Open => "open".to_owned(),
            WindowFilter::ClosingBefore(end) => instant(end),
        });
        let parts = [
            app.as_ref().map(ToString::to_string),
            status.map(|status| status.as_str().to_owned()),
            realm.map(|realm| realm.to_string()),
            flag(*drift),
            flag(*split_brain),
            window,
            flag(*anomalous),
            migration.map(|asked| format!("pending {}", flag(asked.overdue).unwrap_or_default())),
            at.map(instant),
            known_at.map(instant),
        ];
        fingerprint(&parts.each_ref().map(|part| part.as_deref().unwrap_or_default()))
    }
}

impl MigrationFilter {
    fn takes(self, pending: MigrationView<'_>) -> bool {
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WindowParameters {
    window: Option<OpenWindow>,
    #[serde(with = "text")]
    window_closing_before: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
enum OpenWindow {
    #[serde(rename = "OPEN")]
    Open,
}

mod window {
    use super::{
        Deserialize as _, Deserializer, OpenWindow, Serialize as _, Serializer, WindowFilter,
        WindowParameters,
    };

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(window: &Option<WindowFilter>, to: S) -> Result<S::Ok, S::Error> {
        let (window, window_closing_before) = match *window {
            None => (None, None),
            Some(WindowFilter::Open) => (Some(OpenWindow::Open), None),
            Some(WindowFilter::ClosingBefore(instant)) => (None, Some(instant)),
        };
        WindowParameters { window, window_closing_before }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WindowFilter>, D::Error> {
        let WindowParameters { window, window_closing_before } = WindowParameters::deserialize(from)?;
        let closing = window_closing_before.map(WindowFilter::ClosingBefore);
        Ok(closing.or(window.map(|OpenWindow::Open| WindowFilter::Open)))
    }
}
