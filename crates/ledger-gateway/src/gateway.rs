//! A gateway: what all its calls share, and where each belongs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use ledger_api::access::{Access, AccessScope, Credentials, KeySetError, Refusal as AccessRefusal};
use ledger_api::{CertificatesError, client_tls};
use ledger_core::realm::Realm;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;

use crate::call;
use crate::forward::{AppAnswer, Forwarder};
use crate::hook::Hook;
use crate::journal::{self, Journal};
use crate::limits::{
    HOOKS_ALWAYS_FORWARDED_AT_A_TIME, HOOKS_AT_A_TIME, LOOKUPS_AT_A_TIME, LOOKUPS_WAITING_MAX,
    OPEN_BODIES_BYTES,
};
use crate::links::KnownInstallations;
use crate::metric;
use crate::options::{AppOptions, GatewayOptions};
use crate::refusal::Refusal;
use crate::sightings::Sightings;
use crate::verify::{ForgeKeys, InstallKeys};

/// The file beside the journal that has keys of Connect installs.
const INSTALL_KEYS: &str = "install-keys.json";

/// The token of the one who sends a copy.
const COPY_TOKEN: &str = "x-realm-ledger-token";

/// A gateway cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Keys of Forge cannot be read.
    #[error(
        "the keys of Forge's tokens cannot be read; gateway.forge_jwks names the files or URLs that have them"
    )]
    Keys(#[from] KeySetError),
    /// The authorities of apps cannot be.
    #[error("gateway.forward_ca cannot be used")]
    Authorities(#[from] CertificatesError),
}

/// Takes hooks. Clones are the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway(pub(crate) Arc<GatewayState>);

#[derive(Debug)]
pub(crate) struct GatewayState {
    pub(crate) options: GatewayOptions,
    /// By host: the app and its realm.
    hosts: BTreeMap<String, (usize, Realm)>,
    pub(crate) journal: Journal,
    pub(crate) access: Arc<Access>,
    pub(crate) known: Option<Arc<dyn KnownInstallations>>,
    pub(crate) install_keys: InstallKeys,
    pub(crate) forge_keys: ForgeKeys,
    pub(crate) forwarder: Forwarder,
    pub(crate) sightings: Sightings,
    pub(crate) lookups: Semaphore,
    pub(crate) lookups_waiting: Semaphore,
    places: Semaphore,
    places_of_always_forwarded: Semaphore,
    pub(crate) bodies: Semaphore,
}

/// Where a call belongs: known before anything of it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HookPlace<'g> {
    pub(crate) app: &'g AppOptions,
    pub(crate) realm: Realm,
    pub(crate) hook: Hook,
}

/// How a call came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'g> {
    /// Atlassian sent it, and it goes on to the app at this base URL.
    Front(&'g str),
    /// The app sent a copy.
    Copy,
}

impl Mode<'_> {
    const fn name(self) -> &'static str {
        match self {
            Self::Front(_) => "front",
            Self::Copy => "copy",
        }
    }
}

/// What became of a call, as the log and the metrics have it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) mode: Option<&'static str>,
    /// Why nothing was recorded although the call was answered; none if it was.
    pub(crate) code: Option<&'static str>,
    pub(crate) app_took: Option<Duration>,
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The answer of the app.
    App(AppAnswer),
    /// A copy has no other answer.
    Taken,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::App(answer) => answer.into_response(),
            Self::Taken => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

impl Gateway {
    /// A gateway with options that have no faults. Reads keys: not on a thread that may not wait.
    pub fn new(
        options: GatewayOptions,
        journal: Journal,
        access: Arc<Access>,
        known: Option<Arc<dyn KnownInstallations>>,
    ) -> Result<Self, GatewayError> {
        let hosts = options.hosts.iter();
        let hosts =
            hosts.filter_map(|(host, place)| Some((host.to_ascii_lowercase(), options.place_of(place)?)));
        let is_forge = options.apps.iter().any(|app| app.forge_app.is_some());
        let install_keys = InstallKeys::new(&options.install_keys, journal.dir().join(INSTALL_KEYS));
        let jwks = if is_forge { options.forge_jwks.as_slice() } else { &[] };
        Ok(Self(Arc::new(GatewayState {
            hosts: hosts.collect(),
            journal,
            access,
            known,
            install_keys,
            forge_keys: ForgeKeys::new(jwks)?,
            forwarder: Forwarder::new(client_tls(options.forward_ca.as_deref())?),
            sightings: Sightings::default(),
            lookups: Semaphore::new(LOOKUPS_AT_A_TIME),
            lookups_waiting: Semaphore::new(LOOKUPS_WAITING_MAX),
            places: Semaphore::new(HOOKS_AT_A_TIME - HOOKS_ALWAYS_FORWARDED_AT_A_TIME),
            places_of_always_forwarded: Semaphore::new(HOOKS_ALWAYS_FORWARDED_AT_A_TIME),
            bodies: Semaphore::new(OPEN_BODIES_BYTES),
            options,
        })))
    }

    /// Its routes. A host that stands for a realm takes the paths of the app itself.
    pub fn routes(self) -> Router {
        Router::new().route("/hooks/{app}/{realm}/{*hook}", any(take)).fallback(take).with_state(self)
    }
}

/// Answers a call. It goes to its end on a task of its own, whatever becomes of its caller: the app may have done already
/// what would not be recorded then.
async fn take(State(Gateway(shared)): State<Gateway>, request: Request) -> Response {
    let handled = tokio::spawn(handle(shared, request).in_current_span()).await;
    // A panic, which is reported where it came up.
    handled.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn handle(shared: Arc<GatewayState>, request: Request) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let mut outcome = Outcome::default();
    let place = shared.place(&parts);
    let answered = match place {
        None => Err(Refusal::NoSuchHook),
        Some(place) => match shared.mode(&parts, place).await {
            Err(refusal) => Err(refusal),
            Ok(mode) => {
                outcome.mode = Some(mode.name());
                call::answer(&shared, place, mode, parts, body, &mut outcome).await
            }
        },
    };
    let code =
        answered.as_ref().map_or_else(|refusal| refusal.code(), |_| outcome.code.unwrap_or("recorded"));
    let response = answered.map_or_else(IntoResponse::into_response, IntoResponse::into_response);
    report(place, &outcome, code, response.status(), begun.elapsed());
    response
}

/// The line of the log, and the counts, of a call.
fn report(
    place: Option<HookPlace<'_>>,
    outcome: &Outcome,
    code: &'static str,
    status: StatusCode,
    took: Duration,
) {
    let (app, realm, hook) = place.as_ref().map_or(("none", "none", "none"), |place| {
        (place.app.name.as_str(), place.realm.as_str(), place.hook.name())
    });
    let mode = outcome.mode.unwrap_or("none");
    let own = took.saturating_sub(outcome.app_took.unwrap_or_default());
    metric::answered(app, realm, hook, mode, code);
    metric::took(own, outcome.app_took);
    let status = status.as_u16();
    if code != "recorded" {
        tracing::info!(target: "access", app, realm, hook, mode, code, status, ?own, "hook");
    }
}

impl GatewayState {
    /// A place among the hooks that are answered at a time. Some are kept for those that are always forwarded.
    pub(crate) fn take_place(&self, hook: Hook) -> Result<SemaphorePermit<'_>, Refusal> {
        let of_others = self.places.try_acquire();
        let place = match of_others {
            Err(_) if hook.is_always_forwarded() => self.places_of_always_forwarded.try_acquire(),
            place => place,
        };
        place.map_err(|_| Refusal::Busy)
    }

    /// Waits until every call is at its end, also those whose callers went away.
    pub(crate) async fn settle(&self) {
        for (places, count) in [
            (&self.places, HOOKS_AT_A_TIME - HOOKS_ALWAYS_FORWARDED_AT_A_TIME),
            (&self.places_of_always_forwarded, HOOKS_ALWAYS_FORWARDED_AT_A_TIME),
        ] {
            // They are never closed.
            let _ = places.acquire_many(u32::try_from(count).unwrap_or(u32::MAX)).await;
        }
    }

    /// The place of a call: by its route, or by its host and the path of the app. A host that stands for one realm is never
    /// another's.
    fn place(&self, parts: &Parts) -> Option<HookPlace<'_>> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(parts.uri.host());
        let host = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase());
        let mapped = host.and_then(|host| self.hosts.get(&host).copied());
        let path = parts.uri.path();
        if let Some(route) = path.strip_prefix("/hooks/") {
            let (name, rest) = route.split_once('/')?;
            let (realm, hook) = rest.split_once('/')?;
            let (at, realm) = self.options.place_of(&format!("{name}/{realm}"))?;
            let hook = Hook::parse(hook)?;
            let is_right = mapped.is_none_or(|mapped| mapped == (at, realm));
            return is_right.then_some(HookPlace { app: &self.options.apps[at], realm, hook });
        }
        let (at, realm) = mapped?;
        let app = &self.options.apps[at];
        let (hook, _) = Hook::all().find(|(hook, _)| *hook != Hook::Seen && app.path_of(*hook) == path)?;
        Some(HookPlace { app, realm, hook })
    }

    /// How a call came: a copy has a token of its own, anything else goes on to the app.
    async fn mode<'g>(&self, parts: &Parts, place: HookPlace<'g>) -> Result<Mode<'g>, Refusal> {
        let mut tokens = parts.headers.get_all(COPY_TOKEN).into_iter();
        let Some(token) = tokens.next() else {
            let base = place.app.forward.get(&place.realm).filter(|_| place.hook != Hook::Seen);
            return base.map(|base| Mode::Front(base.as_str())).ok_or(Refusal::NoToken);
        };
        let token = token.to_str().ok().filter(|token| !token.is_empty()).ok_or(Refusal::CopyRefused)?;
        if tokens.next().is_some() {
            return Err(Refusal::TwoTokens);
        }
        let admitted = self.access.admit_with_new_keys(Credentials::Bearer(token), None, journal::now).await;
        let principal = admitted.map_err(|denied| match denied.refusal {
            AccessRefusal::RateLimited { .. } => Refusal::CopyLimited,
            _ => Refusal::CopyRefused,
        });
        let principal = principal?.principal;
        if !principal.apps.has(&place.app.app_key) {
            return Err(Refusal::NoSuchHook);
        }
        principal.check(AccessScope::Hooks).map_err(|_| Refusal::CopyScopeMissing)?;
        Ok(Mode::Copy)
    }
}
