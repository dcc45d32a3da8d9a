//! Tests of evidence that others check alone.

mod attacks;
mod bundle;
mod cases;
mod ledger;
mod lies;
mod line;
mod log;
mod map;
mod note;
mod published;
mod size;
mod stored_map;
mod tiles;
mod tlog;
mod tree;
