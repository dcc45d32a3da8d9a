//! From a draft to an event: the one place that says what is valid.
//!
//! The first fault found is the one reported, and the order is fixed: `id`, `type`, `time`, the client key,
//! the app key (as the level needs them), `actor`, `reason`, then the fields of the type in the order of the
//! [field reference](super). The Kafka key is compared last: what is wrong in the event itself comes before
//! where it was put.

use ledger_record::rejection::{Reason, Rejection};
use std::borrow::Cow;

use ledger_core::event::{
    AppFact, Body, Event, Evidence, InstallationFact, Installed, OverrideAction, SubscriptionState,
    TenantFact,
};
use ledger_core::ids::{AppKey, ClientKey, EventId, InstallationKey, InvalidKey, MigrationId};
use ledger_core::limits::EARLIEST_MS;
use ledger_core::realm::{InvalidRealm, Realm};
use ledger_core::time::Timestamp;
use ledger_record::json::time::{FIRST, LAST, parse_instant};

use crate::decode::descriptor::{read_descriptor, read_policy};
use crate::decode::draft::{Draft, Field};
use crate::decode::message::{Decoded, Incoming};
use crate::decode::refusal;
use crate::decode::value::Value;
use crate::redact;

/// What is expected of a text field.
pub(super) const TEXT: &str = "expected text";
/// What is expected of an instant.
const INSTANT: &str = "expected an RFC 3339 instant within the years 0000 to 9999";
const KEY: &str = "expected text of 1 to 255 bytes without control characters";
const KEY_WITHOUT_TOKEN: &str = "a key must not hold a token";
pub(super) const EARLY: &str = "expected a time since 2010: an earlier one was never set";
const REALM: &str = "expected a realm key, a letter and 1 to 15 letters, digits or hyphens";
const NO_REALM: &str = "expected a realm key: this word stands for nothing, so leave the field out";
const MIGRATION: &str = "expected text of 1 to 255 bytes, or an exact whole number";
const ACTION: &str = "expected PIN, RELEASE or FORGET";
const STATE: &str = "expected ACTIVE or INACTIVE";
const EVIDENCE: &str = "expected text of 1 to 64 bytes";
const EVIDENCE_WITHOUT_TOKEN: &str = "evidence must not hold a token";
const OWN_INSTALLATION: &str = "expected another installation than the event's own";
const UNSUPPORTED: &str = "not an event type of this ledger";

/// Judges a draft. `default_time` is the time of an event that says none, where the encoding allows that.
pub(super) fn validate(
    mut draft: Draft<'_>,
    default_time: Option<Timestamp>,
    kafka_key: Option<&[u8]>,
) -> Result<Decoded, Rejection> {
    let fields = &mut draft;
    let id = fields.required_key(Field::Id, EventId::new)?;
    let name = fields.required_text(Field::Type)?;
    let level =
        Level::of(&name).ok_or_else(|| refusal::unsupported(fields.path(Field::Type), UNSUPPORTED))?;
    let (time, time_defaulted) = match (fields.instant(Field::Time)?, default_time) {
        (Some(time), _) => (time, false),
        (None, Some(time)) => (fields.not_early(Field::Time, time)?, true),
        (None, None) => return Err(fields.missing(Field::Time)),
    };
    if level == Level::Control {
        return Ok(Decoded::Tick);
    }
    let client = (level != Level::App).then(|| fields.required_key(Field::ClientKey, ClientKey::new));
    let client = client.transpose()?;
    let app = (level != Level::Tenant).then(|| fields.required_key(Field::AppKey, AppKey::new));
    let app = app.transpose()?;
    let actor = fields.kept_text(Field::Actor)?;
    let reason = fields.kept_text(Field::Reason)?;

    let body = match (client, app) {
        (Some(client), Some(app)) => {
            let signature = Signature { has_actor: actor.is_some(), has_reason: reason.is_some() };
            let own = InstallationKey { client, app };
            let fact = installation_fact(fields, &name, &own, signature)?;
            Body::Installation { client: own.client, app: own.app, fact }
        }
        (Some(client), None) => {
            let product_realm = fields.required_realm(Field::ProductRealm)?;
            Body::Tenant { client, fact: TenantFact::ProductMoved { product_realm } }
        }
        (None, Some(app)) => Body::App { app, fact: app_fact(fields, &name)? },
        (None, None) => return Err(fields.missing(Field::ClientKey)),
    };
    let event = Event { id, time, actor, reason, body };
    check_kafka_key(&event, kafka_key)?;
    Ok(Decoded::Event(Incoming { event, time_defaulted }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Installation,
    Tenant,
    App,
    /// Of no one: what it says is for the ledger itself.
    Control,
}

impl Level {
    fn of(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "installed"
            | "uninstalled"
            | "enabled"
            | "disabled"
            | "migration-scheduled"
            | "migration-started"
            | "migration-committed"
            | "migration-rolled-back"
            | "migrated"
            | "override"
            | "data-located"
            | "subscription-observed"
            | "continued"
            | "superseded" => Self::Installation,
            "product-moved" => Self::Tenant,
            "descriptor-published" | "policy-set" => Self::App,
            "tick" => Self::Control,
            _ => return None,
        })
    }
}

/// Whether an event names who sent it, and why.
#[derive(Clone, Copy)]
struct Signature {
    has_actor: bool,
    has_reason: bool,
}

impl Signature {
    /// What an operator says needs both.
    fn require(self, fields: &Draft<'_>) -> Result<(), Rejection> {
        match self {
            Self { has_actor: true, has_reason: true } => Ok(()),
            Self { has_actor: false, .. } => Err(fields.missing(Field::Actor)),
            Self { has_reason: false, .. } => Err(fields.missing(Field::Reason)),
        }
    }
}

fn installation_fact(
    fields: &mut Draft<'_>,
    name: &str,
    own: &InstallationKey,
    signature: Signature,
) -> Result<InstallationFact, Rejection> {
    Ok(match name {
        "installed" => InstallationFact::Installed(Box::new(installed(fields)?)),
        "uninstalled" => InstallationFact::Uninstalled {
            endpoint_realm: fields.realm(Field::EndpointRealm)?,
            installation_id: fields.kept_name(Field::InstallationId)?,
        },
        "enabled" => InstallationFact::Enabled,
        "disabled" => InstallationFact::Disabled,
        "migration-scheduled" => InstallationFact::MigrationScheduled {
            migration: fields.required_migration()?,
            target: fields.required_realm(Field::TargetRealm)?,
            start_time: fields.instant(Field::StartTime)?,
            end_time: fields.instant(Field::EndTime)?,
        },
        "migration-started" => InstallationFact::MigrationStarted {
            migration: fields.required_migration()?,
            target: fields.realm(Field::TargetRealm)?,
        },
        "migration-committed" => InstallationFact::MigrationCommitted {
            migration: fields.required_migration()?,
            target: fields.realm(Field::TargetRealm)?,
        },
        "migration-rolled-back" => {
            InstallationFact::MigrationRolledBack { migration: fields.required_migration()? }
        }
        "migrated" => InstallationFact::Migrated {
            target: fields.required_realm(Field::TargetRealm)?,
            source: fields.realm(Field::SourceRealm)?,
            migration: fields.migration()?,
        },
        "override" => {
            let action = override_action(fields)?;
            signature.require(fields)?;
            InstallationFact::Override(action)
        }
        "data-located" => InstallationFact::DataLocated { realm: fields.required_realm(Field::Realm)? },
        "subscription-observed" => {
            InstallationFact::SubscriptionObserved { state: subscription_state(fields)? }
        }
        "continued" => {
            let from = other_installation(fields, Field::FromClientKey, Field::FromAppKey, own)?;
            let from_realm = fields.realm(Field::FromRealm)?;
            InstallationFact::Continued { from, from_realm, evidence: evidence(fields, signature)? }
        }
        // `Level::of` lets nothing else through.
        _ => {
            let to = other_installation(fields, Field::ToClientKey, Field::ToAppKey, own)?;
            InstallationFact::Superseded { to, evidence: evidence(fields, signature)? }
        }
    })
}

/// The installation that the event's own goes on from, or as: of the same app unless another is given.
fn other_installation(
    fields: &mut Draft<'_>,
    client_field: Field,
    app_field: Field,
    own: &InstallationKey,
) -> Result<InstallationKey, Rejection> {
    let client = fields.required_key(client_field, ClientKey::new)?;
    let app = fields.key(app_field, AppKey::new)?.unwrap_or_else(|| own.app.clone());
    let other = InstallationKey { client, app };
    if other == *own { Err(fields.invalid(client_field, OWN_INSTALLATION)) } else { Ok(other) }
}

fn evidence(fields: &mut Draft<'_>, signature: Signature) -> Result<Evidence, Rejection> {
    let text = fields.required_text(Field::Evidence)?;
    if let Cow::Owned(_) = redact::text(&text) {
        return Err(fields.invalid(Field::Evidence, EVIDENCE_WITHOUT_TOKEN));
    }
    let evidence = Evidence::new(text).map_err(|_| fields.invalid(Field::Evidence, EVIDENCE))?;
    if evidence.is_operator() {
        signature.require(fields)?;
    }
    Ok(evidence)
}

fn installed(fields: &mut Draft<'_>) -> Result<Installed, Rejection> {
    Ok(Installed {
        endpoint_realm: fields.realm(Field::EndpointRealm)?,
        product_realm: fields.realm(Field::ProductRealm)?,
        descriptor: read_descriptor(fields.take(Field::Descriptor))?,
        installation_id: fields.kept_name(Field::InstallationId)?,
        entitlement_id: fields.kept_name(Field::EntitlementId)?,
        site_url: fields.kept_name(Field::SiteUrl)?,
    })
}

fn override_action(fields: &mut Draft<'_>) -> Result<OverrideAction, Rejection> {
    match &*fields.required_text(Field::Action)? {
        "PIN" => fields.required_realm(Field::Realm).map(|realm| OverrideAction::Pin { realm }),
        "RELEASE" => Ok(OverrideAction::Release),
        "FORGET" => Ok(OverrideAction::Forget),
        _ => Err(fields.invalid(Field::Action, ACTION)),
    }
}

fn subscription_state(fields: &mut Draft<'_>) -> Result<SubscriptionState, Rejection> {
    match &*fields.required_text(Field::State)? {
        "ACTIVE" => Ok(SubscriptionState::Active),
        "INACTIVE" => Ok(SubscriptionState::Inactive),
        _ => Err(fields.invalid(Field::State, STATE)),
    }
}

fn app_fact(fields: &mut Draft<'_>, name: &str) -> Result<AppFact, Rejection> {
    if name == "policy-set" {
        let policy = read_policy(fields.take(Field::Policy))?;
        return policy
            .map(|policy| AppFact::PolicySet { policy })
            .ok_or_else(|| fields.missing(Field::Policy));
    }
    let descriptor = read_descriptor(fields.take(Field::Descriptor))?;
    descriptor
        .map(|descriptor| AppFact::DescriptorPublished { descriptor })
        .ok_or_else(|| fields.missing(Field::Descriptor))
}

fn check_kafka_key(event: &Event, kafka_key: Option<&[u8]>) -> Result<(), Rejection> {
    let expected = match &event.body {
        Body::Installation { client, .. } | Body::Tenant { client, .. } => client.as_bytes(),
        Body::App { app, .. } => app.as_bytes(),
    };
    match kafka_key {
        Some(key) if key != expected => Err(refusal::whole(
            Reason::KeyMismatch,
            "the Kafka key must be the client key, for app-level events the app key",
        )),
        _ => Ok(()),
    }
}

/// The instant that a value says, if any; else what is expected of it.
pub(super) fn instant_of(value: Value<'_>) -> Result<Option<Timestamp>, &'static str> {
    let instant = match value {
        Value::Text(text) => parse_instant(&text).ok(),
        Value::Instant { seconds, nanos } => instant_of_parts(seconds, nanos),
        value if value.is_absent() => return Ok(None),
        _ => None,
    };
    instant.map(Some).ok_or(INSTANT)
}

/// An instant of a protobuf timestamp, cut off to milliseconds.
fn instant_of_parts(seconds: i64, nanos: i32) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let ms = seconds.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))?;
    Some(Timestamp::from_millis(ms)).filter(|instant| (FIRST..=LAST).contains(instant))
}

/// The text without secrets, as it is kept.
pub(super) fn without_secrets(text: Cow<'_, str>) -> String {
    match redact::text(&text) {
        Cow::Owned(redacted) => redacted,
        Cow::Borrowed(_) => text.into_owned(),
    }
}

impl<'a> Draft<'a> {
    fn path(&self, field: Field) -> &'static str {
        self.dialect.path(field)
    }

    fn missing(&self, field: Field) -> Rejection {
        refusal::missing(self.path(field))
    }

    fn invalid(&self, field: Field, expected: &'static str) -> Rejection {
        refusal::invalid(self.path(field), expected)
    }

    fn text(&mut self, field: Field, expected: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
        match self.take(field) {
            Value::Text(text) => Ok(Some(text)),
            value if value.is_absent() => Ok(None),
            _ => Err(self.invalid(field, expected)),
        }
    }

    fn required_text(&mut self, field: Field) -> Result<Cow<'a, str>, Rejection> {
        self.text(field, TEXT)?.ok_or_else(|| self.missing(field))
    }

    fn kept_text(&mut self, field: Field) -> Result<Option<String>, Rejection> {
        Ok(self.text(field, TEXT)?.map(without_secrets))
    }

    /// As [`Self::kept_text`], for the fields where the empty text counts as absent.
    fn kept_name(&mut self, field: Field) -> Result<Option<String>, Rejection> {
        Ok(self.kept_text(field)?.filter(|text| !text.is_empty()))
    }

    fn required_key<K>(
        &mut self,
        field: Field,
        new: impl Fn(Cow<'a, str>) -> Result<K, InvalidKey>,
    ) -> Result<K, Rejection> {
        self.key(field, new)?.ok_or_else(|| self.missing(field))
    }

    fn key<K>(
        &mut self,
        field: Field,
        new: impl Fn(Cow<'a, str>) -> Result<K, InvalidKey>,
    ) -> Result<Option<K>, Rejection> {
        let text = self.text(field, KEY)?;
        text.map(|text| self.key_of(field, text, KEY, new)).transpose()
    }

    fn key_of<K>(
        &self,
        field: Field,
        text: Cow<'a, str>,
        expected: &'static str,
        new: impl Fn(Cow<'a, str>) -> Result<K, InvalidKey>,
    ) -> Result<K, Rejection> {
        if redact::is_tainted_key(&text) {
            return Err(self.invalid(field, KEY_WITHOUT_TOKEN));
        }
        new(text).map_err(|InvalidKey| self.invalid(field, expected))
    }

    fn realm(&mut self, field: Field) -> Result<Option<Realm>, Rejection> {
        let text = self.text(field, REALM)?;
        let read = |text: Cow<'_, str>| {
            Realm::parse(&text).map_err(|error| match error {
                InvalidRealm::NotAKey => self.invalid(field, REALM),
                InvalidRealm::Nothing => self.invalid(field, NO_REALM),
            })
        };
        text.map(read).transpose()
    }

    fn required_realm(&mut self, field: Field) -> Result<Realm, Rejection> {
        self.realm(field)?.ok_or_else(|| self.missing(field))
    }

    fn instant(&mut self, field: Field) -> Result<Option<Timestamp>, Rejection> {
        let instant = instant_of(self.take(field)).map_err(|expected| self.invalid(field, expected))?;
        instant.map(|instant| self.not_early(field, instant)).transpose()
    }

    /// Programs write 0001 or 1970 for an instant that was never set.
    fn not_early(&self, field: Field, instant: Timestamp) -> Result<Timestamp, Rejection> {
        if instant.as_millis() < EARLIEST_MS { Err(self.invalid(field, EARLY)) } else { Ok(instant) }
    }

    fn migration(&mut self) -> Result<Option<MigrationId>, Rejection> {
        let field = Field::MigrationId;
        let text = match self.take(field) {
            Value::Text(text) => text,
            Value::Whole(number) => Cow::Owned(number.to_string()),
            Value::Large(number) => Cow::Owned(number.to_string()),
            value if value.is_absent() => return Ok(None),
            // A number beyond 2^53 that is not written as an integer may have lost its last digits: it
            // would be another id.
            _ => return Err(self.invalid(field, MIGRATION)),
        };
        self.key_of(field, text, MIGRATION, MigrationId::new).map(Some)
    }

    fn required_migration(&mut self) -> Result<MigrationId, Rejection> {
        self.migration()?.ok_or_else(|| self.missing(Field::MigrationId))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts_of_a_protobuf_timestamp() {
        assert_eq!(instant_of_parts(-1, 999_999_999), Some(Timestamp::from_millis(-1)));
        assert_eq!(instant_of_parts(253_402_300_799, 999_999_999), Some(LAST));
        for (seconds, nanos) in [(0, 1_000_000_000), (0, -1), (i64::MAX, 0), (253_402_300_800, 0)] {
            assert_eq!(instant_of_parts(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}
