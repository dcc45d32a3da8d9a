//! Tests of what others check alone.

mod attacks;
mod bundle;
mod cases;
mod ledger;
mod line;
mod map;
mod note;
mod tree;
