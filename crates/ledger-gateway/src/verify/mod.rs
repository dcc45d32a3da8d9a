//! Who sent a call: its token and what it is about in, what the token proves out; or a [`Refusal`].
//!
//! ```text
//!   headers, query ─► token ─► one token: JWT (Connect) or Bearer (Forge)
//!   Connect install ─► connect, qsh ◄─ install_keys (PEM by key id)
//!   Forge           ─► forge, token_ids ◄─ KeySet (JWKS), shared with the access control of the ledger
//! ```
//!
//! | file | what it has |
//! | --- | --- |
//! | `token` | the one token of a call, and what is wrong with one |
//! | `qsh` | the hash of a request that Connect signs |
//! | `install_keys` | the keys that sign Connect installs |
//! | `connect` | Connect's install tokens, and who a token of an app is of |
//! | `token_ids` | ids of tokens that were used |
//! | `forge` | Forge invocation tokens |
//!
//! # Invariants
//!
//! - A key server is configured. Claims choose a key on it, by an id of harmless characters, and nothing else.
//! - The algorithm is RS256, whatever a header says: there is no HMAC here that could take a public key for a secret.
//! - A token is not kept, logged or sent on anywhere but to the app.

mod connect;
mod forge;
mod install_keys;
mod qsh;
mod token;
mod token_ids;

pub(crate) use connect::{SignedRequest, app_token};
pub(crate) use forge::{ForgeKeys, ForgeToken, License};
pub(crate) use install_keys::InstallKeys;
pub(crate) use token::{Token, find};
pub(crate) use token_ids::UsedId;

use crate::refusal::Refusal;
