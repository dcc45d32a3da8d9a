//! A ledger in memory that builds real logs: records folded in arrival order, leaves, map, seals, checkpoints.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ledger_core::event::{AppFact, Body, Event, InstallationFact, Installed, TenantFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::realm::Realm;
use ledger_core::refold::Refold;
use ledger_core::state::Rule;
use ledger_core::tenant::{Entry, Outcome, Tenant};
use ledger_core::time::Timestamp;
use ledger_core::timeline::AppTimelines;
use ledger_record::proof::Hash;
use ledger_record::proof::bundle::{Bundle, ConsistencyPart, RecordPart, SealPart, StreamPart};
use ledger_record::proof::line::{
    Leaf, LeafContext, LedgerSecret, RecordLeaf, SealLeaf, commitment, leaf_hash, pinned_realm, stream_id,
};
use ledger_record::proof::map::{self, StreamHead};
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::proof::seal::SealPlacement;
use ledger_record::proof::{payload, tree};
use ledger_record::record::{Content, Coordinates, RULES, Record, Stream};
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};

use super::stored_map::StoredMap;
use super::tree::append;
use crate::samples::{descriptor, realm};

pub(crate) const ORIGIN: &str = "ledger.example.com/realm/7";
const DAY: i64 = 86_400_000;
const START: i64 = 1_772_359_200_000;

pub(crate) fn client(name: &str) -> ClientKey {
    ClientKey::new(name).unwrap()
}

pub(crate) fn app(name: &str) -> AppKey {
    AppKey::new(name).unwrap()
}

pub(crate) fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed(ORIGIN, [seed; 32]).unwrap()
}

#[derive(Clone)]
pub(crate) struct Ledger {
    lines: Vec<String>,
    nodes: BTreeMap<tree::Node, Hash>,
    map: BTreeMap<Hash, map::MapEntry>,
    heads: BTreeMap<Hash, StreamHead>,
    unsealed: BTreeMap<Hash, map::MapEntry>,
    records: Vec<Record>,
    tenants: BTreeMap<ClientKey, (Tenant, Vec<(u64, Event)>)>,
    apps: AppTimelines,
    placement: SealPlacement,
    rejected: u64,
    recorded: i64,
    secret: LedgerSecret,
    rules: u16,
    lie: Option<Lie>,
}

/// A lie of the operator; tree, chains and maps are consistent with the false leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lie {
    /// A wrong rule, in the record with this number of each tenant.
    Rule(u64, Rule),
    /// A wrong realm.
    Realm(u64, Option<Realm>),
    /// Another payload.
    Payload(u64, fn(&str) -> String),
    /// Another line of a tenant's record.
    Line(u64, fn(&str) -> String),
    /// Another line of the seal with this index.
    Seal(u64, fn(&str) -> String),
    /// No seals but those at ticks.
    NoSeals,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            nodes: BTreeMap::new(),
            map: BTreeMap::new(),
            heads: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            records: Vec::new(),
            tenants: BTreeMap::new(),
            apps: AppTimelines::default(),
            placement: SealPlacement::default(),
            rejected: 0,
            recorded: START,
            secret: LedgerSecret::from_bytes([9; 32]),
            rules: RULES,
            lie: None,
        }
    }

    /// Two apps, three tenants, a late event, a refused message, several seals.
    pub(crate) fn eventful() -> Self {
        let mut ledger = Self::new();
        ledger.live();
        ledger
    }

    /// The same log written with a lie.
    pub(crate) fn lying(lie: Lie) -> Self {
        let mut ledger = Self { lie: Some(lie), ..Self::new() };
        ledger.live();
        ledger
    }

    /// The same log, derived by another rule set.
    pub(crate) fn by_rules(rules: u16) -> Self {
        let mut ledger = Self { rules, ..Self::new() };
        ledger.live();
        ledger
    }

    /// The same lines with another map in the last seal.
    pub(crate) fn with_map_root(&self, root: Hash) -> Self {
        let mut lines = self.lines.clone();
        let Some(Ok(Leaf::Seal(seal))) = lines.last().map(|line| Leaf::parse(line)) else {
            panic!("no seal")
        };
        *lines.last_mut().unwrap() = SealLeaf { map_root: root, ..seal }.write().unwrap();
        let mut ledger = Self { lines: Vec::new(), nodes: BTreeMap::new(), ..self.clone() };
        for line in lines {
            ledger.push(line);
        }
        ledger
    }

    /// Nothing is recorded for this number of milliseconds.
    pub(crate) fn wait(&mut self, ms: i64) {
        self.recorded += ms;
    }

    fn live(&mut self) {
        let ledger = self;
        let [acme, other, third] = ["acme", "größe", "third"];
        ledger.app_level("app.one", -1, AppFact::DescriptorPublished { descriptor: descriptor() });
        ledger.installed(acme, "app.one", 0, Some("EU"));
        ledger.installed(other, "app.one", 0, None);
        ledger.refused();
        ledger.tick();
        ledger.fact(
            acme,
            "app.one",
            1,
            InstallationFact::Uninstalled { endpoint_realm: Some(realm("EU")), installation_id: None },
        );
        ledger.installed(acme, "app.two", 2, None);
        ledger.product_moved(acme, 3, "US");
        ledger.installed(third, "app.two", 3, Some("US"));
        ledger.tick();
        ledger.installed(acme, "app.one", 4, None);
        ledger.fact(acme, "app.one", 5, InstallationFact::Disabled);
        ledger.app_level("app.one", 2, AppFact::PolicySet { policy: ledger_core::policy::Policy::Off });
        // Late: its event time is before the reinstall.
        ledger.fact(acme, "app.one", 3, InstallationFact::DataLocated { realm: realm("EU") });
        ledger.tick();
    }

    /// All leaf lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.lines.len()).unwrap()
    }

    fn push(&mut self, line: String) -> Hash {
        let hash = leaf_hash(&line);
        let lookup = |node| Ok::<_, Infallible>(self.nodes[&node]);
        let made = append(self.size(), hash, lookup).unwrap();
        self.nodes.extend(made);
        self.lines.push(line);
        hash
    }

    fn record(&mut self, stream: Stream, content: Content, after: Option<&Tenant>) {
        self.recorded += 500;
        let recorded = Timestamp::from_millis(self.recorded);
        if self.placement.is_due_before(recorded) && !matches!(self.lie, Some(Lie::NoSeals)) {
            self.seal();
        }
        let id = stream_id(&stream);
        let before = self.heads.get(&id).copied();
        let record = Record {
            position: self.size(),
            seq: before.map_or(0, |head| head.seq) + 1,
            stream,
            source: Coordinates { source: "realm.lifecycle".into(), partition: 7, offset: self.size() },
            recorded,
            rules: self.rules,
            content,
        };
        let beside = LeafContext {
            previous: before.map_or(Hash::ZERO, |head| head.leaf),
            pinned_realm: after.and_then(|tenant| pinned_realm(&record, tenant)),
        };
        let mut leaf = RecordLeaf::from_record(&record, beside, &self.secret).unwrap();
        leaf.commitment = commitment(&self.secret.salt(id, record.seq), self.payload(&record).as_bytes());
        let mut line = leaf.write();
        match self.lie.filter(|_| matches!(record.stream, Stream::Tenant(_))) {
            Some(Lie::Rule(seq, rule)) if seq == record.seq => {
                leaf.rule = leaf.rule.and(Some(rule));
                line = leaf.write();
            }
            Some(Lie::Realm(seq, realm)) if seq == record.seq => {
                leaf.pinned_realm = realm;
                line = leaf.write();
            }
            Some(Lie::Line(seq, other)) if seq == record.seq => line = other(&line),
            Some(_) | None => {}
        }
        let leaf = self.push(line);
        let head = StreamHead { seq: record.seq, index: record.position, leaf };
        self.heads.insert(id, head);
        self.unsealed.insert(id, map::MapEntry { stream: id, commitment: head.commitment() });
        self.records.push(record);
        if self.placement.record(recorded) {
            self.seal();
        }
    }

    fn payload(&self, record: &Record) -> String {
        let text = payload::of(record);
        match (self.lie, &record.stream) {
            (Some(Lie::Payload(seq, other)), Stream::Tenant(_)) if seq == record.seq => other(&text),
            _ => text,
        }
    }

    pub(crate) fn tick(&mut self) {
        if self.placement.is_due_at_tick() {
            self.seal();
        }
    }

    fn entries(&self) -> Vec<map::MapEntry> {
        self.map.values().copied().collect()
    }

    fn seal(&mut self) {
        self.map.append(&mut self.unsealed);
        let map_root = map::root(&self.entries());
        let seal = SealLeaf {
            index: self.size(),
            map_root,
            streams: u64::try_from(self.heads.len()).unwrap(),
            next: format!("realm.lifecycle/7/{}", self.size()),
            duplicates: 0,
            rejected: self.rejected,
            recorded: self.records.last().unwrap().recorded,
        };
        let line = seal.write().unwrap();
        self.push(match self.lie {
            Some(Lie::Seal(index, other)) if index == seal.index => other(&line),
            _ => line,
        });
        self.placement.sealed();
    }

    pub(crate) fn append(&mut self, event: Event) {
        let Body::App { app, fact } = &event.body else { return self.append_to_tenant(event) };
        self.apps.insert(app, event.time, event.id.clone(), fact);
        for (tenant, history) in self.tenants.values_mut() {
            *tenant = Tenant::from_history(&entries(history), &self.apps);
        }
        let stream = Stream::App(app.clone());
        let content = Content::Event { event, time_defaulted: false, outcome: Outcome::default() };
        self.record(stream, content, None);
    }

    fn append_to_tenant(&mut self, event: Event) {
        let client = event.client().unwrap().clone();
        let (mut tenant, mut history) = self.tenants.remove(&client).unwrap_or_default();
        let seq = u64::try_from(history.len()).unwrap() + 1;
        let mut refold: Refold<&Event> = history.iter().map(|(seq, event)| (*seq, event)).collect();
        let outcome = refold.append(&mut tenant, seq, &event, &self.apps);
        history.push((seq, event.clone()));
        let content = Content::Event { event, time_defaulted: false, outcome };
        self.record(Stream::Tenant(client.clone()), content, Some(&tenant));
        self.tenants.insert(client, (tenant, history));
    }

    pub(crate) fn event(&self, day: i64, body: Body) -> Event {
        let id = EventId::new(format!("event-{}", self.size())).unwrap();
        let actor = Some("jane@example.com".to_owned());
        Event { id, time: Timestamp::from_millis(START - 30 * DAY + day * DAY), actor, reason: None, body }
    }

    pub(crate) fn fact(&mut self, of: &str, by: &str, day: i64, fact: InstallationFact) {
        self.append(self.event(day, Body::Installation { client: client(of), app: app(by), fact }));
    }

    pub(crate) fn installed(&mut self, of: &str, by: &str, day: i64, product: Option<&str>) {
        let installed = Installed { product_realm: product.map(realm), ..Installed::default() };
        self.fact(of, by, day, InstallationFact::Installed(Box::new(installed)));
    }

    fn product_moved(&mut self, of: &str, day: i64, to: &str) {
        let fact = TenantFact::ProductMoved { product_realm: realm(to) };
        self.append(self.event(day, Body::Tenant { client: client(of), fact }));
    }

    pub(crate) fn app_level(&mut self, by: &str, day: i64, fact: AppFact) {
        self.append(self.event(day, Body::App { app: app(by), fact }));
    }

    fn refused(&mut self) {
        let refused = Refused {
            rejection: Rejection { reason: Reason::Undecodable, path: None, detail: "no JSON".to_owned() },
            key: None,
            headers: Vec::new(),
            source_time: None,
            body: RefusedBody::Digest { sha256: [1; 32], length_bytes: 3 },
        };
        self.rejected += 1;
        self.record(Stream::Rejected, Content::Refused(refused), None);
    }

    fn lookup(&self) -> impl FnMut(tree::Node) -> Result<Hash, Infallible> {
        |node| Ok(self.nodes[&node])
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let root = tree::root(self.size(), self.lookup()).unwrap();
        Checkpoint { origin: ORIGIN.to_owned(), size: self.size(), root }
    }

    pub(crate) fn note(&self) -> String {
        self.checkpoint().sign(&[&key(1)])
    }

    fn inclusion(&self, index: u64) -> Vec<Hash> {
        tree::inclusion(index, self.size(), self.lookup()).unwrap()
    }

    fn stream(&self, stream: &Stream, sees: impl Fn(&Record) -> bool) -> StreamPart {
        let proof = StoredMap::new(self.entries()).prove(stream_id(stream));
        let own = self.records.iter().filter(|record| record.stream == *stream);
        let part = |record: &Record| RecordPart {
            index: record.position,
            entry: self.lines[usize::try_from(record.position).unwrap()].clone(),
            opening: sees(record).then(|| {
                let salt = self.secret.salt(stream_id(stream), record.seq);
                (Hash(salt), self.payload(record))
            }),
            proof: self.inclusion(record.position),
        };
        StreamPart::new(proof, own.map(part).collect())
    }

    /// The bundle of a tenant with everything its decisions depend on.
    pub(crate) fn bundle(&self, of: &str) -> Bundle {
        let stream = Stream::Tenant(client(of));
        let history = self.stream(&stream, |_| true);
        let mut apps: Vec<AppKey> = Vec::new();
        for record in self.records.iter().filter(|record| record.stream == stream) {
            if let Content::Event { event, .. } = &record.content {
                apps.extend(event.app().cloned());
            }
        }
        apps.sort_unstable();
        apps.dedup();
        let apps = apps.into_iter().map(|app| {
            let part = self.stream(&Stream::App(app.clone()), |_| true);
            (app, part)
        });
        let index = self.size() - 1;
        let entry = self.lines.last().unwrap().clone();
        Bundle {
            client: client(of),
            origin: ORIGIN.to_owned(),
            note: self.note(),
            seal: SealPart { index, entry, proof: self.inclusion(index) },
            history,
            apps: apps.collect(),
            consistency: None,
        }
    }

    /// The bundle for a partner with access to one app only.
    pub(crate) fn bundle_of_one_app(&self, of: &str, sees: &AppKey) -> Bundle {
        let is_seen = |record: &Record| match &record.content {
            Content::Event { event, .. } => event.app().is_none_or(|app| app == sees),
            Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => false,
        };
        let history = self.stream(&Stream::Tenant(client(of)), is_seen);
        let mut bundle = self.bundle(of);
        bundle.apps.retain(|(app, _)| app == sees);
        Bundle { history, ..bundle }
    }

    pub(crate) fn consistency(&self, from: u64) -> ConsistencyPart {
        let proof = tree::consistency(from, self.size(), self.lookup()).unwrap();
        ConsistencyPart { from, proof }
    }
}

fn entries(history: &[(u64, Event)]) -> Vec<Entry<'_>> {
    history.iter().map(|(seq, event)| Entry { seq: *seq, event }).collect()
}
