//! Why an installation is where it is, in sentences and as data.

use ledger_core::explain::{Explanation, explain};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::tenant::Entry;
use ledger_record::json::time::format_instant;
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{FreshnessJson, Located, QueryError, Reading, Viewpoint, cut};

/// Why an installation is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainQuery {
    /// The tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// The app.
    #[serde(rename = "appKey", with = "text")]
    pub app: AppKey,
    /// As of when.
    pub as_of: AsOf,
}

/// Why an installation is where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplanationAnswer<T = Explanation> {
    /// In sentences and as data, each with the records it rests on.
    pub explanation: T,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

impl ExplainQuery {
    /// Before its first event there is none, here as in a question for its state.
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<ExplanationAnswer, QueryError> {
        let Self { client, app, as_of } = self;
        let Located { shard, row } = reading.found(client, as_of.known)?;
        let Viewpoint { at, known } = as_of.viewpoint(reading.now);
        let cut = cut(shard, client, &row, known)?;
        let history = reading.history(shard, client, cut).map_err(|error| shard.unread(error))?;
        let entries = history.entries();
        let is_of_app = |entry: &Entry<'_>| entry.event.time <= at && entry.event.app() == Some(app);
        if !reading.ledger.grants.has(app) || !entries.iter().any(is_of_app) {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            return Err(reading.not_found_in(shard.id, error));
        }
        let explanation = explain(&entries, &history.apps, app, at, &format_instant);
        Ok(ExplanationAnswer { explanation, freshness: vec![reading.freshness_of(shard)?] })
    }
}
