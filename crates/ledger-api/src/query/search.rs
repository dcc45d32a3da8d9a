//! Tenants by what they are known by: the beginning of the client key; a site host, an entitlement id or an installation
//! id as a whole.
//!
//! In the order of the client keys, whichever way a tenant was found. The index has names as numbers, so every tenant
//! is looked at before it is listed. What an installation was known by before is not found.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::site::site_host;
use ledger_core::tenant::Tenant;
use ledger_record::key::NameKind;
use ledger_store::{ReadError, ShardId, TornTenant, TornTenants};
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

    /// The first tenants of a shard that may be meant.
    fn candidates(
        &self,
        shard: &ShardSnapshot<'_>,
        after: Option<&ClientKey>,
        most: usize,
    ) -> Result<BTreeSet<ClientKey>, ReadError> {
        let snapshot = &shard.snapshot;
        let beginning = snapshot.tenants_beginning_with(&self.client_key_prefix, after)?.take(most);
        let mut found = beginning.collect::<Result<BTreeSet<_>, _>>()?;
        for kind in NameKind::ALL {
            let Some(name) = self.name(*kind) else { continue };
            for client in snapshot.tenants_named(kind.number(name), after)?.take(most) {
                found.insert(client?);
            }
        }
        Ok(found)
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
    let mut found: BTreeMap<ClientKey, Vec<usize>> = BTreeMap::new();
    for (index, shard) in reading.shards.iter().enumerate() {
        reading.ledger.in_time()?;
        // One more than the page has tells whether anything follows.
        let candidates = searched.candidates(shard, after, limit + 1).map_err(|error| shard.unread(error))?;
        for client in candidates {
            found.entry(client).or_default().push(index);
        }
    }
    let mut filled = FilledSearch { tenants: Vec::new(), refused: Vec::new(), next_cursor: None };
    let (mut bytes, mut last) = (PageBytes::new(reading.ledger.page_bytes), None);
    for (count, (client, places)) in found.into_iter().enumerate() {
        if count == limit || bytes.is_full() {
            filled.next_cursor = last.map(|client| Cursor { list, after: CursorPlace::Client(client) });
            break;
        }
        reading.ledger.in_time()?;
        last = Some(client.clone());
        let own: Vec<ShardId> = places.iter().map(|place| reading.shards[*place].id.clone()).collect();
        let shards = torn.shards_of(&client).or_else(|| (own.len() > 1).then_some(own));
        if let Some(shards) = shards {
            filled.refused.push(RefusedTenant::from(&TornTenant { client, shards }));
            continue;
        }
        let Some(shard) = places.first().map(|place| &reading.shards[*place]) else { continue };
        let row = shard.snapshot.tenant(&client).map_err(|error| shard.unread(error))?;
        let Some(row) = row else { continue };
        let matches = searched.matches(&client, &row.tenant);
        if !matches.is_empty() {
            let app_keys = row.tenant.installations.keys().cloned().collect();
            let tenant = FoundTenant { client_key: client, app_keys, matches };
            bytes.add(&tenant);
            filled.tenants.push(tenant);
        }
    }
    Ok(filled)
}
