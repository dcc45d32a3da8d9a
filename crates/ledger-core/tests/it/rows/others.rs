//! Rules 6.5, and facts that the apps of a tenant share.

use super::{check, ledger, state_text};
use ledger_core::ids::AppKey;

const FRESH_EU: &str = "rule=FRESH@1 observed=EU pinned=EU";

#[test]
fn override_pins_releases_and_forgets() {
    check("before any install", "1d override action=PIN realm=US", "none nowhere override=US");
    check(
        "to a region without a URL",
        "1d installed on=EU\n2d override action=PIN realm=DE",
        &format!("installed DE/overridden@2d override=DE {FRESH_EU} !2:override-without-url"),
    );
    check(
        "nobody knows the URLs",
        "bare\n1d installed on=EU\n2d override action=PIN realm=DE",
        &format!("installed DE/overridden@2d override=DE {FRESH_EU}"),
    );
    check(
        "while uninstalled it waits for the install",
        "1d installed on=EU\n2d uninstalled\n3d override action=PIN realm=US",
        &format!("uninstalled EU/observed@1d override=US window=2d..9d {FRESH_EU}"),
    );
    check(
        "released without one",
        "1d installed on=EU\n2d override action=RELEASE",
        &format!("installed EU/observed@1d {FRESH_EU} !2:override-not-set"),
    );
    check(
        "forget while installed",
        "1d installed on=EU\n2d override action=FORGET",
        &format!("installed EU/observed@1d {FRESH_EU} !2:no-open-window"),
    );
    check(
        "forget too late",
        "1d installed on=EU\n2d uninstalled\n9d override action=FORGET",
        &format!("uninstalled EU/observed@1d window=2d..9d {FRESH_EU} !3:no-open-window"),
    );
    check(
        "forget twice",
        "1d installed on=EU\n2d uninstalled\n3d override action=FORGET\n4d override action=FORGET",
        &format!("uninstalled EU/observed@1d window=2d..3d! {FRESH_EU} !4:no-open-window"),
    );
}

#[test]
fn data_and_subscription_are_kept_before_any_install() {
    check("located", "1d data-located realm=EU", "none nowhere data=EU");
    check("subscribed", "1d subscription-observed state=ACTIVE", "none nowhere");
}

#[test]
fn product_realm_is_shared_by_the_apps_of_a_tenant() {
    check(
        "of another app's install, by event time and not by arrival",
        "3d installed app=b product=US\n1d installed app=b product=EU\n2d installed",
        "installed EU/expected@2d product=US rule=FRESH@3 expected=EU pinned=EU",
    );
    check(
        "product-moved",
        "1d product-moved product=EU\n1d installed",
        "installed EU/expected@1d product=EU rule=FRESH@2 expected=EU pinned=EU",
    );
    let ledger = ledger("1d installed on=EU\n2d product-moved product=US\n3d installed app=b on=EU");
    let tenant = &ledger.tenants.values().next().unwrap().tenant;
    let other = &tenant.installations[&AppKey::new("b").unwrap()];
    assert_eq!(
        state_text(tenant, other),
        "installed EU/observed@3d product=US rule=FRESH@3 observed=EU pinned=EU"
    );
    let outcomes = &ledger.tenants.values().next().unwrap().outcomes;
    assert_eq!(outcomes[1].changes.len(), 1, "a product that moved changes every installation");
    assert_eq!(outcomes[2].changes.len(), 1, "an install changes only its own");
}
