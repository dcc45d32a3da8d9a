//! The queries over gRPC: `realmledger.v1.LedgerService` as in `proto/`, `grpc.health.v1`, and reflection.
//!
//! ```text
//!   POST /realmledger.v1.LedgerService/GetInstallation
//!     frame ─ proto::members ─► question (the fields are the parameters that HTTP has) ─► Api ─► Answer
//!     answer ─ serde, proto::append_framed ─► frame ─► trailers with the status
//! ```
//!
//! In: the requests that [`Api`] routes here. Out: the same questions to the same [`Api`], so places, threads, time limits and the
//! room for unread answers are those of HTTP. Each method is a row of the table of questions; a method whose name is that
//! of a question after `Scan` gives its lines, as HTTP does with `Accept: application/x-ndjson`. Messages are made from
//! the descriptors ([`crate::proto`]): none is generated, none is listed here.
//!
//! An error is a [`Problem`], as everywhere. The outermost layer ([`with_statuses`]) turns whatever answered with one into
//! a status, be it a method, the limits of HTTP, or a layer around both. A message on the way of a stream has it as
//! its last line, and the status follows.
//!
//! `grpc-timeout` shortens the time limit of a question, and ends a stream. Messages are not compressed.

mod commands;
mod decisions;
mod health;
mod message;
mod status;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

use crate::action::{ACTIONS, RETRY};
use crate::http::{AnswerForm, Api, Caller, read_body};
use crate::limits::BODY_MAX_BYTES;
use crate::problem::ProblemKind;
use crate::proto::{DESCRIPTORS, InvalidMessage, Method, SERVICE, members, schema};
use crate::query::{ForEachQuestion, Problem, Question, for_each_question, read_pairs};
use health::Health;

/// All methods, as routes.
pub(crate) fn methods(api: Api) -> Router {
    let mut questions = QuestionMethods(Router::new());
    for_each_question(&mut questions);
    let health = HealthServer::new(Health::new(api.clone())).max_decoding_message_size(BODY_MAX_BYTES);
    for action in ACTIONS {
        if let Some(name) = action.method {
            let does = if action == &RETRY { post(commands::retry) } else { post(commands::submit) };
            questions.0 = questions.0.route(&route_of(name), does);
        }
    }
    let router = questions.0.with_state(api).route_service("/grpc.health.v1.Health/{method}", health);
    with_reflection(router)
}

/// Gives what answered with a problem the status of gRPC, where that was asked.
pub(crate) fn with_statuses(router: Router) -> Router {
    router.layer(from_fn(status::give))
}

/// Both versions: older clients ask for the first.
fn with_reflection(router: Router) -> Router {
    let builder = || {
        let builder = Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        builder.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (Ok(v1), Ok(v1alpha)) = (builder().build_v1(), builder().build_v1alpha()) else {
        // The descriptors are those of this build, and every test reads them.
        tracing::error!("there is no reflection: its descriptors do not read");
        return router;
    };
    router
        .route_service(
            "/grpc.reflection.v1.ServerReflection/{method}",
            v1.max_decoding_message_size(BODY_MAX_BYTES),
        )
        .route_service(
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
            v1alpha.max_decoding_message_size(BODY_MAX_BYTES),
        )
}

fn route_of(method: &str) -> String {
    format!("/{SERVICE}/{method}")
}

/// A method by its name.
fn method(name: &str) -> Result<&'static Method, Problem> {
    let unknown = || Problem::new(ProblemKind::NoSuchRoute, "this build has no such method");
    schema().method(name).ok_or_else(unknown)
}

/// A route for each question, and for its lines.
struct QuestionMethods(Router<Api>);

impl ForEachQuestion for QuestionMethods {
    fn question<Q: Question>(&mut self) {
        if Q::METHOD == decisions::METHOD {
            // Never answered to its end.
            self.0 = std::mem::take(&mut self.0).route(decisions::ROUTE, post(decisions::subscribe));
            return;
        }
        let scan = format!("Scan{}", Q::METHOD);
        for method in [Q::METHOD, &scan].into_iter().filter_map(|name| schema().method(name)) {
            let route = route_of(&method.name);
            let answer = move |State(api): State<Api>, request: Request| answer::<Q>(api, method, request);
            self.0 = std::mem::take(&mut self.0).route(&route, post(answer));
        }
    }
}

/// What came of a call before its method looks at it.
struct Call {
    caller: Caller,
    /// How long the client waits, if it says so.
    timeout: Option<Duration>,
    /// The end of that time.
    until: Option<Instant>,
    body: Vec<u8>,
}

impl Call {
    async fn read(request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts);
        message::check_content_type(&parts.headers)?;
        let timeout = message::timeout(&parts.headers)?;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { caller, timeout, until, body: read_body(body).await? })
    }

    fn question<Q: Question>(&self, method: &'static Method) -> Result<Q, Problem> {
        question(method, message::unframed(&self.body)?)
    }
}

/// Answers a method to a caller that may call it.
async fn answer<Q: Question>(
    api: Api,
    method: &'static Method,
    request: Request,
) -> Result<Response, Problem> {
    let call = Call::read(request).await?;
    let question: Q = call.question(method)?;
    let Call { caller, timeout, until, .. } = call;
    let api = api.within(timeout);
    let form = AnswerForm::Message(schema().output(method));
    let answer = async move |api: Api, query| {
        if method.is_stream {
            return Ok(message::respond(api.scanned(query, form).await?, until));
        }
        // The time limit was that of the question.
        Ok(message::respond(api.answered(query, form).await?.into_body(), None))
    };
    Ok(api.for_caller(&caller, question.into(), answer).await)
}

/// A question from its message: the fields are the parameters of its route, or the members of its body.
fn question<Q: Question>(method: &'static Method, message: &[u8]) -> Result<Q, Problem> {
    let members = members(schema().input(method), message).map_err(|error| unreadable(&error))?;
    if Q::IN_BODY {
        let expected = |error| Problem::new(ProblemKind::InvalidBody, format!("{}: {error}", method.name));
        return serde_json::from_value(Json::Object(members)).map_err(expected);
    }
    from_members(Q::ROUTE, members)
}

/// What the fields of a message are, as parameters of a route.
fn from_members<P: DeserializeOwned>(route: &str, members: Map<String, Json>) -> Result<P, Problem> {
    let pairs = members.into_iter().map(|(name, value)| match value {
        Json::String(text) => (name, text),
        value => (name, value.to_string()),
    });
    let is_in_path = |name: &str| route.split(['{', '}']).skip(1).step_by(2).any(|part| part == name);
    let (path, pairs) = pairs.partition(|(name, _)| is_in_path(name));
    read_pairs(path, pairs)
}

fn unreadable(error: &InvalidMessage) -> Problem {
    let detail = error.to_string();
    match error {
        InvalidMessage::Malformed | InvalidMessage::NotFinite => {
            Problem::new(ProblemKind::InvalidBody, detail)
        }
        InvalidMessage::UnknownField { number, .. } => {
            Problem::with(ProblemKind::UnknownParameter, number.to_string(), detail)
        }
        InvalidMessage::Misfit { field } => Problem::with(ProblemKind::InvalidParameter, *field, detail),
    }
}
