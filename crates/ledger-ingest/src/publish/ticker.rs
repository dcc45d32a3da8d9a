//! Ticks: what arrives is sealed in time, and a partition where that fails is reported.
//!
//! A tick in a partition seals what comes before it, in every copy of the ledger at the same place. One is sent
//! into a partition of ours when something has been unsealed for an interval and the end of the partition is
//! reached; so a quiet partition gets none. It comes back like any message, which makes it a heartbeat: what is
//! still unsealed after three intervals means that the partition takes or gives nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::{Catalog, Halted, Phase, Served, ShardId};
use rdkafka::error::KafkaError;
use tracing::{info, warn};

use crate::attempts::Episode;
use crate::kafka::options::KafkaOptions;
use crate::metric;
use crate::publish::outbox::{Outbox, Outgoing, SendError, content_type};
use crate::stopping::StoppableThread;

/// How often the shards are looked at; never more seldom than five times an interval.
const LOOK: Duration = Duration::from_millis(100);

/// How long brokers may take to acknowledge.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// So many intervals without a seal are too many.
const STALLED_AFTER: u32 = 3;

/// Sends ticks until stopped.
#[derive(Debug)]
pub struct Ticker(StoppableThread);

impl Ticker {
    /// Starts the thread.
    pub fn start(
        catalog: Arc<Catalog>,
        options: &KafkaOptions,
        interval: Duration,
    ) -> Result<Self, KafkaError> {
        let mut outbox = Outbox::new(options)?;
        let send = move |ticks: &[Tick]| send_to_kafka(&mut outbox, ticks);
        let started = Self::start_with(catalog, interval, send);
        started.map_err(|error| KafkaError::ClientCreation(error.to_string()))
    }

    /// The same where the source of the shards is no topic. `send` puts ticks into it, and returns when they are durable.
    pub fn start_with(
        catalog: Arc<Catalog>,
        interval: Duration,
        send: impl FnMut(&[Tick]) -> Result<(), TickError> + Send + 'static,
    ) -> io::Result<Self> {
        let send: SendTicks = Box::new(send);
        let on_panic = "the ticking thread panicked; seals came with the minute since";
        let thread = StoppableThread::start("tick", on_panic, move |stop| {
            let (watched, failing) = (BTreeMap::new(), Episode::default());
            Ticking { catalog, send, interval, stop, watched, failing, is_unanswered: false }.run();
        });
        thread.map(Self)
    }

    /// Whether it ended by itself, which it never should.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Ends; nothing is left to do. Whether it did before the deadline.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.0.stop_by(deadline)
    }
}

/// A tick that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The shard that has something to seal.
    pub shard: ShardId,
    /// The tick, as native JSON.
    pub text: String,
    /// Its time.
    pub time: Timestamp,
}

/// Ticks were not sent.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct TickError {
    /// Why not.
    pub reason: String,
    /// Nobody answered, so the source may be away.
    pub is_unanswered: bool,
}

impl From<SendError> for TickError {
    fn from(error: SendError) -> Self {
        let is_unanswered = matches!(error, SendError::TimedOut { .. });
        Self { reason: error.to_string(), is_unanswered }
    }
}

type SendTicks = Box<dyn FnMut(&[Tick]) -> Result<(), TickError> + Send>;

fn send_to_kafka(outbox: &mut Outbox, ticks: &[Tick]) -> Result<(), TickError> {
    for Tick { shard: ShardId { topic, partition }, text, .. } in ticks {
        let headers = content_type("application/json");
        let value = text.as_bytes().into();
        outbox.send(Outgoing { topic, partition: Some(*partition), key: None, value, headers })?;
    }
    Ok(outbox.settle(ACKNOWLEDGE)?)
}

struct Ticking {
    catalog: Arc<Catalog>,
    send: SendTicks,
    interval: Duration,
    stop: Arc<AtomicBool>,
    watched: BTreeMap<ShardId, Unsealed>,
    /// Ticks are not sent.
    failing: Episode,
    /// The last ticks were not acknowledged: the brokers may be away, which the consumer reports.
    is_unanswered: bool,
}

/// A shard with something that is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unsealed {
    /// How many leaves are sealed.
    sealed: u64,
    /// Since when this was seen.
    since: Instant,
    /// When a tick is due.
    due: Instant,
    stalled: bool,
}

impl Unsealed {
    fn new(sealed: u64, now: Instant, interval: Duration) -> Self {
        Self { sealed, since: now, due: now + interval, stalled: false }
    }

    /// Whether a tick is due; the next one then is an interval later.
    fn is_due(&mut self, now: Instant, interval: Duration) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + interval;
        }
        is_due
    }

    /// Whether it has just become clear that nothing is sealed any more.
    fn has_stalled(&mut self, now: Instant, interval: Duration) -> bool {
        let before = std::mem::replace(
            &mut self.stalled,
            now.saturating_duration_since(self.since) > interval * STALLED_AFTER,
        );
        self.stalled && !before
    }
}

impl Ticking {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            let due: Vec<ShardId> =
                self.catalog.all().into_iter().filter_map(|(id, served)| self.look(id, &served)).collect();
            match self.tick(&due) {
                Ok(()) if due.is_empty() => {}
                Ok(()) => {
                    self.is_unanswered = false;
                    if let Some(after) = self.failing.ends() {
                        info!(?after, "ticks are sent again");
                    }
                }
                Err(error) => {
                    metrics::counter!(metric::TICK_FAILED).increment(1);
                    self.is_unanswered = error.is_unanswered;
                    // Each shard that is not sealed for it is reported as stalled.
                    if self.failing.fails() {
                        info!(%error, "ticks are not sent: nothing is sealed before the minute is over");
                    }
                }
            }
            thread::sleep(LOOK.min(self.interval / 5));
        }
    }

    /// Returns the shard if a tick is due in it.
    fn look(&mut self, id: ShardId, served: &Served) -> Option<ShardId> {
        let freshness = served.status.freshness();
        let is_away = freshness.held_up.is_some() || self.catalog.away().is_some();
        if !freshness.is_ours || freshness.phase != Phase::Live || is_away {
            // What becomes of it is unknown here, so it is not reported as sealed.
            self.stop_watching(&id, served);
            return None;
        }
        let now = Instant::now();
        let sealed = match served.reader.snapshot().sealed_size() {
            Ok(sealed) => sealed,
            Err(error) => {
                warn!(shard = %id, %error, "cannot tell what is sealed");
                return None;
            }
        };
        if sealed == served.reader.next_position() {
            self.forget(&id, served);
            return None;
        }
        if self.watched.get(&id).is_none_or(|watched| watched.sealed != sealed) {
            self.forget(&id, served);
            self.watched.insert(id.clone(), Unsealed::new(sealed, now, self.interval));
        }
        let watched = self.watched.get_mut(&id)?;
        let patience = self.interval * STALLED_AFTER + ACKNOWLEDGE * 2;
        let may_be_away = self.is_unanswered && now.saturating_duration_since(watched.since) <= patience;
        if !may_be_away && watched.has_stalled(now, self.interval) {
            let message = format!(
                "nothing was sealed for {}s although ticks were sent: the partition takes or gives nothing, or this \
                 process may not write to it; what was recorded since is in no signed checkpoint",
                (now - watched.since).as_secs()
            );
            warn!(shard = %id, reason = message, "stalled");
            metric::stalled(&id, true);
            served.status.update(|now| now.stalled = Some(Halted { code: "not-sealed", message }));
        }
        watched.is_due(now, self.interval).then_some(id)
    }

    fn forget(&mut self, id: &ShardId, served: &Served) {
        if self.stop_watching(id, served) {
            info!(shard = %id, "sealed again");
        }
    }

    /// Returns whether it had stalled.
    fn stop_watching(&mut self, id: &ShardId, served: &Served) -> bool {
        let had_stalled = self.watched.remove(id).is_some_and(|watched| watched.stalled);
        if had_stalled {
            metric::stalled(id, false);
            served.status.update(|now| now.stalled = None);
        }
        had_stalled
    }

    fn tick(&mut self, due: &[ShardId]) -> Result<(), TickError> {
        if due.is_empty() {
            return Ok(());
        }
        let time = system_clock();
        let tick = |shard: &ShardId| Tick { shard: shard.clone(), text: tick(shard.partition, time), time };
        (self.send)(&due.iter().map(tick).collect::<Vec<_>>())
    }
}

fn tick(partition: u32, now: Timestamp) -> String {
    let id = format!("tick-{partition}-{}", now.as_millis());
    serde_json::json!({ "id": id, "type": "tick", "time": format_instant(now) }).to_string()
}

fn system_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_record::record::Coordinates;
    use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
    use ledger_store::{DataDir, Shard, ShardStatus, SourceIdentity, StoreOptions};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn at(offset: u64) -> Coordinates {
        Coordinates { source: "t".into(), partition: 0, offset }
    }

    /// Records something that no seal covers.
    fn record(shard: &mut Shard, offset: u64) {
        let rejection = Rejection { reason: Reason::Undecodable, path: None, detail: String::new() };
        let (source_time, body) = (Some(Timestamp::from_millis(0)), RefusedBody::Absent);
        let refused = Refused { rejection, key: None, headers: Vec::new(), source_time, body };
        let mut batch = shard.begin();
        batch.refuse(at(offset), refused).unwrap();
        batch.commit().unwrap();
    }

    #[test]
    fn a_partition_whose_ticks_do_not_come_back_is_stalled_until_it_is_sealed_again() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(scratch.path(), StoreOptions::default(), secret).unwrap();
        data.bind("t", &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).unwrap();
        let id = ShardId { topic: "t".to_owned(), partition: 0 };
        let mut shard = data.open_shard(&id).unwrap();
        let served = Served { reader: shard.reader(), status: Arc::new(ShardStatus::default()) };
        served.status.update(|now| (now.is_ours, now.phase) = (true, Phase::Live));
        let mut ticking = Ticking {
            catalog: Arc::default(),
            send: Box::new(|_| Ok(())),
            interval: INTERVAL,
            stop: Arc::default(),
            watched: BTreeMap::new(),
            failing: Episode::default(),
            is_unanswered: false,
        };
        // As if so much time had passed since the last look.
        let look_after = |ticking: &mut Ticking, time: Duration| {
            if let Some(watched) = ticking.watched.get_mut(&id) {
                let earlier = |then: Instant| then.checked_sub(time).unwrap();
                (watched.since, watched.due) = (earlier(watched.since), earlier(watched.due));
            }
            let is_due = ticking.look(id.clone(), &served).is_some();
            (is_due, served.status.freshness().stalled.map(|stalled| stalled.code))
        };
        assert_eq!(look_after(&mut ticking, INTERVAL), (false, None), "nothing is there to be sealed");
        record(&mut shard, 0);
        assert_eq!(look_after(&mut ticking, INTERVAL), (false, None), "it has just come");
        assert_eq!(look_after(&mut ticking, INTERVAL), (true, None));
        assert_eq!(look_after(&mut ticking, INTERVAL), (true, None));
        assert_eq!(look_after(&mut ticking, INTERVAL), (true, Some("not-sealed")));
        assert_eq!(look_after(&mut ticking, Duration::ZERO), (false, Some("not-sealed")), "it stays so");
        let mut batch = shard.begin();
        batch.tick(at(1)).unwrap();
        batch.commit().unwrap();
        record(&mut shard, 2);
        assert_eq!(look_after(&mut ticking, INTERVAL), (false, None), "sealed, and something new has come");
        look_after(&mut ticking, 4 * INTERVAL);
        served.status.update(|now| now.is_ours = false);
        assert_eq!(
            look_after(&mut ticking, INTERVAL),
            (false, None),
            "it is for others to tick, and to tell"
        );
    }

    #[test]
    fn a_tick_is_due_every_interval_and_three_without_a_seal_are_told_once() {
        let (start, interval) = (Instant::now(), Duration::from_secs(5));
        let mut unsealed = Unsealed::new(7, start, interval);
        let after = |seconds| start + Duration::from_secs(seconds);
        let due: Vec<u64> = (0..16).filter(|second| unsealed.is_due(after(*second), interval)).collect();
        assert_eq!(due, [5, 10, 15]);
        let told: Vec<u64> =
            (0..30).filter(|second| unsealed.has_stalled(after(*second), interval)).collect();
        assert_eq!(told, [16]);
    }
}
