//! Backups in an S3-compatible store: the layout that a directory for backups has, under a prefix of a bucket.
//!
//! ```text
//! s3://BUCKET/PREFIX/blobs/<sha256>           put with its checksum, which the store compares
//! s3://BUCKET/PREFIX/generations/<n>.json     created once, after all of its blobs
//! ```
//!
//! In: a directory for backups, whose newest generation is copied ([`copy()`]). Out: such a directory again, with one
//! generation, which a restore compares as any other ([`fetch`]). Requests are signed by `rusty-s3` and sent by the client
//! that the program has already.
//!
//! Credentials come from the variables that other programs take ([`Store::open`]). They are in no message: a signed URL has
//! what may be done with it, so none is ever shown.

mod copy;
mod error;
mod store;

pub(crate) use copy::{Copied, check, copy, fetch};
pub(crate) use store::Store;
