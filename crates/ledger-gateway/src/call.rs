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
use ledger_core::ids::{AppKey, ClientKey};
use ledger_record::rejection::{Reason, Rejection};
use tokio::sync::SemaphorePermit;
use tracing::{Instrument as _, error, warn};

use crate::append::{NativeEvent, native, record, reserve};
use crate::forward::{AppAnswer, Forwarded};
use crate::gateway::{Answer, GatewayState, HookPlace, Mode, Outcome};
use crate::hook::{Hook, Lifecycle, Phase};
use crate::journal::{Reservation, now};
use crate::limits::{ALWAYS_READ_BYTES, EVENT_MAX_BYTES, HOOK_MAX_BYTES, LOOKUP_RESTS, LOOKUP_TIMEOUT};
use crate::links;
use crate::links::{KnownInstallation, KnownInstallations};
use crate::record::{ForgeCall, InstallBody, NoEvent, Stamp, installation_ari};
use crate::refusal::Refusal;
use crate::verify::{self, ForgeToken, SignedRequest, Token, UsedId};

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
    events: Vec<NativeEvent>,
    when: When,
    /// The installation whose traffic it is.
    seen: Option<ForgeToken>,
    /// The installation that ends with it.
    ended: Option<String>,
    used: Option<UsedId>,
}

impl Plan {
    fn new(events: &[Event], when: When) -> Self {
        Self { events: native(events), when, seen: None, ended: None, used: None }
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
    // Before anything is read of a call: one that has no token gets nothing.
    let token = verify::find(&parts.headers, &parts.uri)?;
    let (body, _held) = read(shared, place.hook, body).await?;
    let _place = shared.take_place(place.hook)?;
    let record_actor = shared.options.record_actor;
    let stamp = Stamp { time: now(), realm: place.realm, app: &place.app.app_key, record_actor };
    let call = Call { shared, place, mode, parts, body: body.into(), stamp };
    let planned = call.plan(token).await.and_then(|plan| call.check_length(plan));
    match planned {
        Ok(plan) => call.carry_out(plan, outcome).await,
        Err(NoEvent { refusal, line }) => match call.mode {
            Mode::Front(base) if call.goes_on_in_spite_of(refusal) => {
                call.alarm(refusal);
                outcome.code = Some(refusal.code());
                let answer = call.forward(base, outcome).await;
                call.quarantine(line, &answer, outcome).await;
                answer.map(Answer::App)
            }
            _ => Err(refusal),
        },
    }
}

/// Reads the body of a call. It takes room as it arrives, so that a promise of a body takes none.
async fn read(
    shared: &GatewayState,
    hook: Hook,
    body: Body,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), Refusal> {
    let (mut held, mut read) = (shared.bodies.try_acquire_many(0).ok(), 0);
    let has_room = |bytes: usize| {
        read += bytes;
        let more = u32::try_from(bytes).ok().and_then(|bytes| shared.bodies.try_acquire_many(bytes).ok());
        match (&mut held, more) {
            (Some(held), Some(more)) => held.merge(more),
            _ => return hook.is_always_forwarded() && read <= ALWAYS_READ_BYTES,
        }
        true
    };
    let body = read_body_within(body, HOOK_MAX_BYTES, has_room).await.map_err(|kind| match kind {
        ProblemKind::BodyTooLarge => Refusal::BodyTooLarge,
        ProblemKind::RequestTimeout => Refusal::BodyTooSlow,
        ProblemKind::Overloaded => Refusal::Busy,
        _ => Refusal::BadBody,
    })?;
    Ok((body, held))
}

impl Call<'_> {
    /// Verifies the call, and makes the events of it.
    async fn plan(&self, token: Token) -> Result<Plan, NoEvent> {
        if matches!(token, Token::Connect(_)) && self.place.app.audiences.is_empty() {
            // It is no app of Connect, so nobody can say that the token is good.
            return Err(Refusal::WrongAudience.into());
        }
        match (self.place.hook, token) {
            (Hook::Connect(lifecycle), Token::Connect(token)) => match lifecycle {
                Lifecycle::Installed | Lifecycle::Uninstalled => self.of_install(lifecycle, &token).await,
                Lifecycle::Enabled | Lifecycle::Disabled => {
                    let token = verify::app_token(&token)?;
                    let actor = token.actor.as_deref();
                    let event = self.stamp.of_connect(lifecycle, &self.body, actor)?;
                    self.check_installation(&token.client)?;
                    Ok(Plan::new(&[event], When::Agreed))
                }
            },
            (Hook::Migration(phase), Token::Connect(token)) => {
                let token = verify::app_token(&token)?;
                let event = self.step(phase, &token.client, token.actor.as_deref())?;
                Ok(Plan::new(event.as_slice(), When::Agreed))
            }
            (Hook::Migration(phase), Token::Forge(token)) => {
                let (token, used) = self.forge_token(&token, true).await?;
                let step = match self.step(phase, &token.client, token.actor.as_deref()) {
                    Ok(step) => step,
                    Err(none) => return Err(self.let_go(used, none)),
                };
                let when = if phase == Phase::Rollback { When::Answered } else { When::Agreed };
                let mut events = self.sight(&token)?;
                events.extend(step);
                let seen = (!token.is_of_uninstall()).then_some(token);
                Ok(Plan { seen, used, ..Plan::new(&events, when) })
            }
            (Hook::Forge, Token::Forge(token)) => self.of_forge(&token).await,
            (Hook::Seen, Token::Forge(token)) => {
                let (token, used) = self.forge_token(&token, false).await?;
                if token.is_of_uninstall() {
                    // Its event may have come already.
                    let is_gone = self.shared.sightings.is_gone(&self.installation(&token));
                    let none = || Ok(Plan::new(&[], When::Before));
                    return if is_gone { none() } else { self.of_uninstall(&token, used) };
                }
                let events = self.sight(&token)?;
                Ok(Plan { seen: Some(token), used, ..Plan::new(&events, When::Before) })
            }
            (Hook::Connect(_), Token::Forge(_)) | (Hook::Forge | Hook::Seen, Token::Connect(_)) => {
                Err(Refusal::NoToken.into())
            }
        }
    }

    /// What is longer than a message may be would wait in the journal for ever.
    fn check_length(&self, mut plan: Plan) -> Result<Plan, NoEvent> {
        let Some(long) = plan.events.iter().find(|event| event.text.len() > EVENT_MAX_BYTES) else {
            return Ok(plan);
        };
        let detail = format!("the event is longer than {EVENT_MAX_BYTES} bytes");
        let rejection = Rejection { reason: Reason::TooLarge, path: None, detail };
        let none = self.let_go(plan.used.take(), NoEvent::unreadable(&long.text, rejection));
        self.take_back(plan);
        Err(none)
    }

    /// Gives the id of a token back with the refusal of its call, unless the app gets the call in spite of that.
    fn let_go(&self, used: Option<UsedId>, none: NoEvent) -> NoEvent {
        if !matches!(self.mode, Mode::Front(_)) || !self.goes_on_in_spite_of(none.refusal) {
            used.into_iter().for_each(UsedId::give_back);
        }
        none
    }

    async fn of_install(&self, lifecycle: Lifecycle, token: &str) -> Result<Plan, NoEvent> {
        let HookPlace { app, hook, .. } = self.place;
        let request = SignedRequest {
            method: self.parts.method.as_str(),
            uri: &self.parts.uri,
            path_at_app: app.path_of(hook),
            audiences: &app.audiences,
        };
        // Also where the ledger cannot read the rest; and before a key is asked for, as it costs nothing.
        let site = self.check_installation(&verify::app_token(token)?.client)?;
        if !site.is_some_and(|site| is_site(&site, &self.shared.options.site_hosts)) {
            return Err(Refusal::WrongSite.into());
        }
        let token = self.shared.install_keys.verify(token, request).await?;
        let event = self.stamp.of_connect(lifecycle, &self.body, token.actor.as_deref())?;
        Ok(Plan::new(&[event], When::Before))
    }

    /// The body of a lifecycle hook of Connect is about the tenant of its token and the app of its route. Answers the site.
    fn check_installation(&self, client: &ClientKey) -> Result<Option<String>, Refusal> {
        let InstallBody { client_key, key, base_url } =
            serde_json::from_slice(&self.body).unwrap_or_default();
        if client_key.as_str() != Some(client.as_str()) {
            return Err(Refusal::WrongIssuer);
        }
        if key.as_str() != Some(self.place.app.app_key.as_str()) {
            return Err(Refusal::WrongApp);
        }
        Ok(base_url.as_str().map(str::to_owned))
    }

    async fn of_forge(&self, token: &str) -> Result<Plan, NoEvent> {
        let (token, used) = self.forge_token(token, true).await?;
        let kind = match ForgeCall::parse(&token, &self.body) {
            Ok(kind) => kind,
            Err(none) => return Err(self.let_go(used, none)),
        };
        if kind == ForgeCall::Uninstalled {
            return self.of_uninstall(&token, used);
        }
        let mut events = self.sight(&token)?;
        if kind == ForgeCall::Installed && !events.iter().any(|event| event.type_name() == "installed") {
            events.insert(0, self.stamp.of_installed(&token).ok_or(Refusal::Busy)?);
        }
        Ok(Plan { seen: Some(token), used, ..Plan::new(&events, When::Before) })
    }

    fn of_uninstall(&self, token: &ForgeToken, used: Option<UsedId>) -> Result<Plan, NoEvent> {
        let event = self.stamp.of_uninstalled(token).ok_or(Refusal::Busy)?;
        let ended = Some(self.installation(token));
        Ok(Plan { ended, used, ..Plan::new(&[event], When::Before) })
    }

    async fn forge_token(&self, token: &str, once: bool) -> Result<(ForgeToken, Option<UsedId>), Refusal> {
        self.shared.forge_keys.verify(token, self.place.app.forge_app.as_ref(), once).await
    }

    fn step(&self, phase: Phase, client: &ClientKey, actor: Option<&str>) -> Result<Option<Event>, NoEvent> {
        self.stamp.of_migration(phase, client, &self.body, actor)
    }

    /// What is new about an installation whose token came with the call, unless it is about to go.
    fn sight(&self, token: &ForgeToken) -> Result<Vec<Event>, Refusal> {
        if token.is_of_uninstall() {
            return Ok(Vec::new());
        }
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
            self.record(plan, None).await?;
            return Ok(Answer::Taken);
        };
        if plan.when == When::Before {
            let is_nothing = plan.events.is_empty();
            self.record(plan, None).await?;
            let answer = self.forward(base, outcome).await;
            if !is_nothing && !answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
                // Atlassian said so, and sends it again or takes it back.
                outcome.code = Some("recorded-app-refused");
            }
            return answer.map(Answer::App);
        }
        let is_step = matches!(self.place.hook, Hook::Migration(_));
        // What the app does is to be recorded, so there is room for it before the app is asked.
        let room = match reserve(&self.shared.journal, &plan.events) {
            Ok(room) => Some(room),
            Err(_) if self.place.hook.is_always_forwarded() => None,
            Err(Refusal::JournalBroken) if is_step => None,
            Err(refusal) => {
                self.take_back(plan);
                return Err(refusal);
            }
        };
        let answer = self.forward(base, outcome).await;
        let is_agreed = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        if !is_agreed && plan.when == When::Agreed {
            outcome.code = Some("app-refused");
            self.take_back(plan);
            return answer.map(Answer::App);
        }
        match self.record(plan, room).await {
            Ok(()) => {}
            Err(refusal) if is_step => {
                self.alarm(refusal);
                outcome.code = Some(refusal.code());
            }
            Err(refusal) => return Err(refusal),
        }
        answer.map(Answer::App)
    }

    /// Whether the call goes on to the app although nothing of it can be recorded: what the ledger cannot read, which was
    /// verified before or is by the app, and what is forwarded always.
    fn goes_on_in_spite_of(&self, refusal: Refusal) -> bool {
        match refusal {
            Refusal::KeysUnavailable => self.place.hook.is_always_forwarded(),
            Refusal::BadBody => true,
            _ => false,
        }
    }

    /// Puts what the ledger cannot read in quarantine, if it took place: Atlassian said so, or the app agreed.
    async fn quarantine(
        &self,
        line: Option<Vec<u8>>,
        answer: &Result<AppAnswer, Refusal>,
        outcome: &mut Outcome,
    ) {
        let is_signed =
            matches!(self.place.hook, Hook::Connect(Lifecycle::Installed | Lifecycle::Uninstalled));
        let is_agreed = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        let Some(text) = line.filter(|_| is_signed || is_agreed) else { return };
        match record(self.shared, &[NativeEvent { type_name: "refused", text }], None).await {
            Ok(()) => outcome.code = Some("quarantined"),
            Err(refusal) => self.alarm(refusal),
        }
    }

    fn alarm(&self, refusal: Refusal) {
        let (app, realm, hook) = (&self.place.app.name, self.place.realm.as_str(), self.place.hook.name());
        error!(app, realm, hook, code = refusal.code(), "a hook went to the app and is not recorded");
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
    async fn record(&self, plan: Plan, room: Option<Vec<Reservation>>) -> Result<(), Refusal> {
        match record(self.shared, &plan.events, room).await {
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
        let is_news = |event: &NativeEvent| matches!(event.type_name, "installed" | "subscription-observed");
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
            let found = look_up(&shared, &known, &app, &id).await;
            let Some(found) = found else { return shared.sightings.set_link(&installation, false, false) };
            let stamp = Stamp { time, realm, app: &app, record_actor: true };
            let events = native(&links::events(stamp, &token.client, &found));
            let is_linked = found.iter().any(|old| old.client != token.client);
            let is_recorded = record(&shared, &events, None).await.is_ok();
            shared.sightings.set_link(&installation, is_linked && is_recorded, is_recorded);
        };
        tokio::spawn(asking.in_current_span());
    }
}

/// The installations that have an id; none: the ledger could not say, and is asked again with the next call. Until it is
/// read to its end it is asked for a while.
async fn look_up(
    shared: &GatewayState,
    known: &Arc<dyn KnownInstallations>,
    app: &AppKey,
    id: &str,
) -> Option<Vec<KnownInstallation>> {
    let _waits = shared.lookups_waiting.try_acquire().ok()?;
    for rest in LOOKUP_RESTS {
        if let Ok(_turn) = shared.lookups.try_acquire() {
            let (known, app, id) = (Arc::clone(known), app.clone(), id.to_owned());
            let lookup = tokio::task::spawn_blocking(move || known.with_id(&app, &id));
            match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
                Ok(Ok(Ok(found))) => return Some(found),
                Ok(Ok(Err(error))) => warn!(%error, "an installation is not linked yet"),
                Ok(Err(_)) | Err(_) => warn!("an installation is not linked yet: the ledger does not answer"),
            }
        }
        tokio::time::sleep(rest).await;
    }
    None
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
