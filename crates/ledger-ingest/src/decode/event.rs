//! From fields to an event: the one place that decides what is valid.
//!
//! The domain types determine which fields an event has and which it needs, by what they derive from serde; a
//! [`FieldReader`] serves them the fields.
//!
//! The first fault found is the one reported, and the order is fixed: `id`, `type`, `time`, the client key,
//! the app key (as the level needs them), `actor`, `reason`, then the fields of the type. The domain types have another
//! order, so after a fault [`check_head`] looks at those that come first. The Kafka key is compared last: what is wrong in
//! the event itself comes before where it was put.

use std::borrow::Cow;

use ledger_core::event::{AppFact, Body, Event, InstallationFact, TenantFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::time::Timestamp;
use ledger_record::rejection::{Reason, Rejection};
use serde::Deserialize;

use crate::decode::fields::EventFields;
use crate::decode::message::{Decoded, Incoming};
use crate::decode::reader::{FieldReader, UNSUPPORTED};
use crate::decode::refusal::{self, FieldFault};
use crate::decode::value::{FieldValue, Members, is_absent, last};

/// Makes an event of the fields. `default_time` is the time of an event without one, where the encoding allows that.
pub(super) fn read_event(
    fields: EventFields<'_>,
    default_time: Option<Timestamp>,
    kafka_key: Option<&[u8]>,
) -> Result<Decoded, Rejection> {
    let EventFields { dialect, mut members } = fields;
    let default_time = default_time.filter(|_| is_absent(&members, "time"));
    if let Some(time) = default_time {
        members.push((Cow::Borrowed("time"), FieldValue::Instant(time)));
    }
    let read = match Event::deserialize(FieldReader::Members(&mut members)) {
        Ok(event) => check_signature(&event).map(|()| Some(event)),
        Err(_) if is_tick(&members) => check_tick(&mut members).map(|()| None),
        Err(fault) => Err(check_head(&mut members).err().unwrap_or(fault)),
    };
    match read {
        Ok(Some(event)) => {
            check_kafka_key(&event, kafka_key)?;
            Ok(Decoded::Event(Incoming { event, time_defaulted: default_time.is_some() }))
        }
        Ok(None) => Ok(Decoded::Tick),
        Err(fault) => {
            let rejection = fault.into_rejection();
            let path = rejection.path.as_deref().and_then(|path| dialect.path_of(path));
            Err(Rejection { path: path.or(rejection.path), ..rejection })
        }
    }
}

/// Reads one of the fields.
fn read<'a, T: Deserialize<'a>>(members: &mut Members<'a>, name: &'static str) -> Result<T, FieldFault> {
    T::deserialize(FieldReader::member(members, name)).map_err(|fault| fault.under(name))
}

/// Ticks are rare, so they are looked for in what is no event.
fn is_tick(members: &Members<'_>) -> bool {
    matches!(last(members, "type"), Some(FieldValue::Text(name)) if name == "tick")
}

/// Of a tick those fields count that every message has.
fn check_tick(members: &mut Members<'_>) -> Result<(), FieldFault> {
    read::<EventId>(members, "id")?;
    read::<Timestamp>(members, "time").map(drop)
}

/// Reads the fields that come before those of the type, in their order.
fn check_head(members: &mut Members<'_>) -> Result<(), FieldFault> {
    read::<EventId>(members, "id")?;
    let name = read::<String>(members, "type")?;
    let (of_tenant, of_app) = (is_type::<TenantFact>(&name), is_type::<AppFact>(&name));
    if !of_tenant && !of_app && !is_type::<InstallationFact>(&name) {
        return Err(FieldFault::new(Reason::UnsupportedType, UNSUPPORTED).under("type"));
    }
    read::<Timestamp>(members, "time")?;
    if !of_app {
        read::<ClientKey>(members, "clientKey")?;
    }
    if !of_tenant {
        read::<AppKey>(members, "appKey")?;
    }
    read::<Option<String>>(members, "actor")?;
    read::<Option<String>>(members, "reason")?;
    Ok(())
}

/// Whether a fact of this kind has that name.
fn is_type<'a, T: Deserialize<'a>>(name: &'a str) -> bool {
    let mut only = vec![(Cow::Borrowed("type"), FieldValue::Text(Cow::Borrowed(name)))];
    let fact = T::deserialize(FieldReader::Members(&mut only));
    fact.map_or_else(|fault| fault.into_rejection().reason != Reason::UnsupportedType, |_| true)
}

/// An operator's event needs a name and a reason.
fn check_signature(event: &Event) -> Result<(), FieldFault> {
    let Body::Installation { fact, .. } = &event.body else { return Ok(()) };
    let is_of_operator = match fact {
        InstallationFact::Override(_) => true,
        InstallationFact::Continued { evidence, .. } | InstallationFact::Superseded { evidence, .. } => {
            evidence.is_operator()
        }
        _ => false,
    };
    match (&event.actor, &event.reason) {
        (None, _) if is_of_operator => Err(FieldFault::missing().under("actor")),
        (_, None) if is_of_operator => Err(FieldFault::missing().under("reason")),
        _ => Ok(()),
    }
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
