//! Values of the command line.

use std::fmt;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser, TypedValueParser};
use ledger_api::access::is_principal_name;
use ledger_api::decisions::DecisionsFrom;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_core::time::Timestamp;
use ledger_record::json::INTEGER_MAX;
use ledger_record::json::policy::GivenPolicy;
use ledger_store::{Partitioner, ShardId};

/// A refused record: `topic/partition/seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineItem {
    /// The shard.
    pub shard: ShardId,
    /// Its number among the refused records of the shard, from 1.
    pub seq: u64,
}

impl fmt::Display for QuarantineItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.seq)
    }
}

/// What a refused record is called: as an item, or by where its message came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemName {
    /// `TOPIC/PARTITION/SEQ`
    Item(QuarantineItem),
    /// `SOURCE/PARTITION@OFFSET`
    From {
        /// The topic, or the import.
        source: String,
        /// Its partition.
        partition: u32,
        /// Its offset there, or its line.
        offset: u64,
    },
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(item) => item.fmt(f),
            Self::From { source, partition, offset } => write!(f, "{source}/{partition}@{offset}"),
        }
    }
}

/// A place in a log or in a stream, or how many: from the least one on.
pub(super) fn number(least: u64) -> RangedU64ValueParser {
    clap::value_parser!(u64).range(least..=INTEGER_MAX)
}

pub(super) fn item_name(text: &str) -> Result<ItemName, String> {
    let parts = text.rsplit_once(['/', '@']).and_then(|(at, number)| {
        let (source, partition) = at.rsplit_once('/').filter(|(source, _)| !source.is_empty())?;
        let number = number.parse().ok().filter(|number| *number <= INTEGER_MAX)?;
        Some((at.len(), source.to_owned(), partition.parse().ok()?, number))
    });
    let Some((end, source, partition, number)) = parts else {
        let expected =
            "an item is TOPIC/PARTITION/SEQ, or SOURCE/PARTITION@OFFSET, as `quarantine list` prints them";
        return Err(expected.to_owned());
    };
    if text.as_bytes().get(end) == Some(&b'@') {
        return Ok(ItemName::From { source, partition, offset: number });
    }
    Ok(ItemName::Item(QuarantineItem { shard: ShardId { topic: source, partition }, seq: number }))
}

/// A partitioner that computes a partition from a key.
pub(super) fn partitioner(text: &str) -> Result<Partitioner, String> {
    let named = Partitioner::parse(text).filter(|partitioner| *partitioner != Partitioner::Unknown);
    named.ok_or_else(|| "a partitioner is murmur2, crc32 or fnv1a, or what librdkafka calls them".to_owned())
}

pub(super) fn shard(text: &str) -> Result<ShardId, String> {
    let id = ShardId::parse(text).filter(|id| !id.topic.is_empty());
    id.ok_or_else(|| "a shard is TOPIC/PARTITION".to_owned())
}

/// `ID=APP_KEY`.
pub(super) fn app_id(text: &str) -> Result<(String, AppKey), String> {
    let (id, key) = text.rsplit_once('=').filter(|(id, _)| !id.is_empty()).ok_or("it is ID=APP_KEY")?;
    Ok((id.to_owned(), app_key(key)?))
}

/// A path that can be a setting: as text it must still be the same path.
pub(super) fn unicode_path() -> impl TypedValueParser<Value = PathBuf> {
    NonEmptyStringValueParser::new().map(PathBuf::from)
}

/// The address of a server, without a path.
pub(super) fn url(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let host = rest.trim_end_matches('/');
    if !matches!(scheme, "http" | "https") || host.is_empty() {
        return Err("an address is http://HOST:PORT, or https".to_owned());
    }
    if host.contains(['/', '?', '#']) {
        return Err("give the address without a path, as http://HOST:PORT".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    ledger_record::json::time::parse_instant(text).map_err(|error| error.to_string())
}

pub(super) fn realm(text: &str) -> Result<Realm, String> {
    Realm::parse(text).map_err(|error| error.to_string())
}

pub(super) fn decisions_from(text: &str) -> Result<DecisionsFrom, String> {
    text.parse::<DecisionsFrom>().map_err(|error| error.to_string())
}

pub(super) fn rule(text: &str) -> Result<Rule, String> {
    let found = Rule::ALL.iter().copied().find(|rule| rule.as_str() == text);
    let words = || Rule::ALL.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("a rule is one of {}", words()))
}

pub(super) fn policy(text: &str) -> Result<Policy, String> {
    let given: GivenPolicy = serde_json::from_str(text).map_err(|error| {
        format!("{error}; expected {{\"mode\": …}} with descriptor, off, days, indefinite or subscription")
    })?;
    Policy::try_from(given).map_err(|error| error.to_string())
}

pub(super) fn client_key(text: &str) -> Result<ClientKey, String> {
    ClientKey::new(text).map_err(|error| error.to_string())
}

pub(super) fn app_key(text: &str) -> Result<AppKey, String> {
    AppKey::new(text).map_err(|error| error.to_string())
}

pub(super) fn principal_name(text: &str) -> Result<String, String> {
    let expected = "a name is 1 to 255 bytes without control characters, and has no token in it";
    if is_principal_name(text) { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

pub(super) fn source(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("1 to 200 bytes without control characters".to_owned()) }
}

/// What a place in an object store begins with.
pub(crate) const STORE_SCHEME: &str = "s3://";

/// A place in an object store.
pub(super) fn store(text: &str) -> Result<String, String> {
    if text.starts_with(STORE_SCHEME) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected {STORE_SCHEME}BUCKET/PREFIX"))
    }
}
