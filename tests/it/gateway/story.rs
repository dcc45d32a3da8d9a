//! A story over real Kafka, through the gateway of `serve` alone: a Connect app with its data in EU moves to Forge, and its
//! first Forge call arrives at `default`.

use std::path::Path;
use std::time::{Duration, Instant};

use ledger_tests::gateway::Script;
use ledger_tests::kafka;
use ledger_tests::scratch;
use ledger_tests::server::{Server, Setup};
use ledger_tests::wait;
use serde_json::{Value, json};

use super::{APP, Answer, BASE, CLIENT, FORGE_APP, call, forge_claims, now, payload, with};

/// The configuration of a gateway for one app, as a file.
pub(super) fn configuration(at: &Path, connect: &Script, forge: &Script, sha256: &str) -> String {
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\ninstall_keys = [\"{}\"]\nforge_jwks = [\"{}\"]\n\
         [[gateway.app]]\nname = \"roadmap\"\napp_key = \"{APP}\"\nforge_app = \"{FORGE_APP}\"\n\
         realms = [\"default\", \"EU\"]\naudiences = [\"{BASE}\"]\n\
         [[access.token]]\nname = \"app\"\nsha256 = \"{sha256}\"\nscopes = [\"hooks\", \"operate\"]\napps = [\"*\"]\n[access]\nrate = 0\n",
        connect.url, forge.url
    );
    let path = at.join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Where the gateway of a process takes hooks, by its log.
pub(super) fn hooks_url(log: &Path) -> String {
    wait::for_value(|| {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let url = lines.find_map(|line| line["hooks_url"].as_str().map(str::to_owned));
        url.ok_or(text)
    })
}

struct Story {
    hooks: String,
    server: Server,
    token: String,
    connect: Script,
    forge: Script,
}

impl Story {
    fn hook(&self, path: &str, authorization: &str, body: &Value) {
        let headers = [("authorization", authorization), ("x-realm-ledger-token", &*self.token)];
        let Answer { status, body, .. } =
            call(&format!("{}{path}", self.hooks), "POST", &headers, &body.to_string());
        assert_eq!((status, &*body), (204, ""));
    }

    fn ask(&self, path: &str) -> (u16, Value) {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("authorization", &*authorization)];
        let answer = call(&format!("{}{path}", self.server.url), "GET", &headers, "");
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }
}

#[test]
fn first_forge_call_at_default_says_that_the_data_may_still_be_in_eu() {
    let scratch = scratch::directory();
    let (connect, forge) = (Script::node("connect.js", &[]), Script::python("forge.py"));
    let token = ledger_api::access::new_token([3; 32]);
    let hash = hex::encode(ledger_api::access::token_hash(&token));
    let cluster = kafka::shared();
    let mut setup = Setup::new(cluster, kafka::unique_name("gateway"), scratch.path().join("data"));
    cluster.create_topic(&setup.topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    setup.more = vec![("CONFIG", configuration(scratch.path(), &connect, &forge, &hash))];
    let log = scratch.path().join("log");
    let server = Server::start(&setup, &log);
    server.wait_until_ready(2);
    let story = Story { hooks: hooks_url(&log), server, token, connect, forge };

    // A Connect app in EU, which is on its way to Forge.
    let path = "/hooks/roadmap/EU/connect/installed";
    let claims = json!({ "iss": CLIENT, "aud": [BASE], "iat": now(), "exp": now() + 180 });
    let order = json!({ "claims": claims, "method": "POST", "url": path });
    let installation = forge_claims()["app"]["installationId"].clone();
    let installed = with(payload("installed"), json!({ "installationId": installation }));
    story.hook(path, &format!("JWT {}", story.connect.token(&order)), &installed);
    let old = format!("/v1/tenants/{CLIENT}/apps/{APP}");
    wait::for_value(|| match story.ask(&old) {
        (200, state) if state["installation"]["pinnedRealm"] == "EU" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // The site moves; nothing tells so. The first call of the Forge app arrives at default.
    let forge_token = story.forge.token(&json!({ "claims": forge_claims() }));
    let called = Instant::now();
    story.hook("/hooks/roadmap/default/forge/seen", &format!("Bearer {forge_token}"), &json!({}));
    let new = format!("/v1/tenants/cloud-1/apps/{APP}");
    let explanation = wait::for_value(|| {
        let (status, answer) = story.ask(&format!("{new}/explanation"));
        let text = answer["explanation"].to_string();
        if status == 200 && text.contains("it was in EU; its data may still be there") {
            Ok(text)
        } else {
            Err(answer)
        }
    });
    let took = called.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}: a second on a quiet machine");
    assert!(explanation.contains("seq"), "with the records: {explanation}");
    let (_, state) = story.ask(&new);
    let state = &state["installation"];
    assert_eq!(
        (&state["pinnedRealm"], &state["predecessor"]["clientKey"]),
        (&"GLOBAL".into(), &CLIENT.into()),
        "{state}"
    );
    assert_eq!(
        (&state["decision"]["previousRealm"], &state["decision"]["moved"]),
        (&"EU".into(), &true.into())
    );
    let (_, decisions) = story.ask("/v1/decisions?from=begin");
    let told = decisions["decisions"].as_array().unwrap().iter().any(|told| {
        told["data"]["clientKey"] == "cloud-1" && told.to_string().contains("\"previousRealm\":\"EU\"")
    });
    assert!(told, "{decisions}");
    let state = wait::for_value(|| match story.ask(&old).1["installation"].clone() {
        state if state["status"] == "UNINSTALLED" => Ok(state),
        other => Err(other),
    });
    assert_eq!(state["successor"]["clientKey"], "cloud-1");
    story.server.drain();
}
