//! Why an installation is where it is: which realm, since when, by which rule and not by another, until
//! when, what is pending, and what would change it.
//!
//! An explanation is a list of [`Statement`]s. Each is a [`Fact`] with the values it is about, its sentence in plain
//! English, and the records that show it. How an instant is written is the caller's choice. The types are the JSON of
//! the answer: they derive it.
//!
//! - `origins`: which record last changed each part of an installation, and what was in force when.
//! - `decision`: the row of rules 6.1 that applied, and why those above it did not.
//! - `fact`: what can hold, as data; `sentence`: the text of each fact.
//!
//! Nothing here decides anything: the state comes from the fold, the rows from the same function that the
//! fold asks.

mod decision;
mod fact;
mod origins;
mod sentence;

pub use fact::{Fact, WhyNot};
pub use origins::InForce;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::event::{InstallationFact, SubscriptionState};
use crate::fold::{self, FoldMode, StepContext};
use crate::ids::{AppKey, EventId};
use crate::policy::Policy;
use crate::preview::preview;
use crate::realm::Realm;
use crate::state::{Decision, Installation, Pin, Rule, Status, Window};
use crate::tenant::Entry;
use crate::time::Timestamp;
use crate::timeline::{AppTimeline, AppTimelines};
use crate::view::MigrationView;
use crate::words::if_any;
use origins::{Followed, RecordOrigins};

/// Writes an instant as text.
pub type InstantText<'a> = &'a dyn Fn(Timestamp) -> String;

/// Why an installation is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// In the order in which they are best read.
    #[serde(rename = "sentences")]
    pub statements: Vec<Statement>,
    /// The row of the table that decided; absent without a decision.
    pub rule: Option<Rule>,
    /// Its number in the table.
    pub row: Option<u8>,
    /// The policy and the descriptor in force at the instant that is asked for: what an uninstall or an install then
    /// would go by.
    pub in_force: InForce,
    /// The same at the last decision.
    pub in_force_at_decision: Option<InForce>,
    /// The same at the last uninstall, by which its window was computed (rules 5).
    pub in_force_at_uninstall: Option<InForce>,
    /// Every record of the tenant that the statements cite, ascending.
    pub evidence: BTreeSet<u64>,
    /// Every app-level event that the statements cite.
    #[serde(serialize_with = "if_any")]
    pub app_evidence: Vec<EventId>,
}

/// One fact as a sentence and as data, with the records that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// For people.
    pub text: String,
    /// The tenant's records that show it, ascending.
    pub seqs: BTreeSet<u64>,
    /// The app-level events that show it: they have no seq of the tenant.
    #[serde(serialize_with = "if_any")]
    pub app_events: Vec<EventId>,
    /// What part of the answer it is.
    pub role: Role,
    /// For programs.
    pub fact: Fact,
}

/// What part of the answer a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Whether it is there, and where.
    Answer,
    /// The decision it rests on.
    Decision,
    /// Rows of the table that did not apply, and why.
    Alternative,
    /// What else there is.
    Surroundings,
    /// Until when.
    Until,
    /// What would change it.
    Outlook,
}

/// Explains an installation at an instant, from its tenant's records and the timelines of the apps.
#[must_use]
pub fn explain(
    entries: &[Entry<'_>],
    apps: &AppTimelines,
    app: &AppKey,
    at: Timestamp,
    instant: InstantText<'_>,
) -> Explanation {
    let Followed { tenant, origins } = Followed::until(entries, apps, app, at, |_| false);
    let (timeline, known) = (apps.of(app), tenant.installations.get(app));
    let unknown = Installation::default();
    let state = known.unwrap_or(&unknown);
    let in_force = InForce::new(state, &origins, timeline, at);
    let left = (state.status == Status::Uninstalled).then_some(origins.uninstalled_at).flatten();
    let mut at_uninstall = left.map(|at| InForce::new(state, &origins, timeline, at));
    let mut at_decision = None;
    let mut writer = StatementWriter { statements: Vec::new(), role: Role::Answer, origins, instant };
    if known.is_none() {
        writer.add(Fact::NeverSeen, []);
    } else {
        let context =
            ExplainContext { state, product: tenant.product_realm, timeline, at, in_force: &in_force };
        writer.realm(&context);
        let corrected = writer.origins.correction;
        let of_decision = |decision| decision::of(entries, apps, app, decision, corrected, instant);
        if let Some(grounds) = state.decision.and_then(of_decision) {
            writer.statements.extend(grounds.statements);
            at_decision = Some(grounds.in_force);
            at_uninstall = at_uninstall.or(grounds.at_uninstall);
        }
        writer.surroundings(&context);
        writer.until(&context, at_uninstall.as_ref());
        writer.outlook(&context);
    }
    Explanation::new(writer.statements, in_force, at_decision, at_uninstall)
}

impl Explanation {
    fn new(
        statements: Vec<Statement>,
        in_force: InForce,
        in_force_at_decision: Option<InForce>,
        in_force_at_uninstall: Option<InForce>,
    ) -> Self {
        let rule = statements.iter().find_map(|statement| match statement.fact {
            Fact::Decided(decision) => Some(decision.rule),
            _ => None,
        });
        let app_evidence: BTreeSet<_> =
            statements.iter().flat_map(|statement| &statement.app_events).cloned().collect();
        Self {
            rule,
            row: rule.and_then(Rule::row),
            evidence: statements.iter().flat_map(|statement| &statement.seqs).copied().collect(),
            app_evidence: app_evidence.into_iter().collect(),
            statements,
            in_force,
            in_force_at_decision,
            in_force_at_uninstall,
        }
    }
}

/// What is explained.
struct ExplainContext<'a> {
    state: &'a Installation,
    product: Option<Realm>,
    timeline: &'a AppTimeline,
    at: Timestamp,
    in_force: &'a InForce,
}

struct StatementWriter<'a> {
    statements: Vec<Statement>,
    /// Of the part that is written.
    role: Role,
    origins: RecordOrigins,
    instant: InstantText<'a>,
}

impl StatementWriter<'_> {
    fn add<const N: usize>(&mut self, fact: Fact, seqs: [Option<u64>; N]) {
        self.add_with(fact, seqs, [None]);
    }

    /// A statement without sources cites the installation's first event.
    fn add_with<const N: usize, const M: usize>(
        &mut self,
        fact: Fact,
        seqs: [Option<u64>; N],
        app_events: [Option<EventId>; M],
    ) {
        let statement = Statement::new(self.role, fact, seqs, app_events, self.instant);
        self.statements.push(statement.or_citing(self.origins.seen));
    }

    /// Whether it is there, and where.
    fn realm(&mut self, context: &ExplainContext<'_>) {
        let (state, origins) = (context.state, self.origins.clone());
        let present = Fact::Present {
            status: state.status,
            enabled: state.enabled,
            implied: state.implied_at.is_some(),
        };
        self.add(present, [origins.status, origins.enabled]);
        match state.pin {
            Some(Pin { realm, since, by }) => {
                self.add(Fact::Pinned { realm, since, by }, [origins.realm, origins.pin]);
            }
            None => self.add(Fact::RealmUnknown, [origins.pin]),
        }
    }

    /// What else there is: other installations, product, data, migration, override.
    fn surroundings(&mut self, context: &ExplainContext<'_>) {
        self.role = Role::Surroundings;
        let (state, origins) = (context.state, self.origins.clone());
        let view = state.view(context.product, context.timeline, context.at);
        if let Some(predecessor) = &state.predecessor {
            self.add(Fact::Continues { predecessor: predecessor.clone() }, [origins.predecessor]);
        }
        if let Some(successor) = state.successor.clone() {
            self.add(Fact::Superseded { successor }, [origins.successor]);
        }
        if let Some(realm) = context.product {
            let fact = Fact::Product { realm, aligned: view.aligned_realm, drift: view.drift };
            let InForce { descriptor_seq, descriptor_event, .. } = context.in_force.clone();
            self.add_with(fact, [origins.product, descriptor_seq], [descriptor_event]);
        }
        if let Some(realm) = state.data_realm {
            self.add(Fact::Data { realm, split_brain: view.split_brain }, [origins.data]);
        }
        if let Some(MigrationView { id, target, phase, due_by, overdue, .. }) = view.migration {
            let fact = Fact::MigrationPending { id: id.clone(), target, phase, due_by, overdue };
            self.add(fact, [origins.migration]);
        }
        if let Some(realm) = state.override_realm {
            self.add(Fact::OverrideStands { realm }, [origins.override_realm]);
        }
    }

    /// Until when.
    fn until(&mut self, context: &ExplainContext<'_>, at_uninstall: Option<&InForce>) {
        self.role = Role::Until;
        let (state, origins) = (context.state, self.origins.clone());
        match (state.status, state.window, at_uninstall) {
            (Status::Installed, ..) => {
                if state.pin.is_some() {
                    self.add(Fact::StaysWhileInstalled, [origins.status]);
                }
                self.uninstall_would_open(context);
            }
            (Status::Uninstalled, Some(window), Some(then)) => {
                let open = window.is_open_at(context.at);
                let (own, events) = then.of_window();
                self.add_with(Fact::WindowSet { window, open }, [origins.window, own], events);
                self.subscription(state, window, open);
            }
            (Status::Uninstalled, None, Some(then)) => {
                let (own, events) = then.of_window();
                self.add_with(Fact::NoWindow { policy: then.policy }, [origins.status, own], events);
            }
            (Status::Uninstalled, _, None) | (Status::None, ..) => {}
        }
    }

    /// "Until when" of an app that is installed: the fold itself is asked, with nothing observed.
    fn uninstall_would_open(&mut self, context: &ExplainContext<'_>) {
        let ExplainContext { state, product, timeline, at, in_force } = *context;
        let mut left = state.clone();
        let context = StepContext { seq: 0, at, product, timeline, mode: FoldMode::Actual };
        let uninstalled = InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None };
        fold::apply(&mut left, &uninstalled, context);
        let fact = Fact::UninstallWouldOpen { at, policy: in_force.policy, window: left.window };
        let (own, events) = in_force.of_window();
        let by_subscription = matches!(in_force.policy, Policy::Subscription { .. });
        let subscription = self.origins.subscription.filter(|_| by_subscription);
        self.add_with(fact, [self.origins.status, own, subscription], events);
    }

    /// What the subscription means for a window that it decides about.
    fn subscription(&mut self, state: &Installation, window: Window, open: bool) {
        let (Policy::Subscription { .. }, Some(subscription)) = (window.policy, state.subscription) else {
            return;
        };
        // A window that has ended stays ended: an active subscription says nothing about it any more.
        let counts = open || subscription.state == SubscriptionState::Inactive;
        if counts && !window.forgotten {
            let fact = Fact::Subscribed { state: subscription.state, since: subscription.since };
            self.add(fact, [self.origins.subscription]);
        }
    }

    /// What would change it.
    fn outlook(&mut self, context: &ExplainContext<'_>) {
        self.role = Role::Outlook;
        let state = context.state;
        if state.status != Status::Installed {
            let install_at = |at| preview(Some(state), context.product, context.timeline, at);
            let now = install_at(context.at);
            self.would_install(context, now);
            let end = state.window.and_then(|window| window.end).filter(|end| *end > context.at);
            if let Some(later) = end.map(install_at).filter(|later| later.rule != now.rule) {
                self.would_install(context, later);
            }
            return;
        }
        if let Some(pending) = &state.migration {
            self.add(Fact::CommitWouldMove { target: pending.target }, [self.origins.migration]);
        }
        match state.pin {
            Some(_) if state.override_realm.is_some() => {}
            Some(pin) if pin.is_unseen() => {
                self.add(Fact::HookWouldCorrect, [self.origins.pin]);
            }
            Some(pin) => {
                let target = state.migration.as_ref().and_then(|pending| pending.target);
                let arrival = target.filter(|target| *target != pin.realm);
                let migration = arrival.and(self.origins.migration);
                self.add(Fact::HookWouldReinstall { arrival }, [self.origins.pin, migration]);
            }
            None => self.add(Fact::HookWouldCorrect, [self.origins.status]),
        }
    }

    fn would_install(&mut self, context: &ExplainContext<'_>, decision: Decision) {
        let origins = self.origins.clone();
        // An override is followed without a look at the descriptor; every other row looks there.
        let (own, published) = match decision.rule {
            Rule::Overridden => (None, None),
            _ => origins.descriptor_in_force(context.state, context.timeline, decision.at),
        };
        let seqs =
            [origins.status, origins.window, origins.pin, origins.product, origins.override_realm, own];
        self.add_with(Fact::WouldInstall(decision), seqs, [published]);
    }
}

impl Statement {
    fn new(
        role: Role,
        fact: Fact,
        seqs: impl IntoIterator<Item = Option<u64>>,
        app_events: impl IntoIterator<Item = Option<EventId>>,
        instant: InstantText<'_>,
    ) -> Self {
        let app_events: BTreeSet<EventId> = app_events.into_iter().flatten().collect();
        Self {
            text: fact.text(instant),
            seqs: seqs.into_iter().flatten().collect(),
            app_events: app_events.into_iter().collect(),
            role,
            fact,
        }
    }

    /// Cites this record, if nothing else.
    fn or_citing(mut self, seq: Option<u64>) -> Self {
        if self.seqs.is_empty() && self.app_events.is_empty() {
            self.seqs.extend(seq);
        }
        self
    }
}

impl Rule {
    /// Its row in the table of rules 6.1; a refresh has several.
    #[must_use]
    pub fn row(self) -> Option<u8> {
        match self {
            Self::ImplicitReinstall => Some(6),
            Self::Overridden => Some(7),
            Self::Continued | Self::Fresh => Some(8),
            Self::PriorUnknown => Some(9),
            Self::WindowForgotten => Some(10),
            Self::PersistenceOff => Some(11),
            Self::WindowExpired => Some(12),
            Self::RealmWithdrawn => Some(13),
            Self::Persisted => Some(14),
            Self::Refresh => None,
        }
    }
}

impl Decision {
    /// The realm it came from, if it is another.
    fn left(&self) -> Option<Realm> {
        self.previous_realm.filter(|_| self.moved)
    }

    fn is_refresh(&self) -> bool {
        self.rule == Rule::Refresh
    }
}
