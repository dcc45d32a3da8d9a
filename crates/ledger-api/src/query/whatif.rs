//! What another policy would have meant (rules 8), over the whole log: shards at the same time, each swept
//! once, tenant by tenant.
//!
//! Only the gaps are kept, eight bytes for each reinstall. What is found on the way is told as it is found,
//! by whichever thread found it; whoever hears it can end the question.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use ledger_core::ids::ClientKey;
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_core::whatif::{Scope, WhatIf};
use ledger_record::json::whatif::{DifferenceJson, WhatIfReportJson};
use ledger_store::{ReadError, TornTenant, entries};
use serde::Serialize;

use super::Ledger;
use super::answer::{FreshnessJson, RefusedTenant};
use super::error::{QueryError, span};
use super::replay::Step;
use super::shards::{Moment, Shards, moments};
use crate::limits::POLICIES_MAX;

/// Policies to be tried, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIfAsked {
    /// Side by side.
    pub policies: Vec<Policy>,
    /// What counts.
    pub scope: Scope,
    /// Tell every installation that would be elsewhere.
    pub differences: bool,
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

/// A line of an answer that is told while it is found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Line<'a> {
    /// How far it is.
    Progress(Progress),
    /// An installation that would be elsewhere.
    Difference(&'a DifferenceJson<'a>),
    /// A record, and what was believed after it.
    Step(&'a Step<'a>),
    /// What one policy would have meant.
    Report(&'a WhatIfReportJson),
    /// A tenant that is left out.
    Refused(&'a RefusedTenant),
    /// The end: how fresh the answer is.
    Freshness(&'a [FreshnessJson]),
}

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Records done.
    pub records: u64,
    /// Of so many.
    pub total: u64,
}

/// Hears lines, from several threads; whether to go on.
pub type Tell<'t> = &'t (dyn Fn(&Line<'_>) -> ControlFlow<()> + Sync);

/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 8192;

impl Ledger {
    /// What the policies would have meant. Progress and differences are told while they are found.
    pub fn what_if(
        &self,
        asked: &WhatIfAsked,
        now: Timestamp,
        tell: Tell<'_>,
    ) -> Result<WhatIfAnswer, QueryError> {
        let given = asked.policies.len();
        if !(1..=POLICIES_MAX).contains(&given) {
            return Err(QueryError::Policies { given, most: POLICIES_MAX });
        }
        span(asked.scope.from, asked.scope.to)?;
        let parts = self.shards.all();
        let moments = moments(&parts);
        self.known_app(asked.scope.app.as_ref(), &moments, now)?;
        let mut total = 0;
        for moment in &moments {
            total += records_of_tenants(moment)?;
        }
        given_up(tell(&Line::Progress(Progress { records: 0, total })))?;
        let torn: BTreeMap<_, _> = self
            .shards
            .torn()?
            .page(None, usize::MAX)
            .into_iter()
            .map(|torn| (torn.client.clone(), torn))
            .collect();
        let threads = self.threads().min(moments.len());
        let sweep = Sweep { asked, torn: &torn, tell, total, done: AtomicU64::new(0), threads };
        let Swept { whatif, tenants, records } = sweep.all(&moments)?;
        let reports = whatif.reports().iter().map(WhatIfReportJson::of).collect();
        let refused = torn.values().map(RefusedTenant::from).collect();
        let freshness = self.freshness_of(&moments, now);
        Ok(WhatIfAnswer { reports, tenants, records, refused, freshness })
    }

    /// The same, all of it as lines; the last tells how fresh it is.
    pub fn what_if_lines(
        &self,
        asked: &WhatIfAsked,
        now: Timestamp,
        tell: Tell<'_>,
    ) -> Result<(), QueryError> {
        let answer = self.what_if(asked, now, tell)?;
        let reports = answer.reports.iter().map(Line::Report);
        let refused = answer.refused.iter().map(Line::Refused);
        for line in reports.chain(refused).chain([Line::Freshness(&answer.freshness)]) {
            if tell(&line).is_break() {
                return Err(QueryError::GivenUp);
            }
        }
        Ok(())
    }
}

impl Ledger {
    /// As many as there are cores; where a server takes events in beside it, one is left to that.
    fn threads(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let left = usize::from(matches!(*self.shards, Shards::Served(_)));
        cores.saturating_sub(left).max(1)
    }
}

/// One sweep over all shards.
struct Sweep<'a> {
    asked: &'a WhatIfAsked,
    torn: &'a BTreeMap<ClientKey, TornTenant>,
    tell: Tell<'a>,
    total: u64,
    done: AtomicU64,
    threads: usize,
}

/// What was found so far.
struct Swept {
    whatif: WhatIf,
    tenants: u64,
    records: u64,
}

impl Sweep<'_> {
    /// Every shard, as many at a time as there are threads for it.
    fn all(&self, moments: &[Moment<'_>]) -> Result<Swept, QueryError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut swept = self.nothing();
            while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.one(moment, &mut swept)?;
            }
            Ok::<_, QueryError>(swept)
        };
        let mut all = self.nothing();
        let found = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        for swept in found {
            let Swept { whatif, tenants, records } = swept?;
            all.whatif.merge(&whatif);
            all.tenants += tenants;
            all.records += records;
        }
        self.progress(self.total)?;
        Ok(all)
    }

    fn nothing(&self) -> Swept {
        let whatif = WhatIf::new(&self.asked.policies).limited_to(self.asked.scope.clone());
        Swept { whatif, tenants: 0, records: 0 }
    }

    fn one(&self, moment: &Moment<'_>, swept: &mut Swept) -> Result<(), QueryError> {
        let apps = moment.snapshot.app_timelines()?;
        let mut histories = moment.snapshot.histories()?;
        let mut untold = 0;
        while let Some((client, events)) = histories.advance()? {
            untold += events.len() as u64;
            if untold >= PROGRESS_EVERY {
                let done = self.done.fetch_add(untold, Ordering::Relaxed) + untold;
                self.progress(done.min(self.total))?;
                untold = 0;
            }
            let scope = &self.asked.scope;
            let concerned =
                events.iter().any(|event| event.event.app().is_some_and(|app| scope.has_app(app)));
            if !concerned || self.torn.contains_key(client) {
                continue;
            }
            swept.tenants += 1;
            swept.records += events.len() as u64;
            if !self.asked.differences {
                swept.whatif.take(&entries(events), &apps);
                continue;
            }
            let mut told = ControlFlow::Continue(());
            swept.whatif.take_comparing(&entries(events), &apps, &mut |found| {
                if told.is_continue() {
                    told = (self.tell)(&Line::Difference(&DifferenceJson::of(client, &found)));
                }
            });
            given_up(told)?;
        }
        Ok(())
    }

    fn progress(&self, records: u64) -> Result<(), QueryError> {
        given_up((self.tell)(&Line::Progress(Progress { records, total: self.total })))
    }
}

/// How many records a sweep over the tenants comes upon: all but refusals, seals and those of apps.
fn records_of_tenants(moment: &Moment<'_>) -> Result<u64, ReadError> {
    let head = moment.snapshot.head()?;
    let mut others = head.refused + moment.snapshot.last_seal()?.map_or(0, |seal| seal.seq);
    for app in moment.snapshot.apps()? {
        others += app?.1.seq;
    }
    Ok(head.next_position.saturating_sub(others))
}

fn given_up(told: ControlFlow<()>) -> Result<(), QueryError> {
    if told.is_break() { Err(QueryError::GivenUp) } else { Ok(()) }
}
