//! Rules 6.7: the preview of an install equals the install.

use ledger_core::ids::AppKey;
use ledger_core::preview::preview;
use ledger_core::state::{Decision, Rule};
use ledger_core::time::Timestamp;

use super::{ledger, time};

/// The preview for the app `a`, with the product realm as it is.
fn previewed(history: &str, at: &str) -> Decision {
    let ledger = ledger(history);
    let tenant = &ledger.tenants.values().next().unwrap().tenant;
    let app = AppKey::new("a").unwrap();
    let at = Timestamp::from_millis(time(at));
    preview(tenant.installations.get(&app), tenant.product_realm, ledger.apps.of(&app), at)
}

/// The decision of the install itself.
fn decided(history: &str, at: &str) -> Decision {
    let ledger = ledger(&format!("{history}\n{at} installed"));
    let tenant = &ledger.tenants.values().next().unwrap().tenant;
    Decision { seq: None, ..tenant.installations[&AppKey::new("a").unwrap()].decision.unwrap() }
}

#[test]
fn preview_equals_the_decision_of_the_install() {
    let installed = "1d installed on=US product=EU";
    for (history, at, rule) in [
        ("1d product-moved product=EU".to_owned(), "2d", Rule::Fresh),
        ("1d continued fromClientKey=old fromRealm=EU".to_owned(), "2d", Rule::Continued),
        (
            "1d continued fromClientKey=old fromRealm=DE\n1d product-moved product=EU".to_owned(),
            "2d",
            Rule::Continued,
        ),
        ("1d override action=PIN realm=US".to_owned(), "2d", Rule::Overridden),
        ("1d uninstalled".to_owned(), "2d", Rule::PriorUnknown),
        (format!("{installed}\n2d uninstalled\n3d override action=FORGET"), "4d", Rule::WindowForgotten),
        (format!("0d policy-set policy=off\n{installed}\n2d uninstalled"), "3d", Rule::PersistenceOff),
        (format!("{installed}\n2d uninstalled"), "9d", Rule::WindowExpired),
        (
            format!("{installed}\n2d uninstalled\n3d descriptor-published descriptor=EU:7"),
            "4d",
            Rule::RealmWithdrawn,
        ),
        (format!("{installed}\n2d uninstalled"), "8d", Rule::Persisted),
        ("1d migration-scheduled id=1 to=US".to_owned(), "1d+5m", Rule::Fresh),
    ] {
        let previewed = previewed(&history, at);
        assert_eq!(previewed.rule, rule);
        assert_eq!(previewed, decided(&history, at));
    }
}

#[test]
fn preview_of_a_refresh_keeps_the_realm() {
    let refresh = previewed("1d installed on=US product=EU", "2d");
    let realm = refresh.pinned_realm.map(|realm| realm.to_string());
    assert_eq!((refresh.rule, realm.as_deref()), (Rule::Refresh, Some("US")));
    assert_eq!(refresh.expected_realm, refresh.pinned_realm);
    assert_eq!(refresh.previous_realm, refresh.pinned_realm);
    assert!(!refresh.moved && !refresh.divergent && refresh.seq.is_none());
}

#[test]
fn preview_of_an_unknown_realm_follows_the_product() {
    let refresh = previewed("1d enabled\n1d product-moved product=EU", "2d");
    let realm = refresh.pinned_realm.map(|realm| realm.to_string());
    assert_eq!((refresh.rule, realm.as_deref()), (Rule::Refresh, Some("EU")));
    assert_eq!((refresh.expected_realm, refresh.previous_realm), (refresh.pinned_realm, None));
}

#[test]
fn preview_of_an_unknown_realm_follows_the_predecessor() {
    let refresh = previewed(
        "1d enabled\n1d continued fromClientKey=old fromRealm=EU\n1d product-moved product=US",
        "2d",
    );
    let realm = refresh.pinned_realm.map(|realm| realm.to_string());
    assert_eq!((refresh.rule, realm.as_deref()), (Rule::Refresh, Some("EU")));
    assert_eq!((refresh.expected_realm, refresh.previous_realm), (refresh.pinned_realm, None));
}
