//! Which checkpoint is signed next, if any: the decisions, apart from threads and clients.

use std::time::{Duration, Instant};

use ledger_record::proof::Hash;
use ledger_record::proof::frontier::Frontier;
use ledger_record::proof::note::{Checkpoint, NoteKeyError, SignerKey, VerifierKey};
use ledger_record::proof::tree::Node;
use ledger_store::ReadError;
use tracing::warn;

use crate::sign::{CheckpointLog, CheckpointLogError, KeptError, KeptNote};

/// How long a process that was shut out waits for the other's next note before it takes over.
pub const TAKE_OVER: Duration = Duration::from_secs(30);

/// A log as it reads back from where it is stored.
pub trait SealedLog {
    /// How many leaves there are up to the last seal and with it; 0 without a seal.
    fn sealed(&self) -> Result<u64, ReadError>;

    /// Where to stop on the way from what is published to the last seal: at an earlier one that somebody waits
    /// for, or there.
    fn next_stop(&self, _published: u64, sealed: u64) -> Result<u64, ReadError> {
        Ok(sealed)
    }

    /// The root of a full subtree, as stored.
    fn node(&self, node: Node) -> Result<Hash, ReadError>;

    /// Hands over the hash of each leaf in `[from, until)`, made anew from its record.
    fn leaves(&self, from: u64, until: u64, take: &mut dyn FnMut(Hash)) -> Result<(), ReadError>;
}

/// Who signs which log.
#[derive(Debug, Clone)]
pub struct Identity {
    origin: String,
    keys: Vec<SignerKey>,
}

impl Identity {
    /// The keys sign for this origin, whatever name they have.
    pub fn new(origin: &str, keys: &[SignerKey]) -> Result<Self, NoteKeyError> {
        let keys = keys.iter().map(|key| key.renamed(origin)).collect::<Result<_, _>>()?;
        Ok(Self { origin: origin.to_owned(), keys })
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn sign(&self, size: u64, root: Hash) -> (Checkpoint, String) {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root };
        let note = checkpoint.sign(&self.keys.iter().collect::<Vec<_>>());
        (checkpoint, note)
    }

    /// Whether each of the keys signed a note: one that was added since has not.
    fn has_signed(&self, note: &str) -> bool {
        self.keys.iter().all(|key| Checkpoint::open(note, &[key.verifier()]).is_ok())
    }

    /// Reads a note of this log that one of the keys signed.
    pub fn open(&self, note: &str) -> Result<Checkpoint, SigningHalt> {
        let keys: Vec<VerifierKey> = self.keys.iter().map(SignerKey::verifier).collect();
        let strange = |reason: String| SigningHalt::NotOurs { origin: self.origin.clone(), reason };
        let checkpoint = Checkpoint::open(note, &keys).map_err(|error| strange(error.to_string()))?;
        if checkpoint.origin == self.origin {
            Ok(checkpoint)
        } else {
            Err(strange(format!("it is of {}", checkpoint.origin)))
        }
    }
}

/// Why nothing is signed. The shard goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningHalt {
    /// The log is shorter than what was published.
    #[error(
        "the log of {origin} is sealed up to {sealed} leaves, but {published} were published: the data directory is \
         a restored backup or new; nothing is signed until the source has filled it up again"
    )]
    Behind {
        origin: String,
        /// Its size up to the last seal.
        sealed: u64,
        /// The size that was published.
        published: u64,
    },
    /// The log has another root.
    #[error(
        "the log of {origin} has root {found:?} at {size} leaves, but {published:?} was published: it is not the \
         same log; nothing is signed. Run `verify`, compare the ledger secret and the source with those of the \
         process that published, and build the data directory anew, with imports at the same place among the \
         messages of the topic: the log has them in the order in which they came"
    )]
    Forked {
        origin: String,
        /// The size that was published.
        size: u64,
        /// The root that was published.
        published: Hash,
        /// The root here.
        found: Hash,
    },
    /// The records do not give the tree that is stored.
    #[error(
        "the records of {origin} give root {found:?} at {size} leaves, but {stored:?} is stored: something was changed \
         on disk or in memory; nothing is signed. Run `verify`, look at the disk, restore or build anew"
    )]
    Damaged {
        origin: String,
        /// The size that was to be signed.
        size: u64,
        /// As stored.
        stored: Hash,
        /// As made from the records.
        found: Hash,
    },
    /// The last note is not signed by a key of this ledger.
    #[error(
        "the last checkpoint that was published for {origin} cannot be judged ({reason}): give this ledger the key \
         that signed it, or another evidence.origin"
    )]
    NotOurs {
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process signs.
    #[error(
        "another process publishes the checkpoints of {origin}; this one stands by and compares. If there should be \
         no other, find it: two ledgers must not share keys and origin"
    )]
    SignedElsewhere { origin: String },
}

impl SigningHalt {
    /// Stable, for alerts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Behind { .. } => "log-behind-checkpoint",
            Self::Forked { .. } => "log-differs-from-checkpoint",
            Self::Damaged { .. } => "log-damaged",
            Self::NotOurs { .. } => "checkpoint-of-unknown-key",
            Self::SignedElsewhere { .. } => "signed-elsewhere",
        }
    }
}

/// Why a step did not end in a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum SigningFailure {
    /// On purpose.
    #[error(transparent)]
    Halt(#[from] SigningHalt),
    /// Kafka, or the lock.
    #[error(transparent)]
    CheckpointLog(#[from] CheckpointLogError),
    #[error(transparent)]
    KeptNote(#[from] KeptError),
    /// The shard.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The name of the log cannot be the name of a key.
    #[error("{0}; change evidence.origin")]
    Origin(#[from] NoteKeyError),
}

impl SigningFailure {
    /// Stable, for alerts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Halt(halt) => halt.code(),
            Self::CheckpointLog(CheckpointLogError::Hidden { .. }) => "transaction-hanging",
            Self::CheckpointLog(_) => "checkpoint-not-published",
            Self::KeptNote(_) => "checkpoint-not-kept",
            Self::Read(ReadError::Damaged(_)) => "log-damaged",
            Self::Read(_) => "store",
            Self::Origin(_) => "no-origin",
        }
    }
}

/// A note that was published and that the log agrees with.
#[derive(Debug, Clone)]
struct VerifiedCheckpoint {
    note: String,
    checkpoint: Checkpoint,
    frontier: Frontier,
    /// Each of our keys signed it.
    by_all: bool,
}

/// Signs the log of one shard.
#[derive(Debug)]
pub struct Signer<J> {
    identity: Identity,
    checkpoints: J,
    /// Where the last note is found if the topic has lost it.
    copy: Option<KeptNote>,
    agreed: Option<VerifiedCheckpoint>,
    /// The log was compared with the last note since the signer began, or gave up.
    is_compared: bool,
    /// This process has the claim, as far as it knows.
    is_leader: bool,
    /// Another process has the claim since then, or since its last note, which had this size.
    fenced: Option<(u64, Instant)>,
}

impl<J: CheckpointLog> Signer<J> {
    /// A signer that has compared nothing and claimed nothing yet.
    pub fn new(identity: Identity, checkpoints: J, copy: Option<KeptNote>) -> Self {
        Self { identity, checkpoints, copy, agreed: None, is_compared: false, is_leader: false, fenced: None }
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        self.identity.origin()
    }

    /// The last note that was published by anyone, as far as the log agrees with it.
    pub fn note(&self) -> Option<(&Checkpoint, &str)> {
        self.agreed.as_ref().map(|agreed| (&agreed.checkpoint, agreed.note.as_str()))
    }

    /// Agrees with the note that is kept beside the keys, which was published: it can be shown while the topic is
    /// asked. Nothing is signed for that: the first step asks the topic all the same.
    pub fn recall(&mut self, log: &impl SealedLog) -> Result<(), SigningFailure> {
        self.agree(None, log)
    }

    /// Leaves the log to others; the next step begins from what is published then.
    pub fn give_up(&mut self) {
        self.release();
        self.fenced = None;
    }

    fn release(&mut self) {
        self.checkpoints.release();
        (self.is_compared, self.is_leader) = (false, false);
    }

    /// Signs up to the last seal, or to the next stop on the way there, if that is not done. To be called
    /// whenever something was committed, and now and then.
    pub fn step(&mut self, log: &impl SealedLog, now: Instant) -> Result<(), SigningFailure> {
        let stepped = if self.is_leader { self.go_on(log) } else { self.begin(log, now) };
        if let Err(failed) = &stepped {
            if matches!(failed, SigningFailure::CheckpointLog(CheckpointLogError::ShutOut)) {
                self.fenced = Some((self.published(), now));
                self.release();
                return Err(self.signed_elsewhere());
            }
            // What became of the note is found out by claiming anew.
            self.release();
        }
        stepped
    }

    /// Not claimed: looks what there is, and claims only when there is something to add to it. That is made
    /// before claiming: a process without anything to sign must not fence another.
    fn begin(&mut self, log: &impl SealedLog, now: Instant) -> Result<(), SigningFailure> {
        if self.is_compared && self.fenced.is_none() && self.is_done(log)? {
            return Ok(());
        }
        let last = self.checkpoints.last()?;
        self.agree(last, log)?;
        self.is_compared = true;
        if self.is_done(log)? {
            return if self.fenced.is_some() { Err(self.signed_elsewhere()) } else { Ok(()) };
        }
        if self.waits_for_the_other(now) {
            return Err(self.signed_elsewhere());
        }
        let (grown_from, next) = (self.last_note(), self.next(log)?);
        let last = self.checkpoints.claim()?;
        self.agree(last, log)?;
        self.is_leader = true;
        self.fenced = None;
        if self.last_note() == grown_from { self.publish(next) } else { self.go_on(log) }
    }

    /// Claimed: what was published last is known, and nobody can have published since.
    fn go_on(&mut self, log: &impl SealedLog) -> Result<(), SigningFailure> {
        if self.is_done(log)? {
            return Ok(());
        }
        let next = self.next(log)?;
        self.publish(next)
    }

    /// Whether all that is sealed is signed, by all keys. A log that does not grow is signed anew when a key was
    /// added: the old key could never be taken away else.
    fn is_done(&self, log: &impl SealedLog) -> Result<bool, ReadError> {
        let by_all = self.agreed.as_ref().is_none_or(|agreed| agreed.by_all);
        Ok(by_all && log.sealed()? == self.published())
    }

    /// What is to be published next.
    fn next(&self, log: &impl SealedLog) -> Result<VerifiedCheckpoint, SigningFailure> {
        let (sealed, published) = (log.sealed()?, self.published());
        if sealed < published {
            return Err(self.behind(sealed, published).into());
        }
        let sealed = if sealed == published { sealed } else { log.next_stop(published, sealed)? };
        let mut frontier = self.agreed.as_ref().map(|agreed| agreed.frontier.clone()).unwrap_or_default();
        log.leaves(published, sealed, &mut |leaf| frontier.push(leaf))?;
        let (root, stored) = (frontier.root(), Frontier::read(sealed, |node| log.node(node))?.root());
        if root != stored || frontier.size() != sealed {
            let origin = self.identity.origin.clone();
            return Err(SigningHalt::Damaged { origin, size: sealed, stored, found: root }.into());
        }
        let (checkpoint, note) = self.identity.sign(sealed, root);
        Ok(VerifiedCheckpoint { note, checkpoint, frontier, by_all: true })
    }

    fn publish(&mut self, next: VerifiedCheckpoint) -> Result<(), SigningFailure> {
        self.checkpoints.publish(&next.note)?;
        self.keep(&next.note);
        self.agreed = Some(next);
        Ok(())
    }

    fn last_note(&self) -> Option<String> {
        self.agreed.as_ref().map(|agreed| agreed.note.clone())
    }

    /// Compares the log with the last notes that were published: the topic's, and the one beside the keys, in
    /// case the topic has lost it. Both, since two notes of one size may have different roots, and a larger note
    /// says nothing of a smaller one. The log goes on from the largest.
    fn agree(&mut self, last: Option<String>, log: &impl SealedLog) -> Result<(), SigningFailure> {
        let copy = self.copy.as_ref().map(KeptNote::read).transpose()?.flatten();
        let mut newest: Option<VerifiedCheckpoint> = None;
        for note in [last, copy].into_iter().flatten() {
            let found = match &self.agreed {
                Some(agreed) if agreed.note == note => agreed.clone(),
                _ => {
                    let checkpoint = self.identity.open(&note)?;
                    let frontier = self.compare(&checkpoint, log)?;
                    let by_all = self.identity.has_signed(&note);
                    VerifiedCheckpoint { note, checkpoint, frontier, by_all }
                }
            };
            if newest.as_ref().is_none_or(|newest| newest.checkpoint.size < found.checkpoint.size) {
                newest = Some(found);
            }
        }
        if let Some(newest) = newest.as_ref().filter(|newest| self.last_note().as_ref() != Some(&newest.note))
        {
            self.keep(&newest.note);
        }
        self.agreed = newest;
        Ok(())
    }

    /// The topic has the note; a directory of keys that cannot be written, as secrets often are mounted, must
    /// not keep the log from being signed.
    fn keep(&mut self, note: &str) {
        if let Some(Err(error)) = self.copy.as_ref().map(|copy| copy.replace(note)) {
            warn!(origin = self.identity.origin, %error, "checkpoints are not kept beside the keys");
            self.copy = None;
        }
    }

    fn compare(&self, published: &Checkpoint, log: &impl SealedLog) -> Result<Frontier, SigningFailure> {
        let sealed = log.sealed()?;
        if sealed < published.size {
            return Err(self.behind(sealed, published.size).into());
        }
        let frontier = Frontier::read(published.size, |node| log.node(node))?;
        if frontier.root() == published.root {
            return Ok(frontier);
        }
        let (origin, size) = (self.identity.origin.clone(), published.size);
        Err(SigningHalt::Forked { origin, size, published: published.root, found: frontier.root() }.into())
    }

    /// Whether the process that shut this one out is still given time.
    fn waits_for_the_other(&mut self, now: Instant) -> bool {
        let published = self.published();
        let Some((size, since)) = &mut self.fenced else { return false };
        if *size != published {
            (*size, *since) = (published, now);
        }
        now.saturating_duration_since(*since) < TAKE_OVER
    }

    fn published(&self) -> u64 {
        self.agreed.as_ref().map_or(0, |agreed| agreed.checkpoint.size)
    }

    fn behind(&self, sealed: u64, published: u64) -> SigningHalt {
        SigningHalt::Behind { origin: self.identity.origin.clone(), sealed, published }
    }

    fn signed_elsewhere(&self) -> SigningFailure {
        SigningHalt::SignedElsewhere { origin: self.identity.origin.clone() }.into()
    }
}
