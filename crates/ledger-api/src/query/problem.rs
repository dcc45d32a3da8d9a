//! A problem as it is reported at every door: why there is no answer.

use std::borrow::Cow;
use std::error::Error as _;

use ledger_record::token::without_tokens;
use serde::{Deserialize, Serialize};

use crate::access::Refusal;
use crate::ledger::{FreshnessJson, QueryError};
use crate::problem::ProblemKind;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    detail: Cow<'static, str>,
    parameter: Option<String>,
    freshness: Vec<FreshnessJson>,
    /// Asking again a little later can help.
    pub(crate) passes: bool,
}

/// A problem's members (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemJson {
    /// A URN with the code.
    #[serde(rename = "type", default)]
    pub type_name: String,
    /// For people.
    #[serde(default)]
    pub title: Cow<'static, str>,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong with this request.
    pub detail: Cow<'static, str>,
    /// Stable, for programs.
    #[serde(default)]
    pub code: Cow<'static, str>,
    /// The parameter that is to blame.
    #[serde(default)]
    pub parameter: Option<String>,
    /// Of every shard, where one of them keeps the question from being answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freshness: Vec<FreshnessJson>,
}

impl Problem {
    /// The detail names what was sent, such as a key, but for tokens.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut detail = detail.into();
        if let Cow::Owned(masked) = without_tokens(&detail) {
            detail = masked.into();
        }
        Self { kind, detail, parameter: None, freshness: Vec::new(), passes: kind.passes() }
    }

    /// A parameter, or a part of the path, is to blame.
    pub(crate) fn with(
        kind: ProblemKind,
        parameter: impl Into<String>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let parameter = without_tokens(&parameter.into()).into_owned();
        Self { parameter: Some(parameter), ..Self::new(kind, detail) }
    }

    /// The same, with what is to blame, if that is known.
    pub(crate) fn blaming(self, parameter: Option<String>) -> Self {
        Self { parameter, ..self }
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    pub(crate) fn into_json(self) -> ProblemJson {
        let Self { kind, detail, parameter, freshness, passes: _ } = self;
        ProblemJson {
            type_name: format!("urn:realm-ledger:problem:{}", kind.code()),
            title: kind.title().into(),
            status: kind.status(),
            detail,
            code: kind.code().into(),
            parameter,
            freshness,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::NoCredentials | Refusal::BadCredentials { .. } => ProblemKind::Unauthenticated,
            Refusal::ScopeMissing { .. } => ProblemKind::ScopeMissing,
            Refusal::RateLimited { .. } => ProblemKind::RateLimited,
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let (kind, parameter) = error.problem();
        if matches!(kind, ProblemKind::ShardDamaged | ProblemKind::Storage | ProblemKind::Internal) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "a query failed: see to the shard it names");
        }
        if let QueryError::NotReady(lacking) = &error {
            let (passes, freshness) = (lacking.passes(), lacking.freshness.clone());
            let then = if passes { "ask again later, or see /readyz" } else { "/readyz says what ends it" };
            return Self { freshness, passes, ..Self::new(kind, format!("{error}; {then}")) };
        }
        Self { parameter: parameter.map(ToOwned::to_owned), ..Self::new(kind, error.to_string()) }
    }
}
