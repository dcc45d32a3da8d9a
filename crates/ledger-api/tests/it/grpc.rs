//! The service over gRPC: every answer is that of HTTP, every problem its status, and health.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ledger_api::http::Options;
use ledger_api::problem::ProblemKind;
use ledger_api::query::{
    AsOf, AsOfAll, CheckpointsQuery, CommandQuery, CorrectionsQuery, ExplainQuery, Filter, InstallationQuery,
    InstallationsQuery, LineageQuery, LogQuery, MigrationsQuery, Page, PreviewQuery, ProofQuery,
    QuarantineItemQuery, QuarantineQuery, Question, ReplayQuery, SearchQuery, TenantQuery, WhatIfQuery,
    request,
};
use ledger_core::ids::{ClientKey, EventId};
use ledger_core::policy::Policy;
use ledger_core::time::Timestamp;
use ledger_core::whatif::WhatIfScope;
use ledger_record::json::time::format_instant;
use ledger_record::proof::note::SignerKey;
use ledger_store::{Halted, KnowledgeBound};
use prost_reflect::{Cardinality, DynamicMessage, Kind, ReflectMessage as _, Value as Field};
use serde_json::{Map, Value, json};

use crate::call::{Reply, SERVICE, framed, method, methods};
use crate::filled::{Filled, TOPIC, app, client, hour, realm};
use crate::http::Server;
use crate::load::{PATIENCE, long};
use crate::mirror;

/// A message as the JSON that mirrors it, without empty lists.
fn mirrored(message: &DynamicMessage) -> Value {
    let descriptor = message.descriptor();
    if descriptor.full_name().starts_with("google.protobuf.")
        && !descriptor.full_name().ends_with("Timestamp")
    {
        return serde_json::to_value(message).unwrap();
    }
    if descriptor.full_name() == "google.protobuf.Timestamp" {
        let part = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
        let (Field::I64(seconds), Field::I32(nanos)) = (part("seconds"), part("nanos")) else { panic!() };
        return format_instant(Timestamp::from_millis(seconds * 1000 + i64::from(nanos) / 1_000_000)).into();
    }
    let fields = descriptor.fields().filter(|field| {
        message.has_field(field)
            || !(field.supports_presence() || field.cardinality() == Cardinality::Repeated)
    });
    let members = fields.map(|field| {
        let value = message.get_field(&field);
        let value = match &*value {
            Field::List(items) => items.iter().map(|item| single(item, &field.kind())).collect(),
            Field::Map(entries) => {
                let entry = |(key, value): (&prost_reflect::MapKey, &Field)| {
                    (key.as_str().unwrap().to_owned(), single(value, &Kind::String))
                };
                Value::Object(entries.iter().map(entry).collect())
            }
            value => single(value, &field.kind()),
        };
        (field.json_name().to_owned(), value)
    });
    Value::Object(members.collect())
}

fn single(value: &Field, kind: &Kind) -> Value {
    match value {
        Field::Bool(flag) => (*flag).into(),
        Field::I32(number) => (*number).into(),
        Field::I64(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::U64(number) => (*number).into(),
        Field::F64(number) => (*number).into(),
        Field::String(text) => text.clone().into(),
        Field::Message(message) => mirrored(message),
        Field::EnumNumber(number) => {
            let Kind::Enum(of) = kind else { panic!("{kind:?}") };
            of.get_value(*number).unwrap().name().into()
        }
        other => panic!("{other:?}"),
    }
}

/// JSON without what a message cannot tell from its absence (empty lists and maps, what is false, the first word of an
/// enum), and each number in one form.
pub(crate) fn bare(value: Value) -> Value {
    let is_empty = |value: &Value| [json!([]), json!({}), json!(false), json!("UNSPECIFIED")].contains(value);
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, bare(value)));
            Value::Object(members.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => items.into_iter().map(bare).collect(),
        Value::Number(number) => json!(number.as_f64()),
        value => value,
    }
}

pub(crate) fn decoded(reply: &Reply, name: &str) -> Vec<Value> {
    let output = method(name).output();
    let decode =
        |bytes: &Vec<u8>| bare(mirrored(&DynamicMessage::decode(output.clone(), &bytes[..]).unwrap()));
    reply.messages.iter().map(decode).collect()
}

/// The fields of a question by name, those of its parts among them.
fn flat(value: Value, members: &mut Map<String, Value>) {
    let Value::Object(fields) = value else { panic!("{value}") };
    for (name, value) in fields {
        match value {
            Value::Object(_) => flat(value, members),
            value => _ = members.insert(name, value),
        }
    }
}

fn asked<Q: Question>(question: &Q) -> Value {
    let json: Value = serde_json::from_str(&ledger_record::json::to_string(question).unwrap()).unwrap();
    if Q::IN_BODY {
        return json;
    }
    let mut members = Map::new();
    flat(json, &mut members);
    Value::Object(members)
}

fn url(question: &impl Question) -> String {
    let asked = request(question);
    let parameters = asked.parameters.iter();
    let query: Vec<_> =
        parameters.map(|(name, value)| format!("{name}={}", value.replace('+', "%2B"))).collect();
    format!("{}?{}", asked.path, query.join("&"))
}

struct Compared<'s> {
    server: &'s Server,
    methods: BTreeSet<&'static str>,
}

impl Compared<'_> {
    fn one<Q: Question>(&mut self, question: &Q) {
        self.methods.insert(Q::METHOD);
        let reply = self.server.call(Q::METHOD, &asked(question));
        let over_http = match request(question).body {
            Some(body) => self.server.posting(Q::ROUTE, "application/json", &body),
            None => self.server.get(&url(question)),
        };
        if over_http.status != 200 {
            let problem = over_http.json();
            let kind = ProblemKind::ALL.iter().find(|kind| problem["code"] == kind.code()).unwrap();
            assert_eq!(reply.status, kind.grpc() as i32, "{}: {}", Q::METHOD, reply.message);
            let parameter = problem["parameter"].as_str().map(ToOwned::to_owned);
            assert_eq!(reply.reason(), (kind.code().to_owned(), parameter), "{}", Q::METHOD);
            assert_eq!(problem["detail"], reply.message);
            return;
        }
        assert_eq!(reply.status, 0, "{}: {}", Q::METHOD, reply.message);
        let expected: Vec<Value> = if Q::METHOD == "GetProof" {
            vec![json!({ "lines": over_http.body.lines().collect::<Vec<_>>() })]
        } else if method(Q::METHOD).is_server_streaming() {
            over_http.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            vec![over_http.json()]
        };
        let expected: Vec<_> = expected.into_iter().map(bare).filter(is_no_progress).collect();
        let told: Vec<_> = decoded(&reply, Q::METHOD).into_iter().filter(is_no_progress).collect();
        assert_eq!(told, expected, "{}", Q::METHOD);
        assert!(!told.is_empty());
    }
}

/// The data of a published event, with its type and id, as gRPC has them.
fn as_message(event: &Value) -> Value {
    let mut notice = event["data"].clone();
    for member in ["type", "id"] {
        notice[member] = event[member].clone();
    }
    notice
}

/// How often it comes depends on time.
fn is_no_progress(line: &Value) -> bool {
    line.get("progress").is_none()
}

fn compare_commands(both: &mut Compared<'_>, acme: &ClientKey) {
    for (client, of) in [(Some(acme), Some("app")), (Some(acme), None), (None, Some("app")), (None, None)] {
        for id in ["e-1", "e-3", "e-77"] {
            let (client, app) = (client.cloned(), of.map(app));
            both.one(&CommandQuery { id: EventId::new(id).unwrap(), client, app });
        }
    }
}

fn compare_tenant(both: &mut Compared<'_>, client: &ClientKey, as_of: AsOf) {
    both.one(&InstallationQuery { client: client.clone(), app: app("app"), as_of });
    both.one(&TenantQuery { client: client.clone(), as_of });
    both.one(&LogQuery { client: client.clone(), from_seq: Some(2), limit: Some(3), as_of });
    both.one(&CorrectionsQuery { client: client.clone(), from_position: 0, limit: None, as_of });
    both.one(&ExplainQuery { client: client.clone(), app: app("app"), as_of });
    let product_realm = Some(realm("US"));
    both.one(&PreviewQuery { client: client.clone(), app: app("app"), product_realm, as_of });
}

#[test]
fn every_answer_equals_that_of_http() {
    let mut filled = mirror::filled();
    filled.sign(0, &SignerKey::from_seed(&format!("{TOPIC}/0"), [1; 32]).unwrap());
    let server = Server::of(&filled.ledger, Options::default());
    // Tenants that two shards have are found by the first list, and told of from then on.
    server.get("/v1/installations");
    let mut both = Compared { server: &server, methods: BTreeSet::new() };
    let (acme, split, now) = (client("acme"), client("split"), AsOf::default());
    let past = AsOf { at: Some(hour(6)), known: KnowledgeBound::Seq(2), ..now };
    let recorded = AsOf { known: KnowledgeBound::Recorded(hour(6)), ..now };
    for as_of in [now, past, recorded, AsOf { known: KnowledgeBound::Seq(99), ..now }] {
        for client in [&acme, &split] {
            compare_tenant(&mut both, client, as_of);
        }
    }
    both.one(&InstallationsQuery::default());
    let filter = Filter { status: Some(ledger_core::state::Status::Uninstalled), ..Filter::default() };
    let all = AsOfAll { at: Some(hour(7)), known_at: Some(hour(8)) };
    let page = Page { cursor: None, limit: Some(1) };
    both.one(&InstallationsQuery { filter, as_of: all, page: page.clone() });
    both.one(&InstallationsQuery { page: Page { limit: Some(0), ..page.clone() }, ..Default::default() });
    both.one(&MigrationsQuery { overdue: Some(true), ..Default::default() });
    for q in ["a", "split", "", "https://nowhere.example"] {
        both.one(&SearchQuery { q: q.to_owned(), page: page.clone() });
    }
    both.one(&LineageQuery { client: Some(acme.clone()), page: page.clone(), ..Default::default() });
    both.one(&CheckpointsQuery {});
    both.one(&QuarantineQuery { reason: None, page });
    for seq in [1, 2, 3, 77] {
        both.one(&QuarantineItemQuery { topic: TOPIC.to_owned(), partition: 1, seq });
    }
    compare_commands(&mut both, &acme);
    both.one(&ProofQuery { client: acme, app: None, pinned: None, partition: None, topic: None });
    both.one(&ReplayQuery::default());
    let policies = vec![Policy::Off, Policy::Days { days: 30 }, Policy::Subscription { grace_days: 0 }];
    let scope = WhatIfScope { app: Some(app("app")), from: Some(hour(0)), ..WhatIfScope::default() };
    let supposed = WhatIfQuery { policies, scope, differences: false };
    both.one(&supposed);
    both.one(&WhatIfQuery { differences: true, ..supposed.clone() });
    both.one(&WhatIfQuery { policies: Vec::new(), ..supposed.clone() });
    let lines = server.call("ScanWhatIf", &asked(&WhatIfQuery { differences: true, ..supposed.clone() }));
    let body = request(&WhatIfQuery { differences: true, ..supposed }).body.unwrap();
    let over_http = server.posting("/v1/whatif", "application/x-ndjson", &body);
    let over_http = over_http.body.lines().map(|line| bare(serde_json::from_str(line).unwrap()));
    let sorted = |lines: Vec<Value>| {
        let mut lines: Vec<_> =
            lines.into_iter().filter(is_no_progress).map(|line| line.to_string()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(decoded(&lines, "ScanWhatIf")), sorted(over_http.collect()));
    let published = server.get("/v1/decisions?from=begin&limit=5").json()["decisions"].clone();
    let published = published.as_array().unwrap();
    let expected: Vec<_> = published.iter().map(|event| bare(as_message(event))).collect();
    assert!(!expected.is_empty());
    let reply = server.call("SubscribeDecisions", &json!({ "from": "begin", "limit": expected.len() }));
    assert_eq!(reply.status, 0, "{}", reply.message);
    let told = decoded(&reply, "SubscribeDecisions");
    let notices: Vec<_> = told.iter().filter_map(|told| told.get("notice").cloned()).collect();
    assert_eq!(notices, expected);
    assert!(told.iter().all(|told| told["cursor"].is_string()), "{told:?}");
    // Commands are compared where there is a topic for them.
    let commands = ["Submit", "RetryQuarantineItem"];
    let compared = both.methods.into_iter().chain(["ScanWhatIf", "SubscribeDecisions"]).chain(commands);
    let compared: BTreeSet<String> = compared.map(ToOwned::to_owned).collect();
    assert_eq!(compared, methods().map(|method| method.name().to_owned()).collect());
}

#[test]
fn every_bad_request_gets_a_status_with_its_code() {
    let filled = mirror::filled();
    let server = Server::of(&filled.ledger, Options::default());
    let path = &*format!("/{SERVICE}/GetTenant");
    let (valid, long) = (framed(b"\x0a\x04acme"), "a".repeat(40_000));
    for (path, body, headers, status, reason, parameter) in [
        ("/realmledger.v1.LedgerService/Nothing", valid.clone(), &[][..], 12, "no-such-route", None),
        ("/nothing.Service/Nothing", valid.clone(), &[][..], 12, "no-such-route", None),
        (path, framed(b""), &[][..], 3, "invalid-key", Some("clientKey")),
        (path, framed(b"\x0a\x02a\x07"), &[][..], 3, "invalid-key", Some("clientKey")),
        (path, framed(b"\x0a\x04acme\x9a\x06\x00"), &[][..], 3, "unknown-parameter", Some("99")),
        (path, framed(b"\x0a\x04acm"), &[][..], 3, "invalid-body", None),
        (path, framed(b"\x08\x01"), &[][..], 3, "invalid-parameter", Some("clientKey")),
        (path, Vec::new(), &[][..], 3, "invalid-body", None),
        (path, vec![1, 0, 0, 0, 0], &[][..], 3, "invalid-body", None),
        (path, framed(&vec![0; 100_000]), &[][..], 8, "body-too-large", None),
        (path, valid.clone(), &[("grpc-timeout", "1 s")][..], 3, "invalid-parameter", Some("grpc-timeout")),
        (path, valid.clone(), &[("x-long", &*long)][..], 8, "head-too-large", None),
    ] {
        let reply = server.call_with(path, body, headers);
        assert_eq!((reply.status, reply.messages.len()), (status, 0), "{path} {reason}");
        assert_eq!(reply.reason(), (reason.to_owned(), parameter.map(ToOwned::to_owned)), "{path}");
    }
    // Over HTTP the route exists and takes something else.
    assert_eq!(server.get(path).json()["code"], "method-not-allowed");
    assert_eq!(server.posting(path, "application/json", "{}").json()["code"], "invalid-body");
}

#[test]
fn timeout_of_the_client_holds_and_overload_may_be_tried_again() {
    let filled = mirror::filled();
    let server = Server::of(&filled.ledger, Options::default());
    let began = Instant::now();
    // A position that is not there is waited for.
    let waiting = framed(b"\x0a\x04acme\x28\x63");
    let reply = server.call_with(&format!("/{SERVICE}/GetTenant"), waiting, &[("grpc-timeout", "50m")]);
    assert_eq!((reply.status, reply.reason().0.as_str()), (4, "timeout"));
    assert!(began.elapsed() < PATIENCE);
    let full = Server::of(&filled.ledger, Options { concurrent_requests: 0, ..Options::default() });
    let reply = full.call("GetTenant", &json!({"clientKey": "acme"}));
    assert_eq!((reply.status, reply.reason().0.as_str()), (14, "overloaded"));
    assert!(reply.is_worth_another_try());
}

#[test]
fn stream_ends_with_a_message_and_a_status_when_the_server_stops() {
    let filled = long();
    let mut server = Server::of(&filled.ledger, Options::default());
    let (address, path) = (server.address(), format!("/{SERVICE}/Replay"));
    // Its client does not read until the server has been told to stop.
    let (answered, is_answered) = tokio::sync::oneshot::channel();
    let (read, may_read) = tokio::sync::oneshot::channel();
    let call = server.runtime().spawn(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = ureq::http::Request::post(format!("http://{address}{path}"));
        let request = request.header("content-type", "application/grpc").body(()).unwrap();
        let mut client = client.ready().await.unwrap();
        let (answer, mut sending) = client.send_request(request, false).unwrap();
        sending.send_data(framed(b"\x0a\x04acme").into(), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        answered.send(()).unwrap();
        may_read.await.unwrap();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        (bytes, body.trailers().await.unwrap().unwrap())
    });
    server.runtime().block_on(is_answered).unwrap();
    server.stop();
    // The server notices that it is to stop beside this.
    std::thread::sleep(Duration::from_millis(200));
    read.send(()).unwrap();
    let (bytes, trailers) = server.runtime().block_on(call).unwrap();
    assert_eq!(trailers["grpc-status"], "14");
    assert!(trailers.contains_key("grpc-status-details-bin"));
    assert!(bytes.windows(8).any(|window| window == b"stopping"), "the last message says so, too");
}

const CHECK: &str = "/grpc.health.v1.Health/Check";

fn health(server: &Server, service: &str) -> Result<u8, i32> {
    let length = u8::try_from(service.len()).unwrap();
    let message = if service.is_empty() { Vec::new() } else { [&[10, length], service.as_bytes()].concat() };
    let reply = server.call_with(CHECK, framed(&message), &[]);
    match &reply.messages[..] {
        [message] => Ok(message[1]),
        _ => Err(reply.status),
    }
}

#[test]
fn health_is_told_of_the_process_and_of_each_shard() {
    let filled = Filled::with(2);
    let live = |now: &mut ledger_store::Freshness| {
        (now.lag_events, now.phase) = (Some(0), ledger_store::Phase::Live);
    };
    filled.statuses.iter().for_each(|status| status.update(live));
    let server = Server::of(&filled.ledger, Options::default());
    let shard = |partition: u32| format!("shard/{TOPIC}/{partition}");
    for service in ["", SERVICE, &shard(0), &shard(1)] {
        assert_eq!(health(&server, service), Ok(1), "{service}");
    }
    for unknown in [&*shard(2), "shard/", "nothing"] {
        assert_eq!(health(&server, unknown), Err(5), "{unknown}");
    }
    filled.statuses[1].halt(Halted { code: "retention-gap", message: "offsets 5 to 9 are gone".to_owned() });
    let of = ["", &shard(0), &shard(1)].map(|service| health(&server, service));
    assert_eq!(of, [Ok(2), Ok(1), Ok(2)]);
}

#[test]
fn watched_health_is_told_anew_and_ends_with_the_server() {
    let filled = Filled::with(1);
    filled.statuses[0].update(|now| now.lag_events = Some(0));
    let mut server = Server::of(&filled.ledger, Options::default());
    let (address, body) = (server.address(), framed(b""));
    let (sender, told) = std::sync::mpsc::channel();
    let came = move || sender.send(()).unwrap();
    let watching = server.runtime().spawn(async move {
        crate::call::call_and_tell(address, "/grpc.health.v1.Health/Watch", body, &[], came).await
    });
    told.recv_timeout(PATIENCE).unwrap();
    filled.statuses[0].halt(Halted { code: "retention-gap", message: "offsets 5 to 9 are gone".to_owned() });
    told.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    server.stop();
    let reply = server.runtime().block_on(watching).unwrap();
    assert_eq!(reply.messages, [[8, 1], [8, 2]]);
    assert_eq!((reply.status, reply.reason().0.as_str()), (14, "stopping"));
    assert!(began.elapsed() < PATIENCE / 2);
}
