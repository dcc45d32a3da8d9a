//! `realmledger.v1.LifecycleEvent` into a draft.

use ledger_record::rejection::Rejection;
use std::borrow::Cow;

use prost::Message as _;
use prost_types::Timestamp as ProtoTimestamp;
use prost_types::value::Kind;

use crate::decode::draft::{Draft, Field};
use crate::decode::refusal;
use crate::decode::value::Value;
use crate::proto;

/// Reads a message into a draft.
pub(super) fn read(bytes: &[u8], draft: &mut Draft<'_>) -> Result<(), Rejection> {
    let event = proto::LifecycleEvent::decode(bytes)
        .map_err(|_| refusal::undecodable("not a realmledger.v1.LifecycleEvent in protobuf"))?;
    fill(event, draft);
    Ok(())
}

fn fill(event: proto::LifecycleEvent, draft: &mut Draft<'_>) {
    for (field, value) in [
        (Field::Id, text(event.id)),
        (Field::Type, text(event.r#type)),
        (Field::Time, instant(event.time)),
        (Field::ClientKey, text(event.client_key)),
        (Field::AppKey, text(event.app_key)),
        (Field::Actor, text(event.actor)),
        (Field::Reason, text(event.reason)),
        (Field::EndpointRealm, text(event.endpoint_realm)),
        (Field::ProductRealm, text(event.product_realm)),
        (Field::TargetRealm, text(event.target_realm)),
        (Field::SourceRealm, text(event.source_realm)),
        (Field::Realm, text(event.realm)),
        (Field::MigrationId, text(event.migration_id)),
        (Field::StartTime, instant(event.start_time)),
        (Field::EndTime, instant(event.end_time)),
        (Field::Action, event.action.map_or(Value::Absent, action_word)),
        (Field::State, event.state.map_or(Value::Absent, state_word)),
        (Field::FromClientKey, text(event.from_client_key)),
        (Field::FromAppKey, text(event.from_app_key)),
        (Field::FromRealm, text(event.from_realm)),
        (Field::ToClientKey, text(event.to_client_key)),
        (Field::ToAppKey, text(event.to_app_key)),
        (Field::Evidence, text(event.evidence)),
        (Field::InstallationId, text(event.installation_id)),
        (Field::EntitlementId, text(event.entitlement_id)),
        (Field::SiteUrl, text(event.site_url)),
        (Field::Descriptor, event.descriptor.map_or(Value::Absent, descriptor)),
        (Field::Policy, event.policy.map_or(Value::Absent, policy)),
    ] {
        draft.set(field, value);
    }
}

fn text(text: Option<String>) -> Value<'static> {
    text.map_or(Value::Absent, |text| Value::Text(Cow::Owned(text)))
}

fn instant(instant: Option<ProtoTimestamp>) -> Value<'static> {
    instant.map_or(Value::Absent, |instant| Value::Instant { seconds: instant.seconds, nanos: instant.nanos })
}

fn word(word: &'static str) -> Value<'static> {
    Value::Text(Cow::Borrowed(word))
}

fn action_word(number: i32) -> Value<'static> {
    use proto::r#override::Action;
    Action::try_from(number).map_or(Value::Unknown, |action| match action {
        Action::Unspecified => Value::Absent,
        named => word(named.as_str_name()),
    })
}

fn state_word(number: i32) -> Value<'static> {
    use proto::subscription::State;
    State::try_from(number).map_or(Value::Unknown, |state| match state {
        State::Unspecified => Value::Absent,
        named => word(named.as_str_name()),
    })
}

fn mode_word(number: i32) -> Value<'static> {
    use proto::persistence::Mode;
    Mode::try_from(number).map_or(Value::Unknown, |mode| match mode {
        Mode::Unspecified => Value::Absent,
        named => word(named.as_str_name()),
    })
}

fn descriptor(descriptor: proto::Descriptor) -> Value<'static> {
    let regions = descriptor
        .region_base_urls
        .into_iter()
        .map(|(region, url)| (Cow::Owned(region), Value::Text(Cow::Owned(url))))
        .collect();
    object([
        ("version", text(descriptor.version)),
        ("baseUrl", text(descriptor.base_url)),
        ("regionBaseUrls", Value::Object(regions)),
        ("dataResidency", descriptor.data_residency.map_or(Value::Absent, data_residency)),
    ])
}

fn data_residency(block: proto::DataResidency) -> Value<'static> {
    object([
        ("realmPersistence", block.realm_persistence.map_or(Value::Absent, |value| json(value.kind))),
        (
            "realmPersistenceDays",
            block.realm_persistence_days.map_or(Value::Absent, |value| json(value.kind)),
        ),
    ])
}

fn policy(policy: proto::Policy) -> Value<'static> {
    let number = |number: Option<i32>| number.map_or(Value::Absent, |number| Value::Whole(number.into()));
    object([
        ("mode", policy.mode.map_or(Value::Absent, mode_word)),
        ("days", number(policy.days)),
        ("graceDays", number(policy.grace_days)),
    ])
}

fn object<const N: usize>(members: [(&'static str, Value<'static>); N]) -> Value<'static> {
    Value::Object(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
}

/// A `google.protobuf.Value`. One without a kind says no more than `null`; a number that JSON cannot write
/// (an infinity, not a number) is one too.
fn json(kind: Option<Kind>) -> Value<'static> {
    match kind {
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) if number.is_finite() => Value::from_double(number),
        None | Some(Kind::NullValue(_) | Kind::NumberValue(_)) => Value::Null,
        Some(Kind::StringValue(text)) => Value::Text(Cow::Owned(text)),
        Some(Kind::ListValue(list)) => {
            Value::List(list.values.into_iter().map(|value| json(value.kind)).collect())
        }
        Some(Kind::StructValue(object)) => Value::Object(
            object.fields.into_iter().map(|(name, value)| (Cow::Owned(name), json(value.kind))).collect(),
        ),
    }
}
