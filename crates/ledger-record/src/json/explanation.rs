//! An explanation: sentences for people, and the same facts as data.

use ledger_core::event::SubscriptionState;
use ledger_core::explain::{Explanation, Fact, InForce, Statement, WhyNot};
use ledger_core::ids::EventId;
use ledger_core::state::{MigrationPhase, PinnedBy, Rule, Status, Window};
use serde::Serialize;

use super::event::DescriptorJson;
use super::state::{DecisionJson, LinkJson, PolicyJson, WindowJson};
use super::time::format_instant;
use super::{Instant, Place, Word};

/// Why an installation is where it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationJson<'a> {
    /// One statement each, in the order in which they are best read.
    pub sentences: Vec<SentenceJson<'a>>,
    /// The row of the table that decided; absent without a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Word<Rule>>,
    /// Its number in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u8>,
    /// The policy and the descriptor in force at the moment of asking.
    pub in_force: InForceJson<'a>,
    /// The same at the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_force_at_decision: Option<InForceJson<'a>>,
    /// The same at the last uninstall.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    pub at: Instant,
    /// The policy.
    pub policy: PolicyJson,
    /// The event that set it; absent for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_event: Option<&'a str>,
    /// The descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<DescriptorJson<'a>>,
    /// The tenant's record that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor_seq: Option<u64>,
    /// Or the event that published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor_event: Option<&'a str>,
}

/// A fact, as data. The fields say what the sentence says.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "each is described with the fact it is made from")]
pub enum FactJson<'a> {
    NeverSeen,
    Present {
        status: Word<Status>,
        enabled: bool,
        implied: bool,
    },
    Pinned {
        realm: Place,
        since: Instant,
        by: Word<PinnedBy>,
    },
    RealmUnknown,
    Decided(Box<DecisionJson>),
    WindowMet {
        policy: PolicyJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<Box<WindowJson>>,
        open: bool,
    },
    PassedOver {
        rows: [u8; 2],
        because: &'static str,
    },
    Product {
        realm: Place,
        #[serde(skip_serializing_if = "Option::is_none")]
        aligned: Option<Place>,
        drift: bool,
    },
    Data {
        realm: Place,
        split_brain: bool,
    },
    StaysWhileInstalled,
    UninstallWouldOpen {
        at: Instant,
        policy: PolicyJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<Box<WindowJson>>,
    },
    WindowSet {
        window: Box<WindowJson>,
        open: bool,
    },
    NoWindow {
        policy: PolicyJson,
    },
    Subscribed {
        state: Word<SubscriptionState>,
        since: Instant,
    },
    MigrationPending {
        migration_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<Place>,
        phase: Word<MigrationPhase>,
        due_by: Instant,
        overdue: bool,
    },
    Continues {
        predecessor: LinkJson<'a>,
    },
    Superseded {
        successor: LinkJson<'a>,
    },
    OverrideStands {
        realm: Place,
    },
    WouldInstall(Box<DecisionJson>),
    CommitWouldMove {
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<Place>,
    },
    HookWouldCorrect,
    HookWouldReinstall {
        #[serde(skip_serializing_if = "Option::is_none")]
        arrival: Option<Place>,
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
            rule: rule.map(Word),
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
            at: Instant(in_force.at),
            policy: PolicyJson::of(in_force.policy),
            policy_event: in_force.policy_event.as_ref().map(EventId::as_str),
            descriptor: in_force.descriptor.as_ref().map(DescriptorJson::of),
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
                Self::Present { status: Word(*status), enabled: *enabled, implied: *implied }
            }
            Fact::Pinned(pin) => {
                Self::Pinned { realm: Place(pin.realm), since: Instant(pin.since), by: Word(pin.by) }
            }
            Fact::RealmUnknown => Self::RealmUnknown,
            Fact::Decided(decision) => Self::Decided(Box::new(DecisionJson::of(*decision))),
            Fact::WindowMet { policy, window, open } => {
                Self::WindowMet { policy: PolicyJson::of(*policy), window: shown(*window), open: *open }
            }
            Fact::PassedOver { first_row, last_row, because } => {
                Self::PassedOver { rows: [*first_row, *last_row], because: why_not(*because) }
            }
            Fact::Product { realm, aligned, drift } => {
                Self::Product { realm: Place(*realm), aligned: aligned.map(Place), drift: *drift }
            }
            Fact::Data { realm, split_brain } => {
                Self::Data { realm: Place(*realm), split_brain: *split_brain }
            }
            Fact::StaysWhileInstalled => Self::StaysWhileInstalled,
            Fact::UninstallWouldOpen { at, policy, window } => Self::UninstallWouldOpen {
                at: Instant(*at),
                policy: PolicyJson::of(*policy),
                window: shown(*window),
            },
            Fact::WindowSet { window, open } => {
                Self::WindowSet { window: Box::new(WindowJson::of(*window, None)), open: *open }
            }
            Fact::NoWindow { policy } => Self::NoWindow { policy: PolicyJson::of(*policy) },
            Fact::Subscribed { state, since } => {
                Self::Subscribed { state: Word(*state), since: Instant(*since) }
            }
            Fact::MigrationPending { id, target, phase, due_by, overdue } => Self::MigrationPending {
                migration_id: id.as_str(),
                target: target.map(Place),
                phase: Word(*phase),
                due_by: Instant(*due_by),
                overdue: *overdue,
            },
            Fact::Continues(predecessor) => {
                Self::Continues { predecessor: LinkJson::from_predecessor(predecessor) }
            }
            Fact::Superseded { by } => Self::Superseded { successor: LinkJson::of(by, None) },
            Fact::OverrideStands { realm } => Self::OverrideStands { realm: Place(*realm) },
            Fact::WouldInstall(decision) => Self::WouldInstall(Box::new(DecisionJson::of(*decision))),
            Fact::CommitWouldMove { target } => Self::CommitWouldMove { target: target.map(Place) },
            Fact::HookWouldCorrect => Self::HookWouldCorrect,
            Fact::HookWouldReinstall { arrival } => Self::HookWouldReinstall { arrival: arrival.map(Place) },
        }
    }
}

fn shown(window: Option<Window>) -> Option<Box<WindowJson>> {
    window.map(|window| Box::new(WindowJson::of(window, None)))
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
