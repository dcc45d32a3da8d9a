//! The grounds of the last decision: the row that applied, and why those above it did not.

use super::origins::{Followed, RecordOrigins, own_descriptor};
use super::{Fact, InForce, InstantText, Role, Statement, WhyNot};
use crate::ids::{AppKey, EventId};
use crate::policy::Policy;
use crate::state::{Decision, Installation, PinnedBy, Rule, Status};
use crate::tenant::Entry;
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

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
    origins: &'a RecordOrigins,
    in_force: &'a InForce,
    at_uninstall: Option<&'a InForce>,
    instant: InstantText<'a>,
}

/// `corrected` is the record that set the decision right, if one did.
pub(super) fn of(
    entries: &[Entry<'_>],
    apps: &AppTimelines,
    app: &AppKey,
    decision: Decision,
    corrected: Option<u64>,
    instant: InstantText<'_>,
) -> Option<DecisionGrounds> {
    let entry = entries.iter().find(|entry| Some(entry.seq) == decision.seq)?;
    let followed = Followed::until(entries, apps, app, Timestamp::MAX, |next| next.seq == entry.seq);
    let (unknown, timeline, origins) = (Installation::default(), apps.of(app), &followed.origins);
    let state = followed.tenant.installations.get(app).unwrap_or(&unknown);
    let brought = own_descriptor(*entry, app).map(|descriptor| (entry.seq, descriptor));
    let in_force = InForce::new(state, origins, timeline, decision.at).with_descriptor(brought);
    let left = (state.status == Status::Uninstalled).then_some(origins.uninstalled_at).flatten();
    let at_uninstall = left.map(|at| InForce::new(state, origins, timeline, at));
    let evidence = DecisionEvidence {
        decision,
        state,
        origins,
        in_force: &in_force,
        at_uninstall: at_uninstall.as_ref(),
        instant,
    };
    let product = if entry.event.product_realm().is_some() { Some(entry.seq) } else { origins.product };
    let mut statements = vec![evidence.decided(product, corrected)];
    statements.extend(evidence.window());
    statements.extend(evidence.passed_over());
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
        let fact = Fact::Decided(decision);
        Statement::new(Role::Decision, fact, seqs.chain([then_own]), app_events, self.instant)
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
        let seqs = [origins.status, origins.window, own, subscription];
        Some(Statement::new(Role::Decision, fact, seqs, app_events, self.instant))
    }

    /// The rows above the one that applied, and why they did not.
    fn passed_over(&self) -> Vec<Statement> {
        let row = self.decision.rule.row().unwrap_or_default();
        let rows = if row == 6 { self.rows_when_present() } else { self.rows_when_absent() };
        // That something was not there follows from the install that did not meet it.
        let install = self.decision.seq;
        rows.into_iter()
            .filter(|passed| passed.rows[1] < row)
            .filter_map(|PassedRows { rows, because, reason, seqs, published }| {
                let fact = Fact::PassedOver { rows, because, reason: reason? };
                let statement = Statement::new(Role::Alternative, fact, seqs, [published], self.instant);
                Some(statement.or_citing(install))
            })
            .collect()
    }

    /// Rows 1 to 5, for an app that was there.
    fn rows_when_present(&self) -> Vec<PassedRows> {
        let (state, origins, install) = (self.state, self.origins, self.decision.seq);
        let (pinned, observed) = (state.pinned_realm(), self.decision.observed_realm);
        let elsewhere = pinned
            .zip(observed)
            .map(|(pinned, observed)| format!("it was pinned to {pinned}, but {observed} was called"));
        let seen = state.pin.map(|pin| match pin.by {
            PinnedBy::Migrated => "a migration had put it where it was pinned",
            _ => "where it was pinned had been observed",
        });
        let pin = [origins.realm, origins.pin];
        let migration = [origins.migration, install];
        vec![
            PassedRows::new([1, 1], WhyNot::CalledElsewhere, elsewhere, pin),
            PassedRows::new([2, 2], WhyNot::NoOverride, Some(NO_OVERRIDE), [origins.override_realm, install]),
            PassedRows::new(
                [3, 3],
                WhyNot::NoMigrationThere,
                Some("no migration to that realm was pending"),
                migration,
            ),
            PassedRows::new(
                [4, 4],
                WhyNot::NotLeftLately,
                Some("no migration had left that realm within the last 24 hours"),
                migration,
            ),
            PassedRows::new([5, 5], WhyNot::PinWasSeen, seen, pin),
        ]
    }

    /// Rows 1 to 13, for an app that was not there.
    fn rows_when_absent(&self) -> Vec<PassedRows> {
        let (state, origins, install) = (self.state, self.origins, self.decision.seq);
        let pinned = state.pinned_realm();
        let known = pinned.map(|realm| format!("the realm before was known, {realm}"));
        let instant = self.instant;
        let had_window = state
            .window
            .map(|window| format!("the uninstall of {} had opened a window", instant(window.start)));
        let was_open = state.window.map(|window| match window.end {
            Some(end) => format!("the window was open until {}", instant(end)),
            None => "the window had no end".to_owned(),
        });
        let served = pinned.map(|realm| format!("nothing said that the app no longer served {realm}"));
        let not_installed = "it was not installed, so this was no refresh";
        let (status, window) = ([origins.status, None], [origins.window, None]);
        let descriptor = [self.in_force.descriptor_seq, None];
        vec![
            PassedRows::new([1, 6], WhyNot::NotInstalled, Some(not_installed), status),
            PassedRows::new([7, 7], WhyNot::NoOverride, Some(NO_OVERRIDE), [origins.override_realm, install]),
            PassedRows::new([8, 8], WhyNot::KnownBefore, Some("it had been uninstalled before"), status),
            PassedRows::new([9, 9], WhyNot::RealmWasKnown, known, [origins.realm, origins.pin]),
            PassedRows::new(
                [10, 10],
                WhyNot::NotForgotten,
                Some("no operator had ended the window"),
                [origins.window, install],
            ),
            PassedRows::new([11, 11], WhyNot::HadWindow, had_window, window),
            PassedRows::new([12, 12], WhyNot::WindowWasOpen, was_open, window),
            PassedRows {
                published: self.in_force.descriptor_event.clone(),
                ..PassedRows::new([13, 13], WhyNot::StillServed, served, descriptor)
            },
        ]
    }
}

const NO_OVERRIDE: &str = "no override was set";

/// Rows of the table that did not apply.
struct PassedRows {
    rows: [u8; 2],
    because: WhyNot,
    /// The end of the sentence; none: there is nothing to report.
    reason: Option<String>,
    seqs: [Option<u64>; 2],
    published: Option<EventId>,
}

impl PassedRows {
    fn new(
        rows: [u8; 2],
        because: WhyNot,
        reason: Option<impl Into<String>>,
        seqs: [Option<u64>; 2],
    ) -> Self {
        Self { rows, because, reason: reason.map(Into::into), seqs, published: None }
    }
}
