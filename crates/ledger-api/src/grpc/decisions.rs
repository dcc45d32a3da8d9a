//! `SubscribeDecisions`: the stream of [`crate::decisions`] as messages.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_core::Stream;
use serde::{Serialize, Serializer};

use super::{Call, message, method};
use crate::decisions::{DecisionCursor, DecisionItem, ShardChange, Subscription};
use crate::http::Api;
use crate::limits::STREAM_CHUNK_BYTES;
use crate::problem::ProblemKind;
use crate::proto::{Message, append_framed, schema};
use crate::query::{DecisionsQuery, Problem, Query, refuse_no_items};

pub(super) const METHOD: &str = "SubscribeDecisions";

pub(super) const ROUTE: &str = "/realmledger.v1.LedgerService/SubscribeDecisions";

pub(super) async fn subscribe(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let call = Call::read(request).await?;
    let method = method(METHOD)?;
    let question: DecisionsQuery = call.question(method)?;
    let (query, until) = (Query::from(question.clone()), call.caller.until());
    let answer = async move |api: Api, _| {
        refuse_no_items(question.limit)?;
        let subscription = api.subscribe(question, until).await?;
        let messages = DecisionMessages { subscription, message: schema().output(method), end: None };
        Ok(message::respond(messages, call.until))
    };
    Ok(api.for_caller(&call.caller, query, answer).await)
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
    /// Sent behind the last message.
    end: Option<Problem>,
}

impl DecisionMessages {
    fn write(&mut self, item: &DecisionItem, into: &mut Vec<u8>) -> Result<(), Problem> {
        let mut told = ToldMembers { cursor: self.subscription.cursor(), notice: None, shard: None };
        match item {
            DecisionItem::Notice(notice) => told.notice = Some(Encoded(&notice.message)),
            DecisionItem::Shard(change) => told.shard = Some(change),
            // The last message has the cursor to go on from, and nothing else.
            DecisionItem::End(end) => self.end = Some(end.clone().into()),
            DecisionItem::Heartbeat => {}
        }
        let unwritable = |error| Problem::new(ProblemKind::Internal, format!("{METHOD}: {error}"));
        append_framed(into, self.message, &told).map_err(unwritable)
    }
}

impl Stream for DecisionMessages {
    type Item = Result<Bytes, Problem>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(problem) = self.end.take() {
            return Poll::Ready(Some(Err(problem)));
        }
        let mut item = ready!(Pin::new(&mut self.subscription).poll_next(context));
        if item.is_none() {
            return Poll::Ready(None);
        }
        let mut chunk = Vec::new();
        while let Some(next) = item {
            if let Err(problem) = self.write(&next, &mut chunk) {
                return Poll::Ready(Some(Err(problem)));
            }
            let has_room = self.end.is_none() && chunk.len() < STREAM_CHUNK_BYTES;
            item = if has_room { self.subscription.ready() } else { None };
        }
        Poll::Ready(Some(Ok(chunk.into())))
    }
}
