//! The table of all who may ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::time::Timestamp;
use ledger_record::token::{TOKEN_PREFIX, is_token};

use super::allowance::Allowance;
use super::certificate::ClientCertificate;
use super::grants::Grants;
use super::jwks::{KeySet, KeySetError};
use super::jwt::{IssuerOptions, Issuers, TokenRefused};
use super::principal::{AccessScope, Principal, Scopes};
use super::rate::Rate;
use super::token::{find, token_hash};

/// What the owner of the server decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOptions {
    /// Everyone may ask everything, whatever address is listened to.
    pub open: bool,
    /// Requests a second for each principal; 0: any number.
    pub rate: u32,
    /// So many at once after a pause.
    pub burst: u32,
    /// Static tokens.
    pub tokens: Vec<TokenOptions>,
    /// Issuers of web tokens.
    pub issuers: Vec<IssuerOptions>,
    /// Client certificates.
    pub certificates: Vec<CertificateOptions>,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            open: false,
            rate: 1000,
            burst: 2000,
            tokens: Vec::new(),
            issuers: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

impl AccessOptions {
    /// Whether someone is named who may ask, so that others may not.
    #[must_use]
    pub fn names_someone(&self) -> bool {
        !self.tokens.is_empty() || !self.issuers.is_empty() || !self.certificates.is_empty()
    }
}

/// Someone with a static token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// For logs, and the actor of commands.
    pub name: String,
    /// Of the token.
    pub sha256: [u8; 32],
    /// For what.
    pub scopes: Scopes,
    /// Of which apps.
    pub apps: Grants,
    /// From then on it is refused.
    pub expires: Option<Timestamp>,
}

/// Someone with a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOptions {
    /// For logs, and the actor of commands.
    pub name: String,
    /// Of the certificate (DER).
    pub sha256: [u8; 32],
    /// For what.
    pub scopes: Scopes,
    /// Of which apps.
    pub apps: Grants,
}

/// Why the table cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AccessOptionsError {
    /// Two of a kind.
    #[error("{what} of {name} is that of another entry too; a log could not tell the two apart")]
    Twice {
        /// What is the same.
        what: &'static str,
        /// Whose.
        name: String,
    },
    /// A name that another principal could have, or be taken for.
    #[error("{name:?} cannot be a name of access: {why}")]
    Name {
        /// Which.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// Without its keys no token of an issuer is good.
    #[error("the keys of issuer {issuer} cannot be read")]
    Keys {
        /// Which.
        issuer: String,
        /// Why.
        #[source]
        source: KeySetError,
    },
}

/// Why a request is refused, before its question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credentials.
    #[error("no credentials were sent; expected the header authorization: Bearer and a token")]
    NoCredentials,
    /// Bad ones.
    #[error("the credentials were refused: {reason}")]
    BadCredentials {
        /// Why; nothing of them is in it.
        reason: &'static str,
    },
    /// Good ones, for other questions.
    #[error("this takes the scope {needed}, which these credentials do not have")]
    ScopeMissing {
        /// The scope.
        needed: AccessScope,
    },
    /// Too many requests.
    #[error("more than {per_second} requests a second came with these credentials; ask again later")]
    RateLimited {
        /// How many there may be.
        per_second: u32,
    },
}

/// What a request shows of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'r> {
    /// Nothing.
    None,
    /// A token.
    Bearer(&'r str),
    /// Something else.
    Other,
}

impl<'r> Credentials<'r> {
    /// From the values of all `authorization` headers of a request.
    pub fn from_headers(mut values: impl Iterator<Item = &'r [u8]>) -> Self {
        let Some(value) = values.next() else { return Self::None };
        let token = std::str::from_utf8(value).ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
        });
        match (token, values.next()) {
            (Some(token), None) if !token.is_empty() => Self::Bearer(token),
            _ => Self::Other,
        }
    }
}

/// All who may ask.
#[derive(Debug, Default)]
pub struct Access {
    rate: u32,
    is_open: bool,
    tokens: Owners,
    certificates: Owners,
    issuers: Issuers,
}

/// Who has what is known by its hash.
#[derive(Debug, Default)]
struct Owners {
    hashes: Vec<[u8; 32]>,
    /// By the same place.
    owners: Vec<Admission>,
}

/// Someone who may ask, with the credentials that came.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Who.
    pub principal: Arc<Principal>,
    /// The credentials are not good from then on: what goes on until its client goes is ended.
    pub until: Option<Timestamp>,
}

/// Stands between a given actor and the principal that recorded it.
pub(super) const VIA: &str = " via ";

/// Names are recorded for ever, so each is that of one principal, whatever its credentials.
fn check_names(options: &AccessOptions) -> Result<(), AccessOptionsError> {
    let tokens = options.tokens.iter().map(|token| &token.name);
    let names: Vec<_> = tokens.chain(options.certificates.iter().map(|of| &of.name)).collect();
    for (place, name) in names.iter().enumerate() {
        let refused = |why| Err(AccessOptionsError::Name { name: (*name).clone(), why });
        if names[..place].contains(name) {
            return Err(AccessOptionsError::Twice { what: "the name", name: (*name).clone() });
        }
        if name.contains(VIA) {
            return refused("what is recorded by one for another has \" via \" between the two");
        }
        if options.issuers.iter().any(|of| name.starts_with(&of.issuer)) {
            return refused("it begins as those of an issuer do");
        }
    }
    Ok(())
}

pub(super) const fn bad(reason: &'static str) -> Refusal {
    Refusal::BadCredentials { reason }
}

impl AccessOptions {
    /// Everything that keeps [`Access::new`] from making the table, without asking any server.
    #[must_use]
    pub fn faults(&self) -> Vec<AccessOptionsError> {
        let without_issuers = Self { issuers: Vec::new(), ..self.clone() };
        let of_names = check_names(self).and_then(|()| Access::new(&without_issuers).map(drop)).err();
        let of_keys = self.issuers.iter().filter_map(|issuer| {
            let checked = KeySet::check(&issuer.jwks, issuer.ca.as_deref());
            let source = checked.err()?;
            Some(AccessOptionsError::Keys { issuer: issuer.issuer.clone(), source })
        });
        of_names.into_iter().chain(of_keys).collect()
    }
}

impl Access {
    /// The table; what is wrong with it otherwise.
    pub fn new(options: &AccessOptions) -> Result<Self, AccessOptionsError> {
        let rate = Rate { per_second: options.rate, burst: options.burst };
        let principal = |name: &str, scopes, apps: &Grants| {
            let (name, apps, allowance) = (name.to_owned(), apps.clone(), Arc::new(Allowance::new(rate)));
            Arc::new(Principal { name, scopes, apps, allowance })
        };
        let (mut tokens, mut certificates) = (Owners::default(), Owners::default());
        for TokenOptions { name, sha256, scopes, apps, expires } in &options.tokens {
            tokens.add(sha256, principal(name, *scopes, apps), *expires)?;
        }
        for CertificateOptions { name, sha256, scopes, apps } in &options.certificates {
            certificates.add(sha256, principal(name, *scopes, apps), None)?;
        }
        check_names(options)?;
        let issuers = Issuers::new(&options.issuers, rate)?;
        Ok(Self { rate: options.rate, is_open: options.open, tokens, certificates, issuers })
    }

    /// Whether there is access control at all: someone is named.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.tokens.owners.is_empty() || !self.certificates.owners.is_empty() || !self.issuers.are_none()
    }

    /// Whether everyone may ask, whatever name they know this machine by.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The principal that the credentials are of, if they are good now and it may send another request. A token comes
    /// before a certificate.
    pub fn admit(
        &self,
        credentials: Credentials<'_>,
        certificate: Option<&ClientCertificate>,
        now: Timestamp,
    ) -> Result<Admission, Denied> {
        let admission = match credentials {
            Credentials::None => match certificate {
                None => return Err(Refusal::NoCredentials.into()),
                Some(certificate) => self.owner_of_certificate(certificate, now)?,
            },
            Credentials::Other => {
                return Err(bad("expected one header authorization: Bearer and a token").into());
            }
            Credentials::Bearer(token) if token.starts_with(TOKEN_PREFIX) => self.owner_of(token, now)?,
            Credentials::Bearer(token) => self.issuers.verify(token, now)?,
        };
        if admission.principal.allowance.take_request(Instant::now()) {
            return Ok(admission);
        }
        let refusal = Refusal::RateLimited { per_second: self.rate };
        Err(Denied { principal: Some(admission.principal), ..refusal.into() })
    }

    /// The same, after the keys of an issuer were read again where the one that signed the token is not known.
    pub async fn admit_with_new_keys(
        &self,
        credentials: Credentials<'_>,
        certificate: Option<&ClientCertificate>,
        clock: fn() -> Timestamp,
    ) -> Result<Admission, Denied> {
        match self.admit(credentials, certificate, clock()) {
            Err(Denied { stale_keys: Some(keys), .. }) => {
                keys.read_again().await;
                self.admit(credentials, certificate, clock())
            }
            admitted => admitted,
        }
    }

    /// A connection outlives the handshake that looked at its certificate.
    fn owner_of_certificate(
        &self,
        certificate: &ClientCertificate,
        now: Timestamp,
    ) -> Result<Admission, Refusal> {
        if certificate.until <= now {
            return Err(bad("the certificate has expired"));
        }
        let owner = self.certificates.find(&certificate.sha256, now)?;
        let owner = owner.ok_or(bad("the certificate is not known"))?;
        Ok(Admission { until: Some(certificate.until), ..owner })
    }

    fn owner_of(&self, token: &str, now: Timestamp) -> Result<Admission, Refusal> {
        if !is_token(token) {
            return Err(bad("the token was cut off or mistyped, as its checksum does not fit"));
        }
        self.tokens.find(&token_hash(token), now)?.ok_or(bad("the token is not known"))
    }

    /// Reads keys of issuers again that were read so long ago. Called now and then.
    pub async fn refresh(&self, after: Duration) {
        self.issuers.refresh(after).await;
    }
}

impl Owners {
    fn add(
        &mut self,
        hash: &[u8; 32],
        principal: Arc<Principal>,
        expires: Option<Timestamp>,
    ) -> Result<(), AccessOptionsError> {
        let twice = |what| Err(AccessOptionsError::Twice { what, name: principal.name.clone() });
        if self.hashes.contains(hash) {
            return twice("sha256");
        }
        self.hashes.push(*hash);
        self.owners.push(Admission { principal, until: expires });
        Ok(())
    }

    fn find(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Admission>, Refusal> {
        let owner = find(self.hashes.iter(), hash).and_then(|place| self.owners.get(place));
        if owner.is_some_and(|owner| owner.until.is_some_and(|until| until <= now)) {
            return Err(bad("the token has expired"));
        }
        Ok(owner.cloned())
    }
}

/// A refusal, and whose request it was where that is known.
#[derive(Debug)]
pub struct Denied {
    /// Why.
    pub refusal: Refusal,
    /// Whose request.
    pub principal: Option<Arc<Principal>>,
    /// Keys that may be read again ([`KeySet::read_again`]) before it is final, as the one that signed is not among them.
    pub stale_keys: Option<Arc<KeySet>>,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, principal: None, stale_keys: None }
    }
}

impl From<TokenRefused> for Denied {
    fn from(TokenRefused { refusal, stale }: TokenRefused) -> Self {
        Self { refusal, principal: None, stale_keys: stale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::new_token;

    fn owner(name: &str, seed: u8, expires: Option<i64>) -> TokenOptions {
        TokenOptions {
            name: name.to_owned(),
            sha256: token_hash(&new_token([seed; 32])),
            scopes: [AccessScope::Read].into_iter().collect(),
            apps: Grants::All,
            expires: expires.map(Timestamp::from_millis),
        }
    }

    fn table(tokens: Vec<TokenOptions>) -> Result<Access, AccessOptionsError> {
        Access::new(&AccessOptions { tokens, rate: 1, burst: 2, ..AccessOptions::default() })
    }

    fn admitted(access: &Access, token: &str, at: i64) -> Result<String, Refusal> {
        let admitted = access.admit(Credentials::Bearer(token), None, Timestamp::from_millis(at));
        admitted.map(|admission| admission.principal.name.clone()).map_err(|denied| denied.refusal)
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let access = table(vec![owner("a", 1, None), owner("b", 2, Some(10))]).unwrap();
        assert_eq!(admitted(&access, &new_token([1; 32]), 100), Ok("a".to_owned()));
        assert_eq!(admitted(&access, &new_token([2; 32]), 9), Ok("b".to_owned()));
        assert_eq!(admitted(&access, &new_token([2; 32]), 10), Err(bad("the token has expired")));
        assert_eq!(admitted(&access, &new_token([3; 32]), 0), Err(bad("the token is not known")));
        let cut = &new_token([1; 32])[..40];
        assert!(admitted(&access, cut, 0).unwrap_err().to_string().contains("cut off"));
        let denied = access.admit(Credentials::None, None, Timestamp::from_millis(0)).unwrap_err();
        assert_eq!(denied.refusal, Refusal::NoCredentials);
    }

    #[test]
    fn a_principal_is_limited_by_itself() {
        let access = table(vec![owner("a", 1, None), owner("b", 2, None)]).unwrap();
        let ask = |seed| admitted(&access, &new_token([seed; 32]), 0);
        assert!(ask(1).is_ok() && ask(1).is_ok());
        assert_eq!(ask(1), Err(Refusal::RateLimited { per_second: 1 }));
        assert!(ask(2).is_ok());
    }

    #[test]
    fn two_entries_of_one_name_or_token_are_refused() {
        let refused = |tokens| table(tokens).unwrap_err().to_string();
        assert!(refused(vec![owner("a", 1, None), owner("b", 1, None)]).starts_with("sha256 of b"));
        assert!(refused(vec![owner("a", 1, None), owner("a", 2, None)]).starts_with("the name of a"));
        assert!(refused(vec![owner("a via b", 1, None)]).contains("via"));
        assert!(!table(Vec::new()).unwrap().is_on());
        let certificate = CertificateOptions {
            name: "a".to_owned(),
            sha256: [1; 32],
            scopes: Scopes::default(),
            apps: Grants::All,
        };
        let (tokens, certificates) = (vec![owner("a", 1, None)], vec![certificate]);
        let both = Access::new(&AccessOptions { tokens, certificates, ..AccessOptions::default() });
        assert!(both.unwrap_err().to_string().starts_with("the name of a"));
    }

    #[test]
    fn credentials_are_one_bearer_token() {
        let of =
            |values: &[&'static str]| Credentials::from_headers(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]), Credentials::None);
        assert_eq!(of(&["Bearer rl_x"]), Credentials::Bearer("rl_x"));
        assert_eq!(of(&["bearer  rl_x "]), Credentials::Bearer("rl_x"));
        for other in [&["Basic YTpi"][..], &["Bearer"], &["Bearer "], &["rl_x"], &["Bearer a", "Bearer a"]] {
            assert_eq!(of(other), Credentials::Other, "{other:?}");
        }
    }
}
