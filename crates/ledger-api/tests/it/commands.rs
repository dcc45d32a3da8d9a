//! Commands at both doors, with a sink that takes them into shards at once. The ledger of real Kafka is asked in `tests/it`.

use std::sync::{Arc, Mutex};

use ledger_api::access::{Access, AccessOptions, AccessScope, Grants, TokenOptions, new_token, token_hash};
use ledger_api::command::{CommandSink, Commands, NotPublished, NotRetried};
use ledger_api::http::Options;
use ledger_api::limits::COMMAND_WAIT;
use ledger_core::event::{AppFact, Event, InstallationFact, OverrideAction};
use ledger_core::ids::EventId;
use ledger_core::policy::Policy;
use ledger_record::json::time::parse_instant;
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use ledger_store::{Halted, ShardId};
use serde_json::{Value, json};

use crate::call::{SERVICE, encoded, framed, method};
use crate::filled::{Filled, about, app, installed, product_moved, realm, shard};
use crate::grpc::{bare, decoded};
use crate::http::Server;

/// Stands in for the decoder of ingestion, which this crate does not have.
fn decode(text: &[u8]) -> Result<Event, Rejection> {
    let given: Value = serde_json::from_slice(text).unwrap();
    let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
    let (client, of) = (text("clientKey"), text("appKey"));
    let body = match &*text("type") {
        "override" => {
            about(&client, &of, InstallationFact::Override(OverrideAction::Pin { realm: realm("US") }))
        }
        "product-moved" => product_moved(&client, "US"),
        "policy-set" => {
            ledger_core::event::Body::App { app: app(&of), fact: AppFact::PolicySet { policy: Policy::Off } }
        }
        "installed" => installed(&client, &of, &text("realm"), "US"),
        _ => {
            let (path, detail) = (Some("type".to_owned()), "expected another".to_owned());
            return Err(Rejection { reason: Reason::UnsupportedType, path, detail });
        }
    };
    let member = |name: &str| given[name].as_str().map(ToOwned::to_owned);
    let (id, time) = (EventId::new(text("id")).unwrap(), parse_instant(&text("time")).unwrap());
    Ok(Event { id, time, body, actor: member("actor"), reason: member("reason") })
}

/// Takes events into two shards, new tenants into the second.
struct Shards {
    filled: Mutex<Filled>,
    published: Mutex<Vec<Event>>,
}

impl CommandSink for Shards {
    fn places(
        &self,
        event: &Event,
        known: Option<&ShardId>,
        topic: Option<&str>,
    ) -> Result<Vec<ShardId>, NotPublished> {
        assert!(
            topic.is_none_or(|topic| topic == shard(0).topic),
            "a retry goes to the topic of its message"
        );
        Ok(match (event.client(), known) {
            (Some(_), known) => vec![known.cloned().unwrap_or_else(|| shard(1))],
            (None, _) => vec![shard(0), shard(1)],
        })
    }

    fn publish(&self, event: &Event, to: &[ShardId]) -> Result<(), NotPublished> {
        if event.reason.as_deref() == Some("no broker") {
            return Err(NotPublished("no broker answers".to_owned()));
        }
        self.published.lock().unwrap().push(event.clone());
        for shard in to {
            self.filled.lock().unwrap().take_event(shard.partition as usize, event.clone());
        }
        Ok(())
    }
}

/// As the program does, as far as these tests need it.
fn decode_refused(refused: &Refused) -> Result<Event, NotRetried> {
    let RefusedBody::Json(text) = &refused.body else {
        return Err(NotRetried { path: None, detail: "only the SHA-256 was kept".to_owned() });
    };
    decode(text.as_bytes()).map_err(|Rejection { path, detail, .. }| NotRetried { path, detail })
}

fn access() -> Access {
    let owner = |seed: u8, apps: &[&str]| TokenOptions {
        name: format!("owner-{seed}"),
        sha256: token_hash(&new_token([seed; 32])),
        scopes: [AccessScope::Operate].into_iter().collect(),
        apps: Grants::parse(apps).unwrap(),
        expires: None,
    };
    let tokens = vec![owner(1, &["*"]), owner(2, &["app"])];
    Access::new(&AccessOptions { tokens, ..AccessOptions::default() }).unwrap()
}

fn served(access: Access) -> (Server, Arc<Shards>) {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.take(0, 2, installed("acme", "other", "EU", "EU"));
    let ledger = Arc::clone(&filled.ledger);
    let sink = Arc::new(Shards { filled: Mutex::new(filled), published: Mutex::default() });
    let commands = Commands { decode, decode_refused, sink: sink.clone() };
    let server = Server::with(&ledger, Options::default(), |api| {
        api.with_commands(Some(commands)).with_access(Arc::new(access))
    });
    (server, sink)
}

fn post(server: &Server, parameters: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("http://{}/v1/commands{parameters}", server.address()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut answer = request.send(body).unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap())
}

const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

fn pin(id: &str, client: &str, of: &str) -> Value {
    json!({"id": id, "type": "override", "time": "2026-03-05T00:00:00.000Z", "clientKey": client, "appKey": of,
           "action": "PIN", "realm": "US", "actor": "eva", "reason": "case 1"})
}

#[test]
fn both_doors_answer_a_command_alike() {
    let (server, sink) = served(Access::default());
    for event in [
        pin("c-1", "acme", "app"),
        pin("c-2", "nobody", "app"),
        json!({"id": "c-3", "type": "policy-set", "time": "2026-03-01T01:00:00.000Z", "appKey": "app", "policy": {"mode": "off"}}),
    ] {
        let (status, dry) = post(&server, "?dryRun=true", &event.to_string(), &[JSON]);
        assert_eq!(status, 200, "{dry}");
        let reply = server.call("Submit", &json!({ "event": event, "dryRun": true }));
        assert_eq!(reply.status, 0, "{}", reply.message);
        assert_eq!(decoded(&reply, "Submit"), [bare(dry)]);
        assert!(sink.published.lock().unwrap().iter().all(|sent| sent.id.as_str() != event["id"]));
        let reply = server.call("Submit", &json!({ "event": event }));
        assert_eq!(reply.status, 0, "{}", reply.message);
        let (status, again) = post(&server, "", &event.to_string(), &[JSON]);
        assert_eq!((status, decoded(&reply, "Submit")), (201, vec![bare(again)]));
    }
    assert_eq!(sink.published.lock().unwrap().len(), 3, "each once");
    let of_app = server.get("/v1/commands/c-3?appKey=app").json();
    assert_eq!(
        (of_app["records"].as_array().unwrap().len(), &of_app["pending"]),
        (2, &Value::Null),
        "{of_app}"
    );
}

#[test]
fn refusals_have_their_codes_at_both_doors() {
    let (server, sink) = served(Access::default());
    assert_eq!(post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON]).0, 201);
    let with = |name: &str, value: &str| {
        let mut event = pin("c-2", "acme", "app");
        event[name] = value.into();
        event
    };
    for (event, http, grpc, code, parameter) in [
        (with("type", "installed"), 422, 3, "not-a-command", Some("type")),
        (with("type", "unheard-of"), 422, 3, "event-refused", Some("type")),
        (with("time", "2027-01-01T00:00:00.000Z"), 422, 3, "event-refused", Some("time")),
        (with("reason", "no broker"), 503, 14, "not-published", None),
        (with("id", "c-1"), 201, 0, "", None),
        (
            {
                let mut other = pin("c-1", "acme", "app");
                other["reason"] = "other".into();
                other
            },
            409,
            6,
            "event-id-conflict",
            Some("id"),
        ),
    ] {
        let (status, problem) = post(&server, "", &event.to_string(), &[JSON]);
        assert_eq!((status, problem["code"].as_str().unwrap_or_default()), (http, code), "{problem}");
        assert_eq!(problem["parameter"].as_str(), parameter, "{problem}");
        let reply = server.call("Submit", &json!({ "event": event }));
        assert_eq!(reply.status, grpc, "{code}: {}", reply.message);
        if grpc != 0 {
            assert_eq!(reply.reason(), (code.to_owned(), parameter.map(ToOwned::to_owned)));
        }
    }
    let text = pin("c-3", "acme", "app").to_string();
    // A form of another site can send no JSON.
    for headers in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
    {
        assert_eq!(post(&server, "", &text, headers).1["code"], "invalid-body", "{headers:?}");
    }
    assert_eq!(post(&server, "", "[1]", &[JSON]).1["code"], "invalid-body");
    assert_eq!(post(&server, "?dryrun=true", &text, &[JSON]).1["code"], "unknown-parameter");
    assert_eq!(sink.published.lock().unwrap().len(), 1, "none of them was published");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.get(format!("http://{}/v1/commands", server.address())).call().unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

#[test]
fn grants_of_apps_hold_for_commands() {
    let (server, sink) = served(access());
    let bearer = |seed: u8| format!("Bearer {}", new_token([seed; 32]));
    let (all, partner) = (bearer(1), bearer(2));
    let send = |parameters: &str, event: &Value, authorization: &str| {
        post(&server, parameters, &event.to_string(), &[JSON, ("authorization", authorization)])
    };
    let moved =
        json!({"id": "m", "type": "product-moved", "time": "2026-03-05T00:00:00.000Z", "clientKey": "acme"});
    for dry in ["", "?dryRun=true"] {
        let hidden = send(dry, &pin("c-1", "acme", "other"), &partner);
        assert_eq!((hidden.0, &hidden.1["code"]), (404, &"not-found".into()), "{}", hidden.1);
        assert_eq!(hidden, send(dry, &pin("c-1", "acme", "absent"), &partner));
        assert_eq!(hidden, send(dry, &moved, &partner));
    }
    assert!(sink.published.lock().unwrap().is_empty());
    let (status, dry) = send("?dryRun=true", &pin("c-1", "acme", "app"), &partner);
    assert_eq!((status, dry["after"].as_array().unwrap().len()), (200, 1), "{dry}");
    assert!(!dry.to_string().contains("other"), "{dry}");
    for (event, owner, status) in [
        (pin("c-1", "acme", "app"), &partner, 201),
        (pin("c-2", "acme", "other"), &all, 201),
        (moved, &all, 201),
    ] {
        let (found, answer) = send("", &event, owner);
        assert_eq!(found, status, "{answer}");
    }
    let actors: Vec<_> =
        sink.published.lock().unwrap().iter().map(|event| event.actor.clone().unwrap()).collect();
    assert_eq!(actors, ["eva via owner-2", "eva via owner-1", "owner-1"]);
    let status = |path: &str, owner: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.get(format!("http://{}{path}", server.address()));
        request.header("authorization", owner).call().unwrap().status().as_u16()
    };
    for (path, of_partner) in [
        ("/v1/commands/c-1?clientKey=acme", 200),
        ("/v1/commands/c-2?clientKey=acme", 404),
        ("/v1/commands/c-2?clientKey=acme&appKey=other", 404),
        ("/v1/commands/m?clientKey=acme", 200),
    ] {
        assert_eq!((status(path, &partner), status(path, &all)), (of_partner, 200), "{path}");
    }
}

/// Regression: the product realm, the length and the shard of a tenant of other apps showed in a dry run.
#[test]
fn a_dry_run_about_a_tenant_that_is_not_seen_is_that_of_one_that_does_not_exist() {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(0, 1, installed("hidden", "other", "EU", "EU"));
    filled.take(0, 2, product_moved("hidden", "US"));
    let ledger = Arc::clone(&filled.ledger);
    let sink = Arc::new(Shards { filled: Mutex::new(filled), published: Mutex::default() });
    let commands = Commands { decode, decode_refused, sink };
    let server = Server::with(&ledger, Options::default(), |api| {
        api.with_commands(Some(commands)).with_access(Arc::new(access()))
    });
    let token = format!("Bearer {}", new_token([2; 32]));
    let dry = |client: &str| {
        let headers = [JSON, ("authorization", &*token)];
        post(&server, "?dryRun=true", &pin("c-1", client, "app").to_string(), &headers)
    };
    let (hidden, absent) = (dry("hidden"), dry("absent"));
    assert_eq!(hidden.0, 200, "{}", hidden.1);
    assert_eq!(hidden.1.to_string().replace("hidden", "absent"), absent.1.to_string());
}

#[test]
fn a_command_that_a_colleague_sends_again_is_answered_with_its_records() {
    let (server, sink) = served(access_of_two());
    let sent = |seed: u8| {
        let token = format!("Bearer {}", new_token([seed; 32]));
        post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON, ("authorization", &*token)])
    };
    let (first, again) = (sent(1), sent(3));
    assert_eq!((first.0, &first.1), (201, &again.1), "{}", again.1);
    assert_eq!(sink.published.lock().unwrap().len(), 1);
    assert_eq!(sink.published.lock().unwrap()[0].actor.as_deref(), Some("eva via owner-1"));
}

fn access_of_two() -> Access {
    let owner = |seed: u8| TokenOptions {
        name: format!("owner-{seed}"),
        sha256: token_hash(&new_token([seed; 32])),
        scopes: [AccessScope::Operate].into_iter().collect(),
        apps: Grants::All,
        expires: None,
    };
    let tokens = vec![owner(1), owner(3)];
    Access::new(&AccessOptions { tokens, ..AccessOptions::default() }).unwrap()
}

/// Publishes to nowhere that it would come from.
struct Lost;

impl CommandSink for Lost {
    fn places(&self, _: &Event, _: Option<&ShardId>, _: Option<&str>) -> Result<Vec<ShardId>, NotPublished> {
        Ok(vec![shard(0), shard(1)])
    }

    fn publish(&self, _: &Event, _: &[ShardId]) -> Result<(), NotPublished> {
        Ok(())
    }
}

#[test]
fn what_cannot_come_is_not_waited_for() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    let commands = Commands { decode, decode_refused, sink: Arc::new(Lost) };
    let server = Server::with(&filled.ledger, Options::default(), |api| api.with_commands(Some(commands)));
    filled.statuses[0].halt(Halted { code: "journal-differs", message: "see to it".to_owned() });
    filled.statuses[1].update(|now| now.is_ours = false);
    // Both take it: one that is halted, and one that another process feeds.
    let begun = std::time::Instant::now();
    let (status, answer) = post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON]);
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["pending"], json!(["realm.lifecycle/0"]));
    assert_eq!(answer["elsewhere"], json!(["realm.lifecycle/1"]));
    assert!(begun.elapsed() < COMMAND_WAIT, "{:?}", begun.elapsed());
}

/// Regression: a process that does not feed the tenant published what is recorded with other content, and answered 202.
#[test]
fn what_no_shard_here_is_fed_for_is_not_published() {
    let (server, sink) = served(Access::default());
    assert_eq!(post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON]).0, 201);
    let release =
        |number: usize| sink.filled.lock().unwrap().statuses[number].update(|now| now.is_ours = false);
    release(1);
    // A new tenant would be there.
    let (status, problem) = post(&server, "", &pin("c-2", "nobody", "app").to_string(), &[JSON]);
    assert_eq!((status, &problem["code"]), (503, &json!("not-ready")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("realm.lifecycle/1"), "{problem}");
    let reply = server.call("Submit", &json!({ "event": pin("c-2", "nobody", "app") }));
    assert_eq!((reply.status, reply.reason().0), (14, "not-ready".to_owned()));
    assert_eq!(post(&server, "", &pin("c-3", "acme", "app").to_string(), &[JSON]).0, 201, "it is fed here");
    let policy = |id: &str| {
        json!({"id": id, "type": "policy-set", "time": "2026-03-01T01:00:00.000Z", "appKey": "app",
               "policy": {"mode": "off"}})
    };
    let (status, answer) = post(&server, "", &policy("p-1").to_string(), &[JSON]);
    assert_eq!((status, &answer["pending"]), (201, &Value::Null), "{answer}");
    release(0);
    let published = sink.published.lock().unwrap().len();
    for event in [pin("c-4", "acme", "app"), policy("p-2")] {
        let (status, problem) = post(&server, "", &event.to_string(), &[JSON]);
        assert_eq!((status, &problem["code"]), (503, &json!("not-ready")), "{problem}");
    }
    // What is recorded here is told all the same, and so is what contradicts it.
    assert_eq!(post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON]).0, 201);
    let mut other = pin("c-1", "acme", "app");
    other["reason"] = "other".into();
    assert_eq!(post(&server, "", &other.to_string(), &[JSON]).1["code"], "event-id-conflict");
    assert_eq!(sink.published.lock().unwrap().len(), published, "none of them was published");
}

fn refused(body: RefusedBody) -> Refused {
    let (path, detail) = (Some("time".to_owned()), "expected at most 24 hours from now".to_owned());
    let rejection = Rejection { reason: Reason::TimeInFuture, path, detail };
    Refused { rejection, key: None, headers: Vec::new(), source_time: None, body }
}

#[test]
fn refused_message_is_retried_at_both_doors_by_who_may_operate_all_apps() {
    let (server, sink) = served(access());
    for body in [
        RefusedBody::Json(installed_text("i-1", "newcomer")),
        RefusedBody::Digest { sha256: [1; 32], length_bytes: 7 },
        RefusedBody::Json(r#"{"id":"i-2","type":"unheard-of","time":"2026-03-05T00:00:00.000Z"}"#.to_owned()),
        RefusedBody::Json(installed_text("i-1", "newcomer").replace("US", "EU")),
        RefusedBody::Json(installed_text("i-3", "another")),
    ] {
        sink.filled.lock().unwrap().refuse_as(0, refused(body));
    }
    let bearer = |seed: u8| format!("Bearer {}", new_token([seed; 32]));
    let retry = |item: &str, body: &str, seed: u8| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("http://{}/v1/quarantine/realm.lifecycle/{item}", server.address());
        let request = agent.post(url).header("content-type", "application/json");
        let mut answer = request.header("authorization", bearer(seed)).send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap())
    };
    let call = |seq: u64, dry_run: bool| {
        let message = json!({ "topic": "realm.lifecycle", "partition": 0, "seq": seq, "dryRun": dry_run });
        let body = framed(&encoded(&method("RetryQuarantineItem").input(), &message));
        server.call_with(&format!("/{SERVICE}/RetryQuarantineItem"), body, &[("authorization", &bearer(1))])
    };
    // Whoever is granted some apps is told of no refused message.
    let hidden = retry("0/1/retry", "", 2);
    assert_eq!((hidden.0, &hidden.1["code"]), (404, &json!("not-found")), "{}", hidden.1);
    let absent = retry("0/9/retry", "", 2);
    assert_eq!(hidden.1.to_string(), absent.1.to_string().replace("item 9", "item 1"));

    let (status, dry) = retry("0/1/retry?dryRun=true", "{}", 1);
    assert_eq!(
        (status, &dry["changed"], &dry["after"][0]["clientKey"]),
        (200, &1.into(), &"newcomer".into())
    );
    let reply = call(1, true);
    assert_eq!(decoded(&reply, "RetryQuarantineItem"), [bare(dry)], "{}", reply.message);
    assert!(sink.published.lock().unwrap().is_empty());
    let (status, answer) = retry("0/1/retry", "", 1);
    assert_eq!((status, answer["records"].as_array().unwrap().len()), (201, 1), "{answer}");
    let reply = call(1, false);
    assert_eq!(decoded(&reply, "RetryQuarantineItem"), [bare(answer)], "again: {}", reply.message);
    assert_eq!(call(5, false).status, 0);
    let published = sink.published.lock().unwrap();
    let ids: Vec<_> = published.iter().map(|event| (event.id.as_str(), event.actor.as_deref())).collect();
    assert_eq!(ids, [("i-1", None), ("i-3", None)], "each once, as it was sent");
    drop(published);

    for (item, body, status, code, parameter) in [
        ("0/2/retry", "", 422, "event-refused", None),
        ("0/3/retry", "", 422, "event-refused", Some("type")),
        ("0/4/retry", "", 409, "event-id-conflict", Some("id")),
        ("0/6/retry", "", 404, "not-found", None),
        ("7/1/retry", "", 404, "not-found", None),
        ("0/1/retry", r#"{"keep":1}"#, 400, "invalid-body", None),
        ("0/1/retry?limit=1", "", 400, "unknown-parameter", Some("limit")),
        ("0/x/retry", "", 400, "invalid-key", Some("seq")),
    ] {
        let (found, problem) = retry(item, body, 1);
        assert_eq!((found, problem["code"].as_str().unwrap()), (status, code), "{item}: {problem}");
        assert_eq!(problem["parameter"].as_str(), parameter, "{problem}");
    }
}

/// Regression: nobody published it, as one process had the message and another one fed the partition of its event.
#[test]
fn refused_message_is_retried_by_who_has_it_whoever_feeds_the_partition_of_its_event() {
    let (server, sink) = served(Access::default());
    let filled = sink.filled.lock().unwrap();
    filled.statuses[1].update(|now| now.is_ours = false);
    drop(filled);
    sink.filled.lock().unwrap().refuse_as(0, refused(RefusedBody::Json(installed_text("i-1", "newcomer"))));
    let message = json!({ "topic": "realm.lifecycle", "partition": 0, "seq": 1 });
    let body = framed(&encoded(&method("RetryQuarantineItem").input(), &message));
    let reply = server.call_with(&format!("/{SERVICE}/RetryQuarantineItem"), body, &[]);
    assert_eq!(reply.status, 0, "{}", reply.message);
    assert_eq!(sink.published.lock().unwrap().len(), 1);
}

fn installed_text(id: &str, client: &str) -> String {
    json!({"id": id, "type": "installed", "time": "2026-03-05T00:00:00.000Z", "clientKey": client, "appKey": "app",
           "realm": "US"})
    .to_string()
}

/// Regression: the end of the wait was that of the question, so what was published was answered as timed out.
#[test]
fn what_is_published_and_does_not_come_in_time_is_pending() {
    let filled = Filled::with(2);
    let commands = Commands { decode, decode_refused, sink: Arc::new(Lost) };
    let request_timeout = std::time::Duration::from_secs(2);
    let options = Options { request_timeout, ..Options::default() };
    let server = Server::with(&filled.ledger, options, |api| api.with_commands(Some(commands)));
    let (status, answer) = post(&server, "", &pin("c-1", "acme", "app").to_string(), &[JSON]);
    assert_eq!((status, &answer["id"]), (202, &json!("c-1")), "{answer}");
    assert_eq!(answer["pending"], json!(["realm.lifecycle/0", "realm.lifecycle/1"]));
}
