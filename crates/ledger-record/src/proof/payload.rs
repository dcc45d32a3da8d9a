//! What a leaf commits to without showing it: the whole record, as its sender wrote it.
//!
//! One line of JSON in the form of RFC 8785: members sorted by name, no spaces, no escapes but those that JSON asks for,
//! and no numbers but integers that everybody holds exactly.
//!
//! ```text
//! {"event":{…},"rules":2,"timeDefaulted"?:true}      the event in its native form
//! {"rejected":{"body"?:{"json":"…"}|{"length":n,"sha256":"<hex>"},"detail":"…","headers"?:[["name","value"],…],
//!              "key"?,"path"?,"reason":"…","sourceTime"?},"rules":2}
//! ```
//!
//! A value of `dataResidency` that is no flag, no `null` and no such integer stands as its text in a member `json`.
//! Type, app and time of the event are in the line too, and have to be the same there.

use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::canonical::NotCanonical;
use crate::json::record::BodyJson;
use crate::json::{is_false, read, write};
use crate::record::{Content, Record};
use crate::rejection::{Reason, Refused};

/// An event as it was committed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedPayload {
    /// The rule set that the line's realm and rule were derived by.
    pub rules: u16,
    /// What happened.
    pub event: Event,
    /// Its time was taken from the source's record.
    pub time_defaulted: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfEvent<E> {
    event: E,
    rules: u16,
    #[serde(default, skip_serializing_if = "is_false")]
    time_defaulted: bool,
}

#[derive(Serialize)]
struct OfRefused<'a> {
    rejected: Rejected<'a>,
    rules: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected<'a> {
    reason: Reason,
    path: Option<&'a str>,
    detail: &'a str,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    headers: &'a [(String, String)],
    source_time: Option<Timestamp>,
    body: Option<BodyJson<'a>>,
}

/// The payload of a record. A seal and a succession have none.
#[must_use]
pub fn of(record: &Record) -> String {
    let mut payload = Vec::with_capacity(256);
    put(&mut payload, record);
    // What was written is UTF-8.
    String::from_utf8(payload).unwrap_or_default()
}

/// Appends the payload of a record.
pub(crate) fn put(out: &mut Vec<u8>, record: &Record) {
    let rules = record.rules;
    match &record.content {
        Content::Event { event, time_defaulted, outcome: _ } => {
            put_canonical(out, &OfEvent { event, rules, time_defaulted: *time_defaulted });
        }
        Content::Refused(refused) => {
            let Refused { rejection, key, headers, source_time, body } = refused;
            let rejected = Rejected {
                reason: rejection.reason,
                path: rejection.path.as_deref(),
                detail: &rejection.detail,
                key: key.as_deref(),
                headers,
                source_time: *source_time,
                body: BodyJson::of(body),
            };
            put_canonical(out, &OfRefused { rejected, rules });
        }
        Content::Seal(_) | Content::Succession(_) => {}
    }
}

fn put_canonical(out: &mut Vec<u8>, payload: &impl Serialize) {
    let written = write::append_canonical(out, payload);
    // Half a text must never be hashed.
    assert!(written.is_ok(), "a payload that JSON does not have");
}

/// Reads the payload of an event of which the line tells type, app and time.
pub fn open(
    text: &str,
    type_name: &str,
    app: Option<&AppKey>,
    time: Timestamp,
) -> Result<OpenedPayload, NotCanonical> {
    let payload: OfEvent<Event> = read::from_str(text).map_err(|_| NotCanonical)?;
    // Other members, realms in lower case and the like are read, but never written.
    let mut again = Vec::with_capacity(text.len());
    put_canonical(&mut again, &payload);
    let OfEvent { event, rules, time_defaulted } = payload;
    let is_of_line = (event.type_name(), event.app(), event.time) == (type_name, app, time);
    if again == text.as_bytes() && is_of_line {
        Ok(OpenedPayload { rules, event, time_defaulted })
    } else {
        Err(NotCanonical)
    }
}
