//! What a leaf commits to without showing it: everything a record says that its line does not.
//!
//! One line of [`canonical`] JSON. For an event (`?`: left out when absent, or false):
//!
//! ```text
//! {"rules":2,"clientKey"?,"id":"…","timeDefaulted"?:true,"actor"?,"reason"?,
//!  "endpointRealm"?,"productRealm"?,"targetRealm"?,"sourceRealm"?,"realm"?,"migrationId"?,"startTime"?:ms,
//!  "endTime"?:ms,"action"?,"state"?,"fromClientKey"?,"fromAppKey"?,"fromRealm"?,"toClientKey"?,"toAppKey"?,
//!  "evidence"?,"installationId"?,"entitlementId"?,"siteUrl"?,"descriptor"?,"policy"?}
//!
//! descriptor  {"version"?,"baseUrl":"…","regionBaseUrls"?:{…sorted…},"dataResidency"?}
//! residency   {"realmPersistence"?:S,"realmPersistenceDays"?:S}   S: null, flag, integer, {"json":"<text>"}
//! policy      {"mode":"descriptor"|"off"|"days"|"indefinite"|"subscription","days"?,"graceDays"?}
//! ```
//!
//! Type, app and event time are in the line and not said again; with them the event is whole. For refused
//! input: `{"rules":2,"reason":"…","path"?,"detail":"…","key"?,"headers"?:[["name","value"],…],
//! "sourceTime"?:ms,"body"?:{"json":"…"}|{"sha256":"<hex>","length":n}}`.
//!
//! The text form of time is not used here, as not every instant has one.

mod descriptor;
mod refused;

use std::borrow::Cow;

use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, MigrationId};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::canonical::{self, NotCanonical, put_integer, put_string};
use crate::record::{Content, Record};
use descriptor::{DescriptorFields, PolicyFields};
use refused::RefusedFields;

/// An event as it was committed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The rule set that the line's realm and rule were derived by.
    pub rules: u16,
    /// What happened.
    pub event: Event,
    /// Its time was taken from the source's record.
    pub time_defaulted: bool,
}

/// The payload of a record. A seal and a succession have none.
#[must_use]
pub fn of(record: &Record) -> String {
    let mut payload = Vec::with_capacity(256);
    put(&mut payload, record);
    canonical::text(payload)
}

/// Appends the payload of a record.
pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
    match &record.content {
        Content::Event { event, time_defaulted, outcome: _ } => {
            Fields::of(record.rules, event, *time_defaulted).write(out);
        }
        Content::Refused(refused) => canonical::put(out, &RefusedFields::of(record.rules, refused)),
        Content::Seal(_) | Content::Succession(_) => {}
    }
}

/// Reads the payload of an event of which the line tells type, app and time.
pub fn open(
    text: &str,
    type_name: &str,
    app: Option<&AppKey>,
    time: Timestamp,
) -> Result<Opened, NotCanonical> {
    let fields: Fields = canonical::read(text)?;
    let (rules, time_defaulted) = (fields.rules, fields.time_defaulted);
    let event = fields.restore(type_name, app, time).ok_or(NotCanonical)?;
    // Fields of another type, realms in lower case and the like are read, but never written.
    let mut again = Vec::with_capacity(text.len());
    Fields::of(rules, &event, time_defaulted).write(&mut again);
    if again == text.as_bytes() { Ok(Opened { rules, event, time_defaulted }) } else { Err(NotCanonical) }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields<'a> {
    rules: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_key: Option<Cow<'a, str>>,
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    time_defaulted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint_realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product_realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    migration_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_client_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_app_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_realm: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_client_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_app_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installation_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entitlement_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site_url: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descriptor: Option<DescriptorFields<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyFields>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

fn put_text(out: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    put_field(out, name, text, put_string);
}

fn put_field<T>(out: &mut Vec<u8>, name: &[u8], value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        put(out, value);
    }
}

fn word(realm: &Realm) -> Cow<'_, str> {
    Cow::Borrowed(realm.as_str())
}

impl<'a> Fields<'a> {
    fn of(rules: u16, event: &'a Event, time_defaulted: bool) -> Self {
        let common = Self {
            rules,
            client_key: event.client().map(|key| key.as_str().into()),
            id: event.id.as_str().into(),
            time_defaulted,
            actor: event.actor.as_deref().map(Cow::from),
            reason: event.reason.as_deref().map(Cow::from),
            ..Self::default()
        };
        match &event.body {
            Body::Installation { fact, .. } => common.with_fact(fact),
            Body::Tenant { fact: TenantFact::ProductMoved { product_realm }, .. } => {
                Self { product_realm: Some(word(product_realm)), ..common }
            }
            Body::App { fact: AppFact::DescriptorPublished { descriptor }, .. } => {
                Self { descriptor: Some(DescriptorFields::of(descriptor)), ..common }
            }
            Body::App { fact: AppFact::PolicySet { policy }, .. } => {
                Self { policy: Some(PolicyFields::of(*policy)), ..common }
            }
        }
    }

    fn with_fact(self, fact: &'a InstallationFact) -> Self {
        let migrating = |migration: Option<&'a MigrationId>, target: Option<&'a Realm>| {
            (migration.map(|id| id.as_str().into()), target.map(word))
        };
        match fact {
            InstallationFact::Installed(installed) => self.with_installed(installed),
            InstallationFact::Uninstalled { endpoint_realm, installation_id } => Self {
                endpoint_realm: endpoint_realm.as_ref().map(word),
                installation_id: installation_id.as_deref().map(Cow::from),
                ..self
            },
            InstallationFact::Enabled | InstallationFact::Disabled => self,
            InstallationFact::MigrationScheduled { migration, target, start_time, end_time } => {
                let (migration_id, target_realm) = migrating(Some(migration), Some(target));
                let [start_time, end_time] =
                    [start_time, end_time].map(|time| time.map(Timestamp::as_millis));
                Self { target_realm, migration_id, start_time, end_time, ..self }
            }
            InstallationFact::MigrationStarted { migration, target }
            | InstallationFact::MigrationCommitted { migration, target } => {
                let (migration_id, target_realm) = migrating(Some(migration), target.as_ref());
                Self { target_realm, migration_id, ..self }
            }
            InstallationFact::MigrationRolledBack { migration } => {
                Self { migration_id: Some(migration.as_str().into()), ..self }
            }
            InstallationFact::Migrated { target, source, migration } => {
                let (migration_id, target_realm) = migrating(migration.as_ref(), Some(target));
                Self { target_realm, source_realm: source.as_ref().map(word), migration_id, ..self }
            }
            InstallationFact::Override(action) => {
                let (action, realm) = match action {
                    OverrideAction::Pin { realm } => ("PIN", Some(word(realm))),
                    OverrideAction::Release => ("RELEASE", None),
                    OverrideAction::Forget => ("FORGET", None),
                };
                Self { action: Some(action.into()), realm, ..self }
            }
            InstallationFact::DataLocated { realm } => Self { realm: Some(word(realm)), ..self },
            InstallationFact::SubscriptionObserved { state } => {
                Self { state: Some(state.as_str().into()), ..self }
            }
            InstallationFact::Continued { from, from_realm, evidence } => Self {
                from_client_key: Some(from.client.as_str().into()),
                from_app_key: Some(from.app.as_str().into()),
                from_realm: from_realm.as_ref().map(word),
                evidence: Some(evidence.as_str().into()),
                ..self
            },
            InstallationFact::Superseded { to, evidence } => Self {
                to_client_key: Some(to.client.as_str().into()),
                to_app_key: Some(to.app.as_str().into()),
                evidence: Some(evidence.as_str().into()),
                ..self
            },
        }
    }

    fn with_installed(self, installed: &'a Installed) -> Self {
        Self {
            endpoint_realm: installed.endpoint_realm.as_ref().map(word),
            product_realm: installed.product_realm.as_ref().map(word),
            descriptor: installed.descriptor.as_ref().map(DescriptorFields::of),
            installation_id: installed.installation_id.as_deref().map(Cow::from),
            entitlement_id: installed.entitlement_id.as_deref().map(Cow::from),
            site_url: installed.site_url.as_deref().map(Cow::from),
            ..self
        }
    }

    /// Appends the payload: what serialising would write, field by field, as every event of a log comes by here.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"rules\":");
        put_integer(out, self.rules);
        put_text(out, b",\"clientKey\":", self.client_key.as_deref());
        put_text(out, b",\"id\":", Some(&self.id));
        if self.time_defaulted {
            out.extend_from_slice(b",\"timeDefaulted\":true");
        }
        put_text(out, b",\"actor\":", self.actor.as_deref());
        put_text(out, b",\"reason\":", self.reason.as_deref());
        put_text(out, b",\"endpointRealm\":", self.endpoint_realm.as_deref());
        put_text(out, b",\"productRealm\":", self.product_realm.as_deref());
        put_text(out, b",\"targetRealm\":", self.target_realm.as_deref());
        put_text(out, b",\"sourceRealm\":", self.source_realm.as_deref());
        put_text(out, b",\"realm\":", self.realm.as_deref());
        put_text(out, b",\"migrationId\":", self.migration_id.as_deref());
        put_field(out, b",\"startTime\":", self.start_time, put_integer);
        put_field(out, b",\"endTime\":", self.end_time, put_integer);
        put_text(out, b",\"action\":", self.action.as_deref());
        put_text(out, b",\"state\":", self.state.as_deref());
        put_text(out, b",\"fromClientKey\":", self.from_client_key.as_deref());
        put_text(out, b",\"fromAppKey\":", self.from_app_key.as_deref());
        put_text(out, b",\"fromRealm\":", self.from_realm.as_deref());
        put_text(out, b",\"toClientKey\":", self.to_client_key.as_deref());
        put_text(out, b",\"toAppKey\":", self.to_app_key.as_deref());
        put_text(out, b",\"evidence\":", self.evidence.as_deref());
        put_text(out, b",\"installationId\":", self.installation_id.as_deref());
        put_text(out, b",\"entitlementId\":", self.entitlement_id.as_deref());
        put_text(out, b",\"siteUrl\":", self.site_url.as_deref());
        put_field(out, b",\"descriptor\":", self.descriptor.as_ref(), canonical::put);
        put_field(out, b",\"policy\":", self.policy.as_ref(), canonical::put);
        out.push(b'}');
    }

    fn restore(self, type_name: &str, app: Option<&AppKey>, time: Timestamp) -> Option<Event> {
        let id = EventId::new(&*self.id).ok()?;
        let (actor, reason) =
            (self.actor.clone().map(Cow::into_owned), self.reason.clone().map(Cow::into_owned));
        let client = self.client_key.as_deref().map(ClientKey::new).transpose().ok()?;
        let body = match (client, app.cloned()) {
            (Some(client), Some(app)) => Body::Installation { client, app, fact: self.fact(type_name)? },
            (Some(client), None) if type_name == "product-moved" => {
                let product_realm = realm(self.product_realm.as_deref()).flatten()?;
                Body::Tenant { client, fact: TenantFact::ProductMoved { product_realm } }
            }
            (None, Some(app)) => Body::App { app, fact: self.app_fact(type_name)? },
            (_, None) => return None,
        };
        Some(Event { id, time, actor, reason, body })
    }

    fn app_fact(self, type_name: &str) -> Option<AppFact> {
        match type_name {
            "descriptor-published" => {
                Some(AppFact::DescriptorPublished { descriptor: self.descriptor?.restore()? })
            }
            "policy-set" => Some(AppFact::PolicySet { policy: self.policy?.restore() }),
            _ => None,
        }
    }

    fn fact(self, type_name: &str) -> Option<InstallationFact> {
        let migration = self.migration_id.as_deref().map(MigrationId::new).transpose().ok()?;
        let target = realm(self.target_realm.as_deref())?;
        Some(match type_name {
            "installed" => InstallationFact::Installed(Box::new(self.installed()?)),
            "uninstalled" => InstallationFact::Uninstalled {
                endpoint_realm: realm(self.endpoint_realm.as_deref())?,
                installation_id: self.installation_id.map(Cow::into_owned),
            },
            "enabled" => InstallationFact::Enabled,
            "disabled" => InstallationFact::Disabled,
            "migration-scheduled" => InstallationFact::MigrationScheduled {
                migration: migration?,
                target: target?,
                start_time: self.start_time.map(Timestamp::from_millis),
                end_time: self.end_time.map(Timestamp::from_millis),
            },
            "migration-started" => InstallationFact::MigrationStarted { migration: migration?, target },
            "migration-committed" => InstallationFact::MigrationCommitted { migration: migration?, target },
            "migration-rolled-back" => InstallationFact::MigrationRolledBack { migration: migration? },
            "migrated" => {
                let source = realm(self.source_realm.as_deref())?;
                InstallationFact::Migrated { target: target?, source, migration }
            }
            "override" => InstallationFact::Override(match (&*self.action?, self.realm.as_deref()) {
                ("PIN", Some(place)) => OverrideAction::Pin { realm: Realm::parse(place).ok()? },
                ("RELEASE", None) => OverrideAction::Release,
                ("FORGET", None) => OverrideAction::Forget,
                _ => return None,
            }),
            "data-located" => InstallationFact::DataLocated { realm: realm(self.realm.as_deref())?? },
            "subscription-observed" => {
                let word = self.state?;
                let mut states = SubscriptionState::ALL.iter();
                let state = *states.find(|state| state.as_str() == word)?;
                InstallationFact::SubscriptionObserved { state }
            }
            "continued" => InstallationFact::Continued {
                from: installation(self.from_client_key.as_deref(), self.from_app_key.as_deref())?,
                from_realm: realm(self.from_realm.as_deref())?,
                evidence: Evidence::new(self.evidence?).ok()?,
            },
            "superseded" => InstallationFact::Superseded {
                to: installation(self.to_client_key.as_deref(), self.to_app_key.as_deref())?,
                evidence: Evidence::new(self.evidence?).ok()?,
            },
            _ => return None,
        })
    }

    fn installed(self) -> Option<Installed> {
        let descriptor = match self.descriptor {
            Some(descriptor) => Some(descriptor.restore()?),
            None => None,
        };
        Some(Installed {
            endpoint_realm: realm(self.endpoint_realm.as_deref())?,
            product_realm: realm(self.product_realm.as_deref())?,
            descriptor,
            installation_id: self.installation_id.map(Cow::into_owned),
            entitlement_id: self.entitlement_id.map(Cow::into_owned),
            site_url: self.site_url.map(Cow::into_owned),
        })
    }
}

fn installation(client: Option<&str>, app: Option<&str>) -> Option<InstallationKey> {
    Some(InstallationKey { client: ClientKey::new(client?).ok()?, app: AppKey::new(app?).ok()? })
}

/// Absent is fine; what is there must be a realm.
#[expect(clippy::option_option, reason = "the outer one is the failure, as in the functions that ask")]
fn realm(text: Option<&str>) -> Option<Option<Realm>> {
    text.map(Realm::parse).transpose().ok()
}
