//! Why an installation is where it is, in sentences and as data.

use ledger_core::explain::{Explanation, explain};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::json::explanation::ExplanationJson;
use serde::{Serialize, Serializer};

use super::answer::ExplanationAnswer;
use super::error::QueryError;
use super::filter::AsOf;
use super::past::{Instant, Past, cut};
use super::reading::Reading;
use super::shards::{Located, moments};
use super::{Ledger, freshness};

/// An explanation. Serialises as sentences and facts, each with the records it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained(pub Explanation);

impl Serialize for Explained {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ExplanationJson::of(&self.0).serialize(serializer)
    }
}

impl Ledger {
    /// Why an installation is where it is. Before its first event there is none, here as in a question for its state.
    pub fn explain(
        &self,
        client: &ClientKey,
        app: &AppKey,
        as_of: AsOf,
        now: Timestamp,
    ) -> Result<ExplanationAnswer, QueryError> {
        let parts = self.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = self.found(&moments, client, as_of.known, now)?;
        let (instant, reading) = (Instant::of(as_of, now), Reading::of(self));
        let cut = cut(moment, client, &row, instant.known)?;
        let past = Past::of(&reading, moment, client, row, instant)?;
        if !past.tenant.installations.contains_key(app) {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            return Err(self.not_found_in(moment.id, &moments, now, error));
        }
        let told = reading.history(moment, client, cut)?;
        let explanation = explain(&told.entries(), &told.apps, app, instant.at);
        Ok(ExplanationAnswer {
            explanation: Explained(explanation),
            freshness: vec![freshness::of(moment, now)?],
        })
    }
}
