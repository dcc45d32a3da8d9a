//! From an event to `realmledger.v1.LifecycleEvent`, and to native JSON as `ledger-record` shows it.
//!
//! Decoding what is encoded here gives the same event.
//!
//! Numbers in the settings of a descriptor are doubles there: a whole number beyond 2^53, which no such
//! setting means, loses its last digits.

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, InstallationFact, OverrideAction, SubscriptionState, TenantFact,
};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::json;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp as ProtoTimestamp, Value};

use crate::proto;

/// The event in native JSON.
#[must_use]
pub fn to_native_json(event: &Event) -> Vec<u8> {
    // Neither writing to memory nor any part of an event can fail.
    json::to_vec(event).unwrap_or_default()
}

/// The event in protobuf.
#[must_use]
pub fn to_protobuf(event: &Event) -> Vec<u8> {
    let mut message = proto::LifecycleEvent {
        id: Some(event.id.as_str().to_owned()),
        r#type: Some(event.type_name().to_owned()),
        time: Some(timestamp(event.time)),
        client_key: event.client().map(|key| key.as_str().to_owned()),
        app_key: event.app().map(|key| key.as_str().to_owned()),
        actor: event.actor.clone(),
        reason: event.reason.clone(),
        ..proto::LifecycleEvent::default()
    };
    match &event.body {
        Body::Installation { fact, .. } => fill_installation_fact(&mut message, fact),
        Body::Tenant { fact: TenantFact::ProductMoved { product_realm }, .. } => {
            message.product_realm = Some(product_realm.to_string());
        }
        Body::App { fact: AppFact::DescriptorPublished { descriptor: given }, .. } => {
            message.descriptor = Some(descriptor(given));
        }
        Body::App { fact: AppFact::PolicySet { policy: given }, .. } => message.policy = Some(policy(*given)),
    }
    message.encode_to_vec()
}

fn fill_installation_fact(message: &mut proto::LifecycleEvent, fact: &InstallationFact) {
    let text = |realm: &Option<Realm>| realm.map(|realm| realm.to_string());
    match fact {
        InstallationFact::Installed(installed) => {
            message.endpoint_realm = text(&installed.endpoint_realm);
            message.product_realm = text(&installed.product_realm);
            message.descriptor = installed.descriptor.as_ref().map(descriptor);
            message.installation_id.clone_from(&installed.installation_id);
            message.entitlement_id.clone_from(&installed.entitlement_id);
            message.site_url.clone_from(&installed.site_url);
        }
        InstallationFact::Uninstalled { endpoint_realm, installation_id } => {
            message.endpoint_realm = text(endpoint_realm);
            message.installation_id.clone_from(installation_id);
        }
        InstallationFact::Enabled | InstallationFact::Disabled => {}
        InstallationFact::MigrationScheduled { migration, target, start_time, end_time } => {
            message.migration_id = Some(migration.to_string());
            message.target_realm = Some(target.to_string());
            message.start_time = start_time.map(timestamp);
            message.end_time = end_time.map(timestamp);
        }
        InstallationFact::MigrationStarted { migration, target }
        | InstallationFact::MigrationCommitted { migration, target } => {
            message.migration_id = Some(migration.to_string());
            message.target_realm = text(target);
        }
        InstallationFact::MigrationRolledBack { migration } => {
            message.migration_id = Some(migration.to_string());
        }
        InstallationFact::Migrated { target, source, migration } => {
            message.target_realm = Some(target.to_string());
            message.source_realm = text(source);
            message.migration_id = migration.as_ref().map(ToString::to_string);
        }
        InstallationFact::Override(action) => {
            let (action, realm) = override_action(*action);
            message.set_action(action);
            message.realm = text(&realm);
        }
        InstallationFact::DataLocated { realm } => message.realm = Some(realm.to_string()),
        InstallationFact::SubscriptionObserved { state } => message.set_state(match state {
            SubscriptionState::Active => proto::subscription::State::Active,
            SubscriptionState::Inactive => proto::subscription::State::Inactive,
        }),
        InstallationFact::Continued { from, from_realm, evidence } => {
            message.from_client_key = Some(from.client.to_string());
            message.from_app_key = Some(from.app.to_string());
            message.from_realm = text(from_realm);
            message.evidence = Some(evidence.as_str().to_owned());
        }
        InstallationFact::Superseded { to, evidence } => {
            message.to_client_key = Some(to.client.to_string());
            message.to_app_key = Some(to.app.to_string());
            message.evidence = Some(evidence.as_str().to_owned());
        }
    }
}

fn override_action(action: OverrideAction) -> (proto::r#override::Action, Option<Realm>) {
    use proto::r#override::Action;
    match action {
        OverrideAction::Pin { realm } => (Action::Pin, Some(realm)),
        OverrideAction::Release => (Action::Release, None),
        OverrideAction::Forget => (Action::Forget, None),
    }
}

fn timestamp(instant: Timestamp) -> ProtoTimestamp {
    let ms = instant.as_millis();
    ProtoTimestamp {
        seconds: ms.div_euclid(1000),
        // Below 10^9.
        nanos: i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
    }
}

fn descriptor(descriptor: &Descriptor) -> proto::Descriptor {
    proto::Descriptor {
        version: descriptor.version.clone(),
        base_url: Some(descriptor.base_url.clone()),
        region_base_urls: descriptor
            .region_base_urls
            .iter()
            .map(|(region, url)| (region.to_string(), url.clone()))
            .collect(),
        data_residency: descriptor.data_residency.as_ref().map(data_residency),
    }
}

fn data_residency(block: &DataResidency) -> proto::DataResidency {
    proto::DataResidency {
        realm_persistence: setting(&block.realm_persistence),
        realm_persistence_days: setting(&block.realm_persistence_days),
    }
}

fn setting(setting: &Setting) -> Option<Value> {
    Some(value(match setting {
        Setting::Absent => return None,
        Setting::Null => serde_json::Value::Null,
        Setting::Bool(flag) => (*flag).into(),
        Setting::Whole(number) => (*number).into(),
        // Canonical JSON by construction.
        Setting::Other(text) => serde_json::from_str(text).unwrap_or_default(),
    }))
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(Struct {
            fields: members.into_iter().map(|(name, member)| (name, value(member))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

fn policy(policy: Policy) -> proto::Policy {
    use proto::persistence::Mode;
    // At most 36500.
    let days = |days: u32| i32::try_from(days).ok();
    let (mode, days, grace_days) = match policy {
        Policy::Descriptor => (Mode::Descriptor, None, None),
        Policy::Off => (Mode::Off, None, None),
        Policy::Days { days: n } => (Mode::Days, days(n), None),
        Policy::Indefinite => (Mode::Indefinite, None, None),
        Policy::Subscription { grace_days } => (Mode::Subscription, None, days(grace_days)),
    };
    proto::Policy { mode: Some(mode.into()), days, grace_days }
}
