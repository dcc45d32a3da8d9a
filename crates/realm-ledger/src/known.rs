//! Which installations have an id at Atlassian: asked of the ledger of this process, or of a server.

use std::fmt;
use std::sync::Arc;

use ledger_api::ledger::Ledger;
use ledger_api::query::{AsOf, InstallationQuery, Page, Question, SearchQuery, no_lines};
use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::realm::Realm;
use ledger_gateway::{KnownInstallation, KnownInstallations, LookupFailed};
use ledger_record::json;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ask_error::AskError;
use crate::backend::{Completeness, Remote};
use crate::command::now;

/// Tenants that share an installation id, at most: more than one is a rare thing.
const TENANTS_MAX: u64 = 100;

/// The ledger of this process.
#[derive(Debug)]
pub(crate) struct LedgerInstallations(pub(crate) Arc<Ledger>);

/// A server.
pub(crate) struct ServerInstallations {
    url: String,
    token: Option<String>,
}

impl ServerInstallations {
    pub(crate) const fn new(url: String, token: Option<String>) -> Self {
        Self { url, token }
    }
}

/// Without the token.
impl fmt::Debug for ServerInstallations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerInstallations").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Found {
    tenants: Vec<FoundTenant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundTenant {
    client_key: ClientKey,
    app_keys: Vec<AppKey>,
}

#[derive(Deserialize)]
struct One {
    installation: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    pinned_realm: Option<Realm>,
    installation_id: Option<String>,
    successor: Option<InstallationKey>,
}

impl KnownInstallations for LedgerInstallations {
    fn with_id(&self, app: &AppKey, id: &str) -> Result<Vec<KnownInstallation>, LookupFailed> {
        with_id(app, id, &AskLedger(&self.0))
    }
}

impl KnownInstallations for ServerInstallations {
    fn with_id(&self, app: &AppKey, id: &str) -> Result<Vec<KnownInstallation>, LookupFailed> {
        let failed = |error: AskError| LookupFailed { reason: error.to_string() };
        let server = Remote::new(&self.url, Completeness::default()).with_token(self.token.as_deref());
        with_id(app, id, &server.map_err(failed)?)
    }
}

/// Answers a question as JSON.
trait Asked {
    fn answer<Q: Question + Clone>(&self, question: &Q) -> Result<String, AskError>;
}

struct AskLedger<'l>(&'l Ledger);

impl Asked for AskLedger<'_> {
    fn answer<Q: Question + Clone>(&self, question: &Q) -> Result<String, AskError> {
        let answer = self.0.answer(&question.clone().into(), now(), &no_lines)?;
        json::to_string(&answer).map_err(|source| AskError::NotAnAnswer { source })
    }
}

impl Asked for Remote {
    fn answer<Q: Question + Clone>(&self, question: &Q) -> Result<String, AskError> {
        self.ask(question)
    }
}

fn with_id(app: &AppKey, id: &str, asked: &impl Asked) -> Result<Vec<KnownInstallation>, LookupFailed> {
    let page = Page { cursor: None, limit: Some(TENANTS_MAX) };
    let found: Found = read(asked, &SearchQuery { q: id.to_owned(), page })?;
    let mut known = Vec::new();
    for FoundTenant { client_key: client, .. } in found.tenants.into_iter().filter(|tenant| tenant.app_keys.contains(app)) {
        let question = InstallationQuery { client: client.clone(), app: app.clone(), as_of: AsOf::default() };
        let One { installation } = read(asked, &question)?;
        if installation.installation_id.as_deref() == Some(id) {
            let successor = installation.successor.map(|successor| successor.client);
            known.push(KnownInstallation { client, realm: installation.pinned_realm, successor });
        }
    }
    Ok(known)
}

fn read<T: DeserializeOwned>(asked: &impl Asked, question: &(impl Question + Clone)) -> Result<T, LookupFailed> {
    let text = asked.answer(question).map_err(|error| LookupFailed { reason: error.to_string() })?;
    serde_json::from_str(&text).map_err(|error| LookupFailed { reason: format!("the answer cannot be read: {error}") })
}
