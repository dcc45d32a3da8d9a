//! Web tokens (JWT) of named issuers.
//!
//! ```text
//!   token ─► seen before, and good still? ─► header: algorithm, key id ─► key of the issuer ─► signature and claims
//! ```
//!
//! A token that was found good is kept by its hash until it expires or the keys of its issuer are read anew, so that a
//! signature is checked once. Scopes that are not ours are left aside, as a token can be for several services; a token without
//! the claim of apps sees none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::admit::{AccessOptionsError, Refusal, bad};
use super::grants::Grants;
use super::jwks::KeySet;
use super::principal::{AccessScope, Principal};
use super::rate::{Bucket, Rate};
use super::signature;
use super::token::token_hash;
use crate::limits::{PRINCIPALS_KEPT, VERIFIED_TOKENS_KEPT};

/// An issuer of web tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerOptions {
    /// As tokens name it (`iss`).
    pub issuer: String,
    /// Whom its tokens have to be for (`aud`).
    pub audience: String,
    /// Its keys: a file, or an https URL.
    pub jwks: String,
    /// What its tokens may be signed with.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claim with the scopes.
    pub scopes_claim: String,
    /// The claim with the app keys.
    pub apps_claim: String,
    /// How far its clock may be off.
    pub leeway: Duration,
}

/// What a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA with SHA-256, of 2048 bits and more.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// As tokens name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn of_library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// What a web token comes to.
pub(super) enum Verdict {
    Good(Arc<Principal>),
    Bad(Refusal),
    /// The key is not known; its set may be read again.
    UnknownKey(Arc<KeySet>),
}

/// The issuers, and what is known of their tokens.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    issuers: Vec<Issuer>,
    rate: Rate,
    known: Mutex<KnownTokens>,
}

#[derive(Debug)]
struct Issuer {
    options: IssuerOptions,
    keys: Arc<KeySet>,
}

#[derive(Debug, Default)]
struct KnownTokens {
    /// By the hash of the token, with the second it is good until.
    verified: BTreeMap<[u8; 32], (u64, Arc<Principal>)>,
    /// By issuer and name: all tokens of one share it.
    buckets: BTreeMap<(String, String), Arc<Bucket>>,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

impl Issuers {
    pub(super) fn new(options: &[IssuerOptions], rate: Rate) -> Result<Self, AccessOptionsError> {
        if !options.is_empty() {
            signature::install();
        }
        let issuers = options.iter().map(|options| {
            let keys = KeySet::new(&options.jwks)
                .map_err(|source| AccessOptionsError::Keys { issuer: options.issuer.clone(), source })?;
            Ok(Issuer { options: options.clone(), keys: Arc::new(keys) })
        });
        Ok(Self { issuers: issuers.collect::<Result<_, _>>()?, rate, known: Mutex::default() })
    }

    pub(super) fn are_none(&self) -> bool {
        self.issuers.is_empty()
    }

    /// What the token comes to now.
    pub(super) fn verify(&self, token: &str) -> Verdict {
        let hash = token_hash(token);
        if let Some(principal) = self.known_good(&hash) {
            return Verdict::Good(principal);
        }
        let Ok(header) = decode_header(token) else {
            return Verdict::Bad(bad("the token is not of a kind that is taken here"));
        };
        let Ok(IssuerClaim { iss }) = insecure_decode_claims(token) else {
            return Verdict::Bad(bad("the token names no issuer"));
        };
        let mut last = Verdict::Bad(bad("the issuer of the token is not named here"));
        for issuer in self.issuers.iter().filter(|issuer| issuer.options.issuer == iss) {
            let mut named = issuer.options.algorithms.iter().map(|algorithm| algorithm.of_library());
            let Some(algorithm) = named.find(|algorithm| *algorithm == header.alg) else {
                last =
                    Verdict::Bad(bad("the token is signed with an algorithm that its issuer does not use"));
                continue;
            };
            let Some(key) = issuer.keys.find(header.kid.as_deref(), algorithm) else {
                if issuer.keys.is_due() {
                    return Verdict::UnknownKey(Arc::clone(&issuer.keys));
                }
                last = Verdict::Bad(bad("the key that signed the token is not known"));
                continue;
            };
            match issuer.claims(token, &key, algorithm) {
                Ok(claims) => return Verdict::Good(self.keep(hash, issuer, &claims)),
                Err(refusal) => last = Verdict::Bad(refusal),
            }
        }
        last
    }

    /// Keys were read anew: what was signed with one that is gone is no longer good.
    pub(super) fn forget(&self) {
        self.known().verified.clear();
    }

    fn known(&self) -> MutexGuard<'_, KnownTokens> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_good(&self, hash: &[u8; 32]) -> Option<Arc<Principal>> {
        let mut known = self.known();
        let (until, principal) = known.verified.get(hash)?;
        if *until > now_seconds() {
            return Some(Arc::clone(principal));
        }
        known.verified.remove(hash);
        None
    }

    fn keep(&self, hash: [u8; 32], issuer: &Issuer, claims: &Map<String, Json>) -> Arc<Principal> {
        let options = &issuer.options;
        let name = claims.get("sub").and_then(Json::as_str).unwrap_or(&options.issuer).to_owned();
        let scopes = words(claims.get(&options.scopes_claim));
        let apps = Grants::parse(&words(claims.get(&options.apps_claim)));
        // What is no app key grants nothing.
        let apps = apps.unwrap_or_else(|_| Grants::Apps(Arc::default()));
        let mut known = self.known();
        if known.buckets.len() >= PRINCIPALS_KEPT {
            known.buckets.clear();
        }
        let bucket = known.buckets.entry((options.issuer.clone(), name.clone()));
        let bucket = Arc::clone(bucket.or_insert_with(|| Arc::new(Bucket::new(self.rate))));
        let scopes = scopes.iter().filter_map(|scope| AccessScope::parse(scope)).collect();
        let principal = Arc::new(Principal { name, scopes, apps, bucket });
        if let Some(until) = claims.get("exp").and_then(Json::as_f64) {
            if known.verified.len() >= VERIFIED_TOKENS_KEPT {
                known.verified.clear();
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            let until = (until as u64).saturating_add(options.leeway.as_secs());
            known.verified.insert(hash, (until, Arc::clone(&principal)));
        }
        principal
    }
}

impl Issuer {
    /// The claims of a token that is good.
    fn claims(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Map<String, Json>, Refusal> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.options.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let decoded = decode::<Map<String, Json>>(token, key, &validation);
        decoded.map(|token| token.claims).map_err(|error| {
            bad(match error.kind() {
                ErrorKind::InvalidSignature => "the signature of the token is not that of its issuer",
                ErrorKind::ExpiredSignature => "the token has expired",
                ErrorKind::ImmatureSignature => "the token is not good yet",
                ErrorKind::InvalidAudience => "the token is for another audience",
                ErrorKind::InvalidIssuer => "the issuer of the token is not named here",
                ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, iss or aud",
                _ => "the token is not one that can be taken",
            })
        })
    }
}

/// A claim as words: a text with blanks, or a list of texts.
fn words(claim: Option<&Json>) -> Vec<String> {
    match claim {
        Some(Json::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
