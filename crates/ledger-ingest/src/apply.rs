//! From a taken message to the shard: offered if it decoded, refused if it did not.
//!
//! The one place where input meets the log, whether it came from Kafka or from a file.

use std::ops::AddAssign;

use ledger_core::time::Timestamp;
use ledger_record::record::Coordinates;
use ledger_record::rejection::Rejection;
use ledger_store::{AppendError, Arrival, Batch, FutureLimit, Offer};

use crate::decode::{Incoming, Message};
use crate::redact;

/// A message as it was taken from its source.
#[derive(Debug)]
pub struct Taken {
    /// Topic, or `import:<NAME>`.
    pub source: String,
    /// Partition of the source.
    pub partition: u32,
    /// Offset, or line number from 1.
    pub offset: u64,
    /// The source's own timestamp.
    pub source_time: Option<Timestamp>,
    /// What it says, or what is wrong with it.
    pub decoded: Result<Incoming, Rejection>,
    /// As it came, for quarantine.
    pub raw: Raw,
}

/// A message as it came.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// The record key.
    pub key: Option<Vec<u8>>,
    /// The record value.
    pub value: Option<Vec<u8>>,
    /// The record headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Raw {
    /// Bytes held, for the bound of a batch.
    pub fn len_bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        of(&self.key) + of(&self.value) + headers
    }

    /// As the decoder wants it.
    pub fn as_message(&self, timestamp: Option<Timestamp>) -> Message<'_> {
        Message { key: self.key.as_deref(), value: self.value.as_deref(), headers: &self.headers, timestamp }
    }
}

/// What became of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
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
}

impl AddAssign for Applied {
    fn add_assign(&mut self, other: Self) {
        self.appended += other.appended;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.new_tenants += other.new_tenants;
    }
}

/// Brings one message into a batch.
pub fn apply(batch: &mut Batch<'_>, taken: Taken, future: FutureLimit) -> Result<Applied, AppendError> {
    let Taken { source, partition, offset, source_time, decoded, raw } = taken;
    let from = Coordinates { source, partition, offset };
    let rejection = match decoded {
        Ok(Incoming { event, time_defaulted }) => {
            let source_time = source_time.unwrap_or(Timestamp::MIN);
            let arrival = Arrival { from: from.clone(), source_time, event, time_defaulted, future };
            match batch.offer(arrival)? {
                Offer::Appended { late, new_tenant, .. } => {
                    let (late, new_tenants) = (u64::from(late), u64::from(new_tenant));
                    return Ok(Applied { appended: 1, late, new_tenants, ..Applied::default() });
                }
                Offer::Duplicate { .. } => return Ok(Applied { duplicates: 1, ..Applied::default() }),
                Offer::Refused(rejection) => rejection,
            }
        }
        Err(rejection) => rejection,
    };
    batch.refuse(from, redact::refused(&raw.as_message(source_time), rejection))?;
    Ok(Applied { refused: 1, ..Applied::default() })
}
