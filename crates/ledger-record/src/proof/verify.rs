//! What a reader of a bundle checks, in this order; the first fact that fails is named.
//!
//! 1. The file is written as it is always written.
//! 2. A known key, named as the log, signed the checkpoint.
//! 3. The seal is the last leaf, says so itself, and is in the log.
//! 4. The records are numbered 1 to n, each names the one before it, their indices rise below the seal, each
//!    is in the log; and so for each app's section.
//! 5. Every payload shown is what its line commits to, and tells a whole event of this tenant or app.
//! 6. The last record's head, or the absence of any, climbs to the map root of the seal. The sections are
//!    those of apps that the tenant has records of.
//! 7. The pinned checkpoint is the beginning of this one.
//! 8. The decisions and realms in the lines follow from the records, where all that they rest on is shown.
//!
//! A verdict has three forms: [`VerifiedBundle`], [`BundleRefusal::Invalid`], and [`BundleRefusal::Undecided`], where what is
//! needed to judge is missing. Nothing is believed that the checkpoint does not bear.

mod stream;

use std::collections::BTreeMap;

use ledger_core::event::Body;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Tenant;

use super::bundle::{Bundle, ParseError};
use super::line::{Leaf, LeafLineError, SealLeaf, leaf_hash};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::payload::OpenedPayload;
use super::tree;
use crate::proof::line::{RecordLeaf, own_rule, pinned_realm_after};
use crate::record::{RULES, Stream};
use crate::replay::Replay;

/// What a valid bundle proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle {
    /// Whose history it is. To be compared with the one that was asked for: a bundle proves what it says
    /// about the key that it names.
    pub client: ClientKey,
    /// The checkpoint that bears it.
    pub checkpoint: Checkpoint,
    /// Its seal.
    pub seal: SealLeaf,
    /// All records of the tenant.
    pub records: Vec<VerifiedRecord>,
    /// All app-level records of the apps that have a section.
    pub apps: Vec<(AppKey, Vec<VerifiedRecord>)>,
    /// The tenant as the rules make it of these records. Only where the decisions were checked: where all that
    /// they rest on is shown.
    pub tenant: Option<Tenant>,
}

impl VerifiedBundle {
    /// Whether it was checked that the decisions follow from the records.
    #[must_use]
    pub const fn decisions_follow(&self) -> bool {
        self.tenant.is_some()
    }
}

/// A record that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRecord {
    /// Its index in the log.
    pub index: u64,
    /// Its line.
    pub leaf: RecordLeaf,
    /// What happened, where the payload is shown.
    pub opened: Option<OpenedPayload>,
}

/// Why a bundle is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleRefusal {
    /// It is not what it claims.
    #[error(transparent)]
    Invalid(#[from] BundleFault),
    /// It cannot be judged.
    #[error(transparent)]
    Undecided(#[from] InconclusiveBundle),
}

/// A fact that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// Step 1.
    #[error("the bundle is malformed: line {line}")]
    Malformed {
        /// From 1.
        line: u64,
    },
    /// Step 2.
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] NoteError),
    /// Step 2.
    #[error("the checkpoint is of another log than the bundle says")]
    Origin,
    /// Step 3.
    #[error("the seal is not a seal as it is written")]
    SealLine,
    /// Step 3.
    #[error("the seal is not the last leaf of the checkpoint")]
    SealPlace,
    /// Step 3.
    #[error("the seal is not in the log")]
    SealNotIncluded,
    /// Steps 4 and 5.
    #[error("record {number} of {stream}: {fault}")]
    Record {
        /// In the bundle, from 1.
        number: u64,
        /// Whose.
        stream: StreamName,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// Step 6.
    #[error("the records are not all that the seal knows of {0}")]
    Incomplete(StreamName),
    /// Step 6.
    #[error("there is a section of app {0}, of which the tenant has no record")]
    ForeignApp(AppKey),
    /// Step 7.
    #[error("the pinned checkpoint is refused")]
    Pinned(#[source] NoteError),
    /// Step 7.
    #[error("the pinned checkpoint is of another log")]
    PinnedOrigin,
    /// Step 7.
    #[error("the log does not go on from the pinned checkpoint: it was changed, or forked")]
    Inconsistent,
    /// Step 8.
    #[error("record {seq}: its rule or realm does not follow from the records")]
    Decision {
        /// Seq of the tenant's record.
        seq: u64,
    },
}

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Step 4.
    #[error("not a record's line as it is written")]
    Line,
    /// Step 4.
    #[error("belongs to another stream")]
    Stream,
    /// Step 4.
    #[error("is not the next one: a record is missing, repeated or moved")]
    Number,
    /// Step 4.
    #[error("does not name the record before it")]
    Previous,
    /// Step 4.
    #[error("does not lie after the record before it and before the seal")]
    Index,
    /// Step 4.
    #[error("is not in the log")]
    NotIncluded,
    /// Step 5.
    #[error("the payload is not the one that was committed to")]
    Commitment,
    /// Step 5.
    #[error("the payload does not tell an event of this stream")]
    Payload,
}

/// What is missing to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InconclusiveBundle {
    /// A newer form.
    #[error("version {0} is not known: use a newer program")]
    UnknownVersion(u64),
    /// Other keys.
    #[error("not signed by a key that is known here: give the ledger's verifier key")]
    UnknownKey,
    /// The pinned note by other keys.
    #[error("the pinned checkpoint is not signed by a key that is known here: give the key of that time too")]
    PinnedUnknownKey,
    /// A proof that nothing is compared with.
    #[error("the bundle goes on from a pinned checkpoint: give that checkpoint")]
    NoPinnedNote,
    /// Nothing to compare with what is pinned.
    #[error(
        "the bundle was made without the pinned checkpoint: ask for one that `prove --pinned` makes, given its size"
    )]
    NoConsistencyProof,
    /// Newer rules.
    #[error("rule set {0} is not known: use a newer program")]
    UnknownRules(u16),
}

/// A stream as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamName {
    /// The history that the bundle is about.
    Tenant,
    /// The section of an app.
    App(AppKey),
}

impl std::fmt::Display for StreamName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tenant => f.write_str("the tenant"),
            Self::App(app) => write!(f, "app {app}"),
        }
    }
}

/// The seal that is believed, and the log it seals.
struct Sealed {
    checkpoint: Checkpoint,
    seal: SealLeaf,
}

/// Judges a bundle by the keys that are trusted and the checkpoint that was kept.
pub fn verify(
    bundle: &str,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<VerifiedBundle, BundleRefusal> {
    let bundle = Bundle::parse(bundle).map_err(|error| match error {
        ParseError::Malformed { line } => BundleRefusal::from(BundleFault::Malformed { line }),
        ParseError::UnknownVersion(version) => InconclusiveBundle::UnknownVersion(version).into(),
    })?;
    let keys: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == bundle.origin).cloned().collect();
    let checkpoint = Checkpoint::open_known(&bundle.note, &keys)
        .map_err(BundleFault::Checkpoint)?
        .ok_or(InconclusiveBundle::UnknownKey)?;
    if checkpoint.origin != bundle.origin {
        return Err(BundleFault::Origin.into());
    }
    let seal = check_seal(&bundle, &checkpoint)?;
    let sealed = Sealed { checkpoint, seal };
    let tenant = Stream::Tenant(bundle.client.clone());
    let apps: Vec<Stream> = bundle.apps.iter().map(|(app, _)| Stream::App(app.clone())).collect();
    let mut streams = vec![stream::check(StreamName::Tenant, &tenant, &bundle.history, &sealed)?];
    for (stream, (app, part)) in apps.iter().zip(&bundle.apps) {
        streams.push(stream::check(StreamName::App(app.clone()), stream, part, &sealed)?);
    }
    let opened = streams.iter().map(stream::Checked::open).collect::<Result<Vec<_>, _>>()?;
    for checked in &streams {
        checked.check_head(&sealed)?;
    }
    if let Some((app, _)) = bundle.apps.iter().find(|(app, _)| !streams[0].names(app)) {
        return Err(BundleFault::ForeignApp(app.clone()).into());
    }
    let mut shown = streams.into_iter().zip(opened).map(|(checked, opened)| checked.finish(opened));
    let records = shown.next().unwrap_or_default();
    let apps: Vec<(AppKey, Vec<VerifiedRecord>)> =
        bundle.apps.iter().map(|(app, _)| app.clone()).zip(shown).collect();
    check_pinned(&bundle, &sealed.checkpoint, &keys, pinned)?;
    let tenant = check_decisions(&records, &apps)?;
    let Sealed { checkpoint, seal } = sealed;
    Ok(VerifiedBundle { client: bundle.client, checkpoint, seal, records, apps, tenant })
}

fn check_seal(bundle: &Bundle, checkpoint: &Checkpoint) -> Result<SealLeaf, BundleRefusal> {
    let part = &bundle.seal;
    let seal = match Leaf::parse(&part.entry) {
        Ok(Leaf::Seal(seal)) => seal,
        Ok(Leaf::Record(_)) | Err(LeafLineError::Malformed) => return Err(BundleFault::SealLine.into()),
        Err(LeafLineError::UnknownVersion(version)) => {
            return Err(InconclusiveBundle::UnknownVersion(version).into());
        }
    };
    if checkpoint.size.checked_sub(1) != Some(part.index) || seal.index != part.index {
        return Err(BundleFault::SealPlace.into());
    }
    tree::verify_inclusion(leaf_hash(&part.entry), part.index, checkpoint.size, &part.proof, checkpoint.root)
        .map_err(|_| BundleFault::SealNotIncluded)?;
    Ok(seal)
}

fn check_pinned(
    bundle: &Bundle,
    checkpoint: &Checkpoint,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<(), BundleRefusal> {
    let Some(pinned) = pinned else {
        let unused = bundle.consistency.is_some();
        return if unused { Err(InconclusiveBundle::NoPinnedNote.into()) } else { Ok(()) };
    };
    let pinned = Checkpoint::open_known(pinned, keys)
        .map_err(BundleFault::Pinned)?
        .ok_or(InconclusiveBundle::PinnedUnknownKey)?;
    if pinned.origin != checkpoint.origin {
        return Err(BundleFault::PinnedOrigin.into());
    }
    let proof = match &bundle.consistency {
        Some(part) if part.from == pinned.size => &part.proof[..],
        None if pinned.size == checkpoint.size => &[],
        Some(_) | None => return Err(InconclusiveBundle::NoConsistencyProof.into()),
    };
    tree::verify_consistency(pinned.size, checkpoint.size, pinned.root, checkpoint.root, proof)
        .map_err(|_| BundleFault::Inconsistent.into())
}

/// Step 8: the tenant that follows from the records, if that could be checked. A line shows what the ledger derived when
/// it appended the record, so the records are taken in again in the order of the log, those of the apps among them.
fn check_decisions(
    records: &[VerifiedRecord],
    apps: &[(AppKey, Vec<VerifiedRecord>)],
) -> Result<Option<Tenant>, BundleRefusal> {
    let all = || records.iter().chain(apps.iter().flat_map(|(_, shown)| shown));
    let has_section = |app: &AppKey| apps.iter().any(|(shown, _)| shown == app);
    let is_whole = all().all(|shown| shown.opened.is_some())
        && records.iter().filter_map(|shown| shown.leaf.app.as_ref()).all(has_section);
    if !is_whole {
        return Ok(None);
    }
    let ordered: BTreeMap<u64, (&RecordLeaf, &OpenedPayload)> =
        all().filter_map(|shown| Some((shown.index, (&shown.leaf, shown.opened.as_ref()?)))).collect();
    let mut replay = Replay::default();
    for (leaf, OpenedPayload { event, rules, .. }) in ordered.into_values() {
        if *rules != RULES {
            return Err(InconclusiveBundle::UnknownRules(*rules).into());
        }
        let expected = if let Body::App { app, .. } = &event.body {
            replay.append_to_app(app, event);
            (None, None)
        } else {
            let outcome = replay.append(leaf.seq, event);
            (own_rule(event, &outcome), pinned_realm_after(event, replay.tenant()))
        };
        if expected != (leaf.rule, leaf.pinned_realm) {
            return Err(BundleFault::Decision { seq: leaf.seq }.into());
        }
    }
    Ok(Some(replay.into_tenant()))
}
