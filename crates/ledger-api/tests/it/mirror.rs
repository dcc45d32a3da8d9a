//! The messages of `proto/` and the JSON of the answers agree: every member is a field of the same name and kind, and
//! the JSON has every field of the messages about records.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use ledger_api::http::Options;
use ledger_api::query::{
    AsOf, AsOfAll, CheckpointsQuery, CommandQuery, CorrectionsQuery, DecisionsQuery, ExplainQuery, Filter,
    InstallationQuery, InstallationsQuery, LedgerLine, LineageQuery, LogQuery, MigrationsQuery, Page,
    PreviewQuery, ProofQuery, QuarantineItemQuery, QuarantineQuery, Question, ReplayQuery, SearchQuery,
    TenantQuery, WhatIfQuery,
};
use ledger_core::event::{Evidence, InstallationFact};
use ledger_core::ids::InstallationKey;
use ledger_core::policy::Policy;
use ledger_core::whatif::WhatIfScope;
use ledger_record::json::notice;
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::tree::empty_root;
use ledger_record::record::{Content, Stream};
use ledger_record::rejection::{Reason, Refused, RefusedBody, Rejection};
use ledger_store::{Halted, Phase, SignedCheckpoint};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde::Serialize;
use serde_json::Value;

use crate::filled::Ask as _;
use crate::filled::{Filled, TOPIC, about, app, client, hour, installed, json, realm, uninstalled};
use crate::http::Server;

/// The fields seen in an answer, as `Message.field`.
#[derive(Default)]
struct Met(BTreeSet<String>);

fn pool() -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files = protox::compile([root.join("realmledger/v1/ledger.proto")], [root]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

fn message(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(&format!("realmledger.v1.{name}")).unwrap()
}

impl Met {
    fn meet(&mut self, name: &str, answer: &impl Serialize) {
        self.object(&message(name), &json(answer));
    }

    fn object(&mut self, message: &MessageDescriptor, value: &Value) {
        for (name, value) in value.as_object().unwrap_or_else(|| panic!("{message:?} as {value}")) {
            let field = message.get_field_by_json_name(name);
            let field = field.unwrap_or_else(|| panic!("{} has no {name}", message.full_name()));
            self.0.insert(field.full_name().to_owned());
            match value {
                Value::Array(items) if field.is_list() => {
                    for item in items {
                        self.one(&field, item);
                    }
                }
                Value::Object(members) if field.is_map() => assert!(members.values().all(Value::is_string)),
                value => {
                    assert!(!field.is_list() && !field.is_map(), "{field:?} as {value}");
                    self.one(&field, value);
                }
            }
        }
    }

    fn one(&mut self, field: &FieldDescriptor, value: &Value) {
        let fits = match field.kind() {
            Kind::Message(of) if of.full_name() == "google.protobuf.Timestamp" => {
                value.as_str().is_some_and(|text| text.len() == "2026-03-01T10:00:00.000Z".len())
            }
            // Every other well-known type takes any JSON.
            Kind::Message(of) if of.full_name().starts_with("google.protobuf.") => true,
            Kind::Message(of) => {
                self.object(&of, value);
                true
            }
            Kind::Enum(of) => value.as_str().is_some_and(|word| of.get_value_by_name(word).is_some()),
            Kind::Bool => value.is_boolean(),
            Kind::String => value.is_string(),
            _ => value.is_number(),
        };
        assert!(fits, "{} as {value}", field.full_name());
    }

    /// Every field of the message occurs in the JSON.
    fn all_of(&self, name: &str) {
        let fields =
            message(name).fields().map(|field| field.full_name().to_owned()).collect::<BTreeSet<_>>();
        let missing: Vec<_> = fields.difference(&self.0).collect();
        assert!(missing.is_empty(), "not in the JSON: {missing:?}");
    }
}

pub(crate) fn filled() -> Filled {
    let mut filled = Filled::with(2);
    filled.publish(0, "app", &["EU", "US"]);
    filled.take(0, 1, installed("acme", "app", "EU", "US"));
    filled.take(0, 5, uninstalled("acme", "app"));
    filled.take(0, 6, installed("acme", "app", "US", "US"));
    // Late, so that it corrects a later outcome.
    filled.take_late(0, 3, 7, uninstalled("acme", "app"));
    for partition in [0, 1] {
        filled.take(partition, 7, installed("split", "app", "EU", "EU"));
    }
    // The second one causes an anomaly.
    filled.take(0, 8, uninstalled("acme", "app"));
    filled.take(0, 8, uninstalled("acme", "app"));
    let rejection = |reason| Rejection {
        reason,
        path: Some("clientKey".to_owned()),
        detail: "expected a key".to_owned(),
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    for body in [
        RefusedBody::Json("{}".to_owned()),
        RefusedBody::Digest { sha256: [7; 32], length_bytes: 9 },
        RefusedBody::Absent,
    ] {
        let (key, headers) = (Some("acme".to_owned()), headers.clone());
        let rejection = rejection(Reason::MissingField);
        filled.refuse_as(1, Refused { rejection, key, headers, source_time: Some(hour(1)), body });
    }
    filled.statuses[0].update(|now| {
        now.phase = Phase::CatchingUp;
        now.lag_events = Some(5);
        now.last_source_time = Some(hour(1));
        now.mismatched_tenants = 1;
        now.missing_app_events = 1;
    });
    let odd = |code| Some(Halted { code, message: "the log says why".to_owned() });
    filled.statuses[0].update(|now| {
        (now.unsigned, now.stalled) = (odd("log-behind-checkpoint"), odd("no-ticks"));
        now.missing_copies = odd("app-events-missing");
    });
    let checkpoint = Checkpoint { origin: TOPIC.to_owned(), size: 0, root: empty_root() };
    filled.statuses[0].set_checkpoint(SignedCheckpoint { checkpoint, note: "a note".to_owned() });
    filled.statuses[1].halt(Halted { code: "retention-gap", message: "offsets 5 to 9 are gone".to_owned() });
    filled
}

#[test]
fn every_answer_matches_its_message() {
    let filled = filled();
    let (ledger, acme, as_of, now) = (&filled.ledger, client("acme"), AsOf::default(), hour(9));
    let asked = PreviewQuery { client: acme.clone(), app: app("app"), product_realm: None, as_of };
    let mut met = Met::default();
    met.meet("GetTenantResponse", &ledger.tenant(&acme, as_of, now).unwrap());
    met.meet("GetInstallationResponse", &ledger.installation(&acme, &app("app"), as_of, now).unwrap());
    met.meet(
        "ListInstallationsResponse",
        &ledger.installations(&Filter::default(), None, 9, AsOfAll::default(), now).unwrap(),
    );
    met.meet("ReadLogResponse", &ledger.log(&acme, 1, 9, as_of, now).unwrap());
    met.meet("ExplainResponse", &ledger.explain(&acme, &app("app"), as_of, now).unwrap());
    met.meet("PreviewResponse", &ledger.put(&asked, now).unwrap());
    met.meet("ListCheckpointsResponse", &ledger.checkpoints(now));
    let policies = vec![Policy::Off, Policy::Days { days: 1 }];
    let supposed = WhatIfQuery { policies, scope: WhatIfScope::default(), differences: false };
    let scope = WhatIfScope { app: Some(app("app")), from: Some(hour(0)), to: Some(hour(9)), granted: None };
    met.meet("WhatIfRequest", &WhatIfQuery { scope, differences: true, ..supposed.clone() });
    met.meet("WhatIfResponse", &ledger.ask(&supposed, now, &|_| ControlFlow::Continue(())).unwrap());
    for limit in [1, 9] {
        met.meet("ListCorrectionsResponse", &ledger.corrections(&acme, 0, limit, as_of, now).unwrap());
    }
    let shard = ledger_store::ShardId { topic: TOPIC.to_owned(), partition: 1 };
    met.meet("GetQuarantineItemResponse", &ledger.quarantine_item(&shard, 1, now).unwrap());
    met.meet("ListQuarantineResponse", &ledger.quarantine(None, None, 9, now).unwrap());
    // The clock is behind the recorded times.
    met.meet("ListQuarantineResponse", &ledger.quarantine(None, None, 9, hour(-9)).unwrap());
    for name in ["Record", "Source", "Change", "Freshness", "Freshness.Halted"] {
        met.all_of(name);
    }
    for name in [
        "Checkpoint",
        "ListCheckpointsResponse",
        "WhatIfRequest",
        "WhatIfResponse",
        "WhatIfReport",
        "WhatIfReport.Gaps",
    ] {
        met.all_of(name);
    }
    for name in ["ListCorrectionsResponse", "GetQuarantineItemResponse"] {
        met.all_of(name);
    }
    for name in ["QuarantineItem", "QuarantineItem.Header", "QuarantineItem.Body"] {
        met.all_of(name);
    }
}

#[test]
fn answers_about_names_and_links_match_their_messages() {
    let mut filled = crate::search::filled();
    let mut met = Met::default();
    for (q, limit) in [("acme.atlassian.net", 1), ("acme-torn", 9)] {
        let query = SearchQuery { q: q.to_owned(), page: Page { cursor: None, limit: Some(limit) } };
        met.meet("SearchResponse", &filled.ledger.put(&query, hour(9)).unwrap());
    }
    for tenant in ["acme-1", "acme-torn"] {
        let from = InstallationKey { client: client(tenant), app: app("one") };
        let (from_realm, evidence) = (Some(realm("EU")), Evidence::new("a ticket").unwrap());
        let fact = InstallationFact::Continued { from, from_realm, evidence };
        filled.take(2, 5, about(&format!("after-{tenant}"), "one", fact));
    }
    for number in 0..65 {
        filled.take(
            2,
            6,
            crate::search::known_by(&format!("c-{number}"), "one", "https://c.example", "", ""),
        );
    }
    for limit in [1, 9] {
        let page = Page { cursor: None, limit: Some(limit) };
        let lineage = LineageQuery { page, ..LineageQuery::default() };
        met.meet("ListLineageResponse", &filled.ledger.put(&lineage, hour(9)).unwrap());
    }
    for name in [
        "SearchResponse",
        "Searched",
        "FoundTenant",
        "FoundTenant.Match",
        "ListLineageResponse",
        "RecordedLink",
        "ProposedLink",
        "ProposedLink.Side",
        "SharedName",
        "CommonName",
    ] {
        met.all_of(name);
    }
}

#[test]
fn every_line_of_a_long_answer_is_its_message() {
    let filled = filled();
    let met = Mutex::new(Met::default());
    let compare = |line: &LedgerLine<'_>| {
        met.lock().unwrap().meet("AnswerLine", line);
        ControlFlow::Continue(())
    };
    let policies = vec![Policy::Off, Policy::Indefinite];
    let supposed = WhatIfQuery { policies, scope: WhatIfScope::default(), differences: true };
    for query in [supposed.into(), ReplayQuery::default().into()] {
        filled.ledger.answer_lines(&query, hour(9), &compare).unwrap();
    }
    let met = met.into_inner().unwrap();
    for name in
        ["AnswerLine.Progress", "PolicyDifference", "PolicyOutcome", "ReplayedRecord", "RefusedTenant"]
    {
        met.all_of(name);
    }
}

#[test]
fn published_notice_matches_its_message() {
    let filled = filled();
    let mut met = Met::default();
    let (_, reader) = &filled.readers()[0];
    let snapshot = reader.snapshot();
    let acme = client("acme");
    for record in snapshot.records(&Stream::Tenant(acme.clone()), 1).unwrap() {
        let record = record.unwrap();
        let Content::Event { event, outcome, .. } = &record.content else { panic!("a refusal") };
        let shard = notice::PublishingShard { topic: TOPIC, partition: 0 };
        for change in &outcome.changes {
            for notice in notice::notices(notice::NoticeScope::Changes, shard, &record, event, &acme, change)
            {
                met.meet("DecisionNotice", &notice.data);
            }
        }
    }
    // The Kafka envelope carries the first two.
    let told_elsewhere = ["type", "id"];
    met.0.extend(told_elsewhere.map(|field| format!("realmledger.v1.DecisionNotice.{field}")));
    met.all_of("DecisionNotice");
    met.all_of("RecordRef");
}

/// Words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The path and query parameters of a query, as the server's error lists them.
fn taken<Q: Question>(server: &Server) -> BTreeSet<String> {
    let in_path = Q::ROUTE.split(['{', '}']).skip(1).step_by(2);
    let path =
        in_path.clone().fold(Q::ROUTE.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "1"));
    let needed = if Q::METHOD == "Search" { "q=a&" } else { "" };
    let refused = server.get(&format!("{path}?{needed}nothing-like-that=1")).json();
    let detail = refused["detail"].as_str().unwrap();
    let in_query = detail.strip_prefix("this route takes ").filter(|names| *names != "no parameters");
    in_path
        .chain(in_query.unwrap_or_default().split(", "))
        .map(ToOwned::to_owned)
        .filter(|name| !name.is_empty())
        .collect()
}

/// The parameters in the row of a route in the table of the header of `http`.
fn in_table(route: &str) -> BTreeSet<String> {
    let table = include_str!("../../src/http/mod.rs");
    let row = format!("//! | `GET {route}` |");
    let row = table
        .lines()
        .find_map(|line| line.strip_prefix(&row))
        .unwrap_or_else(|| panic!("no row for {route}"));
    let in_path = route.split(['{', '}']).skip(1).step_by(2);
    in_path
        .chain(quoted(row.split('|').next().unwrap()))
        .map(|name| name.split('=').next().unwrap().to_owned())
        .collect()
}

#[test]
fn query_parameters_match_the_route_table_and_request() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let questions = [
        question::<InstallationQuery>(&server, "GetInstallationRequest"),
        question::<TenantQuery>(&server, "GetTenantRequest"),
        question::<InstallationsQuery>(&server, "ListInstallationsRequest"),
        question::<MigrationsQuery>(&server, "ListMigrationsRequest"),
        question::<LineageQuery>(&server, "ListLineageRequest"),
        question::<SearchQuery>(&server, "SearchRequest"),
        question::<LogQuery>(&server, "ReadLogRequest"),
        question::<CorrectionsQuery>(&server, "ListCorrectionsRequest"),
        question::<ExplainQuery>(&server, "ExplainRequest"),
        question::<PreviewQuery>(&server, "PreviewRequest"),
        question::<DecisionsQuery>(&server, "SubscribeDecisionsRequest"),
        question::<QuarantineQuery>(&server, "ListQuarantineRequest"),
        question::<QuarantineItemQuery>(&server, "GetQuarantineItemRequest"),
        question::<CheckpointsQuery>(&server, "ListCheckpointsRequest"),
        question::<ProofQuery>(&server, "GetProofRequest"),
        question::<ReplayQuery>(&server, "ReplayRequest"),
        question::<CommandQuery>(&server, "GetCommandRequest"),
    ];
    for (route, taken, request) in questions {
        assert_eq!(taken, in_table(route), "{route}");
        let fields = message(request).fields().map(|field| field.json_name().to_owned()).collect();
        assert_eq!(taken, fields, "{route}");
    }
}

#[test]
fn bounds_in_the_document_are_those_of_the_server() {
    let filled = filled();
    let server = Server::of(&filled.ledger, Options::default());
    let document = server.get("/openapi.json").json();
    let mut bounds = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{clientKey}", "acme").replace("{appKey}", "app").replace("{id}", "e-1");
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let refused = |value: String| {
                let needed = if path == "/v1/search" && name != "q" { "q=a&" } else { "" };
                let named = path.replace(&format!("{{{name}}}"), &value);
                let named = named.replace("{topic}", "t").replace("{partition}", "0").replace("{seq}", "1");
                let is_in_path = parameter["in"] == "path";
                let query = if is_in_path { String::new() } else { format!("?{needed}{name}={value}") };
                let problem = server.get(&format!("{named}{query}")).json();
                let code = if is_in_path { "invalid-key" } else { "invalid-parameter" };
                assert_eq!((&problem["code"], &problem["parameter"]), (&code.into(), &name.into()), "{path}");
            };
            if let Some(least) = schema["minimum"].as_u64().filter(|least| *least > 0) {
                refused((least - 1).to_string());
                bounds += 1;
            }
            if let Some(most) = schema["maximum"].as_u64() {
                refused((most + 1).to_string());
                bounds += 1;
            }
            if let (Some(most), "query") = (schema["maxLength"].as_u64(), parameter["in"].as_str().unwrap()) {
                refused("k".repeat(usize::try_from(most).unwrap() + 1));
                bounds += 1;
            }
        }
    }
    assert!(bounds >= 10, "{bounds}");
}

type Taken<'n> = (&'static str, BTreeSet<String>, &'n str);

fn question<'n, Q: Question>(server: &Server, request: &'n str) -> Taken<'n> {
    (Q::ROUTE, taken::<Q>(server), request)
}
