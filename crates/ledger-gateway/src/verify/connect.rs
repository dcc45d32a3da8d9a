//! Connect's install tokens, which Atlassian signs; and whose the tokens are that only the app can check.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::Uri;
use jsonwebtoken::dangerous::insecure_decode_claims;
use ledger_core::ids::ClientKey;
use serde::Deserialize;

use super::install_keys::InstallKeys;
use super::{Refusal, qsh, token};
use crate::limits::LEEWAY;

/// Whose token it is: proven of an install token; of another, if the app says that it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectToken {
    pub(crate) client: ClientKey,
    /// The account that did it.
    pub(crate) actor: Option<String>,
}

/// The request that a token has to be signed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedRequest<'c> {
    pub(crate) method: &'c str,
    pub(crate) uri: &'c Uri,
    /// Where the app takes this hook: what Atlassian signed, when something in front of the gateway changed the path.
    pub(crate) path_at_app: &'c str,
    pub(crate) audiences: &'c [String],
}

#[derive(Deserialize)]
struct InstallClaims {
    iss: String,
    /// Seconds.
    exp: f64,
    aud: Audiences,
    qsh: Option<String>,
    sub: Option<String>,
    context: Option<InstallContext>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct InstallContext {
    user: Option<InstallUser>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstallUser {
    account_id: Option<String>,
}

impl InstallClaims {
    fn actor(&self) -> Option<String> {
        let account = || self.context.as_ref()?.user.as_ref()?.account_id.clone();
        self.sub.clone().or_else(account).filter(|actor| !actor.is_empty())
    }

    fn client(&self) -> Result<ClientKey, Refusal> {
        ClientKey::new(self.iss.as_str()).map_err(|_| Refusal::NoTenant)
    }

    /// What is wrong with them, whoever signed them.
    fn check(&self, request: SignedRequest<'_>, audiences: &[String]) -> Result<(), Refusal> {
        if !self.audiences().iter().any(|audience| audiences.contains(audience)) {
            return Err(Refusal::WrongAudience);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.exp + LEEWAY.as_secs_f64() < now.as_secs_f64() {
            return Err(Refusal::Expired);
        }
        if self.is_for(request) { Ok(()) } else { Err(Refusal::WrongQueryHash) }
    }

    fn audiences(&self) -> &[String] {
        match &self.aud {
            Audiences::One(one) => std::slice::from_ref(one),
            Audiences::Many(many) => many,
        }
    }

    /// Whether the token was signed for this request: for its own path or that of the hook at the app, below the base URL
    /// that it is for.
    fn is_for(&self, request: SignedRequest<'_>) -> bool {
        let Some(qsh) = &self.qsh else { return false };
        let query = request.uri.query().unwrap_or_default();
        let bases = self
            .audiences()
            .iter()
            .filter_map(|base| Some(base.parse::<Uri>().ok()?.path().trim_end_matches('/').to_owned()));
        let bases: Vec<String> = bases.collect();
        [request.uri.path(), request.path_at_app].into_iter().any(|path| {
            let below = bases.iter().map(|base| path.strip_prefix(base.as_str()).unwrap_or(path));
            below.chain([path]).any(|path| qsh::query_hash(request.method, path, query) == *qsh)
        })
    }
}

impl InstallKeys {
    /// What a token proves that came with this request.
    pub(crate) async fn verify(
        &self,
        token: &str,
        request: SignedRequest<'_>,
    ) -> Result<ConnectToken, Refusal> {
        let id = token::key_id(token)?;
        let trimmed = request.audiences.iter().map(|url| url.trim_end_matches('/'));
        let audiences: Vec<String> = trimmed.flat_map(|url| [url.to_owned(), format!("{url}/")]).collect();
        if audiences.is_empty() {
            return Err(Refusal::WrongAudience);
        }
        // By its own word first: a key server is asked for no token that is refused whatever the key is.
        let claimed: InstallClaims = insecure_decode_claims(token).map_err(|_| Refusal::MalformedToken)?;
        claimed.check(request, &audiences)?;
        let key = self.find(&id).await?;
        let claims: InstallClaims = token::claims(token, &key, &audiences, None)?;
        self.believe(&id);
        Ok(ConnectToken { client: claims.client()?, actor: claims.actor() })
    }
}

/// Whose token it says it is. Nothing of it is checked here: only the app has the secret.
pub(crate) fn app_token(token: &str) -> Result<ConnectToken, Refusal> {
    #[derive(Deserialize)]
    struct UncheckedIssuer {
        iss: String,
        sub: Option<String>,
    }
    let claims: UncheckedIssuer = insecure_decode_claims(token).map_err(|_| Refusal::MalformedToken)?;
    let client = ClientKey::new(claims.iss.as_str()).map_err(|_| Refusal::NoTenant)?;
    Ok(ConnectToken { client, actor: claims.sub.filter(|actor| !actor.is_empty()) })
}
