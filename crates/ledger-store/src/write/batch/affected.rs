//! Which stored tenants a late app-level event may concern, without reading all tenants of the app.
//!
//! It changes those only that have an event at its time or after it. None of their events is further ahead of
//! the time it was recorded than the head says, so what they have was recorded since the time of the late
//! event, less that. Those records are the end of the log, which is short as a rule: an app-level event that
//! is a minute late meets the tenants of a minute. When there are more of them than the app has
//! installations, the index names the tenants instead.
//!
//! Both ways find more than is concerned, in another order: which tenants change, and how, does not depend
//! on the way (I-5).

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::key::index::{IndexEntry, app_prefix};
use ledger_record::key::{self, Family, LogKey};
use ledger_record::record::Stream;
use ledger_record::rows::TenantRow;
use rocksdb::ReadOptions;

use crate::db::database::{Database, damaged};
use crate::db::decode;
use crate::db::scan::{Scan, everything_from, prefixed};
use crate::error::{Damage, ReadError};
use crate::read::lists;

/// A stored tenant that may be concerned.
pub(super) struct Candidate {
    pub(super) client: ClientKey,
    /// The record that it was found by.
    position: Option<u64>,
}

impl Candidate {
    /// Whether it is to be looked at now. One that is found by its records is looked at once, by the last.
    pub(super) fn is_due(&self, row: &TenantRow) -> bool {
        self.position.is_none_or(|position| position == row.position)
    }
}

/// The stored tenants that may be concerned, one by one.
pub(super) struct Candidates<'a> {
    scan: Scan<'a>,
}

impl<'a> Candidates<'a> {
    /// The tenants with a record since an instant, or all `installations` of the app, whichever are fewer.
    /// The log has `end` positions.
    pub(super) fn find(
        database: &'a Database,
        app: &AppKey,
        installations: u64,
        end: u64,
        since: Timestamp,
    ) -> Result<Self, ReadError> {
        let first = decode::first_recorded_since(database, end, since, &ReadOptions::default())?;
        let (family, range) = if end - first < installations {
            (Family::Positions, everything_from(key::position(first).to_vec()))
        } else {
            (Family::Index, prefixed(app_prefix(app)))
        };
        Ok(Self { scan: database.scan(family, range, ReadOptions::default())? })
    }

    pub(super) fn next(&mut self) -> Result<Option<Candidate>, ReadError> {
        let family = self.scan.family();
        while let Some((key, value)) = self.scan.step()? {
            if family == Family::Index {
                let IndexEntry::App { client, .. } = lists::decode(key)? else {
                    return Err(damaged(Family::Index, key, Damage::Misplaced).into());
                };
                return Ok(Some(Candidate { client, position: None }));
            }
            let damaged = |error| damaged(Family::Positions, key, error);
            if let Stream::Tenant(client) = LogKey::decode(value).map_err(damaged)?.stream {
                let position = Some(key::parse_u64(key).map_err(damaged)?);
                return Ok(Some(Candidate { client, position }));
            }
        }
        Ok(None)
    }
}
