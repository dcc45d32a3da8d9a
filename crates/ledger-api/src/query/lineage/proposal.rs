//! Tenants that share a name, and which of them may go on from which.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use ledger_core::event::Event;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::state::Installation;
use ledger_core::time::Timestamp;
use ledger_record::key::NameKind;
use ledger_record::record::{Content, Record, Stream};
use ledger_record::rows::TenantRow;
use ledger_store::{ReadError, TornTenants};
use serde::Serialize;

use crate::ledger::{QueryError, Reading, ShardSnapshot};
use crate::limits::LINEAGE_SHARED_MOST;

/// Two installations of one app that may be one: nothing is recorded of it, and nothing follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposedLink {
    /// The app.
    pub app_key: AppKey,
    /// The one that fell silent.
    pub older: OlderInstallation,
    /// The one that appeared after that.
    pub newer: NewerInstallation,
    /// What both have.
    pub shared: Vec<SharedName>,
}

/// The installation that fell silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OlderInstallation {
    /// The tenant.
    pub client_key: ClientKey,
    /// The last record of the tenant.
    pub seq: u64,
    /// Time of its last event that concerns the installation.
    pub last_event: Timestamp,
}

/// The installation that appeared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewerInstallation {
    /// The tenant.
    pub client_key: ClientKey,
    /// The first record of the installation, in the tenant's log.
    pub seq: u64,
    /// Time of its event.
    pub first_event: Timestamp,
}

/// A name that two installations have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedName {
    /// What it names.
    pub by: NameKind,
    /// The name; a site host in small letters and without `www.`.
    pub value: String,
}

/// Tenants that share a number, by number, out of all shards.
pub(super) struct Groups<'a> {
    names: Vec<Names<'a>>,
    heads: BinaryHeap<Reverse<(u64, ClientKey, usize)>>,
    reading: &'a Reading<'a>,
}

type Names<'a> = Box<dyn Iterator<Item = Result<(u64, ClientKey), ReadError>> + 'a>;

/// Tenants that share a number.
pub(super) struct Group {
    pub(super) number: u64,
    /// With the number of the shard. None: too many to tell anything.
    tenants: Vec<(ClientKey, usize)>,
    /// The last one of all.
    pub(super) last: ClientKey,
    /// Entries of the index.
    pub(super) looked_at: usize,
}

impl<'a> Groups<'a> {
    /// Those behind a place; with a tenant, only those that it is in.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        client: Option<&ClientKey>,
        after: Option<(u64, ClientKey)>,
    ) -> Result<Self, QueryError> {
        let mut groups = Self { names: Vec::new(), heads: BinaryHeap::new(), reading };
        let numbers = client.map(|client| numbers_of(reading, client)).transpose()?;
        // A place is behind all tenants of its number.
        let after = after.map(|(number, _)| number);
        for shard in &reading.shards {
            let snapshot = &shard.snapshot;
            let unread = |error: ReadError| shard.unread(error);
            let names: Names<'a> = match &numbers {
                None => {
                    let begin = after.map_or(Some(0), |number| number.checked_add(1));
                    match begin {
                        Some(begin) => Box::new(snapshot.names(begin).map_err(unread)?),
                        None => Box::new(std::iter::empty()),
                    }
                }
                Some(numbers) => {
                    let mut all = Vec::new();
                    for number in numbers.iter().filter(|number| after.is_none_or(|after| **number > after)) {
                        let named = snapshot.tenants_named(*number, None).map_err(unread)?;
                        let most = LINEAGE_SHARED_MOST + 1;
                        all.extend(named.take(most).map(|client| client.map(|client| (*number, client))));
                    }
                    Box::new(all.into_iter())
                }
            };
            groups.names.push(names);
        }
        for index in 0..groups.names.len() {
            groups.refill(index)?;
        }
        Ok(groups)
    }

    fn refill(&mut self, index: usize) -> Result<(), QueryError> {
        if let Some(name) = self.names[index].next() {
            let (number, client) = name.map_err(|error| self.reading.shards[index].unread(error))?;
            self.heads.push(Reverse((number, client, index)));
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> Result<Option<Group>, QueryError> {
        let Some(Reverse((number, client, index))) = self.heads.pop() else { return Ok(None) };
        self.refill(index)?;
        let mut group = Group { number, tenants: vec![(client.clone(), index)], last: client, looked_at: 1 };
        while let Some(Reverse((next, ..))) = self.heads.peek()
            && *next == number
            && let Some(Reverse((_, client, index))) = self.heads.pop()
        {
            self.refill(index)?;
            group.looked_at += 1;
            if group.looked_at.is_multiple_of(1024) {
                self.reading.ledger.in_time()?;
            }
            group.last = client.clone();
            // One more tells that there are too many.
            if group.tenants.len() <= LINEAGE_SHARED_MOST {
                group.tenants.push((client, index));
            }
        }
        if group.tenants.len() > LINEAGE_SHARED_MOST {
            group.tenants.clear();
        }
        Ok(Some(group))
    }
}

/// The numbers of all names of a tenant, in order.
fn numbers_of(reading: &Reading<'_>, client: &ClientKey) -> Result<Vec<u64>, QueryError> {
    let mut numbers = Vec::new();
    for shard in &reading.shards {
        let row = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))?;
        for installation in row.iter().flat_map(|row| row.tenant.installations.values()) {
            let of = |kind: &NameKind| kind.of(installation).map(|name| kind.number(&name));
            numbers.extend(NameKind::ALL.iter().filter_map(of));
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// An installation of a group.
struct Member<'g> {
    client: &'g ClientKey,
    installation: &'g Installation,
    row: &'g TenantRow,
    /// Its first record: seq, and time of the event.
    first: (u64, Timestamp),
}

impl Group {
    /// Of each app, which of the tenants may go on from the one before it.
    pub(super) fn proposals(
        &self,
        reading: &Reading<'_>,
        torn: &TornTenants,
        app: Option<&AppKey>,
    ) -> Result<Vec<ProposedLink>, QueryError> {
        if self.tenants.len() < 2 {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for (client, index) in &self.tenants {
            let shard = &reading.shards[*index];
            let row = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))?;
            if let Some(row) = row.filter(|_| torn.shards_of(client).is_none()) {
                rows.push((client, shard, row));
            }
        }
        let mut by_app: BTreeMap<&AppKey, Vec<Member<'_>>> = BTreeMap::new();
        for (client, shard, row) in &rows {
            for (of, installation) in &row.tenant.installations {
                let is_named = NameKind::ALL
                    .iter()
                    .any(|kind| kind.of(installation).is_some_and(|name| kind.number(&name) == self.number));
                if is_named && app.is_none_or(|app| app == of) {
                    let first = first_record(reading, shard, client, of)?;
                    if let Some(first) = first {
                        by_app.entry(of).or_default().push(Member { client, installation, row, first });
                    }
                }
            }
        }
        let mut proposals = Vec::new();
        for (app, mut members) in by_app {
            members.sort_by(|one, other| (one.first.1, one.client).cmp(&(other.first.1, other.client)));
            let pairs = members.iter().zip(members.iter().skip(1));
            proposals.extend(pairs.filter_map(|(older, newer)| self.proposal(app, older, newer)));
        }
        Ok(proposals)
    }

    fn proposal(&self, app: &AppKey, older: &Member<'_>, newer: &Member<'_>) -> Option<ProposedLink> {
        let last_event = older.row.tenant.latest_of(app)?;
        let (before, after) = (&newer.installation.predecessor, &older.installation.successor);
        let is_linked = before.as_ref().is_some_and(|link| link.installation.client == *older.client)
            || after.as_ref().is_some_and(|link| link.client == *newer.client);
        if is_linked || last_event >= newer.first.1 {
            return None;
        }
        let shared = NameKind::ALL.iter().filter_map(|kind| {
            let value = kind.of(older.installation)?;
            (kind.of(newer.installation).as_ref() == Some(&value)).then_some(SharedName { by: *kind, value })
        });
        let shared: Vec<SharedName> = shared.collect();
        // Two that share several names are in several groups; the first one has them.
        let first = shared.iter().map(|name| name.by.number(&name.value)).min()?;
        (first == self.number).then(|| ProposedLink {
            app_key: app.clone(),
            older: OlderInstallation { client_key: older.client.clone(), seq: older.row.seq, last_event },
            newer: NewerInstallation {
                client_key: newer.client.clone(),
                seq: newer.first.0,
                first_event: newer.first.1,
            },
            shared,
        })
    }
}

/// The first record of an installation.
fn first_record(
    reading: &Reading<'_>,
    shard: &ShardSnapshot<'_>,
    client: &ClientKey,
    app: &AppKey,
) -> Result<Option<(u64, Timestamp)>, QueryError> {
    let stream = Stream::Tenant(client.clone());
    for record in shard.snapshot.records(&stream, 1).map_err(|error| shard.unread(error))? {
        reading.ledger.in_time()?;
        let Record { seq, content, .. } = record.map_err(|error| shard.unread(error))?;
        if let Content::Event { event, .. } = content
            && event.app() == Some(app)
        {
            let Event { time, .. } = *event;
            return Ok(Some((seq, time)));
        }
    }
    Ok(None)
}
