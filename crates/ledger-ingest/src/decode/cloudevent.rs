//! `CloudEvents` 1.0 into a draft, in structured (JSON) and binary mode.
//!
//! The `type` says what the data is: `realmledger.<event type>` carries native fields,
//! `com.atlassian.connect.<event>` the lifecycle payload and `com.atlassian.connect.dare-migration.<hook>`
//! the hook's body, as Atlassian sends them. Data that is absent, `null` or empty has no fields. What the
//! attributes say is not taken from the data too: `id` or `clientKey` inside native data is ignored, as is
//! `eventType` in a payload. `source` and other attributes and extensions are not looked at.
//!
//! Checked before everything else: `specversion`, then the data.

use ledger_record::rejection::Rejection;
use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::decode::draft::{Dialect, Draft, Field, MembersOf};
use crate::decode::message::{DataType, Message, attribute_name};
use crate::decode::refusal;
use crate::decode::value::{Name, Value};
use crate::decode::{protobuf, read_json};

const NATIVE: &str = "realmledger.";
const HOOK: &str = "com.atlassian.connect.dare-migration.";
const CONNECT: &str = "com.atlassian.connect.";

const UNSUPPORTED: &str = "not a type of CloudEvent that the ledger reads";
const SPEC_VERSION: &str = "expected 1.0";
const DATA: &str = "expected a JSON object";
const DATA_BASE64: &str = "expected base 64, and no data beside it";

/// The attributes that the ledger reads.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    spec_version: Value<'a>,
    id: Value<'a>,
    name: Value<'a>,
    time: Value<'a>,
    subject: Value<'a>,
    app_key: Value<'a>,
    endpoint_realm: Value<'a>,
    product_realm: Value<'a>,
    data_content_type: Value<'a>,
}

impl<'a> Attributes<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Value<'a>> {
        Some(match name {
            "specversion" => &mut self.spec_version,
            "id" => &mut self.id,
            "type" => &mut self.name,
            "time" => &mut self.time,
            "subject" => &mut self.subject,
            "appkey" => &mut self.app_key,
            "endpointrealm" => &mut self.endpoint_realm,
            "productrealm" => &mut self.product_realm,
            "datacontenttype" => &mut self.data_content_type,
            _ => return None,
        })
    }

    fn check_spec_version(&self) -> Result<(), Rejection> {
        match &self.spec_version {
            Value::Text(version) if version == "1.0" => Ok(()),
            version if version.is_absent() => Err(refusal::missing("specversion")),
            _ => Err(refusal::invalid("specversion", SPEC_VERSION)),
        }
    }

    /// Puts attributes and data together as the `type` says.
    fn join(self, mut data: Draft<'a>) -> Result<Draft<'a>, Rejection> {
        let (dialect, name) = match self.name {
            Value::Text(name) => {
                event_type(&name).ok_or_else(|| refusal::unsupported("type", UNSUPPORTED))?
            }
            // Absent or no text: the validator says so, in its turn.
            other => (Dialect::CloudEvent, other),
        };
        let mut draft = match dialect {
            Dialect::Native | Dialect::CloudEvent => {
                data.dialect = Dialect::CloudEvent;
                data
            }
            Dialect::Connect => from_connect(data, self.endpoint_realm, self.product_realm),
            Dialect::Hook => from_hook(data),
        };
        draft.set(Field::Id, self.id);
        draft.set(Field::Type, name);
        draft.set(Field::Time, self.time);
        if dialect != Dialect::Connect {
            draft.set(Field::ClientKey, self.subject);
            draft.set(Field::AppKey, self.app_key);
        }
        Ok(draft)
    }
}

/// The event type that a `type` attribute stands for; the validator judges native ones.
fn event_type<'a>(attribute: &Cow<'a, str>) -> Option<(Dialect, Value<'a>)> {
    let known = |dialect, name| Some((dialect, Value::Text(Cow::Borrowed(name))));
    if let Some(native) = attribute.strip_prefix(NATIVE) {
        let native = match attribute {
            Cow::Borrowed(text) => Cow::Borrowed(&text[NATIVE.len()..]),
            Cow::Owned(_) => Cow::Owned(native.to_owned()),
        };
        return Some((Dialect::CloudEvent, Value::Text(native)));
    }
    if let Some(hook) = attribute.strip_prefix(HOOK) {
        return match hook {
            "schedule" => known(Dialect::Hook, "migration-scheduled"),
            "start" => known(Dialect::Hook, "migration-started"),
            "commit" => known(Dialect::Hook, "migration-committed"),
            "rollback" => known(Dialect::Hook, "migration-rolled-back"),
            _ => None,
        };
    }
    match attribute.strip_prefix(CONNECT)? {
        "installed" => known(Dialect::Connect, "installed"),
        "uninstalled" => known(Dialect::Connect, "uninstalled"),
        "enabled" => known(Dialect::Connect, "enabled"),
        "disabled" => known(Dialect::Connect, "disabled"),
        _ => None,
    }
}

fn from_connect<'a>(
    mut payload: Draft<'a>,
    endpoint_realm: Value<'a>,
    product_realm: Value<'a>,
) -> Draft<'a> {
    let mut draft = Draft::new(Dialect::Connect);
    draft.set(Field::AppKey, payload.take(Field::ConnectKey));
    draft.set(Field::ClientKey, payload.take(Field::ClientKey));
    draft.set(Field::SiteUrl, payload.take(Field::ConnectBaseUrl));
    draft.set(Field::InstallationId, payload.take(Field::InstallationId));
    draft.set(Field::EntitlementId, payload.take(Field::EntitlementId));
    draft.set(Field::EndpointRealm, endpoint_realm);
    draft.set(Field::ProductRealm, product_realm);
    draft
}

fn from_hook(mut body: Draft<'_>) -> Draft<'_> {
    let mut draft = Draft::new(Dialect::Hook);
    draft.set(Field::MigrationId, body.take(Field::MigrationId));
    draft.set(Field::TargetRealm, body.take(Field::HookLocation));
    draft.set(Field::StartTime, body.take(Field::StartTime));
    draft.set(Field::EndTime, body.take(Field::EndTime));
    draft
}

/// Reads a message in binary mode; none: its data is a structured `CloudEvent`, which says all there is to say.
pub(super) fn read_binary<'a>(
    message: &Message<'a>,
    data_type: DataType,
) -> Result<Option<Draft<'a>>, Rejection> {
    let mut attributes = Attributes::default();
    for (name, value) in message.headers {
        let Some(name) = attribute_name(name) else {
            continue;
        };
        if let Some(slot) = attributes.slot(&name.to_ascii_lowercase()) {
            let text = std::str::from_utf8(value)
                .map_err(|_| refusal::undecodable("an attribute of the CloudEvent is not UTF-8"))?;
            *slot = Value::Text(Cow::Borrowed(text));
        }
    }
    let mut data = Draft::new(Dialect::CloudEvent);
    let read = match message.value {
        None | Some([]) => Ok(()),
        Some(value) => read_data(value, data_type, &mut data),
    };
    if data.is_cloud_event {
        return Ok(None);
    }
    attributes.check_spec_version()?;
    read?;
    attributes.join(data).map(Some)
}

fn read_data<'a>(value: &'a [u8], data_type: DataType, data: &mut Draft<'a>) -> Result<(), Rejection> {
    match data_type {
        DataType::Protobuf => protobuf::read(value, data),
        DataType::Json => match read_json::<Data<'a>>(value)? {
            Data::Absent => Ok(()),
            Data::Members(members) => {
                *data = *members;
                Ok(())
            }
            Data::Other => Err(refusal::invalid("data", DATA)),
        },
    }
}

/// Reads a message in structured mode and hands the draft on; data in base 64 is decoded here and lives no
/// longer than the call.
pub(super) fn read_structured<T>(
    value: &[u8],
    then: impl FnOnce(Draft<'_>) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let Envelope { attributes, data, data_base64 } = read_json(value)?;
    attributes.check_spec_version()?;
    let stated = match &attributes.data_content_type {
        Value::Text(stated) => Some(&**stated),
        stated if stated.is_absent() => None,
        _ => return Err(refusal::invalid("datacontenttype", "expected text")),
    };
    let data_type = DataType::of(stated)
        .ok_or_else(|| refusal::undecodable("the content type of the data is neither JSON nor protobuf"))?;

    let decoded = match (&data_base64, &data) {
        (absent, _) if absent.is_absent() => None,
        (Value::Text(text), Data::Absent) => BASE64_STANDARD
            .decode(text.as_bytes())
            .map(Some)
            .map_err(|_| refusal::invalid("data_base64", DATA_BASE64))?,
        _ => return Err(refusal::invalid("data_base64", DATA_BASE64)),
    };
    if let Some(bytes) = &decoded {
        let mut draft = Draft::new(Dialect::CloudEvent);
        if !bytes.is_empty() {
            read_data(bytes, data_type, &mut draft)?;
        }
        return then(attributes.join(draft)?);
    }
    match data {
        Data::Absent => then(attributes.join(Draft::new(Dialect::CloudEvent))?),
        Data::Members(members) if data_type == DataType::Json => then(attributes.join(*members)?),
        Data::Members(_) | Data::Other => Err(refusal::invalid("data", DATA)),
    }
}

/// JSON data as it arrived.
enum Data<'a> {
    Absent,
    Members(Box<Draft<'a>>),
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
        let mut draft = Box::new(Draft::new(Dialect::CloudEvent));
        MembersOf(&mut draft).visit_map(members)?;
        Ok(Data::Members(draft))
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

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Data<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }
}

/// A structured `CloudEvent`.
struct Envelope<'a> {
    attributes: Attributes<'a>,
    data: Data<'a>,
    data_base64: Value<'a>,
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
        let mut envelope =
            Envelope { attributes: Attributes::default(), data: Data::Absent, data_base64: Value::Absent };
        while let Some(Name(name)) = members.next_key()? {
            match &*name {
                "data" => envelope.data = members.next_value()?,
                "data_base64" => envelope.data_base64 = members.next_value()?,
                name => match envelope.attributes.slot(name) {
                    Some(slot) => *slot = members.next_value()?,
                    None => {
                        members.next_value::<IgnoredAny>()?;
                    }
                },
            }
        }
        Ok(envelope)
    }
}
