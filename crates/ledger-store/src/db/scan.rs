//! Walking over a column family, without copying what is only looked at.

use std::ops::Range;

use ledger_record::key::Family;
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions};

use crate::db::database::{damaged, rocksdb_failed};
use crate::db::options::SCAN_READAHEAD_BYTES;
use crate::error::{Damage, ReadError, StorageError};

/// The entries of a family within bounds, in order. Entries are lent until the next step.
pub(crate) struct Scan<'a> {
    raw: DBRawIterator<'a>,
    family: Family,
    begun: bool,
    done: bool,
}

/// A key and its value.
pub(crate) type Entry<'e> = (&'e [u8], &'e [u8]);

impl<'a> Scan<'a> {
    pub(crate) fn new(
        db: &'a DB,
        handle: &'a ColumnFamily,
        family: Family,
        range: Range<Vec<u8>>,
        mut options: ReadOptions,
    ) -> Self {
        options.set_iterate_range(range);
        Self { raw: db.raw_iterator_cf_opt(handle, options), family, begun: false, done: false }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// The next entry, key and value. After an error there is nothing more.
    pub(crate) fn step(&mut self) -> Result<Option<Entry<'_>>, StorageError> {
        if self.done {
            return Ok(None);
        }
        if self.begun {
            self.raw.next();
        } else {
            self.raw.seek_to_first();
            self.begun = true;
        }
        self.entry()
    }

    /// The first entry whose key is at least this one.
    pub(crate) fn skip_to(&mut self, key: &[u8]) -> Result<Option<Entry<'_>>, StorageError> {
        self.begun = true;
        self.done = false;
        self.raw.seek(key);
        self.entry()
    }

    /// The last entry within the bounds.
    pub(crate) fn last(&mut self) -> Result<Option<Entry<'_>>, StorageError> {
        self.begun = true;
        self.raw.seek_to_last();
        self.entry()
    }

    fn entry(&mut self) -> Result<Option<Entry<'_>>, StorageError> {
        if !self.raw.valid() {
            self.done = true;
            self.raw.status().map_err(rocksdb_failed("walking over entries"))?;
        }
        Ok(self.raw.item())
    }
}

/// For what walks over the whole shard: the cache is for those who come back.
pub(crate) fn sweeping(mut options: ReadOptions) -> ReadOptions {
    options.fill_cache(false);
    options.set_readahead_size(SCAN_READAHEAD_BYTES);
    options
}

/// All keys with a prefix.
pub(crate) fn prefixed(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let end = after_prefix(&prefix);
    prefix..end
}

/// All keys with a prefix, from `start` on.
pub(crate) fn prefixed_from(prefix: &[u8], start: Vec<u8>) -> Range<Vec<u8>> {
    start..after_prefix(prefix)
}

/// Whatever a family has: no key is longer, and none begins with so many `ff`.
pub(crate) fn everything() -> Range<Vec<u8>> {
    everything_from(Vec::new())
}

/// Whatever a family has from a key on.
pub(crate) fn everything_from(start: Vec<u8>) -> Range<Vec<u8>> {
    start..vec![0xff; 9]
}

/// The first key that is after all keys with the prefix.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0xff; 9]
}

/// Decodes each entry of a scan; ends after the first that fails.
pub(crate) struct Items<'a, D> {
    scan: Scan<'a>,
    decode: D,
    failed: bool,
}

impl<'a, D> Items<'a, D> {
    pub(crate) fn new<T>(scan: Scan<'a>, decode: D) -> Self
    where
        D: FnMut(&[u8], &[u8]) -> Result<T, Damage>,
    {
        Self { scan, decode, failed: false }
    }
}

impl<T, D: FnMut(&[u8], &[u8]) -> Result<T, Damage>> Iterator for Items<'_, D> {
    type Item = Result<T, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let family = self.scan.family();
        let item = match self.scan.step() {
            Ok(None) => return None,
            Ok(Some((key, value))) => {
                (self.decode)(key, value).map_err(|cause| ReadError::from(damaged(family, key, cause)))
            }
            Err(error) => Err(error.into()),
        };
        self.failed = item.is_err();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_prefix() {
        assert_eq!(after_prefix(b"\x01acme\0"), b"\x01acme\x01");
        assert_eq!(after_prefix(b"a\xff\xff"), b"b");
        assert_eq!(after_prefix(b""), [0xff; 9]);
        assert_eq!(after_prefix(b"\xff"), [0xff; 9]);
    }
}
