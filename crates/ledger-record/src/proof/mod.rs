//! What others can check alone: the log as a Merkle tree, a map of every stream's head, signed checkpoints,
//! and bundles that prove one tenant's whole history.
//!
//! ```text
//! record ─→ leaf line ─→ leaf hash ─→ tree ─→ root ─→ checkpoint ─→ signed note
//!              │  p = leaf hash of the stream's record before        │
//!              └─→ head (n, index, leaf hash) ─→ map ─→ root ─→ seal ┘ (the last leaf)
//! ```
//!
//! The formats are written out in `proto/AUDIT.md`, for whoever writes a verifier of their own. Here is the
//! pure half: bytes in, bytes and verdicts out. Where nodes are stored is the caller's business: the tree and
//! the map ask for them through a function, and say which ones are new. Keys and secrets come in as bytes.
//!
//! - [`canonical`]: the one way in which JSON is written, and the refusal of every other.
//! - [`line`](mod@line): the leaf lines; [`payload`]: what a leaf commits to without showing it.
//! - [`tree`]: RFC 6962 trees and their proofs; [`frontier`]: as much of one as growing needs.
//! - [`map`]: the prefix tree of heads; [`seal`]: where seals go.
//! - [`note`]: C2SP checkpoints and signed notes.
//! - [`bundle`]: the file that is handed out; [`verify`]: what a reader of it checks, in which order.
//! - [`log`](mod@log): what whoever holds all leaf lines checks; [`tiles`]: C2SP tiles, in which a whole log is
//!   handed out; [`tlog`]: a directory of them, checked.
//!
//! A proof says what was recorded and that nothing was left out or changed since. It does not say that what
//! was recorded happened.

pub mod bundle;
pub mod canonical;
pub mod frontier;
pub mod line;
pub mod log;
pub mod map;
pub mod note;
pub mod payload;
pub mod seal;
pub mod tiles;
pub mod tlog;
pub mod tree;
pub mod verify;

pub use crate::hash::Hash;
