//! From a message to an event, or to the reason why it is none: pure, and the same on every machine.
//!
//! ```text
//!   Message ── encoding? ──┬─ native JSON ───────────────────┐
//!   (key, value,           ├─ protobuf ──────────────────────┤
//!    headers, timestamp)   ├─ CloudEvents, structured ─┐     ├──► EventFields ── reader ──► Decoded
//!                          └─ CloudEvents, binary ─────┼─────┘                        └───► Rejection
//!                                                      └─ native fields · Connect payload · migration hook
//! ```
//!
//! Every encoding is read into the same fields, and one reader makes an event of them, so a fault has the same
//! reason and, where the sender's names do not differ, the same path in each. Which fields there are is written in
//! `event.proto`, which of them a type has in the domain type; a field of a known kind needs nothing more here but its
//! line in `protobuf`.
//!
//! # Fields
//!
//! Every event has `id`, `type` and `time`, may have `actor` and `reason`, and has by level `clientKey`,
//! `appKey` or both. `?` marks what may be absent; `null` counts as absent, except inside `dataResidency`.
//!
//! | type | means | carries |
//! | --- | --- | --- |
//! | **about an installation** | | `clientKey`, `appKey` |
//! | `installed` | the app was installed, or the platform sent the hook again | `endpointRealm?` `productRealm?` `descriptor?` `installationId?` `entitlementId?` `siteUrl?` |
//! | `uninstalled` | the app was removed | `endpointRealm?` `installationId?` |
//! | `enabled`, `disabled` | it was switched on or off | |
//! | `migration-scheduled` | a move was agreed | `migrationId` `targetRealm` `startTime?` `endTime?` |
//! | `migration-started` | it runs | `migrationId` `targetRealm?` |
//! | `migration-committed` | the target is the realm now | `migrationId` `targetRealm?` |
//! | `migration-rolled-back` | the source is the realm again | `migrationId` |
//! | `migrated` | a whole move at once | `targetRealm` `sourceRealm?` `migrationId?` |
//! | `override` | an operator's order; `actor` and `reason` are required | `action` (`PIN`, `RELEASE`, `FORGET`), `realm` for `PIN` |
//! | `data-located` | where the data is, by the partner's word | `realm` |
//! | `subscription-observed` | whether the tenant pays | `state` (`ACTIVE`, `INACTIVE`) |
//! | `continued` | it goes on where another installation was; with the evidence `operator`, `actor` and `reason` are required | `fromClientKey` `fromAppKey?` `fromRealm?` `evidence` |
//! | `superseded` | another installation goes on where it was; `actor` and `reason` likewise | `toClientKey` `toAppKey?` `evidence` |
//! | **about a tenant** | | `clientKey` |
//! | `product-moved` | the product has another realm | `productRealm` |
//! | **about an app** | | `appKey` |
//! | `descriptor-published` | where the app is served, what it declares | `descriptor` |
//! | `policy-set` | how long pins outlive an uninstall | `policy` |
//! | **about nothing** | | |
//! | `tick` | time passed; it makes no record, but what is unsealed is sealed. In every partition, with any key | |
//!
//! | field | is |
//! | --- | --- |
//! | `id`, `clientKey`, `appKey`, `migrationId`, `fromClientKey`, `fromAppKey`, `toClientKey`, `toAppKey` | text of 1 to 255 bytes without control characters, and no token; `migrationId` may be a whole number, which is its digits: as many as a key may have where it is written as digits alone, below 2^53 in another form |
//! | `time`, `startTime`, `endTime` | RFC 3339 with any offset, from 2010 to 9999; cut off to milliseconds |
//! | `endpointRealm`, `productRealm`, `targetRealm`, `sourceRealm`, `fromRealm`, `realm` | `GLOBAL`, also called `default`, or a region key: a letter, then 1 to 15 letters, digits or hyphens; lower case is read as upper case; not a word that programs write for nothing, such as `UNDEFINED` |
//! | `evidence` | text of 1 to 64 bytes, and no token |
//! | `actor`, `reason` | any text |
//! | `installationId`, `entitlementId`, `siteUrl` | any text; the empty one counts as absent |
//! | `descriptor` | an object: `version?` any text, `baseUrl` and the values of `regionBaseUrls?` absolute http(s) URLs, the keys there region keys, each once, not `GLOBAL` or `default`; a region whose URL is `null` is left out; `dataResidency?` with `realmPersistence?` and `realmPersistenceDays?`, anything at all |
//! | `policy` | an object: `mode` is `descriptor`, `off`, `indefinite`, `days` with `days` from 1 to 36500, or `subscription` with `graceDays` from 0 to 36500 |
//!
//! # Choices
//!
//! - A message of more than 1 MiB is refused before it is looked at. A null value is undecodable; in binary
//!   mode it is a `CloudEvent` without data.
//! - JSON: UTF-8 without byte order mark, one value, at most 128 levels deep. A number beyond the range of a double
//!   counts as the largest one. Of members with the same name the last one counts; two equal keys in `regionBaseUrls`
//!   are refused.
//! - A field that the type does not carry is ignored whatever it holds.
//! - The content type is read without regard to case, without quotes around it and without its parameters; one that
//!   is not listed is undecodable. With `specversion`, `id`, `source` or `type` as a `ce_` or `ce-` header the message is a
//!   `CloudEvent` in binary mode. A JSON object with a `specversion` is a structured one, whatever the content type and
//!   the `ce_` headers are. A header that is null is absent, and so is a `specversion`.
//! - Paths are those of native JSON (`descriptor.baseUrl`), also for protobuf and for native data in a
//!   `CloudEvent`; attributes of a `CloudEvent` go by their names (`subject`, `appkey`, `specversion`); fields
//!   of a Connect payload or a hook by theirs (`data.key`, `data.location`).
//! - An object without an `id` that has a `refused` is a message that was refused before: see [`to_refused_line`].
//! - A rejection never holds a value of the message; it names where the fault is (line and column, or byte)
//!   and, where the bytes look like something else than an event, what that is.
//! - Free text is stripped of secrets here (see [`crate::redact`]), before anyone can store or log it.

mod cloudevent;
mod event;
mod fault;
mod fields;
mod message;
mod protobuf;
mod reader;
mod refusal;
mod refused_line;
mod stamp;
mod url;
mod value;

use ledger_core::event::Event;
use ledger_core::limits::MESSAGE_MAX_BYTES;
use ledger_record::rejection::{Reason, Rejection};
use serde::de::{Deserialize, DeserializeSeed};

pub(crate) use fields::known_field;
pub use message::{Decoded, Header, Incoming, Message};
pub(crate) use message::{attribute_name, is_content_type, is_required_attribute};
pub use refused_line::to_refused_line;
pub(crate) use refused_line::{RefusedLine, refused_line_alone};
pub use stamp::Stamp;

use event::read_event;
use fields::{EventFields, KnownMembers, are_cloud_event};
use message::Encoding;
use value::Members;

/// Decodes and validates one message. One that is refused is read a second time, slowly: see [`fault`].
pub fn decode(message: &Message<'_>) -> Result<Decoded, Rejection> {
    if message.value.is_some_and(|value| value.len() > MESSAGE_MAX_BYTES) {
        return Err(refusal::whole(Reason::TooLarge, "the message is larger than 1 MiB"));
    }
    read(message).or_else(|rejection| read_again(message, rejection))
}

/// The event in native JSON. It decodes to the same event.
#[must_use]
pub fn to_native_json(event: &Event) -> Vec<u8> {
    // Neither writing to memory nor any part of an event can fail.
    ledger_record::json::to_vec(event).unwrap_or_default()
}

fn read(message: &Message<'_>) -> Result<Decoded, Rejection> {
    match message.encoding()? {
        Encoding::Json => {
            let value = value_of(message)?;
            let members = read_native(value)?;
            if are_cloud_event(&members) {
                read_structured(message, value)
            } else {
                read_event(EventFields::native(members), None, message.key)
            }
        }
        Encoding::Protobuf => {
            let members = protobuf::read(value_of(message)?)?;
            read_event(EventFields::native(members), None, message.key)
        }
        Encoding::CloudEventStructured => read_structured(message, value_of(message)?),
        Encoding::CloudEventBinary(data_type) => match cloudevent::read_binary(message, data_type)? {
            Some(fields) => read_event(fields, message.timestamp, message.key),
            None => read_structured(message, value_of(message)?),
        },
    }
}

fn read_structured(message: &Message<'_>, value: &[u8]) -> Result<Decoded, Rejection> {
    cloudevent::read_structured(value, |fields| read_event(fields, message.timestamp, message.key))
}

fn read_again(message: &Message<'_>, rejection: Rejection) -> Result<Decoded, Rejection> {
    let Some(value) = message.value else { return Err(rejection) };
    if is_without_id(&rejection)
        && let Some(line) = RefusedLine::read(value)
    {
        return Err(line.rejection());
    }
    if rejection.reason != Reason::Undecodable {
        return Err(fault::explain(value, rejection));
    }
    let finite = fault::with_finite_numbers(value);
    let value = finite.as_ref().map_or(value, |finite| finite.as_bytes());
    let again = if fault::is_cloud_event(value) {
        read_structured(message, value)
    } else if finite.is_some() {
        read(&Message { value: Some(value), ..*message })
    } else {
        Err(rejection)
    };
    again.map_err(|rejection| fault::explain(value, rejection))
}

/// Whether it lacks what every event has first.
fn is_without_id(rejection: &Rejection) -> bool {
    rejection.reason == Reason::MissingField && rejection.path.as_deref() == Some("id")
}

fn value_of<'a>(message: &Message<'a>) -> Result<&'a [u8], Rejection> {
    message.value.ok_or_else(|| refusal::undecodable("the value is null"))
}

fn read_native(value: &[u8]) -> Result<Members<'_>, Rejection> {
    let mut json = serde_json::Deserializer::from_str(utf8(value)?);
    let members = KnownMembers(known_field).deserialize(&mut json);
    members.and_then(|members| json.end().map(|()| members)).map_err(|error| fault::not_json(value, &error))
}

fn read_json<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, Rejection> {
    serde_json::from_str(utf8(value)?).map_err(|error| fault::not_json(value, &error))
}

/// All of it, also what is skipped later.
fn utf8(value: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(value).map_err(fault::not_utf8)
}
