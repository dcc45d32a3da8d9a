//! One call: verify, record, forward, answer.
//!
//! | call | verified by | recorded |
//! | --- | --- | --- |
//! | Connect `installed`, `uninstalled`; Forge events | the gateway | before it is forwarded |
//! | Connect `enabled`, `disabled` | the app | after the app answered 2xx |
//! | steps of a migration | the app (Connect), the gateway (Forge) | after the app answered 2xx: what it refused did not happen. A rollback that the gateway verified is, whatever the app answers |
//! | a copy | its own token, and the gateway where it can | before 204 |
//!
//! Always before the answer. Where the journal cannot be written, lifecycle hooks are answered 503 and sent again; steps of a
//! migration go to the app all the same, and the log raises an alarm: a ledger in trouble must not fail a migration.
//! Only while the journal is full are `schedule`, `start` and `commit` put off.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Uri;
use axum::http::request::Parts;
use ledger_api::http::read_body_within;
use ledger_api::problem::ProblemKind;
use ledger_core::event::Event;
use ledger_core::ids::ClientKey;
use ledger_ingest::decode::to_native_json;
use tokio::sync::SemaphorePermit;
use tracing::{Instrument as _, error, warn};

use crate::forward::{AppAnswer, Forwarded};
use crate::gateway::{Answer, GatewayState, HookPlace, Mode, Outcome};
use crate::hook::{Hook, Lifecycle, Phase};
use crate::journal::{AppendError, now};
use crate::limits::{HOOK_MAX_BYTES, LOOKUP_TIMEOUT};
use crate::record::{ForgeCall, Stamp, base_url, installation_ari};
use crate::refusal::Refusal;
use crate::verify::{self, ForgeToken, SignedRequest, Token, UsedId};
use crate::{links, metric};

/// A call, read to its end.
struct Call<'g> {
    shared: &'g Arc<GatewayState>,
    place: HookPlace<'g>,
    mode: Mode<'g>,
    parts: Parts,
    body: Bytes,
    stamp: Stamp<'g>,
}

/// What a call that was verified comes to.
struct Plan {
    events: Vec<Event>,
    when: When,
    /// The installation whose traffic it is.
    seen: Option<ForgeToken>,
    /// The installation that ends with it.
    ended: Option<String>,
    used: Option<UsedId>,
}

impl Plan {
    fn new(events: Vec<Event>, when: When) -> Self {
        Self { events, when, seen: None, ended: None, used: None }
    }
}

/// When the events of a call that goes on to the app are recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before it goes.
    Before,
    /// Once the app agreed.
    Agreed,
    /// Once the app answered, or did not.
    Answered,
}

/// Answers a call to this place.
pub(crate) async fn answer(
    shared: &Arc<GatewayState>,
    place: HookPlace<'_>,
    mode: Mode<'_>,
    parts: Parts,
    body: Body,
    outcome: &mut Outcome,
) -> Result<Answer, Refusal> {
    if !place.hook.takes(parts.method.as_str()) {
        return Err(Refusal::MethodNotAllowed);
    }
    let _held = room(shared, &parts)?;
    let body = read_body_within(body, HOOK_MAX_BYTES).await.map_err(|kind| match kind {
        ProblemKind::BodyTooLarge => Refusal::BodyTooLarge,
        ProblemKind::RequestTimeout => Refusal::BodyTooSlow,
        _ => Refusal::BadBody,
    })?;
    let record_actor = shared.options.record_actor;
    let stamp = Stamp { time: now(), realm: place.realm, app: &place.app.app_key, record_actor };
    let call = Call { shared, place, mode, parts, body: body.into(), stamp };
    match call.plan().await {
        Ok(plan) => call.carry_out(plan, outcome).await,
        Err(refusal) => match call.mode {
            Mode::Front(base) if call.goes_on_in_spite_of(refusal) => {
                call.alarm(refusal);
                outcome.code = Some(refusal.code());
                call.forward(base, outcome).await.map(Answer::App)
            }
            _ => Err(refusal),
        },
    }
}

/// Room for the body of a call and the answer of the app.
fn room<'s>(shared: &'s GatewayState, parts: &Parts) -> Result<SemaphorePermit<'s>, Refusal> {
    let length = parts.headers.get(axum::http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(HOOK_MAX_BYTES);
    let kib = u32::try_from(length.min(HOOK_MAX_BYTES) / 1024 + 1).unwrap_or(u32::MAX);
    shared.bodies.try_acquire_many(kib).map_err(|_| Refusal::Busy)
}

impl Call<'_> {
    /// Verifies the call, and makes the events of it.
    async fn plan(&self) -> Result<Plan, Refusal> {
        let token = verify::find(&self.parts.headers, &self.parts.uri)?;
        match (self.place.hook, token) {
            (Hook::Connect(lifecycle), Token::Connect(token)) => match lifecycle {
                Lifecycle::Installed | Lifecycle::Uninstalled => self.of_install(lifecycle, &token).await,
                Lifecycle::Enabled | Lifecycle::Disabled => {
                    let token = verify::app_token(&token)?;
                    let actor = token.actor.as_deref();
                    let event = self.stamp.of_connect(lifecycle, &token.client, &self.body, actor)?;
                    Ok(Plan::new(vec![event], When::Agreed))
                }
            },
            (Hook::Migration(phase), Token::Connect(token)) => {
                let token = verify::app_token(&token)?;
                let event = self.step(phase, &token.client, token.actor.as_deref())?;
                Ok(Plan::new(event.into_iter().collect(), When::Agreed))
            }
            (Hook::Migration(phase), Token::Forge(token)) => {
                let (token, used) = self.forge_token(&token, true).await?;
                let step = self.step(phase, &token.client, token.actor.as_deref())?;
                let when = if phase == Phase::Rollback { When::Answered } else { When::Agreed };
                let mut events = self.sight(&token)?;
                events.extend(step);
                Ok(Plan { seen: Some(token), used, ..Plan::new(events, when) })
            }
            (Hook::Forge, Token::Forge(token)) => self.of_forge(&token).await,
            (Hook::Seen, Token::Forge(token)) => {
                let (token, used) = self.forge_token(&token, false).await?;
                let events = self.sight(&token)?;
                Ok(Plan { seen: Some(token), used, ..Plan::new(events, When::Before) })
            }
            (Hook::Connect(_), Token::Forge(_)) | (Hook::Forge | Hook::Seen, Token::Connect(_)) => {
                Err(Refusal::NoToken)
            }
        }
    }

    async fn of_install(&self, lifecycle: Lifecycle, token: &str) -> Result<Plan, Refusal> {
        let HookPlace { app, hook, .. } = self.place;
        let request = SignedRequest {
            method: self.parts.method.as_str(),
            uri: &self.parts.uri,
            path_at_app: app.path_of(hook),
            audiences: &app.audiences,
        };
        let token = self.shared.install_keys.verify(token, request).await?;
        let site = base_url(&self.body).ok_or(Refusal::BadBody)?;
        if !is_site(&site, &self.shared.options.site_hosts) {
            return Err(Refusal::WrongSite);
        }
        let event = self.stamp.of_connect(lifecycle, &token.client, &self.body, token.actor.as_deref())?;
        Ok(Plan::new(vec![event], When::Before))
    }

    async fn of_forge(&self, token: &str) -> Result<Plan, Refusal> {
        let (token, used) = self.forge_token(token, true).await?;
        let kind = ForgeCall::parse(token.module.as_deref(), &self.body)?;
        if kind == ForgeCall::Uninstalled {
            let event = self.stamp.of_uninstalled(&token).ok_or(Refusal::Busy)?;
            let ended = Some(self.installation(&token));
            return Ok(Plan { ended, used, ..Plan::new(vec![event], When::Before) });
        }
        let mut events = self.sight(&token)?;
        if kind == ForgeCall::Installed && !events.iter().any(|event| event.type_name() == "installed") {
            events.insert(0, self.stamp.of_installed(&token).ok_or(Refusal::Busy)?);
        }
        Ok(Plan { seen: Some(token), used, ..Plan::new(events, When::Before) })
    }

    async fn forge_token(&self, token: &str, once: bool) -> Result<(ForgeToken, Option<UsedId>), Refusal> {
        self.shared.forge_keys.verify(token, self.place.app.forge_app.as_ref(), once).await
    }

    fn step(&self, phase: Phase, client: &ClientKey, actor: Option<&str>) -> Result<Option<Event>, Refusal> {
        self.stamp.of_migration(phase, client, &self.body, actor)
    }

    /// What is new about an installation whose token came with the call.
    fn sight(&self, token: &ForgeToken) -> Result<Vec<Event>, Refusal> {
        let license = token.license.as_ref();
        let is_active = license.map(|license| license.is_active);
        let news = self.shared.sightings.see(
            &self.installation(token),
            self.place.realm,
            self.stamp.time,
            is_active,
        );
        let sighting = news.is_sighting.then(|| self.stamp.of_installed(token).ok_or(Refusal::Busy));
        let license = license.filter(|_| news.is_license);
        let license = license.map(|license| self.stamp.of_license(token, license).ok_or(Refusal::Busy));
        sighting.into_iter().chain(license).collect()
    }

    /// Names an installation among all that were seen.
    fn installation(&self, token: &ForgeToken) -> String {
        format!("{} {}", self.place.app.name, installation_ari(&token.installation))
    }

    /// Records and forwards, in the order of the plan.
    async fn carry_out(&self, plan: Plan, outcome: &mut Outcome) -> Result<Answer, Refusal> {
        if plan.events.is_empty() {
            outcome.code = Some("nothing");
        }
        let Mode::Front(base) = self.mode else {
            self.record(plan).await?;
            return Ok(Answer::Taken);
        };
        if plan.when == When::Before {
            self.record(plan).await?;
            return self.forward(base, outcome).await.map(Answer::App);
        }
        let is_step = matches!(self.place.hook, Hook::Migration(_));
        if is_step && !self.place.hook.is_always_forwarded() && self.shared.journal.status().is_full() {
            self.take_back(plan);
            return Err(Refusal::JournalFull);
        }
        let answer = self.forward(base, outcome).await;
        let is_agreed = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        if !is_agreed && plan.when == When::Agreed {
            outcome.code = Some("app-refused");
            self.take_back(plan);
            return answer.map(Answer::App);
        }
        match self.record(plan).await {
            Ok(()) => {}
            Err(refusal) if is_step => {
                self.alarm(refusal);
                outcome.code = Some(refusal.code());
            }
            Err(refusal) => return Err(refusal),
        }
        answer.map(Answer::App)
    }

    /// Whether the call goes on to the app although nothing of it can be recorded: a step of a migration that the ledger
    /// cannot read, and what is forwarded always.
    fn goes_on_in_spite_of(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::KeysUnavailable => self.place.hook.is_always_forwarded(),
            Refusal::BadBody => matches!(self.place.hook, Hook::Migration(_)),
            _ => false,
        }
    }

    fn alarm(&self, refusal: Refusal) {
        let (app, realm, hook) = (&self.place.app.name, self.place.realm.as_str(), self.place.hook.name());
        error!(
            app,
            realm,
            hook,
            code = refusal.code(),
            "a step of a migration went to the app and is not recorded"
        );
    }

    async fn forward(&self, base: &str, outcome: &mut Outcome) -> Result<AppAnswer, Refusal> {
        let HookPlace { app, hook, .. } = self.place;
        let query = self.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{}{query}", base.trim_end_matches('/'), app.path_of(hook));
        let Parts { method, headers, .. } = &self.parts;
        let call =
            Forwarded { method: method.clone(), url, headers: headers.clone(), body: self.body.clone() };
        let (answer, took) = self.shared.forwarder.forward(call).await;
        outcome.app_took = Some(took);
        answer
    }

    /// Records the events of a plan. What is not recorded is as if it had not been seen.
    async fn record(&self, plan: Plan) -> Result<(), Refusal> {
        match record(self.shared, &plan.events).await {
            Ok(()) => {
                if let Some(installation) = plan.ended {
                    self.shared.sightings.end(&installation);
                }
                if let Some(token) = plan.seen {
                    self.link(token);
                }
                Ok(())
            }
            Err(refusal) => {
                self.take_back(plan);
                Err(refusal)
            }
        }
    }

    /// The call is sent again, or came to nothing.
    fn take_back(&self, plan: Plan) {
        if let Some(used) = plan.used {
            used.give_back();
        }
        let is_news = |event: &Event| matches!(event.type_name(), "installed" | "subscription-observed");
        if let Some(token) = plan.seen.filter(|_| plan.events.iter().any(is_news)) {
            self.shared.sightings.forget(&self.installation(&token));
        }
    }

    /// Asks the ledger, beside the call, whether it knows the installation by another client key.
    fn link(&self, token: ForgeToken) {
        let Some(known) = &self.shared.known else { return };
        let installation = self.installation(&token);
        if !self.shared.sightings.asks_for_link(&installation, self.stamp.time) {
            return;
        }
        let (shared, known) = (Arc::clone(self.shared), Arc::clone(known));
        let (app, realm, time) = (self.stamp.app.clone(), self.place.realm, self.stamp.time);
        let asking = async move {
            let id = installation_ari(&token.installation);
            let asked = app.clone();
            // Those that find no turn ask with their next call.
            let found = match shared.lookups.try_acquire() {
                Ok(_turn) => {
                    let lookup = tokio::task::spawn_blocking(move || known.with_id(&asked, &id));
                    let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
                    found.ok().and_then(Result::ok).and_then(|found| {
                        found.inspect_err(|error| warn!(%error, "an installation is not linked yet")).ok()
                    })
                }
                Err(_) => None,
            };
            let Some(found) = found else { return shared.sightings.set_link(&installation, false, false) };
            let stamp = Stamp { time, realm, app: &app, record_actor: true };
            let events = links::events(stamp, &token.client, &found);
            let is_linked = found.iter().any(|old| old.client != token.client);
            let is_recorded = record(&shared, &events).await.is_ok();
            shared.sightings.set_link(&installation, is_linked && is_recorded, is_recorded);
        };
        tokio::spawn(asking.in_current_span());
    }
}

/// Records events in this order; all of them are on disk when it returns.
async fn record(shared: &GatewayState, events: &[Event]) -> Result<(), Refusal> {
    let mut pending = Vec::with_capacity(events.len());
    for event in events {
        pending.push(
            shared
                .journal
                .enqueue(&to_native_json(event), now())
                .await
                .map_err(|error| refusal_of(&error))?,
        );
    }
    for (event, pending) in events.iter().zip(pending) {
        pending.wait().await.map_err(|error| refusal_of(&error))?;
        metric::recorded(event.type_name());
    }
    Ok(())
}

fn refusal_of(error: &AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } => Refusal::JournalFull,
        AppendError::Broken { .. } => Refusal::JournalBroken,
    }
}

/// Whether the host of a site is one of these.
fn is_site(url: &str, patterns: &[String]) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(host) = uri.host().map(str::to_ascii_lowercase) else { return false };
    patterns.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(suffix) => host.strip_suffix(suffix).is_some_and(|name| !name.is_empty()),
        None => host == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_hosts_below_the_configured_ones() {
        let patterns = ["*.atlassian.net".to_owned(), "127.0.0.1".to_owned()];
        for good in
            ["https://acme.atlassian.net", "https://ACME.atlassian.net/wiki", "http://127.0.0.1:8080/x"]
        {
            assert!(is_site(good, &patterns), "{good}");
        }
        for bad in [
            "https://atlassian.net",
            "https://evil.example/.atlassian.net",
            "https://acme.atlassian.net.evil.example",
            "https://evilatlassian.net",
            "acme.atlassian.net@evil.example",
            "https://acme.atlassian.net@evil.example/",
            "",
            "/x",
        ] {
            assert!(!is_site(bad, &patterns), "{bad}");
        }
    }
}
