//! Signed checkpoints over HTTP, and the reason where a shard has none.

use ledger_api::http::Options;
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::proof::tree::empty_root;
use ledger_store::{Halted, Phase, SignedCheckpoint};
use serde_json::json;

use crate::filled::Filled;
use crate::http::Server;

#[test]
fn last_notes_and_unsigned_reasons_are_served() {
    let filled = Filled::with(2);
    let server = Server::of(&filled.ledger, Options::default());
    assert_eq!(server.get("/v1/checkpoints").json()["checkpoints"], json!([]));

    let origin = "realm.lifecycle/1";
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root() };
    let note = checkpoint.sign(&[&SignerKey::from_seed(origin, [1; 32]).unwrap()]);
    filled.statuses[1].set_checkpoint(SignedCheckpoint { checkpoint, note: note.clone() });
    for status in &filled.statuses {
        status.update(|now| (now.phase, now.lag_events) = (Phase::Live, Some(0)));
    }
    let halted = Halted { code: "log-behind-checkpoint", message: "shorter".to_owned() };
    filled.statuses[0].update(|now| now.unsigned = Some(halted));

    let answer = server.get("/v1/checkpoints").json();
    let root = empty_root().to_text();
    let expected = json!({"topic": "realm.lifecycle", "partition": 1, "origin": origin, "size": 0, "rootHash": root, "note": note});
    assert_eq!(answer["checkpoints"], json!([expected]));
    assert_eq!(answer["freshness"][0]["unsigned"]["code"], "log-behind-checkpoint");
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200, "it is served all the same: {}", ready.body);
    assert_eq!(ready.json()["shards"][0]["unsigned"]["message"], "shorter");
    assert!(ready.json()["shards"][1].get("unsigned").is_none());
    assert_eq!(server.get("/v1/checkpoints?limit=1").status, 400);
}
