//! "What if another policy had been in force?" (rules 8): the same fold with that policy for every
//! installation, following expectation, beside the actual one.
//!
//! Tenants are applied one by one, in any order; only the gaps between uninstall and reinstall are kept,
//! as the percentiles need them all. They are those of the actual fold: whether an app is installed does not
//! depend on the policy, only where it goes does.
//!
//! Beside the counts, [`WhatIf::apply_comparing`] names each installation of which another answer would be given
//! than is, at the first record where the two folds part: in the realm, in the rule of the last decision, in the
//! end of the window.
//!
//! Spans are milliseconds here, and days in the JSON that the types derive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::event::Body;
use crate::fold::FoldMode;
use crate::fold::install::are_different;
use crate::history::in_order;
use crate::ids::{AppKey, ClientKey};
use crate::limits::{DAY_MS, HOUR_MS};
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{AnomalyCode, Decision, Installation, Rule, Status, Window};
use crate::tenant::{Entry, Tenant};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;
use crate::words;

/// An uninstall that raised one of these changed nothing.
const IGNORED_UNINSTALLS: [AnomalyCode; 2] =
    [AnomalyCode::UninstallOvertaken, AnomalyCode::UninstallOfAnotherInstallation];

/// The lengths, in days, for which a report tells how many gaps are no longer.
pub const GAP_DAYS: [u32; 7] = [1, 7, 14, 30, 60, 90, 365];

/// The lengths, in hours, at which a histogram of gaps is divided; the last bin has no upper end.
const BIN_HOURS: [i64; 17] =
    [1, 6, 24, 48, 72, 120, 168, 240, 336, 504, 720, 1080, 1440, 2160, 2880, 4320, 8760];

/// Policies tried on tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    scope: WhatIfScope,
    tallies: Vec<PolicyTally>,
    gaps_ms: Vec<i64>,
}

/// What counts. The whole history is folded in any case: an uninstall before the span opens a gap that a
/// reinstall within it closes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WhatIfScope {
    /// Only installations of this app.
    #[serde(rename = "appKey")]
    pub app: Option<AppKey>,
    /// Only installations of these apps, for someone who sees no others; none: of all.
    #[serde(skip)]
    pub granted: Option<Arc<BTreeSet<AppKey>>>,
    /// Only what happened at this instant or later.
    pub from: Option<Timestamp>,
    /// Only what happened before this instant.
    pub to: Option<Timestamp>,
}

/// An installation of which something would be otherwise under a policy, at the first record where it would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyDifference<'a> {
    /// The policy.
    pub policy: Policy,
    /// The tenant.
    #[serde(rename = "clientKey")]
    pub client: &'a ClientKey,
    /// The app.
    #[serde(rename = "appKey")]
    pub app: &'a AppKey,
    /// The record.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What it is, after the record.
    pub actual: PolicyOutcome,
    /// What it would be.
    pub supposed: PolicyOutcome,
    /// What differs here for the first time, in the order of [`Aspect`].
    pub differs: Vec<Aspect>,
}

words! {
    /// What of an installation is compared.
    pub enum Aspect {
        /// Where it is pinned.
        Pin = "pin",
        /// By which rule it was last decided.
        Rule = "rule",
        /// Whether an uninstall opened a window, and its end.
        Window = "window",
    }
}

/// What a record left an installation with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PolicyOutcome {
    /// Where it is pinned; absent when unknown.
    #[serde(rename = "pinnedRealm")]
    pub pinned: Option<Realm>,
    /// The rule of the last decision.
    pub rule: Option<Rule>,
    /// The window of the last uninstall.
    pub window: Option<Window>,
    /// The decision of this record, if it made one.
    pub decision: Option<Decision>,
}

/// What one policy made of the reinstalls so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PolicyTally {
    policy: Policy,
    persisted: u64,
    moved: u64,
}

/// What one policy would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub policy: Policy,
    /// Installs of what had been uninstalled.
    pub reinstalls: u64,
    /// Those that came back to their realm because the window was open.
    pub persisted: u64,
    /// Those expected in another realm than the one known before.
    pub moved: u64,
    /// From the uninstall to the reinstall; none without reinstalls.
    pub gaps: Option<ReinstallGaps>,
}

/// The gaps between uninstall and reinstall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReinstallGaps {
    /// Half of them are no longer.
    #[serde(rename = "p50Days", serialize_with = "in_days")]
    pub p50_ms: i64,
    /// Nine in ten are no longer.
    #[serde(rename = "p90Days", serialize_with = "in_days")]
    pub p90_ms: i64,
    /// All but one in a hundred are no longer.
    #[serde(rename = "p99Days", serialize_with = "in_days")]
    pub p99_ms: i64,
    /// The longest.
    #[serde(rename = "maxDays", serialize_with = "in_days")]
    pub max_ms: i64,
    /// How many are no longer than each of [`GAP_DAYS`].
    pub shares: [GapShare; GAP_DAYS.len()],
    /// All of them by length, shortest first.
    pub bins: [GapBin; BIN_HOURS.len() + 1],
}

/// The gaps longer than the bin before, and no longer than this one's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GapBin {
    /// The end; none for the last.
    #[serde(rename = "upToDays", serialize_with = "in_days_if_any")]
    pub up_to_ms: Option<i64>,
    /// How many.
    pub count: u64,
}

/// How many gaps are no longer than some days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GapShare {
    /// The days.
    pub days: u32,
    /// From 0 to 1.
    pub share: f64,
}

impl WhatIfScope {
    fn has(&self, app: &AppKey, at: Timestamp) -> bool {
        self.has_app(app) && self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// Whether the installations of an app count.
    #[must_use]
    pub fn has_app(&self, app: &AppKey) -> bool {
        self.app.as_ref().is_none_or(|only| only == app)
            && self.granted.as_ref().is_none_or(|apps| apps.contains(app))
    }
}

impl WhatIf {
    /// Nothing tried yet, and everything counts.
    #[must_use]
    pub fn new(policies: &[Policy]) -> Self {
        let tally = |policy: &Policy| PolicyTally { policy: *policy, persisted: 0, moved: 0 };
        Self {
            scope: WhatIfScope::default(),
            tallies: policies.iter().map(tally).collect(),
            gaps_ms: Vec::new(),
        }
    }

    /// The same, and only this counts.
    #[must_use]
    pub fn limited_to(self, scope: WhatIfScope) -> Self {
        Self { scope, ..self }
    }

    /// Tries the policies on a tenant, from its records in any order.
    pub fn apply(&mut self, entries: &[Entry<'_>], apps: &AppTimelines) {
        self.try_on(entries, apps, None);
    }

    /// As [`Self::apply`], and reports the differences: for each policy at most one of an installation and aspect.
    pub fn apply_comparing(
        &mut self,
        entries: &[Entry<'_>],
        apps: &AppTimelines,
        report: &mut dyn FnMut(PolicyDifference<'_>),
    ) {
        self.try_on(entries, apps, Some(DifferenceFinder { report, reported: BTreeSet::new() }));
    }

    fn try_on<'a>(
        &mut self,
        entries: &[Entry<'a>],
        apps: &AppTimelines,
        mut differences: Option<DifferenceFinder<'a, '_>>,
    ) {
        let mut actual = Tenant::default();
        let mut supposed = vec![Tenant::default(); self.tallies.len()];
        let mut uninstalled_at = BTreeMap::new();
        for entry in in_order(entries, Timestamp::MAX) {
            let was_uninstalled = entry.event.app().is_some_and(|app| is_uninstalled(&actual, app));
            let effects = actual.apply(entry, apps, FoldMode::Actual);
            let anomalies = effects.as_ref().map_or(&[][..], |effects| &effects.anomalies);
            if anomalies.iter().any(|code| IGNORED_UNINSTALLS.contains(code)) {
                continue;
            }
            let decided = effects.as_ref().and_then(|effects| effects.decision);
            let app = entry.event.app().filter(|app| was_uninstalled != is_uninstalled(&actual, app));
            let reinstalled =
                app.is_some_and(|app| self.note_gap(&mut uninstalled_at, app, entry.event.time));
            for (place, tenant) in supposed.iter_mut().enumerate() {
                let tally = &mut self.tallies[place];
                let effects = tenant.apply(entry, apps, FoldMode::WhatIf(tally.policy));
                let decision = effects.and_then(|effects| effects.decision);
                if let Some(decision) = decision.filter(|_| reinstalled) {
                    tally.count(&decision);
                }
                if let Some(differences) = &mut differences
                    && let Body::Installation { client, app, .. } = &entry.event.body
                    && self.scope.has(app, entry.event.time)
                {
                    let found = PolicyDifference {
                        policy: tally.policy,
                        client,
                        app,
                        seq: entry.seq,
                        at: entry.event.time,
                        actual: PolicyOutcome::new(&actual, app, decided),
                        supposed: PolicyOutcome::new(tenant, app, decision),
                        differs: Vec::new(),
                    };
                    differences.compare(place, found);
                }
            }
        }
    }

    /// An uninstall opens a gap, a reinstall closes it. Whether it was a reinstall that counts.
    fn note_gap<'a>(
        &mut self,
        uninstalled_at: &mut BTreeMap<&'a AppKey, Timestamp>,
        app: &'a AppKey,
        at: Timestamp,
    ) -> bool {
        let Some(since) = uninstalled_at.remove(app) else {
            uninstalled_at.insert(app, at);
            return false;
        };
        if !self.scope.has(app, at) {
            return false;
        }
        self.gaps_ms.push(at.millis_since(since));
        true
    }

    /// Adds what was found on other tenants under the same policies.
    pub fn merge(&mut self, other: &Self) {
        for (tally, more) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.persisted += more.persisted;
            tally.moved += more.moved;
        }
        self.gaps_ms.extend_from_slice(&other.gaps_ms);
    }

    /// One report per policy, in the order they were given.
    #[must_use]
    pub fn reports(mut self) -> Vec<PolicyReport> {
        self.gaps_ms.sort_unstable();
        let gaps = gaps(&self.gaps_ms);
        let reinstalls = self.gaps_ms.len() as u64;
        let report = |tally: &PolicyTally| PolicyReport {
            policy: tally.policy,
            reinstalls,
            persisted: tally.persisted,
            moved: tally.moved,
            gaps: gaps.clone(),
        };
        self.tallies.iter().map(report).collect()
    }
}

/// Reports the first difference of each installation, for each policy.
struct DifferenceFinder<'a, 'r> {
    report: &'r mut dyn FnMut(PolicyDifference<'_>),
    reported: BTreeSet<(usize, &'a AppKey, Aspect)>,
}

impl<'a> DifferenceFinder<'a, '_> {
    fn compare(&mut self, policy: usize, mut found: PolicyDifference<'a>) {
        let PolicyDifference { actual, supposed, app, .. } = found;
        let end = |outcome: &PolicyOutcome| outcome.window.map(|window| window.end);
        let differs = [
            (Aspect::Pin, actual.pinned != supposed.pinned),
            (Aspect::Rule, actual.rule != supposed.rule),
            (Aspect::Window, end(&actual) != end(&supposed)),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect);
        found.differs.extend(differing.filter(|aspect| self.reported.insert((policy, app, *aspect))));
        if !found.differs.is_empty() {
            (self.report)(found);
        }
    }
}

impl PolicyOutcome {
    fn new(tenant: &Tenant, app: &AppKey, decision: Option<Decision>) -> Self {
        let state = tenant.installations.get(app);
        Self {
            pinned: state.and_then(Installation::pinned_realm),
            rule: state.and_then(|state| state.decision).map(|decision| decision.rule),
            window: state.and_then(|state| state.window),
            decision,
        }
    }
}

impl PolicyTally {
    fn count(&mut self, decision: &Decision) {
        self.persisted += u64::from(decision.rule == Rule::Persisted);
        self.moved += u64::from(are_different(decision.expected_realm, decision.previous_realm));
    }
}

fn is_uninstalled(tenant: &Tenant, app: &AppKey) -> bool {
    tenant.installations.get(app).is_some_and(|state| state.status == Status::Uninstalled)
}

fn gaps(sorted_ms: &[i64]) -> Option<ReinstallGaps> {
    let max_ms = *sorted_ms.last()?;
    let shares = GAP_DAYS.map(|days| {
        let count = sorted_ms.partition_point(|gap_ms| *gap_ms <= i64::from(days) * DAY_MS);
        GapShare { days, share: share(count, sorted_ms.len()) }
    });
    let [p50_ms, p90_ms, p99_ms] = [50, 90, 99].map(|percent| nearest_rank(sorted_ms, percent));
    Some(ReinstallGaps { p50_ms, p90_ms, p99_ms, max_ms, shares, bins: bins(sorted_ms) })
}

#[expect(clippy::cast_precision_loss, reason = "counts of reinstalls are far below 2^52")]
fn share(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

#[expect(clippy::cast_precision_loss, reason = "a span of event times is far below 2^52 milliseconds")]
fn days(span_ms: i64) -> f64 {
    span_ms as f64 / DAY_MS as f64
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn in_days<S: Serializer>(span_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    days(*span_ms).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn in_days_if_any<S: Serializer>(span_ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    span_ms.map(days).serialize(serializer)
}

fn bins(sorted_ms: &[i64]) -> [GapBin; BIN_HOURS.len() + 1] {
    let mut before = 0;
    std::array::from_fn(|at| {
        let up_to_ms = BIN_HOURS.get(at).map(|hours| hours * HOUR_MS);
        let end = up_to_ms
            .map_or(sorted_ms.len(), |up_to_ms| sorted_ms.partition_point(|gap_ms| *gap_ms <= up_to_ms));
        let count = (end - before) as u64;
        before = end;
        GapBin { up_to_ms, count }
    })
}

/// The smallest value that so many percent do not exceed; of at least one value.
fn nearest_rank(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_is_in_one_bin() {
        let gaps = [0, HOUR_MS, HOUR_MS + 1, 30 * DAY_MS, 30 * DAY_MS + 1, 365 * DAY_MS, 366 * DAY_MS];
        let filled: Vec<(Option<i64>, u64)> = bins(&gaps)
            .iter()
            .filter(|bin| bin.count > 0)
            .map(|bin| (bin.up_to_ms.map(|up_to_ms| up_to_ms / HOUR_MS), bin.count))
            .collect();
        let expected =
            [(Some(1), 2), (Some(6), 1), (Some(720), 1), (Some(1080), 1), (Some(8760), 1), (None, 1)];
        assert_eq!(filled, expected);
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&hundred, percent)), [50, 90, 99]);
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&[3], percent)), [3, 3, 3]);
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&[1, 2, 3, 4], percent)), [2, 4, 4]);
    }
}
