//! Why a call is not taken: the code in the answer, in the access log and in the metrics.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

macro_rules! refusals {
    ($($name:ident = $status:literal $code:literal $detail:literal,)*) => {
        /// Why a call is not taken. Nothing is recorded of one that is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Refusal {
            $(#[doc = $detail] $name,)*
        }

        impl Refusal {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            const fn row(self) -> (u16, &'static str, &'static str) {
                match self { $(Self::$name => ($status, $code, $detail),)* }
            }
        }
    };
}

refusals! {
    NoSuchHook = 404 "no-such-hook" "no app, realm or hook of this name is configured here",
    MethodNotAllowed = 405 "method-not-allowed" "hooks are sent with POST, a question about a migration with GET or POST",
    BodyTooLarge = 413 "body-too-large" "the body has more bytes than a hook may have",
    BodyTooSlow = 408 "body-too-slow" "the body did not come in time",
    BadBody = 400 "bad-body" "the body is not that of this hook",
    NoToken = 401 "no-token" "the token of this kind of call is missing",
    TwoTokens = 401 "two-tokens" "the call has more than one token",
    MalformedToken = 401 "malformed-token" "the token is none that can be read",
    WrongAlgorithm = 401 "wrong-algorithm" "the token is not signed with RS256",
    BadKeyId = 401 "bad-key-id" "the token names its key as no key is named",
    UnknownKey = 401 "unknown-key" "no key server has the key that signed the token",
    BadSignature = 401 "bad-signature" "the signature is not that of the key",
    Expired = 401 "expired" "the token has expired",
    NotYetValid = 401 "not-yet-valid" "the token is not good yet",
    WrongIssuer = 401 "wrong-issuer" "the token has another issuer than the call",
    WrongAudience = 401 "wrong-audience" "the token is for another audience",
    WrongQueryHash = 401 "wrong-query-hash" "the token was signed for another request (qsh)",
    WrongApp = 401 "wrong-app" "the call is about another app",
    WrongSite = 401 "wrong-site" "the host of the site is none of those that are configured",
    Replayed = 401 "replayed" "the token was used before",
    NoTokenId = 401 "no-token-id" "the token has no id (jti) that would tell a replay",
    BadLabel = 401 "bad-label" "the token names an isolated cloud that is not configured",
    NoTenant = 401 "no-tenant" "the token names no tenant",
    CopyRefused = 401 "copy-refused" "the token of the one who sent the copy is not good",
    CopyScopeMissing = 403 "scope-missing" "the token of the one who sent the copy lacks the scope hooks",
    CopyLimited = 429 "rate-limited" "the one who sent the copy sends too many",
    KeysUnavailable = 503 "keys-unavailable" "the key that signed the token is not known yet; send it again later",
    Busy = 503 "busy" "too many hooks are open; send it again later",
    JournalFull = 503 "journal-full" "the journal is full; send it again later",
    JournalBroken = 503 "journal-broken" "the journal cannot be written; send it again later",
    AppUnreachable = 502 "app-unreachable" "the app behind the gateway gives no answer",
    AppTimeout = 504 "app-timeout" "the app behind the gateway did not answer in time",
    AnswerTooLarge = 502 "answer-too-large" "the answer of the app behind the gateway is too long",
}

impl Refusal {
    /// Its name: a promise to users.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, detail) = self.row();
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code});
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"realm-ledger\", JWT"),
            );
        }
        if matches!(self, Self::BodyTooLarge | Self::BodyTooSlow) {
            // Where the next request would begin is not known.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_a_code_of_its_own_and_a_status_that_refuses() {
        let codes: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.code()).collect();
        assert_eq!(codes.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert_eq!(refusal.into_response().status().as_u16(), refusal.status());
            assert!((400..600).contains(&refusal.status()), "{refusal:?}");
        }
    }
}
