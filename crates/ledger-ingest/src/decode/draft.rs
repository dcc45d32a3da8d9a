//! An event as it arrived: every field the ledger knows, of whatever type, by its native name.
//!
//! All encodings are read into a draft, and only [`crate::decode::validate`] turns a draft into an event. So the
//! same fault has the same reason everywhere; what differs is only how the sender calls the field, which is
//! the draft's [`Dialect`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::decode::value::{Name, Value};

macro_rules! fields {
    ($($field:ident = $name:literal,)*) => {
        /// The fields of an event, and those of foreign payloads that become one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($field,)* }

        impl Field {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$field,)*];

            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$field),)* _ => None }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }
        }
    };
}

fields! {
    Id = "id",
    Type = "type",
    Time = "time",
    ClientKey = "clientKey",
    AppKey = "appKey",
    Actor = "actor",
    Reason = "reason",
    EndpointRealm = "endpointRealm",
    ProductRealm = "productRealm",
    TargetRealm = "targetRealm",
    SourceRealm = "sourceRealm",
    Realm = "realm",
    MigrationId = "migrationId",
    StartTime = "startTime",
    EndTime = "endTime",
    Action = "action",
    State = "state",
    FromClientKey = "fromClientKey",
    FromAppKey = "fromAppKey",
    FromRealm = "fromRealm",
    ToClientKey = "toClientKey",
    ToAppKey = "toAppKey",
    Evidence = "evidence",
    InstallationId = "installationId",
    EntitlementId = "entitlementId",
    SiteUrl = "siteUrl",
    Descriptor = "descriptor",
    Policy = "policy",
    // Of Connect payloads and migration hooks; no event has them.
    ConnectKey = "key",
    ConnectBaseUrl = "baseUrl",
    HookLocation = "location",
}

/// How the sender calls the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Native JSON and protobuf: the names of native JSON.
    Native,
    /// A `CloudEvent` around native fields: attributes by their names, data as in native JSON.
    CloudEvent,
    /// A `CloudEvent` around a Connect lifecycle payload.
    Connect,
    /// A `CloudEvent` around a migration hook.
    Hook,
}

impl Dialect {
    /// The field's path as the sender knows it.
    pub(crate) const fn path(self, field: Field) -> &'static str {
        match (self, field) {
            (Self::Connect, Field::ClientKey) => "data.clientKey",
            (Self::Connect, Field::AppKey) => "data.key",
            (Self::Connect, Field::SiteUrl) => "data.baseUrl",
            (Self::Connect, Field::InstallationId) => "data.installationId",
            (Self::Connect, Field::EntitlementId) => "data.entitlementId",
            (Self::Connect, Field::EndpointRealm) => "endpointrealm",
            (Self::Connect, Field::ProductRealm) => "productrealm",
            (Self::Hook, Field::MigrationId) => "data.migrationId",
            (Self::Hook, Field::TargetRealm) => "data.location",
            (Self::Hook, Field::StartTime) => "data.startTime",
            (Self::Hook, Field::EndTime) => "data.endTime",
            (Self::CloudEvent | Self::Hook, Field::ClientKey) => "subject",
            (Self::CloudEvent | Self::Hook, Field::AppKey) => "appkey",
            (_, field) => field.name(),
        }
    }
}

/// The known fields of one message.
#[derive(Debug, PartialEq)]
pub(crate) struct Draft<'a> {
    pub(crate) dialect: Dialect,
    /// It has a `specversion`, so it is a structured `CloudEvent`.
    pub(crate) is_cloud_event: bool,
    values: [Value<'a>; Field::ALL.len()],
}

impl<'a> Draft<'a> {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, is_cloud_event: false, values: [const { Value::Absent }; Field::ALL.len()] }
    }

    pub(crate) fn set(&mut self, field: Field, value: Value<'a>) {
        self.values[field as usize] = value;
    }

    pub(crate) fn take(&mut self, field: Field) -> Value<'a> {
        std::mem::take(&mut self.values[field as usize])
    }

    /// Reads the members of a JSON object; unknown ones are skipped, of equal names the last one counts.
    pub(crate) fn read<'b, D>(&'b mut self, deserializer: D) -> Result<(), D::Error>
    where
        D: Deserializer<'a>,
    {
        MembersOf(self).deserialize(deserializer)
    }
}

/// Reads an object's members into a draft.
pub(crate) struct MembersOf<'d, 'a>(pub(crate) &'d mut Draft<'a>);

impl<'de> DeserializeSeed<'de> for MembersOf<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersOf<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = members.next_key()? {
            if let Some(field) = Field::from_name(&name) {
                self.0.set(field, members.next_value()?);
            } else if name == "specversion" {
                self.0.is_cloud_event = !members.next_value::<Value<'de>>()?.is_absent();
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
