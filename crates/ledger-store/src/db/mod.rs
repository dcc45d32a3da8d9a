//! RocksDB under a shard. In: keys and rows as bytes. Out: decoded items, or the damage that was found.

pub(crate) mod batch_places;
pub(crate) mod cache;
pub(crate) mod database;
pub(crate) mod decode;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod placed;
pub(crate) mod scan;
pub(crate) mod tuning;
pub(crate) mod wal;
