//! The decision that an install would get.

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::preview::preview;
use ledger_core::realm::Realm;
use ledger_core::state::{Decision, Status};
use ledger_core::time::Timestamp;
use ledger_store::KnowledgeCut;
use serde::{Deserialize, Serialize};

use super::parameters::text;
use super::{AsOf, LineSink};
use crate::ledger::{
    FreshnessJson, Ledger, Located, QueryError, Reading, ShardSnapshot, TenantAsOf, cut, freshness_of,
    locate, moments,
};

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
    pub(super) fn answer(
        &self,
        ledger: &Ledger,
        now: Timestamp,
        _: LineSink<'_>,
    ) -> Result<PreviewAnswer, QueryError> {
        let Self { client, app, product_realm, as_of } = self;
        let parts = ledger.shards.all();
        let moments = moments(&parts);
        let viewpoint = as_of.viewpoint(now);
        let unknown = || ledger.not_found(&moments, now, QueryError::UnknownApp { app: app.clone() });
        let reading = Reading::new(ledger);
        let (moment, decision) = if let Some(located) = locate(&moments, client)? {
            ledger.ready_for(viewpoint.known, &located, &moments, now)?;
            let Located { moment, row } = located;
            let cut = cut(moment, client, &row, viewpoint.known)?;
            let tenant = TenantAsOf::new(&reading, moment, client, row, viewpoint)?;
            let installation = tenant.tenant.installations.get(app);
            if installation.is_none_or(|installation| installation.status == Status::None) {
                ledger.ready_in(moment.id, &moments, now)?;
            }
            // An app that is new to the tenant may have been published to other shards first.
            let (of_app, cut) = match (installation, cut) {
                (None, KnowledgeCut::Open | KnowledgeCut::AfterInstant(_)) => {
                    (shard_of_app(&moments, app)?.ok_or_else(unknown)?, cut)
                }
                (None, _) if moment.snapshot.app(app)?.is_none() => return Err(unknown()),
                _ => (moment, cut),
            };
            let timeline = reading.timeline(of_app, app, cut)?;
            let product = product_realm.or(tenant.tenant.product_realm);
            (moment, preview(installation, product, &timeline, viewpoint.at))
        } else {
            ledger.ready(&moments, now)?;
            let moment = shard_of_app(&moments, app)?.ok_or_else(unknown)?;
            let timeline = reading.timeline(moment, app, moment.snapshot.cut(client, viewpoint.known)?)?;
            (moment, preview(None, *product_realm, &timeline, viewpoint.at))
        };
        let freshness = vec![freshness_of(moment, now)?];
        Ok(PreviewAnswer { decision, freshness })
    }
}

/// Every partition has a copy of all app-level events; the one that has read most of them answers.
fn shard_of_app<'a>(
    moments: &'a [ShardSnapshot<'a>],
    app: &AppKey,
) -> Result<Option<&'a ShardSnapshot<'a>>, QueryError> {
    let mut best = None;
    for moment in moments {
        let Some(row) = moment.snapshot.app(app)? else { continue };
        if best.is_none_or(|(seq, _)| row.seq > seq) {
            best = Some((row.seq, moment));
        }
    }
    Ok(best.map(|(_, moment)| moment))
}
