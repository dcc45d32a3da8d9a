//! `CloudEvents` 1.0 into fields, in structured (JSON) and binary mode.
//!
//! The `type` determines the data: `realmledger.<event type>` carries native fields,
//! `com.atlassian.connect.<event>` the lifecycle payload and `com.atlassian.connect.dare-migration.<hook>`
//! the hook's body, as Atlassian sends them. Data that is absent, `null` or empty has no fields. A field that
//! an attribute holds is not read from the data too: `id` or `clientKey` inside native data is ignored, as is
//! `eventType` in a payload. `source` and other attributes and extensions are not looked at.
//!
//! Checked before everything else: `specversion`, then the data.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledger_record::rejection::Rejection;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::fields::{
    Dialect, EventFields, FieldOrigin, KnownMembers, are_cloud_event, known_field, push,
};
use crate::decode::message::{DataType, Message, attribute_name};
use crate::decode::value::{FieldValue, Members, Name, last, take_last};
use crate::decode::{protobuf, read_json, refusal};

const NATIVE: &str = "realmledger.";
const HOOK: &str = "com.atlassian.connect.dare-migration.";
const CONNECT: &str = "com.atlassian.connect.";

const UNSUPPORTED: &str = "not a type of CloudEvent that the ledger reads";
const SPEC_VERSION: &str = "expected 1.0";
const DATA: &str = "expected a JSON object";
const DATA_TYPE: &str = "the content type of the data is neither JSON nor protobuf";
const DATA_BASE64: &str = "expected base 64, and no data beside it";

/// Around native fields: the data has all that no attribute holds.
const OF_NATIVE: &Dialect = &Dialect {
    has_others: true,
    origins: &[
        ("clientKey", FieldOrigin::Attribute("subject")),
        ("appKey", FieldOrigin::Attribute("appkey")),
    ],
};

/// Around a Connect lifecycle payload.
const OF_CONNECT: &Dialect = &Dialect {
    has_others: false,
    origins: &[
        ("clientKey", FieldOrigin::Data("clientKey")),
        ("appKey", FieldOrigin::Data("key")),
        ("siteUrl", FieldOrigin::Data("baseUrl")),
        ("installationId", FieldOrigin::Data("installationId")),
        ("entitlementId", FieldOrigin::Data("entitlementId")),
        ("endpointRealm", FieldOrigin::Attribute("endpointrealm")),
        ("productRealm", FieldOrigin::Attribute("productrealm")),
    ],
};

/// Around the body of a migration hook.
const OF_HOOK: &Dialect = &Dialect {
    has_others: false,
    origins: &[
        ("clientKey", FieldOrigin::Attribute("subject")),
        ("appKey", FieldOrigin::Attribute("appkey")),
        ("migrationId", FieldOrigin::Data("migrationId")),
        ("targetRealm", FieldOrigin::Data("location")),
        ("startTime", FieldOrigin::Data("startTime")),
        ("endTime", FieldOrigin::Data("endTime")),
    ],
};

/// The attributes that the ledger reads.
fn known_attribute(name: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "specversion",
        "id",
        "type",
        "time",
        "subject",
        "appkey",
        "endpointrealm",
        "productrealm",
        "datacontenttype",
    ];
    KNOWN.into_iter().find(|known| *known == name)
}

fn check_spec_version(attributes: &Members<'_>) -> Result<(), Rejection> {
    match last(attributes, "specversion") {
        Some(FieldValue::Text(version)) if version == "1.0" => Ok(()),
        Some(version) if !version.is_absent() => Err(refusal::invalid("specversion", SPEC_VERSION)),
        _ => Err(refusal::missing("specversion")),
    }
}

/// Joins attributes and data by the `type`.
fn join<'a>(mut attributes: Members<'a>, data: Members<'a>) -> Result<EventFields<'a>, Rejection> {
    let (dialect, event_type) = match take_last(&mut attributes, "type") {
        FieldValue::Text(name) => {
            event_type_of(&name).ok_or_else(|| refusal::unsupported("type", UNSUPPORTED))?
        }
        // Absent or no text: the reader of the event reports it, in its turn.
        other => (OF_NATIVE, other),
    };
    Ok(EventFields::join(dialect, event_type, attributes, data))
}

/// How a `type` attribute calls the fields, and the event type that it stands for; the reader of the event
/// judges native ones.
fn event_type_of<'a>(attribute: &Cow<'a, str>) -> Option<(&'static Dialect, FieldValue<'a>)> {
    let known = |dialect, name| Some((dialect, FieldValue::Text(Cow::Borrowed(name))));
    if let Some(native) = attribute.strip_prefix(NATIVE) {
        let native = match attribute {
            Cow::Borrowed(text) => Cow::Borrowed(&text[NATIVE.len()..]),
            Cow::Owned(_) => Cow::Owned(native.to_owned()),
        };
        return Some((OF_NATIVE, FieldValue::Text(native)));
    }
    if let Some(hook) = attribute.strip_prefix(HOOK) {
        return match hook {
            "schedule" => known(OF_HOOK, "migration-scheduled"),
            "start" => known(OF_HOOK, "migration-started"),
            "commit" => known(OF_HOOK, "migration-committed"),
            "rollback" => known(OF_HOOK, "migration-rolled-back"),
            _ => None,
        };
    }
    match attribute.strip_prefix(CONNECT)? {
        "installed" => known(OF_CONNECT, "installed"),
        "uninstalled" => known(OF_CONNECT, "uninstalled"),
        "enabled" => known(OF_CONNECT, "enabled"),
        "disabled" => known(OF_CONNECT, "disabled"),
        _ => None,
    }
}

/// Reads a message in binary mode; none if its data is a structured `CloudEvent`, which has attributes of its own.
pub(super) fn read_binary<'a>(
    message: &Message<'a>,
    data_type: DataType,
) -> Result<Option<EventFields<'a>>, Rejection> {
    let mut attributes = Vec::with_capacity(8);
    for (name, value) in message.headers {
        let name = attribute_name(name).map(str::to_ascii_lowercase);
        if let Some(name) = name.as_deref().and_then(known_attribute) {
            let text = std::str::from_utf8(value)
                .map_err(|_| refusal::undecodable("an attribute of the CloudEvent is not UTF-8"))?;
            push(&mut attributes, name, FieldValue::Text(Cow::Borrowed(text)));
        }
    }
    let data = read_data(message.value.unwrap_or_default(), data_type);
    if data.as_ref().is_ok_and(are_cloud_event) {
        return Ok(None);
    }
    check_spec_version(&attributes)?;
    join(attributes, data?).map(Some)
}

fn read_data(value: &[u8], data_type: DataType) -> Result<Members<'_>, Rejection> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    match data_type {
        DataType::Protobuf => protobuf::read(value),
        DataType::Json => match read_json(value)? {
            Data::Absent => Ok(Vec::new()),
            Data::Members(members) => Ok(members),
            Data::Other => Err(refusal::invalid("data", DATA)),
        },
    }
}

/// Reads a message in structured mode and hands the fields on; data in base 64 is decoded here and lives no
/// longer than the call.
pub(super) fn read_structured<T>(
    value: &[u8],
    then: impl FnOnce(EventFields<'_>) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let Envelope { attributes, data, data_base64 } = read_json(value)?;
    check_spec_version(&attributes)?;
    let stated = match last(&attributes, "datacontenttype") {
        Some(FieldValue::Text(stated)) => Some(&**stated),
        Some(stated) if !stated.is_absent() => {
            return Err(refusal::invalid("datacontenttype", "expected text"));
        }
        _ => None,
    };
    let data_type = DataType::from_content_type(stated).ok_or_else(|| refusal::undecodable(DATA_TYPE))?;
    match (data_base64, data) {
        (FieldValue::Text(text), Data::Absent) => {
            let bytes = BASE64_STANDARD.decode(text.as_bytes());
            let bytes = bytes.map_err(|_| refusal::invalid("data_base64", DATA_BASE64))?;
            then(join(attributes, read_data(&bytes, data_type)?)?)
        }
        (base64, _) if !base64.is_absent() => Err(refusal::invalid("data_base64", DATA_BASE64)),
        (_, Data::Absent) => then(join(attributes, Vec::new())?),
        (_, Data::Members(members)) if data_type == DataType::Json => then(join(attributes, members)?),
        (_, Data::Members(_) | Data::Other) => Err(refusal::invalid("data", DATA)),
    }
}

/// JSON data as it arrived.
enum Data<'a> {
    Absent,
    Members(Members<'a>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Data<'de>, A::Error> {
        KnownMembers(known_field).visit_map(members).map(Data::Members)
    }

    fn visit_unit<E>(self) -> Result<Data<'de>, E> {
        Ok(Data::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Data<'de>, E> {
        Ok(Data::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }
}

/// A structured `CloudEvent`.
struct Envelope<'a> {
    attributes: Members<'a>,
    data: Data<'a>,
    data_base64: FieldValue<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Envelope<'de>, A::Error> {
        let (mut attributes, mut data, mut data_base64) =
            (Vec::with_capacity(8), Data::Absent, FieldValue::Absent);
        while let Some(Name(name)) = members.next_key()? {
            match (&*name, known_attribute(&name)) {
                ("data", _) => data = members.next_value()?,
                ("data_base64", _) => data_base64 = members.next_value()?,
                (_, Some(name)) => push(&mut attributes, name, members.next_value()?),
                (_, None) => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Envelope { attributes, data, data_base64 })
    }
}
