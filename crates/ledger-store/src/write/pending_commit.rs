//! A batch that is being written while the next one takes messages.
//!
//! Writing a batch takes about as long as making it, so the two go on side by side: [`Batch::submit`] hands the
//! finished write to a thread of the shard's own, and what the batch holds becomes what the next one begins with, as
//! if it were durable. Nobody is told so before [`Shard::settle`] says that it is (I-7); when the write fails, the
//! shard is poisoned, and the batch on top of it is nothing.
//!
//! At most one batch is in flight. The store does not have it yet, or only just, so who looks something up in the
//! store looks here first:
//!
//! | what | how |
//! | --- | --- |
//! | event ids that have a row, and the records that ids name | found here |
//! | a tenant's history | what the store has up to here, and then the records here |
//! | rows of tenants and apps that fell out of the writer's caches, whatever app-level events look for | waits until nothing is in flight |
//!
//! The audit trail of a batch is made by that thread, too, before it writes: all batches before are in the store.
//!
//! [`Batch::submit`]: crate::Batch::submit
//! [`Shard::settle`]: crate::Shard::settle

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use foldhash::HashMap;
use ledger_core::ids::ClientKey;
use rocksdb::WriteBatch;

use crate::audit::{AuditWriter, PendingLeaves};
use crate::db::tuning;
use crate::error::{StorageError, WriteError};
use crate::read::reader::OpenShard;
use crate::write::batch::{PendingRecord, PendingRecords};

/// What is being written, as far as the next batch may look for it.
#[derive(Debug)]
pub(crate) struct PendingCommit {
    /// By position, from the first one on.
    pub(crate) records: PendingRecords,
    /// Keys in `ids` of the records that have one.
    pub(crate) ids: HashMap<Vec<u8>, usize>,
    /// The tenants that were touched, and their records.
    pub(crate) tenants: HashMap<ClientKey, Vec<usize>>,
    /// Position of the first record.
    pub(crate) first: u64,
}

impl PendingCommit {
    /// The record with an id, under its key in `ids`.
    pub(crate) fn record_with(&self, id_key: &[u8]) -> Option<PendingRecord<'_>> {
        self.ids.get(id_key).and_then(|index| self.records.get(*index))
    }

    /// The records of a tenant.
    pub(crate) fn records_of(&self, client: &ClientKey) -> impl Iterator<Item = PendingRecord<'_>> {
        let indices = self.tenants.get(client).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|index| self.records.get(*index))
    }
}

/// A batch that is handed over.
pub(crate) struct CommitRequest {
    /// All of it but the audit trail.
    pub(crate) write: WriteBatch,
    pub(crate) leaves: PendingLeaves,
    /// What its records take when stored.
    pub(crate) record_bytes: usize,
    /// Position of its first record.
    pub(crate) first: u64,
    /// Where the next batch begins.
    pub(crate) next_position: u64,
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct WriteThread {
    writes: Option<SyncSender<CommitRequest>>,
    written: Receiver<Result<(), WriteError>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteThread {
    pub(crate) fn start(open: &Arc<OpenShard>, mut trail: AuditWriter) -> Result<Self, StorageError> {
        let (writes, waiting) = sync_channel::<CommitRequest>(1);
        let (done, written) = sync_channel(1);
        let open = Arc::clone(open);
        let work = move || {
            for request in waiting {
                let result = write(&open, &mut trail, request);
                // After a failure the trail is between two batches.
                let failed = result.is_err();
                if done.send(result).is_err() || failed {
                    break;
                }
            }
            open.recent.clear();
        };
        let thread = thread::Builder::new().name("commit".to_owned()).spawn(work);
        let thread = thread.map_err(|_| StorageError::NoThread)?;
        Ok(Self { writes: Some(writes), written, thread: Some(thread) })
    }

    /// Hands a batch over; the one before has been waited for.
    pub(crate) fn write(&self, request: CommitRequest) -> Result<(), StorageError> {
        let sent = self.writes.as_ref().map(|writes| writes.send(request));
        sent.and_then(Result::ok).ok_or(StorageError::NoThread)
    }

    /// Waits for what was handed over.
    pub(crate) fn wait(&self) -> Result<(), WriteError> {
        self.written.recv().unwrap_or(Err(WriteError::Storage(StorageError::NoThread)))
    }
}

fn write(open: &OpenShard, trail: &mut AuditWriter, request: CommitRequest) -> Result<(), WriteError> {
    let CommitRequest { mut write, leaves, record_bytes, first, next_position } = request;
    let is_whole = leaves.is_whole();
    let records = trail.append(leaves, first, &open.database, &mut write)?;
    open.database.write(write, &tuning::durable())?;
    if is_whole {
        open.recent.keep(records, record_bytes);
    }
    open.progress.advance(next_position);
    Ok(())
}

impl Drop for WriteThread {
    /// What was handed over is still written: the shard may be opened again the next moment.
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has written nothing that anyone was told of.
            let _panicked = thread.join();
        }
    }
}
