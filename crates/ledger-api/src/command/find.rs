//! The records that an event became.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use ledger_core::event::Event;
use ledger_core::ids::EventId;
use ledger_core::time::Timestamp;
use ledger_record::record::{Content, Record, Stream};
use ledger_store::{Elsewhere, ShardId};

use super::{Command, CommandAnswer, CommandError, CommandSubject, CommandTopic, RecordPlace};
use crate::ledger::{Ledger, QueryError, Reading, ShardHandle, shards_with};
use crate::limits::COMMAND_RETRY;

/// What is looked for, and how far each shard was looked at: a second look reads only what came since.
struct Search<'e> {
    id: &'e EventId,
    stream: Stream,
    /// The event itself; none: its id is all that is known.
    event: Option<&'e Event>,
    next_seq: BTreeMap<ShardId, u64>,
    found: BTreeMap<ShardId, Vec<RecordPlace>>,
}

impl<'e> Search<'e> {
    fn new(id: &'e EventId, stream: Stream, event: Option<&'e Event>) -> Self {
        Self { id, stream, event, next_seq: BTreeMap::new(), found: BTreeMap::new() }
    }

    fn look(&mut self, ledger: &Ledger) -> Result<(), CommandError> {
        for handle in ledger.shards.all() {
            self.look_into(ledger, &handle)?;
        }
        Ok(())
    }

    fn look_into(&mut self, ledger: &Ledger, handle: &ShardHandle) -> Result<(), CommandError> {
        let shard = &handle.id;
        let snapshot = handle.reader.snapshot();
        let next = self.next_seq.entry(shard.clone()).or_insert(1);
        for record in snapshot.records(&self.stream, *next).map_err(QueryError::from)? {
            ledger.in_time()?;
            let record = record.map_err(|error| QueryError::from(error).in_shard(shard))?;
            *next = record.seq + 1;
            let Content::Event { event, .. } = &record.content else { continue };
            if event.id != *self.id || !self.event.is_none_or(|ours| is_same_subject(ours, event)) {
                continue;
            }
            if self.event.is_some_and(|ours| ours != event) {
                return Err(CommandError::Conflict { shard: shard.clone(), seq: record.seq });
            }
            self.found.entry(shard.clone()).or_default().push(place(shard, &record));
        }
        Ok(())
    }

    /// What was found, and which of these shards lack it.
    fn answer(self, expected: &BTreeSet<ShardId>) -> CommandAnswer {
        let pending = expected.iter().filter(|shard| !self.found.contains_key(shard));
        CommandAnswer {
            id: self.id.as_str().to_owned(),
            pending: pending.map(ToString::to_string).collect(),
            records: self.found.into_values().flatten().collect(),
        }
    }

    /// The shards of the topics in which it was found: an event goes to one topic.
    fn of_found_topics(&self, shards: &BTreeSet<ShardId>) -> BTreeSet<ShardId> {
        let is_of_topic = |shard: &&ShardId| self.found.keys().any(|found| found.topic == shard.topic);
        shards.iter().filter(is_of_topic).cloned().collect()
    }

    fn has_all(&self, expected: &BTreeSet<ShardId>) -> bool {
        !expected.is_empty() && expected.iter().all(|shard| self.found.contains_key(shard))
    }
}

/// Ids are unique within the installation, the tenant or the app that an event is about.
fn is_same_subject(one: &Event, other: &Event) -> bool {
    one.client() == other.client() && one.app() == other.app()
}

fn place(shard: &ShardId, record: &Record) -> RecordPlace {
    RecordPlace {
        topic: shard.topic.clone(),
        partition: shard.partition,
        position: record.position,
        seq: record.seq,
    }
}

fn stream_of(event: &Event) -> Option<Stream> {
    let of_app = || event.app().cloned().map(Stream::App);
    event.client().cloned().map(Stream::Tenant).or_else(of_app)
}

impl Ledger {
    /// Publishes a command and waits until it is recorded, for so long. The answer lacks nothing where nothing is
    /// pending.
    pub fn submit(
        &self,
        command: &Command,
        topic: &dyn CommandTopic,
        wait: Duration,
    ) -> Result<CommandAnswer, CommandError> {
        let event = command.event();
        // Every event is about a tenant or an app.
        let Some(stream) = stream_of(event) else { return Err(CommandError::NotACommand) };
        let deadline = Instant::now() + wait;
        let mut search = Search::new(&event.id, stream, Some(event));
        search.look(self)?;
        let known = self.partitions();
        let is_whole = match event.client() {
            Some(_) => !search.found.is_empty(),
            None => known.as_ref().is_some_and(|known| search.has_all(&search.of_found_topics(known))),
        };
        if is_whole {
            return Ok(search.answer(&BTreeSet::new()));
        }
        let published = topic.publish(event).map_err(CommandError::NotPublished)?;
        let expected = published.into_iter().collect();
        loop {
            search.look(self)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if search.has_all(&expected) || left.is_zero() {
                return Ok(search.answer(&expected));
            }
            thread::sleep(COMMAND_RETRY.min(left));
        }
    }

    /// What became of the command with an id.
    pub fn command(
        &self,
        id: &EventId,
        subject: &CommandSubject,
        now: Timestamp,
    ) -> Result<CommandAnswer, CommandError> {
        let stream = match subject {
            CommandSubject::Tenant(client) => Stream::Tenant(client.clone()),
            CommandSubject::App(app) => Stream::App(app.clone()),
        };
        let handles = self.shards.all();
        let reading = Reading::new(self, &handles, now);
        let mut search = Search::new(id, stream, None);
        search.look(self)?;
        if search.found.is_empty() {
            let unknown = QueryError::UnknownCommand { id: id.clone() };
            let in_shard = match subject {
                CommandSubject::Tenant(client) => {
                    shards_with(&reading.shards, client).map_err(QueryError::from)?
                }
                CommandSubject::App(_) => Vec::new(),
            };
            let error = match &in_shard[..] {
                [only] => reading.not_found_in(only, unknown),
                _ => reading.not_found(unknown),
            };
            return Err(error.into());
        }
        let expected = match subject {
            CommandSubject::Tenant(_) => BTreeSet::new(),
            CommandSubject::App(_) => search.of_found_topics(&self.partitions().unwrap_or_default()),
        };
        Ok(search.answer(&expected))
    }

    /// All shards of the topics that are served here, fed by this process or another one; none: not known yet.
    fn partitions(&self) -> Option<BTreeSet<ShardId>> {
        let mut all: BTreeSet<ShardId> = self.shards.all().into_iter().map(|handle| handle.id).collect();
        all.extend(self.shards.failed().into_iter().map(|(id, _)| id));
        for part in self.shards.elsewhere() {
            match part {
                Elsewhere::Topic(_) => return None,
                Elsewhere::Shard(id) => {
                    all.insert(id);
                }
            }
        }
        Some(all)
    }
}
