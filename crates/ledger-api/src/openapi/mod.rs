//! The OpenAPI document, made from what the doors are made from: the table of questions, the messages that their JSON
//! mirrors with the comments of the `.proto`, and the table of problems.
//!
//! In: nothing. Out: the text of `/openapi.json`, the same for every process of a version; `proto/openapi.json` is a copy
//! that a test compares. A new question, action, field or problem is in it without being written here; what is neither is in
//! [`OTHERS`].

mod answers;
mod bounds;
mod schemas;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::action::{ACTIONS, Action, BACKUP};
use crate::proto::{Field, Kind, Message, schema};
use crate::query::{
    DecisionsQuery, ForEachQuestion, InstallationsQuery, LogQuery, MigrationsQuery, ProofQuery, Question,
    ReplayQuery, WhatIfQuery, for_each_question,
};
use answers::{IS_READY, OperationFacts, ProblemAnswers};
use schemas::Schemas;

/// Path of a GET, name, summary and media type.
type Other = (&'static str, &'static str, &'static str, &'static str);

/// What is answered beside questions and actions.
const OTHERS: [Other; 5] = [
    ("/", "openPage", "The page, where `http.page` is on.", "text/html"),
    ("/page/{name}", "readPageFile", "What the page is made of.", "*/*"),
    ("/livez", "isAlive", "The process answers.", "application/json"),
    (
        "/readyz",
        IS_READY,
        "Every shard, how fresh it is; 503 while one that is assigned here is too far behind or halted, or none is. With `once` 200 from \
         when each that is assigned here was read to its end, or halted, for the first time since the process started.",
        "application/json",
    ),
    ("/openapi.json", "readOpenApi", "This document.", "application/json"),
];

const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// The names of the two ways to show who asks.
const TOKEN: &str = "token";
const CERTIFICATE: &str = "certificate";

/// Questions that are, or with `Accept` can be, answered line by line.
const IN_LINES: [&str; 7] = [
    DecisionsQuery::METHOD,
    InstallationsQuery::METHOD,
    MigrationsQuery::METHOD,
    LogQuery::METHOD,
    WhatIfQuery::METHOD,
    ReplayQuery::METHOD,
    ProofQuery::METHOD,
];

/// The text of the document.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        // Only text and numbers: this does not fail.
        serde_json::to_string_pretty(&document()).map(|text| text + "\n").unwrap_or_default()
    });
    &TEXT
}

fn document() -> Value {
    let mut paths = Paths::default();
    for_each_question(&mut paths);
    for action in ACTIONS {
        paths.action(action);
    }
    for (path, name, summary, media_type) in OTHERS {
        let answer =
            json!({ "description": summary, "content": { media_type: { "schema": { "title": name } } } });
        let in_path: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let mut parameters: Vec<_> = in_path
            .iter()
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if name == IS_READY {
            parameters.push(
                json!({ "name": "once", "in": "query", "required": false, "schema": { "type": "boolean" } }),
            );
        }
        let has_path_fields = !in_path.is_empty();
        let facts = OperationFacts { name, access: None, fields: in_path, has_path_fields, has_body: false };
        let operation = paths.operation(&facts, name, summary, &parameters, answer);
        paths.operations.insert(path.to_owned(), json!({ "get": operation }));
    }
    let problem = message("Problem");
    paths.schemas.answer(problem);
    let responses = paths.problems.into_components();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "realm-ledger",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Which realm a customer's Atlassian app is pinned to, since when, and why.",
            "description": "The same questions as `realmledger.v1.LedgerService` over gRPC. Instants are RFC 3339; a \
                parameter that an operation does not know, or that is given twice, is refused. With `Accept: \
                application/x-ndjson` long answers are sent line by line; the last line is `{\"freshness\": …}` or \
                `{\"problem\": …}`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "paths": paths.operations,
        "components": {
            "schemas": paths.schemas.into_components(),
            "responses": responses,
            "securitySchemes": { TOKEN: security_scheme(), CERTIFICATE: certificate_scheme() }
        }
    })
}

/// How a client shows who it is. Which scope an operation takes is with each.
fn security_scheme() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `realm-ledger token create`, or a web token (JWT) of an issuer that the server names. Each \
            operation names the scope that it takes (`read`, `audit`, \
            `operate`); `operate` brings the other two along. What is of apps that are not granted is answered as what \
            does not exist. Where the server names no one who may ask, no token is needed."
    })
}

fn certificate_scheme() -> Value {
    json!({
        "type": "mutualTLS",
        "description": "A client certificate that the server knows (`access.certificate`), with the same scopes as a token."
    })
}

#[expect(
    clippy::expect_used,
    reason = "the messages are those of this build; the test of the document reads them"
)]
fn message(name: &str) -> &'static Message {
    schema().message_named(&format!("realmledger.v1.{name}")).expect("a message of this build")
}

/// The operations so far.
#[derive(Default)]
struct Paths {
    operations: Map<String, Value>,
    schemas: Schemas,
    problems: ProblemAnswers,
}

impl Paths {
    /// An action. Those with a method have its messages, of which the event is the body.
    fn action(&mut self, action: &Action) {
        let Action { name, route, method, access, summary } = *action;
        let method = method.and_then(|method| schema().method(method));
        let in_path: Vec<&str> = route.split(['{', '}']).skip(1).step_by(2).collect();
        let fields = method.map_or(&[][..], |method| schema().input(method).fields());
        let of_query = fields.iter().filter(|field| !matches!(field.kind, Kind::Message(_)));
        let parameters: Vec<_> = of_query.map(|field| parameter(field, &in_path, false)).collect();
        let event = fields.iter().find_map(|field| match field.kind {
            Kind::Message(at) => Some(self.schemas.question(schema().message(at))),
            _ => None,
        });
        let body = event.unwrap_or_else(|| {
            let keep = json!({ "type": "integer", "minimum": 1, "description": "Generations that stay, this one included." });
            let members = if action == &BACKUP { json!({ "keep": keep }) } else { json!({}) };
            json!({ "type": "object", "properties": members, "additionalProperties": false })
        });
        let content = match method {
            Some(method) => json!({ JSON: { "schema": self.schemas.answer(schema().output(method)) } }),
            None => {
                json!({ LINES: { "schema": { "type": "string", "description": "JSON, an object on each line." } } })
            }
        };
        let answer = |what: &str| json!({ "description": what, "content": content });
        let of_query: Vec<_> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        let facts = OperationFacts {
            name,
            access: Some(access),
            fields: of_query,
            has_path_fields: !in_path.is_empty(),
            has_body: true,
        };
        let mut operation = self.operation(&facts, &first_lower(name), summary, &parameters, answer(summary));
        if method.is_some() {
            operation["responses"]["201"] = answer("Published, and recorded.");
            operation["responses"]["202"] =
                answer("Published, and not recorded everywhere yet: `pending` names where.");
        }
        operation["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": body } } });
        self.operations.insert(route.to_owned(), json!({ "post": operation }));
    }

    fn operation(
        &mut self,
        facts: &OperationFacts<'_>,
        id: &str,
        summary: &str,
        parameters: &[Value],
        answer: Value,
    ) -> Value {
        let mut responses = self.problems.of(facts);
        responses.insert("200".to_owned(), answer);
        // The last one is nothing: that does where the server names no one.
        let security = facts.access.map(|scope| {
            let scopes = [scope.as_str()];
            json!([{ TOKEN: scopes }, { CERTIFICATE: scopes }, {}])
        });
        json!({
            "operationId": id,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
            "security": security.unwrap_or_else(|| json!([]))
        })
    }
}

/// A page of decisions: in gRPC they are a stream, so no message mirrors it.
fn decisions_page() -> Value {
    let text = json!({ "type": "string" });
    let event = json!({
        "type": "object",
        "description": "As it is published: a CloudEvent whose data is `DecisionNotice` without its type and id.",
        "properties": {
            "specversion": { "const": "1.0" }, "id": text, "source": text, "subject": text,
            "type": { "enum": ["realmledger.decision", "realmledger.correction"] },
            "time": { "type": "string", "format": "date-time" }, "datacontenttype": text,
            "data": { "type": "object" }
        },
        "required": ["specversion", "id", "source", "type", "data"]
    });
    json!({
        "type": "object",
        "properties": {
            "decisions": { "type": "array", "items": event }, "cursor": text, "more": { "type": "boolean" },
            "freshness": { "type": "array", "items": { "$ref": "#/components/schemas/Freshness" } }
        },
        "required": ["cursor", "more"]
    })
}

fn parameter(field: &Field, in_path: &[&str], in_lines: bool) -> Value {
    let is_in_path = in_path.contains(&field.name.as_str());
    let (bounds, more) = bounds::of(&field.name, in_lines);
    let description = format!("{} {more}", field.comment);
    let mut schema = schemas::single(field);
    if let (Value::Object(schema), Value::Object(bounds)) = (&mut schema, bounds) {
        schema.extend(bounds);
    }
    json!({
        "name": field.name,
        "in": if is_in_path { "path" } else { "query" },
        // What has no default in the message has none here.
        "required": is_in_path || !field.has_presence && !field.is_repeated,
        "description": description.trim(),
        "schema": schema
    })
}

/// What a browser sends by itself when it comes back.
fn last_event_id() -> Value {
    json!({
        "name": "Last-Event-ID",
        "in": "header",
        "required": false,
        "description": "The last cursor that was received (`id` of an event): a stream goes on behind it, whatever `from` is.",
        "schema": { "type": "string" }
    })
}

fn first_lower(name: &str) -> String {
    let mut name = name.to_owned();
    name[..1].make_ascii_lowercase();
    name
}

impl ForEachQuestion for Paths {
    fn question<Q: Question>(&mut self) {
        let Some(method) = schema().method(Q::METHOD) else { return };
        let (input, output) = (schema().input(method), schema().output(method));
        let mut content = Map::new();
        let lines = json!({ "schema": { "type": "string", "description": "JSON, an object on each line." } });
        if !method.is_stream && Q::METHOD != ProofQuery::METHOD {
            content.insert("application/json".to_owned(), json!({ "schema": self.schemas.answer(output) }));
        }
        if Q::METHOD == DecisionsQuery::METHOD {
            content.insert("application/json".to_owned(), json!({ "schema": decisions_page() }));
            let events = "Server-sent events: `id` is a cursor, `data` a decision.";
            let events = json!({ "schema": { "type": "string", "description": events } });
            content.insert("text/event-stream".to_owned(), events);
        }
        if IN_LINES.contains(&Q::METHOD) {
            content.insert(LINES.to_owned(), lines);
        }
        if method.is_stream {
            self.schemas.answer(output);
        }
        let answer = json!({ "description": method.comment, "content": content });
        let in_path: Vec<&str> = Q::ROUTE.split(['{', '}']).skip(1).step_by(2).collect();
        let (in_body, in_lines) = (Q::IN_BODY, IN_LINES.contains(&Q::METHOD));
        let mut parameters: Vec<_> = if in_body {
            Vec::new()
        } else {
            input.fields().iter().map(|field| parameter(field, &in_path, in_lines)).collect()
        };
        if Q::METHOD == DecisionsQuery::METHOD {
            parameters.push(last_event_id());
        }
        let facts = OperationFacts {
            name: Q::METHOD,
            access: Some(Q::ACCESS),
            fields: input.fields().iter().map(|field| field.name.as_str()).collect(),
            has_path_fields: !in_path.is_empty(),
            has_body: in_body,
        };
        let mut operation =
            self.operation(&facts, &first_lower(Q::METHOD), &method.comment, &parameters, answer);
        if Q::IN_BODY {
            let schema = self.schemas.question(input);
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        let verb = if Q::IN_BODY { "post" } else { "get" };
        self.operations.insert(Q::ROUTE.to_owned(), json!({ verb: operation }));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::access::AccessScope;
    use crate::problem::ProblemKind;

    #[test]
    fn the_checked_in_document_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/openapi.json");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text(), "proto/openapi.json is not what the code says: run this test with BLESS=1");
    }

    #[test]
    fn every_question_and_every_problem_is_in_the_document() {
        struct Routes(Vec<&'static str>);
        impl ForEachQuestion for Routes {
            fn question<Q: Question>(&mut self) {
                self.0.push(Q::ROUTE);
            }
        }
        let document = document();
        let mut routes = Routes(Vec::new());
        for_each_question(&mut routes);
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), routes.0.len() + ACTIONS.len() + OTHERS.len());
        for route in routes.0.into_iter().chain(ACTIONS.map(|action| action.route)) {
            let (verb, operation) = paths[route].as_object().unwrap().iter().next().unwrap();
            assert!(matches!(&**verb, "get" | "post"), "{route}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{route}");
            assert!(
                AccessScope::parse(operation["security"][0][TOKEN][0].as_str().unwrap()).is_some(),
                "{route}"
            );
            assert!(!operation["responses"]["200"]["content"].as_object().unwrap().is_empty(), "{route}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(
                    parameter["schema"].as_object().is_some_and(|schema| !schema.is_empty()),
                    "{parameter}"
                );
            }
        }
        let responses = document["components"]["responses"].to_string();
        for kind in ProblemKind::ALL {
            assert!(responses.contains(&format!("\"{}\"", kind.code())), "{kind:?}");
        }
        assert!(document["components"]["securitySchemes"][CERTIFICATE]["type"] == "mutualTLS");
        let decisions = &paths[DecisionsQuery::ROUTE]["get"];
        let headers = decisions["parameters"].as_array().unwrap().iter();
        assert_eq!(headers.filter(|parameter| parameter["in"] == "header").count(), 1, "Last-Event-ID");
    }

    #[test]
    fn an_operation_has_the_codes_that_it_can_end_with() {
        let document = document();
        let codes = |route: &str, verb: &str| -> Vec<String> {
            let responses = document["paths"][route][verb]["responses"].as_object().unwrap().values();
            let named = responses.filter_map(|answer| answer["$ref"].as_str()?.rsplit('/').next());
            let schemas = named.map(|name| {
                &document["components"]["responses"][name]["content"]["application/problem+json"]["schema"]
            });
            let codes = schemas
                .flat_map(|schema| schema["allOf"][1]["properties"]["code"]["enum"].as_array().unwrap());
            codes.map(|code| code.as_str().unwrap().to_owned()).collect()
        };
        let has = |route: &str, verb: &str, code: &str| codes(route, verb).iter().any(|known| known == code);
        for route in ["/", "/livez", "/readyz", "/openapi.json"] {
            assert!(has(route, "get", "foreign-site"), "{route}");
        }
        for code in ["unauthenticated", "scope-missing", "not-found", "timeout", "overloaded", "invalid-key"]
        {
            assert!(!has("/livez", "get", code), "{code}");
            assert!(has("/v1/tenants/{clientKey}", "get", code), "{code}");
        }
        for (code, route, verb) in [
            ("not-a-command", "/v1/commands", "post"),
            ("no-backup-dir", "/v1/backups", "post"),
            ("bundle-too-long", "/v1/tenants/{clientKey}/proof", "get"),
            ("slow-consumer", "/v1/decisions", "get"),
        ] {
            for (other, of_other) in document["paths"].as_object().unwrap() {
                let other_verb = of_other.as_object().unwrap().keys().next().unwrap();
                assert_eq!(
                    has(other, other_verb, code),
                    other == route && other_verb == verb,
                    "{other} {code}"
                );
            }
        }
        assert!(has("/readyz", "get", "not-ready") && has("/page/{name}", "get", "no-such-route"));
    }
}
