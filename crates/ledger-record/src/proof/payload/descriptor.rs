//! The payload of a descriptor, and of a policy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use serde::{Deserialize, Deserializer, Serialize};

use super::word;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescriptorFields<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    base_url: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    region_base_urls: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_residency: Option<ResidencyFields<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResidencyFields<'a> {
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    realm_persistence: Option<SettingField<'a>>,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    realm_persistence_days: Option<SettingField<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum SettingField<'a> {
    Null(()),
    Bool(bool),
    Whole(i64),
    Other { json: Cow<'a, str> },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum PolicyFields {
    Descriptor,
    Off,
    Days { days: u32 },
    Indefinite,
    Subscription { grace_days: u32 },
}

/// A `null` here is a value, not an absence.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SettingField<'static>>, D::Error> {
    SettingField::deserialize(deserializer).map(Some)
}

impl<'a> DescriptorFields<'a> {
    pub(super) fn of(descriptor: &'a Descriptor) -> Self {
        let urls = descriptor.region_base_urls.iter();
        let residency = descriptor.data_residency.as_ref();
        Self {
            version: descriptor.version.as_deref().map(Cow::from),
            base_url: descriptor.base_url.as_str().into(),
            region_base_urls: urls.map(|(region, url)| (word(region), url.as_str().into())).collect(),
            data_residency: residency.map(|block| ResidencyFields {
                realm_persistence: SettingField::of(&block.realm_persistence),
                realm_persistence_days: SettingField::of(&block.realm_persistence_days),
            }),
        }
    }

    pub(super) fn restore(self) -> Option<Descriptor> {
        let urls = self.region_base_urls.into_iter();
        Some(Descriptor {
            version: self.version.map(Cow::into_owned),
            base_url: self.base_url.into_owned(),
            region_base_urls: urls
                .map(|(region, url)| Some((Realm::parse(&region).ok()?, url.into_owned())))
                .collect::<Option<_>>()?,
            data_residency: self.data_residency.map(|block| DataResidency {
                realm_persistence: SettingField::restore(block.realm_persistence),
                realm_persistence_days: SettingField::restore(block.realm_persistence_days),
            }),
        })
    }
}

impl<'a> SettingField<'a> {
    fn of(setting: &'a Setting) -> Option<Self> {
        Some(match setting {
            Setting::Absent => return None,
            Setting::Null => Self::Null(()),
            Setting::Bool(flag) => Self::Bool(*flag),
            Setting::Whole(number) => Self::Whole(*number),
            Setting::Other(json) => Self::Other { json: json.as_str().into() },
        })
    }

    fn restore(field: Option<Self>) -> Setting {
        match field {
            None => Setting::Absent,
            Some(Self::Null(())) => Setting::Null,
            Some(Self::Bool(flag)) => Setting::Bool(flag),
            Some(Self::Whole(number)) => Setting::Whole(number),
            Some(Self::Other { json }) => Setting::Other(json.into_owned()),
        }
    }
}

impl PolicyFields {
    pub(super) const fn of(policy: Policy) -> Self {
        match policy {
            Policy::Descriptor => Self::Descriptor,
            Policy::Off => Self::Off,
            Policy::Days { days } => Self::Days { days },
            Policy::Indefinite => Self::Indefinite,
            Policy::Subscription { grace_days } => Self::Subscription { grace_days },
        }
    }

    pub(super) const fn restore(self) -> Policy {
        match self {
            Self::Descriptor => Policy::Descriptor,
            Self::Off => Policy::Off,
            Self::Days { days } => Policy::Days { days },
            Self::Indefinite => Policy::Indefinite,
            Self::Subscription { grace_days } => Policy::Subscription { grace_days },
        }
    }
}
