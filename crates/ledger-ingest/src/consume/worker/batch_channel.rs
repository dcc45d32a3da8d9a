//! From the reader to the writer: one batch waits at the most, and the reader goes on filling the next until the
//! writer asks for it, or it is full. So a write is as large as what came during the one before, and no small batch
//! stands in the way of a large one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ledger_store::{BatchPlace, MemoryUse};

use crate::consume::worker::record_buffer::RecordBuffer;

/// What the reader hands to the writer.
pub(super) struct RecordBatch {
    /// What it takes until it is durable.
    pub(super) held: HeldMemory,
    pub(super) messages: RecordBuffer,
    /// What was read is `[from_offset, next_offset)`: where it holds no message, the source has none.
    pub(super) from_offset: u64,
    pub(super) next_offset: u64,
    pub(super) leader_epoch: Option<i32>,
}

/// The memory that a batch takes until this is dropped.
pub(super) struct HeldMemory {
    pub(super) _used: MemoryUse,
    pub(super) _place: Option<BatchPlace>,
}

/// How long the writer waits for a batch while another one is being written: less than a write takes.
const SOON: Duration = Duration::from_millis(1);

/// The reader's end.
pub(super) struct BatchSender {
    batches: SyncSender<RecordBatch>,
    asked: Arc<AtomicBool>,
}

/// The writer's end.
pub(super) struct BatchReceiver {
    batches: Receiver<RecordBatch>,
    asked: Arc<AtomicBool>,
}

/// Both ends.
pub(super) fn sender() -> (BatchSender, BatchReceiver) {
    let (sender, receiver) = sync_channel(1);
    let asked = Arc::new(AtomicBool::new(false));
    (BatchSender { batches: sender, asked: Arc::clone(&asked) }, BatchReceiver { batches: receiver, asked })
}

impl BatchSender {
    /// Whether the writer waits for a batch.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Hands a batch over, once the one before was taken. False when the writer is gone.
    pub(super) fn send(&self, filled: RecordBatch) -> bool {
        self.asked.store(false, Ordering::Release);
        self.batches.send(filled).is_ok()
    }
}

impl BatchReceiver {
    /// The next batch, if there is one within about the time of a write.
    pub(super) fn soon(&self) -> Option<RecordBatch> {
        self.waiting().or_else(|| self.batches.recv_timeout(SOON).ok())
    }

    /// The next batch, however long it takes; none when the reader is gone.
    pub(super) fn next(&self) -> Option<RecordBatch> {
        self.waiting().or_else(|| self.batches.recv().ok())
    }

    /// A batch that waits already; else one is asked for.
    fn waiting(&self) -> Option<RecordBatch> {
        let waiting = self.batches.try_recv().ok();
        self.asked.store(waiting.is_none(), Ordering::Release);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use ledger_store::MemoryPart;

    use super::*;

    fn filled(next_offset: u64) -> RecordBatch {
        let held = HeldMemory { _used: MemoryUse::new(Arc::default(), MemoryPart::Batches), _place: None };
        RecordBatch {
            held,
            messages: RecordBuffer::default(),
            from_offset: 0,
            next_offset,
            leader_epoch: None,
        }
    }

    #[test]
    fn a_batch_is_asked_for_when_none_waits_and_until_it_is_sent() {
        let (reader, writer) = sender();
        assert!(!reader.is_asked());
        assert!(reader.send(filled(1)));
        assert_eq!(writer.soon().map(|filled| filled.next_offset), Some(1));
        assert!(!reader.is_asked(), "it had one");
        assert!(writer.soon().is_none());
        assert!(reader.is_asked());
        assert!(reader.send(filled(2)));
        assert!(!reader.is_asked());
        assert_eq!(writer.next().map(|filled| filled.next_offset), Some(2));
    }

    #[test]
    fn either_end_hears_that_the_other_is_gone() {
        let (reader, writer) = sender();
        let waits = thread::spawn(move || writer.next().is_none());
        drop(reader);
        assert!(waits.join().is_ok_and(|is_none| is_none));
        let (reader, writer) = sender();
        drop(writer);
        assert!(!reader.send(filled(1)));
    }
}
