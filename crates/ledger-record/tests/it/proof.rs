//! Tests of what others check alone.

mod line;
mod tree;
