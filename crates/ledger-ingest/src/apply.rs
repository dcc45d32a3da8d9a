//! From a taken message to the shard: offered if it decoded, refused if it did not.
//!
//! The one place where input meets the log, whether it came from Kafka or from a file.

use std::ops::AddAssign;
use std::sync::Arc;

use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::{Reason, Refused, Rejection};
use ledger_store::{AppendError, AppendResult, Batch, FutureLimit, IncomingEvent};

use crate::decode::{Decoded, Incoming};

/// A message that was looked at.
#[derive(Debug, Clone)]
pub struct DecodedMessage {
    /// Offset, or line number from 1.
    pub offset: u64,
    /// The source's own timestamp.
    pub source_time: Option<Timestamp>,
    /// What was decoded, or what is wrong with it.
    pub decoded: Result<Decoded, Rejection>,
}

/// About what messages take in memory until they are records.
pub(crate) const fn memory_of(messages: usize, bytes: usize) -> usize {
    /// An event, its record, its leaf and their keys, beside what the message says.
    const MESSAGE_BYTES: usize = 1024;
    /// What it says is decoded, encoded, and put into a write.
    const COPIES: usize = 4;
    messages * MESSAGE_BYTES + bytes * COPIES
}

/// Where messages come from.
#[derive(Debug, Clone)]
pub struct SourcePartition {
    /// Topic, or `import:<NAME>`.
    pub name: Arc<str>,
    /// Its partition.
    pub partition: u32,
}

/// What became of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplyCounts {
    /// Recorded.
    pub appended: u64,
    /// Recorded, but sorted before others: their outcomes were derived anew.
    pub late: u64,
    /// Recorded before.
    pub duplicates: u64,
    /// Put in quarantine.
    pub refused: u64,
    /// Appended as the first record of their tenant in the shard.
    pub new_tenants: u64,
    /// Ticks: no records, but what was unsealed is sealed.
    pub ticks: u64,
    /// Recorded at a later time than the source's own, as recorded time never goes back.
    pub raised: u64,
    /// By how much at most.
    pub raised_most_ms: i64,
}

impl AddAssign for ApplyCounts {
    fn add_assign(&mut self, other: Self) {
        self.appended += other.appended;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.new_tenants += other.new_tenants;
        self.ticks += other.ticks;
        self.raised += other.raised;
        self.raised_most_ms = self.raised_most_ms.max(other.raised_most_ms);
    }
}

/// Brings one message into a batch. One without a timestamp is recorded at the time of the record before it. `to_keep` is
/// called only for a message that is refused.
pub fn apply(
    batch: &mut Batch<'_>,
    source: &SourcePartition,
    taken: DecodedMessage,
    future: FutureLimit,
    to_keep: impl FnOnce(Rejection) -> Refused,
) -> Result<ApplyCounts, AppendError> {
    let DecodedMessage { offset, source_time, decoded } = taken;
    let from = Coordinates { source: Arc::clone(&source.name), partition: source.partition, offset };
    let rejection = match decoded {
        Ok(Decoded::Tick) => {
            batch.tick(from)?;
            return Ok(ApplyCounts { ticks: 1, ..ApplyCounts::default() });
        }
        Ok(Decoded::Event(Incoming { event, time_defaulted })) => {
            let Some(given_time) = source_time.or(batch.head().recorded) else {
                batch.refuse(from, to_keep(without_time()))?;
                return Ok(ApplyCounts { refused: 1, ..ApplyCounts::default() });
            };
            let arrival =
                IncomingEvent { from: from.clone(), source_time: given_time, event, time_defaulted, future };
            match batch.offer(arrival)? {
                AppendResult::Appended { late, new_tenant, .. } => {
                    let raised = source_time.zip(batch.head().recorded);
                    let raised = raised.map_or(0, |(given, recorded)| recorded.millis_since(given).max(0));
                    return Ok(ApplyCounts {
                        appended: 1,
                        late: late.into(),
                        new_tenants: new_tenant.into(),
                        raised: u64::from(raised > 0),
                        raised_most_ms: raised,
                        ..ApplyCounts::default()
                    });
                }
                AppendResult::Duplicate { .. } => {
                    return Ok(ApplyCounts { duplicates: 1, ..ApplyCounts::default() });
                }
                AppendResult::Refused(rejection) => rejection,
            }
        }
        Err(rejection) => rejection,
    };
    batch.refuse(from, to_keep(rejection))?;
    Ok(ApplyCounts { refused: 1, ..ApplyCounts::default() })
}

/// Neither the message nor a record before it has a time.
fn without_time() -> Rejection {
    Rejection {
        reason: Reason::MissingField,
        path: Some("timestamp".to_owned()),
        detail: "expected the Kafka message to have a timestamp, as no record before it in the partition has one; \
                 set message.timestamp.type=LogAppendTime"
            .to_owned(),
    }
}
