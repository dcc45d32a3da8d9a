//! The same over gRPC: every method of the service, as its descriptor lists them.

use ledger_api::access::AccessScope;
use ledger_api::action::{ACTIONS, RETRY, SUBMIT};
use ledger_api::query::Query;
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use super::{ABSENT, GRANTED, HIDDEN, Owner, TENANT, access, bearers, ledger, order, scope_of, token, web};
use crate::call::{Reply, SERVICE, encoded, framed, methods};
use crate::http::Server;

const UNAUTHENTICATED: i32 = 16;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;

/// The question of a method, or its action.
fn question_of(method: &MethodDescriptor) -> &'static str {
    let name = method.name();
    if let Some(action) = ACTIONS.iter().find(|action| action.method == Some(name)) {
        return action.name;
    }
    let known = Query::METHODS.iter().find(|(_, of)| *of == name || name.strip_prefix("Scan") == Some(of));
    known.unwrap_or_else(|| panic!("{name}: no question of the table")).0
}

/// A request about an app.
fn message(method: &MethodDescriptor, app: &str) -> Vec<u8> {
    let input = method.input();
    let mut members = Map::new();
    for field in input.fields() {
        let value: Value = match field.json_name() {
            "id" => "e-2".into(),
            "event" => order(app),
            "clientKey" => TENANT.into(),
            "appKey" | "app" => app.into(),
            "q" => "o".into(),
            "policies" => json!([{ "mode": "off" }]),
            // Without a limit a subscription would go on.
            "limit" | "seq" => 1.into(),
            "topic" if method.name().ends_with("QuarantineItem") => "realm.lifecycle".into(),
            _ => continue,
        };
        members.insert(field.json_name().to_owned(), value);
    }
    framed(&encoded(&input, &Value::Object(members)))
}

fn called(server: &Server, method: &MethodDescriptor, app: &str, authorization: &[&str]) -> Reply {
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
    server.call_with(&format!("/{SERVICE}/{}", method.name()), message(method, app), &headers)
}

fn bearer(owner: Owner) -> String {
    format!("Bearer {}", token(owner))
}

fn code(reply: &Reply) -> String {
    if reply.status == 0 { String::new() } else { reply.reason().0 }
}

#[test]
fn every_method_refuses_everyone_but_who_may_call_it() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let [all, reader, expired, unknown] =
        [Owner::All, Owner::Reader, Owner::Expired, Owner::Nobody].map(bearer);
    let [all, reader, expired, unknown] = [&*all, &reader, &expired, &unknown];
    let [[_, web_all], [_, web_reader]] = [Owner::All, Owner::Reader].map(bearers);
    let wrong: Vec<_> = web::wrong().map(|token| format!("Bearer {token}")).collect();
    let bad =
        [&[][..], &[unknown], &[expired], &["Basic YTpi"], &["Bearer x"], &[all, all]].map(<[&str]>::to_vec);
    let bad: Vec<_> = bad.into_iter().chain(wrong.iter().map(|wrong| vec![&**wrong])).collect();
    let actions = ACTIONS.iter().filter(|action| action.method.is_some()).count();
    let known = Query::METHODS.len() + actions + 1;
    assert_eq!(methods().count(), known, "each question and action, and what-if line by line");
    for method in methods() {
        let (name, question) = (method.name().to_owned(), question_of(&method));
        for authorization in &bad {
            let reply = called(&server, &method, GRANTED, authorization);
            assert_eq!(
                (reply.status, &*code(&reply), reply.messages.len()),
                (UNAUTHENTICATED, "unauthenticated", 0),
                "{name}"
            );
        }
        for all in [all, &web_all] {
            let reply = called(&server, &method, GRANTED, &[all]);
            if [SUBMIT.name, RETRY.name].contains(&question) {
                // It came as far as what this server does not have.
                assert_eq!((reply.status, &*code(&reply)), (FAILED_PRECONDITION, "no-commands"), "{name}");
            } else {
                assert_eq!(
                    (reply.status, reply.messages.is_empty()),
                    (0, false),
                    "{name}: {}",
                    reply.message
                );
            }
        }
        let scope = scope_of(question);
        for reader in [reader, &web_reader] {
            let reply = called(&server, &method, GRANTED, &[reader]);
            if scope == AccessScope::Read {
                assert_eq!(reply.status, 0, "{name}: {}", reply.message);
                continue;
            }
            assert_eq!((reply.status, &*code(&reply)), (PERMISSION_DENIED, "scope-missing"), "{name}");
            let names_it = reply.message.contains(&format!("scope {scope}"));
            assert!(reply.messages.is_empty() && names_it, "{}", reply.message);
        }
    }
    let nothing = server.call_with(&format!("/{SERVICE}/Nothing"), framed(b""), &[]);
    assert_eq!(code(&nothing), "unauthenticated");
}

#[test]
fn health_is_open_and_reflection_is_not() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    assert_eq!(server.call_with("/grpc.health.v1.Health/Check", framed(b""), &[]).status, 0);
    // The list of services.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let list = framed(&[0x3a, 0]);
    assert_eq!(server.call_with(reflection, list.clone(), &[]).status, UNAUTHENTICATED);
    let reply = server.call_with(reflection, list, &[("authorization", &bearer(Owner::Reader))]);
    assert_eq!((reply.status, reply.messages.len()), (0, 1), "{}", reply.message);
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

fn renamed(message: &[u8]) -> Vec<u8> {
    let (hidden, absent) = (HIDDEN.as_bytes(), ABSENT.as_bytes());
    assert_eq!(hidden.len(), absent.len());
    let mut message = message.to_vec();
    for at in 0..message.len() {
        if message[at..].starts_with(hidden) {
            message[at..at + hidden.len()].copy_from_slice(absent);
        }
    }
    message
}

#[test]
fn an_app_that_is_not_granted_is_in_no_message() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    let partners = bearers(Owner::OneApp);
    for (method, partner) in
        methods().flat_map(|method| partners.iter().map(move |partner| (method.clone(), partner)))
    {
        let name = method.name();
        // The leaves of a bundle name the apps of all its records: they are what was signed.
        if name == "GetProof" {
            continue;
        }
        let reply = called(&server, &method, GRANTED, &[partner]);
        for canary in [HIDDEN, "only.hidden.example", "data-located"] {
            assert!(!reply.messages.iter().any(|message| contains(message, canary)), "{name}: {canary}");
        }
        // A subscription to nothing would go on: it is tested with what comes.
        let names_an_app = method.input().fields().any(|field| field.json_name() == "appKey");
        if names_an_app {
            let [hidden, absent] = [HIDDEN, ABSENT].map(|app| called(&server, &method, app, &[partner]));
            let messages: Vec<_> = hidden.messages.iter().map(|message| renamed(message)).collect();
            let text = hidden.message.replace(HIDDEN, ABSENT);
            assert_eq!((hidden.status, text), (absent.status, absent.message), "{name}");
            assert_eq!(messages, absent.messages, "{name}");
        }
    }
}
