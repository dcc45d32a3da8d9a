//! `SubscribeDecisions`: the stream of [`crate::decisions`] as messages.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_core::Stream;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::{message, question};
use crate::decisions::{DecisionCursor, DecisionItem, ShardChange, Subscription};
use crate::http::{Api, Caller, read_body};
use crate::ledger::QueryError;
use crate::limits::STREAM_CHUNK_BYTES;
use crate::problem::ProblemKind;
use crate::proto::{Message, append_framed, schema};
use crate::query::{DecisionsQuery, Problem, Query};

pub(super) const METHOD: &str = "SubscribeDecisions";

pub(super) const ROUTE: &str = "/realmledger.v1.LedgerService/SubscribeDecisions";

pub(super) async fn subscribe(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let caller = Caller::of(&parts);
    message::check_content_type(&parts.headers)?;
    let timeout = message::timeout(&parts.headers)?;
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let body = read_body(body).await?;
    let unknown = || Problem::new(ProblemKind::NoSuchRoute, "this build has no such method");
    let method = schema().method(METHOD).ok_or_else(unknown)?;
    let question: DecisionsQuery = question(method, message::unframed(&body)?)?;
    let query = Query::from(question.clone());
    let answer = async move |api: Api, _| {
        let DecisionsQuery { from, filter, limit } = question;
        if limit == Some(0) {
            return Err(QueryError::OutOfRange { parameter: "limit", least: 1, most: None }.into());
        }
        let subscription = api.subscribe(from.unwrap_or_default(), filter)?;
        let messages =
            DecisionMessages { subscription, message: schema().output(method), left: limit, end: None };
        Ok(message::respond(messages, until))
    };
    Ok(api.for_caller(&caller, query, answer).await)
}

/// One message of the stream.
#[derive(Serialize)]
struct ToldMembers<'a> {
    cursor: &'a DecisionCursor,
    notice: Option<Encoded<'a>>,
    shard: Option<&'a ShardChange>,
}

/// A message that is encoded already.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A subscription as framed messages. What is there already is sent together.
struct DecisionMessages {
    subscription: Subscription,
    message: &'static Message,
    /// How many notices are still to be sent; none is all that come.
    left: Option<u64>,
    /// Sent behind the last message.
    end: Option<Problem>,
}

impl DecisionMessages {
    fn write(&mut self, item: &DecisionItem, into: &mut Vec<u8>) -> Result<(), Problem> {
        let mut told = ToldMembers { cursor: self.subscription.cursor(), notice: None, shard: None };
        match item {
            DecisionItem::Notice(notice) => {
                told.notice = Some(Encoded(&notice.message));
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(1);
                }
            }
            DecisionItem::Shard(change) => told.shard = Some(change),
            // The last message has the cursor to go on from, and nothing else.
            DecisionItem::End(end) => self.end = Some(end.clone().into()),
            DecisionItem::Heartbeat => {}
        }
        let unwritable = |error| Problem::new(ProblemKind::Internal, format!("{METHOD}: {error}"));
        append_framed(into, self.message, &told).map_err(unwritable)
    }

    fn is_over(&self) -> bool {
        self.left == Some(0) || self.end.is_some()
    }
}

impl Stream for DecisionMessages {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over() {
            return Poll::Ready(self.end.take().map(|problem| {
                self.left = Some(0);
                Err(problem)
            }));
        }
        let Some(mut item) = ready!(Pin::new(&mut self.subscription).poll_next(context)) else {
            return Poll::Ready(None);
        };
        let mut chunk = Vec::new();
        loop {
            if let Err(problem) = self.write(&item, &mut chunk) {
                return Poll::Ready(Some(Err(problem)));
            }
            let is_full =
                self.is_over() || !self.subscription.has_more() || chunk.len() >= STREAM_CHUNK_BYTES;
            let next =
                if is_full { Poll::Pending } else { Pin::new(&mut self.subscription).poll_next(context) };
            match next {
                Poll::Ready(Some(next)) => item = next,
                Poll::Ready(None) | Poll::Pending => return Poll::Ready(Some(Ok(chunk.into()))),
            }
        }
    }
}
