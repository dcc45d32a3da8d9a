//! Signing while the ledger runs: a thread for each shard.
//!
//! A shard is signed by the process that feeds it, from the first moment to the last; given up, it is left to
//! whoever gets it. A thread waits for commits, so a seal is signed as soon as it is durable. One that panicked is
//! reported, and begun anew: nothing that it knew is needed, what was published is read again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::SignerKey;
use ledger_store::{
    Catalog, Halted, PreviousLeaves, ReadError, Served, ShardId, ShardStatus, SignedCheckpoint,
};
use tracing::{debug, error, info, warn};

use crate::kafka::KafkaOptions;
use crate::metric;
use crate::sign::{
    CheckpointLog, CheckpointTopic, FileCheckpointLog, Identity, KeptNote, Origins, SealedLog as _, Signer,
    SigningFailure, SigningHalt, StoredLog,
};
use crate::stopping::{STOP_TIMEOUT, StoppableThread, sleep_unless_stopped};

/// How long a thread waits for a commit before it looks around.
const LOOK: Duration = Duration::from_millis(500);

/// How long it rests after a failure, and how long until one that could not be begun, or panicked, is begun again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What signing needs beside Kafka.
#[derive(Debug, Clone)]
pub struct SigningOptions {
    /// The keys; all of them sign.
    pub keys: Vec<SignerKey>,
    /// Where the last checkpoints are kept.
    pub keys_dir: PathBuf,
    /// The names of the logs.
    pub origins: Origins,
    /// What the commitments of the leaves are made with.
    pub secret: LedgerSecret,
}

/// Signs what the catalog's shards seal, until stopped.
#[derive(Debug)]
pub struct Signing(StoppableThread);

impl Signing {
    /// Starts; shards that come to be later are signed too. Without Kafka the notes are kept beside the keys alone.
    pub fn start(
        catalog: Arc<Catalog>,
        kafka: impl Into<Option<KafkaOptions>>,
        options: SigningOptions,
    ) -> std::io::Result<Self> {
        let kafka = kafka.into();
        let on_panic = "the signing thread panicked; what was sealed is signed after a restart";
        let work = |stop| Watching::new(catalog, kafka, options, stop).run();
        StoppableThread::start("sign", on_panic, work).map(Self)
    }

    /// Whether it ended by itself, which it never should.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Signs what is sealed by now, then ends, at the latest at the deadline: whether it did. Call it after ingestion
    /// has stopped.
    pub fn stop_by(self, deadline: Instant) -> bool {
        self.0.stop_by(deadline)
    }

    /// The same, for a caller that has the time.
    pub fn stop(self) {
        self.stop_by(Instant::now() + STOP_TIMEOUT);
    }
}

/// The thread that starts the others.
struct Watching {
    catalog: Arc<Catalog>,
    kafka: Option<KafkaOptions>,
    options: SigningOptions,
    stop: Arc<AtomicBool>,
    threads: Vec<(ShardId, JoinHandle<()>)>,
    /// Shards that are to be begun, but not yet.
    resting: BTreeMap<ShardId, Instant>,
}

impl Watching {
    fn new(
        catalog: Arc<Catalog>,
        kafka: Option<KafkaOptions>,
        options: SigningOptions,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { catalog, kafka, options, stop, threads: Vec::new(), resting: BTreeMap::new() }
    }

    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            self.look(Instant::now());
            thread::sleep(Duration::from_millis(50));
        }
        for (id, thread) in self.threads {
            if thread.join().is_err() {
                error!(shard = %id, "its signing thread panicked; what was sealed is signed after a restart");
            }
        }
    }

    /// Begins what is to be signed and is not.
    fn look(&mut self, now: Instant) {
        // Until all are stopped none ends but by a panic.
        for (id, thread) in self.threads.extract_if(.., |(_, thread)| thread.is_finished()) {
            if thread.join().is_err() {
                panicked(&self.catalog, &id);
            }
            self.resting.insert(id, now + AFTER_FAILURE);
        }
        self.resting.retain(|_, until| *until > now);
        for (id, served) in self.catalog.all() {
            let is_known =
                self.threads.iter().any(|(known, _)| *known == id) || self.resting.contains_key(&id);
            if !is_known && served.status.freshness().is_ours && !self.begin(&id, &served) {
                self.resting.insert(id, now + AFTER_FAILURE);
            }
        }
    }

    /// Whether it is signed from now on.
    fn begin(&mut self, id: &ShardId, served: &Served) -> bool {
        let signer = match self.signer(id) {
            Ok(signer) => signer,
            Err(unsigned) => {
                served.status.update(|now| now.unsigned = Some(unsigned));
                return false;
            }
        };
        let name = format!("sign-{}-{}", id.topic, id.partition);
        let signing = ShardSigning {
            id: id.clone(),
            catalog: Arc::clone(&self.catalog),
            secret: self.options.secret.clone(),
            signer,
            links: RefCell::default(),
            stop: Arc::clone(&self.stop),
            reported: served.status.freshness().unsigned.map(|before| before.code),
        };
        match thread::Builder::new().name(name).spawn(move || signing.run()) {
            Ok(thread) => {
                self.threads.push((id.clone(), thread));
                true
            }
            Err(failed) => {
                let message = format!("no thread to sign with: {failed}");
                served.status.update(|now| now.unsigned = Some(Halted { code: "no-thread", message }));
                false
            }
        }
    }

    fn signer(&self, id: &ShardId) -> Result<Signer<Notes>, Halted> {
        let unsigned = |code, message: String| Halted { code, message };
        let origin = self.options.origins.origin(id);
        if self.options.keys.is_empty() {
            let message = "there is no signing key; `keys generate` makes one".to_owned();
            return Err(unsigned("no-signing-key", message));
        }
        let identity = Identity::new(&origin, &self.options.keys)
            .map_err(|error| unsigned("no-origin", format!("{error}; change evidence.origin")))?;
        let kept = KeptNote::new(&self.options.keys_dir, &origin);
        let Some(kafka) = &self.kafka else {
            return Ok(Signer::new(identity, Box::new(FileCheckpointLog::new(kept)), None));
        };
        let Some(topic) = &kafka.checkpoints_topic else {
            return Err(unsigned("no-checkpoints-topic", "there is no topic for checkpoints".to_owned()));
        };
        let published = Box::new(CheckpointTopic::new(kafka, topic, &origin));
        Ok(Signer::new(identity, published, Some(kept)))
    }
}

/// Where the notes of a shard are published.
type Notes = Box<dyn CheckpointLog + Send>;

/// Nothing of a shard is signed any more, until it is begun anew.
fn panicked(catalog: &Catalog, id: &ShardId) {
    let code = "signer-panicked";
    let message = "the signing thread panicked and is begun anew; if it goes on, see the log and report it";
    error!(shard = %id, code, "{message}");
    metric::unsigned(id, Some(code));
    if let Some(served) = catalog.get(id) {
        served.status.update(|now| now.unsigned = Some(Halted { code, message: message.to_owned() }));
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepResult {
    /// All that is sealed is signed.
    Wholly,
    /// Up to a seal that a proof waits for; more is to be signed.
    Partly,
    Failed,
}

/// The thread of one shard.
struct ShardSigning {
    id: ShardId,
    catalog: Arc<Catalog>,
    secret: LedgerSecret,
    signer: Signer<Notes>,
    links: RefCell<PreviousLeaves>,
    stop: Arc<AtomicBool>,
    /// The failure that was reported last: each is reported once.
    reported: Option<&'static str>,
}

impl ShardSigning {
    fn run(mut self) {
        if let Some(served) = self.served() {
            self.recall(&served);
        }
        let mut commits = 0;
        loop {
            // Read before the step: what was sealed before the stop is signed by the last one.
            let is_last = self.stop.load(Ordering::Acquire);
            if is_last && self.reported.is_some() {
                return;
            }
            let served = self.served();
            let stepped = if let Some(served) = &served {
                self.step(served)
            } else {
                // It may come back as another.
                self.links.take();
                self.signer.give_up();
                StepResult::Failed
            };
            match (served, stepped) {
                (_, StepResult::Partly) => {}
                (_, StepResult::Wholly | StepResult::Failed) if is_last => return,
                (Some(served), StepResult::Wholly) => commits = served.status.wait_commit(commits, LOOK),
                _ => sleep_unless_stopped(AFTER_FAILURE, &self.stop),
            }
        }
    }

    /// The shard, as long as it is fed here.
    fn served(&self) -> Option<Served> {
        self.catalog.get(&self.id).filter(|served| served.status.freshness().is_ours)
    }

    /// Shows what was published last before Kafka is asked for it, which may take its time.
    fn recall(&mut self, Served { reader, status }: &Served) {
        let (began, snapshot) = (Instant::now(), reader.snapshot());
        // The first step meets the same failure, and reports it.
        let (secret, links) = (&self.secret, &self.links);
        let _ = self.signer.recall(&StoredLog { snapshot: &snapshot, secret, links, awaited: None });
        self.show(status, began);
    }

    /// Shows the last note in answers.
    fn show(&self, status: &ShardStatus, began: Instant) {
        let Some((checkpoint, note)) = self.signer.note() else { return };
        // Compared with what is shown, as a shard that was opened anew shows nothing.
        if status.checkpoint().is_some_and(|shown| shown.note == note) {
            return;
        }
        debug!(shard = %self.id, size = checkpoint.size, "checkpoint");
        metric::signed(&self.id, checkpoint.size, began.elapsed());
        status.set_checkpoint(SignedCheckpoint { checkpoint: checkpoint.clone(), note: note.to_owned() });
    }

    fn step(&mut self, Served { reader, status }: &Served) -> StepResult {
        let began = Instant::now();
        let snapshot = reader.snapshot();
        let log = StoredLog {
            snapshot: &snapshot,
            secret: &self.secret,
            links: &self.links,
            awaited: Some(status.checkpoints()),
        };
        let result = self.signer.step(&log, began).and_then(|()| Ok(log.sealed()?));
        self.show(status, began);
        match result {
            Ok(sealed) => {
                if self.reported.take().is_some() {
                    info!(shard = %self.id, "signed again");
                    metric::unsigned(&self.id, None);
                    status.update(|now| now.unsigned = None);
                }
                let signed = self.signer.note().map_or(0, |(checkpoint, _)| checkpoint.size);
                if signed < sealed { StepResult::Partly } else { StepResult::Wholly }
            }
            Err(_) if self.served().is_none() => {
                // Given up meanwhile. Whoever has it now may have claimed it in the middle of this step.
                StepResult::Failed
            }
            Err(failure) => {
                self.report(&failure);
                let halted = Halted { code: failure.code(), message: failure.to_string() };
                status.update(|now| now.unsigned = Some(halted));
                StepResult::Failed
            }
        }
    }

    fn report(&mut self, failure: &SigningFailure) {
        let code = failure.code();
        if self.reported.replace(code) == Some(code) {
            return;
        }
        metric::unsigned(&self.id, Some(code));
        // What is behind catches up, what could not be reached comes back, and the neighbour that took a partition over
        // signs before this process hears of it. If it lasts, the alert on the metric says so.
        let passes = |halt: &SigningHalt| {
            matches!(halt, SigningHalt::Behind { .. } | SigningHalt::SignedElsewhere { .. })
        };
        let stays = match failure {
            SigningFailure::Halt(halt) => !passes(halt),
            SigningFailure::Read(ReadError::Damaged(_)) => true,
            _ => false,
        };
        if stays {
            error!(shard = %self.id, code, reason = %failure, "not signed");
        } else if self.catalog.away().is_some() {
            // The consumer has reported that.
            info!(shard = %self.id, code, reason = %failure, "not signed yet");
        } else {
            warn!(shard = %self.id, code, reason = %failure, "not signed yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::time::Timestamp;
    use ledger_store::{DataDir, StoreOptions};

    use super::*;
    use crate::import::{ImportOptions, import};
    use crate::placing::Placement;
    use crate::text::Lines;

    fn id() -> ShardId {
        ShardId { topic: "t".to_owned(), partition: 0 }
    }

    /// A shard that is fed here, and who looks after it, with so many keys.
    fn watching(directory: &std::path::Path, keys: Vec<SignerKey>) -> (Watching, Arc<ShardStatus>) {
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(&directory.join("data"), StoreOptions::default(), secret.clone()).unwrap();
        let event =
            r#"{"id":"1","type":"enabled","time":"2026-01-01T00:00:00Z","clientKey":"c","appKey":"a"}"#;
        let now = Timestamp::from_millis(1_800_000_000_000);
        let options = ImportOptions {
            source: "f".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(1),
            placing: Placement::default(),
            now,
            accept_refusals: false,
        };
        import(&data, Lines::new(event.as_bytes()), &options).unwrap();
        let (catalog, status) = (Arc::new(Catalog::default()), Arc::new(ShardStatus::default()));
        status.update(|now| now.is_ours = true);
        let reader = data.read_shard(&id()).unwrap();
        catalog.insert(id(), Served { reader, status: Arc::clone(&status) });
        let options =
            SigningOptions { keys, keys_dir: directory.join("keys"), origins: Origins::default(), secret };
        // Nobody listens there.
        let kafka = KafkaOptions {
            brokers: "127.0.0.1:1".to_owned(),
            checkpoints_topic: Some("checkpoints".to_owned()),
            ..KafkaOptions::default()
        };
        (Watching::new(catalog, Some(kafka), options, Arc::new(AtomicBool::new(false))), status)
    }

    fn code(status: &ShardStatus) -> Option<&'static str> {
        status.freshness().unsigned.map(|unsigned| unsigned.code)
    }

    #[test]
    fn a_signer_that_panicked_is_told_and_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let key = SignerKey::from_seed("any", [1; 32]).unwrap();
        let (mut watching, status) = watching(directory.path(), vec![key]);
        let thread = thread::spawn(|| std::panic::resume_unwind(Box::new("on purpose")));
        while !thread.is_finished() {
            thread::yield_now();
        }
        watching.threads.push((id(), thread));
        let now = Instant::now();
        watching.look(now);
        assert_eq!((code(&status), watching.threads.len()), (Some("signer-panicked"), 0));
        watching.look(now + AFTER_FAILURE);
        assert_eq!(watching.threads.len(), 1, "begun anew");
        watching.stop.store(true, Ordering::Release);
        watching.run();
    }

    /// Nobody answers for the topic, as while a broker is away or somebody's transaction stays open.
    #[test]
    fn what_was_published_is_shown_before_kafka_is_asked_and_again_when_the_shard_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watching, status) =
            watching(directory.path(), vec![SignerKey::from_seed("any", [1; 32]).unwrap()]);
        let reader = watching.catalog.get(&id()).unwrap().reader;
        crate::sign::sign_imported(&reader, &watching.options).unwrap();
        let wait_until_shown = |status: &ShardStatus| {
            let deadline = Instant::now() + Duration::from_mins(1);
            while status.checkpoint().is_none() {
                assert!(Instant::now() < deadline, "never shown: {:?}", status.freshness());
                thread::sleep(Duration::from_millis(20));
            }
        };
        watching.look(Instant::now());
        wait_until_shown(&status);
        let anew = Arc::new(ShardStatus::default());
        anew.update(|now| now.is_ours = true);
        watching.catalog.insert(id(), Served { reader, status: Arc::clone(&anew) });
        wait_until_shown(&anew);
        assert_eq!(anew.checkpoint(), status.checkpoint());
        watching.stop.store(true, Ordering::Release);
        watching.run();
    }

    #[test]
    fn what_cannot_be_signed_is_not_tried_all_the_time() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watching, status) = watching(directory.path(), Vec::new());
        let now = Instant::now();
        for (after, expected) in [(0, Some("no-signing-key")), (50, None), (1_000, Some("no-signing-key"))] {
            status.update(|now| now.unsigned = None);
            watching.look(now + Duration::from_millis(after));
            assert_eq!(code(&status), expected, "after {after} ms");
        }
    }
}
