//! What the ledger knows of a message, by where it stands: all that quarantine keeps.

use ledger_core::realm::{InvalidRealm, Realm};

use crate::decode::Field;

/// An object that the ledger reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The whole value: a native event, a `CloudEvent`, or the data of one in binary mode.
    Message,
    /// The data of a structured `CloudEvent`.
    Data,
    Descriptor,
    Regions,
    Residency,
    Policy,
}

/// What a member is to the decoder, and so what may be kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// Names something: as it is or not at all, since another key would be another event.
    Key,
    /// A text or number.
    Scalar,
    Object(Place),
    /// Anything at all, of which events keep everything but the secrets.
    Setting,
    /// Nothing that the ledger reads.
    Unknown,
}

/// What the member of this name is.
pub(super) fn member(place: Place, name: &str) -> Member {
    match (place, name) {
        (Place::Message, "data") => Member::Object(Place::Data),
        (Place::Message, _) => match attribute(name) {
            Member::Unknown => field(name),
            attribute => attribute,
        },
        (Place::Data, _) => field(name),
        (Place::Descriptor, "version" | "baseUrl") | (Place::Policy, "mode" | "days" | "graceDays") => {
            Member::Scalar
        }
        (Place::Descriptor, "regionBaseUrls") => Member::Object(Place::Regions),
        (Place::Descriptor, "dataResidency") => Member::Object(Place::Residency),
        (Place::Residency, "realmPersistence" | "realmPersistenceDays") => Member::Setting,
        (Place::Regions, region) if Realm::parse(region) != Err(InvalidRealm::NotAKey) => Member::Scalar,
        (Place::Descriptor | Place::Regions | Place::Residency | Place::Policy, _) => Member::Unknown,
    }
}

/// What the attribute of a `CloudEvent` is.
pub(super) fn attribute(name: &str) -> Member {
    match name {
        "id" | "subject" | "appkey" => Member::Key,
        "specversion" | "type" | "source" | "time" | "endpointrealm" | "productrealm" | "datacontenttype" => {
            Member::Scalar
        }
        _ => Member::Unknown,
    }
}

fn field(name: &str) -> Member {
    use Field::{
        Action, Actor, AppKey, ClientKey, ConnectBaseUrl, ConnectKey, Descriptor, EndTime, EndpointRealm,
        EntitlementId, Evidence, FromAppKey, FromClientKey, FromRealm, HookLocation, Id, InstallationId,
        MigrationId, Policy, ProductRealm, Realm, Reason, SiteUrl, SourceRealm, StartTime, State,
        TargetRealm, Time, ToAppKey, ToClientKey, Type,
    };
    match Field::from_name(name) {
        Some(
            Id | ClientKey | AppKey | MigrationId | ConnectKey | FromClientKey | FromAppKey | ToClientKey
            | ToAppKey,
        ) => Member::Key,
        Some(Descriptor) => Member::Object(Place::Descriptor),
        Some(Policy) => Member::Object(Place::Policy),
        Some(
            Type | Time | Actor | Reason | EndpointRealm | ProductRealm | TargetRealm | SourceRealm | Realm
            | FromRealm | StartTime | EndTime | Action | State | Evidence | InstallationId | EntitlementId
            | SiteUrl | ConnectBaseUrl | HookLocation,
        ) => Member::Scalar,
        // Of lines that are imported.
        None if name == "recordedAt" => Member::Scalar,
        None => Member::Unknown,
    }
}

/// How many letters a name may be off to be a known one misspelled.
const MISSPELLED_MAX: usize = 2;

/// Whether an unknown name is a known one, misspelled: what an operator looks for when a field is missing.
/// Every other name may be a secret as much as a value.
pub(super) fn is_misspelled(name: &str) -> bool {
    let plain = |name: &str| name.replace(['-', '_', '.', ' '], "").to_ascii_lowercase();
    let known = Field::ALL.iter().map(|field| field.name()).chain([
        "specversion",
        "subject",
        "datacontenttype",
        "data_base64",
        "version",
        "regionBaseUrls",
        "dataResidency",
        "realmPersistence",
        "realmPersistenceDays",
        "graceDays",
    ]);
    let given = plain(name);
    known.map(plain).any(|known| {
        // A word of few letters is near to too many others.
        let off = if known.len() < 6 { 0 } else { MISSPELLED_MAX };
        given.len().abs_diff(known.len()) <= off && strsim::damerau_levenshtein(&given, &known) <= off
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_nearly_known_is_a_misspelling() {
        for name in ["clientkey", "client_key", "clientKye", "ID", "App-Key", "endpoitRealm", "data_base64"] {
            assert!(is_misspelled(name), "{name}");
        }
        for name in ["", "idx", "canary", "Authorization: Basic canary", "s3cr3t", "x-type", "clientKeyABC"] {
            assert!(!is_misspelled(name), "{name}");
        }
    }

    #[test]
    fn a_place_knows_its_own_members_only() {
        assert_eq!(member(Place::Message, "data"), Member::Object(Place::Data));
        assert_eq!(member(Place::Data, "data"), Member::Unknown);
        assert_eq!(member(Place::Data, "specversion"), Member::Unknown);
        assert_eq!(member(Place::Policy, "id"), Member::Unknown);
        assert_eq!(member(Place::Regions, "eu"), Member::Scalar);
        assert_eq!(member(Place::Regions, "e u"), Member::Unknown);
    }
}
