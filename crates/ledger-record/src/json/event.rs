//! An event in the native form: one flat object, which decodes to the same event.

use std::collections::BTreeMap;

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{
    AppFact, Body, Event, InstallationFact, Installed, OverrideAction, SubscriptionState, TenantFact,
};
use ledger_core::ids::MigrationId;
use ledger_core::realm::Realm;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::state::PolicyJson;
use super::{Instant, Place, Word};

/// An event in the native form.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventJson<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    type_name: &'static str,
    time: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// The fields of the event's type.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    migration_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Word<SubscriptionState>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_client_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_app_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_realm: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_client_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_app_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    installation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlement_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descriptor: Option<DescriptorJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyJson>,
}

/// The residency part of a descriptor.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescriptorJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    base_url: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    region_base_urls: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_residency: Option<ResidencyJson<'a>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResidencyJson<'a> {
    #[serde(skip_serializing_if = "SettingJson::is_absent")]
    realm_persistence: SettingJson<'a>,
    #[serde(skip_serializing_if = "SettingJson::is_absent")]
    realm_persistence_days: SettingJson<'a>,
}

#[derive(Debug, Clone, Copy)]
struct SettingJson<'a>(&'a Setting);

/// The native form of an event.
#[must_use]
pub fn to_json(event: &Event) -> EventJson<'_> {
    EventJson {
        id: event.id.as_str(),
        type_name: event.type_name(),
        time: Instant(event.time),
        client_key: event.client().map(ledger_core::ids::ClientKey::as_str),
        app_key: event.app().map(ledger_core::ids::AppKey::as_str),
        actor: event.actor.as_deref(),
        reason: event.reason.as_deref(),
        fields: fields_of(&event.body),
    }
}

fn fields_of(body: &Body) -> Fields<'_> {
    match body {
        Body::Installation { fact, .. } => installation_fields(fact),
        Body::Tenant { fact: TenantFact::ProductMoved { product_realm }, .. } => {
            Fields { product_realm: Some(Place(*product_realm)), ..Fields::default() }
        }
        Body::App { fact: AppFact::DescriptorPublished { descriptor }, .. } => {
            Fields { descriptor: Some(DescriptorJson::of(descriptor)), ..Fields::default() }
        }
        Body::App { fact: AppFact::PolicySet { policy }, .. } => {
            Fields { policy: Some(PolicyJson::of(*policy)), ..Fields::default() }
        }
    }
}

fn installation_fields(fact: &InstallationFact) -> Fields<'_> {
    match fact {
        InstallationFact::Installed(installed) => installed_fields(installed),
        InstallationFact::Uninstalled { endpoint_realm, installation_id } => Fields {
            endpoint_realm: endpoint_realm.map(Place),
            installation_id: installation_id.as_deref(),
            ..Fields::default()
        },
        InstallationFact::Enabled | InstallationFact::Disabled => Fields::default(),
        InstallationFact::MigrationScheduled { migration, target, start_time, end_time } => Fields {
            start_time: start_time.map(Instant),
            end_time: end_time.map(Instant),
            ..migration_fields(Some(migration), Some(*target))
        },
        InstallationFact::MigrationStarted { migration, target }
        | InstallationFact::MigrationCommitted { migration, target } => {
            migration_fields(Some(migration), *target)
        }
        InstallationFact::MigrationRolledBack { migration } => migration_fields(Some(migration), None),
        InstallationFact::Migrated { target, source, migration } => {
            Fields { source_realm: source.map(Place), ..migration_fields(migration.as_ref(), Some(*target)) }
        }
        InstallationFact::Override(action) => override_fields(*action),
        InstallationFact::DataLocated { realm } => Fields { realm: Some(Place(*realm)), ..Fields::default() },
        InstallationFact::SubscriptionObserved { state } => {
            Fields { state: Some(Word(*state)), ..Fields::default() }
        }
        InstallationFact::Continued { from, from_realm, evidence } => Fields {
            from_client_key: Some(from.client.as_str()),
            from_app_key: Some(from.app.as_str()),
            from_realm: from_realm.map(Place),
            evidence: Some(evidence.as_str()),
            ..Fields::default()
        },
        InstallationFact::Superseded { to, evidence } => Fields {
            to_client_key: Some(to.client.as_str()),
            to_app_key: Some(to.app.as_str()),
            evidence: Some(evidence.as_str()),
            ..Fields::default()
        },
    }
}

fn installed_fields(installed: &Installed) -> Fields<'_> {
    Fields {
        endpoint_realm: installed.endpoint_realm.map(Place),
        product_realm: installed.product_realm.map(Place),
        descriptor: installed.descriptor.as_ref().map(DescriptorJson::of),
        installation_id: installed.installation_id.as_deref(),
        entitlement_id: installed.entitlement_id.as_deref(),
        site_url: installed.site_url.as_deref(),
        ..Fields::default()
    }
}

fn migration_fields(migration: Option<&MigrationId>, target: Option<Realm>) -> Fields<'_> {
    Fields {
        migration_id: migration.map(MigrationId::as_str),
        target_realm: target.map(Place),
        ..Fields::default()
    }
}

fn override_fields(action: OverrideAction) -> Fields<'static> {
    let (word, realm) = match action {
        OverrideAction::Pin { realm } => ("PIN", Some(realm)),
        OverrideAction::Release => ("RELEASE", None),
        OverrideAction::Forget => ("FORGET", None),
    };
    Fields { action: Some(word), realm: realm.map(Place), ..Fields::default() }
}

impl<'a> DescriptorJson<'a> {
    pub(super) fn of(descriptor: &'a Descriptor) -> Self {
        let urls = descriptor.region_base_urls.iter();
        Self {
            version: descriptor.version.as_deref(),
            base_url: &descriptor.base_url,
            region_base_urls: urls.map(|(region, url)| (region.as_str(), url.as_str())).collect(),
            data_residency: descriptor.data_residency.as_ref().map(ResidencyJson::of),
        }
    }
}

impl<'a> ResidencyJson<'a> {
    fn of(block: &'a DataResidency) -> Self {
        Self {
            realm_persistence: SettingJson(&block.realm_persistence),
            realm_persistence_days: SettingJson(&block.realm_persistence_days),
        }
    }
}

impl SettingJson<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_absent(&self) -> bool {
        *self.0 == Setting::Absent
    }
}

impl Serialize for SettingJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Setting::Absent | Setting::Null => serializer.serialize_unit(),
            Setting::Bool(flag) => serializer.serialize_bool(*flag),
            Setting::Whole(number) => serializer.serialize_i64(*number),
            Setting::Other(json) => {
                let raw: &RawValue = serde_json::from_str(json).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
        }
    }
}
