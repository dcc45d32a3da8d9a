//! Reads native JSON events for tests without validation. The real decoder is in `ledger-ingest`.

use jiff::Timestamp as Instant;
use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use serde_json::Value;

pub(crate) fn event(json: &Value) -> Event {
    Event {
        id: EventId::new(text(&json["id"]).unwrap()).unwrap(),
        time: instant(&json["time"]).unwrap(),
        actor: text(&json["actor"]),
        reason: text(&json["reason"]),
        body: body(json),
    }
}

fn body(json: &Value) -> Body {
    let client = || ClientKey::new(text(&json["clientKey"]).unwrap()).unwrap();
    let app = || AppKey::new(text(&json["appKey"]).unwrap()).unwrap();
    match json["type"].as_str().unwrap() {
        "product-moved" => Body::Tenant {
            client: client(),
            fact: TenantFact::ProductMoved { product_realm: realm(&json["productRealm"]).unwrap() },
        },
        "descriptor-published" => {
            let fact = AppFact::DescriptorPublished { descriptor: descriptor(&json["descriptor"]).unwrap() };
            Body::App { app: app(), fact }
        }
        "policy-set" => {
            Body::App { app: app(), fact: AppFact::PolicySet { policy: policy(&json["policy"]) } }
        }
        kind => Body::Installation { client: client(), app: app(), fact: fact(kind, json) },
    }
}

fn fact(kind: &str, json: &Value) -> InstallationFact {
    let migration = || migration_id(&json["migrationId"]).unwrap();
    let target = realm(&json["targetRealm"]);
    match kind {
        "installed" => InstallationFact::Installed(Box::new(Installed {
            endpoint_realm: realm(&json["endpointRealm"]),
            product_realm: realm(&json["productRealm"]),
            descriptor: descriptor(&json["descriptor"]),
            installation_id: text(&json["installationId"]),
            entitlement_id: text(&json["entitlementId"]),
            site_url: text(&json["siteUrl"]),
        })),
        "uninstalled" => InstallationFact::Uninstalled {
            endpoint_realm: realm(&json["endpointRealm"]),
            installation_id: text(&json["installationId"]),
        },
        "enabled" => InstallationFact::Enabled,
        "disabled" => InstallationFact::Disabled,
        "migration-scheduled" => InstallationFact::MigrationScheduled {
            migration: migration(),
            target: target.unwrap(),
            start_time: instant(&json["startTime"]),
            end_time: instant(&json["endTime"]),
        },
        "migration-started" => InstallationFact::MigrationStarted { migration: migration(), target },
        "migration-committed" => InstallationFact::MigrationCommitted { migration: migration(), target },
        "migration-rolled-back" => InstallationFact::MigrationRolledBack { migration: migration() },
        "migrated" => InstallationFact::Migrated {
            target: target.unwrap(),
            source: realm(&json["sourceRealm"]),
            migration: migration_id(&json["migrationId"]),
        },
        "override" => InstallationFact::Override(match json["action"].as_str().unwrap() {
            "PIN" => OverrideAction::Pin { realm: realm(&json["realm"]).unwrap() },
            "RELEASE" => OverrideAction::Release,
            "FORGET" => OverrideAction::Forget,
            other => panic!("no action {other}"),
        }),
        "data-located" => InstallationFact::DataLocated { realm: realm(&json["realm"]).unwrap() },
        "subscription-observed" => InstallationFact::SubscriptionObserved {
            state: if json["state"] == "ACTIVE" {
                SubscriptionState::Active
            } else {
                SubscriptionState::Inactive
            },
        },
        "continued" => InstallationFact::Continued {
            from: other_installation(json, "fromClientKey", "fromAppKey"),
            from_realm: realm(&json["fromRealm"]),
            evidence: evidence(json),
        },
        "superseded" => InstallationFact::Superseded {
            to: other_installation(json, "toClientKey", "toAppKey"),
            evidence: evidence(json),
        },
        other => panic!("no event type {other}"),
    }
}

fn other_installation(json: &Value, client: &str, app: &str) -> InstallationKey {
    InstallationKey {
        client: ClientKey::new(text(&json[client]).unwrap()).unwrap(),
        app: AppKey::new(text(&json[app]).or_else(|| text(&json["appKey"])).unwrap()).unwrap(),
    }
}

fn evidence(json: &Value) -> Evidence {
    Evidence::new(text(&json["evidence"]).unwrap()).unwrap()
}

fn descriptor(json: &Value) -> Option<Descriptor> {
    let regions = json["regionBaseUrls"].as_object();
    Some(Descriptor {
        version: text(&json["version"]),
        base_url: text(&json["baseUrl"])?,
        region_base_urls: regions
            .into_iter()
            .flatten()
            .filter_map(|(key, url)| Some((Realm::parse(key).unwrap(), text(url)?)))
            .collect(),
        data_residency: data_residency(&json["dataResidency"]),
    })
}

fn data_residency(json: &Value) -> Option<DataResidency> {
    let block = json.as_object()?;
    let setting = |key| block.get(key).map_or(Setting::Absent, setting);
    let read = DataResidency {
        realm_persistence: setting("realmPersistence"),
        realm_persistence_days: setting("realmPersistenceDays"),
    };
    let empty = read.realm_persistence == Setting::Absent && read.realm_persistence_days == Setting::Absent;
    (!empty).then_some(read)
}

fn setting(json: &Value) -> Setting {
    match json {
        Value::Null => Setting::Null,
        Value::Bool(value) => Setting::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Setting::Whole(whole),
            None => format!("{:.1}", number.as_f64().unwrap())
                .strip_suffix(".0")
                .and_then(|whole| whole.parse().ok())
                .map_or_else(|| Setting::Other(number.to_string()), Setting::Whole),
        },
        other => Setting::Other(other.to_string()),
    }
}

fn policy(json: &Value) -> Policy {
    let days = |key: &str| u32::try_from(json[key].as_u64().unwrap()).unwrap();
    match json["mode"].as_str().unwrap() {
        "descriptor" => Policy::Descriptor,
        "off" => Policy::Off,
        "days" => Policy::Days { days: days("days") },
        "indefinite" => Policy::Indefinite,
        "subscription" => Policy::Subscription { grace_days: days("graceDays") },
        other => panic!("no policy {other}"),
    }
}

fn text(json: &Value) -> Option<String> {
    json.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn realm(json: &Value) -> Option<Realm> {
    json.as_str().map(|text| Realm::parse(text).unwrap())
}

fn migration_id(json: &Value) -> Option<MigrationId> {
    let digits = json.as_u64().map(|number| number.to_string());
    json.as_str().map(str::to_owned).or(digits).map(|id| MigrationId::new(id).unwrap())
}

pub(crate) fn instant(json: &Value) -> Option<Timestamp> {
    let parsed: Instant = json.as_str()?.parse().unwrap();
    Some(Timestamp::from_millis(parsed.as_millisecond()))
}
