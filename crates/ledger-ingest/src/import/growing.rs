//! A source that grows as long as it is imported: the journal of a ledger without Kafka.
//!
//! It is an import in all but its end: lines are hashed from the first one on, so a journal whose beginning differs is
//! refused before anything is appended. What is in the future is measured by the recorded time of a line, as for a topic:
//! the same journal gives the same log whenever it is read.

use ledger_core::time::Timestamp;
use ledger_record::rejection::Rejection;
use ledger_store::{DataDir, FutureLimit, Reader, ShardId};

use super::{ImportError, ImportOptions, Importing, decode_line, future_limit};
use crate::apply::ApplyCounts;
use crate::decode::{Decoded, Incoming, to_native_json};
use crate::import::refusals::Judge;
use crate::text::Line;

/// An import that is never finished.
pub struct GrowingImport<'a>(Importing<'a>);

impl std::fmt::Debug for GrowingImport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GrowingImport").field(&self.0.report).finish()
    }
}

impl<'a> GrowingImport<'a> {
    /// Opens every shard of the topic. `options.now` and `options.accept_refusals` do not matter.
    pub fn open(data: &'a DataDir, options: &'a ImportOptions) -> Result<Self, ImportError> {
        let importing = Importing::open(data, options)?;
        Ok(Self(Importing { future: FutureLimit::AfterRecorded, judge: Judge::new(true), ..importing }))
    }

    /// Reads of each shard, beside the writer.
    pub fn readers(&self) -> Vec<(ShardId, Reader)> {
        let reader = |target: &super::ImportTarget| (target.shard.id().clone(), target.shard.reader());
        self.0.targets.iter().map(reader).collect()
    }

    /// The last line that any shard has taken before.
    pub fn taken(&self) -> u64 {
        self.0.furthest
    }

    /// What became of the lines that were written.
    pub fn applied(&self) -> ApplyCounts {
        self.0.report.applied
    }

    /// Takes the next line, and writes when enough of them wait.
    pub fn take(&mut self, number: u64, text: Vec<u8>) -> Result<(), ImportError> {
        match self.0.take(Line { number, text, ended: true })? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Writes what waits, and waits until all of it is durable. Fails where the source ends before what was taken before.
    pub fn commit(&mut self) -> Result<(), ImportError> {
        self.0.refuse_shorter()?;
        self.0.write()?;
        Ok(self.0.targets.iter_mut().try_for_each(|target| target.shard.settle())?)
    }
}

/// A line of a file as a journal takes it: the event as native JSON, with nothing in it that the ledger does not know, and
/// its recorded time. None for a tick: a journal has its own. Refused is what an import at that instant refuses.
pub fn journal_event(line: &[u8], now: Timestamp) -> Result<Option<(Vec<u8>, Timestamp)>, Rejection> {
    let future = future_limit(now);
    let (recorded, decoded) = decode_line(line, future);
    match decoded? {
        Decoded::Event(Incoming { event, .. }) if future.is_before(event.time) => {
            Err(future.rejection("time"))
        }
        Decoded::Event(Incoming { event, .. }) => {
            Ok(Some((to_native_json(&event), recorded.unwrap_or(event.time))))
        }
        Decoded::Tick => Ok(None),
    }
}
