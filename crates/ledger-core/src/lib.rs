//! What is true: the rules of the realm ledger, pure.
//!
//! Events come in decoded and normalised ([`event`]); out come the state of every installation
//! ([`state`]), the decisions and anomalies of every record ([`tenant`]), and the answers derived from them
//! ([`view`], [`preview`], [`explain`], [`whatif`]).
//!
//! # Invariant
//!
//! I-1, pure fold: `projection = fold(sort(events))`. Nothing here reads a clock, the environment, files,
//! randomness or a hash order; there are no threads. Taking records in one by one gives the same states as
//! folding them all from zero, whatever the order they arrived in. `.clippy.toml` bans what could break it.
//!
//! # Where to begin
//!
//! - [`tenant::Tenant::append`] takes in the next record; [`refold::Refold::append_late`] one that belongs
//!   before others; [`tenant::Tenant::from_history`] folds from zero.
//! - `fold` holds the rules themselves, one module per section.
//! - [`timeline`] says which descriptor and policy were in force when.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod anomaly;
pub mod descriptor;
pub mod event;
pub mod explain;
mod fold;
pub mod history;
pub mod ids;
pub mod limits;
pub mod policy;
pub mod preview;
pub mod realm;
pub mod refold;
pub mod site;
pub mod state;
pub mod tenant;
pub mod time;
pub mod timeline;
pub mod view;
pub mod whatif;
pub mod words;
