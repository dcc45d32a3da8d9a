//! Reads beside the writer. In: a snapshot. Out: states, histories, lists.

pub(crate) mod histories;
pub(crate) mod history;
pub(crate) mod lists;
pub(crate) mod progress;
pub(crate) mod published;
pub(crate) mod publisher;
pub(crate) mod reader;
pub(crate) mod refold;
pub(crate) mod snapshot;
