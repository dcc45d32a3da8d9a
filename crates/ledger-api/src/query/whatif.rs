//! What another policy would have meant (rules 8), over the whole log: shards at the same time, each scanned
//! once, tenant by tenant.
//!
//! Only the gaps are kept, eight bytes for each reinstall. What is found on the way is sent as it is found, by the
//! thread that found it; the sink can end the question.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use ledger_core::ids::ClientKey;
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_core::whatif::{Scope as Counted, WhatIf};
use ledger_record::json::whatif::{DifferenceJson, InvalidWhatIf, WhatIfReportJson, WhatIfRequestJson};
use ledger_store::{ReadError, TornTenant, entries};
use serde::{Deserialize, Serialize, Serializer};

use super::line::{self, PROGRESS_EVERY};
use super::{AnswerLine, LineSink, Progress};
use crate::ledger::{FreshnessJson, Ledger, QueryError, RefusedTenant, ShardSnapshot, Shards, moments, span};
use crate::limits::POLICIES_MAX;

/// Policies to be tried, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WhatIfRequestJson")]
pub struct WhatIfQuery {
    /// Side by side.
    pub policies: Vec<Policy>,
    /// What counts.
    pub scope: Counted,
    /// Send every installation that would be elsewhere.
    pub differences: bool,
}

impl Serialize for WhatIfQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WhatIfRequestJson::of(&self.policies, &self.scope, self.differences).serialize(serializer)
    }
}

impl TryFrom<WhatIfRequestJson<'_>> for WhatIfQuery {
    type Error = InvalidWhatIf;

    fn try_from(read: WhatIfRequestJson<'_>) -> Result<Self, InvalidWhatIf> {
        Ok(Self { policies: read.policies()?, scope: read.scope()?, differences: read.differences })
    }
}

/// What the policies would have meant.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIfAnswer {
    /// One for each policy.
    pub reports: Vec<WhatIfReportJson>,
    /// Tenants that were folded.
    pub tenants: u64,
    /// Records that were folded.
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
        ledger: &Ledger,
        now: Timestamp,
        sink: LineSink<'_>,
    ) -> Result<WhatIfAnswer, QueryError> {
        let given = self.policies.len();
        if !(1..=POLICIES_MAX).contains(&given) {
            return Err(QueryError::Policies { given, most: POLICIES_MAX });
        }
        span(self.scope.from, self.scope.to)?;
        let parts = ledger.shards.all();
        let moments = moments(&parts);
        ledger.known_app(self.scope.app.as_ref(), &moments, now)?;
        let mut total = 0;
        for moment in &moments {
            total += records_of_tenants(moment)?;
        }
        line::send(sink, &AnswerLine::Progress(Progress { records: 0, total }))?;
        let torn: BTreeMap<_, _> = ledger
            .shards
            .torn()?
            .page(None, usize::MAX)
            .into_iter()
            .map(|torn| (torn.client.clone(), torn))
            .collect();
        let threads = threads(ledger).min(moments.len());
        let scan = FullScan { asked: self, torn: &torn, sink, total, done: AtomicU64::new(0), threads };
        let Scanned { whatif, tenants, records } = scan.all(&moments)?;
        let reports = whatif.reports().iter().map(WhatIfReportJson::of).collect();
        let refused = torn.values().map(RefusedTenant::from).collect();
        let freshness = ledger.freshness_of(&moments, now);
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
    fn all(&self, moments: &[ShardSnapshot<'_>]) -> Result<Scanned, QueryError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scanned = self.nothing();
            while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.one(moment, &mut scanned)?;
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
        let whatif = WhatIf::new(&self.asked.policies).limited_to(self.asked.scope.clone());
        Scanned { whatif, tenants: 0, records: 0 }
    }

    fn one(&self, moment: &ShardSnapshot<'_>, scanned: &mut Scanned) -> Result<(), QueryError> {
        let apps = moment.snapshot.app_timelines()?;
        let mut histories = moment.snapshot.histories()?;
        let mut uncounted = 0;
        while let Some((client, events)) = histories.advance()? {
            uncounted += events.len() as u64;
            if uncounted >= PROGRESS_EVERY {
                let done = self.done.fetch_add(uncounted, Ordering::Relaxed) + uncounted;
                self.progress(done.min(self.total))?;
                uncounted = 0;
            }
            let scope = &self.asked.scope;
            let affected = events.iter().any(|event| event.event.app().is_some_and(|app| scope.has_app(app)));
            if !affected || self.torn.contains_key(client) {
                continue;
            }
            scanned.tenants += 1;
            scanned.records += events.len() as u64;
            if !self.asked.differences {
                scanned.whatif.take(&entries(events), &apps);
                continue;
            }
            let mut sent = Ok(());
            scanned.whatif.take_comparing(&entries(events), &apps, &mut |found| {
                if sent.is_ok() {
                    sent = line::send(self.sink, &AnswerLine::Difference(DifferenceJson::of(client, &found)));
                }
            });
            sent?;
        }
        Ok(())
    }

    fn progress(&self, records: u64) -> Result<(), QueryError> {
        line::send(self.sink, &AnswerLine::Progress(Progress { records, total: self.total }))
    }
}

/// How many records a scan of the tenants comes upon: all but refusals, seals and those of apps.
fn records_of_tenants(moment: &ShardSnapshot<'_>) -> Result<u64, ReadError> {
    let head = moment.snapshot.head()?;
    let mut others = head.refused + moment.snapshot.last_seal()?.map_or(0, |seal| seal.seq);
    for app in moment.snapshot.apps()? {
        others += app?.1.seq;
    }
    Ok(head.next_position.saturating_sub(others))
}
