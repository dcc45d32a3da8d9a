//! How it is written: the bytes and keys of a shard, and the JSON that every door shows.
//!
//! Everything a ledger keeps on disk is a key of [`key`] and a value of [`codec`], and nothing else is. The
//! crate says what those bytes are; where they lie and when they are written is the store's business. It is
//! pure, so whoever checks a ledger can compile it alone with `ledger-core`: no storage, no network, no
//! clock, no randomness, no hash order (`.clippy.toml` bans them).
//!
//! # What is stored
//!
//! A **record** is what the ledger took in and what it said about it then. It is written once and never
//! changed:
//!
//! ```text
//! key    stream kind u8 ‖ client key or app key ‖ 00 ‖ seq u64 BE
//!
//! value  version u8
//!        position u64 · recorded i64 · source { name, partition u32, offset u64 } · rules u16
//!        event:    time defaulted · event { id, time, actor?, reason?, what happened } · outcome
//!        refusal:  reason · path? · detail · key? · headers · source time? · body
//!        seal:     map root · streams · duplicates · refused
//!        succession:  root of the log before
//! ```
//!
//! The event is whole, with the key that its stream has too: whose record it is can be told from either. The outcome
//! (lateness, changes, decision, anomalies, correction) stands last, so that a fold, which makes its own, can stop
//! before it ([`record::Record::decode_event`]).
//!
//! **Rows** ([`rows`]) are either projections, which can be built anew from the records, or tell where the
//! shard stands: the position, how far each source was read, what was published. All of a batch is in one
//! write, so they never disagree with the records.
//!
//! # Versions
//!
//! Each value begins with the version of its layout, now [`codec::FORMAT`]. A value of a newer version is
//! told from a damaged one. The layout is derived from the domain types themselves; `tests/golden` holds the bytes of
//! every kind of value and every variant. This one is frozen: a type that changes from here on is still read
//! as it was, by a module of its own beside the domain type.
//!
//! # JSON
//!
//! [`json`] writes it: domain types as they derive it, the native form of an event among them, and views of what is put
//! together for an answer. No other crate decides how something looks outside.
//!
//! # Proofs
//!
//! [`proof`] is what others check alone: leaf lines, the Merkle tree over them, the map of heads, signed
//! checkpoints, and bundles. Its bytes are an interface, written out in `proto/AUDIT.md`.
//!
//! # What it is not
//!
//! Nothing here decodes what producers send: that is a matter of what arrives, not of what is kept. The
//! stored bytes are no interface: what others may check is hashed in an encoding of its own.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod codec;
pub mod hash;
pub mod json;
pub mod key;
pub mod proof;
pub mod record;
pub mod rejection;
pub mod replay;
pub mod rows;
pub mod token;
