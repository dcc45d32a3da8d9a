//! A record. Its stream and seq stand in its key; whether an event, a refusal or a seal follows the head is
//! told by the kind of its stream.
//!
//! ```text
//! event    version ‖ Head ‖ Logged ‖ Outcome
//! refusal  version ‖ Head ‖ Refused
//! seal     version ‖ Head ‖ Seal
//! succession  version ‖ Head ‖ Succession
//! ```

use bincode::{BorrowDecode, Encode};
use ledger_core::event;
use ledger_core::time::Timestamp;

use crate::codec::DecodeError;
use crate::proof::Hash;
use crate::record::{self, Stream};
use crate::rejection::{self, Reason, Rejection};
use crate::stored::parts::{Code, Instant, List, Text, instant, owned, tagged};
use crate::stored::v1::event::Event;

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Head<'a> {
    pub(crate) position: u64,
    pub(crate) recorded: Instant,
    source: Source<'a>,
    pub(crate) rules: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Source<'a> {
    name: Text<'a>,
    partition: u32,
    offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Logged<'a> {
    time_defaulted: bool,
    event: Event<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Refused<'a> {
    reason: Code<Reason>,
    path: Option<Text<'a>>,
    detail: Text<'a>,
    key: Option<Text<'a>>,
    headers: List<Header<'a>>,
    source_time: Option<Instant>,
    body: Body<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Header<'a> {
    name: Text<'a>,
    value: Text<'a>,
}

tagged! {
    enum Body<'a> {
        1 => Absent(()),
        2 => Json(Text<'a>),
        3 => Digest(Digest),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
struct Digest {
    sha256: [u8; 32],
    length_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Seal {
    map_root: [u8; 32],
    streams: u64,
    duplicates: u64,
    refused: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, BorrowDecode)]
pub(crate) struct Succession {
    root: [u8; 32],
}

impl Succession {
    pub(crate) const fn of(root: Hash) -> Self {
        Self { root: root.0 }
    }

    pub(crate) const fn restore(self) -> Hash {
        Hash(self.root)
    }
}

impl Seal {
    pub(crate) fn of(seal: &record::Seal) -> Self {
        let record::Seal { map_root, streams, duplicates, refused } = *seal;
        Self { map_root: map_root.0, streams, duplicates, refused }
    }

    pub(crate) fn restore(self) -> record::Seal {
        let Self { map_root, streams, duplicates, refused } = self;
        record::Seal { map_root: Hash(map_root), streams, duplicates, refused }
    }
}

impl<'a> Head<'a> {
    pub(crate) fn of(
        position: u64,
        recorded: Timestamp,
        source: &'a record::Coordinates,
        rules: u16,
    ) -> Self {
        let record::Coordinates { source, partition, offset } = source;
        let source = Source { name: Text(source), partition: *partition, offset: *offset };
        Self { position, recorded: Instant(recorded), source, rules }
    }

    pub(crate) fn restore_source(&self) -> record::Coordinates {
        let Source { name, partition, offset } = &self.source;
        record::Coordinates { source: name.0.into(), partition: *partition, offset: *offset }
    }
}

impl<'a> Logged<'a> {
    pub(crate) fn of(event: &'a event::Event, time_defaulted: bool) -> Self {
        Self { time_defaulted, event: Event::of(event) }
    }

    /// The event, and whether its time was defaulted.
    pub(crate) fn restore(self, stream: &Stream) -> Result<(event::Event, bool), DecodeError> {
        Ok((self.event.restore(stream)?, self.time_defaulted))
    }
}

impl<'a> Refused<'a> {
    pub(crate) fn of(refused: &'a rejection::Refused) -> Self {
        let rejection::Refused { rejection, key, headers, source_time, body } = refused;
        let Rejection { reason, path, detail } = rejection;
        Self {
            reason: Code(*reason),
            path: path.as_deref().map(Text),
            detail: Text(detail),
            key: key.as_deref().map(Text),
            headers: headers
                .iter()
                .map(|(name, value)| Header { name: Text(name), value: Text(value) })
                .collect(),
            source_time: source_time.map(Instant),
            body: Body::of(body),
        }
    }

    pub(crate) fn restore(self) -> rejection::Refused {
        let headers = self.headers.0.into_iter();
        rejection::Refused {
            rejection: Rejection {
                reason: self.reason.0,
                path: owned(self.path),
                detail: self.detail.0.to_owned(),
            },
            key: owned(self.key),
            headers: headers.map(|header| (header.name.0.to_owned(), header.value.0.to_owned())).collect(),
            source_time: instant(self.source_time),
            body: self.body.restore(),
        }
    }
}

impl<'a> Body<'a> {
    fn of(body: &'a rejection::RefusedBody) -> Self {
        match body {
            rejection::RefusedBody::Absent => Self::Absent(()),
            rejection::RefusedBody::Json(text) => Self::Json(Text(text)),
            rejection::RefusedBody::Digest { sha256, length_bytes } => {
                Self::Digest(Digest { sha256: *sha256, length_bytes: *length_bytes })
            }
        }
    }

    fn restore(self) -> rejection::RefusedBody {
        match self {
            Self::Absent(()) => rejection::RefusedBody::Absent,
            Self::Json(text) => rejection::RefusedBody::Json(text.0.to_owned()),
            Self::Digest(Digest { sha256, length_bytes }) => {
                rejection::RefusedBody::Digest { sha256, length_bytes }
            }
        }
    }
}
