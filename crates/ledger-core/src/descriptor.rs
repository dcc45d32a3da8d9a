//! The residency part of a Connect descriptor, and how it is read (rules 4, RFC-22).

use std::collections::BTreeMap;

use crate::limits::{DESCRIPTOR_DEFAULT_DAYS, DESCRIPTOR_MAX_DAYS};
use crate::realm::Realm;
use crate::state::AnomalyCode;

/// Where an app is served, and what it declares about persistence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The partner's own version, free text.
    pub version: Option<String>,
    /// Serves `GLOBAL`.
    pub base_url: String,
    /// Serves the regions; never holds `GLOBAL`.
    pub region_base_urls: BTreeMap<Realm, String>,
    /// The persistence block; absent when it is no object or has neither key.
    pub data_residency: Option<DataResidency>,
}

/// The two keys of `dataResidency`, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataResidency {
    /// `realmPersistence`
    pub realm_persistence: Setting,
    /// `realmPersistenceDays`
    pub realm_persistence_days: Setting,
}

/// A JSON value that people write in many ways; kept so that a repeat can be told from a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The key is not there.
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
