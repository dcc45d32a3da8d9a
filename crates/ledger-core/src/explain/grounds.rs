//! The grounds of the last decision: the row that applied, and why those above it did not.

use super::origins::{Followed, Origins};
use super::{Fact, InForce, Statement, WhyNot};
use crate::descriptor::Descriptor;
use crate::event::{Body, InstallationFact};
use crate::ids::AppKey;
use crate::policy::Policy;
use crate::state::{Decision, Installation, Rule, Status};
use crate::tenant::Entry;
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// The rows that decide, with their numbers in the table.
pub(super) const DECIDING_ROWS: [(u8, Rule); 10] = [
    (6, Rule::ImplicitReinstall),
    (7, Rule::Overridden),
    (8, Rule::Continued),
    (8, Rule::Fresh),
    (9, Rule::PriorUnknown),
    (10, Rule::WindowForgotten),
    (11, Rule::PersistenceOff),
    (12, Rule::WindowExpired),
    (13, Rule::RealmWithdrawn),
    (14, Rule::Persisted),
];

/// What the last decision rests on.
pub(super) struct DecisionGrounds {
    pub(super) statements: Vec<Statement>,
    pub(super) in_force: InForce,
    /// At the uninstall that it came back from.
    pub(super) at_uninstall: Option<InForce>,
}

/// The installation as the install met it, and what that state rested on.
struct DecisionEvidence<'a> {
    decision: Decision,
    state: &'a Installation,
    origins: &'a Origins,
    in_force: &'a InForce,
    at_uninstall: Option<&'a InForce>,
}

/// `corrected` is the record that set the decision right, if one did.
pub(super) fn of_decision(
    entries: &[Entry<'_>],
    apps: &AppTimelines,
    app: &AppKey,
    decision: Decision,
    corrected: Option<u64>,
) -> Option<DecisionGrounds> {
    let entry = entries.iter().find(|entry| Some(entry.seq) == decision.seq)?;
    let followed = Followed::until(entries, apps, app, Timestamp::MAX, |next| next.seq == entry.seq);
    let (unknown, timeline, origins) = (Installation::default(), apps.of(app), &followed.origins);
    let state = followed.tenant.installations.get(app).unwrap_or(&unknown);
    let in_force = InForce::of(state, origins, timeline, decision.at).with_descriptor(brought(*entry));
    let left = (state.status == Status::Uninstalled).then_some(origins.uninstalled_at).flatten();
    let at_uninstall = left.map(|at| InForce::of(state, origins, timeline, at));
    let met = DecisionEvidence {
        decision,
        state,
        origins,
        in_force: &in_force,
        at_uninstall: at_uninstall.as_ref(),
    };

    let product = if entry.event.product_realm().is_some() { Some(entry.seq) } else { origins.product };
    let mut statements = vec![met.decided(product, corrected)];
    statements.extend(met.window());
    let row = decision.rule.row().unwrap_or_default();
    let passed_over = passed_over(row, state, decision).into_iter();
    statements.extend(
        passed_over.map(|(first_row, last_row, because)| met.passed_over(first_row, last_row, because)),
    );
    Some(DecisionGrounds { statements, in_force, at_uninstall })
}

impl DecisionEvidence<'_> {
    /// The decision, and the records that made it this one and no other.
    fn decided(&self, product: Option<u64>, corrected: Option<u64>) -> Statement {
        let (decision, origins) = (self.decision, self.origins);
        let (own, published) = (self.in_force.descriptor_seq, self.in_force.descriptor_event.clone());
        let by_rule = match decision.rule {
            Rule::Refresh | Rule::Fresh => [None; 3],
            Rule::ImplicitReinstall => [origins.realm, origins.pin, None],
            Rule::Overridden => [origins.override_realm, None, None],
            Rule::Continued => [origins.predecessor, None, None],
            Rule::PriorUnknown | Rule::PersistenceOff => [origins.status, None, None],
            Rule::WindowForgotten | Rule::WindowExpired => [origins.status, origins.window, None],
            Rule::RealmWithdrawn | Rule::Persisted => [origins.status, origins.window, origins.realm],
        };
        let seqs = [decision.seq, product, own, corrected].into_iter().chain(by_rule);
        // That there was no window follows from the uninstall alone.
        let then = self.at_uninstall.filter(|_| decision.rule == Rule::PersistenceOff);
        let (then_own, then_events) = then.map(InForce::of_window).unwrap_or_default();
        let app_events = [published].into_iter().chain(then_events);
        Statement::resting_on(Fact::Decided(decision), seqs.chain([then_own]), app_events)
    }

    /// The window that the install met: only rows 10 and below look at it.
    fn window(&self) -> Option<Statement> {
        let row = self.decision.rule.row().filter(|row| *row >= 10);
        let then = row.and(self.at_uninstall)?;
        let (window, origins) = (self.state.window, self.origins);
        let open = window.is_some_and(|window| window.is_open_at(self.decision.at));
        let fact = Fact::WindowMet { policy: then.policy, window, open };
        let (own, app_events) = then.of_window();
        let by_subscription = matches!(then.policy, Policy::Subscription { .. });
        let subscription = origins.subscription.filter(|_| by_subscription);
        Some(Statement::resting_on(fact, [origins.status, origins.window, own, subscription], app_events))
    }

    fn passed_over(&self, first_row: u8, last_row: u8, because: WhyNot) -> Statement {
        let origins = self.origins;
        // That something was not there rests on the install that did not meet it.
        let install = self.decision.seq;
        let (seqs, published) = match because {
            WhyNot::NotInstalled | WhyNot::KnownBefore => ([origins.status, None], None),
            WhyNot::CalledElsewhere { .. } | WhyNot::PinWasSeen(_) | WhyNot::RealmWasKnown(_) => {
                ([origins.realm, origins.pin], None)
            }
            WhyNot::NoOverride => ([origins.override_realm, install], None),
            WhyNot::NoMigrationThere | WhyNot::NotLeftLately => ([origins.migration, install], None),
            WhyNot::NotForgotten => ([origins.window, install], None),
            WhyNot::HadWindow(_) | WhyNot::WindowWasOpen { .. } => ([origins.window, None], None),
            WhyNot::StillServed(_) => {
                ([self.in_force.descriptor_seq, None], self.in_force.descriptor_event.clone())
            }
        };
        let fact = Fact::PassedOver { first_row, last_row, because };
        Statement::resting_on(fact, seqs, [published]).or_on(install)
    }
}

/// The rows above the one that applied, and why they did not.
fn passed_over(row: u8, state: &Installation, decision: Decision) -> Vec<(u8, u8, WhyNot)> {
    let mut rows = Vec::new();
    let mut passed = |first: u8, last: u8, because: Option<WhyNot>| {
        if let Some(because) = because.filter(|_| last < row) {
            rows.push((first, last, because));
        }
    };
    if row == 6 {
        let (pinned, observed) = (state.pinned_realm(), decision.observed_realm);
        let elsewhere =
            pinned.zip(observed).map(|(pinned, observed)| WhyNot::CalledElsewhere { pinned, observed });
        passed(1, 1, elsewhere);
        passed(2, 2, Some(WhyNot::NoOverride));
        passed(3, 3, Some(WhyNot::NoMigrationThere));
        passed(4, 4, Some(WhyNot::NotLeftLately));
        passed(5, 5, state.pin.map(|pin| WhyNot::PinWasSeen(pin.by)));
        return rows;
    }
    passed(1, 6, Some(WhyNot::NotInstalled));
    passed(7, 7, Some(WhyNot::NoOverride));
    passed(8, 8, Some(WhyNot::KnownBefore));
    passed(9, 9, state.pinned_realm().map(WhyNot::RealmWasKnown));
    passed(10, 10, Some(WhyNot::NotForgotten));
    passed(11, 11, state.window.map(WhyNot::HadWindow));
    passed(12, 12, state.window.map(|window| WhyNot::WindowWasOpen { end: window.end }));
    passed(13, 13, state.pinned_realm().map(WhyNot::StillServed));
    rows
}

/// The descriptor inside the install itself.
fn brought(entry: Entry<'_>) -> Option<(u64, &Descriptor)> {
    match &entry.event.body {
        Body::Installation { fact: InstallationFact::Installed(installed), .. } => {
            installed.descriptor.as_ref().map(|descriptor| (entry.seq, descriptor))
        }
        Body::Installation { .. } | Body::Tenant { .. } | Body::App { .. } => None,
    }
}
