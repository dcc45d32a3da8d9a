//! What a late app-level event costs, by how late it is:
//!
//! ```text
//! cargo bench -p ledger-store --bench late -- [tenants]
//! ```
//!
//! The tenants have one app and lead their lives at the same pace, in one day. Then policies are set, each a
//! little later than the one before, and each changes nothing: what is told is what it takes to find that out.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::error::Error;
use std::time::{Duration, Instant};

use ledger_core::event::{AppFact, Body, Event, InstallationFact};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::record::Coordinates;
use ledger_store::{
    AppendResult, DataDir, FutureLimit, IncomingEvent, ShardId, SourceIdentity, StoreOptions,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

const TOPIC: &str = "realm.lifecycle";
const DAY: Duration = Duration::from_hours(24);
const EVENTS_PER_TENANT: u64 = 5;
const BATCH: usize = 5_000;

fn main() -> Result<(), Failure> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let tenants = arguments.next().map_or(Ok(20_000), |text| text.parse::<u64>())?;
    let dir = std::env::temp_dir().join(format!("realm-ledger-late-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let data_dir = DataDir::open(&dir, StoreOptions::default(), LedgerSecret::from_bytes([7; 32]))?;
    data_dir.bind(TOPIC, &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 })?;
    let mut shard = data_dir.open_shard(&ShardId { topic: TOPIC.to_owned(), partition: 0 })?;
    let events = tenants * EVENTS_PER_TENANT;
    let offsets: Vec<u64> = (0..events).collect();
    for offsets in offsets.chunks(BATCH) {
        let mut batch = shard.begin();
        for offset in offsets {
            let time = DAY.mul_f64(*offset as f64 / events as f64);
            batch.offer(arrival(*offset, time, lived(*offset, tenants)?)?)?;
        }
        batch.commit()?;
    }
    println!("{tenants} tenants, {EVENTS_PER_TENANT} events each in a day");
    for (number, late) in (0..).zip([1, 60, 600, 3_600, 86_400].map(Duration::from_secs)) {
        let fact = AppFact::PolicySet { policy: Policy::Descriptor };
        let set = arrival(events + number, DAY.saturating_sub(late), Body::App { app: app()?, fact })?;
        let mut batch = shard.begin();
        let begun = Instant::now();
        let offered = batch.offer(IncomingEvent { source_time: instant(DAY)?, ..set })?;
        batch.commit()?;
        let took = begun.elapsed();
        if !matches!(offered, AppendResult::Appended { late: true, .. }) {
            return Err(format!("not late: {offered:?}").into());
        }
        println!("{:>6} s late: {:>9.1} ms", late.as_secs(), took.as_secs_f64() * 1e3);
    }
    drop((shard, data_dir));
    Ok(std::fs::remove_dir_all(dir)?)
}

fn app() -> Result<AppKey, Failure> {
    Ok(AppKey::new("com.example.app")?)
}

fn instant(since: Duration) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(1_700_000_000_000 + i64::try_from(since.as_millis())?))
}

fn lived(offset: u64, tenants: u64) -> Result<Body, Failure> {
    let fact = match offset / tenants {
        0 => InstallationFact::Installed(Box::default()),
        _ => InstallationFact::Enabled,
    };
    let client = ClientKey::new(format!("tenant-{:08}", offset % tenants))?;
    Ok(Body::Installation { client, app: app()?, fact })
}

fn arrival(offset: u64, time: Duration, body: Body) -> Result<IncomingEvent, Failure> {
    let time = instant(time)?;
    let id = EventId::new(format!("e{offset}"))?;
    Ok(IncomingEvent {
        from: Coordinates { source: TOPIC.into(), partition: 0, offset },
        source_time: time,
        event: Event { id, time, actor: None, reason: None, body },
        time_defaulted: false,
        future: FutureLimit::AfterRecorded,
    })
}
