//! A ledger without Kafka from a backup: its journal is in each generation, so it goes on where it stood.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;

use ledger_tests::scratch;
use ledger_tests::server::{self, Server, Setup};
use ledger_tests::workload::native_lines;
use serde_json::{Value, json};

use super::{TOPIC, import, mix, setup};
use crate::import::{apps, heads, program, tenants};

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", server::stderr(&output));
    server::stderr(&output)
}

fn start(data_dir: &Path, backup: &Path) -> Server {
    let mut setup = setup(data_dir.to_owned());
    setup.more.push(("BACKUP__DIR", backup.display().to_string()));
    let server = Server::start(&setup, &data_dir.with_extension("log"));
    server.wait_until_ready(3);
    server
}

/// Records where the data of a tenant is, and answers how.
fn locate(server: &Server, tenant: &str) {
    let located = json!({"id": tenant, "type": "data-located", "time": "2026-01-03T00:00:00Z", "clientKey": tenant,
                         "appKey": "app", "realm": "EU", "actor": "eva", "reason": "moved by hand"});
    let (status, answer) = server.post("/v1/commands", &located);
    assert_eq!(status, 201, "{answer}");
}

fn is_there(server: &Server, tenant: &str) -> bool {
    let status = server.get(&format!("/v1/tenants/{tenant}/apps/app")).0;
    assert!([200, 404].contains(&status), "{tenant}: {status}");
    status == 200
}

fn generation(backup: &Path, number: u32) -> Value {
    let text = std::fs::read(backup.join(format!("generations/{number}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The next process begins a segment of its own, as it does at 64 MiB.
fn roll(data_dir: &Path) {
    let journal = data_dir.join("journal");
    let lines = std::fs::read_to_string(journal.join(format!("{:020}.ndjson", 1))).unwrap().lines().count();
    File::create_new(journal.join(format!("{:020}.ndjson", lines + 1))).unwrap();
}

#[test]
fn restored_ledger_without_kafka_goes_on_where_each_generation_stood() {
    let scratch = scratch::directory();
    let [data_dir, backup] = ["data", "backup"].map(|name| scratch.path().join(name));
    let [data, kept] = [&data_dir, &backup].map(|path| path.to_str().unwrap());
    import(&native_lines(mix(74, 2_000)), &data_dir);
    roll(&data_dir);
    let server = start(&data_dir, &backup);
    for tenant in ["first", "second"] {
        locate(&server, tenant);
        done(&["backup", "--url", &server.url]);
    }
    locate(&server, "third");
    server.drain();
    done(&["backup", kept, "--data-dir", data]);
    done(&["backup", kept, "--verify"]);
    let of_journal = |number| generation(&backup, number)["journal"].clone();
    let names: Vec<_> = of_journal(1).as_array().unwrap().iter().map(|file| file["name"].clone()).collect();
    assert!(names.len() == 3 && names[2] == "source", "{names:?}");
    assert_eq!(of_journal(1)[0], of_journal(3)[0], "a segment that is whole is kept once");
    assert_ne!(of_journal(1)[1], of_journal(3)[1]);

    let restored = |number: u32| -> PathBuf {
        let to = scratch.path().join(format!("restored-{number}"));
        let said =
            done(&["restore", kept, "--data-dir", to.to_str().unwrap(), "--generation", &number.to_string()]);
        assert!(said.contains("`serve --local` goes on with it"), "{said}");
        to
    };
    let to = restored(1);
    let server = start(&to, &scratch.path().join("backup-of-restored"));
    assert_eq!(["first", "second", "third"].map(|tenant| is_there(&server, tenant)), [true, false, false]);
    locate(&server, "fourth");
    server.drain();
    let server = start(&to, &scratch.path().join("backup-of-restored"));
    assert!(is_there(&server, "fourth") && is_there(&server, "first"), "after another start");
    server.drain();
    server::verified(&to, &[]);

    let to = restored(3);
    let quiet = Setup { more: vec![("EVIDENCE__TICK_INTERVAL", "1h".to_owned())], ..setup(to.clone()) };
    let server = Server::start(&quiet, &to.with_extension("log"));
    server.wait_until_ready(3);
    server.drain();
    assert_eq!(tenants(&to, TOPIC), tenants(&data_dir, TOPIC), "states, outcomes and anomalies");
    assert_eq!((apps(&to, TOPIC), heads(&to, TOPIC)), (apps(&data_dir, TOPIC), heads(&data_dir, TOPIC)));
    server::verified(&to, &[]);

    // The journal is checked like everything else.
    let blob = backup.join("blobs").join(of_journal(3)[0]["sha256"].as_str().unwrap());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&blob, bytes).unwrap();
    let flawed = scratch.path().join("flawed");
    let refused = run(&["restore", kept, "--data-dir", flawed.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3), "{}", server::stderr(&refused));
    assert_eq!(run(&["backup", kept, "--verify"]).status.code(), Some(3));
}

/// Regression: it was backed up without a word, and the generations that had all of it were removed.
#[test]
fn journal_that_lost_lines_is_not_backed_up_and_old_generations_stay() {
    let scratch = scratch::directory();
    let [data_dir, backup] = ["data", "backup"].map(|name| scratch.path().join(name));
    let [data, kept] = [&data_dir, &backup].map(|path| path.to_str().unwrap());
    import(&native_lines(mix(75, 600)), &data_dir);
    let at_rest = ["backup", kept, "--data-dir", data, "--keep", "1"];
    let segment = data_dir.join("journal").join(format!("{:020}.ndjson", 1));
    let whole = std::fs::read(&segment).unwrap();
    // Half a line is none: a crash leaves it, and the next process cuts it off.
    std::fs::write(&segment, [&whole[..], b"{\"crc\":"].concat()).unwrap();
    done(&at_rest);
    std::fs::write(&segment, &whole).unwrap();
    done(&at_rest);
    let generations = || {
        let files = std::fs::read_dir(backup.join("generations")).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<Vec<_>>()
    };
    let before = generations();
    assert_eq!(before.len(), 1, "{before:?}");
    let refused = |output: &Output| {
        let said = server::stderr(output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("emptied, shortened or replaced"), "{said}");
        assert_eq!(generations(), before);
    };
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut other = whole.clone();
    other[whole.len() / 2] ^= 1;
    for lost in [&[][..], &whole[..last_line], &other] {
        std::fs::write(&segment, lost).unwrap();
        refused(&run(&at_rest));
    }
    // A server that reads such a journal halts, and makes no backup of it either.
    std::fs::write(&segment, &whole[..last_line]).unwrap();
    let mut setup = setup(data_dir.clone());
    setup.more.push(("BACKUP__DIR", backup.display().to_string()));
    setup.more.push(("EVIDENCE__TICK_INTERVAL", "1h".to_owned()));
    let server = Server::start(&setup, &data_dir.with_extension("log"));
    refused(&run(&["backup", "--url", &server.url, "--keep", "1"]));
    server.drain();
    std::fs::remove_file(&segment).unwrap();
    refused(&run(&at_rest));
    std::fs::write(&segment, &whole).unwrap();
    done(&at_rest);
    assert_ne!(generations(), before);
}
