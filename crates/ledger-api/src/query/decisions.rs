//! Decisions and corrections as they are published: a page of those so far. As a stream they are [`crate::decisions`].

use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use super::LineSink;
use super::cursor::page_limit;
use crate::decisions::{DecisionCursor, DecisionFilter, DecisionsFrom, DecisionsSoFar, Notice, read_so_far};
use crate::ledger::{FreshnessJson, QueryError, Reading};
use crate::limits::{DECISIONS_DEFAULT, DECISIONS_MAX};

/// Decisions and corrections of the shards that this process is assigned. Each tenant's are in the order of its log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecisionsQuery {
    /// Where to begin; at the first record unless given.
    pub from: Option<DecisionsFrom>,
    /// Which of them.
    pub filter: DecisionFilter,
    /// At most so many; a stream has no end unless given.
    pub limit: Option<u64>,
}

/// Decisions and corrections so far. A page can be short, or empty, and not the last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecisionsPage<T = PublishedNotice> {
    /// As they are published.
    pub decisions: Vec<T>,
    /// Goes into `from` to go on behind them.
    pub cursor: DecisionCursor,
    /// Whether there may be more by now.
    pub more: bool,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// A notice, letter by letter as it is published.
#[derive(Debug, Clone)]
pub struct PublishedNotice(pub Notice);

impl Serialize for PublishedNotice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(&self.0.text).map_err(S::Error::custom)?;
        // Text under this name is JSON already: the writer of answers takes it as it is.
        serializer.serialize_newtype_struct("Setting", text)
    }
}

impl DecisionsQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<DecisionsPage, QueryError> {
        let Self { from, filter, limit } = self;
        let limit = page_limit(*limit, DECISIONS_DEFAULT, DECISIONS_MAX)?;
        let from = from.clone().unwrap_or_default().cursor(&reading.ledger.shards_here())?;
        let shards = reading.ledger.assigned_shards();
        if shards.is_empty() {
            // Nothing was looked at, which is not nothing.
            reading.ready()?;
        }
        let filter = filter.clone().seen_with(&reading.ledger.grants);
        let DecisionsSoFar { notices, cursor, more } = read_so_far(&shards, from, &filter, limit)?;
        let decisions = notices.into_iter().map(PublishedNotice).collect();
        Ok(DecisionsPage { decisions, cursor, more, freshness: reading.freshness() })
    }
}
