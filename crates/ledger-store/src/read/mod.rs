//! Reads beside the writer. In: a snapshot. Out: states, histories, lists.

pub(crate) mod history;
pub(crate) mod ids;
pub(crate) mod lists;
pub(crate) mod reader;
pub(crate) mod recent;
pub(crate) mod snapshot;
