//! Explanations: facts, sentences, and the records they cite.

use ledger_core::explain::{Fact, explain};
use ledger_core::ids::AppKey;
use ledger_core::state::Pin;
use ledger_core::time::Timestamp;

use super::{ledger, short, time};

/// The sentences at an instant, each behind the records it rests on.
fn explained(history: &str, at: &str) -> Vec<String> {
    let ledger = ledger(history);
    let kept = ledger.tenants.values().next().unwrap();
    let at = Timestamp::from_millis(time(at));
    let explanation = explain(&kept.entries(), &ledger.apps, &AppKey::new("a").unwrap(), at, &short);
    let statements = explanation.statements.iter();
    statements
        .map(|statement| {
            let seqs = statement.seqs.iter().map(u64::to_string);
            let ids = statement.app_events.iter().map(ToString::to_string);
            let grounds: Vec<_> = seqs.chain(ids).collect();
            format!("[{}] {}", grounds.join(" "), statement.text)
        })
        .collect()
}

#[track_caller]
fn check(history: &str, at: &str, expected: &[&str]) {
    assert_eq!(explained(history, at), expected);
}

#[test]
fn installation_never_seen_has_one_statement() {
    check("2d installed on=EU", "1d", &["[] Nothing of this installation is recorded up to that instant."]);
}

#[test]
fn persisted_reinstall_is_explained_row_by_row() {
    check(
        "1d installed on=US product=US\n2d uninstalled\n3d product-moved product=EU\n4d installed on=US",
        "5d",
        &[
            "[4] It is installed and enabled.",
            "[1 4] It is pinned to US since 4d: a hook was received there.",
            "[1 2 3 4 e-1] The install of 4d was decided by PERSISTED: the persistence window was open, so it \
             came back to its realm. US was expected. The platform called US.",
            "[2 e-1] The uninstall of 2d had opened a window by the descriptor's own persistence, open until 9d.",
            "[2] Rows 1 to 6 of the rules did not apply: it was not installed, so this was no refresh.",
            "[4] Row 7 of the rules did not apply: no override was set.",
            "[2] Row 8 of the rules did not apply: it had been uninstalled before.",
            "[1] Row 9 of the rules did not apply: the realm before was known, US.",
            "[2 4] Row 10 of the rules did not apply: no operator had ended the window.",
            "[2] Row 11 of the rules did not apply: the uninstall of 2d had opened a window.",
            "[2] Row 12 of the rules did not apply: the window was open until 9d.",
            "[e-1] Row 13 of the rules did not apply: nothing said that the app no longer served US.",
            "[3 e-1] The product is in EU, which would put the app in EU; installations do not move by \
             themselves, so it has drifted.",
            "[4] It stays there as long as it is installed.",
            "[4 e-1] An uninstall at 5d would open a window by the descriptor's own persistence, until 12d.",
            "[4] An install hook from another realm would count as a reinstall that nobody saw, unless it is a \
             straggler of a migration.",
        ],
    );
}

#[test]
fn open_window_is_explained() {
    check(
        "0d policy-set policy=days:30\n1d installed on=US product=EU\n2d uninstalled",
        "3d",
        &[
            "[2] It is uninstalled.",
            "[1] It is pinned to US since 1d: a hook was received there.",
            "[1 e-1] The install of 1d was decided by FRESH: it had never been installed before. With the \
             product in EU, EU was expected. The platform called US. The platform did not do what the rules say.",
            "[1] Rows 1 to 6 of the rules did not apply: it was not installed, so this was no refresh.",
            "[1] Row 7 of the rules did not apply: no override was set.",
            "[1 e-1] The product is in EU, which puts the app in EU.",
            "[2 e-2] The uninstall of 2d opened a window by 30 days of persistence: it comes back to its realm \
             until 32d.",
            "[1 2 e-1] An install at 3d would go to US by PERSISTED: the persistence window is open.",
            "[1 2 e-1] An install at 32d would go to EU by WINDOW_EXPIRED: the persistence window has ended by then.",
        ],
    );
}

#[test]
fn implicit_reinstall_with_a_pending_migration_is_explained() {
    check(
        "bare\n1d installed on=EU\n2d data-located realm=EU\n3d installed on=US
         4d migration-scheduled id=7 to=DE",
        "5d",
        &[
            "[1] It is installed and enabled.",
            "[3] It is pinned to US since 3d: a hook was received there.",
            "[1 3] The install of 3d was decided by IMPLICIT_REINSTALL: it came from another realm, so an \
             uninstall went unseen. The platform called US. Before, it was in EU; its data may still be there.",
            "[1] Row 1 of the rules did not apply: it was pinned to EU, but US was called.",
            "[3] Row 2 of the rules did not apply: no override was set.",
            "[3] Row 3 of the rules did not apply: no migration to that realm was pending.",
            "[3] Row 4 of the rules did not apply: no migration had left that realm within the last 24 hours.",
            "[1] Row 5 of the rules did not apply: where it was pinned had been observed.",
            "[2] Its data rests in EU, which is not where it is pinned: a split brain.",
            "[4] Migration 7 to DE is scheduled. A commit or rollback is due by 5d.",
            "[1] It stays there as long as it is installed.",
            "[1] An uninstall at 5d would open no persistence window; the policy is the descriptor's own \
             persistence.",
            "[4] A commit of the pending migration would move it to DE.",
            "[3 4] An install hook from DE would be taken as the arrival of the pending migration; one from \
             another realm would count as a reinstall that nobody saw, unless it is a straggler of a migration.",
        ],
    );
}

#[test]
fn override_and_subscription_are_explained() {
    check(
        "0d policy-set policy=subscription:5\n1d override action=PIN realm=US\n2d subscription-observed state=ACTIVE
         3d enabled\n4d uninstalled",
        "5d",
        &[
            "[4] It is uninstalled.",
            "[3] It is pinned to US since 3d: an operator put it there.",
            "[1] An operator pinned it to US; that stands until it is released.",
            "[4 e-2] The uninstall of 4d opened a window by persistence with the subscription and 5 days of \
             grace: it comes back to its realm, for now without end.",
            "[2] The subscription is active since 2d; the window has no end before it lapses.",
            "[1 3 4] An install at 5d would go to US by OVERRIDDEN: an operator has pinned the realm.",
        ],
    );
}

/// The last statements about an uninstalled app.
#[track_caller]
fn check_end(history: &str, at: &str, expected: &[&str]) {
    let all = explained(history, at);
    assert_eq!(all[all.len() - expected.len()..], *expected);
}

#[test]
fn window_cites_what_was_in_force_at_the_uninstall() {
    check_end(
        "0d policy-set policy=off\n1d installed on=EU\n2d uninstalled\n3d policy-set policy=days:30",
        "4d",
        &[
            "[2 e-2] The uninstall opened no persistence window; the policy is no persistence.",
            "[1 2 e-1] An install at 4d would go to an unknown realm by PERSISTENCE_OFF: there is no persistence \
             window.",
        ],
    );
    check_end(
        "1d installed on=EU\n2d uninstalled\n3d descriptor-published descriptor=US",
        "4d",
        &[
            "[2 e-1] The uninstall of 2d opened a window by the descriptor's own persistence: it comes back to its \
             realm until 9d.",
            "[1 2 e-4] An install at 4d would go to an unknown realm by REALM_WITHDRAWN: the app no longer serves \
             the realm it is pinned to.",
            "[1 2 e-4] An install at 9d would go to an unknown realm by WINDOW_EXPIRED: the persistence window has \
             ended by then.",
        ],
    );
}

#[test]
fn ended_window_does_not_cite_the_subscription() {
    let until_uninstalled = "0d policy-set policy=subscription:1\n1d installed on=EU
        1d subscription-observed state=ACTIVE\n2d uninstalled";
    check_end(
        &format!("{until_uninstalled}\n3d override action=FORGET"),
        "4d",
        &[
            "[4 e-2] The uninstall of 2d opened a window by persistence with the subscription and 1 days of \
             grace, which an operator ended at 3d.",
            "[1 3 4 e-1] An install at 4d would go to an unknown realm by WINDOW_FORGOTTEN: an operator has ended \
             the persistence window.",
        ],
    );
    check_end(
        &format!(
            "{until_uninstalled}\n3d subscription-observed state=INACTIVE\n5d subscription-observed state=ACTIVE"
        ),
        "6d",
        &[
            "[4 e-2] The uninstall of 2d opened a window by persistence with the subscription and 1 days of \
             grace, which ended at 4d.",
            "[1 3 4 e-1] An install at 6d would go to an unknown realm by WINDOW_EXPIRED: the persistence window \
             has ended by then.",
        ],
    );
}

#[test]
fn explanation_has_the_pin_and_decision_of_the_state() {
    let ledger = ledger("1d installed product=EU\n2d installed on=US");
    let kept = ledger.tenants.values().next().unwrap();
    let app = AppKey::new("a").unwrap();
    let explanation = explain(&kept.entries(), &ledger.apps, &app, Timestamp::MAX, &short);
    let state = &kept.tenant.installations[&app];
    let facts: Vec<_> = explanation.statements.into_iter().map(|statement| statement.fact).collect();
    let Pin { realm, since, by } = state.pin.unwrap();
    assert!(facts.contains(&Fact::Pinned { realm, since, by }));
    assert!(facts.contains(&Fact::Decided(state.decision.unwrap())), "as it was corrected");
}

/// Checks the records that the decision cites, and the window statement, if there is one.
#[track_caller]
fn check_decision(history: &str, at: &str, decided: &str, window: Option<&str>) {
    let all = explained(history, at);
    let found = all.iter().find(|said| said.contains(" was decided by ")).unwrap();
    assert!(found.starts_with(decided), "{found}");
    let met = all.iter().find(|said| said.contains("] The uninstall") && said.contains("had opened"));
    assert_eq!(met.map(String::as_str), window);
}

#[test]
fn decision_of_every_rule_cites_the_records_it_applied_by() {
    check_decision(
        "bare\n1d installed on=EU\n2d enabled\n3d installed on=US",
        "4d",
        "[1 3] The install of 3d was decided by IMPLICIT_REINSTALL",
        None,
    );
    check_decision(
        "bare\n1d installed on=EU\n2d uninstalled\n3d override action=PIN realm=US\n4d installed",
        "5d",
        "[3 4] The install of 4d was decided by OVERRIDDEN",
        None,
    );
    check_decision("bare\n1d installed on=EU", "2d", "[1] The install of 1d was decided by FRESH", None);
    check_decision(
        "bare\n1d uninstalled\n2d enabled\n3d installed on=EU",
        "4d",
        "[1 3] The install of 3d was decided by PRIOR_UNKNOWN",
        None,
    );
    check_decision(
        "1d installed on=EU\n2d uninstalled\n3d override action=FORGET\n4d installed on=EU",
        "5d",
        "[2 3 4 e-1] The install of 4d was decided by WINDOW_FORGOTTEN",
        Some(
            "[2 3 e-1] The uninstall of 2d had opened a window by the descriptor's own persistence, which an \
             operator had ended at 3d.",
        ),
    );
    check_decision(
        "1d installed on=EU\n2d uninstalled\n9d installed on=EU",
        "10d",
        "[2 3 e-1] The install of 9d was decided by WINDOW_EXPIRED",
        Some(
            "[2 e-1] The uninstall of 2d had opened a window by the descriptor's own persistence, which had \
             ended at 9d.",
        ),
    );
    check_decision(
        "1d installed on=EU\n2d uninstalled\n3d descriptor-published descriptor=US\n4d installed on=EU",
        "5d",
        "[1 2 3 e-4] The install of 4d was decided by REALM_WITHDRAWN",
        Some(
            "[2 e-1] The uninstall of 2d had opened a window by the descriptor's own persistence, open until 9d.",
        ),
    );
    check_decision(
        "0d policy-set policy=indefinite\n1d installed on=EU\n2d uninstalled\n4d installed on=EU",
        "5d",
        "[1 2 3 e-1] The install of 4d was decided by PERSISTED",
        Some("[2 e-2] The uninstall of 2d had opened a window by persistence without end, without end."),
    );
}

#[test]
fn missing_window_cites_policy_and_descriptor_at_the_uninstall() {
    check_decision(
        "0d policy-set policy=off\n1d installed on=EU\n2d uninstalled\n3d policy-set policy=days:30
         4d installed on=EU",
        "5d",
        "[2 3 e-1 e-2] The install of 4d was decided by PERSISTENCE_OFF",
        Some("[2 e-2] The uninstall before had opened no persistence window; the policy was no persistence."),
    );
    check_decision(
        "bare\n0d descriptor-published descriptor=EU\n1d installed on=EU\n2d uninstalled
         3d descriptor-published descriptor=EU:7\n4d installed on=EU",
        "5d",
        "[2 3 e-1 e-4] The install of 4d was decided by PERSISTENCE_OFF",
        Some(
            "[2 e-1] The uninstall before had opened no persistence window; the policy was the descriptor's own \
             persistence.",
        ),
    );
}

#[test]
fn every_statement_cites_a_record() {
    for history in [
        "1d installed on=EU",
        "bare\n1d installed",
        "bare\n1d enabled",
        "bare\n1d uninstalled",
        "bare\n1d data-located realm=EU",
        "bare\n1d override action=RELEASE",
        "bare\n1d installed on=EU\n3d installed on=US\n4d uninstalled\n5d installed",
    ] {
        let without: Vec<_> =
            explained(history, "9d").into_iter().filter(|said| said.starts_with("[]")).collect();
        assert_eq!(without, [""; 0], "{history}");
    }
}

#[test]
fn explanation_has_what_was_in_force_at_decision_and_uninstall() {
    let ledger = ledger(
        "0d policy-set policy=days:30\n1d installed on=EU\n2d uninstalled\n3d policy-set policy=off
         4d descriptor-published descriptor=US\n5d installed on=EU\n6d policy-set policy=indefinite",
    );
    let kept = ledger.tenants.values().next().unwrap();
    let at = Timestamp::from_millis(time("7d"));
    let explanation = explain(&kept.entries(), &ledger.apps, &AppKey::new("a").unwrap(), at, &short);
    let reported =
        [explanation.in_force_at_uninstall, explanation.in_force_at_decision, Some(explanation.in_force)]
            .map(|in_force| {
                let in_force = in_force.unwrap();
                let event = |id: Option<ledger_core::ids::EventId>| id.map(|id| id.to_string()).unwrap();
                (short(in_force.at), event(in_force.policy_event), event(in_force.descriptor_event))
            });
    let expected = [("2d", "e-2", "e-1"), ("5d", "e-5", "e-6"), ("7d", "e-8", "e-6")];
    assert_eq!(
        reported,
        expected.map(|(at, policy, descriptor)| (at.into(), policy.into(), descriptor.into()))
    );
}

#[test]
fn hook_from_the_migration_target_is_explained_as_arrival() {
    let pending = "bare\n1d installed on=EU\n2d migration-scheduled id=7 to=DE";
    let said = explained(pending, "3d").pop().unwrap();
    assert!(said.starts_with("[1 2] An install hook from DE would be taken as the arrival"), "{said}");
    // The fold decides the same.
    assert!(super::state_after(&format!("{pending}\n3d installed on=DE")).contains("rule=FRESH"));
}

/// Sentences of single facts, each with the records that it cites.
#[test]
fn single_facts_have_their_sentences_and_sources() {
    let continued = "1d continued fromClientKey=old fromRealm=EU\n2d installed on=US";
    let migrating = "1d installed on=US\n2d migration-scheduled id=7 to=EU\n3d migration-started id=7";
    for (history, at, expected) in [
        (
            "1d installed product=EU\n2d installed on=US",
            "3d",
            "[1 2 e-1] The install of 1d was decided by FRESH: it had never been installed before. With the product \
             in EU, EU was expected. The platform called US. The platform did not do what the rules say.",
        ),
        (
            "1d installed on=EU",
            "2d",
            "[1 e-1] An uninstall at 2d would open a window by the descriptor's own persistence, until 9d.",
        ),
        (
            "0d policy-set policy=off\n1d installed on=EU",
            "2d",
            "[1 e-2] An uninstall at 2d would open no persistence window; the policy is no persistence.",
        ),
        (
            "0d policy-set policy=subscription:5\n1d installed on=EU\n1d+1h subscription-observed state=ACTIVE",
            "2d",
            "[1 2 e-2] An uninstall at 2d would open a window by persistence with the subscription and 5 days of \
             grace, for now without end.",
        ),
        (
            "0d policy-set policy=subscription:5\n1d installed on=EU\n1d+1h subscription-observed state=INACTIVE",
            "2d",
            "[1 2 e-2] An uninstall at 2d would open a window by persistence with the subscription and 5 days of \
             grace, until 6d+1h.",
        ),
        (
            migrating,
            "5d",
            "[3] Migration 7 to EU is under way. No commit or rollback was seen, which was due by 4d: it is overdue.",
        ),
        (migrating, "4d", "[3] Migration 7 to EU is under way. A commit or rollback is due by 4d."),
        (continued, "3d", "[1] It goes on where app a of old was, in EU."),
        (
            continued,
            "3d",
            "[1 2 e-1] The install of 2d was decided by CONTINUED: it had never been installed before, and goes on \
             where another installation was. EU was expected. The platform called US. The platform did not do what \
             the rules say. Before, it was in EU; its data may still be there.",
        ),
        ("1d installed on=US\n2d superseded toClientKey=new", "3d", "[2] App a of new goes on where it was."),
    ] {
        let found = explained(history, at);
        assert!(found.iter().any(|sentence| sentence == expected), "{expected}: {found:#?}");
    }
}
