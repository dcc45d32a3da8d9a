//! `refill`: a new data directory from an old one's records, each tenant whole where its producer puts it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indicatif::ProgressBar;
use ledger_ingest::placing::are_enough;
use ledger_ingest::sign::Origins;
use ledger_record::proof::note::Checkpoint;
use ledger_record::record::PriorLog;
use ledger_store::{
    DataDir, Partitioner, PlacedKeys, RefillPlan, RefillReport, RefillStage, Renamed, ShardId, refill,
};

use super::{Context, advance, data_dir_flag};
use crate::cli::RefillArgs;
use crate::config::{Config, resolved};
use crate::{Exit, Failure, evidence, secret};

pub(super) fn run(context: &mut Context<'_, '_>, args: RefillArgs) -> Result<Exit, Failure> {
    let RefillArgs { from, data_dir, partitioner, origin } = args;
    let config = context.config([data_dir_flag(Some(data_dir))])?;
    let old_config = Config { data_dir: from, ..config.clone() };
    let (old, old_secret) = secret::open_existing(&old_config)?;
    let (log_name, origins) = (evidence::log_name(&old_config)?, evidence::origins(&old_config)?);
    refuse_path(&old, &config.data_dir)?;
    // No process writes there until the new directory is whole.
    let _held = old.hold_shards()?;
    let topics: BTreeSet<String> = old.partitions()?.into_iter().map(|shard| shard.topic).collect();
    let renamed = Renamed {
        from: config.evidence.origin.clone(),
        to: name(origin, &log_name, &topics, &named_before(&old, &topics, &origins)?, &config)?,
    };

    let mut places = BTreeMap::new();
    for topic in &topics {
        let partitioner = match partitioner {
            Some(asked) => asked,
            None => partitioner_of(&old, &config, topic)?,
        };
        report_contradicted(context, &old, topic, partitioner)?;
        places.insert(topic.clone(), partitioner);
    }
    let mut checkpoints = BTreeMap::<ShardId, Vec<Checkpoint>>::new();
    for shard in old.partitions()? {
        let last = evidence::last_signed(&old_config, &shard)?;
        checkpoints.insert(shard, last.map(|signed| signed.checkpoint).into_iter().collect());
    }

    let new_secret = secret::inherited(&config, &old_config)?.of_successor(&renamed.to);
    let new = DataDir::begin_refill(&config.data_dir, config.store.clone(), new_secret, renamed.clone())?;
    let signed = |shard: &ShardId| checkpoints.get(shard).cloned().unwrap_or_default();
    for (topic, partitioner) in &places {
        let partitions = old.identity(topic)?.map_or(1, |identity| identity.partitions);
        let bar = context.progress(topic);
        let done = refill(
            &old,
            &new,
            &RefillPlan {
                topic,
                log_name: &origins.name(topic),
                place: &|client| partitioner.partition(client.as_bytes(), partitions).unwrap_or(0),
                secret: &old_secret,
                signed: &signed,
            },
            &mut |stage, done, total| show_stage(&bar, topic, stage, done, total),
        );
        bar.finish_and_clear();
        report_topic(context, topic, *partitioner, &done?);
        new.remember_partitioner(topic, *partitioner)?;
    }
    if config.evidence.keys_dir.is_none() {
        secret::copy_keys(&old_config.keys_dir(), &config.keys_dir())?;
    }
    let new = new.finish()?;
    for topic in &topics {
        evidence::sign_imported(&config, &new, topic)?;
    }
    context.report(&format!(
        "{} is whole; its logs are named {} instead of {}. `serve --data-dir` reads on there; keep the old \
         directory for those who hold checkpoints of it, and start no server on it again",
        config.data_dir.display(),
        with_topics(&renamed.to, &topics),
        with_topics(&log_name, &topics),
    ));
    Ok(Exit::Done)
}

fn refuse_path(old: &DataDir, new: &Path) -> Result<(), Failure> {
    let from = old.path().display();
    if !old.shards()?.iter().any(|shard| old.has(shard)) {
        let message = format!("{from} has no shard, so there is nothing to refill");
        return Err(Failure::new(message).exit(Exit::Usage));
    }
    let (old, there) = (resolved(old.path()), resolved(new));
    // The old one itself is refused as it is not empty.
    if there != old && there.starts_with(&old) {
        let message =
            format!("{} is inside of {from}: a new directory is to be one of its own", new.display());
        return Err(Failure::new(message).exit(Exit::Usage));
    }
    Ok(())
}

/// What the origins of the old logs begin with, and of those that they took the place of.
fn named_before(
    old: &DataDir,
    topics: &BTreeSet<String>,
    origins: &Origins,
) -> Result<BTreeSet<String>, Failure> {
    let mut names: BTreeSet<String> = topics.iter().map(|topic| origins.name(topic)).collect();
    for shard in old.shards()? {
        let reader = old.read_shard(&shard)?;
        // They are the first records of a log.
        for record in reader.snapshot().records_from(0)? {
            let Some(PriorLog { origin, .. }) = PriorLog::from_record(&record?) else { break };
            names.extend(origin.rsplit_once('/').map(|(name, _)| name.to_owned()));
        }
    }
    Ok(names)
}

/// The name of the new logs.
fn name(
    asked: Option<String>,
    before: &str,
    topics: &BTreeSet<String>,
    taken: &BTreeSet<String>,
    config: &Config,
) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(message).exit(Exit::Usage);
    let name = asked.unwrap_or_else(|| next_name(before));
    let origins = Origins::new(&name, topics.len().max(config.kafka.topics.len()))
        .map_err(|error| usage(format!("--origin is to be {error}")))?;
    match topics.iter().map(|topic| origins.name(topic)).find(|name| taken.contains(name)) {
        Some(same) => Err(usage(format!(
            "{same} is what the old logs are named, or logs that these took the place of: two logs of one name would \
             contradict each other"
        ))),
        None => Ok(name),
    }
}

/// The name as it is in the origins of these topics.
fn with_topics(name: &str, topics: &BTreeSet<String>) -> String {
    let named: BTreeSet<String> = topics.iter().map(|topic| name.replace("{topic}", topic)).collect();
    if named.is_empty() { name.to_owned() } else { named.into_iter().collect::<Vec<_>>().join(", ") }
}

/// `realm`, `realm~2`, `realm~3`: no topic has that sign in its name.
fn next_name(before: &str) -> String {
    let numbered =
        before.rsplit_once('~').and_then(|(name, digits)| Some((name, digits.parse::<u32>().ok()?)));
    let (name, number) = numbered.unwrap_or((before, 1));
    format!("{name}~{}", number.saturating_add(1))
}

/// How the producers of a topic place keys: as all of its messages show, else as it is configured. What the directory
/// remembers may be the very thing that is wrong.
fn partitioner_of(old: &DataDir, config: &Config, topic: &str) -> Result<Partitioner, Failure> {
    for shard in old.shards()?.into_iter().filter(|shard| shard.topic == topic) {
        let Some(by) = old.misplaced(&shard)? else { continue };
        let names: Vec<String> = by.iter().map(ToString::to_string).collect();
        let by = if names.is_empty() { String::new() } else { format!(" ({})", names.join(" or ")) };
        return Err(Failure::new(format!(
            "the shard {shard} is halted by a message that another partitioner placed{by}, so the records do not tell \
             how keys are placed from now on"
        ))
        .hint(NAME_ONE));
    }
    let placed = PlacedKeys::in_topic(old, topic)?;
    let partitions = old.identity(topic)?.map_or(1, |identity| identity.partitions);
    match placed.fitting()[..] {
        [only] if are_enough(placed.keys(), partitions) => return Ok(only),
        _ if partitions <= 1 => return Ok(Partitioner::Murmur2),
        _ => {}
    }
    let fits_all = |partitioner: &Partitioner| {
        *partitioner != Partitioner::Unknown && placed.fits(*partitioner) == placed.keys()
    };
    if let Some(set) = config.kafka.partitioner.filter(fits_all) {
        return Ok(set);
    }
    let message = match placed.fitting()[..] {
        _ if placed.keys() == 0 => {
            format!("no message of {topic} tells how its producers place keys, as none came from Kafka")
        }
        [] => format!(
            "the messages of {topic} were placed by more than one partitioner, or by none that is known: {placed}"
        ),
        _ => format!("too few keys of {topic} are known to tell how its producers place them: {placed}"),
    };
    Err(Failure::new(message).hint(NAME_ONE))
}

const NAME_ONE: &str = "name the partitioner of the producer that sends from now on: --partitioner murmur2 (Java), crc32 \
                        (librdkafka and what is built on it) or fnv1a (Sarama)";

/// Reports messages that the partitioner would have placed elsewhere.
fn report_contradicted(
    context: &mut Context<'_, '_>,
    old: &DataDir,
    topic: &str,
    partitioner: Partitioner,
) -> Result<(), Failure> {
    let placed = PlacedKeys::in_topic(old, topic)?;
    let elsewhere = placed.keys() - placed.fits(partitioner);
    if elsewhere > 0 {
        context.report(&format!(
            "of {} tenants with messages from {topic}, {elsewhere} had some where {partitioner} does not put them: a \
             producer that still does so tears them again ({placed})",
            placed.keys()
        ));
    }
    Ok(())
}

fn show_stage(bar: &ProgressBar, topic: &str, stage: RefillStage, done: u64, total: u64) {
    let what = match stage {
        RefillStage::Checking => "checking",
        RefillStage::Carrying => "carrying",
        RefillStage::CheckingNew => "checking what was made",
    };
    bar.set_prefix(format!("{topic}: {what}"));
    advance(bar)(done, total);
}

fn report_topic(context: &mut Context<'_, '_>, topic: &str, partitioner: Partitioner, report: &RefillReport) {
    let RefillReport { records, torn, moved, repeats, merged, conflicts, copied, predecessors } = report;
    context.report(&format!(
        "{topic}: {records} records carried over and {repeats} repeats counted; {torn} tenants were torn and are whole, \
         {moved} lie in another partition than before (placed by {partitioner})"
    ));
    let more = [
        (*merged, "events that two halves of a tenant had are recorded once and counted as repeats"),
        (
            *conflicts,
            "events had an id that another half of their tenant has with other content: they are in quarantine",
        ),
        (*copied, "copies of app-level events were missing in a shard and are there now"),
    ];
    for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
        context.report(&format!("{topic}: {count} {what}"));
    }
    for before in predecessors {
        context.report(&format!("{topic}: takes the place of {} at {} leaves", before.origin, before.size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_is_in_the_origins() {
        let topics = ["realm.a", "realm.b"].map(str::to_owned).into();
        assert_eq!(with_topics("{topic}~2", &topics), "realm.a~2, realm.b~2");
        assert_eq!(with_topics("ledger.example.com", &topics), "ledger.example.com");
    }

    #[test]
    fn each_refill_has_a_name_of_its_own() {
        for (before, after) in
            [("{topic}", "{topic}~2"), ("realm~2", "realm~3"), ("a~b", "a~b~2"), ("a~", "a~~2")]
        {
            assert_eq!(next_name(before), after);
        }
    }
}
