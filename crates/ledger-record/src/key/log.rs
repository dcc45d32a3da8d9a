//! Keys of the `log` and of the two families that point into it.
//!
//! ```text
//! stream = kind u8 ‖ key ‖ 00       01 tenant (client key) · 02 app (app key)
//!                                   03 rejected (empty) · 04 seals (empty) · 05 succession (empty)
//! log    = stream ‖ seq u64
//! ids    = stream ‖ app key ‖ 00 ‖ event id   of a tenant; the app key is empty for tenant-level events
//!          stream ‖ event id                  of an app
//! ```
//!
//! An event id is unique within its subject: the installation, the tenant or the app. The ids of a tenant's first records
//! have no rows here ([`crate::rows::FirstIds`]).
//!
//! All records of a stream stand together in order of seq, so a tenant's history is one range. The stream
//! and the seq stand in the key only: [`crate::record::Record::decode`] takes them from here.

use ledger_core::event::{Body, Event};
use ledger_core::ids::{AppKey, ClientKey};

use super::{END, KeyError, split_ended_number, text};
use crate::record::Stream;

/// Kind of the streams of tenants; all their keys, in `log` and in `ids`, begin with it.
pub const TENANT: u8 = 1;
/// Kind of the app-level streams.
pub const APP: u8 = 2;
/// Kind of the stream of refused input.
pub const REJECTED: u8 = 3;
/// Kind of the stream of seals.
pub const SEALS: u8 = 4;
/// Kind of the stream of the logs before.
pub const SUCCESSION: u8 = 5;

/// Key of a record: in `log`, and as the value in `positions`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogKey {
    /// Whose log.
    pub stream: Stream,
    /// Dense in the stream, from 1.
    pub seq: u64,
}

impl LogKey {
    /// The key as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        log(&self.stream, self.seq)
    }

    /// Reads a key of `log`, or a value of `positions`.
    pub fn decode(key: &[u8]) -> Result<Self, KeyError> {
        let (stream, seq) = split_ended_number(key)?;
        Ok(Self { stream: parse_stream(stream)?, seq })
    }
}

impl Stream {
    /// The kind, as in keys and in the audit trail.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Tenant(_) => TENANT,
            Self::App(_) => APP,
            Self::Rejected => REJECTED,
            Self::Seals => SEALS,
            Self::Succession => SUCCESSION,
        }
    }

    /// The key, empty for the streams of which a shard has one.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Tenant(client) => client.as_str(),
            Self::App(app) => app.as_str(),
            Self::Rejected | Self::Seals | Self::Succession => "",
        }
    }
}

/// Key of a record.
#[must_use]
pub fn log(stream: &Stream, seq: u64) -> Vec<u8> {
    with_suffix(stream, &seq.to_be_bytes())
}

/// Appends the key of a record.
pub fn append_log(stream: &Stream, seq: u64, out: &mut Vec<u8>) {
    append(stream, &seq.to_be_bytes(), out);
}

/// What the keys of all records, or of all event ids, of a stream begin with, and no others.
#[must_use]
pub fn stream_prefix(stream: &Stream) -> Vec<u8> {
    with_suffix(stream, &[])
}

/// Key of an event's id, whose value is a reference to the seq that it was recorded with.
#[must_use]
pub fn id(event: &Event) -> Vec<u8> {
    let (kind, subject) = match &event.body {
        Body::Installation { client, app, .. } => (TENANT, [client.as_bytes(), &[END], app.as_bytes()]),
        Body::Tenant { client, .. } => (TENANT, [client.as_bytes(), &[END], &[]]),
        Body::App { app, .. } => (APP, [app.as_bytes(), &[], &[]]),
    };
    let id = event.id.as_bytes();
    let length = subject.iter().map(|part| part.len()).sum::<usize>() + id.len() + 2;
    let mut bytes = Vec::with_capacity(length);
    bytes.push(kind);
    for part in subject {
        bytes.extend_from_slice(part);
    }
    bytes.push(END);
    bytes.extend_from_slice(id);
    bytes
}

fn with_suffix(stream: &Stream, suffix: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stream.key().len() + suffix.len() + 2);
    append(stream, suffix, &mut bytes);
    bytes
}

fn append(stream: &Stream, suffix: &[u8], out: &mut Vec<u8>) {
    out.push(stream.kind());
    out.extend_from_slice(stream.key().as_bytes());
    out.push(END);
    out.extend_from_slice(suffix);
}

fn parse_stream(bytes: &[u8]) -> Result<Stream, KeyError> {
    let (&kind, key) = bytes.split_first().ok_or(KeyError::Truncated { length: bytes.len() })?;
    match kind {
        TENANT => Ok(Stream::Tenant(ClientKey::new(text(key)?)?)),
        APP => Ok(Stream::App(AppKey::new(text(key)?)?)),
        REJECTED if key.is_empty() => Ok(Stream::Rejected),
        SEALS if key.is_empty() => Ok(Stream::Seals),
        SUCCESSION if key.is_empty() => Ok(Stream::Succession),
        REJECTED | SEALS | SUCCESSION => Err(KeyError::Divided),
        found => Err(KeyError::UnknownKind { found }),
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::event::{AppFact, InstallationFact, TenantFact};
    use ledger_core::ids::EventId;
    use ledger_core::policy::Policy;
    use ledger_core::realm::Realm;
    use ledger_core::time::Timestamp;

    use super::*;

    fn tenant(key: &str) -> Stream {
        Stream::Tenant(ClientKey::new(key).unwrap())
    }

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(log(&tenant("acme"), 258), b"\x01acme\0\0\0\0\0\0\0\x01\x02");
        assert_eq!(log(&Stream::App(AppKey::new("app").unwrap()), 1), b"\x02app\0\0\0\0\0\0\0\0\x01");
        assert_eq!(log(&Stream::Rejected, u64::MAX), b"\x03\0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(log(&Stream::Seals, 1), b"\x04\0\0\0\0\0\0\0\0\x01");
        assert_eq!(log(&Stream::Succession, 1), b"\x05\0\0\0\0\0\0\0\0\x01");
    }

    #[test]
    fn the_bytes_of_an_id_are_frozen_and_name_its_subject() {
        let (client, app) = (ClientKey::new("acme").unwrap(), AppKey::new("app").unwrap());
        let fact = TenantFact::ProductMoved { product_realm: Realm::GLOBAL };
        for (body, bytes) in [
            (
                Body::Installation {
                    client: client.clone(),
                    app: app.clone(),
                    fact: InstallationFact::Enabled,
                },
                &b"\x01acme\0app\0e-1"[..],
            ),
            (Body::Tenant { client, fact }, b"\x01acme\0\0e-1"),
            (Body::App { app, fact: AppFact::PolicySet { policy: Policy::Off } }, b"\x02app\0e-1"),
        ] {
            let id_of = EventId::new("e-1").unwrap();
            let event = Event { id: id_of, time: Timestamp::from_millis(0), actor: None, reason: None, body };
            assert_eq!(id(&event), bytes);
            assert!(bytes.starts_with(&stream_prefix(&Stream::from_event(&event))));
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        for stream in [
            tenant("größe"),
            Stream::App(AppKey::new("x").unwrap()),
            Stream::Rejected,
            Stream::Seals,
            Stream::Succession,
        ] {
            for seq in [0, 1, u64::MAX] {
                let key = LogKey { stream: stream.clone(), seq };
                assert_eq!(LogKey::decode(&key.encode()), Ok(key));
            }
        }
    }

    #[test]
    fn byte_order_is_stream_then_seq() {
        let ordered = [
            log(&tenant("a"), 1),
            log(&tenant("a"), 256),
            log(&tenant("a b"), 1),
            log(&tenant("a.b"), 1),
            log(&tenant("ab"), 1),
            log(&Stream::App(AppKey::new("a").unwrap()), 1),
            log(&Stream::Rejected, 1),
        ];
        assert!(ordered.is_sorted(), "{ordered:?}");
    }

    #[test]
    fn a_prefix_belongs_to_one_stream() {
        let prefix = stream_prefix(&tenant("a"));
        assert!(log(&tenant("a"), 1).starts_with(&prefix));
        assert!(!log(&tenant("a.b"), 1).starts_with(&prefix));
        assert!(!log(&Stream::App(AppKey::new("a").unwrap()), 1).starts_with(&prefix));
    }

    #[test]
    fn refuses_what_is_no_key() {
        let good = log(&tenant("acme"), 7);
        for length in 0..good.len() {
            assert!(LogKey::decode(&good[..length]).is_err(), "{length}");
        }
        let refused: [&[u8]; 7] = [
            b"\x00acme\0\0\0\0\0\0\0\0\x01",
            b"\x06\0\0\0\0\0\0\0\0\x01",
            b"\x05acme\0\0\0\0\0\0\0\0\x01",
            b"\x04acme\0\0\0\0\0\0\0\0\x01",
            b"\x03acme\0\0\0\0\0\0\0\0\x01",
            b"\x01\0\0\0\0\0\0\0\0\x01",
            b"\x01ac\0me\0\0\0\0\0\0\0\0\x01",
        ];
        for key in refused {
            assert!(LogKey::decode(key).is_err(), "{key:?}");
        }
    }
}
