//! Tenants that share a name, and which of them may go on from which.
//!
//! `from` and `to` are proposed if they have one app and share a name, neither a successor of `from` nor a predecessor of
//! `to` is recorded, and the last that the platform sent of `from` is older than the first that it sent of `to`. What the
//! operator or the partner recorded (`override`, `data-located`, …) is no sign of life. Where installations came one after
//! the other, only neighbours are proposed: no third one that has every name that the two share lies between them.
//!
//! Tenants that share a name are a group. A pair that shares several names is in several groups; the one with the lowest
//! number that is not too large proposes it.

use ledger_core::event::{Body, InstallationFact};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::{Installation, Status};
use ledger_core::time::Timestamp;
use ledger_record::key::NameKind;
use ledger_record::record::{Content, Stream};
use ledger_store::{AppsWith, List};
use serde::Serialize;

use super::{FilledLineage, Merge};
use crate::ledger::{QueryError, ShardSnapshot};
use crate::limits::LINEAGE_SHARED_MOST;
use crate::query::cursor::CursorPlace;

/// Two installations of one app that may be one: nothing is recorded of it, and nothing follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposedLink {
    /// The app.
    pub app_key: AppKey,
    /// The one that fell silent.
    pub from: ProposedInstallation,
    /// The one that appeared after that.
    pub to: ProposedInstallation,
    /// What both have.
    pub shared: Vec<SharedName>,
}

/// One of the two, and when the platform sent something of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposedInstallation {
    /// The tenant.
    pub client_key: ClientKey,
    /// As it is now.
    pub status: Status,
    /// Where it is pinned.
    pub pinned_realm: Option<Realm>,
    /// The record of the first event.
    pub first_seq: u64,
    /// Time of the first event.
    pub first_event: Timestamp,
    /// The record of the last event.
    pub last_seq: u64,
    /// Time of the last event.
    pub last_event: Timestamp,
}

/// A name that two installations have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedName {
    /// What it names.
    pub by: NameKind,
    /// The name; a site host in small letters and without `www.`.
    pub value: String,
}

/// A name that more than [`LINEAGE_SHARED_MOST`] tenants have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommonName {
    /// The app that they have.
    pub app_key: AppKey,
    /// The name.
    #[serde(rename = "")]
    pub name: SharedName,
}

/// Tenants that have one app and share a name.
struct Group<'g> {
    app: &'g AppKey,
    /// Of the name.
    number: u64,
    /// With the number of the shard; one more than [`LINEAGE_SHARED_MOST`] if there are more.
    tenants: Vec<(ClientKey, usize)>,
}

/// An installation of a group.
struct Namesake {
    client: ClientKey,
    installation: Installation,
    names: Vec<SharedName>,
    heard: Heard,
}

/// The first and the last that the platform sent of an installation: time of the event, and seq.
#[derive(Clone, Copy)]
struct Heard {
    first: (Timestamp, u64),
    last: (Timestamp, u64),
}

impl FilledLineage<'_> {
    /// Proposals from the place on. Answers whether there are no more.
    pub(super) fn fill_proposals(&mut self) -> Result<bool, QueryError> {
        let after = match &self.last {
            Some(CursorPlace::Name(app, number, so_far)) => Some((app.clone(), *number, *so_far)),
            _ => None,
        };
        for app in self.reading.apps_with(AppsWith::Names, self.asked.app.as_ref())? {
            let from = match &after {
                Some((of, ..)) if *of > app => None,
                Some((of, number, None)) if *of == app => number.checked_add(1),
                Some((of, number, Some(_))) if *of == app => Some(*number),
                _ => Some(0),
            };
            let Some(from) = from else { continue };
            let is_done = match &self.asked.client {
                Some(client) => self.of_tenant(&app, client, from)?,
                None => self.of_all(&app, from)?,
            };
            if !is_done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of_all(&mut self, app: &AppKey, from: u64) -> Result<bool, QueryError> {
        let reading = self.reading;
        let names = |from| {
            Merge::<(u64, ClientKey)>::new(reading, |shard| Ok(Box::new(shard.snapshot.names(app, from)?)))
        };
        let mut merge = names(from)?;
        while let Some(((number, client), index)) = merge.next()? {
            if self.is_full() {
                return Ok(false);
            }
            let mut group = Group { app, number, tenants: vec![(client, index)] };
            while merge.peek().is_some_and(|(next, _)| *next == number) && !group.is_too_large() {
                let next = merge.next()?;
                group.tenants.extend(next.map(|((_, client), index)| (client, index)));
            }
            let is_too_large = group.is_too_large();
            if !self.take(group)? {
                return Ok(false);
            }
            // The rest of them is skipped.
            match number.checked_add(1).filter(|_| is_too_large) {
                Some(next) => merge = names(next)?,
                None if is_too_large => break,
                None => {}
            }
        }
        Ok(true)
    }

    fn of_tenant(&mut self, app: &AppKey, client: &ClientKey, from: u64) -> Result<bool, QueryError> {
        let mut numbers = Vec::new();
        for shard in &self.reading.shards {
            let row = shard.snapshot.tenant(client).map_err(|error| shard.unread(error))?;
            let installation = row.and_then(|mut row| row.tenant.installations.remove(app));
            let names = installation.iter().flat_map(names_of);
            numbers.extend(names.map(|name| name.number()).filter(|number| *number >= from));
        }
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            if self.is_full() {
                return Ok(false);
            }
            let tenants = self.tenants_named(app, number)?;
            if !self.take(Group { app, number, tenants })? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tenants with the number of a name, one more than [`LINEAGE_SHARED_MOST`] at most.
    fn tenants_named(&self, app: &AppKey, number: u64) -> Result<Vec<(ClientKey, usize)>, QueryError> {
        let (list, mut tenants) = (List::Named(app.clone(), number), Vec::new());
        for (index, shard) in self.reading.shards.iter().enumerate() {
            let left = (LINEAGE_SHARED_MOST + 1).saturating_sub(tenants.len());
            let page = shard.snapshot.list(&list, None, left).map_err(|error| shard.unread(error))?;
            tenants.extend(page.installations.into_iter().map(|(client, _)| (client, index)));
        }
        Ok(tenants)
    }

    /// Lists what a group proposes, from the place on. Answers whether that is all.
    fn take(&mut self, group: Group<'_>) -> Result<bool, QueryError> {
        self.reading.ledger.in_time()?;
        let Group { app, number, .. } = group;
        let so_far = match &self.last {
            Some(CursorPlace::Name(of, at, Some(so_far))) if of == app && *at == number => *so_far,
            _ => 0,
        };
        self.last = Some(CursorPlace::Name(app.clone(), number, None));
        self.looked_at += group.tenants.len();
        if group.tenants.len() < 2 {
            return Ok(true);
        }
        if group.is_too_large() {
            self.add_common(group)?;
            return Ok(true);
        }
        let members = self.members(group)?;
        for (place, (from, to)) in neighbours(&members).into_iter().enumerate().skip(so_far) {
            if self.has_enough() {
                self.last = Some(CursorPlace::Name(app.clone(), number, Some(place)));
                return Ok(false);
            }
            let shared = from.shared_with(to);
            let has = |asked: &ClientKey| *asked == from.client || *asked == to.client;
            if self.asked.client.as_ref().is_none_or(has) && self.is_first_group(app, number, &shared)? {
                let (from, to) = (from.shown(), to.shown());
                let proposal = ProposedLink { app_key: app.clone(), from, to, shared };
                self.bytes.add(&proposal);
                self.page.proposals.push(proposal);
            }
        }
        Ok(true)
    }

    fn add_common(&mut self, group: Group<'_>) -> Result<(), QueryError> {
        for (client, index) in group.tenants {
            let shard = &self.reading.shards[index];
            let row = shard.snapshot.tenant(&client).map_err(|error| shard.unread(error))?;
            let installation = row.and_then(|mut row| row.tenant.installations.remove(group.app));
            let mut names = installation.iter().flat_map(names_of);
            if let Some(name) = names.find(|name| name.number() == group.number) {
                self.page.common_names.push(CommonName { app_key: group.app.clone(), name });
                break;
            }
        }
        Ok(())
    }

    /// Whether no smaller number proposes the pair.
    fn is_first_group(&self, app: &AppKey, number: u64, shared: &[SharedName]) -> Result<bool, QueryError> {
        for smaller in shared.iter().map(SharedName::number).filter(|of| *of < number) {
            if self.tenants_named(app, smaller)?.len() <= LINEAGE_SHARED_MOST {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn members(&mut self, group: Group<'_>) -> Result<Vec<Namesake>, QueryError> {
        let mut members = Vec::new();
        for (client, index) in group.tenants {
            let shard = &self.reading.shards[index];
            let row = shard.snapshot.tenant(&client).map_err(|error| shard.unread(error))?;
            let installation = row.and_then(|mut row| row.tenant.installations.remove(group.app));
            let Some(installation) = installation else { continue };
            let names: Vec<SharedName> = names_of(&installation).collect();
            // Another name can have the same number.
            if !names.iter().any(|name| name.number() == group.number) || self.refuses(&client) {
                continue;
            }
            if let Some(heard) = self.heard(shard, &client, group.app)? {
                members.push(Namesake { client, installation, names, heard });
            }
        }
        Ok(members)
    }

    /// Reads what the platform sent of an installation.
    fn heard(
        &mut self,
        shard: &ShardSnapshot<'_>,
        client: &ClientKey,
        app: &AppKey,
    ) -> Result<Option<Heard>, QueryError> {
        let mut heard = None::<Heard>;
        let stream = Stream::Tenant(client.clone());
        for record in shard.snapshot.records(&stream, 1).map_err(|error| shard.unread(error))? {
            let record = record.map_err(|error| shard.unread(error))?;
            self.looked_at += 1;
            if self.looked_at.is_multiple_of(1024) {
                self.reading.ledger.in_time()?;
            }
            if let Content::Event { event, .. } = record.content
                && let Body::Installation { app: of, fact, .. } = &event.body
                && of == app
                && is_sent_by_platform(fact)
            {
                let one = (event.time, record.seq);
                let so_far = heard.unwrap_or(Heard { first: one, last: one });
                heard = Some(Heard { first: so_far.first.min(one), last: so_far.last.max(one) });
            }
        }
        Ok(heard)
    }
}

impl Group<'_> {
    fn is_too_large(&self) -> bool {
        self.tenants.len() > LINEAGE_SHARED_MOST
    }
}

impl SharedName {
    fn number(&self) -> u64 {
        self.by.number(&self.value)
    }
}

impl Namesake {
    fn is_before(&self, other: &Self) -> bool {
        self.heard.last.0 < other.heard.first.0
    }

    fn shared_with(&self, other: &Self) -> Vec<SharedName> {
        self.names.iter().filter(|name| other.names.contains(name)).cloned().collect()
    }

    fn shown(&self) -> ProposedInstallation {
        let Heard { first, last } = self.heard;
        ProposedInstallation {
            client_key: self.client.clone(),
            status: self.installation.status,
            pinned_realm: self.installation.pin.as_ref().map(|pin| pin.realm),
            first_seq: first.1,
            first_event: first.0,
            last_seq: last.1,
            last_event: last.0,
        }
    }
}

fn names_of(installation: &Installation) -> impl Iterator<Item = SharedName> {
    NameKind::ALL.iter().filter_map(move |by| Some(SharedName { by: *by, value: by.of(installation)? }))
}

/// Pairs of which one may go on from the other, in order of time.
fn neighbours(members: &[Namesake]) -> Vec<(&Namesake, &Namesake)> {
    let mut pairs = Vec::new();
    for from in members.iter().filter(|from| from.installation.successor.is_none()) {
        for to in members.iter().filter(|to| to.installation.predecessor.is_none()) {
            let shared = from.shared_with(to);
            let lies_between = |third: &Namesake| {
                from.is_before(third)
                    && third.is_before(to)
                    && shared.iter().all(|name| third.names.contains(name))
            };
            if from.is_before(to) && !members.iter().any(lies_between) {
                pairs.push((from, to));
            }
        }
    }
    pairs.sort_by(|one, other| {
        let ends = |(from, to): &(&Namesake, &Namesake)| (from.heard.last.0, to.heard.first.0);
        let keys = (&one.0.client, &one.1.client).cmp(&(&other.0.client, &other.1.client));
        ends(one).cmp(&ends(other)).then(keys)
    });
    pairs
}

/// The platform sends these; the others are of the operator, or of the partner.
const fn is_sent_by_platform(fact: &InstallationFact) -> bool {
    matches!(
        fact,
        InstallationFact::Installed(_)
            | InstallationFact::Uninstalled { .. }
            | InstallationFact::Enabled
            | InstallationFact::Disabled
            | InstallationFact::MigrationScheduled { .. }
            | InstallationFact::MigrationStarted { .. }
            | InstallationFact::MigrationCommitted { .. }
            | InstallationFact::MigrationRolledBack { .. }
    )
}
