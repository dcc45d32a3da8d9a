//! Rules 6.3 and 6.4.

use ledger_core::ids::AppKey;

use super::{check, ledger, short};

const FRESH_EU: &str = "rule=FRESH@1 observed=EU pinned=EU";

fn check_from_eu(row: &str, rest: &str, expected: &str) {
    let history = format!("1d installed on=EU\n{rest}");
    let (state, odd) = expected.split_once('!').map_or((expected, None), |(state, odd)| (state, Some(odd)));
    let odd = odd.map(|odd| format!(" !{odd}")).unwrap_or_default();
    check(row, &history, &format!("{} {FRESH_EU}{odd}", state.trim()));
}

#[test]
fn finished_migration_ids_stay_finished() {
    let committed = "2d data-located realm=EU\n3d migrated id=1 to=US";
    check_from_eu(
        "a commit is reverted, and its data with it",
        &format!("{committed}\n4d migration-rolled-back id=1"),
        "installed EU/migrated@4d data=EU !4:migration-reverted",
    );
    check_from_eu(
        "… unless the data was located elsewhere since",
        &format!("{committed}\n3d data-located realm=DE\n4d migration-rolled-back id=1"),
        "installed EU/migrated@4d data=DE !5:migration-reverted",
    );
    check_from_eu(
        "… and data that the commit did not change stays",
        "2d migrated id=1 to=US\n3d data-located realm=US\n4d migration-rolled-back id=1",
        "installed EU/migrated@4d data=US !4:migration-reverted",
    );
    check_from_eu(
        "not with an override",
        &format!("{committed}\n4d override action=PIN realm=US\n5d migration-rolled-back id=1"),
        "installed US/overridden@3d data=US override=US !5:migration-already-finished",
    );
    check_from_eu(
        "not when pinned elsewhere since",
        &format!("{committed}\n4d migrated to=DE\n5d migration-rolled-back id=1"),
        "installed DE/migrated@4d data=DE !5:migration-already-finished",
    );
    check_from_eu(
        "not when uninstalled, and no longer pending",
        &format!("{committed}\n4d uninstalled\n5d migration-rolled-back id=1"),
        "uninstalled US/migrated@3d data=US window=4d..11d !5:migration-already-finished",
    );
    check(
        "a revert without a known source",
        "1d migrated id=1 to=US\n2d migration-rolled-back id=1",
        "installed US/migrated@1d !1:install-not-seen !2:migration-reverted",
    );
    check_from_eu(
        "retried hooks",
        "2d migrated id=1 to=US\n3d migration-committed id=1\n4d migrated id=1 to=US from=DE
         5d migration-rolled-back id=2\n6d migration-rolled-back id=2",
        "installed US/migrated@2d !5:migration-unscheduled",
    );
    check_from_eu(
        "another target is no retry",
        "2d migrated id=1 to=US\n3d migration-committed id=1 to=DE",
        "installed US/migrated@2d !3:migration-already-finished",
    );
    check_from_eu(
        "scheduled again, started again, committed after a rollback",
        "2d migration-scheduled id=1 to=US\n3d migration-rolled-back id=1\n4d migration-scheduled id=1 to=US
         5d migration-started id=1\n6d migration-committed id=1",
        "installed EU/observed@1d !4:migration-already-finished !5:migration-already-finished \
         !6:migration-already-finished",
    );
    check_from_eu(
        "uninstalled",
        "2d uninstalled\n3d migration-scheduled id=1 to=US\n4d migrated to=US",
        "uninstalled EU/observed@1d window=2d..9d !3:migration-not-installed !4:migration-not-installed",
    );
}

#[test]
fn pending_migration_is_replaced_or_superseded() {
    check_from_eu(
        "scheduled again: target and given times replaced",
        "2d migration-scheduled id=1 to=US\n3d migration-scheduled id=1 to=DE",
        "installed EU/observed@1d pending=1→DE:scheduled",
    );
    check_from_eu(
        "scheduled again when started: nothing",
        "2d migration-scheduled id=1 to=US\n3d migration-started id=1\n4d migration-scheduled id=1 to=DE",
        "installed EU/observed@1d pending=1→US:started",
    );
    check_from_eu(
        "scheduled over another",
        "2d migration-scheduled id=1 to=US\n3d migration-scheduled id=2 to=DE",
        "installed EU/observed@1d pending=2→DE:scheduled !3:migration-superseded",
    );
    check_from_eu(
        "the superseded one is forgotten, not finished",
        "2d migration-scheduled id=1 to=US\n3d migration-scheduled id=2 to=DE\n4d migration-scheduled id=1 to=US",
        "installed EU/observed@1d pending=1→US:scheduled !3:migration-superseded !4:migration-superseded",
    );
    check_from_eu(
        "started, target replaced",
        "2d migration-scheduled id=1 to=US\n3d migration-started id=1 to=DE",
        "installed EU/observed@1d pending=1→DE:started",
    );
    check_from_eu(
        "started, unscheduled",
        "2d migration-started id=1",
        "installed EU/observed@1d pending=1→:started !2:migration-unscheduled",
    );
    check_from_eu(
        "started over another",
        "2d migration-scheduled id=1 to=US\n3d migration-started id=2",
        "installed EU/observed@1d pending=2→:started !3:migration-unscheduled !3:migration-superseded",
    );
}

#[test]
fn commit_pins_the_target_realm() {
    check_from_eu(
        "target of the event before that of the pending one; data that is known moves; the override goes",
        "2d data-located realm=EU\n3d override action=PIN realm=EU\n4d migration-scheduled id=1 to=US
         5d migration-committed id=1 to=DE",
        "installed DE/migrated@5d data=DE",
    );
    check_from_eu(
        "target of the pending one; unknown data stays unknown",
        "2d migration-scheduled id=1 to=US\n3d migration-committed id=1",
        "installed US/migrated@3d",
    );
    check_from_eu(
        "no target: the realm stays, the override too",
        "2d override action=PIN realm=US\n3d migration-committed id=1",
        "installed US/overridden@2d override=US !3:migration-unscheduled !3:migration-target-unknown",
    );
    check_from_eu(
        "a pending one of another id stays",
        "2d migration-scheduled id=1 to=US\n3d migration-committed id=2 to=DE",
        "installed DE/migrated@3d pending=1→US:scheduled !3:migration-unscheduled",
    );
    check_from_eu("to where it is", "2d migrated id=1 to=EU", "installed EU/migrated@1d");
    check_from_eu(
        "another source than the pinned realm",
        "2d migrated to=US from=DE",
        "installed US/migrated@2d !2:migration-source-mismatch",
    );
    check(
        "the event's source where no other is known",
        "1d migrated id=1 to=US from=EU\n1d+1h installed on=EU",
        "installed US/migrated@1d !1:install-not-seen !2:stale-endpoint",
    );
    check_from_eu(
        "the source of the pending one before the pin of the moment",
        "2d migration-scheduled id=1 to=US\n3d installed on=US\n4d migration-committed id=1
         5d migration-rolled-back id=1",
        "installed EU/migrated@5d !5:migration-reverted",
    );
}

#[test]
fn rollback_returns_to_the_source_realm() {
    check_from_eu(
        "before it arrived",
        "2d migration-scheduled id=1 to=US\n3d migration-rolled-back id=1",
        "installed EU/observed@1d",
    );
    check_from_eu(
        "after it arrived",
        "2d migration-scheduled id=1 to=US\n3d installed on=US\n4d migration-rolled-back id=1",
        "installed EU/migrated@4d !4:migration-reverted",
    );
    check_from_eu(
        "never announced",
        "2d migration-rolled-back id=1",
        "installed EU/observed@1d !2:migration-unscheduled",
    );
    check_from_eu(
        "of another than the pending one",
        "2d migration-scheduled id=1 to=US\n3d migration-rolled-back id=2",
        "installed EU/observed@1d pending=1→US:scheduled !3:migration-unscheduled",
    );
    check(
        "called while nothing was pinned, which is no arrival",
        "1d migration-scheduled id=1 to=US\n2d installed on=US\n3d migration-rolled-back id=1",
        "installed US/observed@2d !1:install-not-seen",
    );
}

#[test]
fn source_is_the_first_other_realm_pinned_while_pending() {
    check(
        "the first other realm that is pinned while it is pending, and it stays",
        "1d migration-scheduled id=1 to=US\n2d installed on=EU\n3d override action=PIN realm=GLOBAL
         4d override action=RELEASE\n5d installed on=US\n6d migration-rolled-back id=1",
        "installed EU/migrated@6d !1:install-not-seen !5:migration-overdue !6:migration-reverted",
    );
    check(
        "the target that was pinned is another realm once the target is replaced",
        "1d migration-scheduled id=1 to=US\n2d installed on=US\n3d migration-scheduled id=1 to=DE
         4d installed on=DE\n5d migration-rolled-back id=1",
        "installed US/migrated@5d !1:install-not-seen !4:endpoint-without-url !4:migration-overdue !5:migration-reverted",
    );
    check(
        "what a commit pins is not its own source",
        "1d migration-scheduled id=1 to=US\n2d migration-committed id=1 to=DE\n3d migration-rolled-back id=1",
        "installed DE/migrated@2d !1:install-not-seen !3:migration-reverted",
    );
}

#[test]
fn hook_without_install_implies_an_installation() {
    check("enabled", "1d enabled", "installed nowhere !1:install-not-seen");
    check("disabled", "1d disabled", "installed disabled nowhere !1:install-not-seen");
    check(
        "an override is set",
        "1d override action=PIN realm=US\n2d enabled",
        "installed US/overridden@2d override=US !2:install-not-seen",
    );
    check(
        "rolled back",
        "1d migration-rolled-back id=1",
        "installed nowhere !1:install-not-seen !1:migration-unscheduled",
    );
    check(
        "disabled and enabled",
        "1d installed on=EU\n2d disabled\n3d enabled",
        &format!("installed EU/observed@1d {FRESH_EU}"),
    );
    check(
        "while uninstalled",
        "1d installed on=EU\n2d uninstalled\n2d disabled\n3d enabled",
        &format!("uninstalled EU/observed@1d window=2d..9d {FRESH_EU} !4:enabled-not-installed"),
    );
}

fn due(history: &str) -> (String, bool, bool) {
    let ledger = ledger(history);
    let tenant = &ledger.tenants.values().next().unwrap().tenant;
    let pending = tenant.installations[&AppKey::new("a").unwrap()].migration.clone().unwrap();
    let due_by = pending.due_by();
    (short(due_by), pending.view(due_by).overdue, pending.view(due_by.plus_millis(1)).overdue)
}

#[test]
fn migration_is_due_at_its_end_or_24_hours_after_its_phase() {
    for (history, due_by) in [
        ("1d migration-scheduled id=1 to=EU start=3d end=4d", "4d"),
        ("1d migration-scheduled id=1 to=EU start=3d end=4d\n3d migration-started id=1", "4d"),
        ("1d migration-scheduled id=1 to=EU start=3d", "4d"),
        ("1d migration-scheduled id=1 to=EU start=3d\n3d+1h migration-started id=1", "4d+1h"),
        ("1d migration-scheduled id=1 to=EU", "2d"),
        ("1d migration-scheduled id=1 to=EU\n2d migration-scheduled id=1 to=EU", "2d"),
        ("1d migration-scheduled id=1 to=EU\n2d migration-started id=1\n5d migration-started id=1", "3d"),
        ("1d migration-started id=1 to=EU", "2d"),
        ("1d migration-scheduled id=1 to=EU end=4d\n2d migration-scheduled id=1 to=EU end=5d", "5d"),
    ] {
        assert_eq!(due(history), (due_by.to_owned(), false, true), "{history}");
    }
}

#[test]
fn arrival_over_24_hours_after_due_is_an_anomaly() {
    let scheduled = "1d installed on=US\n2d migration-scheduled id=1 to=EU end=3d";
    let arrived = |at: &str| {
        format!("installed EU/observed@{at} pending=1→EU:scheduled rule=FRESH@1 observed=US pinned=US")
    };
    check("24 h after", &format!("{scheduled}\n4d installed on=EU"), &arrived("4d"));
    check(
        "later",
        &format!("{scheduled}\n4d+1s installed on=EU"),
        &format!("{} !3:migration-overdue", arrived("4d+1s")),
    );
}
