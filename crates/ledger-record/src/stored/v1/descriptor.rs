//! What an app declares and what is set for it: descriptors, policies.

use bincode::{BorrowDecode, Encode};
use ledger_core::descriptor::{self, DataResidency};
use ledger_core::policy;

use crate::codec::DecodeError;
use crate::stored::parts::{List, Place, Text, owned, tagged};

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Descriptor<'a> {
    version: Option<Text<'a>>,
    base_url: Text<'a>,
    region_base_urls: List<RegionUrl<'a>>,
    data_residency: Option<Residency<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct RegionUrl<'a> {
    region: Place,
    url: Text<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Residency<'a> {
    realm_persistence: Setting<'a>,
    realm_persistence_days: Setting<'a>,
}

tagged! {
    pub(crate) enum Setting<'a> {
        0 => Absent(()),
        1 => Null(()),
        2 => Bool(bool),
        3 => Whole(i64),
        4 => Other(Text<'a>),
    }
}

tagged! {
    pub(crate) enum Policy {
        1 => Descriptor(()),
        2 => Off(()),
        3 => Days(u32),
        4 => Indefinite(()),
        5 => Subscription(u32),
    }
}

impl<'a> Descriptor<'a> {
    pub(super) fn of(descriptor: &'a descriptor::Descriptor) -> Self {
        let descriptor::Descriptor { version, base_url, region_base_urls, data_residency } = descriptor;
        Self {
            version: version.as_deref().map(Text),
            base_url: Text(base_url),
            region_base_urls: region_base_urls
                .iter()
                .map(|(region, url)| RegionUrl { region: Place(*region), url: Text(url) })
                .collect(),
            data_residency: data_residency.as_ref().map(Residency::of),
        }
    }

    pub(super) fn restore(self) -> Result<descriptor::Descriptor, DecodeError> {
        let urls = self.region_base_urls.0;
        if !urls.is_sorted_by(|one, next| one.region.0 < next.region.0) {
            return Err(DecodeError::NotCanonical);
        }
        Ok(descriptor::Descriptor {
            version: owned(self.version),
            base_url: self.base_url.0.to_owned(),
            region_base_urls: urls
                .into_iter()
                .map(|entry| (entry.region.0, entry.url.0.to_owned()))
                .collect(),
            data_residency: self.data_residency.map(Residency::restore),
        })
    }
}

impl<'a> Residency<'a> {
    fn of(block: &'a DataResidency) -> Self {
        let DataResidency { realm_persistence, realm_persistence_days } = block;
        Self {
            realm_persistence: Setting::of(realm_persistence),
            realm_persistence_days: Setting::of(realm_persistence_days),
        }
    }

    fn restore(self) -> DataResidency {
        DataResidency {
            realm_persistence: self.realm_persistence.restore(),
            realm_persistence_days: self.realm_persistence_days.restore(),
        }
    }
}

impl<'a> Setting<'a> {
    fn of(setting: &'a descriptor::Setting) -> Self {
        match setting {
            descriptor::Setting::Absent => Self::Absent(()),
            descriptor::Setting::Null => Self::Null(()),
            descriptor::Setting::Bool(value) => Self::Bool(*value),
            descriptor::Setting::Whole(value) => Self::Whole(*value),
            descriptor::Setting::Other(json) => Self::Other(Text(json)),
        }
    }

    fn restore(self) -> descriptor::Setting {
        match self {
            Self::Absent(()) => descriptor::Setting::Absent,
            Self::Null(()) => descriptor::Setting::Null,
            Self::Bool(value) => descriptor::Setting::Bool(value),
            Self::Whole(value) => descriptor::Setting::Whole(value),
            Self::Other(json) => descriptor::Setting::Other(json.0.to_owned()),
        }
    }
}

impl Policy {
    pub(super) fn of(policy: policy::Policy) -> Self {
        match policy {
            policy::Policy::Descriptor => Self::Descriptor(()),
            policy::Policy::Off => Self::Off(()),
            policy::Policy::Days { days } => Self::Days(days),
            policy::Policy::Indefinite => Self::Indefinite(()),
            policy::Policy::Subscription { grace_days } => Self::Subscription(grace_days),
        }
    }

    pub(super) fn restore(self) -> policy::Policy {
        match self {
            Self::Descriptor(()) => policy::Policy::Descriptor,
            Self::Off(()) => policy::Policy::Off,
            Self::Days(days) => policy::Policy::Days { days },
            Self::Indefinite(()) => policy::Policy::Indefinite,
            Self::Subscription(grace_days) => policy::Policy::Subscription { grace_days },
        }
    }
}
