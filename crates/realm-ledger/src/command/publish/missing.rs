//! `publish --missing-copies`: each app-level event to the partitions that lack it. What they have by now counts once,
//! by its id, so that it can be sent again.

use ledger_ingest::publish::Sender;
use ledger_store::{AppEvents, DataDir, MissingCopies, with_causes};

use crate::command::Context;
use crate::config::Config;
use crate::{Exit, Failure};

pub(super) fn send(context: &mut Context<'_, '_>, config: &Config) -> Result<Exit, Failure> {
    let data = DataDir::open_existing_read_only(&config.data_dir, config.store.clone())?;
    let topic = config.kafka.topics.first().cloned().unwrap_or_default();
    // Of a shard that is not compared nothing is sent, and nothing is said to be whole.
    context.completeness.note_of_all();
    let mut readers = Vec::new();
    for shard in data.partitions()?.into_iter().filter(|shard| shard.topic == topic) {
        match data.read_shard(&shard) {
            Ok(reader) => readers.push((shard, reader)),
            Err(error) => context.completeness.note_unasked(&shard, &with_causes(&error)),
        }
    }
    let missing = AppEvents::default().missing(&readers).map_err(Failure::new)?;
    let mut copies = 0_u64;
    if !missing.is_empty() {
        let mut sender = Sender::connect(&config.kafka)?;
        for MissingCopies { shard, app, events } in missing {
            for event in events {
                sender.send_copy(shard.partition, &event)?;
                context.say(&format!("{} of {app} sent to {shard}", event.id));
                copies += 1;
            }
        }
        sender.settle()?;
    }
    let count = readers.len();
    context.say(&format!("{copies} copies were missing in the {count} partitions of {topic} that are here"));
    Ok(Exit::Done)
}
