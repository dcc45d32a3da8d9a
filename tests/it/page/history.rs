//! Tenants for the page to show: one for everything that a lane can have, one with a late event, one with many records.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use serde_json::{Value, json};

const BUSY_RECORDS: u64 = 10_000;
const REALMS: [&str; 4] = ["EU", "US", "AU", "DE"];

/// So long ago: windows and migrations are about now.
fn ago(time: Duration) -> String {
    let then = SystemTime::now().checked_sub(time).unwrap().duration_since(UNIX_EPOCH).unwrap();
    format_instant(Timestamp::from_millis(i64::try_from(then.as_millis()).unwrap()))
}

fn days_ago(days: u64) -> String {
    ago(Duration::from_hours(24 * days))
}

/// An event: its own members and those that every event has.
fn event(id: &str, time: &str, client: &str, app: &str, more: Value) -> Value {
    let mut event = json!({"id": id, "time": time, "clientKey": client, "appKey": app});
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

/// Both apps serve three regions and keep a realm for 30 days.
pub(super) fn apps() -> Vec<Value> {
    // DE is not served: a pin to it is an anomaly.
    let urls = |app: &str| {
        let url = |realm: &str| format!("https://{}.{app}.example", realm.to_lowercase());
        ["EU", "US", "AU"].map(|realm| (realm.to_owned(), json!(url(realm))))
    };
    let published = |app: &str| {
        let regions: serde_json::Map<String, Value> = urls(app).into_iter().collect();
        json!({"id": format!("published-{app}"), "type": "descriptor-published", "time": days_ago(2000), "appKey": app,
            "descriptor": {"baseUrl": format!("https://{app}.example"), "regionBaseUrls": regions,
                "dataResidency": {"realmPersistence": true, "realmPersistenceDays": 30}}})
    };
    ["com.example.roadmap", "com.example.timesheets"].map(published).to_vec()
}

/// A tenant with an overdue migration, an override to a realm without a URL, and an open window; and a few others.
pub(super) fn small_tenants() -> Vec<Value> {
    let (tenant, roadmap, timesheets) =
        ("wonka.atlassian.net", "com.example.roadmap", "com.example.timesheets");
    let operator = |action: Value| {
        let mut event = json!({"type": "override", "actor": "dpo@example.com", "reason": "ticket 42"});
        event.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
        event
    };
    let wonka = |id: &str, days: u64, app: &str, more: Value| event(id, &days_ago(days), tenant, app, more);
    let mut events = vec![
        wonka(
            "w-1",
            80,
            roadmap,
            json!({"type": "installed", "endpointRealm": "EU", "productRealm": "EU", "siteUrl": "https://wonka.atlassian.net"}),
        ),
        wonka(
            "w-2",
            60,
            roadmap,
            json!({"type": "migration-scheduled", "migrationId": "m-7", "targetRealm": "US", "startTime": days_ago(50), "endTime": days_ago(49)}),
        ),
        wonka("w-3", 50, roadmap, json!({"type": "migration-started", "migrationId": "m-7"})),
        wonka("w-4", 40, roadmap, operator(json!({"action": "PIN", "realm": "DE"}))),
        wonka("w-5", 30, roadmap, operator(json!({"action": "RELEASE"}))),
        wonka("w-6", 20, timesheets, json!({"type": "installed", "endpointRealm": "AU"})),
        wonka("w-7", 4, timesheets, json!({"type": "uninstalled", "endpointRealm": "AU"})),
        wonka("w-8", 2, timesheets, operator(json!({"action": "RELEASE"}))),
    ];
    for number in 0..12 {
        let (client, realm) = (format!("tenant-{number}.atlassian.net"), REALMS[number % 4]);
        let mut at = |id: &str, days: u64, more: Value| {
            events.push(event(&format!("t-{number}-{id}"), &days_ago(days), &client, roadmap, more));
        };
        at("1", 90, json!({"type": "installed", "endpointRealm": realm, "productRealm": "EU"}));
        at("2", 60, json!({"type": "uninstalled", "endpointRealm": realm}));
        at("3", 60 - 4 * number as u64, json!({"type": "installed", "endpointRealm": realm}));
        at("4", 3, json!({"type": "data-located", "realm": "EU"}));
    }
    events
}

/// A site whose client key changed: the older installation is silent since the newer appeared.
pub(super) fn moved_site() -> Vec<Value> {
    let installed = |client: &str, days: u64, realm: &str| {
        let more = json!({"type": "installed", "endpointRealm": realm, "productRealm": realm, "siteUrl": "https://birch.atlassian.net",
            "entitlementId": "ent-birch", "installationId": "ari:cloud:ecosystem::installation/birch"});
        event(&format!("m-{client}"), &days_ago(days), client, "com.example.roadmap", more)
    };
    vec![installed("birch-old", 200, "EU"), installed("birch-new", 100, "US")]
}

/// The third event happened before the second.
pub(super) fn late_tenant() -> [Value; 3] {
    let at = |id: &str, time: &str, more: Value| {
        event(id, time, "late.atlassian.net", "com.example.roadmap", more)
    };
    [
        at("l-1", "2026-01-02T00:00:00.000Z", json!({"type": "installed", "productRealm": "EU"})),
        at("l-2", "2026-02-05T00:00:00.000Z", json!({"type": "installed", "productRealm": "US"})),
        at("l-3", "2026-02-01T00:00:00.000Z", json!({"type": "uninstalled"})),
    ]
}

/// A record every 52 minutes for a year: mostly hooks that are sent again, now and then a reinstall or a migration.
pub(super) fn busy_tenant() -> Vec<Value> {
    let apps = ["com.example.roadmap", "com.example.timesheets", "com.example.forms"];
    let mut state = [(false, 0); 3];
    let mut seed = 11_u64;
    let mut random = move |below: u64| {
        // The generator of Knuth's MMIX: the same tenant in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut events = Vec::new();
    for number in 0..BUSY_RECORDS {
        let chosen = [0, 0, 0, 1, 1, 2][usize::try_from(random(6)).unwrap()];
        let (installed, realm) = &mut state[chosen];
        let what = random(100);
        let fact = if !*installed {
            *installed = true;
            json!({"type": "installed", "endpointRealm": REALMS[*realm], "productRealm": REALMS[*realm]})
        } else if what < 5 {
            *installed = false;
            json!({"type": "uninstalled", "endpointRealm": REALMS[*realm]})
        } else if what < 6 {
            *realm = (*realm + 1) % REALMS.len();
            json!({"type": "migrated", "targetRealm": REALMS[*realm], "migrationId": format!("m-{number}")})
        } else if what < 20 {
            json!({"type": "enabled"})
        } else if what < 30 {
            json!({"type": "data-located", "realm": REALMS[*realm]})
        } else {
            json!({"type": "installed", "endpointRealm": REALMS[*realm]})
        };
        let time = ago(Duration::from_mins(52) * u32::try_from(BUSY_RECORDS - number).unwrap());
        events.push(event(&format!("b-{number}"), &time, "busy.atlassian.net", apps[chosen], fact));
    }
    events
}
