//! A state as the program shows it, without `seq` and `asOf`.

use jiff::Timestamp as Instant;
use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{Decision, Installation, PendingMigration, Window};
use ledger_core::tenant::Tenant;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use serde_json::{Map, Value, json};

pub(crate) fn tenant(client: &ClientKey, tenant: &Tenant, apps: &AppTimelines, at: Timestamp) -> Vec<Value> {
    let installations = tenant.installations.iter();
    installations
        .map(|(app, known)| {
            let mut object = Map::new();
            object.insert("clientKey".into(), client.as_str().into());
            object.insert("appKey".into(), app.as_str().into());
            object.extend(installation(app, known, tenant.product_realm, apps, at));
            Value::Object(object)
        })
        .collect()
}

fn installation(
    app: &AppKey,
    known: &Installation,
    product: Option<Realm>,
    apps: &AppTimelines,
    at: Timestamp,
) -> Map<String, Value> {
    let view = known.view(product, apps.of(app), at);
    let recent = known.anomalies.recent();
    let anomalies = || recent.iter().map(|odd| json!({"seq": odd.seq, "code": odd.code.as_str()})).collect();
    present([
        ("status", Some(known.status.as_str().into())),
        ("enabled", Some(known.enabled.into())),
        ("pinnedRealm", realm(known.pinned_realm())),
        ("pinnedSince", known.pin.map(|pin| instant(pin.since))),
        ("pinnedBy", known.pin.map(|pin| pin.by.as_str().into())),
        ("baseUrl", view.base_url.map(Value::from)),
        ("productRealm", realm(product)),
        ("alignedRealm", realm(view.aligned_realm)),
        ("drift", Some(view.drift.into())),
        ("dataRealm", realm(known.data_realm)),
        ("splitBrain", Some(view.split_brain.into())),
        ("window", known.window.as_ref().map(|window| shown_window(window, at))),
        ("migration", known.migration.as_ref().map(|pending| migration(pending, at))),
        ("predecessor", known.predecessor.as_ref().map(|old| link(&old.installation, old.realm))),
        ("successor", known.successor.as_ref().map(|new| link(new, None))),
        ("override", realm(known.override_realm)),
        ("subscription", known.subscription.map(|subscription| subscription.state.as_str().into())),
        ("installationId", known.installation_id.clone().map(Value::from)),
        ("entitlementId", known.entitlement_id.clone().map(Value::from)),
        ("siteUrl", known.site_url.clone().map(Value::from)),
        ("decision", known.decision.as_ref().map(decision)),
        ("anomalies", (!recent.is_empty()).then(anomalies)),
        ("anomalyCount", Some(known.anomalies.count().into())),
    ])
}

fn shown_window(window: &Window, at: Timestamp) -> Value {
    let view = window.view(at);
    let policy = match window.policy {
        Policy::Descriptor => json!({"mode": "descriptor"}),
        Policy::Off => json!({"mode": "off"}),
        Policy::Days { days } => json!({"mode": "days", "days": days}),
        Policy::Indefinite => json!({"mode": "indefinite"}),
        Policy::Subscription { grace_days } => json!({"mode": "subscription", "graceDays": grace_days}),
    };
    Value::Object(present([
        ("policy", Some(policy)),
        ("start", Some(instant(window.start))),
        ("end", window.end.map(instant)),
        ("state", Some(view.state.as_str().into())),
        ("remainingMs", view.remaining_ms.map(Value::from)),
        ("forgotten", Some(window.forgotten.into())),
    ]))
}

fn link(installation: &InstallationKey, at: Option<Realm>) -> Value {
    Value::Object(present([
        ("clientKey", Some(installation.client.as_str().into())),
        ("appKey", Some(installation.app.as_str().into())),
        ("realm", realm(at)),
    ]))
}

fn migration(pending: &PendingMigration, at: Timestamp) -> Value {
    let view = pending.view(at);
    Value::Object(present([
        ("migrationId", Some(pending.id.as_str().into())),
        ("targetRealm", realm(pending.target)),
        ("phase", Some(pending.phase.as_str().into())),
        ("startTime", pending.start_time.map(instant)),
        ("endTime", pending.end_time.map(instant)),
        ("dueBy", Some(instant(view.due_by))),
        ("overdue", Some(view.overdue.into())),
    ]))
}

fn decision(decision: &Decision) -> Value {
    Value::Object(present([
        ("seq", decision.seq.map(Value::from)),
        ("at", Some(instant(decision.at))),
        ("rule", Some(decision.rule.as_str().into())),
        ("expectedRealm", realm(decision.expected_realm)),
        ("observedRealm", realm(decision.observed_realm)),
        ("pinnedRealm", realm(decision.pinned_realm)),
        ("previousRealm", realm(decision.previous_realm)),
        ("productRealm", realm(decision.product_realm)),
        ("moved", Some(decision.moved.into())),
        ("divergent", Some(decision.divergent.into())),
    ]))
}

fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn realm(realm: Option<Realm>) -> Option<Value> {
    realm.map(|realm| realm.as_str().into())
}

fn instant(at: Timestamp) -> Value {
    let at = Instant::from_millisecond(at.as_millis()).unwrap();
    format!("{at:.3}").into()
}
