//! The residency part of a Connect descriptor, and how it is read (rules 4, RFC-22).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::anomaly::AnomalyCode;
use crate::limits::{DESCRIPTOR_DEFAULT_DAYS, DESCRIPTOR_MAX_DAYS};
use crate::realm::Realm;
use crate::words::{read_map, read_text};

/// Where an app is served, and what it declares about persistence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The partner's own version, free text.
    pub version: Option<String>,
    /// Serves `GLOBAL`.
    pub base_url: String,
    /// Serves the regions; never holds `GLOBAL`.
    #[serde(default, deserialize_with = "read_map")]
    pub region_base_urls: BTreeMap<Realm, String>,
    /// The persistence block; absent when it is no object or has neither key.
    pub data_residency: Option<DataResidency>,
}

/// The two keys of `dataResidency`, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataResidency {
    /// `realmPersistence`
    #[serde(default)]
    pub realm_persistence: Setting,
    /// `realmPersistenceDays`
    #[serde(default)]
    pub realm_persistence_days: Setting,
}

/// A JSON value that people write in many ways; kept so that a repeat can be told from a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Setting {
    /// The key is not there.
    #[default]
    Absent,
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number of whole value: `14`, `14.0`, `1.4e1`.
    Whole(i64),
    /// Anything else, as canonical JSON text (keys sorted, numbers by value).
    Other(String),
}

impl Setting {
    /// The value as canonical JSON text; empty for what is not there.
    #[must_use]
    pub fn to_json(&self) -> Cow<'_, str> {
        match self {
            Self::Absent => "".into(),
            Self::Null => "null".into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Whole(number) => number.to_string().into(),
            Self::Other(text) => text.into(),
        }
    }

    /// The value of canonical JSON text.
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        match text {
            "" => Self::Absent,
            "null" => Self::Null,
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => {
                let whole = text.parse().ok().filter(|number: &i64| number.to_string() == text);
                whole.map_or_else(|| Self::Other(text.to_owned()), Self::Whole)
            }
        }
    }
}

/// The name under which serde hears of a setting: a format whose values are JSON writes it as the value that its text
/// is.
const SETTING: &str = "Setting";

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(SETTING, &self.to_json())
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Json;

        impl<'de> Visitor<'de> for Json {
            type Value = Setting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, text: D) -> Result<Setting, D::Error> {
                read_text(text, |text| Ok::<_, fmt::Error>(Setting::from_json(text)))
            }
        }

        deserializer.deserialize_newtype_struct(SETTING, Json)
    }
}

/// What a descriptor grants, and what was odd about the way it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Days of persistence, or none.
    pub days: Option<u32>,
    /// The block was invalid.
    pub anomaly: Option<AnomalyCode>,
}

impl Descriptor {
    /// The URL that serves a realm.
    #[must_use]
    pub fn url_of(&self, realm: Realm) -> Option<&str> {
        if realm == Realm::GLOBAL {
            return Some(&self.base_url);
        }
        self.region_base_urls.get(&realm).map(String::as_str)
    }

    /// The persistence that the descriptor declares (rules 4).
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        let off = Persistence { days: None, anomaly: None };
        let Some(block) = &self.data_residency else {
            return off;
        };
        match block.realm_persistence {
            Setting::Absent | Setting::Bool(false) => off,
            Setting::Bool(true) => days_of(&block.realm_persistence_days),
            Setting::Null | Setting::Whole(_) | Setting::Other(_) => {
                Persistence { days: None, anomaly: Some(AnomalyCode::InvalidRealmPersistence) }
            }
        }
    }
}

fn days_of(setting: &Setting) -> Persistence {
    let anomaly = match setting {
        Setting::Absent => None,
        Setting::Whole(days) if (1..=DESCRIPTOR_MAX_DAYS).contains(days) => {
            return Persistence { days: u32::try_from(*days).ok(), anomaly: None };
        }
        _ => Some(AnomalyCode::InvalidRealmPersistenceDays),
    };
    Persistence { days: Some(DESCRIPTOR_DEFAULT_DAYS), anomaly }
}

/// Where the product's realm would put the app (rules 6): unknown when either is unknown.
#[must_use]
pub fn aligned(product: Option<Realm>, descriptor: Option<&Descriptor>) -> Option<Realm> {
    let (product, descriptor) = (product?, descriptor?);
    Some(if descriptor.url_of(product).is_some() { product } else { Realm::GLOBAL })
}
