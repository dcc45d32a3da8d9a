//! Rules 8: other policies on the same histories.

use ledger_core::limits::DAY_MS;
use ledger_core::policy::Policy;
use ledger_core::whatif::{Report, WhatIf};

use super::ledger;

fn reports(policies: &[Policy], histories: &[&str]) -> Vec<Report> {
    let mut whatif = WhatIf::new(policies);
    for history in histories {
        let ledger = ledger(history);
        let mut one = WhatIf::new(policies);
        ledger.tenants.values().for_each(|kept| one.take(&kept.entries(), &ledger.apps));
        whatif.merge(&one);
    }
    whatif.reports()
}

/// Reinstalls, those persisted, those moved.
fn counts(policy: Policy, history: &str) -> (u64, u64, u64) {
    let report = reports(&[policy], &[history]).remove(0);
    (report.reinstalls, report.persisted, report.moved)
}

const TEN_DAYS_AWAY: &str = "0d policy-set policy=off\n1d installed product=US\n2d uninstalled\n3d product-moved product=EU\n12d installed";

#[test]
fn policies_side_by_side() {
    let policies = [Policy::Off, Policy::Descriptor, Policy::Days { days: 30 }, Policy::Indefinite];
    let found = reports(&policies, &[TEN_DAYS_AWAY]);
    let outcomes: Vec<_> = found.iter().map(|r| (r.policy, r.reinstalls, r.persisted, r.moved)).collect();
    let expected: Vec<_> = policies.into_iter().zip([(0, 1), (0, 1), (1, 0), (1, 0)]).collect();
    let expected: Vec<_> = expected.into_iter().map(|(policy, (stay, go))| (policy, 1, stay, go)).collect();
    assert_eq!(outcomes, expected);
}

#[test]
fn a_subscription_holds_it() {
    let lapsed = "1d installed product=US\n1d subscription-observed state=ACTIVE\n2d uninstalled
                  3d subscription-observed state=INACTIVE\n5d product-moved product=EU\n6d installed";
    assert_eq!(counts(Policy::Subscription { grace_days: 2 }, lapsed), (1, 0, 1));
    assert_eq!(counts(Policy::Subscription { grace_days: 4 }, lapsed), (1, 1, 0));
}

#[test]
fn only_reinstalls_of_the_uninstalled_count() {
    let days = Policy::Days { days: 30 };
    assert_eq!(counts(days, "1d installed on=EU\n2d installed on=US"), (0, 0, 0), "a refresh here");
    assert_eq!(
        counts(days, "1d override action=PIN realm=EU\n2d installed"),
        (0, 0, 0),
        "row 7, but never there"
    );
    assert_eq!(
        counts(days, "1d installed on=EU\n2d uninstalled\n3d override action=PIN realm=US\n4d installed"),
        (1, 0, 1),
        "row 7"
    );
    assert_eq!(counts(days, "1d uninstalled\n2d installed"), (1, 0, 0), "row 9");
}

#[test]
fn expectation_is_followed_not_the_platform() {
    // The platform moved it to EU at the first reinstall; the rules would have kept it in US, so the second
    // one comes back to US.
    let history = "1d installed on=US product=EU\n2d uninstalled\n3d installed on=EU\n4d uninstalled on=EU\n5d installed on=EU";
    assert_eq!(counts(Policy::Days { days: 30 }, history), (2, 2, 0));
    // The first install is expected in EU, whatever was called, and stays there without any window.
    assert_eq!(counts(Policy::Off, history), (2, 0, 0));
}

#[test]
fn what_was_overtaken_is_skipped() {
    let history = "1d installed on=EU\n2d uninstalled on=EU\n3d installed on=US\n3d+1m uninstalled on=EU\n4d installed on=US";
    assert_eq!(counts(Policy::Indefinite, history), (1, 1, 0));
}

#[test]
fn gaps_are_measured_from_the_first_uninstall() {
    let policy = [Policy::Off];
    let day = "1d installed\n2d uninstalled\n2d+12h uninstalled\n3d installed";
    let week = "1d installed\n2d uninstalled\n9d+1s installed";
    let found = reports(&policy, &[day, week, TEN_DAYS_AWAY]).remove(0);
    let gaps = found.gaps.unwrap();
    assert_eq!([gaps.p50_ms, gaps.p90_ms, gaps.p99_ms], [7 * DAY_MS + 1_000, 10 * DAY_MS, 10 * DAY_MS]);
    assert_eq!(gaps.max_ms, 10 * DAY_MS);
    let within: Vec<_> = gaps.within.iter().map(|within| (within.days, within.count)).collect();
    assert_eq!(within, [(1, 1), (7, 1), (14, 3), (30, 3), (60, 3), (90, 3), (365, 3)]);
    assert!((gaps.within[0].share() - 1.0 / 3.0).abs() < f64::EPSILON);
    assert_eq!(reports(&policy, &["1d installed"]).remove(0).gaps, None);
}
