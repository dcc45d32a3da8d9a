//! A bundle: one tenant's whole history, for a reader who does not trust the ledger.
//!
//! It rests on the last seal of a snapshot and on the checkpoint signed there. Between the two lies a second or
//! so: the question says which seal it holds, so that the signer stops there, and begins anew only if the signer
//! was past it already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_store::{ProveError, Proven, Proving, ShardStatus, SignedCheckpoint, Snapshot};
use serde::{Deserialize, Serialize};

use super::LineSink;
use super::parameters::text;
use crate::ledger::{Ledger, QueryError, Reading, ShardSnapshot, locate};
use crate::limits::BUNDLE_MAX_BYTES;

/// How long the signature of a seal is waited for.
const WAIT: Duration = Duration::from_secs(2);

/// What is to be proven, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofQuery {
    /// Whose history.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// The only app whose records the reader may see; none: all.
    #[serde(rename = "appKey", with = "text")]
    pub app: Option<AppKey>,
    /// Size of a checkpoint that the reader keeps.
    pub pinned: Option<u64>,
    /// The partition whose log is asked; none: the one that has the tenant.
    pub partition: Option<u32>,
    /// Of this topic; needed where several have such a partition.
    pub topic: Option<String>,
}

impl ProofQuery {
    /// As the last signed checkpoint has it.
    ///
    /// That nothing is there is proven for one log as of its checkpoint, and handed out only when the log is read to
    /// its end: a reader takes it for what is true now.
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<String, QueryError> {
        let secret = reading.ledger.secret.as_ref().ok_or(QueryError::NoSecret)?;
        let shard = self.shard_of(reading)?;
        let until = Instant::now() + WAIT;
        loop {
            let snapshot = shard.reader.snapshot();
            let Self { client, app, pinned, .. } = self;
            let granted = reading.ledger.grants.apps().map(|apps| &**apps);
            let proving = Proving { client, app: app.as_ref(), granted, pinned: *pinned };
            let signed = signature(shard.status, &snapshot, until).map_err(|error| match error {
                QueryError::NothingSigned => reading.not_found_in(shard.id, error),
                error => error,
            })?;
            let Some(signed) = signed else { continue };
            return match snapshot.prove(proving, &signed.checkpoint, &signed.note, secret) {
                Ok(proven) => {
                    if proven.records() == 0 {
                        self.is_nowhere_else(reading, shard)?;
                        reading.ready_in(shard.id)?;
                    }
                    bundle(reading.ledger, client, &proven)
                }
                Err(ProveError::Read(error)) => Err(error.into()),
                Err(error) => Err(QueryError::NotProven(error)),
            };
        }
    }

    /// A proof that one log has nothing of a tenant is taken for one that there is nothing: it is not made where another
    /// log has its history.
    fn is_nowhere_else(&self, reading: &Reading<'_>, asked: &ShardSnapshot<'_>) -> Result<(), QueryError> {
        match locate(&reading.shards, &self.client)? {
            Some(located) if located.shard.id != asked.id => Err(QueryError::TenantElsewhere {
                client: self.client.clone(),
                shard: located.shard.id.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Nothing computes the partition of a key, so an absence is proven for the partition that is named. Who does not see
    /// all apps gets no proof of an absence: it would tell which tenants have other apps.
    fn shard_of<'r>(&self, reading: &'r Reading<'_>) -> Result<&'r ShardSnapshot<'r>, QueryError> {
        let seen = if self.partition.is_none() || reading.ledger.grants.apps().is_some() {
            reading.seen(&self.client)?
        } else {
            None
        };
        if seen.is_none() && reading.ledger.grants.apps().is_some() {
            return Err(reading.unknown_tenant(&self.client));
        }
        let Some(partition) = self.partition else {
            if self.topic.is_some() {
                return Err(QueryError::TopicAlone);
            }
            if let Some(located) = seen {
                return Ok(located.shard);
            }
            reading.ready()?;
            return match &reading.shards[..] {
                [only] => Ok(only),
                _ => Err(QueryError::AbsentFromEach { client: self.client.clone() }),
            };
        };
        let is_named = |shard: &&ShardSnapshot<'_>| {
            shard.id.partition == partition
                && self.topic.as_ref().is_none_or(|topic| *topic == shard.id.topic)
        };
        let named: Vec<_> = reading.shards.iter().filter(is_named).collect();
        match named[..] {
            [] => Err(reading.not_found(QueryError::UnknownPartition { partition })),
            [shard] => Ok(shard),
            _ => {
                let shards = named.iter().map(|shard| shard.id.clone()).collect();
                Err(QueryError::PartitionOfSeveral { shards })
            }
        }
    }
}

/// The file, if it is short enough to be held.
fn bundle(ledger: &Ledger, client: &ClientKey, proven: &Proven<'_>) -> Result<String, QueryError> {
    let mut text = String::new();
    proven.write(|line| {
        ledger.in_time()?;
        if text.len() + line.len() > BUNDLE_MAX_BYTES {
            let records = proven.records();
            return Err(QueryError::BundleTooLong { client: client.clone(), records });
        }
        text.push_str(line);
        Ok(())
    })?;
    Ok(text)
}

/// The checkpoint of the snapshot's last seal, as soon as it is signed; none when a later one was signed first.
fn signature(
    status: Option<&ShardStatus>,
    snapshot: &Snapshot<'_>,
    until: Instant,
) -> Result<Option<Arc<SignedCheckpoint>>, QueryError> {
    let status = status.ok_or(QueryError::NothingSigned)?;
    let seal = snapshot.last_seal()?.ok_or(QueryError::NotProven(ProveError::Unsealed))?;
    let sealed = seal.position + 1;
    let signed = status.checkpoints().wait_for(sealed, until);
    if signed.is_some() || Instant::now() < until {
        return Ok(signed);
    }
    Err(status.checkpoint().map_or(QueryError::NothingSigned, |last| {
        QueryError::NotProven(ProveError::NotSigned { sealed, signed: last.checkpoint.size })
    }))
}
