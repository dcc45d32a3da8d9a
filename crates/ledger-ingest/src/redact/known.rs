//! What the ledger knows of a message, by where it stands: all that quarantine keeps.

use std::borrow::Cow;

use ledger_core::realm::{InvalidRealm, Realm};

use crate::decode::Field;
use crate::redact::{REMOVED, is_secret_name};

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

/// Longest name that is kept.
const NAME_MAX_BYTES: usize = 48;

/// Digits in a name that is kept: keys and tokens have more of them.
const NAME_MAX_DIGITS: usize = 3;

/// Whether a name that the ledger does not know may be kept, for the diagnosis of what a producer sends: a word of a
/// program. Every other name may be a secret as much as a value.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.starts_with(|sign: char| sign.is_ascii_alphabetic() || matches!(sign, '_' | '$' | '@'))
        && name.chars().all(is_of_word)
        && is_short(name)
        && !is_secret_name(name)
}

/// Names in the envelopes of Kafka Connect and Debezium, beside those of an event.
const OF_ENVELOPES: [&str; 8] = ["schema", "payload", "fields", "before", "after", "op", "source", "ts_ms"];

/// Whether a name below a member that the ledger does not know tells what kind of envelope that is.
pub(super) fn is_name_in_envelope(name: &str) -> bool {
    OF_ENVELOPES.contains(&name) || !matches!(member(Place::Message, name), Member::Unknown)
}

/// The name of a header, for the same purpose: with what is not seen escaped, also one that says that its value is a
/// secret; `***` for one that may be a secret itself.
pub(super) fn header_name(name: &str) -> Cow<'_, str> {
    let is_unseen = |sign: char| sign.is_control() || !sign.is_ascii();
    let is_of_token =
        |sign: char| is_of_word(sign) || matches!(sign, '[' | ']' | '!' | '#' | '%' | '*' | '~');
    if !is_short(name) || !name.chars().all(|sign| is_unseen(sign) || is_of_token(sign)) {
        return Cow::Borrowed(REMOVED);
    }
    if name.contains(is_unseen) { Cow::Owned(name.escape_default().collect()) } else { Cow::Borrowed(name) }
}

fn is_of_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.' | '$' | '@')
}

fn is_short(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name.chars().filter(char::is_ascii_digit).count() <= NAME_MAX_DIGITS
        && !name.starts_with("eyJ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_programs_are_kept_as_names() {
        for name in
            ["clientkey", "client_key", "ID", "App-Key", "payload", "schema", "$type", "@timestamp", "v2"]
        {
            assert!(is_plain_name(name), "{name}");
        }
        for name in
            ["", "to canary", "Authorization: Basic canary", "s3cr3tK3y5", "x-api-key", "4711", "schlüssel"]
        {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(!is_plain_name("eyJjYW5hcnkiOjF9.Y2FuYXJ5LWNhbmFyeQ.canarycanarycanary"));
    }

    #[test]
    fn names_of_headers_are_kept_unless_they_may_be_secrets() {
        for (name, kept) in [
            ("X-Secret-Token", "X-Secret-Token"),
            ("x-\u{1b}[2Jtrace", "x-\\u{1b}[2Jtrace"),
            ("schlüssel", "schl\\u{fc}ssel"),
            ("Authorization: Basic canary", "***"),
            ("Bearer canary", "***"),
            ("s3cr3tK3y5", "***"),
            ("eyJjYW5h.Y2Fu.canary", "***"),
        ] {
            assert_eq!(header_name(name), kept);
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
