//! Rules 6.2 and 5: uninstalls and their windows.

use super::check;

const FRESH_EU: &str = "rule=FRESH@1 observed=EU pinned=EU";

#[test]
fn overtaken_uninstall_leaves_the_app_installed() {
    let moved = "1d installed on=EU\n2d uninstalled\n3d installed on=US";
    let stands = "rule=PERSISTED@3 expected=EU observed=US pinned=US previous=EU moved=yes divergent=yes";
    check(
        "overtaken, 5 minutes",
        &format!("{moved}\n3d+5m uninstalled on=EU"),
        &format!("installed US/observed@3d {stands} !4:uninstall-overtaken"),
    );
    check(
        "too long ago",
        &format!("{moved}\n3d+5m+1s uninstalled on=EU"),
        &format!("uninstalled US/observed@3d window=3d+5m+1s..10d+5m+1s {stands} !4:endpoint-mismatch"),
    );
    check(
        "from a third realm",
        &format!("{moved}\n3d+1m uninstalled on=DE"),
        &format!(
            "uninstalled US/observed@3d window=3d+1m..10d+1m {stands} !4:endpoint-without-url !4:endpoint-mismatch"
        ),
    );
}

#[test]
fn endpoint_of_an_uninstall_updates_the_pin() {
    check(
        "pinned unknown",
        "1d enabled\n2d uninstalled on=EU",
        "uninstalled EU/observed@2d window=2d..9d !1:install-not-seen",
    );
    check(
        "confirmed",
        "1d installed product=EU\n2d uninstalled on=EU",
        "uninstalled EU/observed@1d product=EU window=2d..9d rule=FRESH@1 expected=EU pinned=EU",
    );
    check(
        "target of the pending migration",
        "1d installed on=EU\n2d migration-started id=1 to=US\n3d uninstalled on=US",
        &format!(
            "uninstalled US/observed@3d window=3d..10d {FRESH_EU} !2:migration-unscheduled !3:migration-abandoned"
        ),
    );
    check(
        "an override is set",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d uninstalled on=EU",
        &format!("uninstalled US/overridden@2d override=US window=3d..10d {FRESH_EU} !3:endpoint-mismatch"),
    );
    check(
        "a straggler",
        "1d installed on=EU\n2d migrated to=US\n2d+1h uninstalled on=EU",
        &format!("uninstalled US/migrated@2d window=2d+1h..9d+1h {FRESH_EU} !3:stale-endpoint"),
    );
    check(
        "expected",
        "1d installed product=EU\n2d uninstalled on=US",
        "uninstalled US/observed@1d product=EU window=2d..9d rule=FRESH@1 expected=EU observed=US pinned=US \
         divergent=yes !2:expectation-corrected",
    );
    check(
        "overridden and released",
        "1d installed on=EU\n2d override action=PIN realm=US\n3d override action=RELEASE\n4d uninstalled on=DE",
        &format!(
            "uninstalled DE/observed@4d window=4d..11d {FRESH_EU} !4:endpoint-without-url !4:expectation-corrected"
        ),
    );
    check(
        "elsewhere",
        "1d installed on=EU\n2d uninstalled on=US",
        &format!("uninstalled EU/observed@1d window=2d..9d {FRESH_EU} !2:endpoint-mismatch"),
    );
}

#[test]
fn uninstall_while_not_installed_is_an_anomaly() {
    check(
        "never installed",
        "1d uninstalled",
        "uninstalled nowhere window=1d..8d !1:uninstall-without-install",
    );
    check(
        "never installed, observed",
        "1d uninstalled on=EU",
        "uninstalled EU/observed@1d window=1d..8d !1:uninstall-without-install",
    );
    check(
        "repeated: the first window stands",
        "1d installed on=EU\n2d uninstalled\n3d uninstalled on=US",
        &format!("uninstalled EU/observed@1d window=2d..9d {FRESH_EU} !3:uninstall-repeated"),
    );
    check(
        "repeated, pinned unknown",
        "1d uninstalled\n2d uninstalled on=EU",
        "uninstalled EU/observed@2d window=1d..8d !1:uninstall-without-install !2:uninstall-repeated",
    );
}

#[test]
fn window_follows_the_policy_at_the_uninstall() {
    let with =
        |policy: &str, rest: &str| format!("0d policy-set policy={policy}\n1d installed on=EU\n{rest}");
    check(
        "descriptor unknown",
        "bare\n1d installed on=EU\n2d uninstalled",
        &format!("uninstalled EU/observed@1d {FRESH_EU} !2:descriptor-unknown"),
    );
    check(
        "descriptor without persistence",
        "1d installed on=EU descriptor=EU\n2d uninstalled",
        &format!("uninstalled EU/observed@1d {FRESH_EU}"),
    );
    check(
        "a published descriptor of the same time is the earlier one",
        "1d installed on=EU descriptor=EU:3\n1d descriptor-published descriptor=EU:9\n2d uninstalled",
        &format!("uninstalled EU/observed@1d window=2d..5d {FRESH_EU}"),
    );
    check(
        "later policies do not change it",
        &with("days:30", "2d uninstalled\n3d policy-set policy=off"),
        &format!("uninstalled EU/observed@1d window=2d..32d {FRESH_EU}"),
    );
    check(
        "indefinite",
        &with("indefinite", "2d uninstalled"),
        &format!("uninstalled EU/observed@1d window=2d.. {FRESH_EU}"),
    );
}

#[test]
fn subscription_changes_move_the_window_end() {
    let with = |rest: &str| format!("0d policy-set policy=subscription:5\n1d installed on=EU\n{rest}");
    let left = |window: &str| format!("uninstalled EU/observed@1d window={window} {FRESH_EU}");
    let active = "1d subscription-observed state=ACTIVE\n";
    let inactive = "2d subscription-observed state=INACTIVE\n";
    check("never observed", &with("2d uninstalled"), &format!("{} !2:subscription-unknown", left("2d..")));
    check("active", &with(&format!("{active}2d uninstalled")), &left("2d.."));
    check("inactive since", &with(&format!("{inactive}3d uninstalled")), &left("3d..7d"));
    check("inactive too long", &with(&format!("{inactive}9d uninstalled")), &left("9d..9d"));
    check(
        "a repeated observation keeps since",
        &with(&format!("{inactive}3d subscription-observed state=INACTIVE\n4d uninstalled")),
        &left("4d..7d"),
    );
    check(
        "lapses while it is open",
        &with(&format!("{active}2d uninstalled\n4d subscription-observed state=INACTIVE")),
        &left("2d..9d"),
    );
    check(
        "lapses only once",
        &with(&format!(
            "{active}2d uninstalled\n4d subscription-observed state=INACTIVE\n5d subscription-observed state=INACTIVE"
        )),
        &left("2d..9d"),
    );
    check(
        "renewed in time",
        &with(&format!("{inactive}3d uninstalled\n6d subscription-observed state=ACTIVE")),
        &left("3d.."),
    );
    check(
        "renewed at the end: what has ended stays ended",
        &with(&format!("{inactive}3d uninstalled\n7d subscription-observed state=ACTIVE")),
        &left("3d..7d"),
    );
    check(
        "forgotten stays forgotten",
        &with(&format!(
            "{active}2d uninstalled\n3d override action=FORGET\n4d subscription-observed state=ACTIVE"
        )),
        &left("2d..3d!"),
    );
}

#[test]
fn uninstall_of_another_installation_is_ignored() {
    let there = "1d installed on=EU installationId=one";
    let stands =
        "installed EU/observed@1d rule=FRESH@1 observed=EU pinned=EU !2:uninstall-of-another-installation";
    check("another one", &format!("{there}\n2d uninstalled installationId=two"), stands);
    check(
        "before the look at clocks that crossed, but after the look at the endpoint",
        &format!("{there}\n2d uninstalled on=DE installationId=two"),
        &stands.replace("!2:", "!2:endpoint-without-url !2:"),
    );
    let gone = "uninstalled EU/observed@1d window=2d..9d rule=FRESH@1 observed=EU pinned=EU";
    check("the same", &format!("{there}\n2d uninstalled installationId=one"), gone);
    check("none given", &format!("{there}\n2d uninstalled"), gone);
    check("none known", "1d installed on=EU\n2d uninstalled installationId=two", gone);
    check(
        "known from an earlier installation only",
        &format!("{there}\n2d uninstalled\n3d installed on=EU\n4d uninstalled installationId=two"),
        "uninstalled EU/observed@3d window=4d..11d rule=PERSISTED@3 expected=EU observed=EU pinned=EU previous=EU",
    );
    check(
        "told by a refresh since",
        "1d installed on=EU\n2d installed on=EU installationId=one\n3d uninstalled installationId=two",
        "installed EU/observed@1d rule=FRESH@1 observed=EU pinned=EU !3:uninstall-of-another-installation",
    );
    check(
        "told of an installation that was only implied",
        "1d enabled\n2d installed on=EU installationId=one\n3d uninstalled installationId=two",
        "installed EU/observed@2d !1:install-not-seen !3:uninstall-of-another-installation",
    );
    check(
        "uninstalled already: repeated",
        &format!("{there}\n2d uninstalled\n3d uninstalled installationId=two"),
        &format!("{gone} !3:uninstall-repeated"),
    );
}

#[test]
fn endpoint_without_url_is_the_first_anomaly_and_still_counts() {
    check(
        "installed",
        "1d installed on=DE product=US",
        "installed DE/observed@1d product=US rule=FRESH@1 expected=US observed=DE pinned=DE divergent=yes \
         !1:endpoint-without-url",
    );
    check(
        "its own descriptor counts",
        "1d installed on=DE descriptor=DE:7",
        "installed DE/observed@1d rule=FRESH@1 observed=DE pinned=DE",
    );
    check(
        "a refresh, before its own anomaly",
        "1d installed on=EU\n2d installed on=DE",
        "installed DE/observed@2d rule=IMPLICIT_REINSTALL@2 observed=DE pinned=DE previous=EU moved=yes \
         !2:endpoint-without-url !2:endpoint-mismatch",
    );
    check(
        "uninstalled, of any status",
        "1d uninstalled on=DE\n2d uninstalled on=DE",
        "uninstalled DE/observed@1d window=1d..8d !1:endpoint-without-url !1:uninstall-without-install \
         !2:endpoint-without-url !2:uninstall-repeated",
    );
    check(
        "an overtaken uninstall",
        "1d installed on=DE\n2d installed on=EU\n2d+1m uninstalled on=DE",
        "installed EU/observed@2d rule=IMPLICIT_REINSTALL@2 observed=EU pinned=EU previous=DE moved=yes \
         !1:endpoint-without-url !2:endpoint-mismatch !3:endpoint-without-url !3:uninstall-overtaken",
    );
    check(
        "no descriptor",
        "bare\n1d installed on=DE",
        "installed DE/observed@1d rule=FRESH@1 observed=DE pinned=DE",
    );
    check(
        "GLOBAL",
        "1d installed on=GLOBAL",
        "installed GLOBAL/observed@1d rule=FRESH@1 observed=GLOBAL pinned=GLOBAL",
    );
}
