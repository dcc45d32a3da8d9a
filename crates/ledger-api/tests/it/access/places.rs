//! One principal has half of each kind of place: the others have theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger_api::http::Options;
use ledger_api::limits::SubscriptionBounds;

use super::{JSON, Owner, TENANT, access, ledger, token};
use crate::decisions::doors::Stream;
use crate::http::Server;

fn bearer(owner: Owner) -> String {
    format!("Bearer {}", token(owner))
}

#[test]
fn subscriptions_of_one_principal_leave_half_of_the_places_to_others() {
    let filled = ledger();
    let bounds = SubscriptionBounds { most: 4, ..SubscriptionBounds::default() };
    let server = Server::with(&filled.ledger, Options::default(), |api| {
        api.with_access(Arc::new(access())).with_subscription_bounds(bounds)
    });
    let open = |owner| {
        let headers = format!("accept: application/x-ndjson\r\nauthorization: {}\r\n", bearer(owner));
        Stream::open(&server, "/v1/decisions?from=now", &headers)
    };
    let held: Vec<_> =
        (0..2).map(|_| open(Owner::All)).map(|mut stream| (stream.line_with("200 OK"), stream)).collect();
    let refused = server.asked("/v1/decisions?from=now", "application/x-ndjson", &[&bearer(Owner::All)]);
    assert_eq!((refused.status, &*refused.code), (429, "rate-limited"), "{}", refused.body);
    open(Owner::Reader).line_with("200 OK");
    drop(held);
    let until = Instant::now() + Duration::from_secs(20);
    while !open(Owner::All).line_with("HTTP/1.1").contains("200") {
        assert!(Instant::now() < until, "the places never came back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_one_principal_waits_for_keeps_no_other_from_its_answer() {
    let filled = ledger();
    let options = Options { concurrent_requests: 8, ..Options::default() };
    let server = Server::with(&filled.ledger, options, |api| api.with_access(Arc::new(access())));
    let waits = format!("/v1/tenants/{TENANT}?minPosition=1000000");
    let (is_over, until) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(20));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // One that comes while the questions below have its place is refused, and asks again.
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) && Instant::now() < until {
                    server.with_token(&waits, Owner::All);
                }
            });
        }
        loop {
            let refused = server.with_token(&waits.replace("1000000", "0"), Owner::All);
            if (refused.status, &*refused.code) == (429, "rate-limited") {
                break;
            }
            assert!(Instant::now() < until, "{} {}", refused.status, refused.body);
        }
        for path in [waits.replace("1000000", "0"), "/v1/installations".to_owned()] {
            let answer = server.asked(&path, JSON, &[&bearer(Owner::Reader)]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        // What is little is answered still.
        assert_eq!(server.with_token(&format!("/v1/tenants/{TENANT}"), Owner::All).status, 200);
        is_over.store(true, Ordering::Release);
    });
}
