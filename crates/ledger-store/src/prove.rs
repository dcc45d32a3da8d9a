//! A bundle: one tenant's whole history, or that there is none, as of a signed checkpoint.
//!
//! All of it is of one moment. The map can be asked as of the last seal only, so a bundle needs the checkpoint
//! that was signed there: between a seal and its signature there is none to be had, for a second or so.

use std::collections::BTreeSet;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::key::{self, Family};
use ledger_record::proof::bundle::{Bundle, ConsistencyPart, RecordPart, SealPart, StreamPart};
use ledger_record::proof::line::{LedgerSecret, stream_id};
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::{Hash, payload};
use ledger_record::record::{Content, Record, Stream};

use crate::database::damaged;
use crate::error::{Damage, ReadError};
use crate::snapshot::Snapshot;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct Proving<'q> {
    /// Whose history.
    pub client: &'q ClientKey,
    /// The only app whose records the reader may see; none: all.
    pub app: Option<&'q AppKey>,
    /// Size of an earlier checkpoint that the reader keeps.
    pub pinned: Option<u64>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Nothing is sealed.
    #[error("nothing is sealed yet; a tick, or the end of an import, seals")]
    Unsealed,
    /// The signature is behind, or ahead of this copy.
    #[error(
        "the last seal makes {sealed} leaves, the last signed checkpoint has {signed}; ask again in a moment"
    )]
    NotSigned {
        /// The size that could be signed.
        sealed: u64,
        /// The size that was.
        signed: u64,
    },
    /// This is not the log that was signed.
    #[error(
        "the log is not the one whose checkpoint was signed at size {size}; `verify` says where it differs"
    )]
    Differs {
        /// Of the checkpoint.
        size: u64,
    },
    /// From a checkpoint that is newer.
    #[error("the pinned checkpoint has {pinned} leaves, the last one {size}")]
    PinnedNewer {
        /// What was asked for.
        pinned: u64,
        /// What there is.
        size: u64,
    },
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Snapshot<'_> {
    /// The bundle of a tenant, as of this checkpoint, which is the text of `note`. The same checkpoint gives
    /// the same bytes.
    pub fn bundle(
        &self,
        asked: Proving<'_>,
        checkpoint: &Checkpoint,
        note: &str,
        secret: &LedgerSecret,
    ) -> Result<Bundle, ProveError> {
        let seal = self.last_seal()?.ok_or(ProveError::Unsealed)?;
        let (size, sealed) = (checkpoint.size, seal.position + 1);
        if size != sealed {
            return Err(ProveError::NotSigned { sealed, signed: size });
        }
        if self.tree_root(size)? != checkpoint.root {
            return Err(ProveError::Differs { size });
        }
        if let Some(pinned) = asked.pinned.filter(|pinned| *pinned > size) {
            return Err(ProveError::PinnedNewer { pinned, size });
        }
        let bundling = Bundling { snapshot: self, size, secret };
        let tenant = Stream::Tenant(asked.client.clone());
        let records = bundling.records(&tenant)?;
        let apps: BTreeSet<&AppKey> =
            records.iter().filter_map(app_of).filter(|app| sees(asked, app)).collect();
        let apps = apps.into_iter().map(|app| {
            let stream = Stream::App(app.clone());
            let records = bundling.records(&stream)?;
            Ok((app.clone(), bundling.part(&stream, &records, |_| true)?))
        });
        let apps = apps.collect::<Result<Vec<_>, ReadError>>()?;
        let is_seen = |record: &Record| app_of(record).is_none_or(|app| sees(asked, app));
        let consistency = asked.pinned.map(|from| {
            let proof = self.consistency(from, size)?;
            Ok::<_, ReadError>(ConsistencyPart { from, proof })
        });
        Ok(Bundle {
            client: asked.client.clone(),
            origin: checkpoint.origin.clone(),
            note: note.to_owned(),
            seal: SealPart {
                index: seal.position,
                entry: bundling.line(&seal)?,
                proof: self.inclusion(seal.position, size)?,
            },
            history: bundling.part(&tenant, &records, is_seen)?,
            apps,
            consistency: consistency.transpose()?,
        })
    }
}

fn app_of(record: &Record) -> Option<&AppKey> {
    match &record.content {
        Content::Event { event, .. } => event.app(),
        Content::Refused(_) | Content::Seal(_) => None,
    }
}

fn sees(asked: Proving<'_>, app: &AppKey) -> bool {
    asked.app.is_none_or(|only| only == app)
}

struct Bundling<'s, 'a> {
    snapshot: &'s Snapshot<'a>,
    size: u64,
    secret: &'s LedgerSecret,
}

impl Bundling<'_, '_> {
    /// What the checkpoint has of a stream.
    fn records(&self, stream: &Stream) -> Result<Vec<Record>, ReadError> {
        let is_sealed = |record: &Result<Record, ReadError>| {
            record.as_ref().map_or(true, |record| record.position < self.size)
        };
        self.snapshot.records(stream, 1)?.take_while(is_sealed).collect()
    }

    fn part(
        &self,
        stream: &Stream,
        records: &[Record],
        is_seen: impl Fn(&Record) -> bool,
    ) -> Result<StreamPart, ReadError> {
        let id = stream_id(stream);
        let part = |record: &Record| {
            Ok(RecordPart {
                index: record.position,
                entry: self.line(record)?,
                opening: is_seen(record)
                    .then(|| (Hash(self.secret.salt(id, record.seq)), payload::of(record))),
                proof: self.snapshot.inclusion(record.position, self.size)?,
            })
        };
        let parts = records.iter().map(part).collect::<Result<_, ReadError>>()?;
        Ok(StreamPart::new(self.snapshot.prove_stream(stream)?, parts))
    }

    fn line(&self, record: &Record) -> Result<String, ReadError> {
        let line = self.snapshot.leaf_of(record, self.secret)?.write();
        line.map_err(|_| damaged(Family::Leaves, &key::position(record.position), Damage::Misplaced).into())
    }
}
