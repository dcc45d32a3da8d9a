//! `verify --data-dir`: everything that is kept, compared with everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ledger_core::time::Timestamp;
use ledger_ingest::sign::Origins;
use ledger_record::proof::Hash;
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::{Checkpoint, VerifierKey};
use ledger_store::{
    DataDir, OpenError, ReadError, Reader, ShardId, SignedCheckpoint, StopCode, TornTenant, TornTenants,
    VerifiedShard, check_spread, with_causes,
};
use serde::Serialize;

use super::{PriorLogJson, based_on, invalid, undecided};
use crate::command::{Context, REFILL, advance, data_dir_flag};
use crate::config::Config;
use crate::output::{Column, raw};
use crate::{Exit, Failure, evidence, secret};

const COLUMNS: &[Column] = &[
    Column::at("shard", "/shard"),
    Column::at("verdict", "/verdict"),
    Column::at("leaves", "/size"),
    Column::at("signed", "/signedSize"),
    Column::at("tenants", "/tenants"),
    Column::at("refused", "/refused"),
    Column::at("repeated", "/duplicates"),
    Column::at("complete up to", "/completeUpTo"),
];

const DATA_DIR: &str = "the data directory";

/// What is true of a shard.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidShard {
    shard: String,
    verdict: &'static str,
    size: u64,
    root: Hash,
    signed_size: Option<u64>,
    goes_on_from_pinned: Option<bool>,
    tenants: u64,
    seals: u64,
    refused: u64,
    duplicates: u64,
    complete_up_to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<MissingOffsets>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    based_on: Vec<PriorLogJson>,
}

/// Offsets that a source had lost when it was first read, as was accepted.
#[derive(Serialize)]
struct MissingOffsets {
    source: String,
    from: u64,
    /// Exclusive.
    until: u64,
}

/// A shard that is not what it should be, beside those that are.
#[derive(Serialize)]
struct FailedShard {
    shard: String,
    verdict: &'static str,
    fault: String,
}

/// What is compared with the shards of a directory, and what was found so far.
struct DataDirCheck<'k> {
    data: DataDir,
    secret: LedgerSecret,
    config: Config,
    origins: Origins,
    keys: &'k [VerifierKey],
    /// The checkpoint that was kept elsewhere, until its log is found.
    pinned: Option<Checkpoint>,
    readers: Vec<Reader>,
    valid: Vec<ValidShard>,
    failed: Vec<(ShardId, Failure)>,
}

pub(super) fn run(
    context: &mut Context<'_, '_>,
    directory: Option<PathBuf>,
    keys: &[VerifierKey],
    pinned: Option<&str>,
) -> Result<Exit, Failure> {
    let config = context.config([data_dir_flag(directory)])?;
    DataDir::exists(&config.data_dir).map_err(unlike_the_shards)?;
    let (data, secret) = secret::open_existing(&config)?;
    let pinned = pinned.map(|note| open_pinned(note, keys)).transpose()?;
    let origins = evidence::origins(&config)?;
    let (readers, valid, failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut check = DataDirCheck { data, secret, config, origins, keys, pinned, readers, valid, failed };
    // A shard that is gone is among them.
    let begun = check.data.shards()?;
    let mut topics = BTreeMap::<String, Vec<Option<VerifiedShard>>>::new();
    for shard in check.data.partitions()? {
        let verified = check.check_shard(context, &shard, begun.contains(&shard))?;
        topics.entry(shard.topic).or_default().push(verified);
    }
    check.print(context)?;
    check.refuse_other_keys()?;
    topics.into_values().try_for_each(check_topic)?;
    report_torn(context, &check.readers)?;
    context.report(&check.summary());
    Ok(Exit::Done)
}

impl DataDirCheck<'_> {
    /// Checks a shard and keeps the verdict; returns what was found true.
    fn check_shard(
        &mut self,
        context: &Context<'_, '_>,
        shard: &ShardId,
        is_begun: bool,
    ) -> Result<Option<VerifiedShard>, Failure> {
        // In this order: beside a server the log may be longer than what is signed, but not shorter.
        let last = evidence::last_signed(&self.config, shard)?;
        let origin = self.origins.origin(shard);
        let kept = self.pinned.take_if(|checkpoint| checkpoint.origin == origin);
        let by_key = self.judge_by_key(shard, &origin, last.as_ref(), kept.is_some());
        let (signed_size, is_pinned) = (last.as_ref().map(|last| last.checkpoint.size), kept.is_some());
        let signed: Vec<Checkpoint> = last.map(|last| last.checkpoint).into_iter().chain(kept).collect();
        if !self.data.has(shard)
            && let Err(failure) = check_unsigned(shard, &signed, is_begun)
        {
            self.failed.push((shard.clone(), failure));
            return Ok(None);
        }
        if !is_begun {
            return Ok(None);
        }
        match self.verify(context, shard, &signed).and_then(|verified| by_key.map(|()| verified)) {
            Ok(verified) => {
                self.valid.push(ValidShard::new(shard, &verified, signed_size, is_pinned));
                Ok(Some(verified))
            }
            Err(failure) => {
                self.failed.push((shard.clone(), failure));
                Ok(None)
            }
        }
    }

    fn verify(
        &mut self,
        context: &Context<'_, '_>,
        shard: &ShardId,
        signed: &[Checkpoint],
    ) -> Result<VerifiedShard, Failure> {
        let what = format!("the shard {shard}");
        let reader = self.data.read_shard(shard).map_err(|error| {
            if !error.is_damage() {
                return error.into();
            }
            // What cannot be opened for good is a difference: it was written once.
            let remedy = error.remedy();
            invalid(&what, error).hint(remedy)
        })?;
        let bar = context.progress(&shard.to_string());
        let verdict = reader.snapshot().verify(&self.secret, signed, &mut advance(&bar));
        bar.finish_and_clear();
        self.readers.push(reader);
        verdict.map_err(
            |error| {
                if error.is_damage() { invalid(&what, error) } else { undecided(&what, error) }
            },
        )
    }

    /// The last checkpoint of a log that keys were given of has to be signed by one of them: the caller trusts what
    /// they signed, and nothing else.
    fn judge_by_key(
        &self,
        shard: &ShardId,
        origin: &str,
        last: Option<&SignedCheckpoint>,
        is_pinned: bool,
    ) -> Result<(), Failure> {
        let keys = named(self.keys, origin);
        let what = format!("the shard {shard}");
        match last {
            _ if keys.is_empty() => Ok(()),
            Some(signed) => Checkpoint::open(&signed.note, &keys).map(drop).map_err(|error| {
                let cause = with_causes(&error);
                undecided(&what, format!("its last signed checkpoint cannot be judged by --key: {cause}"))
            }),
            // The keys have judged the pinned checkpoint.
            None if is_pinned => Ok(()),
            None => Err(undecided(&what, "nothing signed of it is kept that --key could judge")),
        }
    }

    /// Prints every shard. Fails with the gravest fault after all others were reported: a difference before a doubt.
    fn print(&mut self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        if let Some(checkpoint) = self.pinned.take() {
            return Err(self.other_log(&checkpoint.origin));
        }
        if self.valid.is_empty() && self.failed.is_empty() {
            let path = self.data.path().display();
            return Err(Failure::new(format!("there is nothing to verify: {path} has no shard")));
        }
        let failed = self.failed.iter().map(|(shard, failure)| {
            let verdict = if failure.code() == Exit::Difference { "invalid" } else { "undecided" };
            raw(&FailedShard { shard: shard.to_string(), verdict, fault: failure.reason() })
        });
        context.print_list(COLUMNS, self.valid.iter().map(raw).chain(failed))?;
        for ValidShard { shard, missing, .. } in &self.valid {
            for MissingOffsets { source, from, until } in missing {
                context.report(&format!(
                    "the history of {shard} begins late: {source} had lost offsets {from} to {until} (exclusive) when it \
                     was first read"
                ));
            }
        }
        self.failed.sort_by_key(|(_, failure)| failure.code() != Exit::Difference);
        for (shard, failure) in self.failed.iter().skip(1) {
            context.report(&format!("{shard}: {}", failure.reason()));
        }
        self.failed.drain(..).next().map_or(Ok(()), |(_, failure)| Err(failure))
    }

    /// None of the shards has the log of the pinned checkpoint.
    fn other_log(&self, origin: &str) -> Failure {
        let mut prior = self.valid.iter().flat_map(|valid| &valid.based_on);
        Failure::new(match prior.find(|log| log.origin == origin).map(|log| log.size) {
            Some(size) => format!(
                "the pinned checkpoint is of {origin}, which had {size} leaves when this directory took its place; \
                 compare it by `verify --pinned` of the old directory"
            ),
            None => format!("the pinned checkpoint is of {origin}, which is no log of this directory"),
        })
    }

    /// A key that names no log of the directory judges nothing here.
    fn refuse_other_keys(&self) -> Result<(), Failure> {
        let partitions = self.data.partitions()?;
        let names: BTreeSet<String> = partitions.iter().map(|shard| self.origins.origin(shard)).collect();
        let Some(other) = self.keys.iter().find(|key| !names.contains(key.name())) else { return Ok(()) };
        let doubt = format!("no log of this directory is named {}, as the key of --key is", other.name());
        Err(undecided(DATA_DIR, doubt))
    }

    fn summary(&self) -> String {
        let is_compared =
            |valid: &&ValidShard| valid.signed_size.is_some() || valid.goes_on_from_pinned.is_some();
        let signed = match self.valid.len() - self.valid.iter().filter(is_compared).count() {
            0 => String::new(),
            count => format!("; nothing that was signed could be compared for {count} of them"),
        };
        // All shards of a topic are based on the same logs.
        let prior = self.valid.iter().flat_map(|valid| &valid.based_on);
        let prior: BTreeMap<&str, &PriorLogJson> = prior.map(|log| (log.origin.as_str(), log)).collect();
        let based_on = based_on(prior.into_values());
        format!("valid: all {} shards of {}{signed}{based_on}", self.valid.len(), self.data.path().display())
    }
}

impl ValidShard {
    fn new(shard: &ShardId, verified: &VerifiedShard, signed_size: Option<u64>, is_pinned: bool) -> Self {
        let missing = verified.late_beginnings.iter().map(|(source, first)| MissingOffsets {
            source: source.clone(),
            from: 0,
            until: *first,
        });
        Self {
            shard: shard.to_string(),
            verdict: "valid",
            size: verified.size,
            root: verified.root,
            signed_size,
            goes_on_from_pinned: is_pinned.then_some(true),
            tenants: verified.tenants,
            seals: verified.seals,
            refused: verified.refused,
            duplicates: verified.duplicates,
            complete_up_to: verified.seal.as_ref().map(|seal| seal.recorded),
            missing: missing.collect(),
            based_on: verified.predecessors.iter().cloned().map(PriorLogJson::from).collect(),
        }
    }
}

/// An imported line, or a record that a refill carried over, is in one shard of the topic or another, so all of them
/// have to be open.
fn check_topic(shards: Vec<Option<VerifiedShard>>) -> Result<(), Failure> {
    let all: Option<Vec<VerifiedShard>> = shards.into_iter().collect();
    let spread = all.map_or(Ok(()), |shards| check_spread(&shards));
    spread.map_err(|fault| invalid(DATA_DIR, fault))
}

/// As in a bundle, only a key whose name is the origin judges.
fn named(keys: &[VerifierKey], origin: &str) -> Vec<VerifierKey> {
    keys.iter().filter(|key| key.name() == origin).cloned().collect()
}

fn open_pinned(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, Failure> {
    let origin = note.split('\n').next().unwrap_or_default();
    Checkpoint::open(note, &named(keys, origin)).map_err(|error| {
        let message = "the pinned checkpoint cannot be used; is the key of its log among those of --key?";
        Failure::caused(message, error)
    })
}

/// A shard may lack its directory if nothing of it was signed.
fn check_unsigned(shard: &ShardId, signed: &[Checkpoint], is_gone: bool) -> Result<(), Failure> {
    let Some(size) = signed.iter().map(|checkpoint| checkpoint.size).max().filter(|size| *size > 0) else {
        return Ok(());
    };
    let fault = format!("the shard {shard} is gone, and with it {size} leaves that were signed");
    Err(invalid(DATA_DIR, fault).hint(if is_gone {
        StopCode::ShardGone.remedy_for(shard)
    } else {
        "it was given up here: `serve` fills it again from Kafka, or restore a backup".to_owned()
    }))
}

/// A `ledger.json` that is not the one that the shards were made with is a difference too.
fn unlike_the_shards(error: OpenError) -> Failure {
    if error.is_of_manifest() { invalid(DATA_DIR, error) } else { error.into() }
}

/// Names the tenants that several shards have: every shard can be valid, and questions about them are refused.
fn report_torn(context: &mut Context<'_, '_>, readers: &[Reader]) -> Result<(), Failure> {
    let torn = torn_tenants(readers)?;
    let remembered = TornTenants::default();
    remembered.catch_up(readers)?;
    for TornTenant { client, shards } in &torn {
        let names: Vec<String> = shards.iter().map(ToString::to_string).collect();
        context.report(&format!("torn: {client}, whose events are in {}", names.join(", ")));
        // A list over all tenants would leave this one out in silence.
        if remembered.shards_of(client).is_none() {
            let fault = format!("{client} is in {}, and no shard remembers that", names.join(" and in "));
            return Err(invalid(DATA_DIR, fault));
        }
    }
    match torn.len() {
        0 => Ok(()),
        tenants => Err(Failure::new(format!(
            "{tenants} tenants stand in more than one partition, so nobody answers for them; every shard is valid by \
             itself"
        ))
        .hint(REFILL)),
    }
}

/// Walks over the tenants of all shards in step.
fn torn_tenants(readers: &[Reader]) -> Result<Vec<TornTenant>, ReadError> {
    let snapshots: Vec<_> = readers.iter().map(|reader| (reader.shard(), reader.snapshot())).collect();
    let mut walks = Vec::new();
    for (shard, snapshot) in &snapshots {
        walks.push((*shard, snapshot.tenant_keys()?.peekable()));
    }
    let mut torn = Vec::new();
    loop {
        // A key that does not decode was found above.
        let heads = walks.iter_mut().filter_map(|(_, walk)| walk.peek()?.as_ref().ok());
        let Some(client) = heads.min().cloned() else { return Ok(torn) };
        let mut shards = Vec::new();
        for (shard, walk) in &mut walks {
            if walk.next_if(|key| key.as_ref().is_ok_and(|key| *key == client)).is_some() {
                shards.push((*shard).clone());
            }
        }
        if shards.len() > 1 {
            torn.push(TornTenant { client, shards });
        }
    }
}
