//! The shards that are asked, and where among them a tenant is.

use std::sync::Arc;

use ledger_core::ids::ClientKey;
use ledger_record::rows::TenantRow;
use ledger_store::{
    Catalog, Elsewhere, Freshness, Halted, ReadError, ReadTier, Reader, ShardId, ShardStatus, Snapshot,
    TornTenants, Unread,
};

use super::error::QueryError;

/// The shards of a ledger.
#[derive(Debug)]
pub(crate) enum Shards {
    /// As served by this process when the question comes.
    Served(Arc<Catalog>),
    /// Opened for reading, and the tenants that several of them have.
    Opened(Vec<(ShardId, Reader)>, TornTenants),
}

/// One shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    pub(crate) id: ShardId,
    pub(crate) reader: Reader,
    /// How far it is, from the process that fills it.
    pub(crate) status: Option<Arc<ShardStatus>>,
}

/// One shard in one snapshot.
#[derive(Debug)]
pub(crate) struct ShardSnapshot<'a> {
    pub(crate) id: &'a ShardId,
    pub(crate) reader: &'a Reader,
    pub(crate) status: Option<&'a ShardStatus>,
    /// Taken before the snapshot: an answer may know more than it says, never less.
    pub(crate) freshness: Option<Freshness>,
    pub(crate) snapshot: Snapshot<'a>,
}

/// A tenant's row, and the shard that has it.
#[derive(Debug)]
pub(crate) struct Located<'a> {
    pub(crate) shard: &'a ShardSnapshot<'a>,
    pub(crate) row: TenantRow,
}

impl Shards {
    /// Every shard, in order.
    pub(crate) fn all(&self) -> Vec<ShardHandle> {
        match self {
            Self::Served(catalog) => catalog
                .all()
                .into_iter()
                .map(|(id, served)| ShardHandle { id, reader: served.reader, status: Some(served.status) })
                .collect(),
            Self::Opened(readers, _) => readers
                .iter()
                .map(|(id, reader)| ShardHandle { id: id.clone(), reader: reader.clone(), status: None })
                .collect(),
        }
    }

    /// The shards that cannot be asked, and why.
    pub(crate) fn failed(&self) -> Vec<(ShardId, Halted)> {
        match self {
            Self::Served(catalog) => catalog.failed(),
            Self::Opened(..) => Vec::new(),
        }
    }

    /// Tenants that several shards have, as of now: no less than any snapshot that was taken before.
    pub(crate) fn torn(&self) -> Result<&TornTenants, ReadError> {
        match self {
            Self::Served(catalog) => catalog.torn_now(),
            Self::Opened(readers, torn) => {
                let readers: Vec<Reader> = readers.iter().map(|(_, reader)| reader.clone()).collect();
                torn.catch_up(&readers)?;
                Ok(torn)
            }
        }
    }

    /// The same, without the shards that do not read, and which those are.
    pub(crate) fn torn_of_those_that_read(&self) -> (&TornTenants, Unread) {
        match self {
            Self::Served(catalog) => catalog.torn_of_those_that_read(),
            Self::Opened(readers, torn) => {
                let readers: Vec<Reader> = readers.iter().map(|(_, reader)| reader.clone()).collect();
                let (_, unread) = torn.catch_up_each(&readers);
                (torn, unread)
            }
        }
    }

    /// Why the brokers give this process nothing, if so.
    pub(crate) fn away(&self) -> Option<Halted> {
        match self {
            Self::Served(catalog) => catalog.away(),
            Self::Opened(..) => None,
        }
    }

    /// Assigned shards that are being opened.
    pub(crate) fn opening(&self) -> Vec<ShardId> {
        match self {
            Self::Served(catalog) => catalog.opening(),
            Self::Opened(..) => Vec::new(),
        }
    }

    /// What this process does not feed: another one may know more of it.
    pub(crate) fn elsewhere(&self) -> Vec<Elsewhere> {
        match self {
            Self::Served(catalog) => catalog.elsewhere(),
            Self::Opened(..) => Vec::new(),
        }
    }
}

impl ShardHandle {
    pub(crate) fn snapshot(&self, tier: ReadTier) -> ShardSnapshot<'_> {
        let Self { id, reader, status } = self;
        let status = status.as_deref();
        let freshness = status.map(ShardStatus::freshness);
        ShardSnapshot { id, reader, status, freshness, snapshot: reader.snapshot_of(tier) }
    }
}

impl ShardSnapshot<'_> {
    /// An error of reading it.
    pub(crate) fn unread(&self, error: impl Into<QueryError>) -> QueryError {
        error.into().in_shard(self.id)
    }
}

/// The shard that has the tenant. Nothing computes it from the key, so every shard is asked; a tenant that
/// two have is refused.
pub(crate) fn locate<'a>(
    shards: &'a [ShardSnapshot<'a>],
    client: &ClientKey,
) -> Result<Option<Located<'a>>, QueryError> {
    let mut found: Option<Located<'a>> = None;
    for (place, shard) in shards.iter().enumerate() {
        let Some(row) = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))? else {
            continue;
        };
        if let Some(first) = &found {
            let mut with_it = vec![first.shard.id.clone(), shard.id.clone()];
            with_it.extend(shards_with(&shards[place + 1..], client)?);
            return Err(QueryError::TenantInTwoPartitions { client: client.clone(), shards: with_it });
        }
        found = Some(Located { shard, row });
    }
    Ok(found)
}

/// Which shards have the tenant.
pub(crate) fn shards_with(
    shards: &[ShardSnapshot<'_>],
    client: &ClientKey,
) -> Result<Vec<ShardId>, ReadError> {
    let mut with_it = Vec::new();
    for shard in shards {
        if shard.snapshot.tenant(client)?.is_some() {
            with_it.push(shard.id.clone());
        }
    }
    Ok(with_it)
}
