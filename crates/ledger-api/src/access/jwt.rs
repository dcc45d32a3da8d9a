//! Web tokens (JWT) of named issuers.
//!
//! ```text
//!   token ─► seen before, and good still? ─► header: algorithm, key id ─► key of the issuer ─► signature and claims
//! ```
//!
//! A token that was found good is kept by its hash until it expires or the keys of its issuer are read anew, so that a
//! signature is checked once. Scopes that are not ours are left aside, as a token can be for several services; a token without
//! the claim of apps sees none. The clock is the caller's, to which the issuer's may be off by its leeway.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use ledger_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::admit::VIA;
use super::admit::{AccessOptionsError, Admission, Refusal, bad};
use super::allowance::Allowance;
use super::grants::Grants;
use super::jwks::KeySet;
use super::principal::{AccessScope, Principal, is_principal_name};
use super::rate::Rate;
use super::signature::check_signatures_here;
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
    /// The authorities (PEM) that check the server of the URL; none: the public ones.
    pub ca: Option<PathBuf>,
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

/// Why a web token is not taken.
pub(super) struct TokenRefused {
    pub(super) refusal: Refusal,
    /// The key is not known; its set may be read again.
    pub(super) stale: Option<Arc<KeySet>>,
}

impl From<&'static str> for TokenRefused {
    fn from(reason: &'static str) -> Self {
        Self { refusal: bad(reason), stale: None }
    }
}

/// The issuers, and what is known of their tokens.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    all: Vec<Issuer>,
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
    /// By the hash of the token.
    verified: BTreeMap<[u8; 32], Verified>,
    /// By name: all tokens of one share it.
    allowances: BTreeMap<String, Arc<Allowance>>,
}

#[derive(Debug)]
struct Verified {
    admission: Admission,
    /// Of which issuer, and by which reading of its keys.
    issuer: usize,
    readings: u64,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

impl Issuers {
    pub(super) fn new(options: &[IssuerOptions], rate: Rate) -> Result<Self, AccessOptionsError> {
        if !options.is_empty() {
            check_signatures_here();
        }
        let issuers = options.iter().map(|options| {
            let keys = KeySet::by_authorities(&options.jwks, options.ca.as_deref())
                .map_err(|source| AccessOptionsError::Keys { issuer: options.issuer.clone(), source })?;
            Ok(Issuer { options: options.clone(), keys: Arc::new(keys) })
        });
        Ok(Self { all: issuers.collect::<Result<_, _>>()?, rate, known: Mutex::default() })
    }

    pub(super) fn are_none(&self) -> bool {
        self.all.is_empty()
    }

    /// Whose token it is.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<Admission, TokenRefused> {
        let hash = token_hash(token);
        if let Some(admission) = self.known_good(&hash, now) {
            return Ok(admission);
        }
        let header = decode_header(token).map_err(|_| "the token is not of a kind that is taken here")?;
        let IssuerClaim { iss } = insecure_decode_claims(token).map_err(|_| "the token names no issuer")?;
        let mut last = "the issuer of the token is not named here".into();
        for (place, Issuer { options, keys }) in self.all.iter().enumerate() {
            if options.issuer != iss {
                continue;
            }
            let mut named = options.algorithms.iter().map(|algorithm| algorithm.of_library());
            let Some(algorithm) = named.find(|algorithm| *algorithm == header.alg) else {
                last = "the token is signed with an algorithm that its issuer does not use".into();
                continue;
            };
            // Before the key is found: a reading in between makes it an old one.
            let readings = keys.readings();
            let Some(key) = keys.find(header.kid.as_deref(), algorithm) else {
                let refused = TokenRefused::from("the key that signed the token is not known");
                last = TokenRefused { stale: Some(Arc::clone(keys)), ..refused };
                continue;
            };
            match claims(options, token, &key, algorithm).and_then(|claims| checked(claims, options, now)) {
                Ok(claims) => {
                    let admission = self.admission(options, &claims);
                    self.keep(hash, Verified { admission: admission.clone(), issuer: place, readings });
                    return Ok(admission);
                }
                Err(reason) => last = reason.into(),
            }
        }
        Err(last)
    }

    /// Reads keys again that were read long ago.
    pub(super) async fn refresh(&self, after: Duration) {
        for issuer in &self.all {
            issuer.keys.refresh(after).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, KnownTokens> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_good(&self, hash: &[u8; 32], now: Timestamp) -> Option<Admission> {
        let mut known = self.known();
        let Verified { admission, issuer, readings } = known.verified.get(hash)?;
        let is_current = self.all.get(*issuer).is_some_and(|issuer| issuer.keys.readings() == *readings);
        if is_current && admission.until.is_some_and(|until| now < until) {
            return Some(admission.clone());
        }
        known.verified.remove(hash);
        None
    }

    fn keep(&self, hash: [u8; 32], verified: Verified) {
        let mut known = self.known();
        if known.verified.len() >= VERIFIED_TOKENS_KEPT {
            known.verified.clear();
        }
        known.verified.insert(hash, verified);
    }

    fn admission(&self, options: &IssuerOptions, claims: &Claims) -> Admission {
        let text = |name: &str| claims.all.get(name).and_then(Json::as_str);
        let name = name_of(&options.issuer, text("sub"));
        let scopes = words(claims.all.get(&options.scopes_claim));
        let apps = Grants::parse(&words(claims.all.get(&options.apps_claim)));
        // What is no app key grants nothing.
        let apps = apps.unwrap_or_else(|_| Grants::Apps(Arc::default()));
        let mut known = self.known();
        if known.allowances.len() >= PRINCIPALS_KEPT {
            // Of those that nobody asks with: a principal must not get a full one by the names of others.
            known.allowances.retain(|_, allowance| Arc::strong_count(allowance) > 1);
        }
        let allowance = known.allowances.entry(name.clone());
        let allowance = Arc::clone(allowance.or_insert_with(|| Arc::new(Allowance::new(self.rate))));
        let scopes = scopes.iter().filter_map(|scope| AccessScope::parse(scope)).collect();
        Admission {
            principal: Arc::new(Principal { name, scopes, apps, allowance }),
            until: Some(claims.until),
        }
    }
}

/// Whoever chooses the subjects of an issuer chooses no name of anyone else.
fn name_of(issuer: &str, subject: Option<&str>) -> String {
    subject.map_or_else(|| issuer.to_owned(), |subject| format!("{issuer}#{subject}"))
}

/// The claims of a token that is good, and until when it is.
struct Claims {
    all: Map<String, Json>,
    until: Timestamp,
}

/// The claims of a token that its issuer signed, for us.
fn claims(
    options: &IssuerOptions,
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<Map<String, Json>, &'static str> {
    let mut validation = Validation::new(algorithm);
    // Times are compared with the caller's clock.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    validation.set_issuer(&[&options.issuer]);
    validation.set_audience(&[&options.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let decoded = decode::<Map<String, Json>>(token, key, &validation);
    decoded.map(|token| token.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => "the signature of the token is not that of its issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the issuer of the token is not named here",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, iss or aud",
        _ => "the token is not one that can be taken",
    })
}

/// The same, if it is good now, and can be named in a log.
fn checked(all: Map<String, Json>, options: &IssuerOptions, now: Timestamp) -> Result<Claims, &'static str> {
    let leeway = options.leeway.as_secs_f64();
    let seconds = |name: &str| all.get(name).map(|claim| claim.as_f64().filter(|at| at.is_finite()));
    let Some(Some(expires)) = seconds("exp") else { return Err("the token lacks exp, iss or aud") };
    let until = instant(expires + leeway);
    if until <= now {
        return Err("the token has expired");
    }
    match seconds("nbf") {
        Some(None) => return Err("nbf of the token is no time"),
        Some(Some(from)) if instant(from - leeway) > now => return Err("the token is not good yet"),
        _ => {}
    }
    match all.get("sub") {
        Some(name) if !name.as_str().is_some_and(|name| is_principal_name(name) && !name.contains(VIA)) => {
            Err("sub of the token is no name of 255 bytes at most without \" via \"")
        }
        // What it does is recorded under that name.
        name if !is_principal_name(&name_of(&options.issuer, name.and_then(Json::as_str))) => Err(
            "iss and sub of the token are together longer than a name may be, which is 255 bytes with a # between them",
        ),
        _ => Ok(Claims { all, until }),
    }
}

/// The instant of so many seconds since 1970.
#[expect(clippy::cast_possible_truncation, reason = "it saturates, far beyond every token")]
fn instant(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as i64)
}

/// A claim as words: a text with blanks, or a list of texts.
fn words(claim: Option<&Json>) -> Vec<String> {
    match claim {
        Some(Json::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
