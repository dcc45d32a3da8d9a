//! The frozen numbers of closed sets of words. A number is never given again, nor to another word.

use ledger_core::event::SubscriptionState;
use ledger_core::state::{AnomalyCode, MigrationOutcome, MigrationPhase, PinnedBy, Rule, Status};

use super::parts::Coded;
use crate::rejection::Reason;

macro_rules! codes {
    ($($type:ident { $($code:literal => $variant:ident,)+ })+) => {$(
        impl Coded for $type {
            fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)+ }
            }

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

codes! {
    Status { 0 => None, 1 => Installed, 2 => Uninstalled, }
    PinnedBy { 1 => Observed, 2 => Expected, 3 => Migrated, 4 => Overridden, }
    MigrationPhase { 1 => Scheduled, 2 => Started, }
    MigrationOutcome { 1 => Committed, 2 => RolledBack, }
    SubscriptionState { 1 => Active, 2 => Inactive, }
    Rule {
        1 => Refresh,
        2 => ImplicitReinstall,
        3 => Overridden,
        4 => Fresh,
        5 => PriorUnknown,
        6 => WindowForgotten,
        7 => PersistenceOff,
        8 => WindowExpired,
        9 => RealmWithdrawn,
        10 => Persisted,
        11 => Continued,
    }
    AnomalyCode {
        1 => InvalidRealmPersistence,
        2 => InvalidRealmPersistenceDays,
        3 => DescriptorUnknown,
        4 => SubscriptionUnknown,
        5 => EndpointMismatch,
        6 => ExpectationCorrected,
        7 => StaleEndpoint,
        8 => InstallationIdChanged,
        9 => InstallNotSeen,
        10 => UninstallWithoutInstall,
        11 => UninstallRepeated,
        12 => UninstallOvertaken,
        13 => EnabledNotInstalled,
        14 => MigrationAlreadyFinished,
        15 => MigrationNotInstalled,
        16 => MigrationSuperseded,
        17 => MigrationUnscheduled,
        18 => MigrationTargetUnknown,
        19 => MigrationSourceMismatch,
        20 => MigrationAbandoned,
        21 => MigrationReverted,
        22 => OverrideNotSet,
        23 => OverrideWithoutUrl,
        24 => NoOpenWindow,
        25 => UninstallOfAnotherInstallation,
        26 => EndpointWithoutUrl,
        27 => MigrationOverdue,
        28 => ContinuationReplaced,
    }
    Reason {
        1 => Undecodable,
        2 => UnsupportedType,
        3 => MissingField,
        4 => InvalidField,
        5 => KeyMismatch,
        6 => EventIdConflict,
        7 => TimeInFuture,
        8 => TooLarge,
    }
}
