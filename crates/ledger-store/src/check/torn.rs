//! Tenants that more than one shard has.
//!
//! A tenant stands in one partition, or neither has its whole history and nobody answers for it. No shard alone can
//! know, and no fold can heal it, so it is found out beside the log: the tenants that are new in a shard are
//! looked for in all others. What was found is remembered in the shards, and up to which position it was looked:
//!
//! ```text
//!   record 0 … compared ─────────────────────────► next position
//!          │  rows of `meta` (remembered) │ looked at when someone asks: new tenants, in every other shard
//! ```
//!
//! The position is written only when every shard of the directory was there to be compared with, so no order of
//! opening, crash or damaged shard hides a tenant. Of two shards that take in a tenant at the same time, at least one
//! sees it in the other, as each looks when its own record can be read already.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger_core::ids::ClientKey;
use ledger_record::key::{self, Family, LogKey, MetaKey};
use ledger_record::record::Stream;
use rocksdb::{ReadOptions, WriteBatch, WriteOptions};

use crate::data_dir::DataDir;
use crate::db::database::damaged;
use crate::db::decode;
use crate::db::placed::PlacedEntries;
use crate::db::scan::prefixed;
use crate::error::{Damage, ReadError, StorageError};
use crate::read::reader::Reader;
use crate::source::ShardId;

/// How far the remembered position may be behind: what an opening looks at again.
const REMEMBERED_EVERY: u64 = 10_000;

/// A tenant that more than one shard has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTenant {
    /// The tenant.
    pub client: ClientKey,
    /// Who has it.
    pub shards: Vec<ShardId>,
}

/// Shards that do not read, and why.
pub type Unread = BTreeMap<ShardId, ReadError>;

/// The torn tenants among some shards.
#[derive(Debug, Default)]
pub struct TornTenants(Mutex<KnownTorn>);

#[derive(Debug, Default)]
struct KnownTorn {
    shards: BTreeMap<ShardId, ComparedUpTo>,
    torn: BTreeMap<ClientKey, BTreeSet<ShardId>>,
    /// How many of each shard, those included that are not open.
    counts: BTreeMap<ShardId, u64>,
    /// Found since somebody reported it last.
    news: BTreeSet<ClientKey>,
}

/// How far the tenants of a shard were compared with those of all the others here.
#[derive(Debug, Default)]
struct ComparedUpTo {
    compared: u64,
    /// As written in the shard.
    remembered: u64,
    /// Found, and not written yet: the tenant, and the other shard.
    unwritten: Vec<(ClientKey, ShardId)>,
}

impl TornTenants {
    /// Takes in what a shard remembers. Once is enough.
    pub fn load(&self, reader: &Reader) -> Result<(), ReadError> {
        self.lock().load(reader)
    }

    /// Looks at what is new in the shards. Answers whether that found anything to report.
    pub fn catch_up(&self, shards: &[Reader]) -> Result<bool, ReadError> {
        let (is_news, unread) = self.catch_up_each(shards);
        unread.into_values().next().map_or(Ok(is_news), Err)
    }

    /// The same, and whatever does not read of a shard keeps none of the others from being compared: answers which those
    /// are. What was to be compared with them is looked at again.
    pub fn catch_up_each(&self, shards: &[Reader]) -> (bool, Unread) {
        let (mut state, mut unread) = (self.lock(), Unread::new());
        for reader in shards {
            if let Err(error) = state.load(reader) {
                unread.insert(reader.shard().clone(), error);
            }
        }
        for reader in shards {
            state.compare(reader, shards, &mut unread);
        }
        (!state.news.is_empty(), unread)
    }

    /// The tenants that were found to be torn since this was asked last, so that each is reported once.
    pub fn take_news(&self) -> Vec<TornTenant> {
        let mut state = self.lock();
        let news = std::mem::take(&mut state.news);
        news.into_iter().map(|client| state.torn_tenant(client)).collect()
    }

    /// Writes what was found out into the shards, and, if all that the directory has were among them, how far they
    /// were compared.
    pub fn remember(&self, shards: &[Reader], is_whole: impl FnOnce() -> bool) -> Result<(), StorageError> {
        let mut state = self.lock();
        if state.shards.values().all(|progress| !progress.is_due()) {
            return Ok(());
        }
        let is_whole = is_whole();
        for reader in shards {
            if let Some(progress) = state.shards.get_mut(reader.shard()).filter(|progress| progress.is_due())
            {
                progress.write(reader, is_whole)?;
            }
        }
        Ok(())
    }

    /// How many tenants of a shard another one has too.
    pub fn count(&self, shard: &ShardId) -> u64 {
        self.lock().counts.get(shard).copied().unwrap_or(0)
    }

    /// Who has a tenant, if it is torn.
    pub fn shards_of(&self, client: &ClientKey) -> Option<Vec<ShardId>> {
        self.lock().torn.get(client).map(|shards| shards.iter().cloned().collect())
    }

    /// Torn tenants in order of their keys, those after `after`.
    pub fn page(&self, after: Option<&ClientKey>, limit: usize) -> Vec<TornTenant> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.lock();
        let page = state.torn.range((from, Bound::Unbounded)).take(limit);
        page.map(|(client, _)| state.torn_tenant(client.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, KnownTorn> {
        // What a panic leaves half done is looked at again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownTorn {
    fn load(&mut self, reader: &Reader) -> Result<(), ReadError> {
        if self.shards.contains_key(reader.shard()) {
            return Ok(());
        }
        let (remembered, torn) = reader.remembered_torn()?;
        if reader.next_position() > 0 {
            // The others were not compared with this one.
            for progress in self.shards.values_mut() {
                progress.compared = progress.compared.min(progress.remembered);
            }
        }
        let progress = ComparedUpTo { compared: remembered, remembered, ..ComparedUpTo::default() };
        self.shards.insert(reader.shard().clone(), progress);
        for (client, other) in torn {
            self.note(&client, [reader.shard(), &other]);
        }
        Ok(())
    }

    /// Looks for the newest tenants of one shard in all others.
    fn compare(&mut self, reader: &Reader, shards: &[Reader], unread: &mut Unread) {
        let until = reader.next_position();
        let from = self.shards.get(reader.shard()).map_or(0, |progress| progress.compared);
        if from >= until {
            return;
        }
        let others: Vec<&Reader> = shards.iter().filter(|other| other.shard() != reader.shard()).collect();
        let mut is_compared = true;
        if !others.is_empty() {
            let walked = reader.each_new_tenant(from, until, |client| {
                for other in &others {
                    match other.has_tenant(&client) {
                        Ok(true) => self.find(&client, reader, other),
                        Ok(false) => {}
                        Err(error) => {
                            is_compared = false;
                            unread.entry(other.shard().clone()).or_insert(error);
                        }
                    }
                }
                Ok(())
            });
            if let Err(error) = walked {
                is_compared = false;
                unread.entry(reader.shard().clone()).or_insert(error);
            }
        }
        if let Some(progress) = self.shards.get_mut(reader.shard()).filter(|_| is_compared) {
            progress.compared = until;
        }
    }

    /// Of one shard's new tenant, that another one has it too.
    fn find(&mut self, client: &ClientKey, reader: &Reader, other: &Reader) {
        if self.note(client, [reader.shard(), other.shard()]) {
            self.news.insert(client.clone());
        }
        if let Some(progress) = self.shards.get_mut(reader.shard()) {
            let found = (client.clone(), other.shard().clone());
            if !progress.unwritten.contains(&found) {
                progress.unwritten.push(found);
            }
        }
    }

    /// Answers whether it says more than was known.
    fn note(&mut self, client: &ClientKey, shards: [&ShardId; 2]) -> bool {
        let known = self.torn.entry(client.clone()).or_default();
        let mut is_news = false;
        for shard in shards {
            if known.insert(shard.clone()) {
                is_news = true;
                *self.counts.entry(shard.clone()).or_default() += 1;
            }
        }
        is_news
    }

    fn torn_tenant(&self, client: ClientKey) -> TornTenant {
        let shards = self.torn.get(&client).into_iter().flatten().cloned().collect();
        TornTenant { client, shards }
    }
}

impl ComparedUpTo {
    fn is_due(&self) -> bool {
        !self.unwritten.is_empty() || self.compared >= self.remembered.saturating_add(REMEMBERED_EVERY)
    }

    fn write(&mut self, reader: &Reader, is_whole: bool) -> Result<(), StorageError> {
        let compared = is_whole.then_some(self.compared);
        reader.remember_torn(compared, &self.unwritten)?;
        self.unwritten.clear();
        self.remembered = compared.unwrap_or(self.remembered);
        Ok(())
    }
}

/// Compares the shards of a data directory that are open here with each other, and remembers what is found: the
/// tenants that were not known to be torn.
pub fn find_torn(data: &DataDir, shards: &[Reader]) -> Result<Vec<TornTenant>, ReadError> {
    let torn = TornTenants::default();
    torn.catch_up(shards)?;
    torn.remember(shards, || are_all(data, shards))?;
    Ok(torn.take_news())
}

/// Whether a directory has no shards but these.
pub(crate) fn are_all(data: &DataDir, shards: &[Reader]) -> bool {
    let is_here = |id: &ShardId| shards.iter().any(|reader| reader.shard() == id);
    data.shards().is_ok_and(|all| all.iter().all(is_here))
}

impl Reader {
    /// Whether the shard has a tenant.
    pub fn has_tenant(&self, client: &ClientKey) -> Result<bool, ReadError> {
        let row = self.database().get(Family::Tenants, key::tenant(client), &ReadOptions::default())?;
        Ok(row.is_some())
    }

    /// Up to which position it was compared with others, and the tenants that others have too.
    fn remembered_torn(&self) -> Result<(u64, Vec<(ClientKey, ShardId)>), ReadError> {
        let (database, options) = (self.database(), ReadOptions::default());
        let key = MetaKey::Compared.encode();
        let compared = match database.get(Family::Meta, &key, &options)? {
            Some(value) => key::parse_u64(&value).map_err(|error| damaged(Family::Meta, &key, error))?,
            None => 0,
        };
        let mut scan = database.scan(Family::Meta, prefixed(MetaKey::TORN.to_vec()), options)?;
        let mut torn = Vec::new();
        while let Some((key, _)) = scan.step()? {
            let decoded = MetaKey::decode(key).map_err(|error| damaged(Family::Meta, key, error))?;
            let MetaKey::Torn { client, other } = decoded else { continue };
            let other = ShardId::parse(&other);
            torn.push((client, other.ok_or_else(|| damaged(Family::Meta, key, Damage::Misplaced))?));
        }
        Ok((compared, torn))
    }

    fn remember_torn(
        &self,
        compared: Option<u64>,
        torn: &[(ClientKey, ShardId)],
    ) -> Result<(), StorageError> {
        let (database, mut batch) = (self.database(), WriteBatch::default());
        let meta = database.family(Family::Meta)?;
        for (client, other) in torn {
            let key = MetaKey::Torn { client: client.clone(), other: other.to_string() };
            batch.put_cf(meta, key.encode(), []);
        }
        if let Some(compared) = compared {
            batch.put_cf(meta, MetaKey::Compared.encode(), key::reference(compared));
        }
        database.write(batch, &WriteOptions::default())
    }

    /// Hands on every tenant whose first record has one of these positions.
    fn each_new_tenant(
        &self,
        from: u64,
        until: u64,
        mut take: impl FnMut(ClientKey) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut references =
            PlacedEntries::new(self.database(), Family::Positions, from..until, ReadOptions::default())?;
        while let Some((position, reference)) = references.step()? {
            if let LogKey { stream: Stream::Tenant(client), seq: 1 } = decode::reference(position, reference)?
            {
                take(client)?;
            }
        }
        Ok(())
    }
}
