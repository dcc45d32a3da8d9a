//! Who may ask: credentials in, a [`Principal`] with scopes and app grants out.
//!
//! | file | what it has |
//! | --- | --- |
//! | `allowance` | what a principal may do at a time: its requests a second, its part of the places |
//! | `certificate` | what is looked at of a client certificate |
//! | `grants` | [`Grants`]: the apps whose installations a principal sees. [`crate::ledger`] reads through them |
//! | `principal` | [`Principal`], [`AccessScope`], [`Scopes`] |
//! | `rate` | how many requests a principal may send |
//! | `token` | static tokens: how they are made, and found by their hash |
//! | `jwt`, `jwks`, `signature` | web tokens of named issuers, their keys, and how signatures are checked |
//! | `loopback` | names of this machine |
//! | `admit` | [`Access`]: the table of all who may ask, and [`Refusal`] |
//!
//! The gateway checks the tokens of its callers with the same [`KeySet`] and the same signatures
//! ([`check_signatures_here`], [`rsa_key_from_pem`]).
//!
//! Nothing here knows a question or a protocol. A door takes the credentials from a request and gets the principal from
//! [`Access::admit`]; whether it may ask a question is one check of the question's [`AccessScope`]
//! ([`Principal::check`]); what is shown of the answer follows from the [`Grants`], which the ledger is read through
//! ([`Ledger::seen_with`](crate::ledger::Ledger::seen_with)). What is not granted is answered as what does not exist.
//!
//! # Invariants
//!
//! - A token is never kept, logged or shown: only its SHA-256 is, and that of a configuration is no credential.
//! - Whatever is wrong with credentials is a refusal; none of them makes an anonymous principal.
//! - Without any principal configured there is no access control, and `serve` listens on loopback only
//!   unless it is told otherwise.

mod admit;
mod allowance;
mod certificate;
mod grants;
mod jwks;
mod jwt;
mod loopback;
mod principal;
mod rate;
mod signature;
mod token;

pub use admit::{
    Access, AccessOptions, AccessOptionsError, Admission, CertificateOptions, Credentials, Denied, Refusal,
    TokenOptions,
};
pub(crate) use allowance::{Allowance, HeldPlace, PlaceKind};
pub use certificate::ClientCertificate;
pub use grants::Grants;
pub use jwks::{KeySet, KeySetError};
pub use jwt::{IssuerOptions, SigningAlgorithm};
pub use ledger_record::token::new_token;
pub(crate) use loopback::is_loopback;
pub use principal::{AccessScope, Principal, Scopes, is_principal_name};
#[cfg(test)]
pub(crate) use rate::Rate;
pub use signature::{check_signatures_here, rsa_key_from_pem};
pub use token::token_hash;
