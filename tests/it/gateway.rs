//! The gateway with foreign signers and a foreign app: every token is made by another library, and the app behind *front*
//! verifies on its own.
//!
//! The gateway runs in this process, on a journal of its own; what is recorded is read from the journal's files.

mod apps;
mod keys;
mod paced;
mod refusals;
mod robust;
mod story;
mod under_load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ledger_api::access::{Access, AccessOptions, AccessScope, Grants, TokenOptions, new_token, token_hash};
use ledger_core::ids::AppKey;
use ledger_core::realm::Realm;
use ledger_gateway::journal::{Journal, JournalOptions};
use ledger_gateway::options::{AppOptions, GatewayOptions};
use ledger_gateway::{Gateway, KnownInstallations};
use ledger_tests::gateway::Script;
use ledger_tests::scratch;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const APP: &str = "com.example.roadmap";
const FORGE_APP: &str = "ari:cloud:ecosystem::app/6d1a";
const BASE: &str = "https://app.example.com";
const SITE: &str = "https://acme.atlassian.net";
const CLIENT: &str = "acme-client";
const SECRET: &str = "shared-with-nobody-else-and-of-256-bits";

/// A gateway, and who signs for Atlassian.
struct World {
    scratch: tempfile::TempDir,
    journal: PathBuf,
    runtime: Runtime,
    url: String,
    connect: Script,
    forge: Script,
    copy_token: String,
}

/// An answer over HTTP.
#[derive(Debug)]
struct Answer {
    status: u16,
    code: String,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl World {
    fn new(app: Option<&Script>) -> Self {
        Self::with(|connect, forge| app_options(connect, forge, app.map(|app| app.url.as_str())), None)
    }

    fn with(
        options: impl FnOnce(&Script, &Script) -> GatewayOptions,
        known: Option<Arc<dyn KnownInstallations>>,
    ) -> Self {
        let (connect, forge) = (Script::node("connect.js", &[]), Script::python("forge.py"));
        Self::between(connect, forge, options, known)
    }

    fn between(
        connect: Script,
        forge: Script,
        options: impl FnOnce(&Script, &Script) -> GatewayOptions,
        known: Option<Arc<dyn KnownInstallations>>,
    ) -> Self {
        Self::open(scratch::directory(), &JournalOptions::default(), connect, forge, options, known)
    }

    /// Another process goes on with its directory, for copies.
    fn restarted(self) -> Self {
        let Self { scratch, runtime, connect, forge, .. } = self;
        drop(runtime);
        let options = |connect: &Script, forge: &Script| app_options(connect, forge, None);
        Self::open(scratch, &JournalOptions::default(), connect, forge, options, None)
    }

    fn open(
        scratch: tempfile::TempDir,
        journal: &JournalOptions,
        connect: Script,
        forge: Script,
        options: impl FnOnce(&Script, &Script) -> GatewayOptions,
        known: Option<Arc<dyn KnownInstallations>>,
    ) -> Self {
        let dir = scratch.path().join("journal");
        let options = options(&connect, &forge);
        let copy_token = new_token([9; 32]);
        let named = |token: &str, name: &str, scope, apps: &str| TokenOptions {
            name: name.to_owned(),
            sha256: token_hash(token),
            scopes: [scope].into_iter().collect(),
            apps: Grants::parse(&[apps]).unwrap(),
            expires: None,
        };
        let tokens = vec![
            named(&copy_token, "app", AccessScope::Hooks, APP),
            named(&new_token([8; 32]), "reader", AccessScope::Read, "*"),
            named(&new_token([7; 32]), "other", AccessScope::Hooks, "com.example.other"),
        ];
        let access = Access::new(&AccessOptions { tokens, rate: 0, ..AccessOptions::default() }).unwrap();
        let journal = Journal::open(&dir, journal).unwrap();
        let gateway = Gateway::new(options, journal, Arc::new(access), known).unwrap();
        let runtime = ledger_gateway::runtime().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(ledger_gateway::serve(listener, gateway, std::future::pending()));
        Self { scratch, journal: dir, runtime, url, connect, forge, copy_token }
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(&format!("{}{path}", self.url), method, headers, body)
    }

    /// A hook with this value of `authorization`.
    fn hook(&self, hook: &str, authorization: &str, body: &Value) -> Answer {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        self.call("POST", &format!("/hooks/roadmap/EU/{hook}"), &headers, &body.to_string())
    }

    fn copy(&self, hook: &str, authorization: &str, body: &Value) -> Answer {
        let headers = [("authorization", authorization), ("x-realm-ledger-token", self.copy_token.as_str())];
        self.call("POST", &format!("/hooks/roadmap/EU/{hook}"), &headers, &body.to_string())
    }

    /// A token of an install hook, with other claims in place of the right ones.
    fn install_token(&self, path: &str, other: Value) -> String {
        let token = self.connect.token(&with(install_order(path), other));
        format!("JWT {token}")
    }

    fn forge_token(&self, claims: Value) -> String {
        self.signed_forge_token(&json!({ "claims": with(forge_claims(), claims) }))
    }

    fn signed_forge_token(&self, order: &Value) -> String {
        format!("Bearer {}", self.forge.token(order))
    }

    /// Every event that is in the journal.
    fn recorded(&self) -> Vec<Value> {
        recorded(&self.journal)
    }

    fn recorded_types(&self) -> Vec<String> {
        self.recorded().iter().map(|event| event["type"].as_str().unwrap_or("refused").to_owned()).collect()
    }
}

fn recorded(journal: &Path) -> Vec<Value> {
    let text = journal_text(journal);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn journal_text(journal: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn call(url: &str, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = if method == "GET" {
        agent.run(request.body(()).unwrap())
    } else {
        agent.run(request.body(body.to_owned()).unwrap())
    }
    .unwrap();
    let body = answer.body_mut().read_to_string().unwrap();
    let code = serde_json::from_str::<Value>(&body).ok();
    let code = code.and_then(|body| Some(body["code"].as_str()?.to_owned())).unwrap_or_default();
    Answer { status: answer.status().as_u16(), code, headers: answer.headers().clone(), body }
}

fn app_options(connect: &Script, forge: &Script, app: Option<&str>) -> GatewayOptions {
    let eu = Realm::parse("EU").unwrap();
    let forward = app.map(|url| (eu, url.to_owned()));
    let app = AppOptions {
        name: "roadmap".to_owned(),
        app_key: AppKey::new(APP).unwrap(),
        forge_app: Some(FORGE_APP.to_owned()),
        realms: vec![Realm::GLOBAL, eu],
        audiences: vec![BASE.to_owned(), "https://eu.app.example.com/".to_owned()],
        forward: forward.into_iter().collect(),
        forward_paths: BTreeMap::new(),
    };
    GatewayOptions {
        apps: vec![app],
        hosts: [("eu.app.example.com".to_owned(), "roadmap/EU".to_owned())].into(),
        install_keys: vec![connect.url.clone()],
        forge_jwks: vec![forge.url.clone()],
        ..GatewayOptions::default()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An object with members of another one in place of its own; null takes one away.
#[expect(clippy::needless_pass_by_value, reason = "it is written in place")]
fn with(mut object: Value, other: Value) -> Value {
    for (name, value) in other.as_object().unwrap() {
        match (value, object.get_mut(name)) {
            (Value::Null, _) => drop(object.as_object_mut().unwrap().remove(name)),
            (Value::Object(_), Some(inner)) => *inner = with(inner.take(), value.clone()),
            _ => object[name] = value.clone(),
        }
    }
    object
}

fn install_order(path: &str) -> Value {
    let claims =
        json!({ "iss": CLIENT, "aud": [BASE], "sub": "account-1", "iat": now(), "exp": now() + 180 });
    json!({ "claims": claims, "method": "POST", "url": path })
}

fn payload(event: &str) -> Value {
    json!({
        "key": APP, "clientKey": CLIENT, "eventType": event, "baseUrl": SITE, "productType": "jira", "sharedSecret": SECRET,
        "publicKey": "MIGf-public", "description": "Words of the customer", "oauthClientId": "client-id"
    })
}

fn forge_claims() -> Value {
    let installation = "ari:cloud:ecosystem::installation/1a2b";
    let contexts = json!([{ "name": "ari:cloud:jira::site/cloud-1", "cloudId": "cloud-1" }]);
    json!({
        "iss": "forge/invocation-token", "aud": FORGE_APP, "iat": now(), "nbf": now(), "exp": now() + 25,
        "jti": format!("{:?}", SystemTime::now()),
        "app": {
            "id": FORGE_APP, "installationId": installation, "appVersion": "3.0.0", "environment": { "type": "PRODUCTION" },
            "module": { "type": "trigger", "key": "lifecycle" }, "installation": { "id": installation, "contexts": contexts }
        }
    })
}
