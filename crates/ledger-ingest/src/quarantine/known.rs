//! The members that the ledger knows, by the object that they are in: all that quarantine keeps.

use std::borrow::Cow;

use ledger_core::realm::{InvalidRealm, Realm};

use crate::decode::known_field;
use crate::redact::{REMOVED, is_secret_name};

/// An object that the ledger reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownObject {
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
pub(super) enum MemberKind {
    /// Names something: as it is or not at all, since another key would be another event.
    Key,
    /// A text or number.
    Scalar,
    Object(KnownObject),
    /// Anything at all, of which events keep everything but the secrets.
    Setting,
    /// Nothing that the ledger reads.
    Unknown,
}

/// What the member of this name is.
pub(super) fn member(place: KnownObject, name: &str) -> MemberKind {
    match (place, name) {
        (KnownObject::Message, "data") => MemberKind::Object(KnownObject::Data),
        (KnownObject::Message, _) => match attribute(name) {
            MemberKind::Unknown => field(name),
            attribute => attribute,
        },
        (KnownObject::Data, _) => field(name),
        (KnownObject::Descriptor, "version" | "baseUrl")
        | (KnownObject::Policy, "mode" | "days" | "graceDays") => MemberKind::Scalar,
        (KnownObject::Descriptor, "regionBaseUrls") => MemberKind::Object(KnownObject::Regions),
        (KnownObject::Descriptor, "dataResidency") => MemberKind::Object(KnownObject::Residency),
        (KnownObject::Residency, "realmPersistence" | "realmPersistenceDays") => MemberKind::Setting,
        (KnownObject::Regions, region) if Realm::parse(region) != Err(InvalidRealm::NotAKey) => {
            MemberKind::Scalar
        }
        (
            KnownObject::Descriptor | KnownObject::Regions | KnownObject::Residency | KnownObject::Policy,
            _,
        ) => MemberKind::Unknown,
    }
}

/// What the attribute of a `CloudEvent` is.
pub(super) fn attribute(name: &str) -> MemberKind {
    match name {
        "id" | "subject" | "appkey" => MemberKind::Key,
        "specversion" | "type" | "source" | "time" | "endpointrealm" | "productrealm" | "datacontenttype" => {
            MemberKind::Scalar
        }
        _ => MemberKind::Unknown,
    }
}

fn field(name: &str) -> MemberKind {
    match name {
        "id" | "migrationId" | "key" => MemberKind::Key,
        "descriptor" => MemberKind::Object(KnownObject::Descriptor),
        "policy" => MemberKind::Object(KnownObject::Policy),
        // Not a field, and of no message as a whole.
        "specversion" => MemberKind::Unknown,
        // Of lines that are imported.
        "recordedAt" => MemberKind::Scalar,
        name => match known_field(name) {
            Some(name) if name.ends_with("Key") => MemberKind::Key,
            Some(_) => MemberKind::Scalar,
            None => MemberKind::Unknown,
        },
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

/// Whether a name below a member that the ledger does not know identifies the kind of envelope.
pub(super) fn is_name_in_envelope(name: &str) -> bool {
    OF_ENVELOPES.contains(&name) || !matches!(member(KnownObject::Message, name), MemberKind::Unknown)
}

/// The name of a header, for the same purpose: with what is not seen escaped, also one of a secret's
/// header; `***` for one that may be a secret itself.
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
        assert_eq!(member(KnownObject::Message, "data"), MemberKind::Object(KnownObject::Data));
        assert_eq!(member(KnownObject::Data, "data"), MemberKind::Unknown);
        assert_eq!(member(KnownObject::Data, "specversion"), MemberKind::Unknown);
        assert_eq!(member(KnownObject::Policy, "id"), MemberKind::Unknown);
        assert_eq!(member(KnownObject::Regions, "eu"), MemberKind::Scalar);
        assert_eq!(member(KnownObject::Regions, "e u"), MemberKind::Unknown);
    }
}
