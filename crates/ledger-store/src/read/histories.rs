//! The histories of all tenants, one after the other: what a question about the whole log folds.
//!
//! The log lies by tenant, so one sweep over it gives each history whole. One tenant's events are in memory
//! at a time, and lent until the next one is asked for; of a record only what the fold needs is decoded.

use ledger_core::ids::ClientKey;
use ledger_record::key::{self, Family, LogKey};
use ledger_record::record::Stream;

use crate::db::database::damaged;
use crate::db::decode;
use crate::db::scan::Scan;
use crate::error::{Damage, ReadError};
use crate::read::history::{HistoryEvent, history_event};
use crate::read::snapshot::Snapshot;

/// A sweep over the log, tenant by tenant.
pub struct Histories<'a> {
    scan: Scan<'a>,
    /// The tenant that is being read, and the keys of its records.
    tenant: Option<Tenant>,
    events: Vec<HistoryEvent>,
    /// The first event of the tenant after it.
    ahead: Option<(Tenant, HistoryEvent)>,
}

struct Tenant {
    client: ClientKey,
    stream: Stream,
    prefix: Vec<u8>,
}

impl std::fmt::Debug for Histories<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histories").finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    /// The histories of all tenants, by client key.
    pub fn histories(&self) -> Result<Histories<'a>, ReadError> {
        let scan = self.database.scan(Family::Log, decode::all_tenants(), self.sweeping())?;
        Ok(Histories { scan, tenant: None, events: Vec::new(), ahead: None })
    }
}

impl Histories<'_> {
    /// The next tenant and its events in order of arrival; none at the end.
    pub fn advance(&mut self) -> Result<Option<(&ClientKey, &[HistoryEvent])>, ReadError> {
        self.events.clear();
        self.tenant = None;
        if let Some((tenant, event)) = self.ahead.take() {
            self.tenant = Some(tenant);
            self.events.push(event);
        }
        while let Some((key, value)) = self.scan.step()? {
            if let Some(tenant) = self.tenant.as_ref().filter(|tenant| key.starts_with(&tenant.prefix)) {
                let logged = decode::event_of(&tenant.stream, key, value)?;
                self.events.push(history_event(key, logged)?);
                continue;
            }
            let tenant = Tenant::of(key)?;
            let event = history_event(key, decode::event_of(&tenant.stream, key, value)?)?;
            if self.tenant.is_some() {
                self.ahead = Some((tenant, event));
                break;
            }
            self.tenant = Some(tenant);
            self.events.push(event);
        }
        Ok(self.tenant.as_ref().map(|tenant| (&tenant.client, &self.events[..])))
    }
}

impl Tenant {
    fn of(key: &[u8]) -> Result<Self, ReadError> {
        let LogKey { stream, .. } = decode::log_key(key)?;
        let Stream::Tenant(client) = &stream else {
            return Err(damaged(Family::Log, key, Damage::Misplaced).into());
        };
        Ok(Self { client: client.clone(), prefix: key::log::stream_prefix(&stream), stream })
    }
}
