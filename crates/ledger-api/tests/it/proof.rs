//! Bundles over HTTP verify with the public key alone.

use ledger_api::http::Options;
use ledger_record::proof::note::SignerKey;
use ledger_record::proof::verify::{VerifiedBundle, verify};

use ledger_core::event::{InstallationFact, Installed};

use crate::filled::{Filled, about, installed, uninstalled};
use crate::http::{Answer, Server};

pub(crate) fn key(partition: usize) -> SignerKey {
    SignerKey::from_seed(&format!("realm.lifecycle/{partition}"), [1; 32]).unwrap()
}

#[track_caller]
fn proven(answer: &Answer, partition: usize) -> VerifiedBundle {
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (200, "application/x-ndjson"),
        "{}",
        answer.body
    );
    verify(&answer.body, &[key(partition).verifier()], None).unwrap()
}

#[test]
fn history_and_absence_bundles_verify() {
    let mut filled = Filled::with(2);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.take(1, 2, installed("größe", "app", "US", "US"));
    filled.take(1, 3, uninstalled("größe", "app"));
    let server = Server::of(&filled.ledger, Options::default());
    let unsigned = server.get("/v1/tenants/acme/proof");
    assert_eq!((unsigned.status, unsigned.json()["code"].as_str()), (503, Some("not-signed")));
    filled.sign(0, &key(0));
    filled.sign(1, &key(1));
    let found = proven(&server.get("/v1/tenants/acme/proof"), 0);
    assert_eq!((found.client.as_str(), found.records.len()), ("acme", 1));
    assert!(found.decisions_follow());
    let found = proven(&server.get("/v1/tenants/gr%C3%B6%C3%9Fe/proof?appKey=other"), 1);
    assert_eq!(found.records.len(), 2);
    assert!(!found.decisions_follow(), "another app's payloads are not shown");
    // An absence is proven for the partition that the request names; the server computes none.
    let nowhere = server.get("/v1/tenants/nobody/proof");
    assert_eq!((nowhere.status, nowhere.json()["parameter"].as_str()), (400, Some("partition")));
    let found = proven(&server.get("/v1/tenants/nobody/proof?partition=1"), 1);
    assert_eq!(found.records, []);
    assert_eq!(server.get("/v1/tenants/nobody/proof?partition=7").status, 400);
    // A log that has nothing of a tenant proves nothing where another one has its history.
    for path in ["/v1/tenants/acme/proof?partition=1", "/v1/tenants/acme/proof?topic=realm.lifecycle"] {
        let refused = server.get(path);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (400, Some("invalid-parameter")),
            "{path}"
        );
    }
    let of_topic = |topic| server.get(&format!("/v1/tenants/nobody/proof?partition=1&topic={topic}")).status;
    assert_eq!((of_topic("realm.lifecycle"), of_topic("realm.other")), (200, 400));
    let newer = server.get("/v1/tenants/acme/proof?pinned=900");
    assert_eq!((newer.status, newer.json()["parameter"].as_str()), (400, Some("pinned")));
    assert!(
        server.get("/v1/tenants/acme/proof?pinned=2").body.contains(r#"{"type":"consistency","from":2,"#)
    );
    assert_eq!(server.get("/v1/tenants/acme/proof?from=1").status, 400);
}

#[test]
fn unsigned_seal_is_reported_after_a_wait() {
    let mut filled = Filled::with(1);
    filled.take(0, 1, installed("acme", "app", "EU", "EU"));
    filled.sign(0, &key(0));
    filled.take(0, 2, uninstalled("acme", "app"));
    let server = Server::of(&filled.ledger, Options::default());
    let found = proven(&server.get("/v1/tenants/acme/proof"), 0);
    assert_eq!(found.records.len(), 1, "what is not sealed is not in it");
    filled.seal(0);
    let behind = server.get("/v1/tenants/acme/proof");
    assert_eq!((behind.status, behind.json()["code"].as_str()), (503, Some("not-signed")));
}

#[test]
fn oversized_bundle_is_refused_with_a_remedy() {
    let mut filled = Filled::with(1);
    let long = |hour| {
        let fact = Installed { site_url: Some("x".repeat(100_000)), ..Installed::default() };
        (hour, hour, about("big", "app", InstallationFact::Installed(Box::new(fact))))
    };
    filled.take_all(0, (1..=150).map(long));
    filled.sign(0, &key(0));
    let server = Server::of(&filled.ledger, Options::default());
    let found = proven(&server.get("/v1/tenants/big/proof"), 0);
    assert_eq!(found.records.len(), 150, "15 MB");
    filled.take_all(0, (151..=180).map(long));
    filled.take(0, 181, installed("small", "app", "EU", "EU"));
    filled.sign(0, &key(0));
    let refused = server.get("/v1/tenants/big/proof");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (422, Some("bundle-too-long")));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("big has 180 records") && detail.contains("--data-dir"), "{detail}");
    // The payloads of other apps are left out.
    assert_eq!(proven(&server.get("/v1/tenants/big/proof?appKey=other"), 0).records.len(), 180);
    assert_eq!(proven(&server.get("/v1/tenants/small/proof"), 0).records.len(), 1);
}
