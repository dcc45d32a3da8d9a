//! "What if another policy had been in force?" (rules 8): the same fold with that policy for every
//! installation, following expectation, beside the actual one.
//!
//! Tenants are taken in one by one, in any order; only the gaps between uninstall and reinstall are kept,
//! as the percentiles need them all. They are those of the actual fold: whether an app is installed does not
//! depend on the policy, only where it goes does.

use std::collections::BTreeMap;

use crate::fold::Lens;
use crate::fold::install::are_different;
use crate::history::in_order;
use crate::ids::AppKey;
use crate::limits::DAY_MS;
use crate::policy::Policy;
use crate::state::{AnomalyCode, Decision, Rule, Status};
use crate::tenant::{Entry, Tenant};
use crate::time::Timestamp;
use crate::timeline::AppTimelines;

/// The lengths, in days, for which a report tells how many gaps are no longer.
pub const GAP_DAYS: [u32; 7] = [1, 7, 14, 30, 60, 90, 365];

/// Policies tried on tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIf {
    tallies: Vec<Tally>,
    gaps_ms: Vec<i64>,
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

impl WhatIf {
    /// Nothing tried yet.
    #[must_use]
    pub fn new(policies: &[Policy]) -> Self {
        let tally = |policy: &Policy| Tally { policy: *policy, persisted: 0, moved: 0 };
        Self { tallies: policies.iter().map(tally).collect(), gaps_ms: Vec::new() }
    }

    /// Tries the policies on a tenant, from its records in any order.
    pub fn take(&mut self, entries: &[Entry<'_>], apps: &AppTimelines) {
        let mut actual = Tenant::default();
        let mut supposed = vec![Tenant::default(); self.tallies.len()];
        let mut uninstalled_at = BTreeMap::new();
        for entry in in_order(entries, Timestamp::MAX) {
            let was_uninstalled = entry.event.app().is_some_and(|app| is_uninstalled(&actual, app));
            let effects = actual.apply(entry, apps, Lens::Actual);
            let anomalies = effects.as_ref().map_or(&[][..], |effects| &effects.anomalies);
            if anomalies.contains(&AnomalyCode::UninstallOvertaken) {
                continue;
            }
            let app = entry.event.app().filter(|app| was_uninstalled != is_uninstalled(&actual, app));
            let reinstalled =
                app.is_some_and(|app| self.note_gap(&mut uninstalled_at, app, entry.event.time));
            for (tenant, tally) in supposed.iter_mut().zip(&mut self.tallies) {
                let effects = tenant.apply(entry, apps, Lens::WhatIf(tally.policy));
                let decision = effects.and_then(|effects| effects.decision);
                if let Some(decision) = decision.filter(|_| reinstalled) {
                    tally.count(&decision);
                }
            }
        }
    }

    /// An uninstall opens a gap, a reinstall closes it. Whether it was a reinstall.
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

impl Tally {
    fn count(&mut self, decision: &Decision) {
        self.persisted += u64::from(decision.rule == Rule::Persisted);
        self.moved += u64::from(are_different(decision.expected_realm, decision.previous_realm));
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
    Some(Gaps { p50_ms, p90_ms, p99_ms, max_ms, within })
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
    fn percentiles_are_values_that_occur() {
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&hundred, percent)), [50, 90, 99]);
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&[3], percent)), [3, 3, 3]);
        assert_eq!([50, 90, 99].map(|percent| nearest_rank(&[1, 2, 3, 4], percent)), [2, 4, 4]);
    }
}
