//! How far the records of a partition were published, by whichever process of the group had it.
//!
//! The cursor of a shard ([`crate::PublisherCursor`]) is a position in one data directory. A partition that comes to
//! another directory is published from where the group stopped, so the group's progress counts in offsets of the
//! source, which all directories share. The owner of the partition commits it to Kafka beside the group's offset.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ShardStatus;

/// The next offset of the source to publish, by output topic.
pub type PublishedOffsets = BTreeMap<String, u64>;

/// The group's progress with one partition, as far as this process knows it.
#[derive(Debug, Default)]
pub struct GroupPublished(Mutex<Option<PublishedOffsets>>);

impl ShardStatus {
    /// How far the group has published the shard's partition.
    pub const fn published(&self) -> &GroupPublished {
        &self.published
    }
}

impl GroupPublished {
    /// None until the group's progress was read, and after the partition was released.
    pub fn get(&self) -> Option<PublishedOffsets> {
        self.lock().clone()
    }

    /// The next offset to publish to one topic; none as for [`get`](Self::get).
    pub fn next(&self, topic: &str) -> Option<u64> {
        self.lock().as_ref().map(|offsets| offsets.get(topic).copied().unwrap_or(0))
    }

    /// What the group committed, as read when the partition was assigned. This process may be further.
    pub fn learn(&self, committed: PublishedOffsets) {
        self.lock().get_or_insert_default();
        for (topic, offset) in committed {
            self.advance(&topic, offset);
        }
    }

    /// The partition was released: its next owner goes on from what was committed.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// Everything before this offset was acknowledged on this topic. It never goes back.
    pub fn advance(&self, topic: &str, next_offset: u64) {
        if let Some(offsets) = &mut *self.lock() {
            let known = offsets.entry(topic.to_owned()).or_default();
            *known = next_offset.max(*known);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<PublishedOffsets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
