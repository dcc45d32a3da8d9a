//! One moment of a shard.
use std::marker::PhantomData;

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::tenant::Change;
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::record::{Record, Stream};
use ledger_record::rows::{AppRow, ShardHead, SourcePosition, TenantRow};

use crate::error::ReadError;

/// Everything in the shard as of one moment.
#[derive(Debug)]
pub struct Snapshot<'a> {
    reader: PhantomData<&'a ()>,
}

/// Up to which recording something is known (rules 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Everything recorded.
    All,
    /// What the partition had recorded up to and with this record of the tenant; 0: nothing.
    Seq(u64),
    /// What was recorded up to and with this instant.
    Recorded(Timestamp),
}

/// A tenant's events as known at some point, and the timelines of the apps it met as known then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In order of arrival.
    pub events: Vec<HistoryEvent>,
    /// App-level events recorded up to the same point.
    pub apps: AppTimelines,
}

/// One event of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEvent {
    /// In the shard.
    pub position: u64,
    /// In the tenant's log.
    pub seq: u64,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A list over installations, answered by the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// All installations of an app, by client.
    App(AppKey),
    /// Pinned to a realm, by client and app.
    Realm(Realm),
    /// Installed with this pin and this product realm, by client.
    Alignment(AlignmentClass),
    /// Data elsewhere than the pin, by client and app.
    SplitBrain,
    /// With a window that ends before this instant (`None`: any, also without end), by end.
    Windows {
        /// Those that end at this instant or later.
        from: Option<Timestamp>,
        /// Those that end before it.
        before: Option<Timestamp>,
    },
    /// With at least one anomaly, by client and app.
    Anomalous,
}

/// Installations of an app that share pin and product realm: drift is the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlignmentClass {
    /// The app.
    pub app: AppKey,
    /// Where they are pinned.
    pub pinned: Realm,
    /// Where their product is.
    pub product: Realm,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Whose installations.
    pub installations: Vec<(ClientKey, AppKey)>,
    /// Where the next page begins; none: this was the last one.
    pub next: Option<Vec<u8>>,
}

impl Snapshot<'_> {
    /// Where the shard stands.
    pub fn head(&self) -> Result<ShardHead, ReadError> {
        todo!()
    }
    /// How far each source was read, by name.
    pub fn source_positions(&self) -> Result<Vec<(String, SourcePosition)>, ReadError> {
        todo!()
    }
    /// Where the publisher stands: the next position to publish.
    pub fn publisher_position(&self) -> Result<u64, ReadError> {
        todo!()
    }
    /// A tenant as it is folded.
    pub fn tenant(&self, _client: &ClientKey) -> Result<Option<TenantRow>, ReadError> {
        todo!()
    }
    /// Every tenant, by client key, from `from` on.
    pub fn tenants(
        &self,
        _from: Option<&ClientKey>,
    ) -> impl Iterator<Item = Result<(ClientKey, TenantRow), ReadError>> {
        std::iter::empty()
    }
    /// The row of an app.
    pub fn app(&self, _app: &AppKey) -> Result<Option<AppRow>, ReadError> {
        todo!()
    }
    /// Every app, by key.
    pub fn apps(&self) -> impl Iterator<Item = Result<(AppKey, AppRow), ReadError>> {
        std::iter::empty()
    }
    /// The timelines of all apps.
    pub fn app_timelines(&self) -> Result<AppTimelines, ReadError> {
        todo!()
    }
    /// The record with a position.
    pub fn record_at(&self, _position: u64) -> Result<Option<Record>, ReadError> {
        todo!()
    }
    /// All records in order of position, from `position` on.
    pub fn records_from(&self, _position: u64) -> impl Iterator<Item = Result<Record, ReadError>> {
        std::iter::empty()
    }
    /// The records of a stream in order of seq, from `from_seq` on. [`Stream::Rejected`] is the quarantine.
    pub fn records(
        &self,
        _stream: &Stream,
        _from_seq: u64,
    ) -> impl Iterator<Item = Result<Record, ReadError>> {
        std::iter::empty()
    }
    /// All tenants' records, grouped by tenant: by client key, then by seq.
    pub fn tenant_records(&self) -> impl Iterator<Item = Result<Record, ReadError>> {
        std::iter::empty()
    }
    /// A tenant's events as known at some point.
    pub fn history(&self, _client: &ClientKey, _known: Known) -> Result<History, ReadError> {
        todo!()
    }
    /// What a late app-level record changed, by client key, from `from` on.
    pub fn corrections(
        &self,
        _position: u64,
        _from: Option<&ClientKey>,
    ) -> impl Iterator<Item = Result<(ClientKey, Vec<Change>), ReadError>> {
        std::iter::empty()
    }
    /// Repeats of a source, by offset from `from_offset` on: (offset, position of the original).
    pub fn duplicates(
        &self,
        _source: &str,
        _from_offset: u64,
    ) -> impl Iterator<Item = Result<(u64, u64), ReadError>> {
        std::iter::empty()
    }
    /// Offsets at which a source had nothing: [first, next).
    pub fn gaps(&self, _source: &str) -> impl Iterator<Item = Result<(u64, u64), ReadError>> {
        std::iter::empty()
    }
    /// A page of a list. `cursor` is the `next` of the page before.
    pub fn list(&self, _list: &List, _cursor: Option<&[u8]>, _limit: usize) -> Result<Page, ReadError> {
        todo!()
    }
    /// The classes of alignment that have installations, of one app or of all.
    pub fn alignment_classes(&self, _app: Option<&AppKey>) -> Result<Vec<AlignmentClass>, ReadError> {
        todo!()
    }
}
