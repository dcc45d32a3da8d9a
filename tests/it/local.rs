//! A ledger without Kafka: its journal is its source, and it is the same ledger.

mod importing;
mod moving_on;
mod publishing;
mod restored;
mod retried;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger_store::{DataDir, FamilyDigest, ShardId, StoreOptions};
use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::wait;
use ledger_tests::workload::{Chance, Mix, native_lines};
use serde_json::json;

use crate::import::program;

const TOPIC: &str = "realm.lifecycle";
const PARTITIONS: u32 = 3;
const KILLS: usize = 20;

pub(super) fn mix(seed: u64, events: usize) -> Mix {
    Mix {
        seed,
        // So many that their lives end before now.
        tenants: events / 20,
        events,
        partitions: 3,
        late_percent: 5,
        repeats_per_mille: 20,
        conflicts_per_mille: 3,
        malformed_per_mille: 0,
        late_app_events: true,
    }
}

/// Serves a directory without Kafka, and signs.
pub(super) fn setup(data_dir: PathBuf) -> Setup {
    let signs = ("KAFKA__CHECKPOINTS_TOPIC", "realm.checkpoints".to_owned());
    let more = vec![signs, ("EVIDENCE__TICK_INTERVAL", "300ms".to_owned())];
    Setup { more, ..Setup::local(TOPIC.to_owned(), data_dir, &["--local", "--partitions", "3"]) }
}

/// Imports lines through the journal of a directory.
pub(super) fn import(lines: &str, data_dir: &Path) {
    let file = data_dir.with_extension("ndjson");
    std::fs::write(&file, lines).unwrap();
    let [file, data_dir] = [file.as_path(), data_dir].map(|path| path.to_str().unwrap());
    let arguments = ["import", file, "--local", "--partitions", "3", "--data-dir", data_dir];
    let output = program(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", server::stderr(&output));
}

fn digests(data_dir: &Path) -> Vec<Vec<FamilyDigest>> {
    let data = DataDir::open_existing_read_only(data_dir, StoreOptions::default()).unwrap();
    let digests = |partition| {
        let id = ShardId { topic: TOPIC.to_owned(), partition };
        data.read_shard(&id).unwrap().snapshot().digests().unwrap()
    };
    (0..PARTITIONS).map(digests).collect()
}

/// Gives a directory the journal of another ledger.
fn copy_journal(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("journal")).unwrap();
    for file in std::fs::read_dir(from.join("journal")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("journal").join(file.file_name())).unwrap();
    }
}

#[test]
fn kills_while_the_journal_is_read_leave_the_log_of_an_undisturbed_run() {
    let scratch = scratch::directory();
    let [first, killed, calm] = ["first", "killed", "calm"].map(|name| scratch.path().join(name));
    import(&native_lines(mix(71, 16_000)), &first);
    for data_dir in [&killed, &calm] {
        copy_journal(&first, data_dir);
    }
    // Ticks would be lines of the journals, at other places in each.
    let setup = |data_dir: &Path| {
        let mut setup = setup(data_dir.to_owned());
        setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
        setup
    };
    let log = scratch.path().join("killed.log");
    let mut random = Chance::new(71);
    for _ in 0..KILLS {
        let mut server = Server::launch(&setup(&killed), &log);
        std::thread::sleep(Duration::from_millis(60 + random.below(400)));
        server.process.kill();
    }
    for data_dir in [&killed, &calm] {
        let server = Server::start(&setup(data_dir), &scratch.path().join("last.log"));
        server.wait_until_ready(3);
        server.drain();
        assert_eq!(server::verified(data_dir, &[]).len(), 3);
    }
    assert_eq!(digests(&killed), digests(&calm));
    assert_eq!(digests(&first), digests(&calm), "an import reads its journal as a server does");
}

#[test]
fn server_without_kafka_answers_seals_and_signs_what_its_journal_has() {
    let scratch = scratch::directory();
    let (data_dir, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let server = Server::start(&setup(data_dir.clone()), &log);
    server.wait_until_ready(3);
    let journal = &server.get("/readyz").1["journal"];
    assert_eq!((&journal["lines"], &journal["waitingEvents"]), (&0.into(), &0.into()));
    assert_eq!(server.get("/v1/tenants/acme").0, 404, "nothing is there, and that is known");
    let file = scratch.path().join("more.ndjson");
    std::fs::write(&file, "").unwrap();
    let [file, dir] = [&file, &data_dir].map(|path| path.to_str().unwrap());
    let busy = program(&["import", file, "--data-dir", dir, "--local"]).output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    let refused = server::stderr(&busy);
    assert!(refused.contains("in use by another process") && refused.contains("serve --local"), "{refused}");
    server.drain();

    import(&native_lines(mix(72, 2_000)), &data_dir);
    let server = Server::start(&setup(data_dir.clone()), &log);
    server.wait_until_ready(3);
    let lists = [("/v1/installations?limit=1", "installations"), ("/v1/decisions?limit=1", "decisions")];
    for (path, list) in lists.into_iter().chain([("/v1/quarantine?limit=1", "items")]) {
        let (status, answer) = server.get(path);
        assert_eq!((status, answer[list].as_array().map(Vec::len)), (200, Some(1)), "{path}: {answer}");
    }
    wait::for_value(|| {
        let checkpoints = server.get("/v1/checkpoints").1;
        let count = checkpoints["checkpoints"].as_array().map_or(0, Vec::len);
        if count == 3 { Ok(()) } else { Err(checkpoints) }
    });
    let metrics = server.get("/metrics").1;
    assert!(metrics.as_str().unwrap().contains("realm_ledger_journal_waiting_events 0"), "{metrics}");
    server.drain();
    let reports = server::verified(&data_dir, &[]);
    assert!(reports.iter().all(|report| report["signedSize"] == report["size"]), "{reports:?}");

    // What does not go together is refused with what to do.
    let mut kafka = program(&["serve", "--data-dir", dir, "--brokers", "127.0.0.1:1"]);
    let addresses = ["REALM_LEDGER_HTTP__LISTEN", "REALM_LEDGER_HTTP__ADMIN_LISTEN"];
    let refused = server::stderr(&kafka.envs(addresses.map(|name| (name, "127.0.0.1:0"))).output().unwrap());
    assert!(
        refused.contains("is a ledger without Kafka") && refused.contains("publish --journal"),
        "{refused}"
    );
    let journal = data_dir.join("journal");
    let segment = journal.join(format!("{:020}.ndjson", 1));
    let text = std::fs::read_to_string(&segment).unwrap();
    let kept: String = text.lines().take(10).map(|line| [line, "\n"].concat()).collect();
    std::fs::write(&segment, kept).unwrap();
    let server = Server::start(&setup(data_dir), &log);
    wait::for_value(|| {
        let (status, ready) = server.get("/readyz");
        let code = ready["shards"][0]["halted"]["code"].clone();
        if status == 503 && code == "journal-differs" { Ok(()) } else { Err(ready) }
    });
    assert_eq!(server.get("/v1/installations?limit=1").0, 200, "what is recorded is answered");
}

#[test]
fn commands_are_written_to_the_journal_and_recorded_once() {
    let scratch = scratch::directory();
    let server = Server::start(&setup(scratch.path().join("data")), &scratch.path().join("log"));
    server.wait_until_ready(3);
    let located = json!({"id": "c-1", "type": "data-located", "time": "2026-01-03T00:00:00Z", "clientKey": "acme",
                         "appKey": "app", "realm": "EU", "actor": "eva", "reason": "moved by hand"});
    let (status, answer) = server.post("/v1/commands", &located);
    assert_eq!((status, answer["records"].as_array().map(Vec::len)), (201, Some(1)), "{answer}");
    assert_eq!(server.post("/v1/commands", &located), (201, answer), "the id names it");
    let (_, state) = server.get("/v1/tenants/acme/apps/app");
    assert_eq!(state["installation"]["dataRealm"], "EU", "{state}");
    let policy = json!({"id": "c-2", "type": "policy-set", "time": "2026-01-03T00:00:00Z", "appKey": "app",
                        "policy": {"mode": "days", "days": 7}, "actor": "eva", "reason": "longer"});
    let (status, answer) = server.post("/v1/commands", &policy);
    assert_eq!(
        (status, answer["records"].as_array().map(Vec::len)),
        (201, Some(3)),
        "one in each shard: {answer}"
    );
}
