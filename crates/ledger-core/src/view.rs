//! What depends on the moment of asking (rules 6.7): never stored, never stale.

use crate::descriptor::aligned;
use crate::fold::install::are_different;
use crate::realm::Realm;
use crate::state::{Installation, PendingMigration, Status, Window};
use crate::time::Timestamp;
use crate::timeline::AppTimeline;
use crate::words;

/// An installation as it looks at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// Where the pinned realm is served; absent when it is not.
    pub base_url: Option<&'a str>,
    /// Where the product's realm would put the app.
    pub aligned_realm: Option<Realm>,
    /// Installed elsewhere than the product's realm would put it.
    pub drift: bool,
    /// Installed elsewhere than where the data rests.
    pub split_brain: bool,
    /// The window, if there is one.
    pub window: Option<WindowView>,
    /// The pending migration, if there is one.
    pub migration: Option<MigrationView>,
}

/// A pending migration as it looks at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationView {
    /// When its commit or rollback was to be seen.
    pub due_by: Timestamp,
    /// Neither was seen by then.
    pub overdue: bool,
}

/// A window as it looks at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowView {
    /// Open or closed.
    pub state: WindowState,
    /// The countdown, if it is open and ends.
    pub remaining_ms: Option<i64>,
}

words! {
    /// Whether a window is open.
    pub enum WindowState {
        /// A reinstall comes back to the pinned realm.
        Open = "OPEN",
        /// It does not.
        Closed = "CLOSED",
    }
}

impl Installation {
    /// What is derived at an instant, for a tenant whose product is in `product`.
    #[must_use]
    pub fn view<'a>(&'a self, product: Option<Realm>, timeline: &'a AppTimeline, at: Timestamp) -> View<'a> {
        let descriptor = self.descriptor_at(timeline, at);
        let pinned = self.pinned_realm();
        let aligned_realm = aligned(product, descriptor);
        let installed = self.status == Status::Installed;
        View {
            base_url: descriptor.zip(pinned).and_then(|(descriptor, realm)| descriptor.url_of(realm)),
            aligned_realm,
            drift: installed && are_different(pinned, aligned_realm),
            split_brain: installed && are_different(pinned, self.data_realm),
            window: self.window.map(|window| window.view(at)),
            migration: self.migration.as_ref().map(|pending| pending.view(at)),
        }
    }
}

impl PendingMigration {
    /// The migration at an instant.
    #[must_use]
    pub fn view(&self, at: Timestamp) -> MigrationView {
        let due_by = self.due_by();
        MigrationView { due_by, overdue: due_by < at }
    }
}

impl Window {
    /// The window at an instant.
    #[must_use]
    pub fn view(&self, at: Timestamp) -> WindowView {
        let open = self.is_open_at(at);
        WindowView {
            state: if open { WindowState::Open } else { WindowState::Closed },
            remaining_ms: self.end.filter(|_| open).map(|end| end.millis_since(at)),
        }
    }
}
