//! Signed checkpoints: what a ledger has said about its log, and will never contradict.
//!
//! ```text
//!   batch synced ─► sealed ─► leaves made anew from the records read back ─► root
//!                                                                             │ grows out of the last one
//!   realm.checkpoints ◄─ transaction ◄─ signed note ◄─────────────────────────┘ published by anyone
//!         │                                  └─► served, and kept beside the keys
//!         └─► last note, when a signer starts, was shut out, or does not know what became of a note
//! ```
//!
//! Each shard has a log of its own, with an *origin*: a configured name, `/`, the partition. Only a size whose
//! last leaf is a seal is ever signed. What must never happen is two notes of one size with different roots,
//! whatever is killed, restored or started twice. That rests on four things:
//!
//! - **One at a time.** Notes are published in transactions whose id is the origin: whoever begins to publish
//!   shuts out everyone before, and what was under way is decided first ([`CheckpointLog::claim`]).
//! - **Read before write.** Nothing is signed before the last note that was published is known. When it is not
//!   certain what became of a note, that is found out by claiming and reading again.
//! - **Grown, not restated.** What is signed grows out of the very tree of the last note: its right edge hashes
//!   to the published root ([`ledger_record::proof::frontier`]), and the new leaves are made from the records
//!   as they read back, not from remembered hashes. A flipped bit halts, and is never signed.
//! - **Memory elsewhere.** The last note lies in Kafka, and in a file beside the keys ([`KeptNote`]): neither is in
//!   the data directory, so restoring a backup of that does not take back what was said. The file is also what is
//!   shown from the first moment on: Kafka may take its time ([`Signer::recall`]).
//!
//! A proof needs the checkpoint of the very seal that it was made at, and under load there are more seals than
//! checkpoints: on the way to the last seal the signer stops where a proof waits
//! ([`ledger_store::Checkpoints`]).
//!
//! Where the log does not go on from the last note, signing halts, and says why ([`SigningHalt`]); the shard goes on
//! reading and answering. A log that is merely behind, as after a restore, is signed again when Kafka has
//! filled it up to that note and the root is the same. A process that was shut out stands by: it follows the
//! other's notes, compares them, and takes over when none has come for [`TAKE_OVER`] although one is due.

mod checkpoint_log;
mod keys;
mod origin;
mod service;
mod signer;
mod stored;
mod topic;

pub use checkpoint_log::{CheckpointLog, CheckpointLogError, FileCheckpointLog, KeptError, KeptNote};
pub use keys::{KeysError, SigningKeys, key_id};
pub use origin::{OriginError, Origins};
pub use service::{Signing, SigningOptions};
pub use signer::{Identity, SealedLog, Signer, SigningFailure, SigningHalt, TAKE_OVER};
pub use stored::{StoredLog, sign_imported};

pub use topic::CheckpointTopic;

#[cfg(test)]
mod tests;
