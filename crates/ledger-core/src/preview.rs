//! "If it were installed now, nothing observed" (rules 6.7): the decision of rules 6.1, nothing recorded.

use crate::descriptor::aligned;
use crate::fold::install::{TableRow, are_different, expected_afresh, is_present, row_when_absent};
use crate::realm::Realm;
use crate::state::{Decision, Installation, Rule};
use crate::time::Timestamp;
use crate::timeline::AppTimeline;

/// The decision that an install would get at an instant; `installation` is none when nothing is known of it.
#[must_use]
pub fn preview(
    installation: Option<&Installation>,
    product: Option<Realm>,
    timeline: &AppTimeline,
    at: Timestamp,
) -> Decision {
    let unknown = Installation::default();
    let state = installation.unwrap_or(&unknown);
    let descriptor = state.descriptor_at(timeline, at);
    let aligned = aligned(product, descriptor);
    if is_present(state, at) {
        let pinned = state.pinned_realm();
        let realm = pinned.or_else(|| expected_afresh(state, descriptor, aligned));
        return decision(at, Rule::Refresh, product, [realm, pinned]);
    }
    let row: TableRow = row_when_absent(state, at, descriptor);
    let expected = row.expected(state, descriptor, aligned);
    let decision = decision(at, row.rule(), product, [expected, state.last_known_realm]);
    Decision { moved: are_different(decision.previous_realm, decision.pinned_realm), ..decision }
}

fn decision(
    at: Timestamp,
    rule: Rule,
    product_realm: Option<Realm>,
    [expected_realm, previous_realm]: [Option<Realm>; 2],
) -> Decision {
    Decision {
        seq: None,
        at,
        rule,
        expected_realm,
        observed_realm: None,
        pinned_realm: expected_realm,
        previous_realm,
        product_realm,
        moved: false,
        divergent: false,
    }
}
