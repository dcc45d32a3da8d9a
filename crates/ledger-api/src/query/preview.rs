//! The decision that an install would get.

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::preview::preview;
use ledger_core::realm::Realm;
use ledger_core::state::{Decision, Status};
use ledger_store::KnowledgeCut;
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{FreshnessJson, Located, QueryError, Reading, ShardSnapshot, TenantAsOf};

/// "If it were installed now."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewQuery {
    /// Who would install.
    #[serde(rename = "clientKey", with = "text")]
    pub client: ClientKey,
    /// What would be installed.
    #[serde(rename = "appKey", with = "text")]
    pub app: AppKey,
    /// Where the product would be; as known unless given.
    #[serde(with = "text")]
    pub product_realm: Option<Realm>,
    /// When, and by what was known when.
    pub as_of: AsOf,
}

/// The decision that an install would get.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewAnswer<T = Decision> {
    /// The decision, without a seq.
    pub decision: T,
    /// Of the shard that answered.
    pub freshness: Vec<FreshnessJson>,
}

impl PreviewQuery {
    /// Nothing needs to be known of the tenant; of the app something. That it was never installed, every shard must
    /// have said that could know of it.
    pub(super) fn answer(&self, reading: &Reading<'_>, _: LineSink<'_>) -> Result<PreviewAnswer, QueryError> {
        let Self { client, app, product_realm, as_of } = self;
        let viewpoint = as_of.viewpoint(reading.now);
        let unknown = || reading.not_found(QueryError::UnknownApp { app: app.clone() });
        let is_seen = reading.ledger.grants.has(app);
        let (shard, decision) = if let Some(located) = reading.seen(client)? {
            reading.ready_for(viewpoint.known, &located)?;
            let Located { shard, row } = located;
            let tenant = TenantAsOf::new(reading, shard, client, row, viewpoint)?;
            let installation = tenant.tenant.installations.get(app);
            if installation.is_none_or(|installation| installation.status == Status::None) {
                reading.ready_in(shard.id)?;
            }
            // An app that is new to the tenant may have been published to other shards first.
            let (of_app, cut) = match (installation, tenant.cut) {
                (None, KnowledgeCut::Open | KnowledgeCut::AfterInstant(_)) => {
                    (shard_of_app(&reading.shards, app)?.filter(|_| is_seen).ok_or_else(unknown)?, tenant.cut)
                }
                (None, _) if !is_seen || shard.snapshot.app(app)?.is_none() => return Err(unknown()),
                _ => (shard, tenant.cut),
            };
            let timeline = reading.timeline(of_app, app, cut)?;
            let product = product_realm.or(tenant.tenant.product_realm);
            (shard, preview(installation, product, &timeline, viewpoint.at))
        } else {
            reading.ledger.note_missed(true);
            reading.ready()?;
            let shard = shard_of_app(&reading.shards, app)?.filter(|_| is_seen).ok_or_else(unknown)?;
            let timeline = reading.timeline(shard, app, shard.snapshot.cut(client, viewpoint.known)?)?;
            (shard, preview(None, *product_realm, &timeline, viewpoint.at))
        };
        let freshness = vec![reading.freshness_of(shard)?];
        Ok(PreviewAnswer { decision, freshness })
    }
}

/// Every partition has a copy of all app-level events; the one that has read most of them answers.
pub(crate) fn shard_of_app<'a>(
    shards: &'a [ShardSnapshot<'a>],
    app: &AppKey,
) -> Result<Option<&'a ShardSnapshot<'a>>, QueryError> {
    let mut best = None;
    for shard in shards {
        let Some(row) = shard.snapshot.app(app)? else { continue };
        if best.is_none_or(|(seq, _)| row.seq > seq) {
            best = Some((row.seq, shard));
        }
    }
    Ok(best.map(|(_, shard)| shard))
}
