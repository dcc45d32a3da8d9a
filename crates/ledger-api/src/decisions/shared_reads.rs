//! What subscriptions that catch up have read of the log last. After a start, or a failure of the network, many begin at
//! about the same place: each of them would fetch and decode the same records, and look at each for what its filter lets
//! pass. So they are read once, with what filters look at; a run in which nothing passes is left out as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::tenant::Change;
use ledger_record::json::notice::{NoticeScope, PublishingShard, notices};
use ledger_record::record::{Content, Record};
use ledger_store::{ReadError, ShardId, Snapshot};

use super::filter::{DecisionFilter, Traits};
use crate::ledger::Lru;
use crate::limits::SHARED_READS_BYTES;

/// Records of a run, as many as the store fetches at a time. It begins at a multiple of that, so that whoever comes along at
/// whatever place reads the same ones.
const TOGETHER: u64 = 256;

/// Where a run is: its shard, and the position of its first record.
type RunKey = (ShardId, u64);

/// The runs that were read last, while anyone subscribes.
#[derive(Debug)]
pub(super) struct SharedReads(Mutex<Lru<RunKey, Arc<RecordRun>>>);

/// Records one after the other.
#[derive(Debug)]
struct RecordRun {
    records: Vec<(Record, Offers)>,
    /// What all of them offer, each once.
    offers: Offers,
}

/// What notices a subscription may get.
#[derive(Debug)]
enum Offers {
    /// Those with these traits.
    Notices(BTreeSet<Traits>),
    /// Also corrections of an app's event, which are not in its record.
    Corrections,
}

/// A run from a place on.
pub(super) struct RestOfRun {
    run: Arc<RecordRun>,
    /// Records before the place.
    skipped: usize,
}

impl Offers {
    fn of(shard: &ShardId, record: &Record) -> Self {
        let ShardId { topic, partition } = shard;
        let shard = PublishingShard { topic, partition: *partition };
        let Content::Event { event, outcome, .. } = &record.content else {
            return Self::Notices(BTreeSet::new());
        };
        let Some(client) = event.client() else { return Self::Corrections };
        let notices = outcome
            .changes
            .iter()
            .flat_map(|change| notices(NoticeScope::Changes, shard, record, event, client, change));
        Self::Notices(notices.map(|notice| Traits::of(&notice)).collect())
    }

    fn add(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::Notices(all), Self::Notices(more)) => all.extend(more.iter().cloned()),
            (_, Self::Corrections) => *self = Self::Corrections,
            (Self::Corrections, Self::Notices(_)) => {}
        }
    }

    fn may_pass(&self, filter: &DecisionFilter) -> bool {
        match self {
            Self::Notices(all) => all.iter().any(|traits| filter.passes(traits)),
            Self::Corrections => true,
        }
    }
}

impl RecordRun {
    fn read(
        shard: &ShardId,
        snapshot: &Snapshot<'_>,
        first: u64,
        count: u64,
    ) -> Result<Arc<Self>, ReadError> {
        let (mut records, mut offers) = (Vec::new(), Offers::Notices(BTreeSet::new()));
        for record in snapshot.readable_from(first)?.take(usize::try_from(count).unwrap_or(usize::MAX)) {
            let record = record?;
            let of_record = Offers::of(shard, &record);
            offers.add(&of_record);
            records.push((record, of_record));
        }
        Ok(Arc::new(Self { records, offers }))
    }

    /// It was read to its end.
    fn is_whole(&self) -> bool {
        self.records.len() as u64 == TOGETHER
    }

    /// About what it takes in memory: the parts of records, and what each of them is kept in.
    fn bytes(&self) -> usize {
        let bytes = |(record, _): &(Record, Offers)| {
            let changes = match &record.content {
                Content::Event { outcome, .. } => outcome.changes.len(),
                Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => 0,
            };
            let parts = changes * (size_of::<Change>() + size_of::<Traits>());
            2 * (size_of::<Record>() + record.encode().len()) + parts
        };
        self.records.iter().map(bytes).sum()
    }
}

impl RestOfRun {
    /// The position behind it; none: it is empty.
    pub(super) fn end(&self) -> Option<u64> {
        let (last, _) = self.run.records.get(self.skipped..)?.last()?;
        Some(last.position + 1)
    }

    /// Whether a notice of the run may pass.
    pub(super) fn may_pass(&self, filter: &DecisionFilter) -> bool {
        self.run.offers.may_pass(filter)
    }

    /// Its records, and whether a notice of each may pass.
    pub(super) fn records(&self, filter: &DecisionFilter) -> impl Iterator<Item = (&Record, bool)> {
        let rest = self.run.records.get(self.skipped..).unwrap_or_default();
        rest.iter().map(move |(record, offers)| (record, offers.may_pass(filter)))
    }
}

impl Default for SharedReads {
    fn default() -> Self {
        Self(Mutex::new(Lru::new(SHARED_READS_BYTES)))
    }
}

impl SharedReads {
    /// Some records from a position on, none behind `end`.
    pub(super) fn read_from(
        &self,
        shard: &ShardId,
        snapshot: &Snapshot<'_>,
        position: u64,
        end: u64,
    ) -> Result<RestOfRun, ReadError> {
        let alone = || {
            let run = RecordRun::read(shard, snapshot, position, TOGETHER.min(end - position))?;
            Ok(RestOfRun { run, skipped: 0 })
        };
        let first = position - position % TOGETHER;
        if end - first < TOGETHER {
            // More of them will come.
            return alone();
        }
        let key = (shard.clone(), first);
        let kept = self.lock().get(&key).cloned();
        let run = match kept {
            Some(kept) => kept,
            None => match RecordRun::read(shard, snapshot, first, TOGETHER) {
                Ok(run) if run.is_whole() => {
                    let bytes = run.bytes();
                    self.lock().put(key, Arc::clone(&run), bytes);
                    run
                }
                // It may be damaged before the position only.
                Ok(_) | Err(_) => return alone(),
            },
        };
        Ok(RestOfRun { run, skipped: usize::try_from(position - first).unwrap_or(usize::MAX) })
    }

    pub(super) fn clear(&self) {
        self.lock().retain(|_| false);
    }

    fn lock(&self) -> MutexGuard<'_, Lru<RunKey, Arc<RecordRun>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ledger_record::proof::line::LedgerSecret;
    use ledger_record::record::Coordinates;
    use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
    use ledger_store::{DataDir, SourceIdentity, StoreOptions};

    use super::*;

    #[test]
    fn records_are_read_once_for_all_who_come_along() {
        let directory = tempfile::tempdir().unwrap();
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(directory.path(), StoreOptions::default(), secret).unwrap();
        data.bind("t", &SourceIdentity { cluster_id: None, topic_id: None, partitions: 1 }).unwrap();
        let id = ShardId { topic: "t".to_owned(), partition: 0 };
        let mut shard = data.open_shard(&id).unwrap();
        let mut batch = shard.begin();
        for offset in 0..600 {
            let detail = "expected a key".to_owned();
            let rejection = Rejection { reason: Reason::MissingField, path: None, detail };
            let body = RefusedBody::Json("{}".to_owned());
            let refused = Refused { rejection, key: None, headers: Vec::new(), source_time: None, body };
            batch.refuse(Coordinates { source: "t".into(), partition: 0, offset }, refused).unwrap();
        }
        batch.commit().unwrap();
        let (reader, reads) = (shard.reader(), SharedReads::default());
        let (snapshot, end) = (reader.snapshot(), reader.next_position());
        assert_eq!(end, 600);
        let from = |position| reads.read_from(&id, &snapshot, position, end).unwrap();
        let everything = DecisionFilter::default();
        for (position, last) in
            [(0, 255), (1, 255), (255, 255), (256, 511), (300, 511), (512, 599), (599, 599)]
        {
            let read = from(position);
            let positions: Vec<_> = read.records(&everything).map(|(record, _)| record.position).collect();
            assert_eq!(positions, (position..=last).collect::<Vec<_>>());
            assert_eq!(
                (read.end(), read.may_pass(&everything)),
                (Some(last + 1), false),
                "they make no notices"
            );
        }
        assert!(Arc::ptr_eq(&from(3).run, &from(200).run), "as it was read before");
        assert!(!Arc::ptr_eq(&from(520).run, &from(520).run), "more of these will come");
        let before = from(0);
        reads.clear();
        assert!(!Arc::ptr_eq(&from(0).run, &before.run), "nobody subscribes any more");
    }
}
