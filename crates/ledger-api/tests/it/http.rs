//! The server over a socket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ledger_api::access::Access;
use ledger_api::http::{Api, Options};
use ledger_api::ledger::Ledger;
use ledger_api::limits::Deadlines;
use ledger_api::{serve, serve_admin};
use ledger_core::event::InstallationFact;
use ledger_core::ids::MigrationId;
use ledger_core::time::Timestamp;
use ledger_store::{Halted, Phase};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::filled::{Filled, about, hour, installed, realm, shard, uninstalled};

/// A server; it stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    /// Of probes and metrics.
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Runtime,
    agent: ureq::Agent,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

fn clock() -> Timestamp {
    hour(100)
}

impl Server {
    pub(crate) fn of(ledger: &Arc<Ledger>, options: Options) -> Self {
        Self::patient(ledger, options, Deadlines::default())
    }

    /// A server with these deadlines for its clients.
    pub(crate) fn patient(ledger: &Arc<Ledger>, options: Options, deadlines: Deadlines) -> Self {
        Self::with(ledger, options, |api| api.with_deadlines(deadlines))
    }

    /// A server that answers those alone who are named there.
    pub(crate) fn guarded(ledger: &Arc<Ledger>, access: Access) -> Self {
        Self::with(ledger, Options::default(), |api| api.with_access(Arc::new(access)))
    }

    /// A server that is changed before it starts.
    pub(crate) fn with(ledger: &Arc<Ledger>, options: Options, change: impl FnOnce(Api) -> Api) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let render = Arc::new(|| "up 1\n".to_owned());
        let api = change(Api::new(Arc::clone(ledger), render, options).with_clock(clock));
        let admin_listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let admin = admin_listener.local_addr().unwrap();
        runtime.spawn(serve_admin(admin_listener, api.clone(), std::future::pending()));
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(serve(listener, api, async move {
            let _ = stopped.await;
        }));
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_mins(1))).build().new_agent();
        Self { address, admin, stop: Some(stop), runtime, agent }
    }

    /// Signals the server to stop.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// What comes for a head as it stands, without its end, on a connection of its own.
    pub(crate) fn raw(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What Prometheus and probes get.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        Self::read(self.agent.get(format!("http://{}{path}", self.admin)).call().unwrap())
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.accepting(path, "application/json")
    }

    pub(crate) fn accepting(&self, path: &str, accept: &str) -> Answer {
        let url = format!("http://{}{path}", self.address);
        Self::read(self.agent.get(url).header("accept", accept).call().unwrap())
    }

    pub(crate) fn posting(&self, path: &str, accept: &str, body: &str) -> Answer {
        let url = format!("http://{}{path}", self.address);
        Self::read(
            self.agent
                .post(url)
                .header("accept", accept)
                .content_type("application/json")
                .send(body)
                .unwrap(),
        )
    }

    fn read(mut answer: ureq::http::Response<ureq::Body>) -> Answer {
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        Answer { status: answer.status().as_u16(), content_type, body }
    }
}

/// What the routes are said to be.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// Whether the document has this problem for the operation of a path; none: no route has it.
pub(crate) fn is_documented(path: &str, verb: &str, status: u16, code: &str) -> Option<bool> {
    let parts: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
    let fits = |route: &&String| {
        let of_route: Vec<&str> = route.split('/').collect();
        let pairs = of_route.iter().zip(&parts);
        of_route.len() == parts.len() && pairs.into_iter().all(|(of, part)| of.starts_with('{') || of == part)
    };
    // A name comes before what stands for any.
    let routes = DOCUMENT["paths"].as_object().unwrap().keys().filter(fits);
    let route = routes.min_by_key(|route| route.matches('{').count())?;
    let named = DOCUMENT["paths"][route][verb]["responses"][status.to_string()]["$ref"].as_str();
    let name = named.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
    let content = &DOCUMENT["components"]["responses"][name]["content"]["application/problem+json"];
    let codes = &content["schema"]["allOf"][1]["properties"]["code"]["enum"];
    Some(codes.as_array().is_some_and(|codes| codes.iter().any(|known| known == code)))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn small() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(0, 1, installed("acme.atlassian.net", "app", "EU", "US"));
    filled.take(1, 2, installed("jira:größe/1 ?%2F", "a/b", "US", "US"));
    filled.take(1, 3, uninstalled("jira:größe/1 ?%2F", "a/b"));
    filled.refuse(1);
    filled
}

#[test]
fn every_route_answers() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    let get = |path: &str| {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/json"),
            "{path}: {}",
            answer.body
        );
        let json = answer.json();
        assert!(json["freshness"].is_array(), "{path} says how fresh it is");
        json
    };
    let one = "/v1/tenants/acme.atlassian.net/apps/app";
    assert_eq!(get(one)["installation"]["pinnedRealm"], "EU");
    assert_eq!(get(one)["installation"]["asOf"], "2026-03-05T04:00:00.000Z");
    assert_eq!(get("/v1/tenants/acme.atlassian.net")["installations"][0]["drift"], true);
    assert_eq!(get("/v1/tenants/acme.atlassian.net/log")["records"][0]["seq"], 1);
    assert!(get(&format!("{one}/explanation"))["explanation"]["sentences"].is_array());
    assert_eq!(get(&format!("{one}/preview?productRealm=us"))["decision"]["rule"], "REFRESH");
    assert_eq!(get("/v1/quarantine")["items"][0]["reason"], "missing-field");
    assert_eq!(get("/v1/quarantine?reason=missing-field")["items"][0]["seq"], 1);
    assert_eq!(get("/v1/quarantine?reason=too-large")["items"], json!([]));
    assert_eq!(get("/v1/quarantine/realm.lifecycle/1/1")["item"]["reason"], "missing-field");
    let drift = get("/v1/installations?drift=true&status=INSTALLED&realm=eu&appKey=app&splitBrain=false");
    assert_eq!(drift["installations"].as_array().unwrap().len(), 1);
    let page = get("/v1/installations?limit=1");
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = get(&format!("/v1/installations?limit=1&cursor={cursor}"));
    assert_eq!(next["installations"][0]["appKey"], "a/b");
    assert_eq!(next["nextCursor"], Value::Null);
}

#[test]
fn encoded_keys_in_paths_are_decoded() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    let key = "jira%3Agr%C3%B6%C3%9Fe%2F1%20%3F%252F";
    let state = server.get(&format!("/v1/tenants/{key}/apps/a%2Fb")).json();
    assert_eq!(state["installation"]["clientKey"], "jira:größe/1 ?%2F");
    assert_eq!(state["installation"]["appKey"], "a/b");
    assert_eq!(server.get(&format!("/v1/tenants/{key}/log?fromSeq=2")).json()["records"][0]["seq"], 2);
    assert_eq!(server.get("/v1/tenants/a/b").json()["code"], "no-such-route");
    assert_eq!(server.get("/v1/tenants/a%2Fb").json()["code"], "not-found");
}

#[test]
fn as_of_parameters_select_the_past() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    let status = |query: &str| {
        let answer = server.get(&format!("/v1/tenants/jira%3Agr%C3%B6%C3%9Fe%2F1%20%3F%252F?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.json()["installations"][0]["status"].clone()
    };
    assert_eq!(status(""), "UNINSTALLED");
    assert_eq!(status("at=2026-03-01T02:00:00Z"), "INSTALLED");
    assert_eq!(status("at=2026-03-01T03:00:00%2B01:00"), "INSTALLED");
    assert_eq!(status("at=2026-03-01T03:00:00+01:00"), "INSTALLED", "a plus sign as people type it");
    assert_eq!(status("knownSeq=1"), "INSTALLED");
    assert_eq!(status("knownAt=2026-03-01T02:59:59.999Z"), "INSTALLED");
    assert_eq!(status("minPosition=2"), "UNINSTALLED");
}

#[test]
fn process_is_ready_when_every_shard_is_nearly_live() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    let ready = || {
        let answer = server.get("/readyz");
        (answer.status, answer.json())
    };
    let phase = |partition: usize, phase, lag| {
        filled.statuses[partition].update(|now| {
            now.phase = phase;
            now.lag_events = lag;
            now.last_source_time = Some(hour(100));
        });
    };
    phase(0, Phase::Idle, None);
    phase(1, Phase::Idle, None);
    let (status, reported) = ready();
    assert_eq!((status, &reported["code"], &reported["ready"]), (503, &json!("not-ready"), &json!(false)));
    assert_eq!(reported["detail"], "realm.lifecycle/0 is IDLE, realm.lifecycle/1 is IDLE");
    phase(0, Phase::Live, Some(0));
    phase(1, Phase::CatchingUp, Some(1_000_000));
    assert_eq!(ready().0, 503);
    phase(1, Phase::CatchingUp, Some(10));
    let (status, reported) = ready();
    assert_eq!((status, &reported["ready"]), (200, &json!(true)));
    assert_eq!(
        (&reported["shards"][0]["caughtUp"], &reported["shards"][1]["caughtUp"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(reported["shards"][1]["lag"], 10);
    phase(0, Phase::Live, Some(20_000));
    let (status, reported) = ready();
    assert_eq!(
        (status, &reported["shards"][0]["caughtUp"]),
        (503, &json!(true)),
        "live, and far behind again"
    );
    assert_eq!(reported["detail"], "realm.lifecycle/0 is LIVE (20000 messages and 0 s behind)");
    phase(0, Phase::Live, None);
    assert_eq!(ready().0, 503, "a lag that nobody knows is not near");
    let away = Halted { code: "source-unreachable", message: "nothing was heard".to_owned() };
    filled.statuses[0].set_source_blocked(Some(away), false);
    assert_eq!(ready().1["detail"], "realm.lifecycle/0 is LIVE (source-unreachable)");
    assert_eq!(ready().1["shards"][0]["stalled"]["code"], "source-unreachable");
    filled.statuses[0].set_source_blocked(None, true);
    phase(0, Phase::Live, Some(5));
    assert_eq!(ready().0, 200);
    filled.statuses[0].update(|now| now.last_source_time = Some(hour(99)));
    assert_eq!(ready().1["detail"], "realm.lifecycle/0 is LIVE (5 messages and 3600 s behind)");
    phase(0, Phase::Live, Some(0));
    filled.statuses[0].update(|now| now.split_tenants = 3);
    assert_eq!(ready().1["shards"][0]["splitTenants"], 3);
    filled.statuses[0].halt(Halted { code: "topic-recreated", message: "use a new directory".to_owned() });
    let (status, reported) = ready();
    assert_eq!((status, &reported["shards"][0]["halted"]["code"]), (503, &json!("topic-recreated")));
    assert_eq!(reported["detail"], "realm.lifecycle/0 is HALTED (topic-recreated)");
}

#[test]
fn released_shard_is_not_counted_and_answers_stale() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    for status in &filled.statuses {
        status.update(|now| (now.phase, now.lag_events) = (Phase::Live, Some(0)));
    }
    let fresh = server.get("/v1/tenants/acme.atlassian.net").json();
    assert_eq!(fresh["freshness"][0]["stale"], false);
    filled.statuses[0].set_idle();
    filled.catalog.give_up(&shard(0));
    let reported = server.get("/readyz");
    assert_eq!(reported.status, 200, "{}", reported.body);
    let of = |partition: usize, member: &str| reported.json()["shards"][partition][member].clone();
    assert_eq!(
        (of(0, "assigned"), of(0, "stale"), of(0, "ready")),
        (json!(false), json!(true), json!(false))
    );
    assert_eq!((of(1, "assigned"), of(1, "stale"), of(1, "ready")), (json!(true), json!(false), json!(true)));
    let old = server.get("/v1/tenants/acme.atlassian.net");
    assert_eq!((old.status, &old.json()["freshness"][0]["stale"]), (200, &json!(true)));
    assert_eq!(old.json()["freshness"][0]["lag"], Value::Null);
    filled.catalog.give_up(&shard(1));
    assert_eq!(server.get("/readyz").status, 503, "nobody asks a process that feeds nothing");
}

#[test]
fn process_without_or_with_failed_shards_is_not_ready() {
    let filled = Filled::with(1);
    let server = Server::of(&filled.ledger, Options::default());
    filled.statuses[0].update(|now| {
        now.phase = Phase::Live;
        now.lag_events = Some(0);
    });
    assert_eq!(server.get("/readyz").status, 200);
    filled.catalog.set_opening(vec![shard(3)]);
    let reported = server.get("/readyz");
    assert_eq!(
        (reported.status, &reported.json()["detail"]),
        (503, &json!("realm.lifecycle/3 is being opened"))
    );
    filled.catalog.set_opening(Vec::new());
    assert_eq!(server.get("/readyz").status, 200);
    filled.catalog.fail(shard(3), Halted { code: "open", message: "no such disk".to_owned() });
    let reported = server.get("/readyz");
    assert_eq!((reported.status, &reported.json()["shards"][1]["partition"]), (503, &json!(3)));
    drop(server);
    let empty = Filled::with(0);
    let server = Server::of(&empty.ledger, Options::default());
    let reported = server.get("/readyz");
    assert_eq!(
        (reported.status, &reported.json()["detail"]),
        (503, &json!("no shard is assigned to this process"))
    );
    assert_eq!(server.get("/livez").status, 200);
    assert_eq!(server.admin("/metrics").body, "up 1\n");
    assert_eq!((server.admin("/livez").status, server.admin("/readyz").status), (200, 503));
}

#[test]
fn metrics_and_questions_are_on_different_listeners() {
    let filled = small();
    let server = Server::of(&filled.ledger, Options::default());
    assert_eq!(server.get("/metrics").json()["code"], "no-such-route");
    assert_eq!(server.admin("/v1/installations").json()["code"], "no-such-route");
}

#[test]
fn pending_migrations_are_listed_with_overdue() {
    let mut filled = Filled::with(2);
    let scheduled = |hours: i64| InstallationFact::MigrationScheduled {
        migration: MigrationId::new("57500").unwrap(),
        target: realm("EU"),
        start_time: None,
        end_time: Some(hour(hours)),
    };
    // The server's clock is at hour 100.
    for (number, due_by) in [(0, 99), (1, 100), (2, 101)] {
        filled.take(number % 2, 1, about(&format!("t-{number}"), "app", scheduled(due_by)));
    }
    filled.take(0, 2, installed("t-9", "app", "EU", "EU"));
    let server = Server::of(&filled.ledger, Options::default());
    let listed = |parameters: &str| -> Vec<(String, bool)> {
        let answer = server.get(&format!("/v1/migrations{parameters}"));
        assert_eq!(answer.status, 200, "{parameters}: {}", answer.body);
        let state = |state: &Value| {
            let overdue = state["migration"]["overdue"].as_bool().unwrap();
            assert!(state["migration"]["dueBy"].is_string());
            (state["clientKey"].as_str().unwrap().to_owned(), overdue)
        };
        answer.json()["installations"].as_array().unwrap().iter().map(state).collect()
    };
    let of = |number: u8, overdue| (format!("t-{number}"), overdue);
    assert_eq!(listed(""), [of(0, true), of(1, false), of(2, false)]);
    for parameters in ["?overdue", "?overdue=true"] {
        assert_eq!(listed(parameters), [of(0, true)], "{parameters}");
    }
    assert_eq!(listed("?overdue=false"), [of(1, false), of(2, false)]);
    let at = hour(101).as_millis() + 1;
    let at = ledger_record::json::time::format_instant(Timestamp::from_millis(at));
    assert_eq!(listed(&format!("?overdue&at={at}")).len(), 3);
    assert_eq!(listed("?appKey=other"), []);
    let page = server.get("/v1/migrations?limit=2").json();
    let next = page["nextCursor"].as_str().unwrap();
    assert_eq!(listed(&format!("?cursor={next}")), [of(2, false)]);
    assert_eq!(server.get(&format!("/v1/migrations?overdue&cursor={next}")).status, 400, "of another list");
    assert_eq!(server.get("/v1/migrations?overdue=perhaps").status, 400);
    assert_eq!(server.get("/v1/installations?overdue=true").status, 400);
    let lines = server.accepting("/v1/migrations?overdue", "application/x-ndjson").body;
    assert_eq!(lines.lines().count(), 2, "one, and how fresh it is: {lines}");
}
