//! Where the next page of a list begins: opaque outside, a place in the order of the list inside.
//!
//! A cursor names the last entry that was looked at, not a count, so records that are appended between two
//! pages neither repeat nor skip an entry. It remembers which list it belongs to: with other parameters the
//! order would be another one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::json::INTEGER_MAX;
use ledger_store::ShardId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ledger::QueryError;

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) list: u64,
    pub(super) after: CursorPlace,
}

/// Where a list goes on, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Page {
    /// Where the page begins; none: at the beginning.
    pub cursor: Option<Cursor>,
    /// At most so many items.
    pub limit: Option<u64>,
}

/// How many items a page may have.
pub(super) fn page_limit(given: Option<u64>, otherwise: usize, most: usize) -> Result<usize, QueryError> {
    let Some(given) = given else { return Ok(otherwise) };
    let limit = usize::try_from(given).ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or(QueryError::OutOfRange { parameter: "limit", least: 1, most: Some(most) })
}

/// A stream of nothing is refused.
pub(crate) fn refuse_no_items(limit: Option<u64>) -> Result<(), QueryError> {
    if limit == Some(0) {
        return Err(QueryError::OutOfRange { parameter: "limit", least: 1, most: None });
    }
    Ok(())
}

/// Tells a list from others, whatever version of the program asks: goes into cursors.
pub(super) fn fingerprint(parts: &[&str]) -> u64 {
    // FNV-1a: small, and the same everywhere; making two lists look alike gains nothing.
    let text = parts.join("\0");
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A place in the order of a list; places of one list compare as the list is ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CursorPlace {
    /// Torn tenants come before everything else.
    Torn(ClientKey),
    /// By client key, then app key.
    Key(ClientKey, AppKey),
    /// By the end of the window, [`Timestamp::MAX`] for none, then by key.
    Window(Timestamp, ClientKey, AppKey),
    /// By shard, then by number.
    Item(ShardId, u64),
    /// By client key.
    Client(ClientKey),
    /// By app key, then client key: links come before names.
    Link(AppKey, ClientKey),
    /// By app key, then the number of a name, then how many of its proposals are before the place: all unless told.
    Name(AppKey, u64, Option<usize>),
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this ledger; take it from `nextCursor` as it is")]
pub struct InvalidCursor;

/// What is written.
#[derive(Serialize, Deserialize)]
enum CursorText {
    #[serde(rename = "t")]
    Torn(u64, String),
    #[serde(rename = "k")]
    Key(u64, String, String),
    #[serde(rename = "w")]
    Window(u64, i64, String, String),
    #[serde(rename = "i")]
    Item(u64, String, u32, u64),
    #[serde(rename = "c")]
    Client(u64, String),
    #[serde(rename = "l")]
    Link(u64, String, String),
    #[serde(rename = "n")]
    Name(u64, String, u64, Option<usize>),
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let client = |text: String| ClientKey::new(text).map_err(|_| InvalidCursor);
        let app = |text: String| AppKey::new(text).map_err(|_| InvalidCursor);
        let (list, after) = match serde_json::from_slice(&bytes).map_err(|_| InvalidCursor)? {
            CursorText::Torn(list, of) => (list, CursorPlace::Torn(client(of)?)),
            CursorText::Key(list, of, what) => (list, CursorPlace::Key(client(of)?, app(what)?)),
            CursorText::Window(list, end, of, what) => {
                (list, CursorPlace::Window(Timestamp::from_millis(end), client(of)?, app(what)?))
            }
            CursorText::Item(list, topic, partition, seq @ 0..=INTEGER_MAX) => {
                (list, CursorPlace::Item(ShardId { topic, partition }, seq))
            }
            CursorText::Item(..) => return Err(InvalidCursor),
            CursorText::Client(list, of) => (list, CursorPlace::Client(client(of)?)),
            CursorText::Link(list, what, of) => (list, CursorPlace::Link(app(what)?, client(of)?)),
            CursorText::Name(list, what, number, so_far) => {
                (list, CursorPlace::Name(app(what)?, number, so_far))
            }
        };
        Ok(Self { list, after })
    }
}

impl fmt::Display for Cursor {
    #[expect(
        clippy::disallowed_methods,
        reason = "a cursor is no answer: its text is read by `serde_json` again"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = match &self.after {
            CursorPlace::Torn(client) => CursorText::Torn(self.list, client.as_str().to_owned()),
            CursorPlace::Key(client, app) => {
                CursorText::Key(self.list, client.as_str().to_owned(), app.as_str().to_owned())
            }
            CursorPlace::Window(end, client, app) => CursorText::Window(
                self.list,
                end.as_millis(),
                client.as_str().to_owned(),
                app.as_str().to_owned(),
            ),
            CursorPlace::Item(shard, seq) => {
                CursorText::Item(self.list, shard.topic.clone(), shard.partition, *seq)
            }
            CursorPlace::Client(client) => CursorText::Client(self.list, client.as_str().to_owned()),
            CursorPlace::Link(app, client) => {
                CursorText::Link(self.list, app.as_str().to_owned(), client.as_str().to_owned())
            }
            CursorPlace::Name(app, number, so_far) => {
                CursorText::Name(self.list, app.as_str().to_owned(), *number, *so_far)
            }
        };
        let json = serde_json::to_vec(&written).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let client = ClientKey::new("jira:größe/1").unwrap();
        let app = AppKey::new("com.example \"app\"").unwrap();
        for after in [
            CursorPlace::Torn(client.clone()),
            CursorPlace::Key(client.clone(), app.clone()),
            CursorPlace::Window(Timestamp::MAX, client.clone(), app.clone()),
            CursorPlace::Window(Timestamp::from_millis(-1), client.clone(), app.clone()),
            CursorPlace::Client(client.clone()),
            CursorPlace::Link(app.clone(), client),
            CursorPlace::Name(app.clone(), u64::MAX, None),
            CursorPlace::Name(app, 0, Some(7)),
            CursorPlace::Item(ShardId { topic: "realm.lifecycle".to_owned(), partition: 7 }, INTEGER_MAX),
        ] {
            let cursor = Cursor { list: u64::MAX, after };
            let text = cursor.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
            assert_eq!(text.parse(), Ok(cursor));
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "abc", "????", "e30", "eyJrIjpbMSwiIiwiYSJdfQ", "eyJrIjpbMSwiYSJdfQ"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
        let shard = ShardId { topic: "realm.lifecycle".to_owned(), partition: 0 };
        let beyond = Cursor { list: 0, after: CursorPlace::Item(shard, INTEGER_MAX + 1) };
        assert_eq!(beyond.to_string().parse::<Cursor>(), Err(InvalidCursor), "no seq is so large");
    }
}
