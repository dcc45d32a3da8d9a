//! A bundle: one tenant's whole history, or that there is none, as of a signed checkpoint.
//!
//! All of it is of one moment. The map can be asked as of the last seal only, so a bundle needs the checkpoint
//! that was signed there: between a seal and its signature there is none to be had, for a second or so.
//!
//! A history can be long, and each record comes with a proof several times its size. So a bundle is written
//! while it is made, and only a line of it is in memory: the records are read once to count them and their
//! apps, as that stands before them, and once more to be written.

use std::collections::{BTreeMap, BTreeSet};

use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::proof::bundle::{Bundle, ConsistencyPart, RecordPart, SealPart, StreamPart};
use ledger_record::proof::line::{LedgerSecret, stream_id};
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::tree::{self, Node};
use ledger_record::proof::{Hash, payload};
use ledger_record::record::{Content, Record, Stream};

use crate::audit::{PreviousLeaves, line_of};
use crate::db::options::POSITIONS_AT_A_TIME;
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

/// Nodes of the tree that are kept while a bundle is written: of many proofs, and no more than they are worth.
const NODES_KNOWN: usize = 4096;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct Proving<'q> {
    /// Whose history.
    pub client: &'q ClientKey,
    /// The only app whose records the reader may see; none: all.
    pub app: Option<&'q AppKey>,
    /// The apps whose records the reader may see at all; none: all.
    pub granted: Option<&'q BTreeSet<AppKey>>,
    /// Size of an earlier checkpoint that the reader keeps.
    pub pinned: Option<u64>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Nothing is sealed.
    #[error("nothing is sealed yet; a tick, or the end of an import, seals")]
    Unsealed,
    /// The signature is behind.
    #[error("the last seal makes {sealed} leaves and is not signed, the last signed checkpoint has {signed}")]
    NotSigned {
        /// The size that could be signed.
        sealed: u64,
        /// The size that was.
        signed: u64,
    },
    /// This copy is behind.
    #[error(
        "this copy of the log has {sealed} sealed leaves, and a checkpoint of {signed} is signed already"
    )]
    Behind {
        /// What there is.
        sealed: u64,
        /// The size that was signed.
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
    #[error("the pinned checkpoint has {pinned} leaves, the last signed one of this log only {size}")]
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

/// A history that can be proven, of one moment.
#[derive(Debug)]
pub struct Proven<'s> {
    snapshot: &'s Snapshot<'s>,
    secret: &'s LedgerSecret,
    asked: Proving<'s>,
    checkpoint: &'s Checkpoint,
    note: &'s str,
    seal: Record,
    tenant: Section,
    apps: Vec<(AppKey, Section)>,
}

/// What the checkpoint has of a stream.
#[derive(Debug)]
struct Section {
    stream: Stream,
    count: u64,
}

/// The tree's nodes that were asked for: records that lie close together share most of their proofs, and a node
/// that is not stored is made of up to 128 that are.
struct Nodes<'s> {
    snapshot: &'s Snapshot<'s>,
    known: BTreeMap<Node, Hash>,
}

impl Snapshot<'_> {
    /// What can be proven of a tenant as of this checkpoint, which is the text of `note`.
    pub fn prove<'s>(
        &'s self,
        asked: Proving<'s>,
        checkpoint: &'s Checkpoint,
        note: &'s str,
        secret: &'s LedgerSecret,
    ) -> Result<Proven<'s>, ProveError> {
        let seal = self.last_seal()?.ok_or(ProveError::Unsealed)?;
        let (signed, sealed) = (checkpoint.size, seal.position + 1);
        if signed < sealed {
            return Err(ProveError::NotSigned { sealed, signed });
        }
        if signed > sealed {
            return Err(ProveError::Behind { sealed, signed });
        }
        if self.tree_root(signed)? != checkpoint.root {
            return Err(ProveError::Differs { size: signed });
        }
        if let Some(pinned) = asked.pinned.filter(|pinned| *pinned > signed) {
            return Err(ProveError::PinnedNewer { pinned, size: signed });
        }
        let (mut apps, mut sections) = (BTreeSet::new(), Vec::new());
        let tenant = self.section(Stream::Tenant(asked.client.clone()), sealed, |record| {
            apps.extend(app_of(record).filter(|app| sees(asked, app)).cloned());
        })?;
        for app in apps {
            let section = self.section(Stream::App(app.clone()), sealed, |_| {})?;
            sections.push((app, section));
        }
        Ok(Proven { snapshot: self, secret, asked, checkpoint, note, seal, tenant, apps: sections })
    }

    /// Every record of a stream that the checkpoint has is looked at.
    fn section(
        &self,
        stream: Stream,
        size: u64,
        mut look: impl FnMut(&Record),
    ) -> Result<Section, ReadError> {
        let mut count = 0;
        for record in self.records(&stream, 1)? {
            let record = record?;
            if record.position >= size {
                break;
            }
            look(&record);
            count += 1;
        }
        Ok(Section { stream, count })
    }
}

fn app_of(record: &Record) -> Option<&AppKey> {
    match &record.content {
        Content::Event { event, .. } => event.app(),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => None,
    }
}

fn sees(asked: Proving<'_>, app: &AppKey) -> bool {
    asked.app.is_none_or(|only| only == app) && asked.granted.is_none_or(|apps| apps.contains(app))
}

impl Proven<'_> {
    /// How many records the tenant has.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.tenant.count
    }

    /// Gives the lines of the bundle, in their order, each with its end. The same checkpoint gives the same bytes.
    pub fn write<E: From<ReadError>>(&self, mut write: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let Self { snapshot, seal, .. } = self;
        let size = self.checkpoint.size;
        write(&Bundle::header(self.asked.client, &self.checkpoint.origin))?;
        write(&Bundle::checkpoint(self.note))?;
        let proof = snapshot.inclusion(seal.position, size)?;
        let seal = SealPart { index: seal.position, entry: snapshot.leaf_line(seal, self.secret)?, proof };
        write(&seal.line())?;
        write(&self.way(&self.tenant)?.head_line())?;
        self.write_records(&self.tenant, &mut write)?;
        for (app, section) in &self.apps {
            write(&self.way(section)?.app_line(app))?;
            self.write_records(section, &mut write)?;
        }
        if let Some(from) = self.asked.pinned {
            let proof = snapshot.consistency(from, size)?;
            write(&ConsistencyPart { from, proof }.line())?;
        }
        Ok(())
    }

    fn way(&self, section: &Section) -> Result<StreamPart, ReadError> {
        let proof = self.snapshot.prove_stream(&section.stream)?;
        Ok(StreamPart { count: section.count, ..StreamPart::new(proof, Vec::new()) })
    }

    fn write_records<E: From<ReadError>>(
        &self,
        section: &Section,
        write: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let (id, size) = (stream_id(&section.stream), self.checkpoint.size);
        let mut nodes = Nodes { snapshot: self.snapshot, known: BTreeMap::new() };
        let count = usize::try_from(section.count).unwrap_or(usize::MAX);
        let mut links = PreviousLeaves::default();
        let mut rest = self.snapshot.records(&section.stream, 1)?.take(count);
        loop {
            let some = rest.by_ref().take(POSITIONS_AT_A_TIME).collect::<Result<Vec<Record>, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            for (record, context) in some.iter().zip(links.look_up(self.snapshot, &some)?) {
                let is_seen = app_of(record).is_none_or(|app| sees(self.asked, app));
                let salt = || Hash(self.secret.salt(id, record.seq));
                let record = RecordPart {
                    index: record.position,
                    entry: line_of(record, context, self.secret)?,
                    opening: is_seen.then(|| (salt(), payload::of(record))),
                    proof: tree::inclusion(record.position, size, |node| nodes.get(node))?,
                };
                write(&record.line())?;
            }
        }
    }
}

impl Nodes<'_> {
    fn get(&mut self, node: Node) -> Result<Hash, ReadError> {
        if let Some(hash) = self.known.get(&node) {
            return Ok(*hash);
        }
        let hash = self.snapshot.tree_node(node)?;
        if self.known.len() == NODES_KNOWN {
            self.known.clear();
        }
        self.known.insert(node, hash);
        Ok(hash)
    }
}
