//! The OpenAPI document, made from what the doors are made from: the table of questions, the messages that their JSON
//! mirrors with the comments of the `.proto`, and the table of problems.
//!
//! In: nothing. Out: the text of `/openapi.json`, the same for every process of a version; `proto/openapi.json` is a copy
//! that a test compares. A new question, field or problem is in it without being written here; what is no question
//! is in [`OTHERS`].

mod schemas;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::access::AccessScope;
use crate::problem::ProblemKind;
use crate::proto::{Field, Message, schema};
use crate::query::{
    DecisionsQuery, ForEachQuestion, InstallationsQuery, LogQuery, MigrationsQuery, ProofQuery, Question,
    ReplayQuery, WhatIfQuery, for_each_question,
};
use schemas::Schemas;

/// Verb, path, name, summary, media type, and the scope it takes.
type Other = (&'static str, &'static str, &'static str, &'static str, &'static str, Option<AccessScope>);

/// What is answered beside questions.
const OTHERS: [Other; 6] = [
    (
        "post",
        "/v1/backups",
        "makeBackup",
        "Makes a backup on the machine of the server, and reports its progress line by line.",
        LINES,
        Some(AccessScope::Operate),
    ),
    ("get", "/", "openPage", "The page, where `http.page` is on.", "text/html", None),
    ("get", "/page/{file}", "readPageFile", "What the page is made of.", "*/*", None),
    ("get", "/livez", "isAlive", "The process answers.", "application/json", None),
    (
        "get",
        "/readyz",
        "isReady",
        "Every shard, how fresh it is; 503 while one that is assigned here is too far behind or halted, or none is.",
        "application/json",
        None,
    ),
    ("get", "/openapi.json", "readOpenApi", "This document.", "application/json", None),
];

const LINES: &str = "application/x-ndjson";

/// The name of the one way to show who asks.
const TOKEN: &str = "token";

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
    let mut paths = Paths { operations: Map::new(), schemas: Schemas::default(), problems: problems() };
    for_each_question(&mut paths);
    for (verb, path, name, summary, media_type, access) in OTHERS {
        let answer =
            json!({ "description": summary, "content": { media_type: { "schema": { "title": name } } } });
        let in_path = path.split(['{', '}']).skip(1).step_by(2);
        let parameters: Vec<_> = in_path
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let mut operation = paths.operation(name, summary, access, &parameters, answer);
        if verb == "post" {
            let keep = json!({ "type": "integer", "minimum": 1, "description": "Generations that stay, this one included." });
            let schema =
                json!({ "type": "object", "properties": { "keep": keep }, "additionalProperties": false });
            operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
        }
        paths.operations.insert(path.to_owned(), json!({ verb: operation }));
    }
    let problem = message("Problem");
    paths.schemas.answer(problem);
    let responses = problem_responses();
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
            "securitySchemes": { TOKEN: security_scheme() }
        }
    })
}

/// How a client shows who it is. Which scope an operation takes is with each.
fn security_scheme() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `realm-ledger token create`, or a web token (JWT) of an issuer that the server names; a \
            client certificate that it knows does as well. Each operation names the scope that it takes (`read`, `audit`, \
            `operate`); `operate` brings the other two along. What is of apps that are not granted is answered as what \
            does not exist. Where the server names no one who may ask, no token is needed."
    })
}

#[expect(
    clippy::expect_used,
    reason = "the messages are those of this build; the test of the document reads them"
)]
fn message(name: &str) -> &'static Message {
    schema().message_named(&format!("realmledger.v1.{name}")).expect("a message of this build")
}

/// The kinds of problems by their status over HTTP.
fn by_status() -> BTreeMap<u16, Vec<ProblemKind>> {
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in ProblemKind::ALL {
        by_status.entry(kind.status()).or_default().push(*kind);
    }
    by_status
}

fn problems() -> Map<String, Value> {
    let response = |status: u16| {
        let reference = format!("#/components/responses/Problem{status}");
        (status.to_string(), json!({ "$ref": reference }))
    };
    by_status().into_keys().map(response).collect()
}

/// A problem of each status, with its codes.
fn problem_responses() -> Map<String, Value> {
    let response = |(status, kinds): (u16, Vec<ProblemKind>)| {
        let codes: Vec<_> = kinds.iter().map(|kind| kind.code()).collect();
        let described: Vec<_> =
            kinds.iter().map(|kind| format!("`{}`: {}", kind.code(), kind.title())).collect();
        let of_status = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
        let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, of_status] });
        let mut response = json!({
            "description": described.join("; "),
            "content": { "application/problem+json": { "schema": schema } }
        });
        if kinds.iter().any(|kind| kind.passes()) {
            let header = json!({ "description": "Seconds, where asking again can help.", "schema": { "type": "integer" } });
            response["headers"] = json!({ "Retry-After": header });
        }
        if kinds.contains(&ProblemKind::Unauthenticated) {
            let header =
                json!({ "description": "What credentials are taken.", "schema": { "type": "string" } });
            response["headers"] = json!({ "WWW-Authenticate": header });
        }
        (format!("Problem{status}"), response)
    };
    by_status().into_iter().map(response).collect()
}

/// The operations so far.
struct Paths {
    operations: Map<String, Value>,
    schemas: Schemas,
    problems: Map<String, Value>,
}

impl Paths {
    fn operation(
        &self,
        name: &str,
        summary: &str,
        access: Option<AccessScope>,
        parameters: &[Value],
        answer: Value,
    ) -> Value {
        let mut responses = self.problems.clone();
        responses.insert("200".to_owned(), answer);
        let security: Vec<_> = access.into_iter().map(|scope| json!({ TOKEN: [scope.as_str()] })).collect();
        json!({
            "operationId": name,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
            "security": security
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
        let parameter = |field: &Field| {
            let is_in_path = in_path.contains(&field.name.as_str());
            json!({
                "name": field.name,
                "in": if is_in_path { "path" } else { "query" },
                "required": is_in_path,
                "description": field.comment,
                "schema": schemas::single(field)
            })
        };
        let in_body = Q::IN_BODY;
        let parameters = if in_body { Vec::new() } else { input.fields().iter().map(parameter).collect() };
        let mut name = Q::METHOD.to_owned();
        name[..1].make_ascii_lowercase();
        let mut operation = self.operation(&name, &method.comment, Some(Q::ACCESS), &parameters, answer);
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
        assert_eq!(paths.len(), routes.0.len() + OTHERS.len());
        for route in routes.0 {
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
    }
}
