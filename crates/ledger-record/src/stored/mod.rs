//! Twins of the domain types, as they are stored: one module for each format version, frozen once released.
//!
//! A twin borrows its text, from the domain value when it is written (`of`), from the stored bytes when it
//! is read (`restore`), so neither way copies twice. Domain types know nothing of their twins; a new field
//! there does not compile here until somebody decides how it is stored.

mod codes;
mod parts;
pub(crate) mod v1;
