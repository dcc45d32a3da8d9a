//! `realmledger.v1.LifecycleEvent` into fields.

use ledger_record::rejection::Rejection;
use std::borrow::Cow;

use ledger_core::time::Timestamp;
use ledger_record::json::time::{FIRST, LAST};
use prost::Message as _;
use prost_types::Timestamp as ProtoTimestamp;
use prost_types::value::Kind;

use crate::decode::refusal;
use crate::decode::value::{FieldValue, Members};
use crate::proto;
use crate::proto::r#override::Action;
use crate::proto::persistence::Mode;
use crate::proto::subscription::State;

/// Reads a message.
pub(super) fn read(bytes: &[u8]) -> Result<Members<'static>, Rejection> {
    let event = proto::LifecycleEvent::decode(bytes)
        .map_err(|_| refusal::undecodable("not a realmledger.v1.LifecycleEvent in protobuf"))?;
    Ok(object([
        ("id", text(event.id)),
        ("type", text(event.r#type)),
        ("time", instant(event.time)),
        ("clientKey", text(event.client_key)),
        ("appKey", text(event.app_key)),
        ("actor", text(event.actor)),
        ("reason", text(event.reason)),
        ("endpointRealm", text(event.endpoint_realm)),
        ("productRealm", text(event.product_realm)),
        ("targetRealm", text(event.target_realm)),
        ("sourceRealm", text(event.source_realm)),
        ("realm", text(event.realm)),
        ("migrationId", text(event.migration_id)),
        ("startTime", instant(event.start_time)),
        ("endTime", instant(event.end_time)),
        ("action", event.action.map_or(FieldValue::Absent, action)),
        ("state", event.state.map_or(FieldValue::Absent, state)),
        ("fromClientKey", text(event.from_client_key)),
        ("fromAppKey", text(event.from_app_key)),
        ("fromRealm", text(event.from_realm)),
        ("toClientKey", text(event.to_client_key)),
        ("toAppKey", text(event.to_app_key)),
        ("evidence", text(event.evidence)),
        ("installationId", text(event.installation_id)),
        ("entitlementId", text(event.entitlement_id)),
        ("siteUrl", text(event.site_url)),
        ("descriptor", event.descriptor.map_or(FieldValue::Absent, descriptor)),
        ("policy", event.policy.map_or(FieldValue::Absent, policy)),
    ]))
}

fn text(text: Option<String>) -> FieldValue<'static> {
    text.map_or(FieldValue::Absent, |text| FieldValue::Text(Cow::Owned(text)))
}

fn instant(instant: Option<ProtoTimestamp>) -> FieldValue<'static> {
    instant.map_or(FieldValue::Absent, |parts| {
        instant_of_parts(parts.seconds, parts.nanos).map_or(FieldValue::Unknown, FieldValue::Instant)
    })
}

/// The instant, cut off to milliseconds.
fn instant_of_parts(seconds: i64, nanos: i32) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let ms = seconds.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))?;
    Some(Timestamp::from_millis(ms)).filter(|instant| (FIRST..=LAST).contains(instant))
}

/// The word of an enum's number.
fn word(word: Option<&'static str>) -> FieldValue<'static> {
    match word {
        Some("UNSPECIFIED") => FieldValue::Absent,
        Some(word) => FieldValue::Text(Cow::Borrowed(word)),
        None => FieldValue::Unknown,
    }
}

fn action(number: i32) -> FieldValue<'static> {
    word(Action::try_from(number).ok().map(|action| action.as_str_name()))
}

fn state(number: i32) -> FieldValue<'static> {
    word(State::try_from(number).ok().map(|state| state.as_str_name()))
}

fn mode(number: i32) -> FieldValue<'static> {
    word(Mode::try_from(number).ok().map(|mode| mode.as_str_name()))
}

fn descriptor(descriptor: proto::Descriptor) -> FieldValue<'static> {
    let regions = descriptor
        .region_base_urls
        .into_iter()
        .map(|(region, url)| (Cow::Owned(region), FieldValue::Text(Cow::Owned(url))))
        .collect();
    FieldValue::Object(object([
        ("version", text(descriptor.version)),
        ("baseUrl", text(descriptor.base_url)),
        ("regionBaseUrls", FieldValue::Object(regions)),
        ("dataResidency", descriptor.data_residency.map_or(FieldValue::Absent, data_residency)),
    ]))
}

fn data_residency(block: proto::DataResidency) -> FieldValue<'static> {
    FieldValue::Object(object([
        ("realmPersistence", block.realm_persistence.map_or(FieldValue::Absent, |value| json(value.kind))),
        (
            "realmPersistenceDays",
            block.realm_persistence_days.map_or(FieldValue::Absent, |value| json(value.kind)),
        ),
    ]))
}

fn policy(policy: proto::Policy) -> FieldValue<'static> {
    let number =
        |number: Option<i32>| number.map_or(FieldValue::Absent, |number| FieldValue::Whole(number.into()));
    FieldValue::Object(object([
        ("mode", policy.mode.map_or(FieldValue::Absent, mode)),
        ("days", number(policy.days)),
        ("graceDays", number(policy.grace_days)),
    ]))
}

/// The members that are there.
fn object<const N: usize>(members: [(&'static str, FieldValue<'static>); N]) -> Members<'static> {
    let there = members.into_iter().filter(|(_, value)| !matches!(value, FieldValue::Absent));
    let mut object = Vec::with_capacity(12);
    object.extend(there.map(|(name, value)| (Cow::Borrowed(name), value)));
    object
}

/// A `google.protobuf.Value`. One without a kind is `null`; a number that JSON cannot write
/// (an infinity, not a number) is one too.
fn json(kind: Option<Kind>) -> FieldValue<'static> {
    match kind {
        Some(Kind::BoolValue(flag)) => FieldValue::Bool(flag),
        Some(Kind::NumberValue(number)) if number.is_finite() => FieldValue::from_double(number),
        None | Some(Kind::NullValue(_) | Kind::NumberValue(_)) => FieldValue::Null,
        Some(Kind::StringValue(text)) => FieldValue::Text(Cow::Owned(text)),
        Some(Kind::ListValue(list)) => {
            FieldValue::List(list.values.into_iter().map(|value| json(value.kind)).collect())
        }
        Some(Kind::StructValue(object)) => FieldValue::Object(
            object.fields.into_iter().map(|(name, value)| (Cow::Owned(name), json(value.kind))).collect(),
        ),
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
