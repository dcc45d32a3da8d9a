//! A ledger filled with small histories: shards in a temporary directory, written the way ingest does.

use std::sync::Arc;

use ledger_api::ledger::{Ledger, QueryError};
use ledger_api::query::{
    AsOf, AsOfAll, CheckpointList, CheckpointsQuery, CorrectionsPage, CorrectionsQuery, Cursor, ExplainQuery,
    ExplanationAnswer, Filter, InstallationAnswer, InstallationList, InstallationQuery, InstallationsQuery,
    LogPage, LogQuery, Page, QuarantineAnswer, QuarantineItemQuery, QuarantinePage, QuarantineQuery,
    Question, TenantAnswer, TenantQuery, no_lines,
};
use ledger_core::descriptor::Descriptor;
use ledger_core::event::{AppFact, Body, Event, InstallationFact, Installed, TenantFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::record::Coordinates;
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use ledger_record::rows::SourcePosition;
use ledger_store::{
    AppendResult, Catalog, DataDir, FutureLimit, IncomingEvent, Phase, Reader, Served, Shard, ShardId,
    ShardStatus, SignedCheckpoint, SourceIdentity, StoreOptions,
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const TOPIC: &str = "realm.lifecycle";

pub(crate) struct Filled {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) statuses: Vec<Arc<ShardStatus>>,
    shards: Vec<Shard>,
    events: u64,
    _directory: TempDir,
}

impl Filled {
    /// An empty ledger with this number of shards.
    pub(crate) fn with(partitions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mib = 1024 * 1024;
        let options = StoreOptions { memory_bytes: Some(96 * mib), ..StoreOptions::default() };
        let data = DataDir::open(directory.path(), options, LedgerSecret::from_bytes([7; 32])).unwrap();
        data.bind(TOPIC, &SourceIdentity { cluster_id: None, topic_id: None, partitions }).unwrap();
        let catalog = Arc::new(Catalog::default());
        let (mut shards, mut statuses) = (Vec::new(), Vec::new());
        for partition in 0..partitions {
            let shard = data.open_shard(&shard(partition)).unwrap();
            let status = Arc::new(ShardStatus::default());
            status.update(|now| (now.is_ours, now.phase) = (true, Phase::Live));
            let served = Served { reader: shard.reader(), status: Arc::clone(&status) };
            catalog.insert(shard.id().clone(), served);
            shards.push(shard);
            statuses.push(status);
        }
        let ledger = Ledger::from_catalog(Arc::clone(&catalog)).with_secret(data.ledger_secret().cloned());
        let ledger = Arc::new(ledger);
        Self { catalog, ledger, statuses, shards, events: 0, _directory: directory }
    }

    /// Seals a shard and signs the seal, as ticks and the signer do.
    pub(crate) fn sign(&mut self, partition: usize, key: &SignerKey) {
        self.seal(partition);
        let reader = self.shards[partition].reader();
        let snapshot = reader.snapshot();
        let size = snapshot.tree_size().unwrap();
        let root = snapshot.tree_root(size).unwrap();
        let checkpoint = Checkpoint { origin: key.verifier().name().to_owned(), size, root };
        let note = checkpoint.sign(&[key]);
        self.statuses[partition].set_checkpoint(SignedCheckpoint { checkpoint, note });
    }

    pub(crate) fn seal(&mut self, partition: usize) {
        self.events += 1;
        let at = coordinates(partition, self.events);
        let mut batch = self.shards[partition].begin();
        batch.tick(at).unwrap();
        batch.commit().unwrap();
    }

    pub(crate) fn readers(&self) -> Vec<(ShardId, Reader)> {
        self.shards.iter().map(|shard| (shard.id().clone(), shard.reader())).collect()
    }

    /// Appends an event with one hour as event time and recorded time.
    pub(crate) fn take(&mut self, partition: usize, hour: i64, body: Body) -> u64 {
        self.take_late(partition, hour, hour, body)
    }

    /// Appends an event with its own recorded time; returns its position.
    pub(crate) fn take_late(&mut self, partition: usize, happened: i64, recorded: i64, body: Body) -> u64 {
        self.take_all(partition, [(happened, recorded, body)])
    }

    /// Appends events in one batch, each with event time and recorded time; returns the last position.
    pub(crate) fn take_all(
        &mut self,
        partition: usize,
        bodies: impl IntoIterator<Item = (i64, i64, Body)>,
    ) -> u64 {
        let mut batch = self.shards[partition].begin();
        let mut last = None;
        for (happened, recorded, body) in bodies {
            self.events += 1;
            let id = EventId::new(format!("e-{}", self.events)).unwrap();
            let event = Event { id, time: hour(happened), actor: None, reason: None, body };
            let offer = batch.offer(IncomingEvent {
                from: coordinates(partition, self.events),
                source_time: hour(recorded),
                event,
                time_defaulted: false,
                future: FutureLimit::AfterRecorded,
            });
            let AppendResult::Appended { position, .. } = offer.unwrap() else { panic!("not appended") };
            last = Some(position);
        }
        let next_offset = self.events + 1;
        batch.advance(TOPIC, SourcePosition::Kafka { next_offset, leader_epoch: None });
        batch.commit().unwrap();
        last.unwrap()
    }

    /// Appends an event as it is, recorded at its own time, unless it is there.
    pub(crate) fn take_event(&mut self, partition: usize, event: Event) {
        self.events += 1;
        let mut batch = self.shards[partition].begin();
        let offer = batch.offer(IncomingEvent {
            from: coordinates(partition, self.events),
            source_time: event.time,
            event,
            time_defaulted: false,
            future: FutureLimit::AfterRecorded,
        });
        offer.unwrap();
        batch.commit().unwrap();
    }

    pub(crate) fn refuse(&mut self, partition: usize) {
        let rejection = Rejection {
            reason: Reason::MissingField,
            path: Some("clientKey".to_owned()),
            detail: "expected a key".to_owned(),
        };
        let body = RefusedBody::Json(r#"{"id":"x"}"#.to_owned());
        let refused = Refused { rejection, key: None, headers: Vec::new(), source_time: None, body };
        self.refuse_as(partition, refused);
    }

    pub(crate) fn refuse_as(&mut self, partition: usize, refused: Refused) {
        self.events += 1;
        let from = coordinates(partition, self.events);
        let mut batch = self.shards[partition].begin();
        batch.refuse(from, refused).unwrap();
        batch.commit().unwrap();
    }

    /// Publishes a descriptor everywhere, as `publish` does.
    pub(crate) fn publish(&mut self, hour: i64, of: &str, regions: &[&str]) {
        for partition in 0..self.shards.len() {
            let fact = AppFact::DescriptorPublished { descriptor: descriptor(regions) };
            self.take(partition, hour, Body::App { app: app(of), fact });
        }
    }
}

fn coordinates(partition: usize, offset: u64) -> Coordinates {
    Coordinates { source: TOPIC.into(), partition: u32::try_from(partition).unwrap(), offset }
}

pub(crate) fn shard(partition: u32) -> ShardId {
    ShardId { topic: TOPIC.to_owned(), partition }
}

/// Hours after 2026-03-01.
pub(crate) fn hour(hour: i64) -> Timestamp {
    Timestamp::from_millis(1_772_323_200_000 + hour * 3_600_000)
}

pub(crate) fn client(key: &str) -> ClientKey {
    ClientKey::new(key).unwrap()
}

pub(crate) fn app(key: &str) -> AppKey {
    AppKey::new(key).unwrap()
}

pub(crate) fn realm(key: &str) -> Realm {
    Realm::parse(key).unwrap()
}

pub(crate) fn descriptor(regions: &[&str]) -> Descriptor {
    let url = |region: &&str| (realm(region), format!("https://{region}.app.example.com"));
    Descriptor {
        version: None,
        base_url: "https://app.example.com".to_owned(),
        region_base_urls: regions.iter().map(url).collect(),
        data_residency: None,
    }
}

/// `installed`, seen at a realm, with the product in another.
pub(crate) fn installed(of: &str, what: &str, endpoint: &str, product: &str) -> Body {
    let fact = Installed {
        endpoint_realm: (!endpoint.is_empty()).then(|| realm(endpoint)),
        product_realm: (!product.is_empty()).then(|| realm(product)),
        ..Installed::default()
    };
    about(of, what, InstallationFact::Installed(Box::new(fact)))
}

/// `installed`, with a descriptor of its own.
pub(crate) fn installed_with(of: &str, what: &str, endpoint: &str, regions: &[&str]) -> Body {
    let fact = Installed {
        endpoint_realm: Some(realm(endpoint)),
        descriptor: Some(descriptor(regions)),
        ..Installed::default()
    };
    about(of, what, InstallationFact::Installed(Box::new(fact)))
}

pub(crate) fn uninstalled(of: &str, what: &str) -> Body {
    about(of, what, InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None })
}

pub(crate) fn about(of: &str, what: &str, fact: InstallationFact) -> Body {
    Body::Installation { client: client(of), app: app(what), fact }
}

pub(crate) fn product_moved(of: &str, to: &str) -> Body {
    Body::Tenant { client: client(of), fact: TenantFact::ProductMoved { product_realm: realm(to) } }
}

pub(crate) fn json(answer: &impl serde::Serialize) -> Value {
    serde_json::from_slice(&ledger_record::json::to_vec(answer).unwrap()).unwrap()
}

/// Questions in short.
pub(crate) trait Ask {
    fn put<Q: Question>(&self, question: &Q, now: Timestamp) -> Result<Q::Answer, QueryError>;

    fn tenant(&self, of: &ClientKey, as_of: AsOf, now: Timestamp) -> Result<TenantAnswer, QueryError> {
        self.put(&TenantQuery { client: of.clone(), as_of }, now)
    }

    fn installation(
        &self,
        of: &ClientKey,
        what: &AppKey,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<InstallationAnswer, QueryError> {
        self.put(&InstallationQuery { client: of.clone(), app: what.clone(), as_of }, now)
    }

    fn explain(
        &self,
        of: &ClientKey,
        what: &AppKey,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<ExplanationAnswer, QueryError> {
        self.put(&ExplainQuery { client: of.clone(), app: what.clone(), as_of }, now)
    }

    fn log(
        &self,
        of: &ClientKey,
        from_seq: u64,
        limit: u64,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<LogPage, QueryError> {
        let (from_seq, limit) = (Some(from_seq), Some(limit));
        self.put(&LogQuery { client: of.clone(), from_seq, limit, as_of }, now)
    }

    fn corrections(
        &self,
        of: &ClientKey,
        from_position: u64,
        limit: u64,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<CorrectionsPage, QueryError> {
        self.put(&CorrectionsQuery { client: of.clone(), from_position, limit: Some(limit), as_of }, now)
    }

    fn installations(
        &self,
        filter: &Filter,
        cursor: Option<&Cursor>,
        limit: u64,
        as_of: AsOfAll,
        now: Timestamp,
    ) -> Result<InstallationList, QueryError> {
        let page = Page { cursor: cursor.cloned(), limit: Some(limit) };
        self.put(&InstallationsQuery { filter: filter.clone(), as_of, page }, now)
    }

    fn quarantine(
        &self,
        reason: Option<Reason>,
        cursor: Option<&Cursor>,
        limit: u64,
        now: Timestamp,
    ) -> Result<QuarantinePage, QueryError> {
        let page = Page { cursor: cursor.cloned(), limit: Some(limit) };
        self.put(&QuarantineQuery { reason, page }, now)
    }

    fn quarantine_item(
        &self,
        of: &ShardId,
        seq: u64,
        now: Timestamp,
    ) -> Result<QuarantineAnswer, QueryError> {
        self.put(&QuarantineItemQuery { topic: of.topic.clone(), partition: of.partition, seq }, now)
    }

    fn checkpoints(&self, now: Timestamp) -> CheckpointList {
        self.put(&CheckpointsQuery {}, now).unwrap()
    }
}

impl Ask for Ledger {
    fn put<Q: Question>(&self, question: &Q, now: Timestamp) -> Result<Q::Answer, QueryError> {
        self.ask(question, now, &no_lines)
    }
}
