//! Which notices a subscription gets.

use ledger_core::ids::AppKey;
use ledger_core::state::{Decision, Rule};
use ledger_record::json::notice::DecisionEventJson;
use serde::{Deserialize, Serialize};

use crate::access::Grants;

/// Which notices a subscription gets. Each condition that is given has to hold. A notice without a decision has neither
/// rule nor flags, so it fails a condition on them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecisionFilter {
    /// Only of this app.
    pub app: Option<AppKey>,
    /// Only decisions by this rule.
    pub rule: Option<Rule>,
    /// Only decisions that moved the installation, or only those that did not.
    pub moved: Option<bool>,
    /// Only decisions in which the platform did not do what the rules say, or only the others.
    pub divergent: Option<bool>,
    /// Only corrections, or none.
    pub corrections: Option<bool>,
    /// Only of the apps that whoever asks is granted. This is no parameter: the door sets it.
    #[serde(skip)]
    pub grants: Grants,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Traits {
    decision: Option<DecisionTraits>,
    is_correction: bool,
    pub(super) app: AppKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DecisionTraits {
    rule: Rule,
    moved: bool,
    divergent: bool,
}

impl Traits {
    pub(super) fn of(notice: &DecisionEventJson<'_>) -> Self {
        let of = |Decision { rule, moved, divergent, .. }| DecisionTraits { rule, moved, divergent };
        Self {
            app: notice.data.app_key.clone(),
            decision: notice.data.decision.map(of),
            is_correction: notice.is_correction(),
        }
    }
}

impl DecisionFilter {
    /// The same, for someone who sees what is decided about these apps.
    pub(crate) fn seen_with(self, grants: &Grants) -> Self {
        Self { grants: grants.clone(), ..self }
    }

    /// Whether a notice goes to the subscription. This is the one place that decides.
    pub(super) fn passes(&self, traits: &Traits) -> bool {
        let Self { app, rule, moved, divergent, corrections, grants } = self;
        let fits = |wanted: Option<bool>, found: fn(DecisionTraits) -> bool| {
            wanted.is_none_or(|wanted| traits.decision.map(found) == Some(wanted))
        };
        grants.has(&traits.app)
            && app.as_ref().is_none_or(|app| *app == traits.app)
            && rule.is_none_or(|rule| traits.decision.is_some_and(|decision| decision.rule == rule))
            && fits(*moved, |decision| decision.moved)
            && fits(*divergent, |decision| decision.divergent)
            && corrections.is_none_or(|corrections| traits.is_correction == corrections)
    }

    /// Whether every notice passes.
    pub(super) fn passes_all(&self) -> bool {
        *self == Self::default()
    }
}
