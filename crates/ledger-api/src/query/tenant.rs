//! The installations of one tenant.

use ledger_core::ids::{AppKey, ClientKey};
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{FreshnessJson, InstallationState, Located, QueryError, Reading, TenantAsOf};

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
pub struct InstallationAnswer<T = InstallationState> {
    /// Its state.
    pub installation: T,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

/// All installations of a tenant, by app key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantAnswer<T = InstallationState> {
    /// Their states.
    pub installations: Vec<T>,
    /// Of the shard that has the tenant.
    pub freshness: Vec<FreshnessJson>,
}

impl InstallationQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        _: LineSink<'_>,
    ) -> Result<InstallationAnswer, QueryError> {
        let Self { client, app, as_of } = self;
        let Located { shard, row } = reading.found(client, as_of.known)?;
        let viewpoint = as_of.viewpoint(reading.now);
        let tenant = TenantAsOf::new(reading, shard, client, row, viewpoint)?;
        let unknown = || {
            let error = QueryError::UnknownInstallation { client: client.clone(), app: app.clone() };
            reading.not_found_in(shard.id, error)
        };
        let state = tenant.state(reading, shard, client, app, viewpoint.at)?;
        let installation = state.ok_or_else(unknown)?;
        Ok(InstallationAnswer { installation, freshness: vec![reading.freshness_of(shard)?] })
    }
}

impl TenantQuery {
    /// A tenant that is known and had none then has an empty answer.
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<TenantAnswer, QueryError> {
        let Self { client, as_of } = self;
        let Located { shard, row } = reading.found(client, as_of.known)?;
        let viewpoint = as_of.viewpoint(reading.now);
        let tenant = TenantAsOf::new(reading, shard, client, row, viewpoint)?;
        let installations = tenant.states(reading, shard, client, viewpoint.at)?;
        if installations.is_empty() {
            reading.ready_in(shard.id)?;
        }
        Ok(TenantAnswer { installations, freshness: vec![reading.freshness_of(shard)?] })
    }
}
