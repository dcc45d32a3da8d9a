//! "What if another policy had been in force?": the question, the reports, the differences.

use std::borrow::Cow;

use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::limits::{DAY_MS, POLICY_MAX_DAYS};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::{Decision, Rule, Window};
use ledger_core::time::Timestamp;
use ledger_core::whatif::{Bin, Difference, Gaps, Outcome, Report, Scope, Within};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::is_false;
use super::time::Instant;

/// The question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WhatIfRequestJson<'a> {
    /// Side by side.
    pub policies: Vec<PolicyJson>,
    /// Only this app.
    #[serde(default)]
    pub app_key: Option<Cow<'a, str>>,
    /// Only what happened at this instant or later.
    #[serde(default)]
    pub from: Option<Instant>,
    /// Only what happened before this instant.
    #[serde(default)]
    pub to: Option<Instant>,
    /// Tell every installation that would be elsewhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub differences: bool,
}

/// A persistence policy. Read strictly: of one that says more than it means, nobody knows what was meant. (Without
/// their braces the empty ones would take anything.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PolicyJson {
    /// As the descriptor in force declares.
    Descriptor {},
    /// No window.
    Off {},
    /// So many days.
    Days {
        /// How many.
        #[serde(deserialize_with = "whole")]
        days: u32,
    },
    /// Without end.
    Indefinite {},
    /// As long as the subscription is active.
    Subscription {
        /// And so many days more.
        #[serde(deserialize_with = "whole")]
        grace_days: u32,
    },
}

/// A whole number by its value, as `policy-set` takes it: `30.0` is 30.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let value =
        number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within the bounds"
    )]
    let whole = value.map(|value| value as u32);
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number of days")))
}

/// What one policy would have meant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfReportJson {
    /// The policy.
    pub policy: Policy,
    /// Installs of what had been uninstalled.
    pub reinstalls: u64,
    /// Those that came back to their realm because the window was open.
    pub persisted: u64,
    /// Those expected in another realm than the one before.
    pub moved: u64,
    /// From the uninstall to the reinstall; absent without reinstalls.
    pub gaps: Option<GapsJson>,
}

/// The gaps between uninstall and reinstall, in days.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GapsJson {
    /// Half of them are no longer.
    pub p50_days: f64,
    /// Nine in ten are no longer.
    pub p90_days: f64,
    /// All but one in a hundred are no longer.
    pub p99_days: f64,
    /// The longest.
    pub max_days: f64,
    /// How many are no longer than some days.
    pub shares: Vec<ShareJson>,
    /// All of them by length.
    pub bins: Vec<BinJson>,
}

/// How many gaps are no longer than some days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShareJson {
    /// The days.
    pub days: u32,
    /// From 0 to 1.
    pub share: f64,
}

/// Gaps of about the same length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BinJson {
    /// No longer than so many days, and longer than the bin before; absent for the last.
    pub up_to_days: Option<f64>,
    /// How many.
    pub count: u64,
}

/// An installation that would be elsewhere, at the first record where it would.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceJson<'a> {
    /// The policy.
    pub policy: Policy,
    /// The tenant.
    pub client_key: &'a ClientKey,
    /// The app.
    pub app_key: &'a AppKey,
    /// The record, in the tenant's log.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What it is.
    pub actual: OutcomeJson,
    /// What it would be.
    pub supposed: OutcomeJson,
    /// What differs here for the first time: `pin`, `rule`, `window`.
    pub differs: Vec<&'static str>,
}

/// What a record left an installation with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeJson {
    /// Where it is pinned; absent when unknown.
    pub pinned_realm: Option<Realm>,
    /// The rule of the last decision.
    pub rule: Option<Rule>,
    /// The window of the last uninstall.
    pub window: Option<Window>,
    /// The decision of this record.
    pub decision: Option<Decision>,
}

/// Why a question cannot be asked so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWhatIf {
    /// Days or grace that no policy may have.
    #[error("a policy's days are 1 to {POLICY_MAX_DAYS}, its grace days 0 to {POLICY_MAX_DAYS}")]
    Days,
    /// Not an app key.
    #[error("an app key is 1 to 255 bytes of UTF-8 without control characters")]
    AppKey,
}

impl PolicyJson {
    const fn of(policy: Policy) -> Self {
        match policy {
            Policy::Descriptor => Self::Descriptor {},
            Policy::Off => Self::Off {},
            Policy::Days { days } => Self::Days { days },
            Policy::Indefinite => Self::Indefinite {},
            Policy::Subscription { grace_days } => Self::Subscription { grace_days },
        }
    }

    /// The policy, if there is such a one.
    pub const fn policy(self) -> Result<Policy, InvalidWhatIf> {
        Ok(match self {
            Self::Descriptor {} => Policy::Descriptor,
            Self::Off {} => Policy::Off,
            Self::Days { days } if days >= 1 && days <= POLICY_MAX_DAYS => Policy::Days { days },
            Self::Indefinite {} => Policy::Indefinite,
            Self::Subscription { grace_days } if grace_days <= POLICY_MAX_DAYS => {
                Policy::Subscription { grace_days }
            }
            Self::Days { .. } | Self::Subscription { .. } => return Err(InvalidWhatIf::Days),
        })
    }
}

impl<'a> WhatIfRequestJson<'a> {
    /// The question as it is asked.
    #[must_use]
    pub fn of(policies: &[Policy], scope: &'a Scope, differences: bool) -> Self {
        Self {
            policies: policies.iter().copied().map(PolicyJson::of).collect(),
            app_key: scope.app.as_ref().map(|app| app.as_str().into()),
            from: scope.from.map(Instant),
            to: scope.to.map(Instant),
            differences,
        }
    }

    /// The policies, in their order.
    pub fn policies(&self) -> Result<Vec<Policy>, InvalidWhatIf> {
        self.policies.iter().map(|policy| policy.policy()).collect()
    }

    /// What counts.
    pub fn scope(&self) -> Result<Scope, InvalidWhatIf> {
        let app = self.app_key.as_deref().map(AppKey::new).transpose();
        Ok(Scope {
            app: app.map_err(|_| InvalidWhatIf::AppKey)?,
            from: self.from.map(|from| from.0),
            to: self.to.map(|to| to.0),
        })
    }
}

impl WhatIfReportJson {
    /// The report as it is shown.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            policy: report.policy,
            reinstalls: report.reinstalls,
            persisted: report.persisted,
            moved: report.moved,
            gaps: report.gaps.as_ref().map(GapsJson::of),
        }
    }
}

impl GapsJson {
    fn of(gaps: &Gaps) -> Self {
        let share = |within: &Within| ShareJson { days: within.days, share: within.share() };
        let bin = |bin: &Bin| BinJson { up_to_days: bin.up_to_ms.map(days), count: bin.count };
        Self {
            p50_days: days(gaps.p50_ms),
            p90_days: days(gaps.p90_ms),
            p99_days: days(gaps.p99_ms),
            max_days: days(gaps.max_ms),
            shares: gaps.within.iter().map(share).collect(),
            bins: gaps.bins.iter().map(bin).collect(),
        }
    }
}

impl<'a> DifferenceJson<'a> {
    /// The difference as it is shown.
    #[must_use]
    pub fn of(client: &'a ClientKey, found: &Difference<'a>) -> Self {
        Self {
            policy: found.policy,
            client_key: client,
            app_key: found.app,
            seq: found.seq,
            at: found.at,
            actual: OutcomeJson::of(found.actual),
            supposed: OutcomeJson::of(found.supposed),
            differs: found.differs.iter().map(|aspect| aspect.as_str()).collect(),
        }
    }
}

impl OutcomeJson {
    fn of(outcome: Outcome) -> Self {
        Self {
            pinned_realm: outcome.pinned,
            rule: outcome.rule,
            window: outcome.window,
            decision: outcome.decision,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a span of event times is far below 2^52 milliseconds")]
fn days(span_ms: i64) -> f64 {
    span_ms as f64 / DAY_MS as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_comes_back_as_it_was_asked() {
        let policies = [Policy::Days { days: 30 }, Policy::Subscription { grace_days: 0 }];
        let app = Some(AppKey::new("com.example.app").unwrap());
        let scope = Scope { app, from: Some(ledger_core::time::Timestamp::from_millis(0)), to: None };
        let text = crate::json::to_string(&WhatIfRequestJson::of(&policies, &scope, true)).unwrap();
        assert_eq!(
            text,
            r#"{"policies":[{"mode":"days","days":30},{"mode":"subscription","graceDays":0}],"appKey":"com.example.app","from":"1970-01-01T00:00:00.000Z","differences":true}"#
        );
        let read: WhatIfRequestJson<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!((read.policies(), read.scope()), (Ok(policies.to_vec()), Ok(scope)));
    }

    #[test]
    fn days_are_taken_by_their_value_as_policy_set_takes_them() {
        let read = |text: &str| serde_json::from_str::<PolicyJson>(text);
        for days in ["30", "30.0", "3e1"] {
            let read = read(&format!(r#"{{"mode":"days","days":{days}}}"#)).unwrap();
            assert_eq!(read, PolicyJson::Days { days: 30 });
        }
        let grace = read(r#"{"graceDays":0.0,"mode":"subscription"}"#).unwrap();
        assert_eq!(grace, PolicyJson::Subscription { grace_days: 0 });
        for days in ["30.5", "-1", "4294967296", "\"30\"", "null", "true"] {
            assert!(read(&format!(r#"{{"mode":"days","days":{days}}}"#)).is_err(), "{days}");
        }
    }

    #[test]
    fn policies_that_do_not_exist_are_refused() {
        for days in [0, 36_501] {
            assert_eq!(PolicyJson::Days { days }.policy(), Err(InvalidWhatIf::Days));
        }
        assert_eq!(PolicyJson::Subscription { grace_days: 36_501 }.policy(), Err(InvalidWhatIf::Days));
        assert!(serde_json::from_str::<WhatIfRequestJson<'_>>(r#"{"policies":[],"apKey":"a"}"#).is_err());
    }
}
