//! What another policy would have meant (rules 8), over the whole log: shards at the same time, each scanned
//! once, tenant by tenant.
//!
//! Only the gaps are kept, eight bytes for each reinstall. What is found on the way is sent as it is found, by the
//! thread that found it; the sink can end the question.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_core::whatif::{PolicyReport, WhatIf, WhatIfScope};
use ledger_core::words::read_text;
use ledger_record::json::policy::{GivenPolicy, InvalidPolicyDays};
use ledger_record::json::time::parse_instant;
use ledger_store::{HistoryEvent, ReadError, TornTenant, entries};
use serde::{Deserialize, Deserializer, Serialize};

use super::line::{self, PROGRESS_EVERY};
use super::{AnswerLine, LineSink, ScanProgress};
use crate::ledger::{
    FreshnessJson, Ledger, QueryError, Reading, RefusedTenant, ShardSnapshot, Shards, check_span,
};
use crate::limits::POLICIES_MAX;

/// Policies to be tried, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GivenWhatIf")]
pub struct WhatIfQuery {
    /// Side by side.
    pub policies: Vec<Policy>,
    /// What counts.
    #[serde(rename = "")]
    pub scope: WhatIfScope,
    /// Send every installation that would be elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub differences: bool,
}

/// The body of the request, read strictly: a member with a typing error would be ignored otherwise.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a JSON object")]
struct GivenWhatIf<'a> {
    policies: Vec<GivenPolicy>,
    app_key: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "instant")]
    from: Option<Timestamp>,
    #[serde(default, deserialize_with = "instant")]
    to: Option<Timestamp>,
    #[serde(default)]
    differences: bool,
}

/// Why a question cannot be asked so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum InvalidWhatIf {
    #[error(transparent)]
    Days(#[from] InvalidPolicyDays),
    #[error("an app key is 1 to 255 bytes of UTF-8 without control characters")]
    AppKey,
}

impl TryFrom<GivenWhatIf<'_>> for WhatIfQuery {
    type Error = InvalidWhatIf;

    fn try_from(given: GivenWhatIf<'_>) -> Result<Self, InvalidWhatIf> {
        let GivenWhatIf { policies, app_key, from, to, differences } = given;
        let policies = policies.into_iter().map(Policy::try_from).collect::<Result<_, _>>()?;
        let app = app_key.as_deref().map(AppKey::new).transpose().map_err(|_| InvalidWhatIf::AppKey)?;
        Ok(Self { policies, scope: WhatIfScope { app, from, to, granted: None }, differences })
    }
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    struct Instant(Timestamp);

    impl<'de> Deserialize<'de> for Instant {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            read_text(from, parse_instant).map(Self)
        }
    }

    Ok(Option::<Instant>::deserialize(from)?.map(|instant| instant.0))
}

/// What the policies would have meant.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIfAnswer {
    /// One for each policy.
    pub reports: Vec<PolicyReport>,
    /// Tenants that were folded.
    pub tenants: u64,
    /// Records that were folded: of these tenants, and of the apps that were asked for and are seen.
    pub records: u64,
    /// Tenants that are left out, as no shard has their whole history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTenant>,
    /// Of every shard.
    pub freshness: Vec<FreshnessJson>,
}

impl WhatIfQuery {
    pub(super) fn answer(
        &self,
        reading: &Reading<'_>,
        sink: LineSink<'_>,
    ) -> Result<WhatIfAnswer, QueryError> {
        let given = self.policies.len();
        if !(1..=POLICIES_MAX).contains(&given) {
            return Err(QueryError::Policies { given, most: POLICIES_MAX });
        }
        check_span(self.scope.from, self.scope.to)?;
        reading.known_app(self.scope.app.as_ref())?;
        let mut total = 0;
        for shard in &reading.shards {
            total += records_of_tenants(shard)?;
        }
        line::send(sink, &AnswerLine::Progress(ScanProgress { records: 0, total }))?;
        let mut torn = BTreeMap::new();
        for tenant in reading.ledger.shards.torn()?.page(None, usize::MAX) {
            // What is not seen does not count, so it need not be left out.
            if reading.sees_some_of(&tenant)? {
                torn.insert(tenant.client.clone(), tenant);
            }
        }
        let threads = threads(reading.ledger).min(reading.shards.len());
        let scope = WhatIfScope { granted: reading.ledger.grants.apps().cloned(), ..self.scope.clone() };
        let done = AtomicU64::new(0);
        let scan = FullScan { asked: self, scope: &scope, torn: &torn, sink, total, done, threads };
        let Scanned { whatif, tenants, records } = scan.all(&reading.shards)?;
        let reports = whatif.reports();
        let refused = torn.values().map(RefusedTenant::from).collect();
        let freshness = reading.freshness();
        Ok(WhatIfAnswer { reports, tenants, records, refused, freshness })
    }
}

/// As many as there are cores; where a server takes events in beside it, one is left to that.
fn threads(ledger: &Ledger) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let left = usize::from(matches!(*ledger.shards, Shards::Served(_)));
    cores.saturating_sub(left).max(1)
}

/// One scan of all shards.
struct FullScan<'a> {
    asked: &'a WhatIfQuery,
    /// What counts, for who asks.
    scope: &'a WhatIfScope,
    torn: &'a BTreeMap<ClientKey, TornTenant>,
    sink: LineSink<'a>,
    total: u64,
    done: AtomicU64,
    threads: usize,
}

/// What was found so far.
struct Scanned {
    whatif: WhatIf,
    tenants: u64,
    records: u64,
}

impl FullScan<'_> {
    /// Every shard, as many at a time as there are threads for it.
    fn all(&self, shards: &[ShardSnapshot<'_>]) -> Result<Scanned, QueryError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scanned = self.nothing();
            while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.one(shard, &mut scanned)?;
            }
            Ok::<_, QueryError>(scanned)
        };
        let mut all = self.nothing();
        let found = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        for scanned in found {
            let Scanned { whatif, tenants, records } = scanned?;
            all.whatif.merge(&whatif);
            all.tenants += tenants;
            all.records += records;
        }
        self.progress(self.total)?;
        Ok(all)
    }

    fn nothing(&self) -> Scanned {
        let whatif = WhatIf::new(&self.asked.policies).limited_to(self.scope.clone());
        Scanned { whatif, tenants: 0, records: 0 }
    }

    fn one(&self, shard: &ShardSnapshot<'_>, scanned: &mut Scanned) -> Result<(), QueryError> {
        let apps = shard.snapshot.app_timelines()?;
        let mut histories = shard.snapshot.histories()?;
        let mut uncounted = 0;
        while let Some((client, events)) = histories.advance()? {
            uncounted += events.len() as u64;
            if uncounted >= PROGRESS_EVERY {
                let done = self.done.fetch_add(uncounted, Ordering::Relaxed) + uncounted;
                self.progress(done.min(self.total))?;
                uncounted = 0;
            }
            let scope = self.scope;
            let affected = events.iter().any(|event| event.event.app().is_some_and(|app| scope.has_app(app)));
            if !affected || self.torn.contains_key(client) {
                continue;
            }
            scanned.tenants += 1;
            // Those of apps that do not count are not counted either.
            let counts = |event: &&HistoryEvent| event.event.app().is_none_or(|app| scope.has_app(app));
            scanned.records += events.iter().filter(counts).count() as u64;
            if !self.asked.differences {
                scanned.whatif.apply(&entries(events), &apps);
                continue;
            }
            let mut sent = Ok(());
            scanned.whatif.apply_comparing(&entries(events), &apps, &mut |found| {
                if sent.is_ok() {
                    sent = line::send(self.sink, &AnswerLine::Difference(&found));
                }
            });
            sent?;
        }
        Ok(())
    }

    fn progress(&self, records: u64) -> Result<(), QueryError> {
        line::send(self.sink, &AnswerLine::Progress(ScanProgress { records, total: self.total }))
    }
}

/// How many records a scan of the tenants comes upon: all but refusals, seals and those of apps.
fn records_of_tenants(shard: &ShardSnapshot<'_>) -> Result<u64, ReadError> {
    let head = shard.snapshot.head()?;
    let mut others = head.refused + shard.snapshot.last_seal()?.map_or(0, |seal| seal.seq);
    for app in shard.snapshot.apps()? {
        others += app?.1.seq;
    }
    Ok(head.next_position.saturating_sub(others))
}

#[cfg(test)]
mod tests {
    use ledger_record::json;

    use super::*;

    #[test]
    fn a_question_comes_back_as_it_was_asked() {
        let policies = vec![Policy::Days { days: 30 }, Policy::Subscription { grace_days: 0 }];
        let app = Some(AppKey::new("com.example.app").unwrap());
        let scope = WhatIfScope { app, from: Some(Timestamp::from_millis(0)), ..WhatIfScope::default() };
        let asked = WhatIfQuery { policies, scope, differences: true };
        let text = json::to_string(&asked).unwrap();
        assert_eq!(
            text,
            r#"{"policies":[{"mode":"days","days":30},{"mode":"subscription","graceDays":0}],"appKey":"com.example.app","from":"1970-01-01T00:00:00.000Z","differences":true}"#
        );
        assert_eq!(serde_json::from_str::<WhatIfQuery>(&text).unwrap(), asked);
        assert!(serde_json::from_str::<WhatIfQuery>(r#"{"policies":[],"apKey":"a"}"#).is_err());
    }
}
