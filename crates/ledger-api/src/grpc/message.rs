//! A call as HTTP/2 carries it: one framed message in, framed messages and a status in the trailers out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use super::status;
use crate::http::GRPC;
use crate::problem::ProblemKind;
use crate::query::Problem;

/// Whether a request is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.and_then(|text| text.strip_prefix(GRPC)).is_some_and(|rest| matches!(rest, "" | "+proto"))
}

pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    if is_grpc(headers) {
        return Ok(());
    }
    let detail = format!("this route takes gRPC: a POST over HTTP/2 with content-type {GRPC}");
    Err(Problem::new(ProblemKind::InvalidBody, detail))
}

/// How long the client waits, if it says so: up to eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    const NAME: &str = "grpc-timeout";
    let Some(value) = headers.get(NAME) else { return Ok(None) };
    let read = || {
        let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
        let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| is_number)?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    };
    let invalid = || {
        Problem::with(
            ProblemKind::InvalidParameter,
            NAME,
            "expected up to eight digits and a unit, such as 500m",
        )
    };
    read().map(Some).ok_or_else(invalid)
}

/// The only message of a request.
pub(super) fn unframed(body: &[u8]) -> Result<&[u8], Problem> {
    let invalid = |detail| Problem::new(ProblemKind::InvalidBody, detail);
    let (frame, message) =
        body.split_first_chunk::<5>().ok_or_else(|| invalid("expected one message; the body has none"))?;
    let [is_compressed, length @ ..] = *frame;
    if is_compressed != 0 {
        return Err(invalid("compressed messages are not read here: send them as they are"));
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(invalid("expected one message; the body is another length than its frame says"));
    }
    Ok(message)
}

/// Messages, framed already, as the answer to a call.
pub(super) fn respond<S>(messages: S, until: Option<Instant>) -> Response
where
    S: Stream<Item = Result<Bytes, Problem>> + Send + Unpin + 'static,
{
    let until = until.map(|until| Box::pin(sleep_until(until)));
    let body = Body::new(MessageBody { messages, until, is_over: false });
    ([(header::CONTENT_TYPE, HeaderValue::from_static(GRPC))], body).into_response()
}

/// Messages, then a status.
#[derive(Debug)]
struct MessageBody<S> {
    messages: S,
    until: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl<S: Stream<Item = Result<Bytes, Problem>> + Unpin> MessageBody<S> {
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        if let Some(until) = &mut self.until
            && until.as_mut().poll(context).is_ready()
        {
            let detail = "the stream is longer than the time that the client gave it";
            return Poll::Ready(Some(Err(Problem::new(ProblemKind::Timeout, detail))));
        }
        Pin::new(&mut self.messages).poll_next(context)
    }
}

impl<S: Stream<Item = Result<Bytes, Problem>> + Unpin> HttpBody for MessageBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.poll_message(context)) {
            Some(Ok(messages)) => Frame::data(messages),
            end => {
                self.is_over = true;
                Frame::trailers(
                    end.and_then(Result::err).map_or_else(status::ok, |problem| status::headers(&problem)),
                )
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_with_their_units() {
        let of = |text: &'static str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-timeout"),
                HeaderValue::from_static(text),
            )]);
            timeout(&headers).map_err(|problem| problem.kind)
        };
        assert_eq!(of("2S"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(of("99999999H"), Ok(Some(Duration::from_hours(99_999_999))));
        assert_eq!(of("500m"), Ok(Some(Duration::from_millis(500))));
        for text in ["", "S", "5", "-1S", "+1S", "123456789S", "1s", "1 S"] {
            assert_eq!(of(text), Err(ProblemKind::InvalidParameter), "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_body_is_one_message() {
        assert_eq!(unframed(&[0, 0, 0, 0, 0]), Ok(&[][..]));
        assert_eq!(unframed(&[0, 0, 0, 0, 2, 8, 1]), Ok(&[8, 1][..]));
        for body in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 8], &[0, 0, 0, 0, 0, 0]] {
            assert_eq!(unframed(body).unwrap_err().kind, ProblemKind::InvalidBody, "{body:?}");
        }
    }
}
