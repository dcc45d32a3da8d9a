//! The log read again. In: every family of a shard. Out: what differs from the log, or between shards; rows made anew.

pub(crate) mod app_events;
pub(crate) mod digest;
pub(crate) mod rebuild;
pub(crate) mod torn;
pub(crate) mod verify;
