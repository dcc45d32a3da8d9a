//! From a verified call to events: pure, but for the ids.
//!
//! Connect's payloads and hooks go through the decoder of the ledger, as they would from Kafka: what it refuses there it
//! refuses here. Only fields that an event has are taken from a body, so that no secret in it is kept.

use ledger_core::event::{Body, Event, InstallationFact, Installed, SubscriptionState};
use ledger_core::ids::{AppKey, ClientKey};
use ledger_core::realm::Realm;
use ledger_core::time::Timestamp;
use ledger_ingest::decode::{Decoded, Incoming, Message, decode};
use ledger_ingest::quarantine::refused_line;
use ledger_ingest::redact;
use ledger_record::json::time::format_instant;
use ledger_record::rejection::{Reason, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::hook::{Lifecycle, Phase};
use crate::ids::new_id;
use crate::limits::EVENT_MAX_BYTES;
use crate::refusal::Refusal;
use crate::verify::{ForgeToken, License};

/// What every event of a call has, whatever its body says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    pub(crate) time: Timestamp,
    pub(crate) realm: Realm,
    pub(crate) app: &'a AppKey,
    pub(crate) record_actor: bool,
}

/// Nothing of a call is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoEvent {
    pub(crate) refusal: Refusal,
    /// What goes to quarantine of a call that the ledger cannot read, as a line of the journal.
    pub(crate) line: Option<Vec<u8>>,
}

impl From<Refusal> for NoEvent {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, line: None }
    }
}

impl NoEvent {
    /// Of a value that the ledger cannot read.
    pub(crate) fn unreadable(value: &[u8], rejection: Rejection) -> Self {
        let message = Message { value: Some(value), ..Message::default() };
        Self { refusal: Refusal::BadBody, line: Some(refused_line(&message, rejection, EVENT_MAX_BYTES)) }
    }
}

/// Whom a body of Connect is about, whatever else is in it: text that is cut within a letter, or too deep.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InstallBody {
    pub(crate) client_key: Value,
    pub(crate) key: Value,
    pub(crate) base_url: Value,
}

/// What a call to the route of Forge is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForgeCall {
    /// The app was installed, or a new major version of it.
    Installed,
    /// It is about to be uninstalled, or was.
    Uninstalled,
    /// Nothing that the ledger records.
    Other,
}

/// A `CloudEvent`, as the decoder takes one.
#[derive(Serialize)]
struct HookEvent<'a> {
    specversion: &'static str,
    source: &'static str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    appkey: &'a str,
    endpointrealm: &'a str,
    data: &'a RawValue,
}

impl Stamp<'_> {
    fn event(self, client: ClientKey, fact: InstallationFact, actor: Option<&str>) -> Option<Event> {
        let body = Body::Installation { client, app: self.app.clone(), fact };
        Some(Event { id: new_id(self.time)?, time: self.time, body, actor: self.actor(actor), reason: None })
    }

    fn actor(self, actor: Option<&str>) -> Option<String> {
        actor.filter(|_| self.record_actor).map(|actor| redact::text(actor).into_owned())
    }

    fn decoded(
        self,
        kind: String,
        subject: Option<&str>,
        body: &[u8],
        actor: Option<&str>,
    ) -> Result<Event, NoEvent> {
        let id = new_id(self.time).ok_or(Refusal::Busy)?;
        let data: &RawValue = serde_json::from_slice(body).map_err(|_| {
            let detail = format!("the body of {kind} is not JSON");
            NoEvent::unreadable(body, Rejection { reason: Reason::Undecodable, path: None, detail })
        })?;
        let envelope = HookEvent {
            specversion: "1.0",
            source: "gateway",
            id: id.as_str(),
            kind,
            time: format_instant(self.time),
            subject,
            appkey: self.app.as_str(),
            endpointrealm: self.realm.as_str(),
            data,
        };
        #[expect(clippy::disallowed_methods, reason = "no answer: the decoder of events reads it")]
        let value = serde_json::to_vec(&envelope).map_err(|_| Refusal::BadBody)?;
        match decode(&Message { value: Some(&value), ..Message::default() }) {
            Ok(Decoded::Event(Incoming { event, .. })) => Ok(Event { actor: self.actor(actor), ..event }),
            Ok(Decoded::Tick) => Err(Refusal::BadBody.into()),
            Err(rejection) => {
                tracing::warn!(%rejection, "the body of a hook cannot be recorded");
                Err(NoEvent::unreadable(&value, rejection))
            }
        }
    }

    /// A lifecycle hook of Connect, about the app and the tenant of its body.
    pub(crate) fn of_connect(
        self,
        lifecycle: Lifecycle,
        body: &[u8],
        actor: Option<&str>,
    ) -> Result<Event, NoEvent> {
        let name = match lifecycle {
            Lifecycle::Installed => "installed",
            Lifecycle::Uninstalled => "uninstalled",
            Lifecycle::Enabled => "enabled",
            Lifecycle::Disabled => "disabled",
        };
        let mut event = self.decoded(format!("com.atlassian.connect.{name}"), None, body, actor)?;
        if let Body::Installation { fact, .. } = &mut event.body {
            let id = match fact {
                InstallationFact::Installed(installed) => installed.installation_id.as_mut(),
                InstallationFact::Uninstalled { installation_id, .. } => installation_id.as_mut(),
                _ => None,
            };
            if let Some(id) = id {
                *id = installation_ari(id);
            }
        }
        Ok(event)
    }

    /// A step of a migration, whose body is the same for Connect and for Forge; a question about it is no event.
    pub(crate) fn of_migration(
        self,
        phase: Phase,
        client: &ClientKey,
        body: &[u8],
        actor: Option<&str>,
    ) -> Result<Option<Event>, NoEvent> {
        let name = match phase {
            Phase::Schedule => "schedule",
            Phase::Start => "start",
            Phase::Commit => "commit",
            Phase::Rollback => "rollback",
            Phase::Status => return Ok(None),
        };
        let kind = format!("com.atlassian.connect.dare-migration.{name}");
        let decoded = self.decoded(kind.clone(), Some(client.as_str()), body, actor);
        let decoded = match (decoded, essence_of_step(body)) {
            // Its times are not essential: a step with one that cannot be read is recorded without.
            (Err(NoEvent { refusal: Refusal::BadBody, .. }), Some(essence)) => {
                self.decoded(kind, Some(client.as_str()), &essence, actor)
            }
            (decoded, _) => decoded,
        };
        decoded.map(Some)
    }

    /// `installed`, as a Forge token proves it.
    pub(crate) fn of_installed(self, token: &ForgeToken) -> Option<Event> {
        let text = |text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| redact::text(text).into_owned())
        };
        let installed = Installed {
            endpoint_realm: Some(self.realm),
            installation_id: Some(installation_ari(&token.installation)),
            entitlement_id: text(&token.license.as_ref().and_then(|license| license.entitlement.clone())),
            site_url: text(&token.site_url),
            ..Installed::default()
        };
        let fact = InstallationFact::Installed(Box::new(installed));
        self.event(token.client.clone(), fact, token.actor.as_deref())
    }

    /// `uninstalled`, as a Forge token proves it.
    pub(crate) fn of_uninstalled(self, token: &ForgeToken) -> Option<Event> {
        let fact = InstallationFact::Uninstalled {
            endpoint_realm: Some(self.realm),
            installation_id: Some(installation_ari(&token.installation)),
        };
        self.event(token.client.clone(), fact, token.actor.as_deref())
    }

    /// What a token says of the licence.
    pub(crate) fn of_license(self, token: &ForgeToken, license: &License) -> Option<Event> {
        let state = if license.is_active { SubscriptionState::Active } else { SubscriptionState::Inactive };
        self.event(token.client.clone(), InstallationFact::SubscriptionObserved { state }, None)
    }

    /// Another fact about an installation of the app.
    pub(crate) fn of_fact(self, client: ClientKey, fact: InstallationFact) -> Option<Event> {
        self.event(client, fact, None)
    }
}

/// Which migration it is about, and where it goes.
fn essence_of_step(body: &[u8]) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    body.as_object_mut()?.retain(|name, _| ["migrationId", "location"].contains(&name.as_str()));
    Some(body.to_string().into_bytes())
}

const INSTALLATION: &str = "ari:cloud:ecosystem::installation/";

/// Names an installation as Connect's payloads do: some calls have the bare id.
pub(crate) fn installation_ari(id: &str) -> String {
    if id.starts_with("ari:") { id.to_owned() } else { format!("{INSTALLATION}{id}") }
}

/// The body of a call to the route of Forge: an event at the top or under `payload`, or what a module gets.
/// Whatever else is in it, and of whatever type.
struct ForgeBody<'b>(&'b Value);

impl ForgeCall {
    /// What a call is about. Forge names the type of an event or, in the documented shape, leaves it to be seen from its
    /// members. The module is in the token: one that says another thing than the body is right.
    pub(crate) fn parse(token: &ForgeToken, body: &[u8]) -> Result<Self, NoEvent> {
        if token.is_of_uninstall() {
            return Ok(Self::Uninstalled);
        }
        if token.module() == Some("scheduledTrigger") {
            return Ok(Self::Other);
        }
        let unreadable = |error: serde_json::Error| {
            let rejection = Rejection { reason: Reason::Undecodable, path: None, detail: error.to_string() };
            NoEvent::unreadable(body, rejection)
        };
        let body: Value = serde_json::from_slice(body).map_err(unreadable)?;
        let event = body.get("payload").filter(|payload| payload.is_object()).unwrap_or(&body);
        let (event, outer) = (ForgeBody(event), ForgeBody(&body));
        let named = event.text("eventType").or_else(|| outer.text("eventType"));
        Ok(match named {
            Some("avi:forge:installed:app" | "avi:forge:upgraded:app") => Self::Installed,
            Some("avi:forge:uninstalled:app") => Self::Uninstalled,
            None if event.text("id").is_some() && event.has_account() => Self::Installed,
            // Payloads of other modules have one as well.
            None if event.text("contextToken").is_some() && token.module().is_none() => Self::Uninstalled,
            _ => Self::Other,
        })
    }
}

impl<'b> ForgeBody<'b> {
    fn text(&self, name: &str) -> Option<&'b str> {
        self.0.get(name)?.as_str()
    }

    /// Of the events without a type, these two have such a member.
    fn has_account(&self) -> bool {
        ["installerAccountId", "upgraderAccountId"].iter().any(|name| self.text(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: &str = "EU";

    fn with_stamp<T>(record_actor: bool, then: impl FnOnce(Stamp<'_>) -> T) -> T {
        let app = AppKey::new("com.example.app").unwrap();
        let time = Timestamp::from_millis(1_790_000_000_123);
        then(Stamp { time, realm: Realm::parse(REALM).unwrap(), app: &app, record_actor })
    }

    fn token() -> ForgeToken {
        ForgeToken {
            client: ClientKey::new("cloud-1").unwrap(),
            installation: "1a2b".to_owned(),
            site_url: Some("https://acme.atlassian.net".to_owned()),
            actor: Some("account".to_owned()),
            module: None,
            license: Some(License { is_active: false, entitlement: Some("E-1".to_owned()) }),
        }
    }

    fn json(event: &Event) -> serde_json::Value {
        serde_json::from_slice(&ledger_record::json::to_vec(event).unwrap()).unwrap()
    }

    #[test]
    fn a_connect_payload_becomes_its_event_and_leaves_its_secrets_behind() {
        let body = br#"{"key":"com.example.app","clientKey":"acme","sharedSecret":"s3cret","publicKey":"k","baseUrl":"https://acme.atlassian.net","eventType":"installed","installationId":"ari:cloud:ecosystem::installation/1","entitlementId":"E"}"#;
        let record =
            |actor| with_stamp(actor, |stamp| stamp.of_connect(Lifecycle::Installed, body, Some("me")));
        let event = record(true).unwrap();
        let written = json(&event);
        assert_eq!(written["type"], "installed");
        assert_eq!(written["time"], "2026-09-21T14:13:20.123Z");
        assert_eq!(written["endpointRealm"], REALM);
        assert_eq!(written["installationId"], "ari:cloud:ecosystem::installation/1");
        assert_eq!(written["siteUrl"], "https://acme.atlassian.net");
        assert_eq!(written["entitlementId"], "E");
        assert_eq!(written["actor"], "me");
        assert!(!written.to_string().contains("s3cret") && !format!("{event:?}").contains("s3cret"));
        assert_eq!(record(false).unwrap().actor, None);
        for wrong in [&b""[..], b"[]", b"{}", b"{} {}", br#"{"key":1,"clientKey":"acme"}"#] {
            let refused = with_stamp(true, |stamp| stamp.of_connect(Lifecycle::Enabled, wrong, None));
            let refused = refused.unwrap_err();
            assert!(refused.line.is_some());
            assert_eq!(refused.refusal, Refusal::BadBody, "{:?}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn steps_of_a_migration_are_events_and_a_question_is_none() {
        let client = ClientKey::new("acme").unwrap();
        let of = |phase, body: &str| {
            with_stamp(true, |stamp| stamp.of_migration(phase, &client, body.as_bytes(), None))
        };
        let schedule = r#"{"startTime":"2026-12-01T00:00:00.000Z","endTime":"2026-12-02T00:00:00.000Z","location":"DE","migrationId":57500}"#;
        let scheduled = json(&of(Phase::Schedule, schedule).unwrap().unwrap());
        assert_eq!(scheduled["type"], "migration-scheduled");
        assert_eq!(scheduled["migrationId"], "57500");
        assert_eq!(scheduled["targetRealm"], "DE");
        assert_eq!(scheduled["clientKey"], "acme");
        let types = [
            (Phase::Start, "migration-started"),
            (Phase::Commit, "migration-committed"),
            (Phase::Rollback, "migration-rolled-back"),
        ];
        for (phase, name) in types {
            assert_eq!(of(phase, r#"{"migrationId":"57500"}"#).unwrap().unwrap().type_name(), name);
        }
        assert_eq!(of(Phase::Status, ""), Ok(None));
        let without_a_target = r#"{"migrationId":1,"sharedSecret":"canary"}"#;
        let NoEvent { refusal, line } = of(Phase::Schedule, without_a_target).unwrap_err();
        let line = String::from_utf8(line.unwrap()).unwrap();
        assert_eq!(refusal, Refusal::BadBody);
        assert!(
            line.contains("data.location") && line.contains("acme") && !line.contains("canary"),
            "{line}"
        );
        for times in [
            r#""endTime":"""#,
            r#""startTime":1796051519000"#,
            r#""startTime":"2026-12-01T00:00:00+0000","x":[]"#,
        ] {
            let body = format!(r#"{{"migrationId":7,"location":"DE",{times}}}"#);
            let scheduled = json(&of(Phase::Schedule, &body).unwrap().unwrap());
            assert_eq!(
                (&scheduled["migrationId"], &scheduled["targetRealm"]),
                (&"7".into(), &"DE".into()),
                "{body}"
            );
        }
    }

    #[test]
    fn a_forge_token_becomes_events_of_its_tenant() {
        let token = token();
        let [installed, uninstalled, licence] = with_stamp(true, |stamp| {
            let license = token.license.as_ref().unwrap();
            [stamp.of_installed(&token), stamp.of_uninstalled(&token), stamp.of_license(&token, license)]
                .map(|event| json(&event.unwrap()))
        });
        assert_eq!(installed["clientKey"], "cloud-1");
        assert_eq!(installed["installationId"], "ari:cloud:ecosystem::installation/1a2b");
        assert_eq!(installed["siteUrl"], "https://acme.atlassian.net");
        assert_eq!(installed["entitlementId"], "E-1");
        assert_eq!(
            (&installed["endpointRealm"], &uninstalled["endpointRealm"]),
            (&REALM.into(), &REALM.into())
        );
        assert_eq!(uninstalled["installationId"], installed["installationId"]);
        assert_eq!(
            (&licence["type"], &licence["state"]),
            (&"subscription-observed".into(), &"INACTIVE".into())
        );
        assert_ne!(installed["id"], uninstalled["id"]);
    }

    #[test]
    fn forge_events_are_known_in_both_shapes_and_others_are_none() {
        let of = |module: Option<&str>, body: &str| {
            ForgeCall::parse(&ForgeToken { module: module.map(str::to_owned), ..token() }, body.as_bytes())
        };
        let installed = r#"{"id":"1","context":"ari:cloud:jira::site/2","installerAccountId":"a","app":{},"eventType":"avi:forge:installed:app"}"#;
        let documented =
            r#"{"payload":{"id":"1","installerAccountId":"a","app":{},"retryContext":{"retryCount":1}}}"#;
        let named_outside = r#"{"eventType":"avi:forge:upgraded:app","payload":{"id":"1"}}"#;
        let named_inside =
            r#"{"payload":{"id":"1","upgraderAccountId":"a","eventType":"avi:forge:upgraded:app"}}"#;
        for body in [installed, documented, named_outside, named_inside] {
            assert_eq!(of(None, body), Ok(ForgeCall::Installed), "{body}");
        }
        for body in [
            r#"{"eventType":"avi:forge:uninstalled:app","id":"1"}"#,
            r#"{"context":{"cloudId":"c","moduleKey":"gone"},"contextToken":"x"}"#,
            r#"{"payload":{"context":{"cloudId":"c"},"contextToken":"x"}}"#,
        ] {
            assert_eq!(of(None, body), Ok(ForgeCall::Uninstalled), "{body}");
        }
        assert_eq!(of(Some("core:preUninstall"), ""), Ok(ForgeCall::Uninstalled));
        assert_eq!(of(Some("preUninstall"), "{}"), Ok(ForgeCall::Uninstalled));
        let payload = r#"{"context":{"cloudId":"c","moduleKey":"nightly"},"contextToken":"x"}"#;
        for module in ["core:scheduledTrigger", "scheduledTrigger", "jira:issuePanel"] {
            assert_eq!(of(Some(module), payload), Ok(ForgeCall::Other), "{module}");
        }
        for body in [
            "{}",
            r#"{"eventType":"avi:ecosystem.migration:triggered:listener","id":"1"}"#,
            r#"{"id":"1"}"#,
            "[]",
            "7",
            r#"{"payload":"x","eventType":"avi:jira:updated:issue"}"#,
            r#"{"payload":[]}"#,
            r#"{"eventType":5}"#,
        ] {
            assert_eq!(of(None, body), Ok(ForgeCall::Other), "{body}");
        }
        let none = of(None, "x").unwrap_err();
        assert_eq!((none.refusal, none.line.is_some()), (Refusal::BadBody, true), "it goes to quarantine");
    }

    #[test]
    fn whom_a_body_is_about_is_read_whatever_else_is_in_it() {
        let deep = "[".repeat(300) + &"]".repeat(300);
        for odd in [r#""\ud83d""#, "1e999", &deep] {
            let body = format!(r#"{{"x":{odd},"clientKey":"c","key":"k","y":{odd},"baseUrl":7}}"#);
            let InstallBody { client_key, key, base_url } = serde_json::from_str(&body).unwrap();
            assert_eq!((client_key.as_str(), key.as_str(), base_url.as_str()), (Some("c"), Some("k"), None));
        }
    }
}
