//! Tenants by what they are known by: the beginning of the client key; a site host, an entitlement id or an installation
//! id as a whole.
//!
//! In the order of the client keys, whichever way a tenant was found. The index has names as numbers, so every tenant
//! is compared before it is listed. A search has no instant: everything that is recorded counts, also what is dated
//! ahead. A name that an installation had before is not found.

use std::collections::BTreeMap;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::site::site_host;
use ledger_core::tenant::Tenant;
use ledger_record::key::{IndexEntry, NameKind};
use ledger_record::rows::TenantRow;
use ledger_store::{AppsWith, List, ReadError, TornTenant, TornTenants};
use serde::{Deserialize, Serialize, Serializer};

use super::LineSink;
use super::cursor::{Cursor, CursorPlace, Page, fingerprint, page_limit};
use super::left_out::without_unread;
use crate::ledger::{FreshnessJson, PageBytes, QueryError, Reading, RefusedTenant, ShardSnapshot};
use crate::limits::{LIST_DEFAULT, LIST_MAX, SEARCH_MAX_BYTES};

/// Tenants that are known by a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchQuery {
    /// The text.
    pub q: String,
    /// Where to go on, and how far.
    pub page: Page,
}

/// A page of tenants. A page can be short, or empty, and not the last: go on while there is a cursor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchPage<T = FoundTenant> {
    /// By client key.
    pub tenants: Vec<T>,
    /// What was looked for.
    pub searched: Searched,
    /// Tenants that are found and left out, as no shard has their whole history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<Cursor>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

/// What was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Searched {
    /// What client keys begin with, letter by letter.
    pub client_key_prefix: String,
    /// The host of a site, in small letters and without `www.`; absent where the text has none.
    pub site_host: Option<String>,
    /// Letter by letter.
    pub entitlement_id: String,
    /// Letter by letter.
    pub installation_id: String,
}

/// A tenant, and why it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundTenant {
    /// Which.
    pub client_key: ClientKey,
    /// Its apps.
    pub app_keys: Vec<AppKey>,
    /// Why it was found.
    pub matches: Vec<SearchMatch>,
}

/// Why a tenant was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchMatch {
    /// By what.
    pub by: FoundBy,
    /// The installations that have the name; none: the tenant has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub app_keys: Vec<AppKey>,
}

/// By what a tenant was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// Its key begins with the text.
    ClientKey,
    /// An installation has the name.
    Name(NameKind),
}

impl Serialize for FoundBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::ClientKey => "CLIENT_KEY",
            Self::Name(kind) => kind.as_str(),
        })
    }
}

impl Searched {
    fn parse(text: &str) -> Result<Self, QueryError> {
        if !(1..=SEARCH_MAX_BYTES).contains(&text.len()) || text.chars().any(char::is_control) {
            return Err(QueryError::SearchText { most: SEARCH_MAX_BYTES });
        }
        let own = || text.to_owned();
        let site_host = site_host(text);
        Ok(Self { client_key_prefix: own(), site_host, entitlement_id: own(), installation_id: own() })
    }

    fn name(&self, kind: NameKind) -> Option<&str> {
        match kind {
            NameKind::SiteHost => self.site_host.as_deref(),
            NameKind::EntitlementId => Some(&self.entitlement_id),
            NameKind::InstallationId => Some(&self.installation_id),
        }
    }

    fn matches(&self, client: &ClientKey, tenant: &Tenant) -> Vec<SearchMatch> {
        let begins = client.as_str().starts_with(&self.client_key_prefix);
        let by_key = begins.then(|| SearchMatch { by: FoundBy::ClientKey, app_keys: Vec::new() });
        let by_name = NameKind::ALL.iter().filter_map(|kind| {
            let name = self.name(*kind)?;
            let has_it = tenant.installations.iter().filter(|(_, one)| kind.of(one).as_deref() == Some(name));
            let app_keys: Vec<AppKey> = has_it.map(|(app, _)| app.clone()).collect();
            (!app_keys.is_empty()).then_some(SearchMatch { by: FoundBy::Name(*kind), app_keys })
        });
        by_key.into_iter().chain(by_name).collect()
    }
}

/// A page that is being filled.
struct FilledSearch {
    tenants: Vec<FoundTenant>,
    refused: Vec<RefusedTenant>,
    next_cursor: Option<Cursor>,
}

impl SearchQuery {
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<SearchPage, QueryError> {
        let Self { q, page: Page { cursor, limit } } = self;
        let (searched, limit) = (Searched::parse(q)?, page_limit(*limit, LIST_DEFAULT, LIST_MAX)?);
        let list = fingerprint(&["search", q]);
        let after = match cursor {
            None => None,
            Some(Cursor { list: of, after: CursorPlace::Client(client) }) if *of == list => Some(client),
            Some(_) => return Err(QueryError::ForeignCursor),
        };
        let (filled, freshness) =
            without_unread(reading, |reading, torn| fill(reading, torn, &searched, after, limit, list))?;
        let FilledSearch { tenants, refused, next_cursor } = filled;
        Ok(SearchPage { tenants, searched, refused, next_cursor, freshness })
    }
}

fn fill(
    reading: &Reading<'_>,
    torn: &TornTenants,
    searched: &Searched,
    after: Option<&ClientKey>,
    limit: usize,
    list: u64,
) -> Result<FilledSearch, QueryError> {
    let mut so_far = FilledSearch { tenants: Vec::new(), refused: Vec::new(), next_cursor: None };
    let (mut bytes, mut reached) = (PageBytes::new(reading.ledger.page_bytes), None);
    // One more than the page has tells whether anything follows.
    let candidates = Candidates::find(reading, searched, after, limit + 1)?;
    for (count, (client, index)) in candidates.found.into_iter().enumerate() {
        if count == limit || bytes.is_full() {
            so_far.next_cursor = reached.map(|client| Cursor { list, after: CursorPlace::Client(client) });
            break;
        }
        reading.ledger.in_time()?;
        reached = Some(client.clone());
        if let Some(shards) = torn.shards_of(&client) {
            so_far.refused.push(RefusedTenant::from(&TornTenant { client, shards }));
            continue;
        }
        let shard = &reading.shards[index];
        let row = shard.snapshot.tenant(&client).map_err(|error| shard.unread(error))?;
        let Some(TenantRow { mut tenant, .. }) = row else { continue };
        reading.ledger.grants.retain_in(&mut tenant);
        let matches = searched.matches(&client, &tenant);
        if !matches.is_empty() {
            let app_keys = tenant.installations.keys().cloned().collect();
            let found = FoundTenant { client_key: client, app_keys, matches };
            bytes.add(&found);
            so_far.tenants.push(found);
        }
    }
    Ok(so_far)
}

/// The first tenants that may be meant, each with the number of a shard that has it.
struct Candidates {
    found: BTreeMap<ClientKey, usize>,
    most: usize,
}

impl Candidates {
    fn find(
        reading: &Reading<'_>,
        searched: &Searched,
        after: Option<&ClientKey>,
        most: usize,
    ) -> Result<Self, QueryError> {
        let mut candidates = Self { found: BTreeMap::new(), most };
        let apps = reading.apps_with(AppsWith::Names, None)?;
        // A tenant is seen by its apps that are.
        let seen_by: Vec<Option<&AppKey>> = match reading.ledger.grants.apps() {
            None => vec![None],
            Some(apps) => apps.iter().map(Some).collect(),
        };
        for (index, shard) in reading.shards.iter().enumerate() {
            reading.ledger.in_time()?;
            for app in &seen_by {
                let prefix = &searched.client_key_prefix;
                let clients = shard.snapshot.tenants_beginning_with(prefix, *app, after);
                candidates.take(shard, index, clients.map_err(|error| shard.unread(error))?)?;
            }
            for (app, kind) in apps.iter().flat_map(|app| NameKind::ALL.iter().map(move |kind| (app, kind))) {
                let Some(name) = searched.name(*kind) else { continue };
                let (number, app) = (kind.number(name), app.clone());
                let start = after.map(|client| {
                    let entry = IndexEntry::Name { app: app.clone(), number, client: client.clone() };
                    // Nothing lies between a key and the same with a zero.
                    [entry.encode(), vec![0]].concat()
                });
                let named = shard.snapshot.list(&List::Named(app, number), start.as_deref(), most);
                let named = named.map_err(|error| shard.unread(error))?.installations;
                candidates.take(shard, index, named.into_iter().map(|(client, _)| Ok(client)))?;
            }
        }
        Ok(candidates)
    }

    /// Takes the first of tenants that come in order.
    fn take(
        &mut self,
        shard: &ShardSnapshot<'_>,
        index: usize,
        clients: impl Iterator<Item = Result<ClientKey, ReadError>>,
    ) -> Result<(), QueryError> {
        for client in clients.take(self.most) {
            let client = client.map_err(|error| shard.unread(error))?;
            let is_full = self.found.len() == self.most;
            if is_full && self.found.last_key_value().is_some_and(|(last, _)| client > *last) {
                break;
            }
            self.found.insert(client, index);
            if self.found.len() > self.most {
                self.found.pop_last();
            }
        }
        Ok(())
    }
}
