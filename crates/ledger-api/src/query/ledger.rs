//! What is asked.
#![expect(clippy::todo, clippy::missing_panics_doc, reason = "signatures first, bodies follow within the hour")]

use std::sync::Arc;
use std::time::Duration;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_store::{Catalog, Reader, ShardId};

use super::answer::{
    ExplanationAnswer, FreshnessJson, InstallationAnswer, InstallationList, LogAnswer, PreviewAnswer,
    QuarantineAnswer, QuarantineList, TenantAnswer,
};
use super::cursor::Cursor;
use super::error::QueryError;
use super::filter::{AsOf, Filter, Preview};

/// A set of shards that is asked as one ledger. Every question takes `now`, the caller's clock.
#[derive(Debug)]
pub struct Ledger {}

impl Ledger {
    /// The shards that this process serves, as the catalog lists them at the moment of each question.
    pub fn of_catalog(_catalog: Arc<Catalog>) -> Self {
        todo!()
    }
    /// Shards opened for reading beside a server, or without one: how fresh they are nobody tells.
    pub fn of_readers(_readers: Vec<(ShardId, Reader)>) -> Self {
        todo!()
    }
    /// One installation.
    pub fn installation(
        &self,
        _client: &ClientKey,
        _app: &AppKey,
        _as_of: AsOf,
        _now: Timestamp,
    ) -> Result<InstallationAnswer, QueryError> {
        todo!()
    }
    /// All installations of a tenant. A tenant that is known and had none yet: an empty answer.
    pub fn tenant(
        &self,
        _client: &ClientKey,
        _as_of: AsOf,
        _now: Timestamp,
    ) -> Result<TenantAnswer, QueryError> {
        todo!()
    }
    /// Waits until the tenant's shard has the record at `position`; questions asked afterwards see it.
    pub fn await_position(
        &self,
        _client: &ClientKey,
        _position: u64,
        _timeout: Duration,
    ) -> Result<(), QueryError> {
        todo!()
    }
    /// A page of installations; go on with `next_cursor` until there is none.
    pub fn installations(
        &self,
        _filter: &Filter,
        _cursor: Option<&Cursor>,
        _limit: usize,
        _as_of: AsOf,
        _now: Timestamp,
    ) -> Result<InstallationList, QueryError> {
        todo!()
    }
    /// Records of a tenant, in order of arrival, from `from_seq` on (1: from the beginning).
    pub fn log(
        &self,
        _client: &ClientKey,
        _from_seq: u64,
        _limit: usize,
        _now: Timestamp,
    ) -> Result<LogAnswer, QueryError> {
        todo!()
    }
    /// Why an installation is where it is.
    pub fn explain(
        &self,
        _client: &ClientKey,
        _app: &AppKey,
        _at: Option<Timestamp>,
        _now: Timestamp,
    ) -> Result<ExplanationAnswer, QueryError> {
        todo!()
    }
    /// The decision that an install would get.
    pub fn preview(&self, _preview: &Preview, _now: Timestamp) -> Result<PreviewAnswer, QueryError> {
        todo!()
    }
    /// What was refused, by shard, then in order of arrival.
    pub fn quarantine(
        &self,
        _cursor: Option<&Cursor>,
        _limit: usize,
        _now: Timestamp,
    ) -> Result<QuarantineList, QueryError> {
        todo!()
    }
    /// One refused message, by its number in its shard (from 1).
    pub fn quarantine_item(
        &self,
        _shard: &ShardId,
        _seq: u64,
        _now: Timestamp,
    ) -> Result<QuarantineAnswer, QueryError> {
        todo!()
    }
    /// How fresh every shard is, those that could not be opened included.
    pub fn freshness(&self, _now: Timestamp) -> Vec<FreshnessJson> {
        todo!()
    }
}
