//! Bundles that a partner fetches from a running server and verifies alone, while Kafka feeds the ledger.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ledger_record::proof::note::{Checkpoint, SignerKey, VerifierKey};
use ledger_tests::kafka::{self, Cluster, Message};
use ledger_tests::server::{self, Server, Setup, stderr};
use ledger_tests::{python, scratch, wait};
use serde_json::Value;

use crate::checkpoints::keep_key;

/// A server with one partition, sealed by its own ticks and signed.
struct Audited<'c> {
    cluster: &'c Cluster,
    topic: String,
    server: Server,
    key: VerifierKey,
    scratch: tempfile::TempDir,
}

/// A server with a topic of one partition, which signs with a key of this seed; its data and keys are in the directory.
pub(crate) fn signing_setup(
    cluster: &Cluster,
    name: &str,
    seed: [u8; 32],
    dir: &Path,
) -> (Setup, VerifierKey) {
    let (topic, checkpoints_topic) = (kafka::unique_name(name), kafka::unique_name("checkpoints"));
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    cluster.create_topic(&checkpoints_topic, 1, &[("cleanup.policy", "compact")]);
    let signer = SignerKey::from_seed("test", seed).unwrap();
    keep_key(&dir.join("data.keys"), &signer);
    let key = signer.renamed(&format!("{topic}/0")).unwrap().verifier();
    let setup = Setup::new(cluster, topic, dir.join("data"));
    (Setup { instance: "one".to_owned(), checkpoints_topic, ..setup }, key)
}

impl Audited<'_> {
    fn start(cluster: &Cluster) -> Audited<'_> {
        let scratch = scratch::directory();
        let (setup, key) = signing_setup(cluster, "proofs", [3; 32], scratch.path());
        let server = Server::start(&setup, &scratch.path().join("log"));
        Audited { cluster, topic: setup.topic, server, key, scratch }
    }

    fn send(&self, client: &str, ids: std::ops::Range<usize>) {
        let event = |id: usize| {
            let value = format!(
                r#"{{"id":"e-{id}","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"{client}","appKey":"app","endpointRealm":"EU"}}"#
            );
            Message::new(client, value)
        };
        self.cluster.produce(&self.topic, &ids.map(event).collect::<Vec<_>>());
    }

    /// Waits for a note with more leaves; returns its checkpoint.
    fn checkpoint_beyond(&self, size: u64) -> Checkpoint {
        self.note_beyond(size).1
    }

    fn note_beyond(&self, size: u64) -> (String, Checkpoint) {
        wait::for_value(|| {
            let (_, reported) = self.server.get("/v1/checkpoints");
            if let Some(note) = reported["checkpoints"][0]["note"].as_str() {
                let checkpoint = Checkpoint::open(note, std::slice::from_ref(&self.key)).unwrap();
                if checkpoint.size > size {
                    return Ok((note.to_owned(), checkpoint));
                }
            }
            Err(format!("nothing is signed beyond {size}: {reported}"))
        })
    }

    /// Sends three events of acme, keeps the note that covers them in a file, and sends two more.
    fn pin_between(&self) -> (PathBuf, Checkpoint) {
        self.send("acme", 0..3);
        let (note, kept) = self.note_beyond(3);
        let pinned = self.scratch.path().join("pinned");
        std::fs::write(&pinned, note).unwrap();
        self.send("acme", 3..5);
        (pinned, kept)
    }

    /// Runs the program beside the server, with the ledger's secret.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = server::command();
        command.current_dir(self.scratch.path()).env("REALM_LEDGER_SECRET", ledger_tests::SECRET);
        command.args(arguments).output().unwrap()
    }

    /// The bundles of the server and of the data directory for one checkpoint.
    fn both_bundles(&self, client: &str, pinned: u64) -> [String; 2] {
        let pinned = pinned.to_string();
        wait::for_value(|| {
            let bundles = [["--url", &self.server.url], ["--data-dir", "data"]].map(|[flag, place]| {
                let output =
                    self.run(&["prove", client, "--pinned", &pinned, "--partition", "0", flag, place]);
                assert!(output.status.success(), "{flag}: {}", stderr(&output));
                assert!(stderr(&output).contains(&format!(" records of {client} in {}", self.topic)));
                String::from_utf8(output.stdout).unwrap()
            });
            // Another seal may be signed between the two.
            if bundles[0].lines().nth(1) == bundles[1].lines().nth(1) {
                return Ok(bundles);
            }
            Err(format!("never the same checkpoint: {bundles:?}"))
        })
    }

    /// Fetches a bundle into a file.
    fn bundle(&self, asked: &str) -> Bundle<'_> {
        let (status, reported) = self.server.get(&format!("/v1/tenants/{asked}"));
        assert_eq!(status, 200, "{reported}");
        // A bundle has several lines and is no JSON; a problem is.
        let text = reported.as_str().unwrap();
        let path = self.scratch.path().join("bundle");
        std::fs::write(&path, text).unwrap();
        Bundle { path, key: &self.key }
    }
}

struct Bundle<'a> {
    path: std::path::PathBuf,
    key: &'a VerifierKey,
}

impl Bundle<'_> {
    /// Checks the bundle with both verifiers, the key and perhaps an earlier note; returns the report.
    fn judged(&self, pinned: Option<&Path>) -> Value {
        let mut ours = server::command();
        ours.args(["verify", "--format", "json", "--bundle"]).arg(&self.path);
        let mut theirs = python::script("realm_ledger_verify.py");
        theirs.arg(&self.path);
        for command in [&mut ours, &mut theirs] {
            command.args(["--key", &self.key.to_string()]);
            if let Some(note) = pinned {
                command.arg("--pinned").arg(note);
            }
        }
        let output = theirs.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = ours.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn server_bundle_extends_a_kept_checkpoint() {
    let ledger = Audited::start(kafka::shared());
    let (pinned, kept) = ledger.pin_between();
    ledger.send("other", 0..1);
    ledger.checkpoint_beyond(kept.size + 3);

    let proven = ledger.bundle(&format!("acme/proof?pinned={}", kept.size)).judged(Some(&pinned));
    assert_eq!((&proven["records"], &proven["goesOnFromPinned"]), (&5.into(), &true.into()), "{proven}");
    assert_eq!((&proven["clientKey"], &proven["decisionsFollow"]), (&"acme".into(), &true.into()));
    let absent = ledger.bundle(&format!("nobody/proof?partition=0&pinned={}", kept.size));
    let proven = absent.judged(Some(&pinned));
    assert_eq!((&proven["clientKey"], &proven["records"]), (&"nobody".into(), &0.into()), "{proven}");
    ledger.server.drain();
}

#[test]
fn bundles_are_served_under_load() {
    let ledger = Audited::start(kafka::shared());
    ledger.send("acme", 0..3);
    ledger.checkpoint_beyond(3);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // A seal follows 4096 leaves: many seals between two notes.
            let mut sent = 0;
            while !stop.load(Ordering::Acquire) {
                ledger.send("busy", sent..sent + 5_000);
                sent += 5_000;
            }
        });
        let mut sizes = Vec::new();
        let deadline = Instant::now() + Duration::from_mins(1);
        let is_under_load = |sizes: &[u64]| sizes.last() > sizes.first().map(|first| first + 4_096).as_ref();
        // A busy machine may prove faster than it ingests.
        while sizes.len() < 12 || (!is_under_load(&sizes) && Instant::now() < deadline) {
            let proven = ledger.bundle("acme/proof").judged(None);
            assert_eq!(proven["records"], 3, "{proven}");
            sizes.push(proven["size"].as_u64().unwrap());
        }
        stop.store(true, Ordering::Release);
        assert!(sizes.is_sorted() && is_under_load(&sizes), "not under load: {sizes:?}");
    });
    ledger.server.drain();
}

#[test]
fn prove_gives_the_same_bytes_locally_and_remotely() {
    let ledger = Audited::start(kafka::shared());
    let (pinned, kept) = ledger.pin_between();
    ledger.checkpoint_beyond(kept.size + 2);
    for (client, records) in [("acme", 5), ("nobody", 0)] {
        let [served, local] = ledger.both_bundles(client, kept.size);
        assert_eq!(served, local);
        let path = ledger.scratch.path().join("bundle");
        std::fs::write(&path, served).unwrap();
        let proven = Bundle { path, key: &ledger.key }.judged(Some(&pinned));
        assert_eq!((&proven["clientKey"], &proven["records"]), (&client.into(), &records.into()), "{proven}");
    }
    ledger.server.drain();
}

#[test]
fn prove_reports_why_a_server_gives_no_bundle() {
    let cluster = kafka::shared();
    let topic = kafka::unique_name("unsigned");
    cluster.create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    let scratch = scratch::directory();
    let setup = Setup::new(cluster, topic, scratch.path().join("data"));
    let server = Server::start(&setup, &scratch.path().join("log"));
    server.wait_until_ready(1);
    let bundle = scratch.path().join("bundle");
    let prove = |url: &str, more: &[&str]| {
        let mut command = server::command();
        command.args(["prove", "nobody", "--url", url, "-o"]).arg(&bundle).args(more);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &[][..]), "{}", stderr(&output));
        assert!(!bundle.exists(), "there is nothing to be handed on");
        stderr(&output)
    };
    // Without a checkpoints topic nothing is signed.
    let unsigned = prove(&server.url, &[]);
    assert!(unsigned.starts_with("error: ") && unsigned.contains("hint: a running `serve`"), "{unsigned}");
    let elsewhere = prove(&server.url, &["--partition", "7"]);
    assert!(elsewhere.starts_with("error: there is no partition 7 here"), "{elsewhere}");
    // Port 1 has no listener.
    let nobody = prove("http://127.0.0.1:1", &[]);
    assert!(nobody.starts_with("error: http://127.0.0.1:1 cannot be asked"), "{nobody}");
    assert!(nobody.contains("hint: is the server running"), "{nobody}");
    server.drain();
}
