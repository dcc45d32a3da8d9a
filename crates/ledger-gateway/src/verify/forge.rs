//! Forge invocation tokens: which installation, of which tenant, and what its licence is.
//!
//! Only what the token says counts. The body of a call is not signed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use jsonwebtoken::dangerous::insecure_decode_claims;
use ledger_api::access::{KeySet, KeySetError, check_signatures_here};
use ledger_core::ids::ClientKey;
use serde::Deserialize;

use super::token_ids::{TokenIds, UsedId};
use super::{Refusal, token};
use crate::limits::ISOLATED_CLOUDS_MAX;

const ISSUER: &str = "forge/invocation-token";
const LABEL: &str = "{icLabel}";
const LABEL_MAX_BYTES: usize = 50;

/// What an invocation token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForgeToken {
    /// The cloud id of the site.
    pub(crate) client: ClientKey,
    /// An ARI.
    pub(crate) installation: String,
    pub(crate) site_url: Option<String>,
    pub(crate) actor: Option<String>,
    /// The kind of module that makes the call.
    pub(crate) module: Option<String>,
    pub(crate) license: Option<License>,
}

/// What a token says of the licence. None at all says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct License {
    pub(crate) is_active: bool,
    pub(crate) entitlement: Option<String>,
}

/// The keys of invocation tokens.
#[derive(Debug)]
pub(crate) struct ForgeKeys {
    sets: Vec<Arc<KeySet>>,
    /// Where isolated clouds have theirs.
    template: Option<String>,
    isolated: Mutex<BTreeMap<String, Arc<KeySet>>>,
    token_ids: TokenIds,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvocationClaims {
    jti: Option<String>,
    app: ForgeApp,
    context: Option<SiteContext>,
    principal: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForgeApp {
    installation_id: String,
    module: Option<ForgeModule>,
    installation: Option<ForgeInstallation>,
    license: Option<LicenseClaim>,
}

#[derive(Deserialize)]
struct ForgeModule {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct ForgeInstallation {
    #[serde(default)]
    contexts: Vec<SiteContext>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SiteContext {
    cloud_id: Option<String>,
    site_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LicenseClaim {
    active: Option<bool>,
    ccp_entitlement_id: Option<String>,
}

impl ForgeKeys {
    /// Reads the key sets. A file has to be there; a URL that does not answer is asked again later.
    pub(crate) fn new(places: &[String]) -> Result<Self, KeySetError> {
        check_signatures_here();
        let (templates, plain): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.contains(LABEL));
        let sets =
            plain.into_iter().map(|place| KeySet::new(place).map(Arc::new)).collect::<Result<_, _>>()?;
        let template = templates.first().map(|template| (*template).clone());
        Ok(Self { sets, template, isolated: Mutex::default(), token_ids: TokenIds::default() })
    }

    /// Reads sets again that were read so long ago, those of isolated clouds too.
    pub(crate) async fn refresh(&self, after: Duration) {
        let isolated: Vec<_> =
            self.isolated.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for set in self.sets.iter().chain(&isolated) {
            set.refresh(after).await;
        }
    }

    /// What a token for this app proves. Its id is used where that is asked for.
    pub(crate) async fn verify(
        &self,
        token: &str,
        forge_app: Option<&String>,
        once: bool,
    ) -> Result<(ForgeToken, Option<UsedId>), Refusal> {
        let forge_app = forge_app.ok_or(Refusal::WrongAudience)?;
        let id = token::key_id(token)?;
        let mut last = Refusal::UnknownKey;
        for set in self.sets_for(token).await? {
            let key = match find(&set, &id).await {
                Ok(key) => key,
                Err(refusal) => {
                    last = refusal;
                    continue;
                }
            };
            let claims: InvocationClaims = token::claims(token, &key, &[forge_app], Some(ISSUER))?;
            let used =
                once.then(|| self.token_ids.take(claims.jti.as_deref(), Instant::now())).transpose()?;
            return Ok((claims.proven()?, used));
        }
        Err(last)
    }

    /// The key sets that can have the key of a token. The label of an isolated cloud is the one claim that is looked at
    /// before the signature is: it fills a place in a URL that is configured, if it is harmless there.
    async fn sets_for(&self, token: &str) -> Result<Vec<Arc<KeySet>>, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct UncheckedLabel {
            ic_label: Option<String>,
        }
        let unchecked: UncheckedLabel = insecure_decode_claims(token).map_err(|_| Refusal::MalformedToken)?;
        let Some(label) = unchecked.ic_label else { return Ok(self.sets.clone()) };
        let template = self.template.as_ref().filter(|_| is_label(&label)).ok_or(Refusal::BadLabel)?;
        let lock = || self.isolated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = lock().get(&label) {
            return Ok(vec![Arc::clone(set)]);
        }
        if lock().len() >= ISOLATED_CLOUDS_MAX {
            return Err(Refusal::BadLabel);
        }
        let place = template.replace(LABEL, &label);
        let read = tokio::task::spawn_blocking(move || KeySet::new(&place)).await;
        let set = read.ok().and_then(Result::ok).ok_or(Refusal::KeysUnavailable)?;
        Ok(vec![Arc::clone(lock().entry(label).or_insert_with(|| Arc::new(set)))])
    }
}

/// A key of a set. One that is not in it is unknown once the set was read anew, and before that nobody can tell.
async fn find(set: &Arc<KeySet>, id: &str) -> Result<Arc<jsonwebtoken::DecodingKey>, Refusal> {
    if let Some(key) = set.find(Some(id), Algorithm::RS256) {
        return Ok(key);
    }
    let readings = set.readings();
    set.read_again().await;
    let refusal = if set.readings() > readings { Refusal::UnknownKey } else { Refusal::KeysUnavailable };
    set.find(Some(id), Algorithm::RS256).ok_or(refusal)
}

fn is_label(label: &str) -> bool {
    let is_harmless = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=LABEL_MAX_BYTES).contains(&label.len()) && label.bytes().all(is_harmless)
}

impl ForgeToken {
    /// The kind of module that makes the call, however it is spelt.
    pub(crate) fn module(&self) -> Option<&str> {
        self.module.as_deref().map(|module| module.trim_start_matches("core:"))
    }

    /// Whether the app is about to be uninstalled: such a call is no sign that it is there.
    pub(crate) fn is_of_uninstall(&self) -> bool {
        self.module() == Some("preUninstall")
    }
}

impl InvocationClaims {
    fn proven(self) -> Result<ForgeToken, Refusal> {
        let contexts = self.app.installation.map(|installation| installation.contexts).unwrap_or_default();
        let site_url = self.context.as_ref().and_then(|context| context.site_url.clone());
        let cloud_id = self.context.into_iter().chain(contexts).find_map(|context| context.cloud_id);
        let client = cloud_id.and_then(|id| ClientKey::new(id).ok()).ok_or(Refusal::NoTenant)?;
        if self.app.installation_id.is_empty() {
            return Err(Refusal::NoTenant);
        }
        let license = self.app.license.and_then(|license| {
            Some(License { is_active: license.active?, entitlement: license.ccp_entitlement_id })
        });
        Ok(ForgeToken {
            client,
            installation: self.app.installation_id,
            site_url,
            actor: self.principal.filter(|actor| !actor.is_empty()),
            module: self.app.module.and_then(|module| module.kind),
            license,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn proven(claims: &str) -> Result<ForgeToken, Refusal> {
        serde_json::from_str::<InvocationClaims>(claims).unwrap().proven()
    }

    #[test]
    fn the_tenant_is_the_cloud_id_of_the_context_or_else_of_the_installation() {
        let of_context = proven(
            r#"{"app":{"installationId":"ari:1","installation":{"contexts":[{"cloudId":"b"}]},
                "license":{"active":true,"ccpEntitlementId":"e"},"module":{"type":"core:trigger"}},
                "context":{"cloudId":"a","siteUrl":"https://a.atlassian.net"},"principal":"me"}"#,
        );
        let expected = ForgeToken {
            client: ClientKey::new("a").unwrap(),
            installation: "ari:1".to_owned(),
            site_url: Some("https://a.atlassian.net".to_owned()),
            actor: Some("me".to_owned()),
            module: Some("core:trigger".to_owned()),
            license: Some(License { is_active: true, entitlement: Some("e".to_owned()) }),
        };
        assert_eq!(of_context, Ok(expected));
        let of_installation =
            proven(r#"{"app":{"installationId":"ari:1","installation":{"contexts":[{"name":"x"},{"cloudId":"b"}]},"license":{"isActive":false}}}"#).unwrap();
        assert_eq!((of_installation.client.as_str(), of_installation.license), ("b", None));
        assert_eq!(proven(r#"{"app":{"installationId":"ari:1"}}"#), Err(Refusal::NoTenant));
        assert_eq!(
            proven(r#"{"app":{"installationId":"ari:1"},"context":{"cloudId":""}}"#),
            Err(Refusal::NoTenant)
        );
    }

    /// Two sets of RFC 7517: one has a key that the other lacks.
    #[tokio::test]
    async fn keys_that_were_taken_back_are_gone_after_the_next_reading() {
        const KEY: &str = r#"{"kty":"RSA","kid":"KID","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}"#;
        let set = |kid: &str| format!(r#"{{"keys":[{}]}}"#, KEY.replace("KID", kid));
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        for name in ["plain", "cloud-a"] {
            std::fs::write(path(name), set("old")).unwrap();
        }
        let keys = ForgeKeys::new(&[path("plain"), path("cloud-{icLabel}")]).unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"icLabel":"a"}"#);
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let isolated = keys.sets_for(&format!("{header}.{claims}.x")).await.unwrap();
        let all = [&keys.sets[0], &isolated[0]];
        let has = |kid| all.map(|set| set.find(Some(kid), Algorithm::RS256).is_some());
        for name in ["plain", "cloud-a"] {
            std::fs::write(path(name), set("new")).unwrap();
        }
        keys.refresh(Duration::from_mins(5)).await;
        assert_eq!((has("old"), has("new")), ([true; 2], [false; 2]), "they were just read");
        keys.refresh(Duration::ZERO).await;
        assert_eq!((has("old"), has("new")), ([false; 2], [true; 2]));
    }

    #[test]
    fn labels_are_harmless_in_a_url() {
        for good in ["a", "ic-1_b", &"x".repeat(50)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "A", "a.b", "a/b", "a%", "ü", &"x".repeat(51)] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
