//! Query parameters, read strictly: what a route does not know is refused, and a value that is not what is
//! expected is refused with what is.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::state::Status;
use ledger_core::time::Timestamp;
use ledger_record::json::time::parse_instant;
use ledger_record::rejection::Reason;
use ledger_store::{Known, ShardId};

use super::problem::Problem;
use crate::problem::ProblemKind;
use crate::query::{AsOf, Cursor, Filter, MigrationFilter, Proof, Replay, WindowFilter};

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<String, String>);

/// Those of [`Parameters::as_of`].
pub(super) const AS_OF: [&str; 4] = ["at", "knownAt", "knownSeq", "minPosition"];

/// Those of [`Parameters::filter`], of its [`Parameters::as_of`] and of its page.
pub(super) const LIST: [&str; 12] = [
    "appKey",
    "status",
    "realm",
    "drift",
    "splitBrain",
    "anomalous",
    "window",
    "windowClosingBefore",
    "at",
    "knownAt",
    "cursor",
    "limit",
];

/// Those of [`Parameters::migrations`], of its [`Parameters::as_of`] and of its page.
pub(super) const MIGRATIONS: [&str; 6] = ["appKey", "overdue", "at", "knownAt", "cursor", "limit"];

impl Parameters {
    /// Reads the parameters of a route that knows these.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let malformed =
            |error| Problem::new(ProblemKind::InvalidParameter, format!("the query cannot be read: {error}"));
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(malformed)?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                let expected = known.join(", ");
                let detail = if known.is_empty() {
                    "this route takes no parameters".to_owned()
                } else {
                    format!("this route takes {expected}")
                };
                return Err(Problem::with(ProblemKind::UnknownParameter, &name, detail));
            }
            if parameters.contains_key(&name) {
                return Err(Problem::with(ProblemKind::UnknownParameter, &name, "it is given twice"));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn value<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let read =
            |text| read(text).ok_or_else(|| Problem::with(ProblemKind::InvalidParameter, name, expected));
        self.text(name).map(read).transpose()
    }

    pub(super) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.value(name, "expected an instant in RFC 3339, such as 2026-03-01T10:00:00.000Z", |text| {
            // A plus sign that was not encoded arrives as a space; no instant has one.
            parse_instant(&text.replace(' ', "+")).ok()
        })
    }

    pub(super) fn realm(&self, name: &str) -> Result<Option<Realm>, Problem> {
        let expected =
            "expected a realm, GLOBAL (or default) or a region key such as EU: [A-Z][A-Z0-9-]{1,15}";
        self.value(name, expected, |text| Realm::parse(text).ok())
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.value(name, "expected true or false", |text| text.parse().ok())
    }

    /// A whole number, at least `from`.
    pub(super) fn number(&self, name: &str, from: u64) -> Result<Option<u64>, Problem> {
        let number = self.value(name, "expected a whole number", |text| text.parse().ok())?;
        if number.is_some_and(|number| number < from) {
            return Err(Problem::with(
                ProblemKind::InvalidParameter,
                name,
                format!("expected at least {from}"),
            ));
        }
        Ok(number)
    }

    pub(super) fn proof(&self, client: ClientKey) -> Result<Proof, Problem> {
        Ok(Proof {
            client,
            app: self.app()?,
            pinned: self.number("pinned", 0)?,
            partition: self.value("partition", "expected a whole number", |text| text.parse().ok())?,
            topic: self.text("topic").map(ToOwned::to_owned),
        })
    }

    /// How many to answer with at most.
    pub(super) fn limit(&self, otherwise: usize, most: usize) -> Result<usize, Problem> {
        let expected = || {
            let detail = format!("expected a whole number from 1 to {most}");
            Problem::with(ProblemKind::InvalidParameter, "limit", detail)
        };
        let Some(text) = self.text("limit") else { return Ok(otherwise) };
        text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(expected)
    }

    /// How many lines to stream at most; none is all.
    pub(super) fn lines(&self) -> Result<Option<u64>, Problem> {
        self.number("limit", 1)
    }

    pub(super) fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let invalid = |_| {
            Problem::with(
                ProblemKind::InvalidCursor,
                "cursor",
                "expected the nextCursor of a page, as it was given",
            )
        };
        self.text("cursor").map(|text| text.parse().map_err(invalid)).transpose()
    }

    pub(super) fn reason(&self) -> Result<Option<Reason>, Problem> {
        let words = || Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
        let read = |text: &str| Reason::ALL.iter().copied().find(|reason| reason.as_str() == text);
        let expected =
            || Problem::with(ProblemKind::InvalidParameter, "reason", format!("expected one of {}", words()));
        self.text("reason").map(|text| read(text).ok_or_else(expected)).transpose()
    }

    pub(super) fn as_of(&self) -> Result<AsOf, Problem> {
        let known = match (self.instant("knownAt")?, self.number("knownSeq", 0)?) {
            (None, None) => Known::All,
            (Some(instant), None) => Known::Recorded(instant),
            (None, Some(seq)) => Known::Seq(seq),
            (Some(_), Some(_)) => {
                let detail = "knownAt and knownSeq say the same thing in two ways; give one";
                return Err(Problem::with(ProblemKind::InvalidParameter, "knownSeq", detail));
            }
        };
        Ok(AsOf { at: self.instant("at")?, known })
    }

    pub(super) fn replay(&self) -> Result<Replay, Problem> {
        let key = "expected 1 to 255 bytes of UTF-8 without control characters";
        let partition =
            self.value("partition", "expected a partition's number", |text| text.parse::<u32>().ok())?;
        let shard = match (self.text("topic"), partition) {
            (None, None) => None,
            (Some(topic), Some(partition)) => Some(ShardId { topic: topic.to_owned(), partition }),
            (Some(_), None) | (None, Some(_)) => {
                let detail = "topic and partition name a shard together; give both";
                return Err(Problem::with(ProblemKind::InvalidParameter, "topic", detail));
            }
        };
        Ok(Replay {
            client: self.value("clientKey", key, |text| ClientKey::new(text).ok())?,
            app: self.value("appKey", key, |text| AppKey::new(text).ok())?,
            shard,
            from: self.instant("from")?,
            to: self.instant("to")?,
            from_position: self.number("fromPosition", 0)?.unwrap_or(0),
        })
    }

    fn app(&self) -> Result<Option<AppKey>, Problem> {
        let expected = "expected 1 to 255 bytes of UTF-8 without control characters";
        self.value("appKey", expected, |text| AppKey::new(text).ok())
    }

    pub(super) fn migrations(&self) -> Result<Filter, Problem> {
        // `?overdue` alone says what it means.
        let overdue = if self.text("overdue") == Some("") { Some(true) } else { self.flag("overdue")? };
        Ok(Filter { app: self.app()?, migration: Some(MigrationFilter { overdue }), ..Filter::default() })
    }

    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let app = self.app()?;
        let status = self.value("status", "expected NONE, INSTALLED or UNINSTALLED", |text| {
            Status::ALL.iter().copied().find(|status| status.as_str() == text)
        })?;
        let open =
            self.value("window", "expected OPEN", |text| (text == "OPEN").then_some(WindowFilter::Open))?;
        let closing = self.instant("windowClosingBefore")?.map(WindowFilter::ClosingBefore);
        Ok(Filter {
            app,
            status,
            realm: self.realm("realm")?,
            drift: self.flag("drift")?,
            split_brain: self.flag("splitBrain")?,
            window: closing.or(open),
            anomalous: self.flag("anomalous")?,
            migration: None,
        })
    }
}
