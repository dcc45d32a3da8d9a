//! Consistent and signed lies of an operator: `verify --data-dir` exits with 3 and names the first difference. Lies
//! visible in a `--tlog` export are found there too. (Omitted offsets need a topic: see `tests/it`.)

use std::path::PathBuf;
use std::process::Command;

use ledger_core::ids::ClientKey;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_record::key::Family;
use ledger_record::proof::line::{LedgerSecret, stream_id};
use ledger_record::proof::note::{Checkpoint, SignerKey};
use ledger_record::record::{Content, Stream};
use ledger_record::rows::TenantRow;
use tempfile::TempDir;

use crate::forger::Forger;

const ORIGIN: &str = "realm.lifecycle/0";

/// The ledger secret, as bytes and as the environment gives it.
const SECRET: ([u8; 32], &str) = ([7; 32], "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");

/// Three tenants, duplicates, a refusal, and a minute or more between most events, so that each is sealed.
const HISTORY: &str = r#"{"id":"d1","type":"descriptor-published","time":"2024-03-01T00:00:00Z","appKey":"app","descriptor":{"baseUrl":"https://a.example","regionBaseUrls":{"EU":"https://eu.a.example"},"dataResidency":{"realmPersistence":true,"realmPersistenceDays":14}}}
{"id":"e1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app","endpointRealm":"EU"}
{"id":"e2","type":"uninstalled","time":"2024-03-02T00:00:00Z","clientKey":"acme","appKey":"app"}
{"id":"e1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app","endpointRealm":"EU"}
{"id":"e2","type":"uninstalled","time":"2024-03-02T00:00:00Z","clientKey":"acme","appKey":"app"}
{"id":"e1","type":"installed","time":"2024-03-01T00:00:00Z","clientKey":"acme","appKey":"app","endpointRealm":"EU"}
{"id":"no","type":"reinstalled"}
{"id":"e1","type":"installed","time":"2024-03-03T00:00:00Z","clientKey":"birch","appKey":"app","endpointRealm":"GLOBAL"}
{"id":"e3","type":"installed","time":"2024-03-04T00:00:00Z","clientKey":"acme","appKey":"app","endpointRealm":"EU"}
{"id":"e1","type":"installed","time":"2024-03-05T00:00:00Z","clientKey":"cedar","appKey":"app","endpointRealm":"EU"}
"#;

/// Output and exit code of a run.
struct RunResult {
    code: Option<i32>,
    messages: String,
}

impl RunResult {
    fn done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.messages);
    }
}

/// A ledger that the program imported from [`HISTORY`].
struct Ledger {
    directory: TempDir,
}

impl Ledger {
    fn new() -> Self {
        Self::in_shards("1")
    }

    fn in_shards(partitions: &str) -> Self {
        let ledger = Self { directory: tempfile::tempdir().unwrap() };
        let file = ledger.path("history");
        std::fs::write(&file, HISTORY).unwrap();
        ledger
            .run(&[
                "import",
                &file.display().to_string(),
                "--partitions",
                partitions,
                "--partitioner",
                "murmur2",
            ])
            .done();
        ledger.verify().done();
        ledger
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the program on this ledger. The binary is beside the test binaries.
    fn run(&self, arguments: &[&str]) -> RunResult {
        let program = std::env::current_exe().unwrap().parent().unwrap().join("../realm-ledger");
        assert!(program.exists(), "build the program first: cargo build --release -p realm-ledger");
        let mut command = Command::new(program);
        command.env_clear().env("REALM_LEDGER_SECRET", SECRET.1);
        command.env("REALM_LEDGER_DATA_DIR", self.path("data")).args(arguments);
        let output = command.output().unwrap();
        RunResult { code: output.status.code(), messages: String::from_utf8(output.stderr).unwrap() }
    }

    fn verify(&self) -> RunResult {
        self.run(&["verify", "--data-dir", &self.path("data").display().to_string()])
    }

    /// Exports the log and verifies it with the public key alone.
    fn verify_export(&self) -> RunResult {
        let (directory, key) = (self.path("tlog"), self.key().verifier().to_string());
        self.run(&["export", "--tlog", &directory.display().to_string()]).done();
        self.run(&["verify", "--tlog", &directory.join(ORIGIN).display().to_string(), "--key", &key])
    }

    fn key(&self) -> SignerKey {
        let text = std::fs::read_to_string(self.path("data.keys/signing-keys")).unwrap();
        SignerKey::parse(text.trim()).unwrap().renamed(ORIGIN).unwrap()
    }

    /// Applies a lie and signs the resulting log.
    fn forge(&self, lie: impl FnOnce(&Forger) -> Checkpoint) {
        let shard = self.path("data/shards").join(ORIGIN);
        let reported = lie(&Forger::open(&shard, ORIGIN, LedgerSecret::from_bytes(SECRET.0)));
        std::fs::write(self.note(), reported.sign(&[&self.key()])).unwrap();
    }

    /// The file in which the program keeps the last note.
    fn note(&self) -> PathBuf {
        let note = self.path("data.keys/checkpoints").join(format!("{}.note", ORIGIN.replace('/', "%2F")));
        assert!(note.exists(), "{}", note.display());
        note
    }
}

fn tenant(client: &str) -> Stream {
    Stream::Tenant(ClientKey::new(client).unwrap())
}

#[track_caller]
fn assert_named(said: &RunResult, fact: &str) {
    assert!(said.messages.contains(fact), "{:?}: {}", said.code, said.messages);
    assert_eq!(said.code, Some(3), "{}", said.messages);
}

const STALE_OR_MISSING: &str =
    "the map of the seal is not the one that follows from the records: a head is stale, or missing";

/// Otherwise the other tests could find the rewriting instead of the lie.
#[test]
fn rehashed_honest_log_verifies() {
    let ledger = Ledger::new();
    let before = std::fs::read(ledger.note()).unwrap();
    ledger.forge(|forger| forger.rehash(|_| {}));
    assert_eq!(std::fs::read(ledger.note()).unwrap(), before, "the same log, and the same signature");
    ledger.verify().done();
    ledger.verify_export().done();
}

#[test]
fn tenant_dropped_from_the_map_is_found() {
    let ledger = Ledger::new();
    ledger.forge(|forger| {
        forger.rehash(|heads| {
            heads.remove(&stream_id(&tenant("birch"))).unwrap();
        })
    });
    assert_named(&ledger.verify(), STALE_OR_MISSING);
    assert_named(&ledger.verify_export(), STALE_OR_MISSING);
}

#[test]
fn sealed_stale_head_is_found() {
    let ledger = Ledger::new();
    ledger.forge(|forger| {
        let stale = forger.head(&tenant("acme"), 2);
        forger.rehash(|heads| {
            heads.insert(stream_id(&tenant("acme")), stale).unwrap();
        })
    });
    assert_named(&ledger.verify(), STALE_OR_MISSING);
    assert_named(&ledger.verify_export(), STALE_OR_MISSING);
}

/// The shard alone is valid, as it need not have every line.
#[test]
fn vanished_import_line_is_found() {
    let ledger = Ledger::in_shards("2");
    ledger.forge(|forger| {
        let position = forger.head(&tenant("acme"), 3).index;
        forger.rewrite(position, |record| {
            assert_eq!(record.source.offset, 9);
            // A line number that the other shard has too.
            record.source.offset = 10;
        });
        forger.rehash(|_| {})
    });
    assert_named(&ledger.verify(), "line 9 of import:history is in no shard");
}

#[test]
fn rewritten_state_is_found() {
    let ledger = Ledger::new();
    ledger.forge(|forger| {
        let mut row = TenantRow::decode(&forger.get(Family::Tenants, b"acme")).unwrap();
        row.tenant.product_realm = Realm::parse("AU").ok();
        forger.put(Family::Tenants, b"acme", &row.encode());
        forger.rehash(|_| {})
    });
    assert_named(&ledger.verify(), "the stored state of acme is not the fold of its records");
}

#[test]
fn rewritten_outcome_is_found() {
    let ledger = Ledger::new();
    ledger.forge(|forger| {
        let position = forger.head(&tenant("acme"), 3).index;
        forger.rewrite(position, |record| {
            let Content::Event { outcome, .. } = &mut record.content else { return };
            let decision = outcome.changes[0].decision.as_mut().unwrap();
            assert_eq!(decision.rule, Rule::Persisted);
            decision.rule = Rule::WindowExpired;
        });
        forger.rehash(|_| {})
    });
    let fact = "record 3 of acme: the outcome that is stored does not follow from the records";
    assert_named(&ledger.verify(), fact);
}
