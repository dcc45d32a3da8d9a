//! Rules 8: other policies on the same histories.

use ledger_core::ids::AppKey;
use ledger_core::limits::DAY_MS;
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_core::whatif::{PolicyReport, WhatIf, WhatIfScope};

use super::ledger;

fn reports(policies: &[Policy], histories: &[&str]) -> Vec<PolicyReport> {
    let mut whatif = WhatIf::new(policies);
    for history in histories {
        let ledger = ledger(history);
        let mut one = WhatIf::new(policies);
        ledger.tenants.values().for_each(|kept| one.apply(&kept.entries(), &ledger.apps));
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
fn each_policy_counts_persisted_and_moved_reinstalls() {
    let policies = [Policy::Off, Policy::Descriptor, Policy::Days { days: 30 }, Policy::Indefinite];
    let found = reports(&policies, &[TEN_DAYS_AWAY]);
    let outcomes: Vec<_> = found.iter().map(|r| (r.policy, r.reinstalls, r.persisted, r.moved)).collect();
    let expected: Vec<_> = policies.into_iter().zip([(0, 1), (0, 1), (1, 0), (1, 0)]).collect();
    let expected: Vec<_> = expected.into_iter().map(|(policy, (stay, go))| (policy, 1, stay, go)).collect();
    assert_eq!(outcomes, expected);
}

#[test]
fn subscription_grace_keeps_the_realm() {
    let lapsed = "1d installed product=US\n1d subscription-observed state=ACTIVE\n2d uninstalled
                  3d subscription-observed state=INACTIVE\n5d product-moved product=EU\n6d installed";
    assert_eq!(counts(Policy::Subscription { grace_days: 2 }, lapsed), (1, 0, 1));
    assert_eq!(counts(Policy::Subscription { grace_days: 4 }, lapsed), (1, 1, 0));
}

#[test]
fn only_installs_after_an_uninstall_count_as_reinstalls() {
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
fn expected_realm_is_followed_instead_of_the_observed_one() {
    // The platform moved it to EU at the first reinstall; the rules would have kept it in US, so the second reinstall
    // counts as returning to US.
    let history = "1d installed on=US product=EU\n2d uninstalled\n3d installed on=EU\n4d uninstalled on=EU\n5d installed on=EU";
    assert_eq!(counts(Policy::Days { days: 30 }, history), (2, 2, 0));
    // The first install is expected in EU, whichever realm was called, and keeps it without any window.
    assert_eq!(counts(Policy::Off, history), (2, 0, 0));
}

#[test]
fn overtaken_uninstall_is_skipped() {
    let history = "1d installed on=EU\n2d uninstalled on=EU\n3d installed on=US\n3d+1m uninstalled on=EU\n4d installed on=US";
    assert_eq!(counts(Policy::Indefinite, history), (1, 1, 0));
}

#[test]
fn uninstall_of_another_installation_is_skipped() {
    let history =
        "1d installed on=EU installationId=one\n2d uninstalled\n3d installed on=EU installationId=two
                   4d uninstalled installationId=one\n5d installed on=EU installationId=two";
    assert_eq!(counts(Policy::Indefinite, history), (1, 1, 0));
}

#[test]
fn continuation_after_the_decision_does_not_count_as_moved() {
    let told = "continued fromClientKey=old fromRealm=EU";
    let reinstalled = "1d uninstalled\n3d installed product=US";
    assert_eq!(
        counts(Policy::Off, &format!("{reinstalled}\n4d {told}")),
        (1, 0, 0),
        "told after the decision"
    );
    assert_eq!(counts(Policy::Off, &format!("0d {told}\n{reinstalled}")), (1, 0, 1), "told before it");
}

#[test]
fn superseded_opens_the_gap() {
    let history = "1d installed on=EU\n2d superseded toClientKey=new\n5d installed on=EU";
    assert_eq!(counts(Policy::Days { days: 7 }, history), (1, 1, 0));
    assert_eq!(counts(Policy::Days { days: 1 }, history), (1, 0, 0));
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
    let shares: Vec<_> = gaps.shares.iter().map(|share| (share.days, share.share * 3.0)).collect();
    assert_eq!(shares, [(1, 1.0), (7, 1.0), (14, 3.0), (30, 3.0), (60, 3.0), (90, 3.0), (365, 3.0)]);
    assert_eq!(reports(&policy, &["1d installed"]).remove(0).gaps, None);
}

#[test]
fn reinstalls_outside_the_scope_are_not_counted() {
    let history =
        ledger("1d installed on=EU\n2d uninstalled\n5d installed on=EU\n6d uninstalled\n20d installed on=EU");
    let gaps = |scope: WhatIfScope| {
        let mut whatif = WhatIf::new(&[Policy::Indefinite]).limited_to(scope);
        history.tenants.values().for_each(|kept| whatif.apply(&kept.entries(), &history.apps));
        let report = whatif.reports().remove(0);
        (report.reinstalls, report.persisted, report.gaps.map(|gaps| gaps.max_ms / DAY_MS))
    };
    let reinstalls = history.tenants.values().next().unwrap().entries();
    let (first, second) = (reinstalls[2].event.time, reinstalls[4].event.time);
    let everything = WhatIfScope::default();
    assert_eq!(gaps(everything.clone()), (2, 2, Some(14)));
    // The uninstall before the span opens the gap; the end is not in the span.
    assert_eq!(gaps(WhatIfScope { from: Some(second), ..everything.clone() }), (1, 1, Some(14)));
    assert_eq!(gaps(WhatIfScope { to: Some(second), ..everything.clone() }), (1, 1, Some(3)));
    assert_eq!(gaps(WhatIfScope { from: Some(first), to: Some(first), ..everything.clone() }), (0, 0, None));
    assert_eq!(gaps(WhatIfScope { app: Some(AppKey::new("other").unwrap()), ..everything }), (0, 0, None));
}

#[test]
fn differences_are_reported_at_the_first_differing_record() {
    let told = |policies: &[Policy], scope: WhatIfScope| {
        let ledger = ledger(TEN_DAYS_AWAY);
        let mut whatif = WhatIf::new(policies).limited_to(scope);
        let mut told = Vec::new();
        for kept in ledger.tenants.values() {
            whatif.apply_comparing(&kept.entries(), &ledger.apps, &mut |found| {
                let realm = |realm: Option<ledger_core::realm::Realm>| realm.map(|realm| realm.to_string());
                let rules = [found.actual.decision, found.supposed.decision]
                    .map(|decision| decision.map(|decision| decision.rule.as_str()));
                let differs: Vec<_> = found.differs.iter().map(|aspect| aspect.as_str()).collect();
                let realms = [realm(found.actual.pinned), realm(found.supposed.pinned)];
                told.push((found.policy, found.seq, realms.map(Option::unwrap_or_default), rules, differs));
            });
        }
        told
    };
    let (off, days) = (Policy::Off, Policy::Days { days: 30 });
    let differs = told(&[off, days], WhatIfScope::default());
    let realms = |one: &str, other: &str| [one.to_owned(), other.to_owned()];
    let rules = [Some("PERSISTENCE_OFF"), Some("PERSISTED")];
    let expected = [
        (days, 2, realms("US", "US"), [None, None], vec!["window"]),
        (days, 4, realms("EU", "US"), rules, vec!["pin", "rule"]),
    ];
    assert_eq!(differs, expected);
    assert_eq!(
        told(&[days], WhatIfScope { to: Some(Timestamp::from_millis(0)), ..WhatIfScope::default() }),
        []
    );
}

#[test]
fn recorded_migrations_and_overrides_are_followed() {
    let days = Policy::Days { days: 30 };
    let migrated =
        "1d installed on=US product=US\n2d migration-scheduled id=7 to=EU\n3d migration-committed id=7
        4d uninstalled\n5d installed on=EU";
    assert_eq!(counts(days, migrated), (1, 1, 0), "back to where it was moved");
    assert_eq!(counts(Policy::Off, migrated), (1, 0, 1), "by the product, which is in US still");
    let cleared =
        "1d installed on=US product=US\n2d override action=PIN realm=EU\n3d migrated to=EU\n4d uninstalled
        5d installed";
    assert_eq!(counts(days, cleared), (1, 1, 0), "the commit cleared the override, the window decides");
    assert_eq!(counts(Policy::Off, cleared), (1, 0, 1));
}

#[test]
fn install_after_its_implying_hook_is_no_reinstall() {
    let history = "1d installed on=EU product=EU\n2d uninstalled\n3d installed on=EU";
    assert_eq!(counts(Policy::Off, history), (1, 0, 0));
    let implied = "1d enabled\n1d+4m installed on=EU product=EU\n2d uninstalled\n3d installed on=EU";
    assert_eq!(counts(Policy::Off, implied), (1, 0, 0), "only the second install came back");
    assert_eq!(counts(Policy::Indefinite, implied), (1, 1, 0), "to the realm that the first decided");
}

#[test]
fn late_app_event_counts_from_its_event_time() {
    // The descriptor without US arrives last.
    let late = "1d installed on=US product=US\n2d uninstalled\n4d installed on=US\n3d descriptor-published descriptor=EU";
    assert_eq!(counts(Policy::Indefinite, late), (1, 0, 1), "withdrawn before it came back");
    let later = "1d installed on=US product=US\n2d uninstalled\n4d installed on=US\n5d descriptor-published descriptor=EU";
    assert_eq!(counts(Policy::Indefinite, later), (1, 1, 0));
}
