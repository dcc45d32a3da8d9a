//! A bundle: one tenant's whole history, for whoever does not trust the ledger.
//!
//! It rests on the last seal and on the checkpoint signed there. Between the two lies a second or so: the
//! question waits for the signature of what it sees, and looks again when that was passed over.

use std::time::{Duration, Instant};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::proof::line::LedgerSecret;
use ledger_store::{ProveError, Proving, SignedCheckpoint, Snapshot};

use super::Ledger;
use super::error::QueryError;
use super::shards::{self, Part};

/// How long the signature of a seal is waited for.
const WAIT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

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
}

impl Ledger {
    /// The same, able to prove: it takes the secret that the leaves are made with.
    #[must_use]
    pub fn with_secret(self, secret: Option<LedgerSecret>) -> Self {
        Self { secret, ..self }
    }

    /// The bundle, as the last signed checkpoint has it.
    pub fn proof(&self, asked: &Proof) -> Result<String, QueryError> {
        let secret = self.secret.as_ref().ok_or(QueryError::NoSecret)?;
        let parts = self.shards.all();
        let part = self.part_of(asked, &parts)?;
        let until = Instant::now() + WAIT;
        loop {
            let snapshot = part.reader.snapshot();
            let Proof { client, app, pinned, .. } = asked;
            let proving = Proving { client, app: app.as_ref(), pinned: *pinned };
            let signed = wait_for_signature(part, &snapshot, until)?;
            match snapshot.bundle(proving, &signed.checkpoint, &signed.note, secret) {
                Ok(bundle) => return Ok(bundle.write()),
                Err(ProveError::NotSigned { .. }) if Instant::now() < until => {}
                Err(ProveError::Read(error)) => return Err(error.into()),
                Err(error) => return Err(QueryError::NotProven(error)),
            }
        }
    }

    /// Nothing computes the partition of a key, so an absence is proven for the partition that is named.
    fn part_of<'p>(&self, asked: &Proof, parts: &'p [Part]) -> Result<&'p Part, QueryError> {
        let moments = shards::moments(parts);
        let located = shards::locate(&moments, &asked.client)?.map(|located| located.moment.id.clone());
        let wanted = |part: &&Part| match (asked.partition, &located) {
            (Some(partition), _) => part.id.partition == partition,
            (None, Some(id)) => part.id == *id,
            (None, None) => parts.len() == 1,
        };
        parts.iter().find(wanted).ok_or_else(|| match asked.partition {
            Some(partition) => QueryError::UnknownPartition { partition },
            None => self.shards.not_found(QueryError::AbsentFromEach { client: asked.client.clone() }),
        })
    }
}

/// The last signed checkpoint, as soon as it is that of the last seal, or a later one.
fn wait_for_signature(
    part: &Part,
    snapshot: &Snapshot<'_>,
    until: Instant,
) -> Result<std::sync::Arc<SignedCheckpoint>, QueryError> {
    let sealed = snapshot.last_seal()?.map_or(0, |seal| seal.position + 1);
    loop {
        let signed = part.status.as_ref().and_then(|status| status.checkpoint());
        match signed {
            Some(signed) if signed.checkpoint.size >= sealed || Instant::now() >= until => return Ok(signed),
            None if Instant::now() >= until => return Err(QueryError::NothingSigned),
            Some(_) | None => std::thread::sleep(LOOK),
        }
    }
}
