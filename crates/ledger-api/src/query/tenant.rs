//! The installations of one tenant.

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{
    FreshnessJson, Ledger, Located, QueryError, Reading, State, TenantAsOf, freshness_of, moments,
};

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationQuery {
    /// The tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// The app.
    #[serde(rename = "appKey", with = "text")]
    pub app: AppKey,
    /// As of when.
    pub as_of: AsOf,
}

/// All installations of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantQuery {
    /// The tenant.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// As of when.
    pub as_of: AsOf,
}

/// One installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstallationAnswer<T = State> {
    /// Its state.
    pub installation: T,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// All installations of a tenant, by app key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantAnswer<T = State> {
    /// Their states.
    pub installations: Vec<T>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

impl InstallationQuery {
    pub(super) fn answer(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<InstallationAnswer, QueryError> {
        let Self { client, app, as_of } = self;
        let parts = ledger.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = ledger.found(&moments, client, as_of.known, now)?;
        let (viewpoint, reading) = (as_of.viewpoint(now), Reading::new(ledger));
        let tenant = TenantAsOf::new(&reading, moment, client, row, viewpoint)?;
        let unknown = || {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            ledger.not_found_in(moment.id, &moments, now, error)
        };
        let state = tenant.state(&reading, moment, client, app, viewpoint.at)?;
        let installation = state.ok_or_else(unknown)?;
        Ok(InstallationAnswer { installation, freshness: vec![freshness_of(moment, now)?] })
    }
}

impl TenantQuery {
    /// A tenant that is known and had none then has an empty answer.
    pub(super) fn answer(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<TenantAnswer, QueryError> {
        let Self { client, as_of } = self;
        let parts = ledger.shards.all();
        let moments = moments(&parts);
        let Located { moment, row } = ledger.found(&moments, client, as_of.known, now)?;
        let (viewpoint, reading) = (as_of.viewpoint(now), Reading::new(ledger));
        let tenant = TenantAsOf::new(&reading, moment, client, row, viewpoint)?;
        let installations = tenant.states(&reading, moment, client, viewpoint.at)?;
        if installations.is_empty() {
            ledger.ready_in(moment.id, &moments, now)?;
        }
        Ok(TenantAnswer { installations, freshness: vec![freshness_of(moment, now)?] })
    }
}
