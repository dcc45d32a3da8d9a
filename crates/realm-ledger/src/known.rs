//! Which installations have an id at Atlassian: asked of the ledger of this process, or of a server.

use std::fmt;
use std::sync::Arc;

use ledger_api::ledger::Ledger;
use ledger_api::query::{Cursor, Filter, InstallationsQuery, Page, Question, no_lines};
use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::realm::Realm;
use ledger_gateway::{KnownInstallation, KnownInstallations, LookupFailed};
use ledger_record::json;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ask_error::AskError;
use crate::backend::{Completeness, Remote};
use crate::command::now;

/// Installations of an app that are looked at, by pages: there is no index by installation id to ask.
const PAGES_MAX: usize = 100;
const PAGE: u64 = 1000;

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
#[serde(rename_all = "camelCase")]
struct Listed {
    installations: Vec<State>,
    next_cursor: Option<Cursor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    client_key: ClientKey,
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
    let filter = Filter { app: Some(app.clone()), ..Filter::default() };
    let page = Page { cursor: None, limit: Some(PAGE) };
    let mut question = InstallationsQuery { filter, page, ..InstallationsQuery::default() };
    let mut known = Vec::new();
    for _ in 0..PAGES_MAX {
        let Listed { installations, next_cursor } = read(asked, &question)?;
        let with_id = installations.into_iter().filter(|state| state.installation_id.as_deref() == Some(id));
        known.extend(with_id.map(|state| KnownInstallation {
            client: state.client_key,
            realm: state.pinned_realm,
            successor: state.successor.map(|successor| successor.client),
        }));
        if next_cursor.is_none() {
            return Ok(known);
        }
        question.page.cursor = next_cursor;
    }
    Err(LookupFailed { reason: format!("{app} has more installations than can be looked at one by one") })
}

fn read<T: DeserializeOwned>(
    asked: &impl Asked,
    question: &(impl Question + Clone),
) -> Result<T, LookupFailed> {
    let text = asked.answer(question).map_err(|error| LookupFailed { reason: error.to_string() })?;
    serde_json::from_str(&text)
        .map_err(|error| LookupFailed { reason: format!("the answer cannot be read: {error}") })
}
