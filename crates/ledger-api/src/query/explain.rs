//! Why an installation is where it is, in sentences.

use ledger_core::explain::{Explanation, explain};
use ledger_core::ids::{AppKey, ClientKey, EventId};
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use ledger_store::Known;
use serde::{Serialize, Serializer};

use super::answer::ExplanationAnswer;
use super::error::QueryError;
use super::shards::{Located, moments};
use super::{Ledger, freshness};

/// An explanation. Serialises as sentences, each with the records it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained(pub Explanation);

#[derive(Serialize)]
struct ExplanationJson<'a> {
    sentences: Vec<SentenceJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentenceJson<'a> {
    text: String,
    /// Of the tenant.
    seqs: &'a [u64],
    /// Ids of app-level events, which have no seq of the tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    app_events: Vec<&'a str>,
}

impl Serialize for Explained {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sentences = self.0.statements.iter().map(|statement| SentenceJson {
            text: statement.sentence(&format_instant),
            seqs: &statement.seqs,
            app_events: statement.app_events.iter().map(EventId::as_str).collect(),
        });
        ExplanationJson { sentences: sentences.collect() }.serialize(serializer)
    }
}

impl Ledger {
    /// Why an installation is where it is. Before its first event the answer says just that.
    pub fn explain(
        &self,
        client: &ClientKey,
        app: &AppKey,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<ExplanationAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client)?;
        if !row.tenant.installations.contains_key(app) {
            return Err(QueryError::UnknownInstallation { client: client.clone(), app: app.clone() });
        }
        let history = moment.snapshot.history(client, Known::All)?;
        let explanation = explain(&history.entries(), &history.apps, app, at.unwrap_or(now));
        Ok(ExplanationAnswer {
            explanation: Explained(explanation),
            freshness: vec![freshness::of(moment, now)?],
        })
    }
}
