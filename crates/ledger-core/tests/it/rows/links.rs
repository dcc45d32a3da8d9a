//! Rules 6.6: one installation continues another.

use ledger_core::tenant::Change;

use super::{check, ledger};

const FROM_EU: &str = "continued fromClientKey=old fromRealm=EU";

#[test]
fn row_8a_expects_the_realm_of_the_predecessor() {
    check(
        "nothing observed",
        &format!("1d {FROM_EU}\n2d installed product=US"),
        "installed EU/expected@2d product=US predecessor=old/a:EU rule=CONTINUED@2 expected=EU pinned=EU \
         previous=EU",
    );
    check(
        "observed elsewhere",
        &format!("1d {FROM_EU}\n2d installed on=US"),
        "installed US/observed@2d predecessor=old/a:EU rule=CONTINUED@2 expected=EU observed=US pinned=US \
         previous=EU moved=yes divergent=yes",
    );
    check(
        "a region without URL here",
        "1d continued fromClientKey=old fromRealm=DE\n2d installed product=US",
        "installed US/expected@2d product=US predecessor=old/a:DE rule=CONTINUED@2 expected=US pinned=US \
         previous=DE moved=yes",
    );
    check(
        "no descriptor",
        "bare\n1d continued fromClientKey=old fromRealm=DE\n2d installed product=US",
        "installed DE/expected@2d product=US predecessor=old/a:DE rule=CONTINUED@2 expected=DE pinned=DE previous=DE",
    );
    check(
        "GLOBAL is served everywhere",
        "1d continued fromClientKey=old fromRealm=default\n2d installed product=US",
        "installed GLOBAL/expected@2d product=US predecessor=old/a:GLOBAL rule=CONTINUED@2 expected=GLOBAL \
         pinned=GLOBAL previous=GLOBAL",
    );
}

#[test]
fn predecessor_without_a_realm_falls_to_row_8b() {
    check(
        "8b",
        "1d continued fromClientKey=old\n2d installed product=US",
        "installed US/expected@2d product=US predecessor=old/a: rule=FRESH@2 expected=US pinned=US",
    );
}

#[test]
fn implied_installation_continues_at_its_install() {
    check(
        "within 5 minutes",
        &format!("1d {FROM_EU}\n2d enabled\n2d+1m installed product=US"),
        "installed EU/expected@2d+1m product=US predecessor=old/a:EU rule=CONTINUED@3 expected=EU pinned=EU \
         previous=EU !2:install-not-seen",
    );
    check(
        "later: row 1 expects the realm of row 8a",
        &format!("1d {FROM_EU}\n2d enabled\n2d+1h installed product=US"),
        "installed EU/expected@2d+1h product=US predecessor=old/a:EU !2:install-not-seen",
    );
    check(
        "told while implied: nothing is pinned yet",
        &format!("2d enabled\n2d+1h {FROM_EU}"),
        "installed nowhere predecessor=old/a:EU !1:install-not-seen",
    );
}

#[test]
fn continuation_after_the_install_corrects_its_decision() {
    check(
        "pinned already",
        &format!("1d installed on=US\n2d {FROM_EU}"),
        "installed US/observed@1d predecessor=old/a:EU rule=FRESH@1 observed=US pinned=US previous=EU moved=yes",
    );
    check(
        "pinned nowhere",
        &format!("1d installed\n2d {FROM_EU}"),
        "installed EU/expected@2d predecessor=old/a:EU rule=FRESH@1 previous=EU",
    );
    check(
        "a previous realm of its own stays",
        &format!("1d installed on=US\n2d uninstalled\n3d installed on=US\n4d {FROM_EU}"),
        "installed US/observed@3d predecessor=old/a:EU rule=PERSISTED@3 expected=US observed=US pinned=US previous=US",
    );
}

#[test]
fn later_continuation_replaces_the_earlier_realm() {
    check(
        "the decision, the pin and the last known realm",
        &format!(
            "1d installed\n2d {FROM_EU}\n3d continued fromClientKey=old fromRealm=US\n4d uninstalled\n5d installed"
        ),
        "installed US/expected@5d predecessor=old/a:US rule=PERSISTED@5 expected=US pinned=US previous=US",
    );
    check(
        "the previous realm of a decision that was made in between",
        &format!("1d {FROM_EU}\n2d installed on=US\n3d continued fromClientKey=old fromRealm=US"),
        "installed US/observed@2d predecessor=old/a:US rule=CONTINUED@2 expected=EU observed=US pinned=US \
         previous=US divergent=yes",
    );
    check(
        "not a pin that was observed since",
        &format!(
            "1d installed\n2d {FROM_EU}\n3d installed on=EU\n4d continued fromClientKey=old fromRealm=US\n5d uninstalled\n6d installed on=EU"
        ),
        "installed EU/observed@6d predecessor=old/a:US rule=PERSISTED@6 expected=EU observed=EU pinned=EU previous=EU",
    );
}

#[test]
fn repeated_continuation_changes_nothing() {
    for again in
        ["continued fromClientKey=old", FROM_EU, "continued fromClientKey=old fromAppKey=a fromRealm=eu"]
    {
        check(again, &format!("1d {FROM_EU}\n2d {again}"), "none nowhere predecessor=old/a:EU");
    }
    check(
        "a realm that was not told before",
        &format!("1d continued fromClientKey=old\n2d {FROM_EU}"),
        "none nowhere predecessor=old/a:EU",
    );
}

#[test]
fn another_predecessor_is_an_anomaly() {
    check(
        "another client key",
        &format!("1d {FROM_EU}\n2d continued fromClientKey=older"),
        "none nowhere predecessor=older/a: !2:continuation-replaced",
    );
    check(
        "another app key",
        &format!("1d {FROM_EU}\n2d continued fromClientKey=old fromAppKey=b fromRealm=EU"),
        "none nowhere predecessor=old/b:EU !2:continuation-replaced",
    );
}

#[test]
fn superseded_ends_an_installation() {
    check(
        "installed, with a migration",
        "1d installed on=US\n2d migration-scheduled id=1 to=EU\n3d superseded toClientKey=new",
        "uninstalled US/observed@1d successor=new/a window=3d..10d rule=FRESH@1 observed=US pinned=US \
         !3:migration-abandoned",
    );
    check(
        "uninstalled: the first window stands",
        "1d installed on=US\n2d uninstalled\n3d superseded toClientKey=new toAppKey=b",
        "uninstalled US/observed@1d successor=new/b window=2d..9d rule=FRESH@1 observed=US pinned=US",
    );
    check("never seen", "1d superseded toClientKey=new", "none nowhere successor=new/a");
}

#[test]
fn first_uninstall_after_superseded_is_no_anomaly() {
    let superseded = "1d installed on=US\n2d superseded toClientKey=new\n3d uninstalled";
    let left = "uninstalled US/observed@1d successor=new/a window=2d..9d rule=FRESH@1 observed=US pinned=US";
    check("the first", superseded, left);
    check("the second", &format!("{superseded}\n4d uninstalled"), &format!("{left} !4:uninstall-repeated"));
    check(
        "of any row",
        "1d superseded toClientKey=new\n2d uninstalled\n3d uninstalled",
        "uninstalled nowhere successor=new/a window=2d..9d !2:uninstall-without-install !3:uninstall-repeated",
    );
    check(
        "told again",
        &format!("{superseded}\n4d superseded toClientKey=newer\n5d uninstalled"),
        &left.replace("new/a", "newer/a"),
    );
}

#[test]
fn install_clears_the_successor() {
    check(
        "a decision",
        "1d installed on=US\n2d superseded toClientKey=new\n3d installed on=US",
        "installed US/observed@3d rule=PERSISTED@3 expected=US observed=US pinned=US previous=US",
    );
    check(
        "an implied one",
        "1d superseded toClientKey=new\n2d enabled",
        "installed nowhere !2:install-not-seen",
    );
    check(
        "not a refresh, which there is none of while it is superseded, and not an enabled",
        "1d installed on=US\n2d superseded toClientKey=new\n3d enabled",
        "uninstalled US/observed@1d successor=new/a window=2d..9d rule=FRESH@1 observed=US pinned=US \
         !3:enabled-not-installed",
    );
}

fn changes(history: &str) -> Vec<Vec<Change>> {
    let ledger = ledger(history);
    let kept = ledger.tenants.into_values().next().unwrap();
    kept.outcomes.into_iter().map(|outcome| outcome.changes).collect()
}

#[test]
fn continuation_publishes_the_corrected_decision() {
    let changes = changes(&format!("1d installed on=US\n2d {FROM_EU}\n3d {FROM_EU}"));
    let correction = changes[1][0].correction.unwrap();
    assert_eq!((correction.first_seq, correction.count), (1, 1));
    assert!(correction.decision.unwrap().moved, "its data may still be in EU");
    assert!(changes[2].is_empty(), "the same word changes nothing: {:?}", changes[2]);
}

#[test]
fn links_are_changes_although_the_summary_is_equal() {
    let changes = changes("1d uninstalled\n2d superseded toClientKey=new\n3d continued fromClientKey=old");
    assert_eq!((changes[1].len(), changes[2].len()), (1, 1));
}
