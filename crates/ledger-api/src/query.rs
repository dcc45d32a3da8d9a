//! The questions that a ledger answers, and their answers: one type each, whichever door they come through.
//!
//! Every question is a file here: its fields, its route, its answer, and how it is answered. [`Query`] and [`Answer`]
//! have one variant for each. A door reads a [`Query`] (over HTTP the fields are the parameters of the route, see
//! [`parameters`]), asks [`Ledger::answer`], and writes the [`Answer`]; a client writes the [`request`] from the same
//! type and reads the same answer, its items as the server wrote them ([`Raw`]).
//!
//! What takes long, or is long, can also be given line by line: see [`AnswerLine`].

mod as_of;
mod checkpoints;
mod command;
mod corrections;
mod cursor;
mod decisions;
mod explain;
mod filter;
mod left_out;
mod line;
mod lineage;
mod list;
mod log;
mod parameters;
mod preview;
mod problem;
mod proof;
mod quarantine;
mod replay;
mod search;
mod tenant;
mod whatif;

use std::ops::ControlFlow;

use ledger_core::ids::ClientKey;
use ledger_core::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use as_of::{AsOf, AsOfAll};
pub use checkpoints::{CheckpointJson, CheckpointList, CheckpointsQuery};
pub use command::CommandQuery;
pub use corrections::{CorrectedAnswer, CorrectionsPage, CorrectionsQuery};
pub(crate) use cursor::refuse_no_items;
pub use cursor::{Cursor, InvalidCursor, Page};
pub use decisions::{DecisionsPage, DecisionsQuery, PublishedNotice};
pub use explain::{ExplainQuery, ExplanationAnswer};
pub use filter::{Filter, MigrationFilter, WindowFilter};
pub use line::{AnswerLine, LedgerLine, LineSink, ReadLine, ScanProgress};
pub use lineage::{
    CommonName, LineagePage, LineageQuery, ProposedInstallation, ProposedLink, ReadLineagePage, RecordedLink,
    SharedName,
};
pub use list::{InstallationList, InstallationsQuery, MigrationsQuery};
pub use log::{LogPage, LogQuery, Logged};
pub use parameters::request;
pub(crate) use parameters::{read, read_pairs};
pub(crate) use preview::shard_of_app;
pub use preview::{PreviewAnswer, PreviewQuery};
pub(crate) use problem::Problem;
pub use problem::ProblemJson;
pub use proof::ProofQuery;
pub use quarantine::{
    QuarantineAnswer, QuarantineItemQuery, QuarantinePage, QuarantineQuery, QuarantinedItem,
};
pub use replay::{ReplayAnswer, ReplayQuery, ReplayedRecord};
pub use search::{FoundBy, FoundTenant, SearchMatch, SearchPage, SearchQuery, Searched};
pub use tenant::{InstallationAnswer, InstallationQuery, TenantAnswer, TenantQuery};
pub use whatif::{WhatIfAnswer, WhatIfQuery};

use crate::access::AccessScope;
use crate::command::CommandAnswer;
use crate::ledger::{Ledger, QueryError, Reading};
use crate::limits::POSITION_WAIT;

/// An item of an answer, as it was written.
pub type Raw = Box<RawValue>;

/// A question as a type.
pub trait Question: Serialize + DeserializeOwned + Into<Query> + Send + 'static {
    /// Its path over HTTP, with the fields that are parts of it in braces.
    const ROUTE: &'static str;

    /// Its method in gRPC.
    const METHOD: &'static str;

    /// What it takes to ask it.
    const ACCESS: AccessScope;

    /// Its fields are not parameters but the JSON body of a POST.
    const IN_BODY: bool;

    /// The answer.
    type Answer;

    /// The answer as a client reads it.
    type Read: DeserializeOwned;

    /// What is asked about.
    fn scope(&self) -> Scope<'_>;

    /// Answers from snapshots of the shards, by the caller's clock. Lines that are found on the way go to the sink.
    fn ask(&self, ledger: &Ledger, now: Timestamp, sink: LineSink<'_>) -> Result<Self::Answer, QueryError>;
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'q> {
    /// One tenant.
    Tenant(&'q ClientKey, &'q AsOf),
    /// Every shard has a part of the answer.
    All {
        /// Another instant than now, or less than is known.
        is_past: bool,
    },
    /// Something that is named.
    One,
}

/// What a question is as a request over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path, percent-encoded.
    pub path: String,
    /// The parameters, not encoded.
    pub parameters: Vec<(String, String)>,
    /// The body of a POST; none: a GET.
    pub body: Option<String>,
}

/// Something that is done for each question, whichever there are.
pub(crate) trait ForEachQuestion {
    fn question<Q: Question>(&mut self);
}

/// A row for each question: the scope it takes, its method in gRPC, its route, what it is about, its answer, and the answer
/// as a client reads it.
macro_rules! questions {
    ($($(#[$doc:meta])+ $name:ident($question:ty): $access:ident $method:literal, $($post:ident)? $route:literal, |$query:ident| $scope:expr,
        $answer:ty, $read:ty;)+) => {
        /// A question.
        #[derive(Debug, Clone)]
        pub enum Query {
            $($(#[$doc])+ $name($question),)+
        }

        /// An answer; serialises as the answer itself.
        #[derive(Debug, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "each is the answer to the question of its name")]
        #[expect(clippy::large_enum_variant, reason = "an answer is made once and written at once")]
        pub enum Answer {
            $($name($answer),)+
        }

        /// Does it for each question, in the order of the table.
        pub(crate) fn for_each_question(what: &mut impl ForEachQuestion) {
            $(what.question::<$question>();)+
        }

        impl Query {
            /// The name of each question, with its route: for logs and metrics.
            pub const ROUTES: &[(&'static str, &'static str)] = &[$((stringify!($name), $route)),+];

            /// The same with its method in gRPC.
            pub const METHODS: &[(&'static str, &'static str)] = &[$((stringify!($name), $method)),+];

            /// What each takes to be asked, by its name.
            pub const SCOPES: &[(&'static str, AccessScope)] = &[$((stringify!($name), AccessScope::$access)),+];

            /// Its name, for logs and metrics.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }

            /// What it takes to ask it.
            #[must_use]
            pub const fn access(&self) -> AccessScope {
                match self {
                    $(Self::$name(_) => AccessScope::$access,)+
                }
            }

            /// The client key and the app key that it names.
            pub(crate) fn keys(&self) -> (Option<String>, Option<String>) {
                match self {
                    $(Self::$name(question) => parameters::keys(question),)+
                }
            }

            /// What is asked about.
            #[must_use]
            pub fn scope(&self) -> Scope<'_> {
                match self {
                    $(Self::$name(question) => question.scope(),)+
                }
            }
        }

        impl Ledger {
            /// Answers a question by the caller's clock. Lines that are found on the way go to the sink.
            pub fn answer(
                &self,
                query: &Query,
                now: Timestamp,
                sink: LineSink<'_>,
            ) -> Result<Answer, QueryError> {
                match query {
                    $(Query::$name(question) => self.ask(question, now, sink).map(Answer::$name),)+
                }
            }
        }

        $(
            impl Question for $question {
                const ROUTE: &'static str = $route;
                const METHOD: &'static str = $method;
                const ACCESS: AccessScope = AccessScope::$access;
                const IN_BODY: bool = !concat!($(stringify!($post))?).is_empty();
                type Answer = $answer;
                type Read = $read;

                fn scope(&self) -> Scope<'_> {
                    let $query = self;
                    $scope
                }

                fn ask(&self, ledger: &Ledger, now: Timestamp, sink: LineSink<'_>) -> Result<$answer, QueryError> {
                    let handles = ledger.shards.all();
                    let reading = Reading::new(ledger, &handles, now);
                    if let Scope::All { .. } = self.scope() {
                        reading.some_partition_is_known()?;
                    }
                    self.answer(&reading, sink)
                }
            }

            impl From<$question> for Query {
                fn from(question: $question) -> Self {
                    Self::$name(question)
                }
            }
        )+
    };
}

questions! {
    /// One installation.
    Installation(InstallationQuery): Read "GetInstallation", "/v1/tenants/{clientKey}/apps/{appKey}", |query| query.as_of.of(&query.client),
        InstallationAnswer, InstallationAnswer<Raw>;
    /// All installations of a tenant.
    Tenant(TenantQuery): Read "GetTenant", "/v1/tenants/{clientKey}", |query| query.as_of.of(&query.client),
        TenantAnswer, TenantAnswer<Raw>;
    /// Installations that match a filter.
    Installations(InstallationsQuery): Read "ListInstallations", "/v1/installations", |query| query.as_of.scope(),
        InstallationList, InstallationList<Raw>;
    /// Installations with a pending migration.
    Migrations(MigrationsQuery): Read "ListMigrations", "/v1/migrations", |query| query.as_of.scope(),
        InstallationList, InstallationList<Raw>;
    /// Recorded links between installations, and proposed ones.
    Lineage(LineageQuery): Read "ListLineage", "/v1/lineage", |_query| Scope::All { is_past: false },
        LineagePage, ReadLineagePage;
    /// Tenants by what they are known by.
    Search(SearchQuery): Read "Search", "/v1/search", |_query| Scope::All { is_past: false },
        SearchPage, SearchPage<Raw>;
    /// A tenant's records.
    Log(LogQuery): Audit "ReadLog", "/v1/tenants/{clientKey}/log", |query| query.as_of.of(&query.client),
        LogPage, LogPage<Raw>;
    /// What changed in the answers about a tenant.
    Corrections(CorrectionsQuery): Audit "ListCorrections", "/v1/tenants/{clientKey}/corrections", |query| query.as_of.of(&query.client),
        CorrectionsPage, CorrectionsPage<Raw>;
    /// Why an installation is where it is.
    Explain(ExplainQuery): Read "Explain", "/v1/tenants/{clientKey}/apps/{appKey}/explanation", |query| query.as_of.of(&query.client),
        ExplanationAnswer, ExplanationAnswer<Raw>;
    /// The decision that an install would get.
    Preview(PreviewQuery): Read "Preview", "/v1/tenants/{clientKey}/apps/{appKey}/preview", |query| query.as_of.of(&query.client),
        PreviewAnswer, PreviewAnswer<Raw>;
    /// Decisions and corrections as they are published.
    Decisions(DecisionsQuery): Read "SubscribeDecisions", "/v1/decisions", |_query| Scope::All { is_past: false },
        DecisionsPage, DecisionsPage<Raw>;
    /// What was refused.
    Quarantine(QuarantineQuery): Audit "ListQuarantine", "/v1/quarantine", |_query| Scope::All { is_past: false },
        QuarantinePage, QuarantinePage<Raw>;
    /// One refused message.
    QuarantineItem(QuarantineItemQuery): Audit "GetQuarantineItem", "/v1/quarantine/{topic}/{partition}/{seq}", |_query| Scope::One,
        QuarantineAnswer, QuarantineAnswer<Raw>;
    /// The last signed checkpoints.
    Checkpoints(CheckpointsQuery): Audit "ListCheckpoints", "/v1/checkpoints", |_query| Scope::One,
        CheckpointList, CheckpointList<Raw>;
    /// A bundle: one tenant's whole history, as text.
    Proof(ProofQuery): Audit "GetProof", "/v1/tenants/{clientKey}/proof", |_query| Scope::One,
        String, String;
    /// What other policies would have meant.
    WhatIf(WhatIfQuery): Read "WhatIf", post "/v1/whatif", |_query| Scope::All { is_past: false },
        WhatIfAnswer, ReadLine;
    /// Records once more, with what was believed after each.
    Replay(ReplayQuery): Audit "Replay", "/v1/replay", |query| query.shards(),
        ReplayAnswer, ReadLine;
    /// What became of a command.
    Command(CommandQuery): Operate "GetCommand", "/v1/commands/{id}", |_query| Scope::One,
        CommandAnswer, CommandAnswer;
}

impl Ledger {
    /// Answers a question of a known type by the caller's clock.
    pub fn ask<Q: Question>(
        &self,
        question: &Q,
        now: Timestamp,
        sink: LineSink<'_>,
    ) -> Result<Q::Answer, QueryError> {
        if let Scope::Tenant(client, AsOf { min_position: Some(position), .. }) = question.scope() {
            self.await_position(client, *position, POSITION_WAIT, now)?;
        }
        question.ask(self, now, sink)
    }

    /// Answers all of a question as lines; the last tells how fresh the answer is.
    pub fn answer_lines(&self, query: &Query, now: Timestamp, sink: LineSink<'_>) -> Result<(), QueryError> {
        let freshness = match self.answer(query, now, sink)? {
            Answer::WhatIf(WhatIfAnswer { reports, refused, freshness, .. }) => {
                reports.iter().try_for_each(|report| line::send(sink, &AnswerLine::Report(report)))?;
                refused.into_iter().try_for_each(|tenant| line::send(sink, &AnswerLine::Refused(tenant)))?;
                freshness
            }
            Answer::Replay(ReplayAnswer { freshness }) => freshness,
            _ => Vec::new(),
        };
        line::send(sink, &AnswerLine::Freshness(freshness))
    }
}

impl Query {
    /// Whether it asks for another instant than now, or for less than is known.
    #[must_use]
    pub fn is_past(&self) -> bool {
        match self.scope() {
            Scope::Tenant(_, as_of) => as_of.is_past(),
            Scope::All { is_past } => is_past,
            Scope::One => false,
        }
    }
}

/// The sink of a question that nobody follows.
pub fn no_lines(_: &LedgerLine<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
