//! Why an installation is where it is, in sentences and as data.

use ledger_core::explain::{Explanation, explain};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use ledger_record::json::time::format_instant;
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{
    FreshnessJson, Ledger, Located, QueryError, Reading, TenantAsOf, cut, freshness_of, moments,
};

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
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<ExplanationAnswer, QueryError> {
        let Self { client, app, as_of } = self;
        let parts = ledger.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = ledger.found(&moments, client, as_of.known, now)?;
        let (viewpoint, reading) = (as_of.viewpoint(now), Reading::new(ledger));
        let cut = cut(moment, client, &row, viewpoint.known)?;
        let past = TenantAsOf::new(&reading, moment, client, row, viewpoint)?;
        if !past.tenant.installations.contains_key(app) {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            return Err(ledger.not_found_in(moment.id, &moments, now, error));
        }
        let history = reading.history(moment, client, cut)?;
        let explanation = explain(&history.entries(), &history.apps, app, viewpoint.at, &format_instant);
        Ok(ExplanationAnswer { explanation, freshness: vec![freshness_of(moment, now)?] })
    }
}
