//! Which installations have an id at Atlassian: asked of the ledger of this process, or of a server.

use std::sync::Arc;

use ledger_api::ledger::{FreshnessJson, Ledger};
use ledger_api::query::{AsOf, Cursor, InstallationQuery, Question, SearchQuery, no_lines};
use ledger_core::ids::{AppKey, ClientKey, InstallationKey};
use ledger_core::realm::Realm;
use ledger_gateway::{KnownInstallation, KnownInstallations, LookupFailed};
use ledger_record::json;
use ledger_record::key::NameKind;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::ask_error::AskError;
use crate::backend::{Completeness, FIRST_PAGE, Remote, ServerCredentials, lacks};
use crate::command::now;

/// The ledger of this process.
#[derive(Debug)]
pub(crate) struct LedgerInstallations(pub(crate) Arc<Ledger>);

/// A server.
#[derive(Debug)]
pub(crate) struct ServerInstallations {
    pub(crate) url: String,
    pub(crate) credentials: ServerCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    tenants: Vec<TenantLine>,
    #[serde(default)]
    refused: Vec<IgnoredAny>,
    next_cursor: Option<Cursor>,
    freshness: Vec<FreshnessJson>,
}

impl Found {
    /// Whether every shard that could have more was read to its end, and is fed.
    fn is_whole(&self) -> bool {
        self.refused.is_empty() && !self.freshness.is_empty() && !self.freshness.iter().any(lacks)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TenantLine {
    client_key: ClientKey,
    matches: Vec<Match>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    by: String,
    #[serde(default)]
    app_keys: Vec<AppKey>,
}

impl Match {
    fn is_by_id_of(&self, app: &AppKey) -> bool {
        self.by == NameKind::InstallationId.as_str() && self.app_keys.contains(app)
    }
}

#[derive(Deserialize)]
struct Shown {
    installation: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    pinned_realm: Option<Realm>,
    installation_id: Option<String>,
    successor: Option<InstallationKey>,
    predecessor: Option<InstallationKey>,
}

impl KnownInstallations for LedgerInstallations {
    fn with_id(&self, app: &AppKey, id: &str) -> Result<Vec<KnownInstallation>, LookupFailed> {
        with_id(app, id, &AskLedger(&self.0))
    }
}

impl KnownInstallations for ServerInstallations {
    fn with_id(&self, app: &AppKey, id: &str) -> Result<Vec<KnownInstallation>, LookupFailed> {
        let Self { url, credentials } = self;
        with_id(app, id, &Remote::new(url, Completeness::default(), credentials.clone()))
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
    let mut search = SearchQuery { q: id.to_owned(), page: FIRST_PAGE };
    let mut known = Vec::new();
    loop {
        let found: Found = read(asked, &search)?;
        if !found.is_whole() {
            let reason = "a shard is not read to its end, or a tenant is not answered for".to_owned();
            return Err(LookupFailed { reason });
        }
        let Found { tenants, next_cursor, .. } = found;
        let have_it =
            tenants.into_iter().filter(|tenant| tenant.matches.iter().any(|by| by.is_by_id_of(app)));
        for TenantLine { client_key: client, .. } in have_it {
            let question =
                InstallationQuery { client: client.clone(), app: app.clone(), as_of: AsOf::default() };
            let Shown { installation } = read(asked, &question)?;
            // A search sees what is dated ahead too.
            if installation.installation_id.as_deref() == Some(id) {
                let State { pinned_realm: realm, successor, predecessor, .. } = installation;
                let [successor, predecessor] = [successor, predecessor].map(|one| Some(one?.client));
                known.push(KnownInstallation { client, realm, successor, predecessor });
            }
        }
        if next_cursor.is_none() {
            return Ok(known);
        }
        search.page.cursor = next_cursor;
    }
}

fn read<T: DeserializeOwned>(
    asked: &impl Asked,
    question: &(impl Question + Clone),
) -> Result<T, LookupFailed> {
    let text = asked.answer(question).map_err(|error| LookupFailed { reason: error.to_string() })?;
    serde_json::from_str(&text)
        .map_err(|error| LookupFailed { reason: format!("the answer cannot be read: {error}") })
}

#[cfg(test)]
mod tests {
    use ledger_ingest::import::{ImportOptions, import};
    use ledger_ingest::placing::Placement;
    use ledger_ingest::text::Lines;
    use ledger_record::proof::line::LedgerSecret;
    use ledger_store::{Catalog, DataDir, Phase, Served, ShardStatus, StoreOptions};

    use super::*;

    #[test]
    fn an_installation_is_known_by_its_own_id_of_its_own_app() {
        let scratch = tempfile::tempdir().unwrap();
        let secret = LedgerSecret::from_bytes([7; 32]);
        let data = DataDir::open(scratch.path(), StoreOptions::default(), secret).unwrap();
        let installed = |day: u32, client: &str, app: &str, more: &str| {
            format!(
                r#"{{"id":"{day}","type":"installed","time":"2026-01-{day:02}T00:00:00Z","clientKey":"{client}","appKey":"{app}","endpointRealm":"EU",{more}}}"#
            )
        };
        let lines = [
            installed(1, "acme", "app", r#""installationId":"ari:1""#),
            installed(2, "of-another-app", "other", r#""installationId":"ari:1""#),
            installed(3, "by-entitlement", "app", r#""entitlementId":"ari:1""#),
            installed(4, "ari:1", "app", r#""installationId":"ari:10""#),
            installed(5, "before", "app", r#""installationId":"ari:1""#),
            installed(6, "before", "app", r#""installationId":"ari:2""#),
            r#"{"id":"7","type":"superseded","time":"2026-01-07T00:00:00Z","clientKey":"acme","appKey":"app","toClientKey":"cloud","evidence":"a ticket"}"#.to_owned(),
        ];
        let options = ImportOptions {
            source: "test".to_owned(),
            topic: "t".to_owned(),
            partitions: Some(1),
            placing: Placement::default(),
            accept_refusals: false,
            now: now(),
        };
        import(&data, Lines::new(lines.join("\n").as_bytes()), &options).unwrap();
        let (catalog, shard) = (Catalog::default(), data.shards().unwrap().remove(0));
        let status = Arc::new(ShardStatus::default());
        status.update(|now| (now.is_ours, now.phase, now.lag_events) = (true, Phase::Live, Some(0)));
        let reader = data.read_shard(&shard).unwrap();
        catalog.insert(shard.clone(), Served { reader, status: Arc::clone(&status) });
        let catching_up = Arc::clone(&status);
        let ledger = LedgerInstallations(Arc::new(Ledger::from_catalog(Arc::new(catalog))));
        let (app, client) = (AppKey::new("app").unwrap(), |key: &str| ClientKey::new(key).unwrap());
        let known = |id: &str| ledger.with_id(&app, id).unwrap();
        let acme = KnownInstallation {
            client: client("acme"),
            realm: Realm::parse("EU").ok(),
            successor: Some(client("cloud")),
            predecessor: None,
        };
        assert_eq!(known("ari:1"), [acme]);
        assert_eq!(known("ari:2").into_iter().map(|one| one.client).collect::<Vec<_>>(), [client("before")]);
        assert_eq!(known("ari:3"), []);
        catching_up.update(|now| now.phase = Phase::CatchingUp);
        assert!(ledger.with_id(&app, "ari:1").is_err(), "more may come");
    }
}
