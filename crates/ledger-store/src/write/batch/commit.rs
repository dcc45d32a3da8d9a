//! The commit: everything a batch holds, as one synced write, each family in the order of its keys.

use std::cmp::Ordering;

use foldhash::{HashMap, HashMapExt as _};
use ledger_record::key::index::{index_keys, listed};
use ledger_record::key::log::TENANT;
use ledger_record::key::{self, Family, MetaKey};
use rocksdb::WriteBatch;

use crate::audit::PendingLeaves;
use crate::db::options::APP_ROWS_KEPT;
use crate::error::{AppendError, StorageError};
use crate::write::batch::{Batch, BatchSize, Committed, PendingRecord};
use crate::write::pending_commit::{CommitRequest, PendingCommit};
use crate::write::shard::Shard;

impl<'a> Batch<'a> {
    /// Makes everything durable in one synced write. When that fails the shard is poisoned, and nobody can
    /// tell whether the batch is there until the shard is opened anew.
    pub fn commit(self) -> Result<Committed, AppendError> {
        let (shard, committed) = self.into_commit()?;
        shard.settle()?;
        Ok(committed)
    }

    /// Hands the batch over to be written while the next one takes messages ([`crate::write::pending_commit`]); waits for the
    /// one that was handed over before, which is durable when this returns. This one is when [`Shard::settle`] does.
    pub fn submit(self) -> Result<Committed, AppendError> {
        Ok(self.into_commit()?.1)
    }

    /// Hands over what there is to write, once the batch before is durable.
    fn into_commit(mut self) -> Result<(&'a mut Shard, Committed), AppendError> {
        self.check_usable()?;
        let committed = Committed { head: self.next, records: self.records.len() as u64 };
        let write = if self.holds_nothing() { None } else { Some(self.assemble()?) };
        self.shard.settle()?;
        let Some(write) = write else { return Ok((self.shard, committed)) };
        let (first, next_position) = (self.shard.head.next_position, self.next.next_position);
        let record_bytes = self.record_bytes;
        let (shard, pending, leaves) = self.into_pending();
        let request = CommitRequest { write, leaves, record_bytes, first, next_position };
        shard.write_thread.write(request).map_err(|cause| shard.poison_at(first, cause.into()))?;
        shard.pending = Some(pending);
        Ok((shard, committed))
    }

    fn holds_nothing(&self) -> bool {
        self.taken == 0 && self.records.is_empty() && self.gaps.is_empty() && self.sources.is_empty()
    }

    /// All of the write but the audit trail.
    fn assemble(&mut self) -> Result<WriteBatch, StorageError> {
        // Keys stand in three families, so twice the records and the rows is about what it takes: growing
        // would copy everything again.
        let leaf_bytes = 64 * self.records.len();
        let bytes = 2 * self.record_bytes + leaf_bytes + self.tenants.row_bytes() + 4096;
        let mut write = WriteBatch::with_capacity_bytes(bytes);
        // Tenants come first in the log.
        self.put_tenants(&mut write)?;
        self.put_records(&mut write)?;
        self.put_beside(&mut write)?;
        self.put_meta(&mut write)?;
        Ok(write)
    }

    fn put_records(&mut self, write: &mut WriteBatch) -> Result<(), StorageError> {
        let database = &self.shard.open.database;
        let log = database.family(Family::Log)?;
        // Those of tenants go with their rows. What a seal says is not known yet.
        let is_other =
            |record: &PendingRecord<'_>| record.key.first() != Some(&TENANT) && !record.value.is_empty();
        let mut others: Vec<_> = self.records.iter().filter(is_other).collect();
        others.sort_unstable_by_key(|record| record.key);
        for record in others {
            write.put_cf(log, record.key, record.value);
        }
        let positions = database.family(Family::Positions)?;
        for record in self.records.iter() {
            self.last_positions.push(record.key, |key, row| write.put_cf(positions, key, row));
        }
        self.last_positions.put_rest(|key, row| write.put_cf(positions, key, row));
        let seq_of = |index: usize| self.records.get(index).map(|record| record.seq);
        let ids = self.ids.iter().filter_map(|(id_key, index)| Some((id_key, seq_of(*index)?)));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        let family = database.family(Family::Ids)?;
        for (id_key, seq) in ids {
            write.put_cf(family, id_key, key::reference(seq));
        }
        Ok(())
    }

    /// The tenants that changed, in order: each one's records, its row, and what changes in the index with it.
    fn put_tenants(&mut self, write: &mut WriteBatch) -> Result<(), StorageError> {
        let database = &self.shard.open.database;
        let (log, tenants) = (database.family(Family::Log)?, database.family(Family::Tenants)?);
        let mut index = Vec::new();
        let mut value = Vec::new();
        for (client, entry) in self.tenants.changed_by_client() {
            for record in entry.pending.iter().filter_map(|index| self.records.get(*index)) {
                write.put_cf(log, record.key, record.value);
            }
            value.clear();
            entry.row.encode_into(&mut value);
            entry.stored_bytes = value.len();
            write.put_cf(tenants, key::tenant(client), &value);
            let listed = listed(&entry.row.tenant);
            if listed != entry.stored_listed {
                let stored = index_keys(client, &entry.stored_listed);
                diff(stored, index_keys(client, &listed), &mut index);
            }
        }
        index.sort_unstable();
        let family = database.family(Family::Index)?;
        for (index_key, there) in index {
            if there {
                write.put_cf(family, index_key, []);
            } else {
                write.delete_cf(family, index_key);
            }
        }
        let family = database.family(Family::Apps)?;
        for (app, row) in &self.apps {
            write.put_cf(family, key::app(app), row.encode());
        }
        Ok(())
    }

    fn put_beside(&mut self, write: &mut WriteBatch) -> Result<(), StorageError> {
        let database = &self.shard.open.database;
        self.corrections.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let family = database.family(Family::Corrections)?;
        for (key, value) in &self.corrections {
            write.put_cf(family, key.encode(), value);
        }
        self.duplicates.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let family = database.family(Family::Duplicates)?;
        for (key, position) in &self.duplicates {
            write.put_cf(family, key.encode(), key::reference(*position));
        }
        let family = database.family(Family::Gaps)?;
        for (key, next_offset) in &self.gaps {
            write.put_cf(family, key.encode(), key::reference(*next_offset));
        }
        Ok(())
    }

    fn put_meta(&self, write: &mut WriteBatch) -> Result<(), StorageError> {
        let family = self.shard.open.database.family(Family::Meta)?;
        if self.next != self.shard.head {
            write.put_cf(family, MetaKey::Head.encode(), self.next.encode());
        }
        for (source, position) in &self.sources {
            write.put_cf(family, MetaKey::Source(source.clone()).encode(), position.encode());
        }
        for (source, first_offset) in &self.begins {
            write.put_cf(family, MetaKey::Begin(source.clone()).encode(), key::reference(*first_offset));
        }
        Ok(())
    }

    /// What is written becomes what the next batch begins with; and what it may look for until it is durable.
    fn into_pending(self) -> (&'a mut Shard, PendingCommit, PendingLeaves) {
        let shard = self.shard;
        let first = shard.head.next_position;
        let mut pending =
            PendingCommit { records: self.records, ids: self.ids, tenants: HashMap::new(), first };
        let of_records = &pending.records;
        shard.last_batch =
            BatchSize { records: of_records.len(), bytes: of_records.bytes(), tenants: self.tenants.len() };
        shard.head = self.next;
        shard.last_positions = self.last_positions;
        shard.evidence = self.evidence.end();
        if let Some(timelines) = self.timelines {
            shard.timelines = timelines;
        }
        shard.last_gaps.extend(self.last_gaps.into_iter().map(|(source, last)| (source, Some(last))));
        shard.app_rows.extend(self.apps);
        if shard.app_rows.len() > APP_ROWS_KEPT {
            shard.app_rows.clear();
        }
        let late_records = shard.tenants.budget().late_records();
        for (client, mut entry) in self.tenants.into_stored() {
            if let Some(history) = entry.take_history() {
                shard.histories.put(client.clone(), history, late_records);
            }
            pending.tenants.insert(client.clone(), entry.pending);
            shard.tenants.put(client, entry.row, entry.stored_bytes);
        }
        (shard, pending, self.evidence)
    }
}

/// What has to be put (`true`) and deleted to get from the stored keys to the new ones; both are sorted.
fn diff(stored: Vec<Vec<u8>>, new: Vec<Vec<u8>>, changes: &mut Vec<(Vec<u8>, bool)>) {
    let mut stored = stored.into_iter().peekable();
    let mut new = new.into_iter().peekable();
    loop {
        let order = match (stored.peek(), new.peek()) {
            (Some(old), Some(new)) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        match order {
            Ordering::Less => changes.extend(stored.next().map(|key| (key, false))),
            Ordering::Greater => changes.extend(new.next().map(|key| (key, true))),
            Ordering::Equal => {
                stored.next();
                new.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_lists_removed_and_added_keys() {
        let keys = |text: &str| text.bytes().map(|byte| vec![byte]).collect::<Vec<_>>();
        let mut changes = Vec::new();
        diff(keys("abd"), keys("bce"), &mut changes);
        let expected = [("a", false), ("c", true), ("d", false), ("e", true)];
        assert_eq!(changes, expected.map(|(key, there)| (key.as_bytes().to_vec(), there)));
    }
}
