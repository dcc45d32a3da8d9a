//! The queries over HTTP.
//!
//! | route | parameters | answers |
//! | --- | --- | --- |
//! | `GET /v1/installations` | `appKey` `status` `realm` `drift` `splitBrain` `anomalous` `window=OPEN` `windowClosingBefore` `at` `knownAt` `cursor` `limit` | `{installations, refused?, nextCursor?, freshness}` |
//! | `GET /v1/migrations` | `appKey` `overdue` `at` `knownAt` `cursor` `limit` | `{installations, refused?, nextCursor?, freshness}`: those with a pending migration |
//! | `GET /v1/lineage` | `appKey` `clientKey` `cursor` `limit` | `{links, proposals, commonNames?, refused?, nextCursor?, freshness}`: recorded links, then what may belong together, with the evidence |
//! | `GET /v1/search` | `q` `cursor` `limit` | `{tenants, searched, refused?, nextCursor?, freshness}`: by the beginning of the client key; by site host, entitlement id or installation id as a whole |
//! | `GET /v1/tenants/{clientKey}` | `at` `knownAt` `knownSeq` `minPosition` | `{installations, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}` | `at` `knownAt` `knownSeq` `minPosition` | `{installation, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}/explanation` | `at` `knownAt` `knownSeq` `minPosition` | `{explanation, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}/preview` | `productRealm` `at` `knownAt` `knownSeq` `minPosition` | `{decision, freshness}` |
//! | `GET /v1/tenants/{clientKey}/log` | `fromSeq` `limit` `at` `knownAt` `knownSeq` `minPosition` | `{records, nextSeq?, freshness}` |
//! | `GET /v1/tenants/{clientKey}/corrections` | `fromPosition` `limit` `at` `knownAt` `knownSeq` `minPosition` | `{corrections, nextPosition?, freshness}` |
//! | `GET /v1/decisions` | `from` `app` `rule` `moved` `divergent` `corrections` `limit` | `{decisions, cursor, more, freshness}`, or a stream that goes on, see below |
//! | `POST /v1/whatif` | body: `{"policies": [{"mode": …}], "appKey"?, "from"?, "to"?, "differences"?}` | `{reports, tenants, records, refused?, freshness}` |
//! | `GET /v1/replay` | `clientKey` `appKey` `topic` `partition` `from` `to` `fromPosition` | lines, see below |
//! | `GET /v1/quarantine` | `reason` `cursor` `limit` | `{items, nextCursor?, freshness}` |
//! | `GET /v1/quarantine/{topic}/{partition}/{seq}` | | `{item, freshness}` |
//! | `GET /v1/tenants/{clientKey}/proof` | `appKey` `pinned` `topic` `partition` | a bundle (`application/x-ndjson`), for `verify --bundle` |
//! | `GET /v1/checkpoints` | | `{checkpoints, freshness}`: the last signed note of each log |
//! | `POST /v1/commands` | `dryRun`; body: one native event | `{id, records, pending?}`, 201 when nothing is pending, else 202; with `dryRun` `{id, event, before, after, changes, changed, records?, refused?, freshness}` |
//! | `GET /v1/commands/{id}` | `clientKey`, or `appKey` for an event of a whole app | `{id, records, pending?, freshness}` |
//! | `POST /v1/quarantine/{topic}/{partition}/{seq}/retry` | `dryRun`; body: nothing | as `POST /v1/commands`, of the event of that refused message |
//! | `POST /v1/backups` | body: nothing, or `{"keep": 7}` | lines: `{"progress": …}` now and then, then `{"backup": …}` |
//! | `GET /`, `GET /page/{name}` | | the page, where `http.page` is on; it asks the routes above |
//! | `GET /livez` | | the process answers |
//! | `GET /readyz` | `once` | every shard, how fresh it is; 503 while one that is assigned here is too far behind or halted, or none is. With `once=true` 200 from when all that are assigned were read to their end, or halted, for the first time |
//! | `GET /metrics` | | Prometheus text; on the admin listener only ([`serve_admin`](fn@crate::serve_admin)) |
//! | `GET /openapi.json` | | this table and the one of problems as OpenAPI 3.1, with the schema of every answer |
//!
//! Keys are percent-encoded in paths (`jira:a/b` is `jira%3Aa%2Fb`). A parameter that a route does not know,
//! or that is given twice, is refused. Instants are RFC 3339. `minPosition` asks for an answer that includes
//! the record with that position in the tenant's shard, as decisions name it, and waits a moment for it. A page
//! can be shorter than `limit` and not the last: it also ends when it weighs a megabyte.
//!
//! What is not there is `not-found`, also as of an instant: an installation before its first event has neither state nor
//! explanation. A tenant that is known and had no installation then is an answer with an empty list, and so is its log.
//!
//! `refused` names the tenants whose events are in several partitions, whatever the filter: half a history does not
//! show whether it belongs on the list. They come before the first installation, on as many pages as it takes; one can be
//! named again where an installation of it would be.
//!
//! With `Accept: application/x-ndjson`, `/v1/installations`, `/v1/migrations` and the log are streams: one installation or
//! record on each line, to the end or to `limit`. A tenant that is left out is a line `{"refused": …}`. The
//! last line is `{"freshness": …}`, or `{"problem": …}` where something went wrong on the way; without
//! either the stream was cut off.
//!
//! A question about the whole log, `POST /v1/whatif`, is a stream of the same kind: `{"progress": …}` now and
//! then, `{"difference": …}` where asked for, `{"report": …}` for each policy, and the last line as above.
//! `GET /v1/replay` always is one, of `{"step": …}`.
//! Without that `Accept` what-if has to be answered within the time of any question, and refuses to list differences.
//!
//! `POST /v1/commands` publishes an event to the topic and waits ten seconds until it is recorded. The id makes it
//! idempotent. Types: see [`crate::command::COMMAND_TYPES`].
//!
//! `POST /v1/backups` makes a backup on the machine of the server, where its configuration says. A client that goes away
//! ends it; what was not finished counts for nothing.
//!
//! # Decisions, live
//!
//! With `Accept: text/event-stream` or `application/x-ndjson`, `/v1/decisions` is a stream: what is recorded since `from`
//! (all of it unless given), then each new decision and correction once it is durable, without a gap and without a repeat
//! between the two. Each is the JSON that the topic of decisions has. It covers the shards that are assigned to this
//! process. The cursor is good after a restart, and at another process that has the shards.
//!
//! | | as events | as lines |
//! | --- | --- | --- |
//! | a decision or correction | `id:` the cursor behind it, `data:` its JSON | its JSON |
//! | the cursor behind all of the above | `event: heartbeat`, every 15 s | `{"cursor": …}`, whenever the next is waited for, and every 15 s |
//! | a shard was `ASSIGNED`, `RELEASED`, or is `UNREAD` | `event: shard` | `{"shard": {topic, partition, state, detail?}}` |
//! | the end | `event: problem` | `{"problem": …, "cursor": …}` |
//!
//! A client that comes back with `Last-Event-ID` goes on behind it, whatever `from` says. The end is `stopping`, or
//! `slow-consumer` for a client that did not take what it had while 10,000 more, or 16 MiB, came. A filter (`app`,
//! `rule`, …) is applied before anything is sent or counted. Streams take no place among the questions: 1,000 can be open.
//!
//! # Many clients, and slow ones
//!
//! Questions that read much (lists, logs, proofs, the past, whatever waits for `minPosition`) have half of the places
//! ([`Options::concurrent_requests`]); health and metrics need none. A client has a deadline for whatever it is waited
//! for ([`Deadlines`]): head, body, reading its answer, asking again. A stream costs some
//! ten kilobytes while it is not read, and neither thread nor snapshot. Pages are made by few threads, and only when there is
//! room for them until their clients have read them. When all connections are taken the one that
//! has waited longest for its client makes room. When the server stops, streams end with `{"problem": …}` (`stopping`).
//!
//! HTTP/1.1 and HTTP/2 (with prior knowledge) are served on the same port, with the same deadlines. On HTTP/2 a client
//! also has to answer pings, has so many streams at a time, and loses a stream that it does not read.
//!
//! # Access
//!
//! Where someone is named who may ask ([`Api::with_access`]) every route takes credentials but those that know no tenant
//! (probes, the document, the files of the page): see [`gate`]. What is not granted is answered as what does not exist.
//! Nothing of a question is read before its caller may ask it.
//!
//! Without that a request has to be sent to a name of this machine, and by no page of another site ([`site`]). A POST has
//! `content-type: application/json`, which such a page cannot send unasked.
//!
//! # Problems (RFC 9457)
//!
//! Whatever is not answered is an `application/problem+json` with `type`, `title`, `status`, `detail`, and a
//! stable `code`; where a parameter is to blame, `parameter` names it. The table is [`ProblemKind`]. That goes for what
//! the HTTP library refuses before a route is asked, too.

mod accept;
mod ask;
mod backups;
mod body;
mod commands;
mod connection;
mod converse;
mod decisions;
mod frames;
mod gate;
mod health;
mod metric;
mod observe;
mod places;
mod problem;
mod routes;
mod scan;
mod serve;
mod site;
mod socket;
mod stream;
mod tls;
mod unread;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use ledger_core::time::Timestamp;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use ask::{AnswerForm, GRPC};
pub(crate) use body::read as read_body;
pub use body::read_body_within;
pub(crate) use commands::Submitted;
pub(crate) use gate::Caller;
pub use health::{JournalHealth, ReadJournal, ReadyBounds};
pub use metric::{describe, report_freshness};
pub(crate) use serve::serve;
pub use serve::{serve_admin, serve_routes};
pub use tls::{Tls, TlsError, TlsOptions};

use crate::access::Access;
use crate::action::{ACTIONS, BACKUP, RETRY, SUBMIT};
use crate::backup::MakeBackup;
use crate::command::Commands;
use crate::decisions::{Decisions, Subscription};
use crate::ledger::Ledger;
use crate::limits::{Deadlines, PAGES_AT_A_TIME, STREAM_READS_AT_A_TIME, SubscriptionBounds};
use crate::page;
use crate::problem::ProblemKind;
use crate::query::{
    CheckpointsQuery, CommandQuery, CorrectionsQuery, DecisionsQuery, ExplainQuery, InstallationQuery,
    InstallationsQuery, LineageQuery, LogQuery, MigrationsQuery, PreviewQuery, Problem, ProofQuery,
    QuarantineItemQuery, QuarantineQuery, Question, ReplayQuery, SearchQuery, TenantQuery, WhatIfQuery,
};
use crate::readers::ReaderThreads;
use places::{Places, RequestPlace};

/// What the owner of the server decides. The other bounds are in [`crate::limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Questions that are answered at a time, streams included; beyond them there is a refusal. Those that read
    /// much get half of them.
    pub concurrent_requests: usize,
    /// Connections that are open at a time; beyond them the one that waited longest for its client is closed.
    pub connections: usize,
    /// How long a question may take.
    pub request_timeout: Duration,
    /// How far a shard may be behind and still count as ready.
    pub ready: ReadyBounds,
    /// Whether the page is served under `/`.
    pub page: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrent_requests: 256,
            connections: 1024,
            request_timeout: Duration::from_secs(30),
            ready: ReadyBounds::default(),
            page: true,
        }
    }
}

/// Renders the metrics of the process, wherever they are kept.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What the routes share.
#[derive(Clone)]
pub struct Api {
    ledger: Arc<Ledger>,
    access: Arc<Access>,
    tls: Option<Arc<Tls>>,
    metrics: RenderMetrics,
    backups: Option<Arc<dyn MakeBackup>>,
    commands: Option<Commands>,
    journal: Option<ReadJournal>,
    /// Every assigned shard was read to its end once, or halted.
    was_begun: Arc<AtomicBool>,
    clock: fn() -> Timestamp,
    places: Places,
    readers: ReaderThreads,
    pages: ReaderThreads,
    decisions: Decisions,
    options: Arc<Options>,
    deadlines: Deadlines,
}

impl Api {
    /// Questions go to this ledger.
    pub fn new(ledger: Arc<Ledger>, metrics: RenderMetrics, options: Options) -> Self {
        let places = Places::new(options.concurrent_requests);
        let readers = ReaderThreads::start("stream", STREAM_READS_AT_A_TIME);
        let pages = ReaderThreads::start("page", PAGES_AT_A_TIME);
        let decisions = Decisions::new(Arc::clone(&ledger), readers.clone(), SubscriptionBounds::default());
        let (options, deadlines) = (Arc::new(options), Deadlines::default());
        Self {
            ledger,
            access: Arc::default(),
            tls: None,
            metrics,
            backups: None,
            commands: None,
            journal: None,
            was_begun: Arc::default(),
            clock: system_clock,
            places,
            readers,
            pages,
            decisions,
            options,
            deadlines,
        }
    }

    /// Answers those who are named there, and no others; everyone, where no one is.
    #[must_use]
    pub fn with_access(self, access: Arc<Access>) -> Self {
        Self { access, ..self }
    }

    /// Speaks TLS on the listener of questions.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Waits for its clients no longer than that.
    #[must_use]
    pub fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }

    /// Takes commands this way; none: it takes none.
    #[must_use]
    pub fn with_commands(self, commands: Option<Commands>) -> Self {
        Self { commands, ..self }
    }

    /// Makes backups this way.
    #[must_use]
    pub fn with_backups(self, backups: Option<Arc<dyn MakeBackup>>) -> Self {
        Self { backups, ..self }
    }

    /// Shows this journal in `/readyz`.
    #[must_use]
    pub fn with_journal(self, journal: Option<ReadJournal>) -> Self {
        Self { journal, ..self }
    }

    /// Bounds subscriptions by these.
    #[must_use]
    pub fn with_subscription_bounds(self, bounds: SubscriptionBounds) -> Self {
        let decisions = Decisions::new(Arc::clone(&self.ledger), self.readers.clone(), bounds);
        Self { decisions, ..self }
    }

    /// Takes the time from this clock instead of the system's.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// The same interface, for someone who waits no longer than that, if they say so.
    pub(crate) fn within(self, limit: Option<Duration>) -> Self {
        let Some(limit) = limit else { return self };
        let request_timeout = limit.min(self.options.request_timeout);
        Self { options: Arc::new(Options { request_timeout, ..Options::clone(&self.options) }), ..self }
    }

    /// A place for who watches health.
    pub(crate) fn place_of_a_watch(&self) -> Result<RequestPlace, Problem> {
        self.places.take_watch()
    }

    /// What is decided about the apps that are seen, as a stream; until its caller's credentials expire.
    pub(crate) async fn subscribe(
        &self,
        question: DecisionsQuery,
        until: Option<Timestamp>,
    ) -> Result<Subscription, Problem> {
        let DecisionsQuery { from, filter, limit } = question;
        let filter = filter.seen_with(&self.ledger.grants);
        let held = self.places.hold_subscription(self.decisions.most())?;
        let subscription = self.decisions.subscribe(from.unwrap_or_default(), filter).await?;
        let subscription = subscription.limited_to(limit).holding(held);
        let left = until.map(|until| until.millis_since((self.clock)()));
        let left = left.map(|left| Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        // What is too far away to be an instant does not come.
        Ok(subscription.expiring_at(left.and_then(|left| Instant::now().checked_add(left))))
    }

    /// Whether anything more is answered.
    pub(crate) fn check_open(&self) -> Result<(), Problem> {
        self.places.check_open()
    }

    /// All routes, and more behind the same check and the same limits.
    pub(crate) fn router(self, more: Router) -> Router {
        let api = self.clone();
        // A router that is merged keeps its own way with methods.
        api.guarded(self.routes().merge(more.method_not_allowed_fallback(method_not_allowed)))
    }

    /// Whatever is in the router goes through the same layers: what is added to it later does not.
    fn guarded(self, routes: Router) -> Router {
        let routes = routes.layer(from_fn(observe::refuse_broken_escapes));
        let routes = if self.access.is_on() {
            routes.layer(from_fn_with_state(self, gate::admit))
        } else if self.access.is_open() {
            routes
        } else {
            routes.layer(from_fn(site::refuse_others))
        };
        layered(routes)
    }

    /// Probes and metrics.
    pub(crate) fn admin_router(self) -> Router {
        let routes = Router::new()
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self);
        layered(routes.layer(from_fn(observe::refuse_broken_escapes)))
    }

    fn routes(self) -> Router {
        let page = if self.options.page { page::routes() } else { Router::new() };
        Router::new()
            .route(InstallationQuery::ROUTE, get(routes::get::<InstallationQuery>))
            .route(TenantQuery::ROUTE, get(routes::get::<TenantQuery>))
            .route(InstallationsQuery::ROUTE, get(routes::get::<InstallationsQuery>))
            .route(MigrationsQuery::ROUTE, get(routes::get::<MigrationsQuery>))
            .route(LineageQuery::ROUTE, get(routes::get::<LineageQuery>))
            .route(SearchQuery::ROUTE, get(routes::get::<SearchQuery>))
            .route(LogQuery::ROUTE, get(routes::get::<LogQuery>))
            .route(CorrectionsQuery::ROUTE, get(routes::get::<CorrectionsQuery>))
            .route(ExplainQuery::ROUTE, get(routes::get::<ExplainQuery>))
            .route(PreviewQuery::ROUTE, get(routes::get::<PreviewQuery>))
            .route(DecisionsQuery::ROUTE, get(decisions::decisions))
            .route(QuarantineQuery::ROUTE, get(routes::get::<QuarantineQuery>))
            .route(QuarantineItemQuery::ROUTE, get(routes::get::<QuarantineItemQuery>))
            .route(CheckpointsQuery::ROUTE, get(routes::get::<CheckpointsQuery>))
            .route(ProofQuery::ROUTE, get(routes::get::<ProofQuery>))
            .route(ReplayQuery::ROUTE, get(routes::get::<ReplayQuery>))
            .route(WhatIfQuery::ROUTE, post(routes::what_if))
            .route(CommandQuery::ROUTE, get(routes::get::<CommandQuery>))
            .route(SUBMIT.route, post(commands::submit))
            .route(RETRY.route, post(commands::retry))
            .route(BACKUP.route, post(backups::make))
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .route("/openapi.json", get(openapi))
            .merge(page)
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self)
    }
}

fn layered(routes: Router) -> Router {
    routes
        .layer(from_fn(observe::refuse_long_heads))
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(from_fn(observe::measure))
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("ledger", &self.ledger)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn system_clock() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], crate::openapi::text())
}

async fn no_such_route() -> Problem {
    Problem::new(ProblemKind::NoSuchRoute, "the routes are listed in the documentation of the HTTP interface")
}

async fn method_not_allowed() -> Problem {
    let posts = ACTIONS.map(|action| action.route).join(", ");
    let detail =
        format!("this route takes GET; {}, {posts} and the methods of gRPC take POST", WhatIfQuery::ROUTE);
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}
