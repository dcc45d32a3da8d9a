//! A place among the notices of a shard, and the cursor: a place in every shard.
//!
//! ```text
//! cursor   base64url of: version 02 ‖ rest ‖ topic*
//! rest     00 shards that are not named begin at their first record, 01 where they are when they appear
//! topic    length ‖ name ‖ count ‖ (partition ‖ position ‖ mark ‖ within)*
//! mark     00 nothing is before it, or a size, up to the record's own ‖ 4 bytes of the first leaf ‖ 4 of the last
//! within   00 before all notices of the record
//!          01 ‖ length ‖ client key ‖ index       in the order of an app-level record's corrections
//!          02 ‖ index                             in the order of a tenant's record
//! ```
//!
//! Numbers are LEB128. A cursor names positions of the log, which are the same on every replica, and nothing of a
//! process: it goes on after a restart, and on another process that has the shards.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger_core::ids::ClientKey;
use ledger_record::json::INTEGER_MAX;
use ledger_store::{ReadError, ShardId, with_causes};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ledger::ShardHandle;
use crate::limits::CURSOR_SHARDS_MAX;

use super::end::DecisionsEnd;
use super::mark::{Fit, LogMark};

/// Before a notice of a shard. Places compare as the notices are ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Of the record.
    pub(super) position: u64,
    /// Of an app-level record: whose correction.
    pub(super) client: Option<ClientKey>,
    /// Among the notices of the record, or of the client.
    pub(super) index: u32,
}

impl Place {
    /// Before the first notice of a record.
    pub(super) const fn start(position: u64) -> Self {
        Self { position, client: None, index: 0 }
    }

    /// Behind this notice.
    pub(super) fn after(&self) -> Self {
        Self { index: self.index.saturating_add(1), ..self.clone() }
    }
}

/// Where shards begin that a cursor does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rest {
    /// At their first record.
    #[default]
    Begin,
    /// Where they are when they appear.
    Now,
}

/// A place in every shard: opaque outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionCursor {
    pub(super) rest: Rest,
    pub(super) places: BTreeMap<ShardId, Place>,
    /// The log that each place is in, as far as that was read.
    pub(super) marks: BTreeMap<ShardId, LogMark>,
}

impl DecisionCursor {
    /// The end of every shard that is here, so that what comes until it is assigned is not passed over; and of others,
    /// where they are when they appear.
    pub(crate) fn now(here: &[ShardHandle]) -> Result<Self, ReadError> {
        let mut cursor = Self { rest: Rest::Now, ..Self::default() };
        for shard in here {
            let (place, mark) = end_of(shard)?;
            cursor.set(&shard.id, place, mark);
        }
        Ok(cursor)
    }

    /// A mark stays until there is another one.
    pub(super) fn set(&mut self, shard: &ShardId, place: Place, mark: Option<LogMark>) {
        put_in(&mut self.places, shard, place);
        if let Some(mark) = mark {
            put_in(&mut self.marks, shard, mark);
        }
    }
}

/// Behind the last record of a shard.
pub(super) fn end_of(shard: &ShardHandle) -> Result<(Place, Option<LogMark>), ReadError> {
    let end = shard.reader.next_position();
    Ok((Place::start(end), LogMark::of(&shard.reader.snapshot(), end)?))
}

fn put_in<T>(map: &mut BTreeMap<ShardId, T>, shard: &ShardId, value: T) {
    match map.get_mut(shard) {
        Some(known) => *known = value,
        None => {
            map.insert(shard.clone(), value);
        }
    }
}

/// Where decisions are read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DecisionsFrom {
    /// The first record of every shard.
    #[default]
    Begin,
    /// What is recorded from now on.
    Now,
    /// Behind what a cursor covers.
    After(DecisionCursor),
}

impl DecisionsFrom {
    /// The cursor to begin at, if it is one of these shards as far as that shows.
    pub(crate) fn cursor(self, here: &[ShardHandle]) -> Result<DecisionCursor, DecisionsEnd> {
        let unread = |error: ReadError| DecisionsEnd::Unread(with_causes(&error));
        let cursor = match self {
            Self::Begin => return Ok(DecisionCursor::default()),
            Self::Now => return DecisionCursor::now(here).map_err(unread),
            Self::After(cursor) => cursor,
        };
        let is_known = |id: &ShardId| here.iter().any(|shard| shard.id.topic == id.topic);
        if let Some(id) = cursor.places.keys().next().filter(|_| !here.is_empty())
            && !cursor.places.keys().any(is_known)
        {
            return Err(DecisionsEnd::OtherLedger { shard: id.clone() });
        }
        for shard in here {
            let Some(mark) = cursor.marks.get(&shard.id) else { continue };
            if mark.fit(&shard.reader).map_err(unread)? == Fit::Other {
                return Err(DecisionsEnd::OtherLedger { shard: shard.id.clone() });
            }
        }
        Ok(cursor)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected begin, now, or a cursor of a stream of decisions, as it was given")]
pub struct InvalidDecisionCursor;

const VERSION: u8 = 2;

impl fmt::Display for DecisionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION, u8::from(self.rest == Rest::Now)];
        let places: Vec<_> = self.places.iter().collect();
        for of_topic in places.chunk_by(|(one, _), (other, _)| one.topic == other.topic) {
            let topic = of_topic.first().map_or("", |(shard, _)| shard.topic.as_str());
            put_text(&mut bytes, topic);
            put(&mut bytes, of_topic.len() as u64);
            for (shard, Place { position, client, index }) in of_topic {
                put(&mut bytes, shard.partition.into());
                put(&mut bytes, *position);
                match self.marks.get(*shard) {
                    None => bytes.push(0),
                    Some(mark) => {
                        put(&mut bytes, mark.size);
                        bytes.extend_from_slice(&mark.to_bytes());
                    }
                }
                match client {
                    None if *index == 0 => bytes.push(0),
                    None => bytes.push(2),
                    Some(client) => {
                        bytes.push(1);
                        put_text(&mut bytes, client.as_str());
                    }
                }
                if client.is_some() || *index > 0 {
                    put(&mut bytes, (*index).into());
                }
            }
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// What is left to read of a cursor.
struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                // Written in as few bytes as it takes: a place has one text.
                return (shift == 0 || byte != 0).then_some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(std::str::from_utf8(text).ok()?.to_owned())
    }

    /// None: there is none.
    fn mark(&mut self, position: u64) -> Result<Option<LogMark>, InvalidDecisionCursor> {
        let size = self.number().ok_or(InvalidDecisionCursor)?;
        if size == 0 {
            return Ok(None);
        }
        let (mark, rest) = self.0.split_at_checked(LogMark::BYTES).ok_or(InvalidDecisionCursor)?;
        self.0 = rest;
        let mark = LogMark::from_bytes(size, mark).filter(|_| size - 1 <= position);
        mark.map(Some).ok_or(InvalidDecisionCursor)
    }

    fn place(&mut self) -> Option<(Place, Option<LogMark>)> {
        let mut place = Place::start(self.number().filter(|position| *position <= INTEGER_MAX)?);
        let mark = self.mark(place.position).ok()?;
        let within = self.byte()?;
        if within == 1 {
            place.client = Some(ClientKey::new(self.text()?).ok()?);
        }
        if within > 0 {
            place.index = u32::try_from(self.number()?).ok()?;
        }
        (within < 2 || (within == 2 && place.index > 0)).then_some((place, mark))
    }

    fn cursor(&mut self) -> Option<DecisionCursor> {
        let (VERSION, rest @ 0..=1) = (self.byte()?, self.byte()?) else { return None };
        let rest = if rest == 1 { Rest::Now } else { Rest::Begin };
        let mut cursor = DecisionCursor { rest, ..DecisionCursor::default() };
        while !self.0.is_empty() {
            let (topic, count) = (self.text()?, self.number()?);
            for _ in 0..count {
                let partition = u32::try_from(self.number()?).ok()?;
                let (place, mark) = self.place()?;
                if cursor.places.len() >= CURSOR_SHARDS_MAX {
                    return None;
                }
                cursor.set(&ShardId { topic: topic.clone(), partition }, place, mark);
            }
        }
        Some(cursor)
    }
}

impl FromStr for DecisionCursor {
    type Err = InvalidDecisionCursor;

    fn from_str(text: &str) -> Result<Self, InvalidDecisionCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidDecisionCursor)?;
        let cursor = Input(&bytes).cursor().ok_or(InvalidDecisionCursor)?;
        // What was changed on its way would go on elsewhere.
        if cursor.to_string() == text { Ok(cursor) } else { Err(InvalidDecisionCursor) }
    }
}

impl FromStr for DecisionsFrom {
    type Err = InvalidDecisionCursor;

    fn from_str(text: &str) -> Result<Self, InvalidDecisionCursor> {
        match text {
            "begin" => Ok(Self::Begin),
            "now" => Ok(Self::Now),
            cursor => cursor.parse().map(Self::After),
        }
    }
}

impl fmt::Display for DecisionsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("begin"),
            Self::Now => f.write_str("now"),
            Self::After(cursor) => cursor.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($($of:ident)+) => {$(
        impl Serialize for $of {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $of {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

as_text! { DecisionCursor DecisionsFrom }

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(topic: &str, partition: u32) -> ShardId {
        ShardId { topic: topic.to_owned(), partition }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let client = Some(ClientKey::new("jira:größe/1").unwrap());
        let places = [
            (shard("realm.lifecycle", 0), Place::start(0)),
            (shard("realm.lifecycle", 300), Place::start(INTEGER_MAX)),
            (shard("realm.lifecycle", 301), Place { position: 128, client, index: 0 }),
            (shard("x", 7), Place { position: 127, client: None, index: 3 }),
        ];
        for rest in [Rest::Begin, Rest::Now] {
            for named in 0..=places.len() {
                let places: BTreeMap<_, _> = places[..named].iter().cloned().collect();
                let mark = |shard: &ShardId, place: &Place| {
                    let mark = LogMark::from_bytes(place.position, &[7, 0, 1, 2, 255, 3, 4, 5])?;
                    (place.position > 127).then_some((shard.clone(), mark))
                };
                let marks = places.iter().filter_map(|(shard, place)| mark(shard, place)).collect();
                let cursor = DecisionCursor { rest, places, marks };
                let text = cursor.to_string();
                assert!(
                    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
                    "{text}"
                );
                assert_eq!(text.parse(), Ok(DecisionsFrom::After(cursor)));
            }
        }
    }

    #[test]
    fn text_that_is_no_cursor_is_refused() {
        let places = [(shard("t", 1), Place::start(9))].into();
        let whole = DecisionCursor { rest: Rest::Now, places, ..DecisionCursor::default() }.to_string();
        assert!(whole.parse::<DecisionCursor>().is_ok());
        for text in
            ["", "Ag", "AQA", "AgI", "????", "begin ", &whole[..whole.len() - 1], &format!("{whole}AA")]
        {
            assert_eq!(text.parse::<DecisionsFrom>(), Err(InvalidDecisionCursor), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_more_shards_than_any_ledger_has_is_refused() {
        let of = |shards: usize| {
            let place = |number: usize| (shard(&format!("t{number}"), 0), Place::start(1));
            let places = (0..shards).map(place).collect();
            DecisionCursor { places, ..DecisionCursor::default() }.to_string()
        };
        assert!(of(CURSOR_SHARDS_MAX).parse::<DecisionCursor>().is_ok());
        assert_eq!(of(CURSOR_SHARDS_MAX + 1).parse::<DecisionCursor>(), Err(InvalidDecisionCursor));
    }

    #[test]
    fn a_cursor_beyond_every_position_is_refused() {
        for position in [INTEGER_MAX + 1, u64::MAX] {
            let places = [(shard("t", 0), Place::start(position))].into();
            let beyond = DecisionCursor { places, ..DecisionCursor::default() }.to_string();
            assert_eq!(beyond.parse::<DecisionCursor>(), Err(InvalidDecisionCursor), "{position}");
        }
    }

    #[test]
    fn places_are_in_the_order_of_the_notices() {
        let of = |position, client: Option<&str>, index| Place {
            position,
            client: client.map(|key| ClientKey::new(key).unwrap()),
            index,
        };
        let ordered = [
            of(1, None, 0),
            of(1, None, 1),
            of(1, Some("a"), 0),
            of(1, Some("a"), 1),
            of(1, Some("b"), 0),
            of(2, None, 0),
        ];
        assert!(ordered.is_sorted());
    }
}
