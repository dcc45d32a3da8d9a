//! A bundle: one tenant's whole history, for whoever does not trust the ledger.
//!
//! It rests on the last seal of one moment and on the checkpoint signed there. Between the two lies a second or
//! so: the question says which seal it holds, so that the signer stops there, and begins anew only if the signer
//! was past it already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::proof::line::LedgerSecret;
use ledger_store::{ProveError, Proven, Proving, SignedCheckpoint, Snapshot};

use super::Ledger;
use super::error::QueryError;
use super::shards::{self, Moment, Part};
use crate::limits::BUNDLE_MAX_BYTES;

/// How long the signature of a seal is waited for.
const WAIT: Duration = Duration::from_secs(2);

/// What is to be proven, and to whom.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Whose history.
    pub client: ClientKey,
    /// The only app whose records the reader may see; none: all.
    pub app: Option<AppKey>,
    /// Size of a checkpoint that the reader keeps.
    pub pinned: Option<u64>,
    /// The partition whose log is asked; none: the one that has the tenant.
    pub partition: Option<u32>,
    /// Of this topic; needed where several have such a partition.
    pub topic: Option<String>,
}

impl Ledger {
    /// The same, able to prove: it takes the secret that the leaves are made with.
    #[must_use]
    pub fn with_secret(self, secret: Option<LedgerSecret>) -> Self {
        Self { secret, ..self }
    }

    /// The bundle, as the last signed checkpoint has it.
    ///
    /// That nothing is there is proven for one log as of its checkpoint, and handed out only when the log is read to
    /// its end: a reader takes it for what is true now.
    pub fn proof(&self, asked: &Proof, now: Timestamp) -> Result<String, QueryError> {
        let secret = self.secret.as_ref().ok_or(QueryError::NoSecret)?;
        let parts = self.shards.all();
        let moments = shards::moments(&parts);
        let part = self.part_of(asked, &parts, &moments, now)?;
        let until = Instant::now() + WAIT;
        loop {
            let snapshot = part.reader.snapshot();
            let Proof { client, app, pinned, .. } = asked;
            let proving = Proving { client, app: app.as_ref(), pinned: *pinned };
            let Some(signed) = signature(part, &snapshot, until)? else { continue };
            return match snapshot.prove(proving, &signed.checkpoint, &signed.note, secret) {
                Ok(proven) => {
                    if proven.records() == 0 {
                        self.ready_in(&part.id, &moments, now)?;
                    }
                    self.bundle(client, &proven)
                }
                Err(ProveError::Read(error)) => Err(error.into()),
                Err(error) => Err(QueryError::NotProven(error)),
            };
        }
    }

    /// The file, if it is short enough to be held.
    fn bundle(&self, client: &ClientKey, proven: &Proven<'_>) -> Result<String, QueryError> {
        let mut text = String::new();
        proven.write(|line| {
            self.in_time()?;
            if text.len() + line.len() > BUNDLE_MAX_BYTES {
                let records = proven.records();
                return Err(QueryError::BundleTooLong { client: client.clone(), records });
            }
            text.push_str(line);
            Ok(())
        })?;
        Ok(text)
    }

    /// Nothing computes the partition of a key, so an absence is proven for the partition that is named.
    fn part_of<'p>(
        &self,
        asked: &Proof,
        parts: &'p [Part],
        moments: &[Moment<'_>],
        now: Timestamp,
    ) -> Result<&'p Part, QueryError> {
        let Some(partition) = asked.partition else {
            let located = shards::locate(moments, &asked.client)?.map(|located| located.moment.id.clone());
            if located.is_none() {
                self.ready(moments, now)?;
            }
            let has_it = |part: &&Part| located.as_ref().map_or(parts.len() == 1, |id| part.id == *id);
            let absent = || QueryError::AbsentFromEach { client: asked.client.clone() };
            return parts.iter().find(has_it).ok_or_else(absent);
        };
        let is_named = |part: &&Part| {
            part.id.partition == partition && asked.topic.as_ref().is_none_or(|topic| *topic == part.id.topic)
        };
        let named: Vec<_> = parts.iter().filter(is_named).collect();
        match named[..] {
            [] => Err(self.not_found(moments, now, QueryError::UnknownPartition { partition })),
            [part] => Ok(part),
            _ => {
                let shards = named.iter().map(|part| part.id.clone()).collect();
                Err(QueryError::PartitionOfSeveral { shards })
            }
        }
    }
}

/// The checkpoint of the snapshot's last seal, as soon as it is signed; none when a later one was signed first.
fn signature(
    part: &Part,
    snapshot: &Snapshot<'_>,
    until: Instant,
) -> Result<Option<Arc<SignedCheckpoint>>, QueryError> {
    let status = part.status.as_ref().ok_or(QueryError::NothingSigned)?;
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
