//! An explanation: sentences for people, and the same facts as data.

use ledger_core::descriptor::Descriptor;
use ledger_core::event::SubscriptionState;
use ledger_core::explain::{Explanation, Fact, InForce, Statement, WhyNot};
use ledger_core::ids::{EventId, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{Decision, MigrationPhase, PinnedBy, Predecessor, Rule, Status, Window};
use ledger_core::time::Timestamp;
use serde::Serialize;

use super::time::format_instant;

/// Why an installation is where it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationJson<'a> {
    /// One statement each, in the order in which they are best read.
    pub sentences: Vec<SentenceJson<'a>>,
    /// The row of the table that decided; absent without a decision.
    pub rule: Option<Rule>,
    /// Its number in the table.
    pub row: Option<u8>,
    /// The policy and the descriptor in force at the moment of asking.
    pub in_force: InForceJson<'a>,
    /// The same at the decision.
    pub in_force_at_decision: Option<InForceJson<'a>>,
    /// The same at the last uninstall.
    pub in_force_at_uninstall: Option<InForceJson<'a>>,
    /// Every record of the tenant that the answer rests on, ascending.
    pub evidence: Vec<u64>,
    /// Every app-level event that the answer rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub app_evidence: Vec<&'a str>,
}

/// One statement and the records it rests on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SentenceJson<'a> {
    /// For people.
    pub text: String,
    /// Of the tenant.
    pub seqs: &'a [u64],
    /// Ids of app-level events, which have no seq of the tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub app_events: Vec<&'a str>,
    /// What part of the answer it is.
    pub role: Role,
    /// For programs.
    pub fact: FactJson<'a>,
}

/// What part of the answer a sentence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Whether it is there, and where.
    Answer,
    /// The decision it rests on.
    Decision,
    /// Rows of the table that lost, and why.
    Alternative,
    /// What else there is.
    Surroundings,
    /// Until when.
    Until,
    /// What would change it.
    Outlook,
}

/// What was in force.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InForceJson<'a> {
    /// When.
    pub at: Timestamp,
    /// The policy.
    pub policy: Policy,
    /// The event that set it; absent for the default.
    pub policy_event: Option<&'a str>,
    /// The descriptor.
    pub descriptor: Option<&'a Descriptor>,
    /// The tenant's record that brought it.
    pub descriptor_seq: Option<u64>,
    /// Or the event that published it.
    pub descriptor_event: Option<&'a str>,
}

/// A fact, as data. The fields say what the sentence says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each is described with the fact it is made from")]
pub enum FactJson<'a> {
    NeverSeen,
    Present {
        status: Status,
        enabled: bool,
        implied: bool,
    },
    Pinned {
        realm: Realm,
        since: Timestamp,
        by: PinnedBy,
    },
    RealmUnknown,
    Decided(Box<Decision>),
    WindowMet {
        policy: Policy,
        window: Option<Box<Window>>,
        open: bool,
    },
    PassedOver {
        rows: [u8; 2],
        because: &'static str,
    },
    Product {
        realm: Realm,
        aligned: Option<Realm>,
        drift: bool,
    },
    Data {
        realm: Realm,
        split_brain: bool,
    },
    StaysWhileInstalled,
    UninstallWouldOpen {
        at: Timestamp,
        policy: Policy,
        window: Option<Box<Window>>,
    },
    WindowSet {
        window: Box<Window>,
        open: bool,
    },
    NoWindow {
        policy: Policy,
    },
    Subscribed {
        state: SubscriptionState,
        since: Timestamp,
    },
    MigrationPending {
        migration_id: &'a MigrationId,
        target: Option<Realm>,
        phase: MigrationPhase,
        due_by: Timestamp,
        overdue: bool,
    },
    Continues {
        predecessor: &'a Predecessor,
    },
    Superseded {
        successor: &'a InstallationKey,
    },
    OverrideStands {
        realm: Realm,
    },
    WouldInstall(Box<Decision>),
    CommitWouldMove {
        target: Option<Realm>,
    },
    HookWouldCorrect,
    HookWouldReinstall {
        arrival: Option<Realm>,
    },
}

impl<'a> ExplanationJson<'a> {
    /// The explanation as it is shown.
    #[must_use]
    pub fn of(explanation: &'a Explanation) -> Self {
        let Explanation { statements, in_force, at_decision, at_uninstall } = explanation;
        let mut evidence: Vec<u64> = statements.iter().flat_map(|said| said.seqs.iter().copied()).collect();
        evidence.sort_unstable();
        evidence.dedup();
        let app_events = statements.iter().flat_map(|said| &said.app_events);
        let mut app_evidence: Vec<&str> = app_events.map(EventId::as_str).collect();
        app_evidence.sort_unstable();
        app_evidence.dedup();
        let rule = statements.iter().find_map(|said| match said.fact {
            Fact::Decided(decision) => Some(decision.rule),
            _ => None,
        });
        Self {
            sentences: statements.iter().map(SentenceJson::of).collect(),
            rule,
            row: rule.and_then(Rule::row),
            in_force: InForceJson::of(in_force),
            in_force_at_decision: at_decision.as_ref().map(InForceJson::of),
            in_force_at_uninstall: at_uninstall.as_ref().map(InForceJson::of),
            evidence,
            app_evidence,
        }
    }
}

impl<'a> SentenceJson<'a> {
    fn of(statement: &'a Statement) -> Self {
        Self {
            text: statement.sentence(&format_instant),
            seqs: &statement.seqs,
            app_events: statement.app_events.iter().map(EventId::as_str).collect(),
            role: Role::of(&statement.fact),
            fact: FactJson::of(&statement.fact),
        }
    }
}

impl<'a> InForceJson<'a> {
    fn of(in_force: &'a InForce) -> Self {
        Self {
            at: in_force.at,
            policy: in_force.policy,
            policy_event: in_force.policy_event.as_ref().map(EventId::as_str),
            descriptor: in_force.descriptor.as_ref(),
            descriptor_seq: in_force.descriptor_seq,
            descriptor_event: in_force.descriptor_event.as_ref().map(EventId::as_str),
        }
    }
}

impl Role {
    const fn of(fact: &Fact) -> Self {
        match fact {
            Fact::NeverSeen | Fact::Present { .. } | Fact::Pinned(_) | Fact::RealmUnknown => Self::Answer,
            Fact::Decided(_) | Fact::WindowMet { .. } => Self::Decision,
            Fact::PassedOver { .. } => Self::Alternative,
            Fact::Product { .. }
            | Fact::Data { .. }
            | Fact::MigrationPending { .. }
            | Fact::Continues(_)
            | Fact::Superseded { .. }
            | Fact::OverrideStands { .. } => Self::Surroundings,
            Fact::StaysWhileInstalled
            | Fact::UninstallWouldOpen { .. }
            | Fact::WindowSet { .. }
            | Fact::NoWindow { .. }
            | Fact::Subscribed { .. } => Self::Until,
            Fact::WouldInstall(_)
            | Fact::CommitWouldMove { .. }
            | Fact::HookWouldCorrect
            | Fact::HookWouldReinstall { .. } => Self::Outlook,
        }
    }
}

impl<'a> FactJson<'a> {
    fn of(fact: &'a Fact) -> Self {
        match fact {
            Fact::NeverSeen => Self::NeverSeen,
            Fact::Present { status, enabled, implied } => {
                Self::Present { status: *status, enabled: *enabled, implied: *implied }
            }
            Fact::Pinned(pin) => Self::Pinned { realm: pin.realm, since: pin.since, by: pin.by },
            Fact::RealmUnknown => Self::RealmUnknown,
            Fact::Decided(decision) => Self::Decided(Box::new(*decision)),
            Fact::WindowMet { policy, window, open } => {
                Self::WindowMet { policy: *policy, window: window.map(Box::new), open: *open }
            }
            Fact::PassedOver { first_row, last_row, because } => {
                Self::PassedOver { rows: [*first_row, *last_row], because: why_not(*because) }
            }
            Fact::Product { realm, aligned, drift } => {
                Self::Product { realm: *realm, aligned: *aligned, drift: *drift }
            }
            Fact::Data { realm, split_brain } => Self::Data { realm: *realm, split_brain: *split_brain },
            Fact::StaysWhileInstalled => Self::StaysWhileInstalled,
            Fact::UninstallWouldOpen { at, policy, window } => {
                Self::UninstallWouldOpen { at: *at, policy: *policy, window: window.map(Box::new) }
            }
            Fact::WindowSet { window, open } => Self::WindowSet { window: Box::new(*window), open: *open },
            Fact::NoWindow { policy } => Self::NoWindow { policy: *policy },
            Fact::Subscribed { state, since } => Self::Subscribed { state: *state, since: *since },
            Fact::MigrationPending { id, target, phase, due_by, overdue } => Self::MigrationPending {
                migration_id: id,
                target: *target,
                phase: *phase,
                due_by: *due_by,
                overdue: *overdue,
            },
            Fact::Continues(predecessor) => Self::Continues { predecessor },
            Fact::Superseded { by } => Self::Superseded { successor: by },
            Fact::OverrideStands { realm } => Self::OverrideStands { realm: *realm },
            Fact::WouldInstall(decision) => Self::WouldInstall(Box::new(*decision)),
            Fact::CommitWouldMove { target } => Self::CommitWouldMove { target: *target },
            Fact::HookWouldCorrect => Self::HookWouldCorrect,
            Fact::HookWouldReinstall { arrival } => Self::HookWouldReinstall { arrival: *arrival },
        }
    }
}

/// Stable, for programs.
const fn why_not(because: WhyNot) -> &'static str {
    match because {
        WhyNot::NotInstalled => "not-installed",
        WhyNot::CalledElsewhere { .. } => "called-elsewhere",
        WhyNot::NoOverride => "no-override",
        WhyNot::NoMigrationThere => "no-migration-there",
        WhyNot::NotLeftLately => "not-left-lately",
        WhyNot::PinWasSeen(_) => "pin-was-seen",
        WhyNot::KnownBefore => "known-before",
        WhyNot::RealmWasKnown(_) => "realm-was-known",
        WhyNot::NotForgotten => "not-forgotten",
        WhyNot::HadWindow(_) => "had-window",
        WhyNot::WindowWasOpen { .. } => "window-was-open",
        WhyNot::StillServed(_) => "still-served",
    }
}
