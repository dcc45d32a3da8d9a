//! Rules 6.1.

use super::check;

#[test]
fn rows_1_to_3_keep_the_install_decision() {
    check(
        "1, observed absent",
        "1d installed on=EU\n2d installed",
        "installed EU/observed@1d rule=FRESH@1 observed=EU pinned=EU",
    );
    check(
        "1, confirmed",
        "1d installed product=EU\n2d installed on=EU",
        "installed EU/observed@1d product=EU rule=FRESH@1 expected=EU pinned=EU",
    );
    check(
        "1, a migrated pin stays so when it is observed",
        "1d installed on=EU\n2d migrated to=US\n3d installed on=US",
        "installed US/migrated@2d rule=FRESH@1 observed=EU pinned=EU",
    );
    check(
        "1, an overridden pin is confirmed once released",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d override action=RELEASE\n4d installed on=US",
        "installed US/observed@2d rule=FRESH@1 observed=EU pinned=EU",
    );
    check(
        "1, an overridden pin is not confirmed before",
        "1d installed on=EU\n2d override action=PIN realm=US\n4d installed on=US",
        "installed US/overridden@2d override=US rule=FRESH@1 observed=EU pinned=EU",
    );
    check(
        "1, pinned unknown, observed",
        "1d enabled\n2d installed on=EU",
        "installed EU/observed@2d !1:install-not-seen",
    );
    check(
        "1, pinned unknown, not observed",
        "1d enabled\n2d installed product=EU",
        "installed EU/expected@2d product=EU !1:install-not-seen",
    );
    check("1, nothing known", "1d enabled\n2d installed", "installed nowhere !1:install-not-seen");
    check(
        "2",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d installed on=EU",
        "installed US/overridden@2d override=US rule=FRESH@1 observed=EU pinned=EU !3:endpoint-mismatch",
    );
    check(
        "2 before 3",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d migration-scheduled id=1 to=EU\n4d installed on=EU",
        "installed US/overridden@2d override=US pending=1→EU:scheduled rule=FRESH@1 observed=EU pinned=EU \
         !4:endpoint-mismatch",
    );
    check(
        "3",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d installed on=US",
        "installed US/observed@3d pending=1→US:scheduled rule=FRESH@1 observed=EU pinned=EU",
    );
}

#[test]
fn row_4_ignores_stragglers_of_a_migration() {
    check(
        "source of a pending migration that has arrived",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d installed on=US\n4d installed on=EU",
        "installed US/observed@3d pending=1→US:scheduled rule=FRESH@1 observed=EU pinned=EU !4:stale-endpoint",
    );
    check(
        "no longer arrived: another target",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d installed on=US
         4d migration-scheduled id=1 to=DE\n5d installed on=EU",
        "installed EU/observed@5d rule=IMPLICIT_REINSTALL@5 observed=EU pinned=EU previous=US moved=yes \
         !5:endpoint-mismatch !5:migration-abandoned",
    );
    check(
        "no longer arrived: pinned again",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d installed on=US
         4d override action=PIN realm=US\n5d override action=RELEASE\n6d installed on=EU",
        "installed EU/observed@6d pending=1→US:scheduled rule=FRESH@1 observed=EU pinned=EU \
         !6:expectation-corrected",
    );
    check(
        "source of the last commit, a moment less than 24 h before",
        "1d installed on=EU\n2d migrated to=US\n2d+23h+59m+59s installed on=EU",
        "installed US/migrated@2d rule=FRESH@1 observed=EU pinned=EU !3:stale-endpoint",
    );
    check(
        "source of the last commit, 24 h before",
        "1d installed on=EU\n2d migrated to=US\n3d installed on=EU",
        "installed EU/observed@3d rule=IMPLICIT_REINSTALL@3 observed=EU pinned=EU previous=US moved=yes \
         !3:endpoint-mismatch",
    );
    check(
        "a commit without a known source does not count: the one before it does",
        "1d installed on=EU\n2d migrated to=US\n2d+1h migrated to=US\n2d+2h installed on=EU",
        "installed US/migrated@2d rule=FRESH@1 observed=EU pinned=EU !4:stale-endpoint",
    );
    check(
        "a later commit takes its place",
        "1d installed on=EU\n2d migrated to=US\n2d+1h migrated to=DE\n2d+2h installed on=EU",
        "installed EU/observed@2d+2h rule=IMPLICIT_REINSTALL@4 observed=EU pinned=EU previous=DE moved=yes \
         !4:endpoint-mismatch",
    );
    check(
        "target of a rollback",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d migration-rolled-back id=1\n3d+1h installed on=US",
        "installed EU/observed@1d rule=FRESH@1 observed=EU pinned=EU !4:stale-endpoint",
    );
    check(
        "target of a rollback, 24 h before",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d migration-rolled-back id=1\n4d installed on=US",
        "installed US/observed@4d rule=IMPLICIT_REINSTALL@4 observed=US pinned=US previous=EU moved=yes \
         !4:endpoint-mismatch",
    );
    check(
        "a reverted commit counts as a rollback, not as a commit",
        "1d installed on=EU\n2d migrated id=1 to=US\n2d+1h migration-rolled-back id=1\n2d+2h installed on=US",
        "installed EU/migrated@2d+1h rule=FRESH@1 observed=EU pinned=EU !3:migration-reverted !4:stale-endpoint",
    );
}

#[test]
fn row_5_corrects_an_expectation_and_row_6_reinstalls() {
    check(
        "5, expected: the decision is set right, the time stays",
        "1d installed product=EU\n2d installed on=US",
        "installed US/observed@1d product=EU rule=FRESH@1 expected=EU observed=US pinned=US divergent=yes \
         !2:expectation-corrected",
    );
    check(
        "5, overridden, released: the decision stays",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d override action=RELEASE\n4d installed on=EU",
        "installed EU/observed@4d rule=FRESH@1 observed=EU pinned=EU !4:expectation-corrected",
    );
    check(
        "5, expected without a decision of that realm",
        "1d enabled\n2d installed product=EU\n3d installed on=US",
        "installed US/observed@2d product=EU !1:install-not-seen !3:expectation-corrected",
    );
    check(
        "6, with another migration pending",
        "1d installed on=EU\n2d migration-scheduled id=1 to=US\n3d installed on=DE",
        "installed DE/observed@3d rule=IMPLICIT_REINSTALL@3 observed=DE pinned=DE previous=EU moved=yes \
         !3:endpoint-without-url !3:endpoint-mismatch !3:migration-abandoned",
    );
}

#[test]
fn rows_7_to_9_decide_override_fresh_and_prior_unknown() {
    check(
        "7, on the first install",
        "1d override action=PIN realm=US\n2d installed on=EU product=EU",
        "installed US/overridden@2d product=EU override=US rule=OVERRIDDEN@2 expected=US observed=EU pinned=US \
         divergent=yes",
    );
    check(
        "8, a region without URL is GLOBAL",
        "1d installed product=DE",
        "installed GLOBAL/expected@1d product=DE rule=FRESH@1 expected=GLOBAL pinned=GLOBAL",
    );
    check(
        "8, descriptor unknown",
        "bare\n1d installed product=EU",
        "installed nowhere product=EU rule=FRESH@1",
    );
    check(
        "8, the descriptor inside the event",
        "bare\n1d installed product=EU descriptor=EU",
        "installed EU/expected@1d product=EU rule=FRESH@1 expected=EU pinned=EU",
    );
    check(
        "8, implied 5 minutes before; the migration is kept, and learns its source",
        "1d migration-scheduled id=1 to=US\n1d+5m installed on=EU\n2d installed on=US\n3d installed on=EU",
        "installed US/observed@2d pending=1→US:scheduled rule=FRESH@2 observed=EU pinned=EU \
         !1:install-not-seen !4:stale-endpoint",
    );
    check(
        "8 is not it when implied longer ago",
        "1d migration-scheduled id=1 to=US\n1d+5m+1s installed on=EU",
        "installed EU/observed@1d+5m+1s pending=1→US:scheduled !1:install-not-seen",
    );
    check(
        "9",
        "1d uninstalled\n2d installed product=EU",
        "installed EU/expected@2d product=EU rule=PRIOR_UNKNOWN@2 expected=EU pinned=EU \
         !1:uninstall-without-install",
    );
    check(
        "9, the last known realm is told though the pin was unknown",
        "bare\n1d installed on=EU\n2d uninstalled\n3d installed\n4d uninstalled\n5d installed on=US",
        "installed US/observed@5d rule=PRIOR_UNKNOWN@5 observed=US pinned=US previous=EU moved=yes \
         !2:descriptor-unknown !4:descriptor-unknown",
    );
}

#[test]
fn rows_10_to_14_decide_by_the_persistence_window() {
    check(
        "10",
        "1d installed on=US product=EU\n2d uninstalled\n3d override action=FORGET\n4d installed",
        "installed EU/expected@4d product=EU rule=WINDOW_FORGOTTEN@4 expected=EU pinned=EU previous=US moved=yes",
    );
    check(
        "11",
        "0d policy-set policy=off\n1d installed on=US product=EU\n2d uninstalled\n3d installed",
        "installed EU/expected@3d product=EU rule=PERSISTENCE_OFF@3 expected=EU pinned=EU previous=US moved=yes",
    );
    check(
        "12, at the very end",
        "1d installed on=US product=EU\n2d uninstalled\n9d installed",
        "installed EU/expected@9d product=EU rule=WINDOW_EXPIRED@3 expected=EU pinned=EU previous=US moved=yes",
    );
    check(
        "13",
        "1d installed on=US product=EU\n2d uninstalled\n3d descriptor-published descriptor=EU:7\n4d installed",
        "installed EU/expected@4d product=EU rule=REALM_WITHDRAWN@3 expected=EU pinned=EU previous=US moved=yes",
    );
    check(
        "13 never takes GLOBAL away",
        "1d installed on=GLOBAL product=EU\n2d uninstalled\n3d descriptor-published descriptor=EU:7\n4d installed",
        "installed GLOBAL/expected@4d product=EU rule=PERSISTED@3 expected=GLOBAL pinned=GLOBAL previous=GLOBAL",
    );
    check(
        "14, a moment before the end; the platform disagrees",
        "1d installed on=US product=EU\n2d uninstalled\n8d+23h+59m+59s installed on=EU",
        "installed EU/observed@8d+23h+59m+59s product=EU rule=PERSISTED@3 expected=US observed=EU pinned=EU \
         previous=US moved=yes divergent=yes",
    );
}

#[test]
fn changed_installation_id_is_an_anomaly_except_on_reinstall() {
    check(
        "a known installation id that changes is odd, after the row's own anomaly",
        "1d installed on=EU installationId=one\n2d override action=PIN realm=US\n3d installed on=EU installationId=two",
        "installed US/overridden@2d override=US rule=FRESH@1 observed=EU pinned=EU !3:endpoint-mismatch \
         !3:installation-id-changed",
    );
    check(
        "a reinstall may bring another",
        "1d installed on=EU installationId=one\n2d uninstalled\n3d installed on=EU installationId=two",
        "installed EU/observed@3d rule=PERSISTED@3 expected=EU observed=EU pinned=EU previous=EU",
    );
}
