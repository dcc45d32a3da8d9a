//! The store on real directories. Events are made here; the rules are tested in `ledger-core`.

mod append;
mod backing_up;
mod batching;
mod crash;
mod damage;
mod evidence;
mod following;
mod footprint;
mod forging;
mod late;
mod loose_ends;
mod opening;
mod reading;
mod rebuilding;
mod redelivery;
mod refilling;
mod torn;
mod verifying;
mod wal;

use std::collections::BTreeMap;

use ledger_core::descriptor::{DataResidency, Descriptor, Setting};
use ledger_core::event::{AppFact, Body, Event, InstallationFact, Installed, TenantFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_record::key::placed::{entries, push, row_of};
use ledger_record::key::{self, Family, MetaKey};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::Coordinates;
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use ledger_record::rows::SourcePosition;
use rocksdb::ReadOptions;
use tempfile::TempDir;

use crate::data_dir::DataDir;
use crate::db::options::StoreOptions;
use crate::db::placed::placed_at;
use crate::db::scan::everything;
use crate::read::reader::Reader;
use crate::source::{ShardId, SourceIdentity};
use crate::write::batch::{AppendResult, FutureLimit, IncomingEvent};
use crate::write::shard::Shard;

const TOPIC: &str = "realm.lifecycle";
const HOUR_MS: i64 = 3_600_000;
const RECORDED_HOUR: i64 = 5_000;

/// A data directory with one partition, gone when dropped.
struct Ledger {
    dir: TempDir,
    data: DataDir,
}

impl Ledger {
    fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    fn with(options: StoreOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = open(dir.path(), options);
        Self { dir, data }
    }

    fn shard(&self) -> Shard {
        self.data.open_shard(&shard_id(0)).unwrap()
    }
}

fn open(path: &std::path::Path, options: StoreOptions) -> DataDir {
    let data = DataDir::open(path, options, secret()).unwrap();
    data.bind(TOPIC, &partitions(4)).unwrap();
    data
}

fn secret() -> LedgerSecret {
    LedgerSecret::from_bytes([7; 32])
}

fn partitions(partitions: u32) -> SourceIdentity {
    SourceIdentity { cluster_id: None, topic_id: None, partitions }
}

fn shard_id(partition: u32) -> ShardId {
    ShardId { topic: TOPIC.to_owned(), partition }
}

fn client(name: &str) -> ClientKey {
    ClientKey::new(name).unwrap()
}

fn app(name: &str) -> AppKey {
    AppKey::new(name).unwrap()
}

fn realm(name: &str) -> Realm {
    Realm::parse(name).unwrap()
}

/// An instant this number of hours after the start of the test history.
fn hour(hours: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + hours * HOUR_MS)
}

fn event(id: &str, hours: i64, body: Body) -> Event {
    Event { id: EventId::new(id).unwrap(), time: hour(hours), actor: None, reason: None, body }
}

fn on_installation(of: &str, app_key: &str, id: &str, hours: i64, fact: InstallationFact) -> Event {
    event(id, hours, Body::Installation { client: client(of), app: app(app_key), fact })
}

fn installed(of: &str, app_key: &str, id: &str, hours: i64, at: &str) -> Event {
    let fact = Installed { endpoint_realm: Some(realm(at)), ..Installed::default() };
    on_installation(of, app_key, id, hours, InstallationFact::Installed(Box::new(fact)))
}

fn uninstalled(of: &str, app_key: &str, id: &str, hours: i64) -> Event {
    let fact = InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None };
    on_installation(of, app_key, id, hours, fact)
}

fn product_moved(of: &str, id: &str, hours: i64, to: &str) -> Event {
    let fact = TenantFact::ProductMoved { product_realm: realm(to) };
    event(id, hours, Body::Tenant { client: client(of), fact })
}

fn policy_set(of: &str, id: &str, hours: i64, days: u32) -> Event {
    let fact = AppFact::PolicySet { policy: Policy::Days { days } };
    event(id, hours, Body::App { app: app(of), fact })
}

fn descriptor_published(of: &str, id: &str, hours: i64, regions: &[&str]) -> Event {
    let urls = regions.iter().map(|region| (realm(region), format!("https://{region}.example")));
    let descriptor = Descriptor {
        version: None,
        base_url: "https://example".to_owned(),
        region_base_urls: urls.collect(),
        data_residency: Some(DataResidency {
            realm_persistence: Setting::Bool(true),
            realm_persistence_days: Setting::Whole(14),
        }),
    };
    event(id, hours, Body::App { app: app(of), fact: AppFact::DescriptorPublished { descriptor } })
}

fn from_offset(offset: u64) -> Coordinates {
    Coordinates { source: TOPIC.into(), partition: 0, offset }
}

/// A message as from Kafka. All are recorded in one minute, so that no seal is between them.
fn arrival(offset: u64, event: Event) -> IncomingEvent {
    IncomingEvent {
        from: from_offset(offset),
        source_time: hour(RECORDED_HOUR),
        event,
        time_defaulted: false,
        future: FutureLimit::AfterRecorded,
    }
}

fn refused(at: Timestamp) -> Refused {
    Refused {
        rejection: Rejection { reason: Reason::Undecodable, path: None, detail: "expected JSON".to_owned() },
        key: None,
        headers: Vec::new(),
        source_time: Some(at),
        body: RefusedBody::Absent,
    }
}

fn kafka(next_offset: u64) -> SourcePosition {
    SourcePosition::Kafka { next_offset, leader_epoch: None }
}

/// Appends the events in one batch, at the offsets that follow the ones before.
fn append(shard: &mut Shard, events: impl IntoIterator<Item = Event>) -> Vec<AppendResult> {
    let head = shard.head();
    let mut offset = head.next_position + head.duplicates;
    let mut batch = shard.begin();
    let mut offers = Vec::new();
    for event in events {
        offers.push(batch.offer(arrival(offset, event)).unwrap());
        offset += 1;
    }
    batch.advance(TOPIC, kafka(offset));
    batch.commit().unwrap();
    offers
}

fn appended(position: u64, seq: u64, late: bool) -> AppendResult {
    AppendResult::Appended { position, seq, late, new_tenant: seq == 1 }
}

/// What `positions` or `leaves` have at a position.
fn placed(reader: &Reader, family: Family, position: u64) -> Vec<u8> {
    placed_at(reader.database(), family, position, &ReadOptions::default()).unwrap().unwrap()
}

/// Puts an entry in the place of another in its row, or behind the last one.
fn put_placed(reader: &Reader, family: Family, position: u64, entry: &[u8]) {
    let key = key::position(row_of(position));
    let row = reader.database().get(family, &key, &ReadOptions::default()).unwrap();
    let row = row.map_or_else(Vec::new, |row| row.to_vec());
    let mut entries: Vec<&[u8]> = entries(&row).map(Result::unwrap).collect();
    let index = usize::try_from(position - row_of(position)).unwrap();
    entries.splice(index..(index + 1).min(entries.len()), [entry]);
    let mut row = Vec::new();
    for entry in entries {
        push(&mut row, entry);
    }
    verifying::put(reader, family, &key, &row);
}

type Dump = BTreeMap<&'static str, Vec<(Vec<u8>, Vec<u8>)>>;

/// Every byte that replicas have to agree on.
fn dump(reader: &Reader) -> Dump {
    let dumped = Family::ALL.iter().map(|family| {
        let mut scan = reader.database().scan(*family, everything(), ReadOptions::default()).unwrap();
        let mut entries = Vec::new();
        while let Some((key, value)) = scan.step().unwrap() {
            if *family != Family::Meta || !MetaKey::is_own(key) {
                entries.push((key.to_vec(), value.to_vec()));
            }
        }
        (family.as_str(), entries)
    });
    dumped.collect()
}

/// Checks that every projection is the fold of the log, every position has its record, and the audit leaves match.
fn assert_whole(reader: &Reader) {
    let snapshot = reader.snapshot();
    for tenant in snapshot.tenants(None).unwrap() {
        let (client, _) = tenant.unwrap();
        assert!(reader.check_tenant(&client).unwrap(), "{client}");
    }
    let records = snapshot.records_from(0).unwrap().map(|record| record.unwrap().position);
    let expected = 0..snapshot.head().unwrap().next_position;
    assert_eq!(records.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    evidence::assert_evidence(&snapshot);
}

/// Checks the same and that `verify` accounts for every offset.
fn assert_true(reader: &Reader) {
    assert_whole(reader);
    verifying::verified(reader).unwrap();
}
