//! What the log of access has of requests that are refused, or miss; and that a token in one is left nowhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Served, created, files_below};
use crate::world::World;

const APP: &str = "com.granted.app";

impl Served {
    fn post(&self, body: &str, authorization: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("{}/v1/commands", self.url)).header("authorization", authorization);
        let mut answer = request.header("content-type", "application/json").send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
    }

    /// Waits until the ledger is read to its end, so that it answers that something is not there.
    fn settle(&self, authorization: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.get("/v1/tenants/nobody", authorization).0 == 503 {
            assert!(Instant::now() < until, "{}", self.logged());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The lines of a question with a code.
    fn noted(&self, query: &str, code: &str) -> Vec<Value> {
        let lines = self.access_lines().into_iter();
        lines.filter(|line| line["query"] == query && line["code"] == code).collect()
    }
}

/// A server without Kafka, with an operator of all apps and one of a single app, and both tokens.
fn served(world: &World) -> (Served, String, String) {
    let (all, all_lines) = created("all --scope operate --all-apps");
    let (partner, partner_lines) = created(&format!("partner --scope operate --app {APP}"));
    let served = Served::started(world, &format!("{all_lines}\n{partner_lines}"), &["--local"]);
    (served, format!("Bearer {all}"), format!("Bearer {partner}"))
}

fn descriptor() -> String {
    let descriptor =
        json!({"baseUrl": "https://a.example", "regionBaseUrls": {"EU": "https://eu.a.example"}});
    json!({"id": "d-1", "type": "descriptor-published", "time": "2026-01-01T00:00:00Z", "appKey": APP,
           "descriptor": descriptor})
    .to_string()
}

fn order(id: &str, client: &str, reason: &str) -> String {
    json!({"id": id, "type": "override", "time": "2026-01-02T00:00:00Z", "clientKey": client, "appKey": APP,
           "action": "RELEASE", "reason": reason})
    .to_string()
}

#[test]
fn refused_commands_and_tenants_that_are_not_seen_leave_a_line() {
    let world = World::new();
    let (served, all, partner) = served(&world);
    assert_eq!(served.post(&descriptor(), &all).0, 201);
    for (body, status, code) in [
        ("no event", 400, "invalid-body"),
        (
            r#"{"id":"1","type":"installed","time":"2026-01-02T00:00:00Z","clientKey":"a","appKey":"b"}"#,
            422,
            "not-a-command",
        ),
        (r#"{"id":"1","type":"override","clientKey":"a"}"#, 422, "event-refused"),
    ] {
        let (found, problem) = served.post(body, &partner);
        assert_eq!((found, &problem["code"]), (status, &code.into()), "{body}");
        let lines = served.noted("Submit", code);
        assert_eq!((lines.len(), &lines[0]["principal"]), (1, &"partner".into()), "{lines:?}");
    }
    assert_eq!(served.get("/v1/tenants/a/log?fromSeq=x", &partner).0, 400);
    assert_eq!(served.noted("Log", "invalid-parameter").len(), 1, "a use of audit");
    // One that has only other apps is answered, and noted, as one that does not exist.
    assert_eq!(served.post(&order("o-1", "seen", "case"), &partner).0, 201);
    let hidden = json!({"id": "p-1", "type": "product-moved", "time": "2026-01-02T00:00:00Z", "clientKey": "hidden",
                        "productRealm": "EU"});
    assert_eq!(served.post(&hidden.to_string(), &all).0, 201);
    served.settle(&all);
    for client in ["hidden", "nobody"] {
        assert_eq!(served.get(&format!("/v1/tenants/{client}"), &partner).0, 404);
        let of = |query: &str| {
            let lines = served.noted(query, "not-found");
            lines.into_iter().filter(|line| line["client_key"] == *client).count()
        };
        assert_eq!(of("Tenant"), 1, "{:?}", served.access_lines());
        assert_eq!(served.get(&format!("/v1/tenants/{client}/apps/{APP}/preview"), &partner).0, 200);
        assert_eq!(of("Preview"), 1, "{:?}", served.access_lines());
    }
    for path in ["/v1/tenants/seen".to_owned(), format!("/v1/tenants/seen/apps/{APP}/preview")] {
        assert_eq!(served.get(&path, &partner).0, 200);
    }
    assert_eq!(served.get("/v1/tenants/nobody", &all).0, 404);
    let of_reading = |line: &Value| line["query"] == "Tenant" || line["query"] == "Preview";
    let count = served.access_lines().iter().filter(|line| of_reading(line)).count();
    assert_eq!(count, 4, "what is seen, and who sees all, needs none: {:?}", served.access_lines());
}

#[test]
fn a_token_in_a_request_is_recorded_and_logged_nowhere() {
    let world = World::new();
    let (served, all, _) = served(&world);
    let token = all.trim_start_matches("Bearer ").to_owned();
    assert_eq!(served.post(&descriptor(), &all).0, 201);
    let reason = format!("curl {token} failed");
    let (status, answer) = served.post(&order("o-1", "acme", &reason), &all);
    assert_eq!(status, 201, "{answer}");
    let mut answers = answer.to_string();
    for (id, client) in [(&*format!("id-{token}"), "acme"), ("o-2", &*token)] {
        let (status, answer) = served.post(&order(id, client, "case"), &all);
        assert_eq!((status, &answer["code"]), (422, &"event-refused".into()), "{answer}");
        answers += &answer.to_string();
    }
    served.settle(&all);
    let paths = [
        "/v1/tenants/acme/log",
        "/v1/tenants/TOKEN/log",
        "/v1/commands/TOKEN?clientKey=TOKEN",
        "/v1/replay?TOKEN=1",
    ];
    for path in paths {
        answers += &served.get(&path.replace("TOKEN", &token), &all).1;
    }
    assert!(answers.contains("rl_*** failed"), "{answers}");
    let keys: Vec<Value> =
        served.noted("Log", "not-found").iter().map(|line| line["client_key"].clone()).collect();
    assert_eq!(keys, ["rl_***"]);
    let mut files = Vec::new();
    files_below(&world.data_dir(), &mut files);
    assert!(files.iter().any(|path| path.to_string_lossy().contains("journal")), "{files:?}");
    let part = &token[4..20];
    for path in &files {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        assert!(!text.contains(part), "{} has it", path.display());
    }
    assert!(!served.logged().contains(part), "{}", served.logged());
    assert!(!answers.contains(part), "{answers}");
}
