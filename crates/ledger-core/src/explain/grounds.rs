//! The grounds of the last decision: the row that applied, and why those above it did not.

use super::origins::Followed;
use super::{Fact, Statement, WhyNot};
use crate::event::{Body, InstallationFact};
use crate::ids::AppKey;
use crate::state::{Decision, Installation, Rule};
use crate::tenant::Entry;
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// The rows that decide, with their numbers in the table.
pub(super) const DECIDING_ROWS: [(u8, Rule); 9] = [
    (6, Rule::ImplicitReinstall),
    (7, Rule::Overridden),
    (8, Rule::Fresh),
    (9, Rule::PriorUnknown),
    (10, Rule::WindowForgotten),
    (11, Rule::PersistenceOff),
    (12, Rule::WindowExpired),
    (13, Rule::RealmWithdrawn),
    (14, Rule::Persisted),
];

/// `corrected` is the record that set the decision right, if one did.
pub(super) fn of_decision(
    entries: &[Entry<'_>],
    apps: &AppTimelines,
    app: &AppKey,
    decision: Decision,
    corrected: Option<u64>,
) -> Vec<Statement> {
    let Some(entry) = entries.iter().find(|entry| Some(entry.seq) == decision.seq) else {
        return Vec::new();
    };
    // The state that the install met, and what that state rested on.
    let met = Followed::until(entries, apps, app, Timestamp::MAX, |next| next.seq == entry.seq);
    let unknown = Installation::default();
    let state = met.tenant.installations.get(app).unwrap_or(&unknown);
    let origins = &met.origins;

    let product = if entry.event.product_realm().is_some() { Some(entry.seq) } else { origins.product };
    let (own, published) = if brings_descriptor(*entry) {
        (Some(entry.seq), None)
    } else {
        origins.descriptor_in_force(state, apps.of(app), decision.at)
    };
    let decided = Fact::Decided(decision);
    let mut statements =
        vec![Statement::resting_on(decided, [decision.seq, product, own, corrected], [published.clone()])];

    let row = decision.rule.row().unwrap_or_default();
    for (first_row, last_row, because) in passed_over(row, state, decision) {
        let (seqs, published) = match because {
            WhyNot::NotInstalled | WhyNot::KnownBefore => ([origins.status, None], None),
            WhyNot::CalledElsewhere { .. } | WhyNot::PinWasSeen(_) | WhyNot::RealmWasKnown(_) => {
                ([origins.realm, origins.pin], None)
            }
            WhyNot::NoOverride => ([origins.override_realm, None], None),
            WhyNot::NoMigrationThere | WhyNot::NotLeftLately => ([origins.migration, None], None),
            WhyNot::NotForgotten | WhyNot::HadWindow(_) | WhyNot::WindowWasOpen { .. } => {
                ([origins.window, None], None)
            }
            WhyNot::StillServed(_) => ([own, None], published.clone()),
        };
        let fact = Fact::PassedOver { first_row, last_row, because };
        statements.push(Statement::resting_on(fact, seqs, [published]));
    }
    statements
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

fn brings_descriptor(entry: Entry<'_>) -> bool {
    match &entry.event.body {
        Body::Installation { fact: InstallationFact::Installed(installed), .. } => {
            installed.descriptor.is_some()
        }
        Body::Installation { .. } | Body::Tenant { .. } | Body::App { .. } => false,
    }
}
