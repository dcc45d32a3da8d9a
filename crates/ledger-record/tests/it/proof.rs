//! Tests of what others check alone.

mod line;
mod map;
mod note;
mod tree;
