//! `prove`, `export` and `verify` on a ledger: their results verify with the public key alone.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger_ingest::sign::{KeptNote, SigningKeys};
use ledger_record::proof::line::LedgerSecret;
use ledger_record::proof::note::Checkpoint;
use ledger_record::proof::tree::empty_root;
use ledger_store::{DataDir, ShardId, StoreOptions};
use realm_ledger::Exit;
use serde_json::Value;

use crate::world::{Run, RunResult, World, execute, history};

const ORIGIN: &str = "realm.lifecycle/0";

/// A ledger whose last seal is signed, and the key to verify it.
struct Signed {
    world: World,
    key: String,
}

impl Signed {
    fn new() -> Self {
        let world = World::with(&history());
        let key = sign(&world, |checkpoint| checkpoint);
        Self { world, key }
    }

    /// Imports one more record of acme, which seals and signs the log.
    fn grow(&self) {
        let file = self.world.path().join("history.ndjson");
        let event = r#"{"id":"x","type":"product-moved","time":"2026-03-03T00:00:00Z","clientKey":"acme.atlassian.net","productRealm":"EU"}"#;
        let text = std::fs::read_to_string(&file).unwrap() + event + "\n";
        std::fs::write(&file, text).unwrap();
        self.world.ask(&format!("import {}", file.display())).done();
    }

    fn prove(&self, what: &str) -> PathBuf {
        let bundle = self.world.path().join("bundle");
        self.world.ask(&format!("prove {what} -o {}", bundle.display())).done();
        bundle
    }

    fn judged(&self, bundle: &std::path::Path, more: &str) -> RunResult {
        execute(&format!("verify --bundle {} --key {} {more}", bundle.display(), self.key))
    }
}

/// Signs the last seal as the ledger itself does, and keeps the note at its place.
fn sign(world: &World, change: impl FnOnce(Checkpoint) -> Checkpoint) -> String {
    let keys_dir = world.path().join("ledger.keys");
    let keys = SigningKeys::new(&keys_dir);
    if keys.read().unwrap().is_empty() {
        keys.generate().unwrap();
    }
    let signer = keys.read().unwrap()[0].renamed(ORIGIN).unwrap();
    let data = DataDir::open_existing_read_only(&world.data_dir(), StoreOptions::default()).unwrap();
    let reader = data.read_shard(&ShardId { topic: "realm.lifecycle".to_owned(), partition: 0 }).unwrap();
    let snapshot = reader.snapshot();
    let size = snapshot.last_seal().unwrap().unwrap().position + 1;
    let root = snapshot.tree_root(size).unwrap();
    let checkpoint = change(Checkpoint { origin: ORIGIN.to_owned(), size, root });
    KeptNote::new(&keys_dir, ORIGIN).replace(&checkpoint.sign(&[&signer])).unwrap();
    signer.verifier().to_string()
}

fn proven(result: RunResult) -> Value {
    serde_json::from_str(result.done().trim()).unwrap()
}

#[test]
fn proved_bundle_is_valid_and_reproducible() {
    let ledger = Signed::new();
    let bundle = ledger.prove("acme.atlassian.net");
    let text = std::fs::read_to_string(&bundle).unwrap();
    assert_eq!(ledger.world.ask("prove acme.atlassian.net").done(), text);
    let found = proven(ledger.judged(&bundle, "--client acme.atlassian.net"));
    assert_eq!((&found["records"], &found["decisionsFollow"]), (&4.into(), &true.into()));
    let state = ledger.world.ask("state acme.atlassian.net").done();
    let state: Value = serde_json::from_str(state.trim()).unwrap();
    assert_eq!(found["installations"][0]["pinnedRealm"], state["pinnedRealm"], "{found}");
    let other_key = execute(&format!("verify --bundle {}", bundle.display()));
    assert_eq!(other_key.exit, Exit::Failed, "{}", other_key.messages);
}

#[test]
fn absence_one_app_and_pinned_checkpoint_are_proven() {
    let ledger = Signed::new();
    let absent = ledger.prove("nobody.atlassian.net");
    assert_eq!(proven(ledger.judged(&absent, ""))["records"], 0);
    let other_app = ledger.prove("acme.atlassian.net --app other");
    let found = proven(ledger.judged(&other_app, ""));
    assert_eq!((&found["records"], &found["decisionsFollow"]), (&4.into(), &false.into()));
    assert!(!std::fs::read_to_string(&other_app).unwrap().contains("regionBaseUrls"));
    let note =
        std::fs::read_to_string(ledger.world.path().join("ledger.keys/checkpoints/realm.lifecycle%2F0.note"));
    let pinned = ledger.world.file("pinned", &note.unwrap());
    ledger.grow();
    let size = std::fs::read_to_string(&pinned).unwrap().lines().nth(1).unwrap().to_owned();
    let grown = ledger.prove(&format!("acme.atlassian.net --pinned {size}"));
    let found = proven(ledger.judged(&grown, &format!("--pinned {}", pinned.display())));
    assert_eq!((&found["records"], &found["goesOnFromPinned"]), (&5.into(), &true.into()));
}

#[test]
fn bundle_file_is_replaced_whole_or_not_at_all() {
    let ledger = Signed::new();
    let directory = ledger.world.path().join("bundles");
    std::fs::create_dir(&directory).unwrap();
    let (file, link) = (directory.join("bundle"), directory.join("link"));
    std::fs::write(&file, "what was there").unwrap();
    std::os::unix::fs::symlink("bundle", &link).unwrap();
    let prove =
        |more: &str| ledger.world.ask(&format!("prove acme.atlassian.net -o {} {more}", link.display()));
    assert_eq!(prove("--pinned 999").exit, Exit::Failed);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "what was there");
    prove("").done();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), ledger.world.ask("prove acme.atlassian.net").done());
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "nothing else is left there");
    let nowhere = ledger.world.ask("prove acme.atlassian.net -o /nowhere/bundle");
    assert_eq!(nowhere.exit, Exit::Failed);
    assert!(nowhere.messages.starts_with("error: /nowhere/bundle cannot be written"), "{}", nowhere.messages);
}

/// Serves this answer to one request.
fn answering(answer: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        client.write_all(answer.as_bytes()).unwrap();
    });
    (url, served)
}

#[test]
fn incomplete_or_malformed_server_answer_is_no_bundle() {
    let world = World::new();
    let bundle = world.file("bundle", "what was there");
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 600\r\nconnection: close\r\n\r\nhello\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n",
    ] {
        let (url, served) = answering(answer);
        let reported = execute(&format!("prove acme --url {url} -o {}", bundle.display()));
        served.join().unwrap();
        assert_eq!((reported.exit, reported.output.as_str()), (Exit::Failed, ""), "{answer}");
        assert!(reported.messages.starts_with("error: "), "{}", reported.messages);
        assert_eq!(std::fs::read_to_string(&bundle).unwrap(), "what was there", "{answer}");
    }
}

/// A ledger whose last seal is not signed, the path of the kept note, and the last note.
fn behind() -> (Signed, PathBuf, String) {
    let ledger = Signed::new();
    let kept = ledger.world.path().join("ledger.keys/checkpoints/realm.lifecycle%2F0.note");
    let earlier = std::fs::read_to_string(&kept).unwrap();
    ledger.grow();
    let last = std::fs::read_to_string(&kept).unwrap();
    assert_ne!(earlier, last);
    std::fs::write(&kept, earlier).unwrap();
    (ledger, kept, last)
}

#[test]
fn missing_signature_is_reported_with_a_remedy() {
    let (ledger, ..) = behind();
    let result = ledger.world.ask("prove acme.atlassian.net");
    assert_eq!((result.exit, result.output.as_str()), (Exit::Failed, ""));
    let reported = "and is not signed, the last signed checkpoint has ";
    assert!(
        result.messages.contains(reported) && result.messages.contains("\nhint: a running `serve`"),
        "{}",
        result.messages
    );
    // A pinned older checkpoint does not replace the missing signature.
    let result = ledger.world.ask("prove acme.atlassian.net --pinned 3");
    assert!(result.messages.contains(reported), "{}", result.messages);
}

#[test]
fn prove_waits_for_the_signature() {
    let (ledger, kept, last) = behind();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The command has looked once by then, or the note is already there.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let part = kept.with_extension("part");
            std::fs::write(&part, last).unwrap();
            std::fs::rename(part, &kept).unwrap();
        });
        ledger.world.ask("prove acme.atlassian.net")
    });
    assert!(result.messages.contains("5 records of acme.atlassian.net"), "{}", result.messages);
    result.done();
}

#[test]
fn log_behind_its_checkpoint_and_future_pin_are_reported() {
    let ledger = Signed::new();
    let size = std::cell::Cell::new(0);
    sign(&ledger.world, |checkpoint| {
        size.set(checkpoint.size);
        Checkpoint { size: checkpoint.size + 7, ..checkpoint }
    });
    let result = ledger.world.ask("prove acme.atlassian.net");
    assert_eq!(result.exit, Exit::Failed);
    let reported =
        format!("has {} sealed leaves, and a checkpoint of {} is signed", size.get(), size.get() + 7);
    assert!(
        result.messages.contains(&reported) && result.messages.contains("\nhint: let `serve`"),
        "{}",
        result.messages
    );
    sign(&ledger.world, |checkpoint| checkpoint);
    let newer = ledger.world.ask(&format!("prove acme.atlassian.net --pinned {}", size.get() + 1));
    assert_eq!(newer.exit, Exit::Failed);
    assert!(newer.messages.contains("the last signed one of this log only"), "{}", newer.messages);
    for pinned in [0, size.get()] {
        ledger.world.ask(&format!("prove acme.atlassian.net --pinned {pinned}")).done();
    }
}

#[test]
fn exported_log_is_valid() {
    let ledger = Signed::new();
    let directory = ledger.world.path().join("mirror");
    ledger.world.ask(&format!("export --tlog {}", directory.display())).done();
    let log = directory.join("realm.lifecycle/0");
    let found = proven(execute(&format!("verify --tlog {} --key {}", log.display(), ledger.key)));
    // Four tenants and an app.
    assert_eq!((&found["streams"], &found["refused"]), (&5.into(), &0.into()), "{found}");
    let lines = log.join(format!("tile/entries/000.p/{}", found["size"]));
    let text = std::fs::read(&lines).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("acme"), "nothing of the payload is in it");
}

#[test]
fn exported_records_equal_those_of_log() {
    let mut lines = history();
    lines.push("no json".to_owned());
    let world = World::with(&lines);
    let records = world.ask("export --ndjson").done();
    assert_eq!(records.lines().count(), 11);
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&record["topic"], &record["partition"]), (&"realm.lifecycle".into(), &0.into()));
    }
    assert!(records.contains(r#""reason":"undecodable""#), "{records}");
    let log = world.ask("log acme.atlassian.net").done();
    let first = log.lines().next().unwrap().trim_start_matches('{');
    assert!(records.contains(first), "{first}");
}

#[test]
fn directory_differing_from_its_checkpoint_is_invalid() {
    let ledger = Signed::new();
    let found = proven(ledger.world.ask("verify"));
    assert_eq!((&found["verdict"], &found["tenants"]), (&"valid".into(), &4.into()));
    assert_eq!(found["size"], found["signedSize"], "{found}");
    sign(&ledger.world, |mut checkpoint| {
        checkpoint.root.0[0] ^= 1;
        checkpoint
    });
    let differs = ledger.world.ask("verify");
    assert_eq!(differs.exit, Exit::Difference);
    assert!(
        differs.messages.contains("caused by: the log is not the one whose checkpoint was signed at size "),
        "{}",
        differs.messages
    );
    for command in ["prove acme.atlassian.net", "export --tlog x"] {
        let result = ledger.world.ask(command);
        assert_eq!(result.exit, Exit::Difference, "{command}");
        assert!(
            result.messages.contains("is not the one whose checkpoint was signed"),
            "{}",
            result.messages
        );
    }
}

/// A ledger of two partitions, of which one is empty.
fn of_two_partitions() -> (World, String) {
    let world = World::new();
    let file = world.file("history.ndjson", &(history().join("\n") + "\n"));
    world.ask(&format!("import {} --partitions 2 --partitioner murmur2", file.display())).done();
    let lines = world.ask("keys show").done();
    let keys = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let keys: Vec<String> =
        keys.map(|key| format!(" --key {}", key["verifierKey"].as_str().unwrap())).collect();
    (world, keys.concat())
}

#[test]
fn verify_reports_a_deleted_shard() {
    let (world, keys) = of_two_partitions();
    proven_all(&world.ask("verify").done());
    let note = world.ask("checkpoint realm.lifecycle/1").done();
    let pinned = world.file("pinned", &note);
    std::fs::remove_dir_all(world.data_dir().join("shards/realm.lifecycle/1")).unwrap();
    let gone = world.ask("verify");
    assert_eq!(gone.exit, Exit::Difference, "{}", gone.messages);
    assert!(gone.messages.contains("the shard realm.lifecycle/1 is gone"), "{}", gone.messages);
    // The notes beside the keys may be lost as well; the manifest still knows the shard until the operator moves it
    // away, and so does a pinned note.
    std::fs::remove_dir_all(world.path().join("ledger.keys/checkpoints")).unwrap();
    let gone = world.ask("verify");
    assert_eq!(gone.exit, Exit::Difference, "{}", gone.messages);
    assert!(gone.messages.contains("which is gone"), "{}", gone.messages);
    std::fs::create_dir(world.data_dir().join("shards/realm.lifecycle/1.away")).unwrap();
    world.ask("verify").done();
    let gone = world.ask(&format!("verify{keys} --pinned {}", pinned.display()));
    assert_eq!(gone.exit, Exit::Difference, "{}", gone.messages);
}

fn proven_all(output: &str) {
    let reports: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!reports.is_empty() && reports.iter().all(|report| report["verdict"] == "valid"), "{output}");
}

#[test]
fn export_omits_an_unsealed_partition() {
    let (world, _) = of_two_partitions();
    std::fs::remove_file(world.path().join("ledger.keys/checkpoints/realm.lifecycle%2F1.note")).unwrap();
    let target = world.path().join("mirror");
    let unsigned = world.ask(&format!("export --tlog {}", target.display()));
    assert_eq!(unsigned.exit, Exit::Failed, "what is sealed is to be signed");
    assert!(unsigned.messages.contains("no checkpoint of realm.lifecycle/1"), "{}", unsigned.messages);
    let shard = world.data_dir().join("shards/realm.lifecycle/1");
    std::fs::rename(&shard, shard.with_extension("away")).unwrap();
    let secret = std::fs::read_to_string(world.path().join("ledger.keys/secret")).unwrap();
    let secret = STANDARD.decode(secret.trim()).unwrap().try_into().unwrap();
    let secret = LedgerSecret::from_bytes(secret);
    let data = DataDir::open(&world.data_dir(), StoreOptions::default(), secret).unwrap();
    // As an assignment does.
    drop(data.open_shard(&ShardId { topic: "realm.lifecycle".to_owned(), partition: 1 }).unwrap());
    let exported = world.ask(&format!("export --tlog {}", target.display()));
    assert!(exported.messages.contains("realm.lifecycle/1 is left out"), "{}", exported.messages);
    exported.done();
    assert!(target.join("realm.lifecycle/0/checkpoint").exists());
}

#[test]
fn pinned_checkpoint_needs_its_logs_key_and_counts_as_signed() {
    let ledger = Signed::new();
    let keys = SigningKeys::new(&ledger.world.path().join("ledger.keys"));
    let kept = ledger.world.path().join("ledger.keys/checkpoints/realm.lifecycle%2F0.note");
    let pinned = ledger.world.file("pinned", &std::fs::read_to_string(&kept).unwrap());
    let verify = |note: &std::path::Path, key: &str| {
        ledger.world.ask(&format!("verify --pinned {} --key {key}", note.display()))
    };
    std::fs::remove_file(&kept).unwrap();
    let result = verify(&pinned, &ledger.key);
    assert!(!result.messages.contains("could be compared"), "{}", result.messages);
    let found = proven(result);
    assert_eq!((&found["goesOnFromPinned"], &found["signedSize"]), (&true.into(), &Value::Null), "{found}");
    // A key trusted for another log proves nothing about this one, although it signed the note.
    let other = keys.read().unwrap()[0].renamed("elsewhere/0").unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 3, root: empty_root() };
    let foreign = ledger.world.file("foreign", &checkpoint.sign(&[&other]));
    let result = verify(&foreign, &other.verifier().to_string());
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
}

#[test]
fn key_that_never_signed_is_undecided() {
    let ledger = Signed::new();
    let by = |key: &str| ledger.world.ask(&format!("verify --key {key}"));
    by(&ledger.key).done();
    let foreign = SigningKeys::new(&ledger.world.path().join("foreign"));
    foreign.generate().unwrap();
    let foreign = foreign.read().unwrap();
    let of = |origin: &str| foreign[0].renamed(origin).unwrap().verifier().to_string();
    let result = by(&of(ORIGIN));
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    assert!(result.messages.contains("cannot be judged by --key"), "{}", result.messages);
    assert!(result.output.contains(r#""verdict":"undecided""#), "{}", result.output);
    let result = by(&of("realm.lifecycle/7"));
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    assert!(
        result.messages.contains("no log of this directory is named realm.lifecycle/7"),
        "{}",
        result.messages
    );
    // One of several trusted keys is enough.
    by(&format!("{} --key {}", of(ORIGIN), ledger.key)).done();
    std::fs::remove_dir_all(ledger.world.path().join("ledger.keys/checkpoints")).unwrap();
    let result = by(&ledger.key);
    assert_eq!(result.exit, Exit::Failed, "{}", result.messages);
    assert!(result.messages.contains("nothing signed of it is kept"), "{}", result.messages);
}

#[test]
fn another_secret_is_no_difference() {
    let ledger = Signed::new();
    let line = format!("verify --data-dir {}", ledger.world.data_dir().display());
    let mut run = Run::new(&line);
    run.environment.insert("REALM_LEDGER_SECRET".to_owned(), format!("{}=", "A".repeat(43)));
    let result = run.execute();
    assert_ne!(result.exit, Exit::Done);
    assert_ne!(result.exit, Exit::Difference, "{}", result.messages);
}
