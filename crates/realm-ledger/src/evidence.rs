//! What makes the log evident to others while it is served: ticks that seal it, signatures under what is sealed.

use std::sync::Arc;
use std::time::Instant;

use ledger_gateway::journal::Journal;
use ledger_ingest::publish::Ticker;
use ledger_ingest::sign::{self, Identity, KeptNote, Origins, Signing, SigningKeys, SigningOptions};
use ledger_store::{Catalog, DataDir, ShardId, SignedCheckpoint};
use tracing::warn;

use crate::config::Config;
use crate::{Failure, local, secret};

/// What runs beside ingestion.
#[derive(Debug)]
pub(crate) struct EvidenceThreads {
    ticker: Ticker,
    signing: Option<Signing>,
}

impl EvidenceThreads {
    /// Without Kafka the journal takes the ticks, and checkpoints are kept beside the keys alone.
    pub(crate) fn start(
        catalog: &Arc<Catalog>,
        config: &Config,
        data: &DataDir,
        journal: Option<&Journal>,
    ) -> Result<Self, Failure> {
        let options = signing_options(config, data)?;
        let (interval, no_ticks) = (config.evidence.tick_interval, "ticks cannot be sent");
        let ticker = match journal {
            None => Ticker::start(Arc::clone(catalog), &config.kafka, interval)
                .map_err(|error| Failure::caused(no_ticks, error))?,
            Some(journal) => {
                Ticker::start_with(Arc::clone(catalog), interval, local::append_ticks(journal.clone()))
                    .map_err(|error| Failure::caused(no_ticks, error))?
            }
        };
        let mut evidence = Self { ticker, signing: None };
        let kafka = journal.is_none().then(|| config.kafka.clone());
        let start = |options| Signing::start(Arc::clone(catalog), kafka, options);
        match options.map(start).transpose() {
            Ok(signing) => evidence.signing = signing,
            Err(error) => {
                evidence.stop_by(Instant::now());
                return Err(Failure::caused("checkpoints cannot be signed", error));
            }
        }
        Ok(evidence)
    }

    /// Whether something ended by itself: nothing would be sealed, or nothing new signed.
    pub(crate) fn has_failed(&self) -> bool {
        self.ticker.is_finished() || self.signing.as_ref().is_some_and(Signing::is_finished)
    }

    /// Signs what is sealed by now, then ends, at the latest at the deadline: whether it did. To be called when
    /// ingestion has stopped.
    pub(crate) fn stop_by(self, deadline: Instant) -> bool {
        let signed = self.signing.is_none_or(|signing| signing.stop_by(deadline));
        // A tick that is under way seals nothing any more.
        self.ticker.stop_by(deadline);
        signed
    }
}

/// Signs what was imported into the shards of a topic, unless Kafka feeds them.
pub(crate) fn sign_imported(config: &Config, data: &DataDir, topic: &str) -> Result<(), Failure> {
    let Some(options) = signing_options(config, data)? else { return Ok(()) };
    for shard in data.shards()?.into_iter().filter(|shard| shard.topic == topic) {
        let signed = sign::sign_imported(&data.read_shard(&shard)?, &options);
        let unsigned = |error| {
            let message = format!("what was imported is recorded, but the log of {shard} is not signed");
            Failure::caused(message, error)
        };
        signed.map_err(unsigned)?;
    }
    Ok(())
}

/// The names of the logs of the data directory: those of a refilled one are others than the configured.
pub(crate) fn origins(config: &Config) -> Result<Origins, Failure> {
    let name = log_name(config)?;
    Ok(Origins::new(&name, config.kafka.topics.len())?)
}

/// What the origins begin with, before the topic is put in.
pub(crate) fn log_name(config: &Config) -> Result<String, Failure> {
    let configured = &config.evidence.origin;
    let renamed = DataDir::renamed(&config.data_dir)?.filter(|renamed| renamed.from == *configured);
    Ok(renamed.map_or_else(|| configured.clone(), |renamed| renamed.to))
}

/// The last signed checkpoint of a shard, as it is kept beside the keys, if there is one.
pub(crate) fn last_signed(config: &Config, shard: &ShardId) -> Result<Option<SignedCheckpoint>, Failure> {
    let (keys_dir, origin) = (config.keys_dir(), origins(config)?.origin(shard));
    let Some(note) = KeptNote::new(&keys_dir, &origin).read()? else { return Ok(None) };
    let identity = Identity::new(&origin, &SigningKeys::new(&keys_dir).read()?)?;
    let checkpoint = identity.open(&note).map_err(|error| {
        let message =
            format!("the checkpoint that is kept of {origin} was not signed by the keys that are there");
        Failure::caused(message, error)
    })?;
    Ok(Some(SignedCheckpoint { checkpoint, note }))
}

/// The failure of a command that needs a signed checkpoint of a shard that has none.
pub(crate) fn unsigned(shard: &ShardId) -> Failure {
    Failure::new(format!("no checkpoint of {shard} is signed")).hint(
        "`serve` signs what is sealed, and so does the end of an import; `realm-ledger keys` has the keys",
    )
}

/// None when there is no topic for checkpoints: then nothing is signed, on purpose.
fn signing_options(config: &Config, data: &DataDir) -> Result<Option<SigningOptions>, Failure> {
    let Some(secret) = data.ledger_secret().filter(|_| config.kafka.checkpoints_topic.is_some()) else {
        return Ok(None);
    };
    let keys_dir = config.keys_dir();
    let signing_keys = SigningKeys::new(&keys_dir);
    let keys = signing_keys.read()?;
    secret::warn_if_exposed(signing_keys.path());
    if keys.is_empty() {
        warn!(
            "no checkpoints are signed: {} has no key; put back the one that was lost, or make one with \
             `keys generate`",
            signing_keys.path().display()
        );
    }
    let origins = origins(config)?;
    Ok(Some(SigningOptions { keys, keys_dir, origins, secret: secret.clone() }))
}
