//! "What if another policy had been in force?" (rules 8): the same fold with that policy for every
//! installation, following expectation, beside the actual one.
//!
//! Tenants are taken in one by one, in any order; only the gaps between uninstall and reinstall are kept,
//! as the percentiles need them all. They are those of the actual fold: whether an app is installed does not
//! depend on the policy, only where it goes does.
//!
//! Beside the counts, [`WhatIf::take_comparing`] names each installation of which another answer would be given
//! than is, at the first record where the two folds part: in the realm, in the rule of the last decision, in the
//! end of the window.

use std::collections::{BTreeMap, BTreeSet};

use crate::fold::FoldMode;
use crate::fold::install::are_different;
use crate::history::in_order;
use crate::ids::AppKey;
use crate::limits::{DAY_MS, HOUR_MS};
use crate::policy::Policy;
use crate::realm::Realm;
use crate::state::{AnomalyCode, Decision, Installation, Rule, Status, Window};
use crate::tenant::{Entry, Tenant};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

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
    scope: Scope,
    tallies: Vec<Tally>,
    gaps_ms: Vec<i64>,
}

/// What counts. The whole history is folded in any case: an uninstall before the span opens a gap that a
/// reinstall within it closes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Only installations of this app.
    pub app: Option<AppKey>,
    /// Only what happened at this instant or later.
    pub from: Option<Timestamp>,
    /// Only what happened before this instant.
    pub to: Option<Timestamp>,
}

/// An installation of which something would be otherwise under a policy, at the first record where it would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a> {
    /// The policy.
    pub policy: Policy,
    /// Whose installation.
    pub app: &'a AppKey,
    /// The record.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What it is, after the record.
    pub actual: Outcome,
    /// What it would be.
    pub supposed: Outcome,
    /// What differs here for the first time, in the order of [`Aspect`].
    pub differs: Vec<Aspect>,
}

/// What of an installation is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Where it is pinned.
    Pin,
    /// By which rule it was last decided.
    Rule,
    /// Whether an uninstall opened a window, and its end.
    Window,
}

/// What a record left an installation with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Where it is pinned; unknown otherwise.
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
struct Tally {
    policy: Policy,
    persisted: u64,
    moved: u64,
}

/// What one policy would have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The policy.
    pub policy: Policy,
    /// Installs of what had been uninstalled.
    pub reinstalls: u64,
    /// Those that came back to their realm because the window was open.
    pub persisted: u64,
    /// Those expected in another realm than the one known before.
    pub moved: u64,
    /// From the uninstall to the reinstall; none without reinstalls.
    pub gaps: Option<Gaps>,
}

/// The gaps between uninstall and reinstall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gaps {
    /// Half of them are no longer.
    pub p50_ms: i64,
    /// Nine in ten are no longer.
    pub p90_ms: i64,
    /// All but one in a hundred are no longer.
    pub p99_ms: i64,
    /// The longest.
    pub max_ms: i64,
    /// How many are no longer than each of [`GAP_DAYS`].
    pub within: [Within; GAP_DAYS.len()],
    /// All of them by length, shortest first.
    pub bins: [Bin; BIN_HOURS.len() + 1],
}

/// The gaps longer than the bin before, and no longer than this one's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// The end; none for the last.
    pub up_to_ms: Option<i64>,
    /// How many.
    pub count: u64,
}

/// How many gaps are no longer than some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// The days.
    pub days: u32,
    /// So many gaps.
    pub count: u64,
    /// Of so many.
    pub of: u64,
}

impl Scope {
    fn has(&self, app: &AppKey, at: Timestamp) -> bool {
        self.has_app(app) && self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// Whether the installations of an app count.
    #[must_use]
    pub fn has_app(&self, app: &AppKey) -> bool {
        self.app.as_ref().is_none_or(|only| only == app)
    }
}

impl WhatIf {
    /// Nothing tried yet, and everything counts.
    #[must_use]
    pub fn new(policies: &[Policy]) -> Self {
        let tally = |policy: &Policy| Tally { policy: *policy, persisted: 0, moved: 0 };
        Self { scope: Scope::default(), tallies: policies.iter().map(tally).collect(), gaps_ms: Vec::new() }
    }

    /// The same, and only this counts.
    #[must_use]
    pub fn limited_to(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Tries the policies on a tenant, from its records in any order.
    pub fn take(&mut self, entries: &[Entry<'_>], apps: &AppTimelines) {
        self.try_on(entries, apps, None);
    }

    /// As [`Self::take`], and tells the differences: for each policy at most one of an installation and aspect.
    pub fn take_comparing(
        &mut self,
        entries: &[Entry<'_>],
        apps: &AppTimelines,
        tell: &mut dyn FnMut(Difference<'_>),
    ) {
        self.try_on(entries, apps, Some(Comparison { tell, told: BTreeSet::new() }));
    }

    fn try_on<'a>(
        &mut self,
        entries: &[Entry<'a>],
        apps: &AppTimelines,
        mut comparison: Option<Comparison<'a, '_>>,
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
                if let Some(comparison) = &mut comparison
                    && let Some(app) = entry.event.app()
                    && self.scope.has(app, entry.event.time)
                {
                    let actual = Outcome::of(&actual, app, decided);
                    let supposed = Outcome::of(tenant, app, decision);
                    comparison.compare(place, tally.policy, entry, app, [actual, supposed]);
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
    pub fn reports(mut self) -> Vec<Report> {
        self.gaps_ms.sort_unstable();
        let gaps = gaps(&self.gaps_ms);
        let reinstalls = self.gaps_ms.len() as u64;
        let report = |tally: &Tally| Report {
            policy: tally.policy,
            reinstalls,
            persisted: tally.persisted,
            moved: tally.moved,
            gaps: gaps.clone(),
        };
        self.tallies.iter().map(report).collect()
    }
}

/// Tells the first difference of each installation, for each policy.
struct Comparison<'a, 't> {
    tell: &'t mut dyn FnMut(Difference<'_>),
    told: BTreeSet<(usize, &'a AppKey, Aspect)>,
}

impl<'a> Comparison<'a, '_> {
    fn compare(
        &mut self,
        place: usize,
        policy: Policy,
        entry: Entry<'a>,
        app: &'a AppKey,
        [actual, supposed]: [Outcome; 2],
    ) {
        let end = |outcome: &Outcome| outcome.window.map(|window| window.end);
        let differs = [
            (Aspect::Pin, actual.pinned != supposed.pinned),
            (Aspect::Rule, actual.rule != supposed.rule),
            (Aspect::Window, end(&actual) != end(&supposed)),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs).map(|(aspect, _)| aspect);
        let differs: Vec<_> = differing.filter(|aspect| self.told.insert((place, app, *aspect))).collect();
        if !differs.is_empty() {
            let (seq, at) = (entry.seq, entry.event.time);
            (self.tell)(Difference { policy, app, seq, at, actual, supposed, differs });
        }
    }
}

impl Outcome {
    fn of(tenant: &Tenant, app: &AppKey, decision: Option<Decision>) -> Self {
        let state = tenant.installations.get(app);
        Self {
            pinned: state.and_then(Installation::pinned_realm),
            rule: state.and_then(|state| state.decision).map(|decision| decision.rule),
            window: state.and_then(|state| state.window),
            decision,
        }
    }
}

impl Tally {
    fn count(&mut self, decision: &Decision) {
        self.persisted += u64::from(decision.rule == Rule::Persisted);
        self.moved += u64::from(are_different(decision.expected_realm, decision.previous_realm));
    }
}

impl Aspect {
    /// The word used everywhere outside.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Rule => "rule",
            Self::Window => "window",
        }
    }
}

impl Within {
    /// The share, from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of reinstalls are far below 2^52")]
    pub fn share(self) -> f64 {
        self.count as f64 / self.of as f64
    }
}

fn is_uninstalled(tenant: &Tenant, app: &AppKey) -> bool {
    tenant.installations.get(app).is_some_and(|state| state.status == Status::Uninstalled)
}

fn gaps(sorted_ms: &[i64]) -> Option<Gaps> {
    let max_ms = *sorted_ms.last()?;
    let within = GAP_DAYS.map(|days| {
        let count = sorted_ms.partition_point(|gap_ms| *gap_ms <= i64::from(days) * DAY_MS);
        Within { days, count: count as u64, of: sorted_ms.len() as u64 }
    });
    let [p50_ms, p90_ms, p99_ms] = [50, 90, 99].map(|percent| nearest_rank(sorted_ms, percent));
    Some(Gaps { p50_ms, p90_ms, p99_ms, max_ms, within, bins: bins(sorted_ms) })
}

fn bins(sorted_ms: &[i64]) -> [Bin; BIN_HOURS.len() + 1] {
    let mut before = 0;
    std::array::from_fn(|at| {
        let up_to_ms = BIN_HOURS.get(at).map(|hours| hours * HOUR_MS);
        let end = up_to_ms
            .map_or(sorted_ms.len(), |up_to_ms| sorted_ms.partition_point(|gap_ms| *gap_ms <= up_to_ms));
        let count = (end - before) as u64;
        before = end;
        Bin { up_to_ms, count }
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
