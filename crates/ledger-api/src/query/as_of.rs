//! As of when a question is asked, as its parameters.

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_store::KnowledgeBound;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Scope;
use super::parameters::text;
use crate::ledger::Viewpoint;

/// What was true of a tenant at an instant, as far as it was known (rules 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsOf {
    /// Events up to and with this time; now unless given.
    #[serde(with = "text")]
    pub at: Option<Timestamp>,
    /// Recorded so far: `knownAt` or `knownSeq`.
    #[serde(with = "known")]
    pub known: KnowledgeBound,
    /// The answer must include the record with this position in the tenant's shard.
    pub min_position: Option<u64>,
}

/// The same for all tenants: a seq counts within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsOfAll {
    /// Events up to and with this time; now unless given.
    #[serde(with = "text")]
    pub at: Option<Timestamp>,
    /// Recorded up to this instant; everything unless given.
    #[serde(with = "text")]
    pub known_at: Option<Timestamp>,
}

impl Default for AsOf {
    /// Now, and everything recorded.
    fn default() -> Self {
        Self { at: None, known: KnowledgeBound::All, min_position: None }
    }
}

impl From<AsOfAll> for AsOf {
    fn from(AsOfAll { at, known_at }: AsOfAll) -> Self {
        Self { at, known: known_at.map_or(KnowledgeBound::All, KnowledgeBound::Recorded), min_position: None }
    }
}

impl AsOf {
    pub(super) fn viewpoint(&self, now: Timestamp) -> Viewpoint {
        Viewpoint { at: self.at.unwrap_or(now), known: self.known }
    }

    /// Whether it is another instant than now, or less than is known.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.at.is_some() || self.known != KnowledgeBound::All
    }

    pub(super) const fn of<'q>(&'q self, client: &'q ClientKey) -> Scope<'q> {
        Scope::Tenant(client, self)
    }
}

impl AsOfAll {
    pub(super) fn viewpoint(self, now: Timestamp) -> Viewpoint {
        AsOf::from(self).viewpoint(now)
    }

    pub(super) const fn scope(self) -> Scope<'static> {
        Scope::All { is_past: self.at.is_some() || self.known_at.is_some() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnownParameters {
    #[serde(with = "text")]
    known_at: Option<Timestamp>,
    known_seq: Option<u64>,
}

mod known {
    use super::{
        Deserialize as _, Deserializer, KnowledgeBound, KnownParameters, Serialize as _, Serializer, de,
    };

    pub(super) fn serialize<S: Serializer>(known: &KnowledgeBound, to: S) -> Result<S::Ok, S::Error> {
        let (known_at, known_seq) = match *known {
            KnowledgeBound::All => (None, None),
            KnowledgeBound::Recorded(instant) => (Some(instant), None),
            KnowledgeBound::Seq(seq) => (None, Some(seq)),
        };
        KnownParameters { known_at, known_seq }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KnowledgeBound, D::Error> {
        let KnownParameters { known_at, known_seq } = KnownParameters::deserialize(from)?;
        match (known_at, known_seq) {
            (None, None) => Ok(KnowledgeBound::All),
            (Some(instant), None) => Ok(KnowledgeBound::Recorded(instant)),
            (None, Some(seq)) => Ok(KnowledgeBound::Seq(seq)),
            (Some(_), Some(_)) => {
                Err(de::Error::custom("knownAt and knownSeq say the same thing in two ways; give one"))
            }
        }
    }
}
