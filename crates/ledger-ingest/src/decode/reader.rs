//! Serves the domain types what they are made of, and checks of each field what its type does not.
//!
//! A type asks for its fields by what it derives from serde, so a field that is added to one is read here without more,
//! unless it is of a new kind. Fields are served in the order of the type, also those that are not there: so the first
//! fault in that order is found first.
//!
//! | the type asks for | it gets |
//! | --- | --- |
//! | an option | none where the field is absent or `null` |
//! | a part without a name | the members that its own fields name, from beside it |
//! | a choice with fields | the variant in the member of its name |
//! | a `String` | free text without secrets; a URL is checked |
//! | a named type over text | the text, if it has no token |
//! | a `Timestamp` | an instant since 2010 |
//! | a `Setting` | any value, as canonical JSON |

use std::borrow::Cow;
use std::slice;

use ledger_core::limits::{EARLIEST_MS, POLICY_MAX_DAYS};
use ledger_core::realm::{InvalidRealm, Realm};
use ledger_core::time::Timestamp;
use ledger_record::json::is_tag;
use ledger_record::json::time::parse_instant;
use ledger_record::rejection::Reason;
use serde::de::value::{I64Deserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::decode::refusal::FieldFault;
use crate::decode::url::is_absolute_http;
use crate::decode::value::{FieldValue, Members, is_absent, last, last_mut};
use crate::redact;

const TEXT: &str = "expected text";
const INSTANT: &str = "expected an RFC 3339 instant within the years 0000 to 9999";
const KEY: &str = "expected text of 1 to 255 bytes without control characters";
const KEY_WITHOUT_TOKEN: &str = "a key must not hold a token";
pub(super) const EARLY: &str = "expected a time since 2010: an earlier one was never set";
const REALM: &str = "expected a realm key, a letter and 1 to 15 letters, digits or hyphens";
const NO_REALM: &str = "expected a realm key: this word stands for nothing, so leave the field out";
const MIGRATION: &str = "expected text of 1 to 255 bytes, or an exact whole number";
const EVIDENCE: &str = "expected text of 1 to 64 bytes";
const EVIDENCE_WITHOUT_TOKEN: &str = "evidence must not hold a token";
const OWN_INSTALLATION: &str = "expected another installation than the event's own";
pub(super) const UNSUPPORTED: &str = "not an event type of this ledger";
const OBJECT: &str = "expected an object";
const URL: &str = "expected an absolute http or https URL";
const REGION: &str = "expected a region key other than GLOBAL, which is also called default";
const REGION_TWICE: &str = "two keys are the same region";
const DAYS: &str = "expected a whole number from 1 to 36500";
const GRACE_DAYS: &str = "expected a whole number from 0 to 36500";

/// Names of one installation or site, which some senders leave empty.
const EMPTY_IS_ABSENT: [&str; 3] = ["installationId", "entitlementId", "siteUrl"];

/// The keys of the other installation, which may leave out the app: it is that of the event.
const OTHER_INSTALLATION: [[&str; 2]; 2] = [["fromClientKey", "fromAppKey"], ["toClientKey", "toAppKey"]];

/// Without any of them there is no `dataResidency`.
const DATA_RESIDENCY: [&str; 2] = ["realmPersistence", "realmPersistenceDays"];

/// What a descriptor calls its URL, and what is checked of every URL in it.
const BASE_URL: &str = "baseUrl";

/// The instant in a value, if any; else what is expected of it.
pub(super) fn instant_of(value: &FieldValue<'_>) -> Result<Option<Timestamp>, &'static str> {
    match value {
        FieldValue::Text(text) => parse_instant(text).map(Some).map_err(|_| INSTANT),
        FieldValue::Instant(instant) => Ok(Some(*instant)),
        value if value.is_absent() => Ok(None),
        _ => Err(INSTANT),
    }
}

/// What a domain type, or a field of one, is read from.
#[derive(Debug)]
pub(super) enum FieldReader<'m, 'a> {
    /// The member of that name.
    Member(&'static str, &'m mut FieldValue<'a>),
    /// There is no such member.
    Absent,
    /// Members of an object: the whole of it, or those that a part of the type without a name takes out of it.
    Members(&'m mut Members<'a>),
}

impl<'m, 'a> FieldReader<'m, 'a> {
    /// The last member of that name; `null` is one only where any value is allowed.
    pub(super) fn member(members: &'m mut Members<'a>, name: &'static str) -> Self {
        match last_mut(members, name) {
            Some(value) if !value.is_absent() || DATA_RESIDENCY.contains(&name) => Self::Member(name, value),
            _ => Self::Absent,
        }
    }

    fn text(&self, expected: &'static str) -> Result<&str, FieldFault> {
        match self {
            Self::Member(_, FieldValue::Text(text)) => Ok(text),
            Self::Absent => Err(FieldFault::missing()),
            Self::Member(..) | Self::Members(_) => Err(FieldFault::invalid(expected)),
        }
    }

    fn members(self) -> Result<&'m mut Members<'a>, FieldFault> {
        match self {
            Self::Members(members) | Self::Member(_, FieldValue::Object(members)) => Ok(members),
            Self::Absent => Err(FieldFault::missing()),
            Self::Member(..) => Err(FieldFault::invalid(OBJECT)),
        }
    }

    /// Programs write 0001 or 1970 for an instant that was never set.
    fn instant(&self) -> Result<Timestamp, FieldFault> {
        let instant = match self {
            Self::Member(_, value) => instant_of(value).map_err(FieldFault::invalid)?,
            Self::Absent | Self::Members(_) => None,
        };
        match instant {
            Some(instant) if instant.as_millis() < EARLIEST_MS => Err(FieldFault::invalid(EARLY)),
            instant => instant.ok_or_else(FieldFault::missing),
        }
    }

    fn setting(self) -> Cow<'static, str> {
        match self {
            Self::Member(_, value) => value.to_canonical(),
            Self::Absent | Self::Members(_) => "".into(),
        }
    }
}

impl<'de> Deserializer<'de> for FieldReader<'_, 'de> {
    type Error = FieldFault;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldFault> {
        Err(FieldFault::custom("a domain type says what it reads"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        let is_absent = match &self {
            Self::Member("dataResidency", FieldValue::Object(members)) => {
                !members.iter().any(|(name, _)| DATA_RESIDENCY.contains(&&**name))
            }
            Self::Absent | Self::Member("dataResidency", _) => true,
            Self::Member(name, FieldValue::Text(text)) => text.is_empty() && EMPTY_IS_ABSENT.contains(name),
            Self::Member(..) | Self::Members(_) => false,
        };
        if is_absent { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// Free text, which is kept without secrets.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        let Self::Member(name, value) = self else { return Err(FieldFault::missing()) };
        let is_url = name == BASE_URL;
        let expected = if is_url { URL } else { TEXT };
        let FieldValue::Text(text) = value else { return Err(FieldFault::invalid(expected)) };
        let kept = match redact::text(text) {
            Cow::Owned(redacted) => redacted,
            Cow::Borrowed(_) => std::mem::take(text).into_owned(),
        };
        if is_url && !is_absolute_http(&kept) {
            Err(FieldFault::invalid(URL))
        } else {
            visitor.visit_string(kept)
        }
    }

    /// The days of a policy.
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        let Self::Member(name, value) = self else { return Err(FieldFault::missing()) };
        let (least, expected) = if name == "days" { (1, DAYS) } else { (0, GRACE_DAYS) };
        let days = match value {
            FieldValue::Whole(days) => u32::try_from(*days).ok(),
            _ => None,
        };
        let days = days.filter(|days| (least..=POLICY_MAX_DAYS).contains(days));
        days.ok_or_else(|| FieldFault::invalid(expected)).and_then(|days| visitor.visit_u32(days))
    }

    /// Types over text check it themselves, but for tokens.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldFault> {
        match name {
            "Timestamp" => visitor.visit_newtype_struct(I64Deserializer::new(self.instant()?.as_millis())),
            "Setting" => visitor.visit_newtype_struct(self.setting().into_deserializer()),
            "Realm" => visit_text(self.text(REALM)?, visitor, |text| match Realm::parse(text) {
                Err(InvalidRealm::Nothing) => NO_REALM,
                Ok(_) | Err(InvalidRealm::NotAKey) => REALM,
            }),
            "Evidence" => {
                let text = self.text(TEXT)?;
                if let Cow::Owned(_) = redact::text(text) {
                    return Err(FieldFault::invalid(EVIDENCE_WITHOUT_TOKEN));
                }
                visit_text(text, visitor, |_| EVIDENCE)
            }
            key => {
                let expected = if key == "MigrationId" { MIGRATION } else { KEY };
                let text = self.text(expected)?;
                if redact::is_tainted_key(text) {
                    return Err(FieldFault::invalid(KEY_WITHOUT_TOKEN));
                }
                visit_text(text, visitor, |_| expected)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldFault> {
        let members = self.members()?;
        let value = visitor.visit_seq(ServedFields { members: &mut *members, names: names.iter() })?;
        match OTHER_INSTALLATION.iter().find(|other| names == other.as_slice()) {
            Some([client, app]) if is_own(members, client, app) => {
                Err(FieldFault::invalid(OWN_INSTALLATION).under(client))
            }
            _ => Ok(value),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldFault> {
        let entries = match self {
            Self::Member(_, FieldValue::Object(members)) => members.iter_mut(),
            Self::Absent => [].iter_mut(),
            Self::Member(..) | Self::Members(_) => return Err(FieldFault::invalid(OBJECT)),
        };
        let mut regions = Regions { entries, key: "", value: None, is_read: false };
        let map = visitor.visit_map(&mut regions);
        // Both were read, so the map refused the key.
        if regions.is_read {
            map.map_err(|_| FieldFault::invalid(REGION_TWICE).under(regions.key))
        } else {
            map
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldFault> {
        if !is_tag(name) {
            let text = self.text(TEXT)?;
            let choice = StrDeserializer::<FieldFault>::new(text);
            return visitor.visit_enum(choice).map_err(|_| not_one_of(variants));
        }
        visitor.visit_enum(Choice { tag: name, variants, members: self.members()? })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct seq tuple
        tuple_struct identifier ignored_any
    }
}

fn visit_text<'de, V: Visitor<'de>>(
    text: &str,
    visitor: V,
    expected: impl FnOnce(&str) -> &'static str,
) -> Result<V::Value, FieldFault> {
    let read = visitor.visit_newtype_struct(StrDeserializer::<FieldFault>::new(text));
    read.map_err(|_| FieldFault::invalid(expected(text)))
}

/// Whether the other installation is the event's own.
fn is_own(members: &Members<'_>, client: &str, app: &str) -> bool {
    let is_same = |other: &str, own: &str| last(members, other) == last(members, own);
    is_same(client, "clientKey") && (is_absent(members, app) || is_same(app, "appKey"))
}

fn not_one_of(words: &[&str]) -> FieldFault {
    let (last, first) = words.split_last().unwrap_or((&"", &[]));
    FieldFault::invalid(format!("expected {} or {last}", first.join(", ")))
}

/// The fields of a type in its order, whether they are there or not.
struct ServedFields<'m, 'a> {
    members: &'m mut Members<'a>,
    names: slice::Iter<'static, &'static str>,
}

impl<'de> SeqAccess<'de> for ServedFields<'_, 'de> {
    type Error = FieldFault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, FieldFault> {
        let Some(&name) = self.names.next() else { return Ok(None) };
        let reader = match name {
            "" => FieldReader::Members(self.members),
            "fromAppKey" | "toAppKey" if is_absent(self.members, name) => {
                FieldReader::member(self.members, "appKey")
            }
            name => FieldReader::member(self.members, name),
        };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.under(name))
    }
}

/// The URLs of regions, in the sender's order.
struct Regions<'m, 'a> {
    entries: slice::IterMut<'m, (Cow<'a, str>, FieldValue<'a>)>,
    key: &'m str,
    value: Option<&'m mut FieldValue<'a>>,
    is_read: bool,
}

impl Regions<'_, '_> {
    /// The fault, with the path of the region's URL. A key that cannot be a realm's is not repeated: it may be anything.
    fn at_key(&self, fault: FieldFault) -> FieldFault {
        if Realm::parse(self.key) == Err(InvalidRealm::NotAKey) { fault } else { fault.under(self.key) }
    }
}

impl<'de> MapAccess<'de> for Regions<'_, 'de> {
    type Error = FieldFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldFault> {
        self.is_read = false;
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        (self.key, self.value) = (key, Some(value));
        if Realm::parse(self.key).is_ok_and(|realm| realm != Realm::GLOBAL) {
            return seed.deserialize(StrDeserializer::<FieldFault>::new(self.key)).map(Some);
        }
        Err(self.at_key(FieldFault::invalid(REGION)))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, FieldFault> {
        let reader = match self.value.take() {
            Some(value) if !value.is_absent() => FieldReader::Member(BASE_URL, value),
            _ => FieldReader::Absent,
        };
        let url = seed.deserialize(reader).map_err(|fault| self.at_key(fault))?;
        self.is_read = true;
        Ok(url)
    }
}

/// A choice with fields.
struct Choice<'m, 'a> {
    /// The member that holds the variant.
    tag: &'static str,
    variants: &'static [&'static str],
    members: &'m mut Members<'a>,
}

impl Choice<'_, '_> {
    fn unknown(&self) -> FieldFault {
        if self.tag == "type" {
            FieldFault::new(Reason::UnsupportedType, UNSUPPORTED)
        } else {
            not_one_of(self.variants)
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_, 'de> {
    type Error = FieldFault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), FieldFault> {
        let variant = match last(self.members, self.tag) {
            None | Some(FieldValue::Absent | FieldValue::Null) => Err(FieldFault::missing()),
            Some(FieldValue::Text(text)) => {
                let variant = seed.deserialize(StrDeserializer::<FieldFault>::new(text));
                variant.map_err(|_| self.unknown())
            }
            Some(_) if self.tag == "mode" => Err(self.unknown()),
            Some(_) => Err(FieldFault::invalid(TEXT)),
        };
        let variant = variant.map_err(|fault| fault.under(self.tag))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_, 'de> {
    type Error = FieldFault;

    fn unit_variant(self) -> Result<(), FieldFault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, FieldFault> {
        seed.deserialize(FieldReader::Members(self.members))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, FieldFault> {
        Err(FieldFault::custom("the fields of a variant have names"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldFault> {
        FieldReader::Members(self.members).deserialize_struct("", names, visitor)
    }
}
