//! The messages that the reader has taken since it last sent a batch.
//!
//! What a message says is decoded out of librdkafka's buffer. Its bytes are kept beside that, for the one that
//! is refused: which one that is, the writer knows last. Nearly all are thrown away unread, so they lie in one
//! buffer and not each in its own.

use std::ops::Range;

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use ledger_record::rejection::{Refused, Rejection};

use crate::apply::{DecodedMessage, memory_of};
use crate::decode::{Header, Message, decode};
use crate::quarantine;

/// Messages in order, and their bytes.
#[derive(Default)]
pub(super) struct RecordBuffer {
    taken: Vec<(DecodedMessage, MessageParts)>,
    kept: RawBytes,
}

/// Keys, values and headers of messages, one after the other.
#[derive(Default)]
pub(super) struct RawBytes {
    bytes: Vec<u8>,
    /// Name and value.
    headers: Vec<[Range<usize>; 2]>,
}

/// Where the parts of a message are.
pub(super) struct MessageParts {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl RecordBuffer {
    /// The one that follows: about as much fits without growing, which would copy all of it again and again.
    pub(super) fn next(&self) -> Self {
        let RawBytes { bytes, headers } = &self.kept;
        let kept =
            RawBytes { bytes: Vec::with_capacity(bytes.len()), headers: Vec::with_capacity(headers.len()) };
        Self { taken: Vec::with_capacity(self.taken.len()), kept }
    }

    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// About what the messages take in memory, here or as records on their way into the store.
    pub(super) fn bytes(&self) -> usize {
        memory_of(self.taken.len(), self.kept.bytes.len())
    }

    /// Decodes a message and keeps what it may be refused with.
    pub(super) fn take(
        &mut self,
        offset: u64,
        source_time: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        let decoded = decode(&Message { key, value, headers, timestamp: source_time });
        let place = self.kept.keep(key, value, headers);
        self.taken.push((DecodedMessage { offset, source_time, decoded }, place));
    }

    /// Whose the last message is, if it is an event of a tenant.
    pub(super) fn last_client(&self) -> Option<&ClientKey> {
        let (taken, _) = self.taken.last()?;
        taken.decoded.as_ref().ok()?.event()?.client()
    }

    /// Forgets the last message.
    pub(super) fn drop_last(&mut self) {
        self.taken.pop();
    }

    pub(super) fn last_source_time(&self) -> Option<Timestamp> {
        self.taken.last().and_then(|(taken, _)| taken.source_time)
    }

    pub(super) fn into_parts(self) -> (Vec<(DecodedMessage, MessageParts)>, RawBytes) {
        (self.taken, self.kept)
    }
}

impl RawBytes {
    fn keep(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> MessageParts {
        let (key, value) = (key.map(|key| self.add(key)), value.map(|value| self.add(value)));
        let first = self.headers.len();
        for (name, value) in headers {
            let place = [self.add(name.as_bytes()), self.add(value)];
            self.headers.push(place);
        }
        MessageParts { key, value, headers: first..self.headers.len() }
    }

    fn add(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    /// What may be kept of a message that is refused.
    pub(super) fn refused(
        &self,
        place: &MessageParts,
        timestamp: Option<Timestamp>,
        rejection: Rejection,
    ) -> Refused {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let headers = self.headers.get(place.headers.clone()).unwrap_or_default().iter();
        let headers =
            headers.filter_map(|[name, value]| Some((str::from_utf8(part(name)).ok()?, part(value))));
        let (key, value) = (place.key.as_ref().map(part), place.value.as_ref().map(part));
        let headers: Vec<_> = headers.collect();
        quarantine::refused(&Message { key, value, headers: &headers, timestamp }, rejection)
    }
}

#[cfg(test)]
mod tests {
    use ledger_record::rejection::RefusedBody;

    use super::*;

    #[test]
    fn a_refused_message_is_kept_as_it_came_and_not_as_its_neighbour() {
        let mut buffer = RecordBuffer::default();
        let header: Header<'_> = ("content-type", b"application/json");
        buffer.take(4, None, None, None, &[]);
        buffer.take(5, None, Some(b"acme"), Some(br#"{"id":7}"#), &[header]);
        buffer.take(6, None, Some(b"other"), Some(b"{}"), &[]);
        assert_eq!((buffer.len(), buffer.bytes()), (3, 3 * 1024 + 4 * (4 + 8 + 28 + 5 + 2)));
        let (taken, kept) = buffer.into_parts();
        let refused = taken.into_iter().map(|(taken, place)| {
            let refused = kept.refused(&place, taken.source_time, taken.decoded.unwrap_err());
            (refused.key, refused.body, refused.headers.len())
        });
        let json = |text: &str| RefusedBody::Json(text.to_owned());
        assert_eq!(
            refused.collect::<Vec<_>>(),
            [
                (None, RefusedBody::Absent, 0),
                (Some("acme".to_owned()), json(r#"{"id":7}"#), 1),
                (Some("other".to_owned()), json("{}"), 0),
            ]
        );
    }
}
