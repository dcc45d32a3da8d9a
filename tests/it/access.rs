//! Who may ask, of the whole program: TLS and client certificates by OpenSSL, web tokens by `PyJWT`, asked by curl and by
//! Python's gRPC, with what is logged of it on real Kafka, and no trace of a token anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ledger_tests::kafka::{self, Isolation, Message, Received};
use ledger_tests::server::{Server, Setup};
use ledger_tests::{python, scratch, wait};
use serde_json::{Value, json};

const APP: &str = "com.example.app";
const CLIENT: &str = "acme.atlassian.net";
const STATE: &str = "/v1/tenants/acme.atlassian.net/apps/com.example.app";
const LOG: &str = "/v1/tenants/acme.atlassian.net/log";

/// As `token create` prints them; the second is in no configuration.
const STATIC: &str = "rl_Zm9yIHRlc3RzIG9ubHkgbm90IGFueW9uZXMgdG9rZW4xq0";

/// What is good and what is not, by the names of `sign_tokens.py`.
const WRONG: [&str; 8] = [
    "unknown",
    "unknown key",
    "expired",
    "wrong audience",
    "wrong issuer",
    "alg none",
    "HS256 with the public key",
    "unknown crit",
];

/// A server with all of it, and what it needs.
struct Guarded {
    scratch: tempfile::TempDir,
    server: Server,
    tokens: BTreeMap<String, String>,
    access_topic: String,
}

fn openssl(directory: &Path, line: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An authority, a certificate for the server and one for a client.
fn make_certificates(directory: &Path) {
    const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        directory,
        &format!("req -x509 {NEW_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
    );
    let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(directory.join("extensions"), extensions).unwrap();
    for name in ["server", "partner"] {
        openssl(
            directory,
            &format!("req -new {NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        let signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions";
        openssl(directory, &format!("x509 -req -in {name}.csr {signed} -out {name}.pem"));
    }
}

/// What `sign_tokens.py` makes there.
fn sign(what: &str, directory: &Path, input: &Value) -> Vec<u8> {
    let mut script = python::script("sign_tokens.py");
    script.arg(what).arg(directory);
    let output = python::answer(script, &input.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Tokens that are good for so many seconds, where they are good.
fn make_tokens(directory: &Path, good_for: u32) -> BTreeMap<String, String> {
    let claims = json!({
        "iss": "https://id.example.com", "aud": "realm-ledger", "sub": "support@example.com", "scope": "openid read",
        "apps": [APP],
    });
    let made = sign("tokens", directory, &json!({ "claims": claims, "good_for": good_for }));
    serde_json::from_slice(&made).unwrap()
}

fn configuration(directory: &Path, access_topic: &str) -> String {
    let der = openssl(directory, "x509 -in partner.pem -outform DER");
    let fingerprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(der));
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "[http.tls]\ncertificate = '{}'\nkey = '{}'\nclient_ca = '{}'\n[access]\ntopic = '{access_topic}'\n\
         [[access.issuer]]\nissuer = 'https://id.example.com'\naudience = 'realm-ledger'\njwks = '{}'\n\
         algorithms = ['RS256', 'ES256']\n\
         [[access.certificate]]\nname = 'partner'\nsha256 = '{fingerprint}'\nscopes = ['read']\napps = ['{APP}']\n\
         [log]\nlevel = 'debug'\n",
        at("server.pem"),
        at("server.key"),
        at("ca.pem"),
        at("keys.json"),
    )
}

fn event(id: &str, kind: &str, more: &Value) -> Message {
    let mut event = json!({ "id": id, "type": kind, "time": "2024-03-01T00:00:00Z", "appKey": APP });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let key = event["clientKey"].as_str().unwrap_or(APP).to_owned();
    Message::new(key, event.to_string()).to_partition(0)
}

impl Guarded {
    fn start() -> Self {
        let (cluster, scratch) = (kafka::shared(), scratch::directory());
        make_certificates(scratch.path());
        sign("keys", scratch.path(), &Value::Null);
        let tokens = make_tokens(scratch.path(), 3600);
        let access_topic = kafka::unique_name("access");
        let config = scratch.path().join("ledger.toml");
        std::fs::write(&config, configuration(scratch.path(), &access_topic)).unwrap();
        let setup = Setup {
            more: vec![("CONFIG", config.display().to_string())],
            ..Setup::new(cluster, kafka::unique_name("guarded"), scratch.path().join("data"))
        };
        cluster.create_topic(&setup.topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
        cluster.create_topic(&access_topic, 2, &[]);
        cluster.produce(
            &setup.topic,
            &[event(
                "i-1",
                "installed",
                &json!({ "clientKey": CLIENT, "endpointRealm": "EU", "productRealm": "US" }),
            )],
        );
        let server = Server::start(&setup, &scratch.path().join("log"));
        server.wait_until_ready(1);
        Self { scratch, server, tokens, access_topic }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Curl with these arguments; no line of it has the token, as a list of processes shows them.
    fn curl(&self, path: &str, token: Option<&str>, more: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--max-time", "60", "--cacert"]).arg(self.file("ca.pem"));
        if let Some(token) = token {
            let header = self.file("header");
            std::fs::write(&header, format!("authorization: Bearer {token}\n")).unwrap();
            command.arg("--header").arg(format!("@{}", header.display()));
        }
        command.args(more).arg(format!("{}{path}", self.server.url));
        command
    }

    /// Version of HTTP and status, and the body.
    fn ask(&self, path: &str, token: Option<&str>, more: &[&str]) -> (String, String) {
        let more: Vec<_> =
            ["--write-out", "\n%{http_version} %{http_code}"].iter().chain(more).copied().collect();
        let output = self.curl(path, token, &more).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        assert!(output.status.success(), "curl {path}: {text}");
        (status.to_owned(), body.to_owned())
    }

    /// Python's answers over gRPC, with a client certificate or without.
    fn call(&self, files: &[&str], questions: &Value) -> Vec<Value> {
        let mut script = python::script("ask_grpc.py");
        script.arg(self.server.url.trim_start_matches("https://"));
        script.args(files.iter().map(|name| self.file(name)));
        let output = python::answer(script, &questions.to_string());
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{lines}{}", String::from_utf8_lossy(&output.stderr));
        lines.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines about access in the log.
    fn logged(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.file("log")).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "access").collect()
    }
}

#[test]
fn tokens_and_certificates_of_others_are_taken_over_tls_and_every_refusal_is_on_kafka() {
    let guarded = Guarded::start();
    let token = |name: &str| Some(&*guarded.tokens[name]);
    let mut answers = String::new();
    let mut ask = |path: &str, token: Option<&str>, more: &[&str]| {
        let (status, body) = guarded.ask(path, token, more);
        answers += &body;
        (status, body)
    };
    for name in ["right", "right on a curve"] {
        let (status, body) = ask(STATE, token(name), &[]);
        assert!(status == "2 200" && body.contains(r#""pinnedRealm":"EU""#), "{name}: {status} {body}");
        assert_eq!(ask(STATE, token(name), &["--http1.1"]).0, "1.1 200", "{name}");
    }
    for refused in WRONG.map(token).into_iter().chain([None, Some(STATIC)]) {
        for version in ["--http2", "--http1.1"] {
            let (status, body) = ask(STATE, refused, &[version]);
            assert!(
                status.ends_with(" 401") && body.contains("unauthenticated"),
                "{refused:?}: {status} {body}"
            );
        }
    }
    assert_eq!(ask(STATE, token("another app"), &[]).0, "2 404");
    assert_eq!(ask(LOG, token("right"), &[]).0, "2 403");
    assert_eq!(ask(LOG, token("audit"), &[]).0, "2 200");
    let [certificate, key] =
        ["partner.pem", "partner.key"].map(|name| guarded.file(name).display().to_string());
    assert_eq!(ask(STATE, None, &["--cert", &certificate, "--key", &key]).0, "2 200");
    assert_eq!(ask(LOG, None, &["--cert", &certificate, "--key", &key]).0, "2 403");
    grpc_is_as_http(&guarded);
    let expired = subscription_until_its_token_expires(&guarded);
    answers += &expired;
    let lines = on_kafka(&guarded);
    let metrics = guarded.server.get("/metrics").1.as_str().unwrap().to_owned();
    assert!(metrics.lines().any(|line| line == "realm_ledger_access_events_lost_total 0"), "{metrics}");
    assert!(metrics.contains(&format!("realm_ledger_published_total{{topic=\"{}\"}}", guarded.access_topic)));
    let data = data_below(&guarded.file("data"));
    let log = std::fs::read_to_string(guarded.file("log")).unwrap();
    assert!(log.contains(r#""level":"DEBUG""#), "as talkative as it can be");
    let tokens = guarded.tokens.iter().map(|(name, token)| (&**name, &**token));
    for (name, token) in tokens.chain([("static", STATIC)]) {
        // A part of a token would do: each of its three, but for the header, which is in many.
        let parts = token.split('.').skip(usize::from(token.contains('.'))).filter(|part| !part.is_empty());
        for part in parts {
            let part = &part[..24];
            for (place, text) in
                [("log", &log), ("metrics", &metrics), ("answers", &answers), ("topic", &lines)]
            {
                assert!(!text.contains(part), "{name} is in the {place}");
            }
            assert!(
                !data.windows(part.len()).any(|window| window == part.as_bytes()),
                "{name} is in the data"
            );
        }
    }
    guarded.server.drain();
}

fn grpc_is_as_http(guarded: &Guarded) {
    let short = make_tokens(guarded.scratch.path(), 3);
    let one = json!({ "clientKey": CLIENT, "appKey": APP });
    let right = &guarded.tokens["right"];
    let mut questions = vec![json!(["GetInstallation", one, right]), json!(["ReadLog", one, right])];
    questions[1][1] = json!({ "clientKey": CLIENT });
    questions.push(json!(["GetInstallation", one, guarded.tokens["another app"]]));
    questions.push(json!(["SubscribeDecisions", { "from": "begin" }, short["right"]]));
    questions.push(json!(["GetInstallation", one]));
    questions.extend(WRONG.map(|name| json!(["GetInstallation", one, guarded.tokens[name]])));
    let answers = guarded.call(&["ca.pem"], &questions.into());
    let told: Vec<_> = answers.iter().map(|answer| (&answer["code"], &answer["info"]["reason"])).collect();
    let none = Value::Null;
    let (code, reason) = (json!("UNAUTHENTICATED"), json!("unauthenticated"));
    let unauthenticated = (&code, &reason);
    assert_eq!(told[0], (&json!("OK"), &none), "{}", answers[0]);
    assert_eq!(answers[0]["messages"][0]["installation"]["pinnedRealm"], "EU");
    assert_eq!(told[1], (&json!("PERMISSION_DENIED"), &json!("scope-missing")));
    assert_eq!(told[2], (&json!("NOT_FOUND"), &json!("not-found")));
    assert_eq!(told[3], unauthenticated, "{}", answers[3]);
    assert!(answers[3]["detail"].as_str().unwrap().contains("have expired"), "{}", answers[3]);
    assert!(told[4..].iter().all(|told| *told == unauthenticated), "{told:?}");
    let by_certificate =
        guarded.call(&["ca.pem", "partner.pem", "partner.key"], &json!([["GetInstallation", one]]));
    assert_eq!(by_certificate[0]["code"], "OK", "{}", by_certificate[0]);
}

/// A stream of events by curl, which ends by itself; what came.
fn subscription_until_its_token_expires(guarded: &Guarded) -> String {
    let tokens = make_tokens(guarded.scratch.path(), 3);
    let begun = Instant::now();
    let accept = ["--header", "accept: text/event-stream"];
    let output = guarded.curl("/v1/decisions?from=begin", Some(&tokens["right"]), &accept).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "it ended as it should: {text}");
    // It is good for five seconds more, as the issuer's clock may be off.
    assert!(begun.elapsed() > Duration::from_secs(6) && begun.elapsed() < Duration::from_secs(40));
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(
        last.starts_with("event: problem\nid: ") && last.contains(r#""code":"unauthenticated""#),
        "{text}"
    );
    text
}

/// Every line of the log is an event on the topic, and nothing else is; the events as text.
fn on_kafka(guarded: &Guarded) -> String {
    let logged = guarded.logged();
    assert!(logged.len() > 30, "{}", logged.len());
    let events = wait::for_value(|| {
        let events = kafka::shared().read_all(&guarded.access_topic, Isolation::ReadCommitted);
        if events.len() >= logged.len() { Ok(events) } else { Err(events.len()) }
    });
    let parsed = |event: &Received| serde_json::from_slice::<Value>(event.value.as_ref().unwrap()).unwrap();
    let mut ids: Vec<String> = Vec::new();
    let mut told = Vec::new();
    for event in &events {
        let line = parsed(event);
        assert_eq!(event.header("content-type"), Some("application/cloudevents+json"));
        assert_eq!((&line["specversion"], &line["type"]), (&json!("1.0"), &json!("realmledger.access")));
        let principal = line["data"]["principal"].as_str().unwrap_or_default();
        assert_eq!(event.key.as_deref().unwrap_or_default(), principal.as_bytes(), "{line}");
        assert!(line["data"]["tookMs"].is_number() && line["time"].is_string(), "{line}");
        ids.push(line["id"].as_str().unwrap().to_owned());
        told.push(
            ["principal", "query", "clientKey", "appKey", "code", "status"]
                .map(|name| line["data"][name].clone()),
        );
    }
    let mut expected: Vec<_> = logged
        .iter()
        .map(|line| {
            ["principal", "query", "client_key", "app_key", "code", "status"].map(|name| line[name].clone())
        })
        .collect();
    let text = |lines: &mut Vec<[Value; 6]>| lines.sort_by_key(|line| format!("{line:?}"));
    text(&mut told);
    text(&mut expected);
    assert_eq!(told, expected);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "each has an id of its own");
    for (principal, query, code) in [
        (json!("https://id.example.com#support@example.com"), "Log", "scope-missing"),
        (json!("https://id.example.com#support@example.com"), "Log", "ok"),
        (json!("https://id.example.com#support@example.com"), "Installation", "not-granted"),
        (json!("partner"), "Log", "scope-missing"),
        (Value::Null, "Installation", "unauthenticated"),
    ] {
        let is_there = told.iter().any(|line| line[0] == principal && line[1] == query && line[4] == code);
        assert!(is_there, "{principal} {query} {code}: {told:?}");
    }
    events.iter().map(|event| parsed(event).to_string()).collect()
}

fn data_below(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { data_below(&path) } else { std::fs::read(&path).unwrap_or_default() });
    }
    all
}
