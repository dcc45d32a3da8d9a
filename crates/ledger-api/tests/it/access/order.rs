//! Who asks is looked at before what is asked: 401 and 403 come before anything that is wrong with a question.

use ledger_api::query::Query;

use super::{JSON, Owner, ROUTES, access, bearers, ledger, path_of, scope_of};
use crate::call::{SERVICE, framed, methods};
use crate::filled::Filled;
use crate::http::Server;
use ledger_api::access::AccessScope;
use ledger_api::action::{ACTIONS, BACKUP, SUBMIT};

const GRANTED: &str = super::GRANTED;

fn served(filled: &Filled) -> Server {
    Server::guarded(&filled.ledger, access())
}

fn status(server: &Server, method: &str, path: &str, token: Option<&str>) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request =
        ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", server.address()));
    let request = token.into_iter().fold(request, |request, token| request.header("authorization", token));
    let request =
        request.header("content-type", "text/plain").body(if method == "POST" { "no json" } else { "" });
    agent.run(request.unwrap()).unwrap().status().as_u16()
}

#[test]
fn malformed_questions_are_refused_by_who_asks_first() {
    let filled = ledger();
    let server = served(&filled);
    let ([all, _], [reader, _], [auditor, _]) =
        (bearers(Owner::All), bearers(Owner::Reader), bearers(Owner::Auditor));
    for (question, route) in ROUTES.iter() {
        let Some(question) = question else { continue };
        let path = path_of(route, GRANTED);
        let is_post = *question == "WhatIf" || ACTIONS.iter().any(|action| action.name == *question);
        let method = if is_post { "POST" } else { "GET" };
        let other = if scope_of(question) == AccessScope::Read { &auditor } else { &reader };
        let separator = if path.contains('?') { '&' } else { '?' };
        for wrong in ["nonsense=1", "nonsense=%zz", "limit=x&limit=y"] {
            let path = format!("{path}{separator}{wrong}");
            assert_eq!(status(&server, method, &path, None), 401, "{path}");
            assert_eq!(status(&server, method, &path, Some("Bearer x")), 401, "{path}");
            assert_eq!(status(&server, method, &path, Some(other)), 403, "{path}");
            assert_eq!(status(&server, method, &path, Some(&all)), 400, "{path}");
        }
        if is_post {
            for (token, expected) in [(None, 401), (Some(&**other), 403), (Some(&*all), 400)] {
                assert_eq!(status(&server, method, &path, token), expected, "{path}: text is no body");
            }
        }
    }
    for key in ["%00", "a%2", "%ff"] {
        let path = format!("/v1/tenants/{key}/log");
        assert_eq!(status(&server, "GET", &path, None), 401, "{path}");
        assert_eq!(status(&server, "GET", &path, Some(&reader)), 403, "{path}");
        assert_eq!(status(&server, "GET", &path, Some(&all)), 400, "{path}");
    }
}

#[test]
fn malformed_messages_are_refused_by_who_calls_first() {
    const INVALID_ARGUMENT: i32 = 3;
    const PERMISSION_DENIED: i32 = 7;
    const UNAUTHENTICATED: i32 = 16;
    let filled = ledger();
    let server = served(&filled);
    let ([all, _], [reader, _], [auditor, _]) =
        (bearers(Owner::All), bearers(Owner::Reader), bearers(Owner::Auditor));
    for method in methods() {
        let name = method.name().to_owned();
        let of_question = |(question, of): &(&'static str, &str)| {
            (*of == name || name.strip_prefix("Scan") == Some(of)).then_some(*question)
        };
        let question = Query::METHODS.iter().find_map(of_question).unwrap_or(SUBMIT.name);
        let other = if scope_of(question) == AccessScope::Read { &auditor } else { &reader };
        let wrong_field = framed(&[0xfa, 0x3f, 1, 0]);
        for (body, more) in [
            (framed(b"\xff\xff"), None),
            (wrong_field, None),
            (b"\x01".to_vec(), None),
            (framed(b""), Some(("grpc-timeout", "never"))),
        ] {
            let call = |token: Option<&str>| {
                let headers: Vec<_> =
                    token.map(|token| ("authorization", token)).into_iter().chain(more).collect();
                server.call_with(&format!("/{SERVICE}/{name}"), body.clone(), &headers).status
            };
            assert_eq!(call(None), UNAUTHENTICATED, "{name}");
            assert_eq!(call(Some(other)), PERMISSION_DENIED, "{name}");
            assert_eq!(call(Some(&all)), INVALID_ARGUMENT, "{name}");
        }
    }
}

/// Regression: whoever operates one app made backups of all, and removed those before.
#[test]
fn a_backup_takes_a_grant_of_all_apps() {
    let filled = ledger();
    let server = Server::guarded(&filled.ledger, access());
    for bearer in bearers(Owner::OneApp) {
        let answer = server.asked(BACKUP.route, JSON, &[&bearer]);
        assert_eq!((answer.status, &*answer.code), (404, "not-found"), "{}", answer.body);
    }
}
