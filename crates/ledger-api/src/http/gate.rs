//! Who sends a request, for every route and every protocol: one layer around the whole router.
//!
//! ```text
//!   request ─► credentials ─► Principal (429, 401) ─► Caller in the request's extensions ─► route
//!   route   ─► Api::admitted: the one check of (principal, query) (403), and the ledger as the principal sees it
//!   answer  ◄─ one line of the log target `access` for every use of `audit` and `operate`, and every refusal
//! ```
//!
//! The layer is there only where someone is named who may ask ([`Access::is_on`](crate::access::Access::is_on)): without
//! that no request pays for it. A route that gets no [`Caller`] although the layer should be there refuses.
//!
//! gRPC goes through the same layer, by its content type: a refusal is then a status without a body
//! ([`grpc_refusal`]). A method takes its [`Caller`] from the request's extensions, and asks [`Api::admitted`] too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ledger_core::ids::AppKey;

use super::Api;
use super::metric;
use super::tls::ClientCertificate;
use crate::access::{AccessScope, Credentials, Denied, Principal, Refusal};
use crate::problem::ProblemKind;
use crate::query::{Problem, Query};

/// Probes need no credentials.
const OPEN_ROUTES: [&str; 2] = ["/livez", "/readyz"];

/// What is not a question.
const NO_QUERY: &str = "none";

/// Whoever sent a request; none where there is no access control.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Arc<Principal>>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// What a request asked for, as the log has it: an extension of the answer.
#[derive(Debug, Clone)]
pub(crate) struct AskedFor {
    query: &'static str,
    scope: AccessScope,
    client: Option<String>,
    app: Option<String>,
    /// The app is not granted, so the answer is that of one that does not exist.
    is_hidden: bool,
}

impl Api {
    /// The one check before a question is answered, and the ledger as its caller sees it.
    pub(crate) fn admitted(mut self, caller: &Caller, query: &Query) -> Result<Self, Problem> {
        if self.access.is_on() {
            let Caller(Some(principal)) = caller else { return Err(Refusal::NoCredentials.into()) };
            principal.check(query.access())?;
            if principal.apps.apps().is_some() {
                self.ledger = Arc::new(self.ledger.seen_with(&principal.apps));
            }
        }
        Ok(self)
    }

    /// What the log has to have of a question; none where it needs no line.
    pub(crate) fn asked_for(&self, caller: &Caller, query: &Query) -> Option<AskedFor> {
        let principal = caller.0.as_deref().filter(|_| self.access.is_on())?;
        let scope = query.access();
        let is_plain = scope == AccessScope::Read && principal.scopes.has(scope);
        if is_plain && principal.apps.apps().is_none() {
            return None;
        }
        let (client, app) = query.keys();
        let key = app.as_deref().and_then(|app| AppKey::new(app).ok());
        let is_hidden = key.is_some_and(|app| !principal.apps.has(&app));
        if is_plain && !is_hidden {
            return None;
        }
        Some(AskedFor { query: query.name(), scope, client, app, is_hidden })
    }
}

/// Lets in who may ask, and logs what has to be.
pub(super) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if OPEN_ROUTES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|route| name_of(route.as_str()));
    let query = route.unwrap_or(NO_QUERY);
    let certificate = request.extensions().get::<ClientCertificate>().copied();
    let (principal, response) = match principal_of(&api, request.headers(), certificate).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller(Some(Arc::clone(&principal))));
            (Some(principal), next.run(request).await)
        }
        Err(Denied { refusal, principal, .. }) => {
            let is_grpc = is_grpc(request.headers());
            let problem = Problem::from(refusal);
            (principal, if is_grpc { grpc_refusal(problem) } else { problem.into_response() })
        }
    };
    report(query, principal.as_deref(), &response, begun);
    response
}

/// Whoever sent the request. A web token whose key is not known has the keys of its issuer read again first.
async fn principal_of(
    api: &Api,
    headers: &HeaderMap,
    certificate: Option<ClientCertificate>,
) -> Result<Arc<Principal>, Denied> {
    let admit = || {
        let certificate = certificate.as_ref().map(|ClientCertificate(hash)| hash);
        api.access.admit(credentials(headers), certificate, (api.clock)())
    };
    let admitted = admit();
    let Err(Denied { stale_keys: Some(stale), .. }) = &admitted else { return admitted };
    let (access, stale) = (Arc::clone(&api.access), stale.clone());
    let is_read = tokio::task::spawn_blocking(move || access.read_again(&stale)).await;
    if is_read.unwrap_or(false) { admit() } else { admitted }
}

fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    Credentials::from_headers(headers.get_all(header::AUTHORIZATION).into_iter().map(HeaderValue::as_bytes))
}

/// The question of a route.
fn name_of(route: &str) -> &'static str {
    Query::ROUTES.iter().find(|(_, of)| *of == route).map_or(NO_QUERY, |(name, _)| name)
}

/// The line of the log, and the count, of a request that needs them.
fn report(query: &'static str, principal: Option<&Principal>, response: &Response, begun: Instant) {
    let asked = response.extensions().get::<AskedFor>();
    let kind = response.extensions().get::<ProblemKind>().copied();
    let refused = kind.filter(|kind| {
        matches!(kind, ProblemKind::Unauthenticated | ProblemKind::ScopeMissing | ProblemKind::RateLimited)
    });
    let refused = refused.map(ProblemKind::code);
    let hidden = asked.and_then(|asked| asked.is_hidden.then_some("not-granted"));
    let refused = refused.or(hidden);
    let query = asked.map_or(query, |asked| asked.query);
    if let Some(code) = refused {
        metric::access_refused(query, code);
    }
    let is_logged = asked.is_some_and(|asked| asked.scope != AccessScope::Read);
    if refused.is_none() && !is_logged {
        return;
    }
    tracing::info!(
        target: "access",
        principal = principal.map(|principal| principal.name.as_str()),
        query,
        client_key = asked.and_then(|asked| asked.client.as_deref()),
        app_key = asked.and_then(|asked| asked.app.as_deref()),
        code = refused.or_else(|| kind.map(ProblemKind::code)).unwrap_or("ok"),
        status = response.status().as_u16(),
        took = ?begun.elapsed(),
    );
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// A refusal to a client of gRPC: trailers alone, as the protocol has it for what is refused before a method is called.
fn grpc_refusal(problem: Problem) -> Response {
    const UNAUTHENTICATED: &str = "16";
    const PERMISSION_DENIED: &str = "7";
    const RESOURCE_EXHAUSTED: &str = "8";
    let status = match problem.kind {
        ProblemKind::RateLimited => RESOURCE_EXHAUSTED,
        ProblemKind::ScopeMissing => PERMISSION_DENIED,
        _ => UNAUTHENTICATED,
    };
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(problem.kind);
    let message = HeaderValue::try_from(problem.into_json().detail.as_ref());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    if let Ok(message) = message {
        headers.insert("grpc-message", message);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_grpc_is_a_status_in_the_head() {
        let refused = |refusal: Refusal| {
            let response = grpc_refusal(refusal.into());
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &HeaderValue::from_static("application/grpc"))
            );
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            (header("grpc-status"), header("grpc-message"))
        };
        assert_eq!(refused(Refusal::NoCredentials).0, "16");
        let (status, message) = refused(Refusal::ScopeMissing { needed: AccessScope::Audit });
        assert_eq!((&*status, message.contains("scope audit")), ("7", true));
        assert_eq!(refused(Refusal::RateLimited { per_second: 1 }).0, "8");
    }
}
