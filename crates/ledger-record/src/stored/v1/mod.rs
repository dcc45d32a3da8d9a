//! Format 1.

pub(crate) mod descriptor;
pub(crate) mod event;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod rows;
pub(crate) mod state;
