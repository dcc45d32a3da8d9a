//! Who may drive a server without access control: programs of this machine, and the server's own page.
//!
//! A page of another site runs in a browser of this machine too. It reaches the server under its own name, which its name
//! server gives the address of this machine (DNS rebinding), or sends its requests across sites. The first shows in `Host`,
//! the second in `Origin`. An owner who wants neither looked at says so with `access.open`.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::is_loopback;
use crate::problem::ProblemKind;
use crate::query::Problem;

pub(super) async fn refuse_others(request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let texts = |name: HeaderName| {
        headers.get_all(name).into_iter().map(|value: &HeaderValue| value.to_str().unwrap_or_default())
    };
    let hosts: Vec<&str> =
        uri.authority().map(Authority::as_str).into_iter().chain(texts(header::HOST)).collect();
    if !hosts.iter().all(|host| is_loopback(host)) {
        let detail = "without access control this server answers to names of its own machine alone (localhost, 127.0.0.1, \
                      [::1]); name those who may ask under [access], or set access.open";
        return Err(Problem::new(ProblemKind::ForeignSite, detail));
    }
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|of| hosts.iter().any(|host| host.eq_ignore_ascii_case(of)))
    };
    if !texts(header::ORIGIN).all(is_own) {
        let detail =
            "a page of another site sent this; without access control this server answers its own page alone";
        return Err(Problem::new(ProblemKind::ForeignSite, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_answered(target: &str, sent: &[(HeaderName, &'static str)]) -> bool {
        let headers = sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        check(&target.parse().unwrap(), &headers.collect()).is_ok()
    }

    #[test]
    fn names_of_this_machine_and_its_own_page_are_answered() {
        let host = |value| (header::HOST, value);
        let origin = |value| (header::ORIGIN, value);
        assert!(is_answered("/", &[]));
        assert!(is_answered("/", &[host("localhost:8080")]));
        assert!(is_answered("/", &[host("127.0.0.1:8080"), origin("http://127.0.0.1:8080")]));
        assert!(is_answered("http://[::1]:8080/", &[]));
        for foreign in ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", ""] {
            assert!(!is_answered("/", &[host(foreign)]), "{foreign}");
            assert!(!is_answered("/", &[host("localhost"), host(foreign)]), "{foreign}");
        }
        assert!(!is_answered("http://evil.example/", &[]));
        for page in ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8080"] {
            assert!(!is_answered("/", &[host("localhost:8080"), origin(page)]), "{page}");
        }
    }
}
