//! The records of a batch as they will be stored, one after the other in one buffer: a large batch has tens of thousands,
//! and memory for each of their keys and values would take longer than to write them.

use ledger_record::key;
use ledger_record::record::Stream;

/// Records that are not stored yet, by position.
#[derive(Debug)]
pub(crate) struct PendingRecords {
    places: Vec<PendingPlace>,
    bytes: Vec<u8>,
}

/// Where a record is: its end is where the next one begins.
#[derive(Debug, Clone, Copy)]
struct PendingPlace {
    key: usize,
    value: usize,
    seq: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingRecord<'r> {
    pub(crate) key: &'r [u8],
    /// Empty: a seal, of which only its place is known.
    pub(crate) value: &'r [u8],
    pub(crate) seq: u64,
}

impl PendingRecords {
    pub(super) fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { places: Vec::with_capacity(records), bytes: Vec::with_capacity(bytes) }
    }

    /// Adds a record, whose value is written behind its key; answers how many bytes both have.
    pub(super) fn push(&mut self, stream: &Stream, seq: u64, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let begin = self.bytes.len();
        key::log::append_log(stream, seq, &mut self.bytes);
        self.places.push(PendingPlace { key: begin, value: self.bytes.len(), seq });
        write(&mut self.bytes);
        self.bytes.len() - begin
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What keys and values take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<PendingRecord<'_>> {
        let PendingPlace { key, value, seq } = *self.places.get(index)?;
        let end = self.places.get(index + 1).map_or(self.bytes.len(), |next| next.key);
        Some(PendingRecord { key: self.bytes.get(key..value)?, value: self.bytes.get(value..end)?, seq })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PendingRecord<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::ids::ClientKey;

    use super::*;

    #[test]
    fn each_record_has_its_own_key_and_value() {
        let mut records = PendingRecords::with_capacity(1, 1);
        let tenant = Stream::Tenant(ClientKey::new("acme").unwrap());
        let first = records.push(&tenant, 7, |out| out.extend_from_slice(b"value"));
        let seal = records.push(&Stream::Seals, 1, |_| {});
        records.push(&tenant, 8, |out| out.push(9));
        let all: Vec<_> =
            records.iter().map(|record| (record.key.to_vec(), record.value, record.seq)).collect();
        let key = key::log::log;
        let expected: [(_, &[u8], _); 3] =
            [(key(&tenant, 7), b"value", 7), (key(&Stream::Seals, 1), b"", 1), (key(&tenant, 8), &[9], 8)];
        assert_eq!(all, expected);
        assert_eq!((first, seal), (key(&tenant, 7).len() + 5, key(&Stream::Seals, 1).len()));
        assert_eq!((records.len(), records.get(3).is_none()), (3, true));
    }
}
