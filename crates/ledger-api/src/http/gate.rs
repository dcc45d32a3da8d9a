//! Who sends a request, for every route and every protocol: one layer around the whole router.
//!
//! ```text
//!   request ─► credentials ─► Principal (429, 401) ─► its scopes, by the route (403) ─► Caller in the extensions ─► route
//!   route   ─► Api::admitted: the ledger as the principal sees it, and its part of the places
//!   answer  ◄─ one line of the log target `access` for every use of `audit` and `operate`, and every refusal
//! ```
//!
//! The layer is there only where someone is named who may ask ([`Access::is_on`](crate::access::Access::is_on)): without
//! that no request pays for it. A route that gets no [`Caller`] although the layer should be there refuses.
//!
//! gRPC goes through the same layer: a refusal is a problem as any other, and the layer outside of this one gives it its
//! status. A method takes its [`Caller`] from the request's extensions ([`Caller::of`]), and asks [`Api::for_caller`] too.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ledger_core::event::Event;
use ledger_core::ids::AppKey;
use ledger_core::time::Timestamp;
use ledger_record::token::without_tokens;

use super::Api;
use super::metric::{self, NO_QUERY};
use crate::access::{
    AccessScope, Admission, ClientCertificate, Credentials, Denied, Grants, Principal, Refusal,
};
use crate::action::{ACTIONS, Action};
use crate::problem::ProblemKind;
use crate::proto::SERVICE;
use crate::query::{Problem, Query};

/// What knows no tenant needs no credentials: probes, the document, the files of the page.
const OPEN_ROUTES: [&str; 6] =
    ["/livez", "/readyz", "/grpc.health.v1.Health/{method}", "/openapi.json", "/", "/page/{name}"];

/// Whoever sent a request; none where there is no access control.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(Option<Admission>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Caller {
    /// Whoever sent the request with this head.
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    fn principal(&self) -> Option<&Principal> {
        self.0.as_ref().map(|admission| &*admission.principal)
    }

    /// From when on its credentials are good no longer.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.0.as_ref().and_then(|admission| admission.until)
    }

    /// The name that what it does is recorded with.
    pub(crate) fn name(&self) -> Option<&str> {
        self.principal().map(|principal| principal.name.as_str())
    }

    /// Whether what these grants are asked for is granted; without access control everything is.
    pub(super) fn is_granted(&self, granted: impl FnOnce(&Grants) -> bool) -> bool {
        self.principal().is_none_or(|principal| granted(&principal.apps))
    }
}

/// What an action is about. One that turns out on the way is an extension of the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionSubject {
    client: Option<String>,
    app: Option<String>,
}

impl ActionSubject {
    pub(super) fn of(event: &Event) -> Self {
        Self { client: event.client().map(ToString::to_string), app: event.app().map(ToString::to_string) }
    }
}

/// What a request asked for, as the log has it: an extension of the answer.
#[derive(Debug, Clone)]
struct AskedFor {
    query: &'static str,
    scope: AccessScope,
    client: Option<String>,
    app: Option<String>,
    /// The app is not granted, so the answer is that of one that does not exist.
    is_hidden: bool,
    /// The tenant is not seen by someone with a grant of some apps.
    has_missed: bool,
}

impl Api {
    /// Answers a caller that may ask; what the log has to have of the question goes with the answer.
    pub(crate) async fn for_caller<F>(
        self,
        caller: &Caller,
        query: Query,
        answer: impl FnOnce(Self, Query) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, Problem>>,
    {
        let (asked, needed) = (self.asked_for(caller, &query), query.access());
        self.checked(caller, asked, needed, |api| answer(api, query)).await
    }

    /// Does for a caller that may have it done what is no question.
    pub(crate) async fn act_for<F>(
        self,
        caller: &Caller,
        action: &Action,
        ActionSubject { client, app }: ActionSubject,
        granted: impl FnOnce(&Grants) -> bool,
        act: impl FnOnce(Self) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, Problem>>,
    {
        let (needed, is_hidden) = (action.access, !caller.is_granted(granted));
        let asked = AskedFor { query: action.name, scope: needed, client, app, is_hidden, has_missed: false };
        self.checked(caller, Some(asked), needed, act).await
    }

    async fn checked<F>(
        self,
        caller: &Caller,
        asked: Option<AskedFor>,
        needed: AccessScope,
        answer: impl FnOnce(Self) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, Problem>>,
    {
        let (mut response, has_missed) = match self.admitted(caller, needed) {
            Ok(api) => {
                let ledger = Arc::clone(&api.ledger);
                (answer(api).await.into_response(), ledger.has_missed())
            }
            Err(problem) => (problem.into_response(), false),
        };
        let extensions = response.extensions_mut();
        if let Some(mut asked) = asked {
            if let Some(ActionSubject { client, app }) = extensions.remove() {
                (asked.client, asked.app) = (client, app);
            }
            extensions.insert(AskedFor { has_missed, ..asked });
        }
        response
    }

    /// The one check before anything is answered, and the ledger as its caller sees it.
    fn admitted(mut self, caller: &Caller, needed: AccessScope) -> Result<Self, Problem> {
        if self.access.is_on() {
            let Caller(Some(Admission { principal, .. })) = caller else {
                return Err(Refusal::NoCredentials.into());
            };
            principal.check(needed)?;
            self.places = self.places.of_principal(&principal.allowance);
            if principal.apps.apps().is_some() {
                self.ledger = Arc::new(self.ledger.seen_with(&principal.apps));
            }
        }
        Ok(self)
    }

    /// What the log has to have of a question; none where it needs no line.
    fn asked_for(&self, caller: &Caller, query: &Query) -> Option<AskedFor> {
        let Admission { principal, .. } = caller.0.as_ref().filter(|_| self.access.is_on())?;
        let scope = query.access();
        let is_plain = scope == AccessScope::Read && principal.scopes.has(scope);
        if is_plain && principal.apps.apps().is_none() {
            return None;
        }
        let (client, app) = query.keys();
        let key = app.as_deref().and_then(|app| AppKey::new(app).ok());
        let is_hidden = key.is_some_and(|app| !principal.apps.has(&app));
        // Whether a tenant is seen shows only in the answer.
        if is_plain && !is_hidden && client.is_none() {
            return None;
        }
        Some(AskedFor { query: query.name(), scope, client, app, is_hidden, has_missed: false })
    }
}

/// Lets in who may ask, and logs what has to be.
pub(super) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if OPEN_ROUTES.contains(&route) {
        return next.run(request).await;
    }
    let (begun, query) = (Instant::now(), name_of(route));
    let certificate = request.extensions().get::<ClientCertificate>();
    let admitted = api.access.admit_with_new_keys(credentials(request.headers()), certificate, api.clock);
    let (principal, response) = match admitted.await {
        Ok(admission) => {
            let principal = Arc::clone(&admission.principal);
            // Before anything of the question is read: what is wrong with it is nobody else's business.
            let needed = scope_of(query).filter(|needed| !principal.scopes.has(*needed));
            let response = if let Some(needed) = needed {
                refused(Refusal::ScopeMissing { needed }, query, needed, request).await
            } else {
                request.extensions_mut().insert(Caller(Some(admission)));
                next.run(request).await
            };
            (Some(principal), response)
        }
        Err(Denied { refusal, principal, .. }) => (principal, Problem::from(refusal).into_response()),
    };
    report(query, principal.as_deref(), &response, begun);
    response
}

/// What the question or action of this name takes; none: it has none.
fn scope_of(query: &str) -> Option<AccessScope> {
    let actions = ACTIONS.iter().map(|action| (action.name, action.access));
    let mut all = Query::SCOPES.iter().copied().chain(actions);
    all.find_map(|(name, access)| (name == query).then_some(access))
}

/// Refuses a question whose parameters are not read yet. The log has those of its keys that the target names.
async fn refused(refusal: Refusal, query: &'static str, scope: AccessScope, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let path = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).unwrap_or_default();
    let key = |name: &str| {
        let in_path = path.iter().flatten().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
        in_path.or_else(|| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    };
    let asked = AskedFor {
        query,
        scope,
        client: key("clientKey"),
        app: key("appKey"),
        is_hidden: false,
        has_missed: false,
    };
    let mut response = Problem::from(refusal).into_response();
    response.extensions_mut().insert(asked);
    response
}

fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    Credentials::from_headers(headers.get_all(header::AUTHORIZATION).into_iter().map(HeaderValue::as_bytes))
}

/// The question of a route, or of a method.
pub(super) fn name_of(route: &str) -> &'static str {
    let method = route.strip_prefix('/').and_then(|route| route.strip_prefix(SERVICE)?.strip_prefix('/'));
    let lines = method.and_then(|method| method.strip_prefix("Scan"));
    let of = |(name, of): &(&'static str, &str)| {
        [Some(route), method, lines].contains(&Some(*of)).then_some(*name)
    };
    let action = || Action::of_route(route).or_else(|| Action::of_method(method?)).map(|action| action.name);
    Query::ROUTES.iter().chain(Query::METHODS).find_map(of).or_else(action).unwrap_or(NO_QUERY)
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
    // What is refused before its question is read is a use all the same.
    let scope = asked.map(|asked| asked.scope).or_else(|| scope_of(query));
    let is_use = scope.is_some_and(|scope| scope != AccessScope::Read);
    let missed = asked.and_then(|asked| asked.has_missed.then_some(ProblemKind::NotFound));
    if refused.is_none() && missed.is_none() && !is_use {
        return;
    }
    // A token that is pasted for a key stays out of the log.
    let key = |key: Option<&String>| key.map(|key| without_tokens(key).into_owned());
    let code = refused.or_else(|| kind.or(missed).map(ProblemKind::code)).unwrap_or("ok");
    tracing::info!(
        target: "access",
        principal = key(principal.map(|principal| &principal.name)),
        query,
        client_key = key(asked.and_then(|asked| asked.client.as_ref())),
        app_key = key(asked.and_then(|asked| asked.app.as_ref())),
        code,
        status = response.status().as_u16(),
        took_ms = begun.elapsed().as_secs_f64() * 1000.0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_method_has_the_name_of_its_question() {
        assert_eq!(name_of("/v1/tenants/{clientKey}/log"), "Log");
        assert_eq!(name_of("/realmledger.v1.LedgerService/ReadLog"), "Log");
        assert_eq!(name_of("/realmledger.v1.LedgerService/ScanWhatIf"), "WhatIf");
        assert_eq!(name_of("/v1/backups"), "Backup");
        assert_eq!(name_of("/v1/commands"), "Submit");
        assert_eq!(name_of("/v1/quarantine/{topic}/{partition}/{seq}/retry"), "Retry");
        assert_eq!(name_of("/realmledger.v1.LedgerService/Submit"), "Submit");
        assert_eq!(name_of("/v1/commands/{id}"), "Command");
        assert_eq!(["", "/", "/grpc.reflection.v1.ServerReflection/{method}"].map(name_of), [NO_QUERY; 3]);
    }
}
