//! The queries over HTTP.
//!
//! | route | parameters | answers |
//! | --- | --- | --- |
//! | `GET /v1/installations` | `appKey` `status` `realm` `drift` `splitBrain` `anomalous` `window=OPEN` `windowClosingBefore` `at` `knownAt` `cursor` `limit` | `{installations, refused?, nextCursor?, freshness}` |
//! | `GET /v1/migrations` | `appKey` `overdue` `at` `knownAt` `cursor` `limit` | `{installations, refused?, nextCursor?, freshness}`: those with a pending migration |
//! | `GET /v1/tenants/{clientKey}` | `at` `knownAt` `knownSeq` `minPosition` | `{installations, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}` | `at` `knownAt` `knownSeq` `minPosition` | `{installation, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}/explanation` | `at` `knownAt` `knownSeq` `minPosition` | `{explanation, freshness}` |
//! | `GET /v1/tenants/{clientKey}/apps/{appKey}/preview` | `productRealm` `at` `knownAt` `knownSeq` `minPosition` | `{decision, freshness}` |
//! | `GET /v1/tenants/{clientKey}/log` | `fromSeq` `limit` `at` `knownAt` `knownSeq` `minPosition` | `{records, nextSeq?, freshness}` |
//! | `GET /v1/tenants/{clientKey}/corrections` | `fromPosition` `limit` `at` `knownAt` `knownSeq` `minPosition` | `{corrections, nextPosition?, freshness}` |
//! | `POST /v1/whatif` | body: `{"policies": [{"mode": …}], "appKey"?, "from"?, "to"?, "differences"?}` | `{reports, tenants, records, refused?, freshness}` |
//! | `GET /v1/replay` | `clientKey` `appKey` `topic` `partition` `from` `to` `fromPosition` | lines, see below |
//! | `GET /v1/quarantine` | `reason` `cursor` `limit` | `{items, nextCursor?, freshness}` |
//! | `GET /v1/quarantine/{topic}/{partition}/{seq}` | | `{item, freshness}` |
//! | `GET /v1/tenants/{clientKey}/proof` | `appKey` `pinned` `topic` `partition` | a bundle (`application/x-ndjson`), for `verify --bundle` |
//! | `GET /v1/checkpoints` | | `{checkpoints, freshness}`: the last signed note of each log |
//! | `GET /livez` | | the process answers |
//! | `GET /readyz` | | every shard, how fresh it is; 503 while one that is assigned here is too far behind or halted, or none is |
//! | `GET /metrics` | | Prometheus text; on the admin listener only ([`serve_admin`]) |
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
//! # Many clients, and slow ones
//!
//! Questions that read much (lists, logs, proofs, the past, whatever waits for `minPosition`) have half of the places
//! ([`Options::concurrent_requests`]); health and metrics need none. A client has a deadline for whatever it is waited
//! for ([`Deadlines`]): head, body, reading its answer, asking again. A stream costs some
//! ten kilobytes while it is not read, and neither thread nor snapshot. Pages are made by few threads, and only when there is
//! room for them until their clients have read them. When all connections are taken the one that
//! has waited longest for its client makes room. When the server stops, streams end with `{"problem": …}` (`stopping`).
//!
//! # Access
//!
//! Where someone is named who may ask ([`Api::with_access`]) every route but the probes takes credentials: see [`gate`].
//! What is not granted is answered as what does not exist.
//!
//! # Problems (RFC 9457)
//!
//! Whatever is not answered is an `application/problem+json` with `type`, `title`, `status`, `detail`, and a
//! stable `code`; where a parameter is to blame, `parameter` names it. The table is [`ProblemKind`]. That goes for what
//! the HTTP library refuses before a route is asked, too.

mod ask;
mod body;
mod connection;
mod gate;
mod health;
mod metric;
mod observe;
mod places;
mod problem;
mod readers;
mod routes;
mod scan;
mod serve;
mod socket;
mod stream;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::{get, post};
use ledger_core::time::Timestamp;
use tower_http::catch_panic::CatchPanicLayer;

pub use health::ReadyBounds;
pub use metric::{describe, report_freshness};
pub use serve::{serve, serve_admin};
pub use tls::{Tls, TlsError, TlsOptions};

use crate::access::Access;
use crate::ledger::Ledger;
use crate::limits::{Deadlines, PAGES_AT_A_TIME, STREAM_READS_AT_A_TIME};
use crate::problem::ProblemKind;
use crate::query::{
    CheckpointsQuery, CorrectionsQuery, ExplainQuery, InstallationQuery, InstallationsQuery, LogQuery,
    MigrationsQuery, PreviewQuery, Problem, ProofQuery, QuarantineItemQuery, QuarantineQuery, Question,
    ReplayQuery, TenantQuery, WhatIfQuery,
};
use places::Places;
use readers::ReaderThreads;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrent_requests: 256,
            connections: 1024,
            request_timeout: Duration::from_secs(30),
            ready: ReadyBounds::default(),
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
    clock: fn() -> Timestamp,
    places: Places,
    readers: ReaderThreads,
    pages: ReaderThreads,
    options: Arc<Options>,
    deadlines: Deadlines,
}

impl Api {
    /// Questions go to this ledger.
    pub fn new(ledger: Arc<Ledger>, metrics: RenderMetrics, options: Options) -> Self {
        let places = Places::new(options.concurrent_requests);
        let readers = ReaderThreads::start("stream", STREAM_READS_AT_A_TIME);
        let pages = ReaderThreads::start("page", PAGES_AT_A_TIME);
        let (options, deadlines) = (Arc::new(options), Deadlines::default());
        let access = Arc::default();
        let tls = None;
        Self { ledger, access, tls, metrics, clock: system_clock, places, readers, pages, options, deadlines }
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

    /// Takes the time from this clock instead of the system's.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let api = self.clone();
        api.guarded(self.routes())
    }

    /// Whatever is in the router goes through the same layers: what is added to it later does not.
    fn guarded(self, routes: Router) -> Router {
        let routes = if self.access.is_on() {
            routes.layer(axum::middleware::from_fn_with_state(self, gate::admit))
        } else {
            routes
        };
        layered(routes)
    }

    /// Probes and metrics.
    pub fn admin_router(self) -> Router {
        let routes = Router::new()
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self);
        layered(routes)
    }

    fn routes(self) -> Router {
        Router::new()
            .route(InstallationQuery::ROUTE, get(routes::get::<InstallationQuery>))
            .route(TenantQuery::ROUTE, get(routes::get::<TenantQuery>))
            .route(InstallationsQuery::ROUTE, get(routes::get::<InstallationsQuery>))
            .route(MigrationsQuery::ROUTE, get(routes::get::<MigrationsQuery>))
            .route(LogQuery::ROUTE, get(routes::get::<LogQuery>))
            .route(CorrectionsQuery::ROUTE, get(routes::get::<CorrectionsQuery>))
            .route(ExplainQuery::ROUTE, get(routes::get::<ExplainQuery>))
            .route(PreviewQuery::ROUTE, get(routes::get::<PreviewQuery>))
            .route(QuarantineQuery::ROUTE, get(routes::get::<QuarantineQuery>))
            .route(QuarantineItemQuery::ROUTE, get(routes::get::<QuarantineItemQuery>))
            .route(CheckpointsQuery::ROUTE, get(routes::get::<CheckpointsQuery>))
            .route(ProofQuery::ROUTE, get(routes::get::<ProofQuery>))
            .route(ReplayQuery::ROUTE, get(routes::get::<ReplayQuery>))
            .route(WhatIfQuery::ROUTE, post(routes::what_if))
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(self)
    }
}

fn layered(routes: Router) -> Router {
    routes
        .layer(axum::middleware::from_fn(observe::refuse_odd_heads))
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(axum::middleware::from_fn(observe::measure))
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

async fn no_such_route() -> Problem {
    Problem::new(ProblemKind::NoSuchRoute, "the routes are listed in the documentation of the HTTP interface")
}

async fn method_not_allowed() -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed, "this route takes GET, /v1/whatif takes POST")
}
