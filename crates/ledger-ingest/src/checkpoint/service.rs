//! Signing while the ledger runs: a thread for each shard.
//!
//! A shard is signed by the process that feeds it, from the first moment to the last; given up, it is left to
//! whoever gets it. A thread waits for commits, so a seal is signed as soon as it is durable.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::SignerKey;
use ledger_store::{Catalog, Halted, Served, ShardId, SignedCheckpoint};
use tracing::{debug, error, info, warn};

use super::{Failure, Halt, Identity, Kept, Origins, SealedLog as _, Signer, StoredLog};
use crate::kafka::{CheckpointTopic, KafkaOptions, sleep_unless_stopped};
use crate::metric;

/// How long a thread waits for a commit before it looks around.
const LOOK: Duration = Duration::from_millis(500);

/// How long it rests after a failure.
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

/// Signing cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Signs what the catalog's shards seal, until stopped.
#[derive(Debug)]
pub struct Signing {
    stop: Arc<AtomicBool>,
    watch: JoinHandle<()>,
}

impl Signing {
    /// Starts; shards that come to be later are signed too.
    pub fn start(
        catalog: Arc<Catalog>,
        kafka: KafkaOptions,
        options: SigningOptions,
    ) -> Result<Self, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let watching = Watching { catalog, kafka, options, stop: Arc::clone(&stop), threads: Vec::new() };
        let watch = thread::Builder::new().name("sign".to_owned()).spawn(move || watching.run())?;
        Ok(Self { stop, watch })
    }

    /// Signs what is sealed by now, then ends. Call it after ingestion has stopped.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if self.watch.join().is_err() {
            error!("the signing thread panicked; what was sealed is signed after a restart");
        }
    }
}

/// The thread that starts the others.
struct Watching {
    catalog: Arc<Catalog>,
    kafka: KafkaOptions,
    options: SigningOptions,
    stop: Arc<AtomicBool>,
    threads: Vec<(ShardId, JoinHandle<()>)>,
}

impl Watching {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            for (id, served) in self.catalog.all() {
                if served.status.freshness().is_ours && self.threads.iter().all(|(known, _)| *known != id) {
                    self.begin(id, &served);
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        for (id, thread) in self.threads {
            if thread.join().is_err() {
                error!(shard = %id, "its signing thread panicked; what was sealed is signed after a restart");
            }
        }
    }

    fn begin(&mut self, id: ShardId, served: &Served) {
        let signer = match self.signer(&id) {
            Ok(signer) => signer,
            Err(unsigned) => return served.status.update(|now| now.unsigned = Some(unsigned)),
        };
        let name = format!("sign-{}-{}", id.topic, id.partition);
        let signing = ShardSigning {
            id: id.clone(),
            catalog: Arc::clone(&self.catalog),
            secret: self.options.secret.clone(),
            signer,
            stop: Arc::clone(&self.stop),
            told: None,
        };
        match thread::Builder::new().name(name).spawn(move || signing.run()) {
            Ok(thread) => self.threads.push((id, thread)),
            Err(failed) => {
                let message = format!("no thread to sign with: {failed}");
                served.status.update(|now| now.unsigned = Some(Halted { code: "no-thread", message }));
            }
        }
    }

    fn signer(&self, id: &ShardId) -> Result<Signer<CheckpointTopic>, Halted> {
        let unsigned = |code, message: String| Halted { code, message };
        let origin = self.options.origins.of(id);
        let Some(topic) = &self.kafka.checkpoints_topic else {
            return Err(unsigned("no-checkpoints-topic", "there is no topic for checkpoints".to_owned()));
        };
        if self.options.keys.is_empty() {
            let message = "there is no signing key; `keys generate` makes one".to_owned();
            return Err(unsigned("no-signing-key", message));
        }
        let identity = Identity::new(&origin, &self.options.keys)
            .map_err(|error| unsigned("no-origin", format!("{error}; change evidence.origin")))?;
        let journal = CheckpointTopic::new(&self.kafka, topic, &origin);
        Ok(Signer::new(identity, journal, Some(Kept::of(&self.options.keys_dir, &origin))))
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stepped {
    /// All that is sealed is signed.
    Wholly,
    /// Up to a seal that somebody waits for; more is to be signed.
    Partly,
    Failed,
}

/// The thread of one shard.
struct ShardSigning {
    id: ShardId,
    catalog: Arc<Catalog>,
    secret: LedgerSecret,
    signer: Signer<CheckpointTopic>,
    stop: Arc<AtomicBool>,
    /// The failure that was told last: each is told once.
    told: Option<&'static str>,
}

impl ShardSigning {
    fn run(mut self) {
        let mut commits = 0;
        loop {
            // Read before the step: what was sealed before the stop is signed by the last one.
            let is_last = self.stop.load(Ordering::Acquire);
            if is_last && self.told.is_some() {
                return;
            }
            let served = self.catalog.get(&self.id).filter(|served| served.status.freshness().is_ours);
            let stepped = if let Some(served) = &served {
                self.step(served)
            } else {
                self.signer.give_up();
                Stepped::Failed
            };
            match (served, stepped) {
                (_, Stepped::Partly) => {}
                (_, Stepped::Wholly | Stepped::Failed) if is_last => return,
                (Some(served), Stepped::Wholly) => commits = served.status.wait_commit(commits, LOOK),
                _ => sleep_unless_stopped(AFTER_FAILURE, &self.stop),
            }
        }
    }

    fn step(&mut self, Served { reader, status }: &Served) -> Stepped {
        let before = self.signer.note().map(|(checkpoint, _)| checkpoint.size);
        let began = Instant::now();
        let snapshot = reader.snapshot();
        let log =
            StoredLog { snapshot: &snapshot, secret: &self.secret, awaited: Some(status.checkpoints()) };
        let result = self.signer.step(&log, began).and_then(|()| Ok(log.sealed()?));
        if let Some((checkpoint, note)) = self.signer.note().filter(|(now, _)| Some(now.size) != before) {
            debug!(shard = %self.id, size = checkpoint.size, "checkpoint");
            metric::signed(&self.id, checkpoint.size, began.elapsed());
            status.set_checkpoint(SignedCheckpoint { checkpoint: checkpoint.clone(), note: note.to_owned() });
        }
        match result {
            Ok(sealed) => {
                if self.told.take().is_some() {
                    info!(shard = %self.id, "signed again");
                    metric::unsigned(&self.id, None);
                    status.update(|now| now.unsigned = None);
                }
                let signed = self.signer.note().map_or(0, |(checkpoint, _)| checkpoint.size);
                if signed < sealed { Stepped::Partly } else { Stepped::Wholly }
            }
            Err(failure) => {
                self.tell(&failure);
                let halted = Halted { code: failure.code(), message: failure.to_string() };
                status.update(|now| now.unsigned = Some(halted));
                Stepped::Failed
            }
        }
    }

    fn tell(&mut self, failure: &Failure) {
        let code = failure.code();
        if self.told.replace(code) == Some(code) {
            return;
        }
        metric::unsigned(&self.id, Some(code));
        // What is behind catches up, and what could not be reached comes back.
        if matches!(failure, Failure::Halt(halt) if !matches!(halt, Halt::Behind { .. })) {
            error!(shard = %self.id, code, reason = %failure, "not signed");
        } else {
            warn!(shard = %self.id, code, reason = %failure, "not signed yet");
        }
    }
}
