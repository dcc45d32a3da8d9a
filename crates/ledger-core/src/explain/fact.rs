//! What can hold of an installation, as data for programs.

use serde::Serialize;

use crate::event::SubscriptionState;
use crate::ids::{InstallationKey, MigrationId};
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{Decision, MigrationPhase, PinnedBy, Predecessor, Status, Window};
use crate::time::Timestamp;

/// What can hold of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Fact {
    /// No event of its own was recorded until then.
    NeverSeen,
    /// Installed or not.
    Present {
        /// Which of the three.
        status: Status,
        /// Whether it is enabled.
        enabled: bool,
        /// Its install was never seen: a later hook implied it.
        implied: bool,
    },
    /// It is pinned.
    Pinned {
        /// Where.
        realm: Realm,
        /// Since when.
        since: Timestamp,
        /// How that is known.
        by: PinnedBy,
    },
    /// Nothing says where it is.
    RealmUnknown,
    /// The last install that was more than a refresh.
    Decided(Decision),
    /// The window that the last decision met, or that there was none.
    WindowMet {
        /// The policy in force at the uninstall.
        policy: Policy,
        /// As the install met it.
        window: Option<Window>,
        /// It was open then.
        open: bool,
    },
    /// Earlier rows of the table of rules 6.1 that did not apply at the last decision.
    PassedOver {
        /// The first and the last of them, 1 to 14.
        rows: [u8; 2],
        /// Why not.
        because: WhyNot,
        /// The same for people, with the values it is about.
        #[serde(skip)]
        reason: String,
    },
    /// Where the product is, and where that would put the app.
    Product {
        /// Where the product is.
        realm: Realm,
        /// Where that would put the app; unknown without a descriptor.
        aligned: Option<Realm>,
        /// It is installed elsewhere.
        drift: bool,
    },
    /// Where the partner says the data rests.
    Data {
        /// Where.
        realm: Realm,
        /// It is installed elsewhere.
        split_brain: bool,
    },
    /// It stays pinned as long as it is installed.
    StaysWhileInstalled,
    /// The window that an uninstall at an instant would open, or that it would open none.
    UninstallWouldOpen {
        /// The instant.
        at: Timestamp,
        /// The policy in force then.
        policy: Policy,
        /// The window.
        window: Option<Window>,
    },
    /// The persistence window.
    WindowSet {
        /// As the uninstall opened it.
        window: Window,
        /// It is open at the moment of asking.
        open: bool,
    },
    /// The uninstall opened no window.
    NoWindow {
        /// The policy in force at the uninstall.
        policy: Policy,
    },
    /// The subscription holds the window open, or lets it run out.
    Subscribed {
        /// As last observed.
        state: SubscriptionState,
        /// First observation of this state in a row.
        since: Timestamp,
    },
    /// A migration is pending.
    MigrationPending {
        /// Which.
        #[serde(rename = "migrationId")]
        id: MigrationId,
        /// Where to.
        target: Option<Realm>,
        /// How far it got.
        phase: MigrationPhase,
        /// When its commit or rollback was to be seen.
        due_by: Timestamp,
        /// Neither was seen by then.
        overdue: bool,
    },
    /// It goes on from another installation.
    Continues {
        /// Which, and where that was.
        predecessor: Predecessor,
    },
    /// Another installation goes on where it was.
    Superseded {
        /// Which.
        successor: InstallationKey,
    },
    /// An operator's pin is in force.
    OverrideStands {
        /// Where.
        realm: Realm,
    },
    /// An install at an instant would be decided so.
    WouldInstall(Decision),
    /// A commit of the pending migration would move it.
    CommitWouldMove {
        /// Where to; the commit itself must say it when unknown.
        target: Option<Realm>,
    },
    /// A first hook from another realm would set the realm right.
    HookWouldCorrect,
    /// A hook from another realm would count as a reinstall that nobody saw.
    HookWouldReinstall {
        /// But one from here as the arrival of the pending migration (row 3).
        arrival: Option<Realm>,
    },
}

/// Why a row of the table did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNot {
    /// Rows 1 to 6: the app was not installed.
    NotInstalled,
    /// Row 1: the hook came from elsewhere than the pinned realm.
    CalledElsewhere,
    /// Rows 2 and 7: no override was set.
    NoOverride,
    /// Row 3: no migration to the observed realm was pending.
    NoMigrationThere,
    /// Row 4: no migration had left the observed realm within 24 hours.
    NotLeftLately,
    /// Row 5: the pinned realm was more than an expectation.
    PinWasSeen,
    /// Row 8: it had been uninstalled before.
    KnownBefore,
    /// Row 9: the realm before was known.
    RealmWasKnown,
    /// Row 10: no operator had ended the window.
    NotForgotten,
    /// Row 11: there was a window.
    HadWindow,
    /// Row 12: the window was still open.
    WindowWasOpen,
    /// Row 13: the app still served the realm, or nothing said that it did not.
    StillServed,
}
