//! The program against an independent implementation of the rules: `tests/rules/reference.py` was written from the
//! text of rule set 2 alone. Both run random histories, and every answer is compared: states at many instants and
//! with knowledge bounds, previews, what-if reports, refusals. A difference is printed as a shrunk scenario.
//!
//! `REALM_LEDGER_TEST_SEEDS=1000+300` runs 300 seeds from 1000 on instead of the fixed ones (about ten seconds each):
//! `REALM_LEDGER_TEST_SEEDS=1000+300 cargo test --release -p ledger-tests --test it -- --nocapture rules::random`.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use ledger_tests::server::program;
use ledger_tests::{python, scratch};

const SEEDS: &str = "1+5";

fn compare(program: &Path, seeds: &str, histories: &str) -> (Output, String) {
    let scratch = scratch::directory();
    let (first, count) = seeds.split_once('+').unwrap();
    let mut command = python::rules_script("differential.py");
    command.arg(program).arg(scratch.path()).args([first, count, histories]);
    let output = command.output().unwrap();
    let report = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output, report)
}

#[test]
fn random_histories_match_the_reference_rules() {
    let seeds = env::var("REALM_LEDGER_TEST_SEEDS");
    let (output, report) = compare(&program(), seeds.as_deref().unwrap_or(SEEDS), "60");
    println!("{report}");
    assert!(
        output.status.success(),
        "the program differs from the rules, or the histories leave something out"
    );
}

/// Shows that the comparison above can fail.
#[test]
fn program_with_a_wrong_rule_is_found() {
    let scratch = scratch::directory();
    let wrong = scratch.path().join("wrong");
    let script = format!("#!/bin/sh\n{} \"$@\" | sed s/PERSISTENCE_OFF/PERSISTED/\n", program().display());
    fs::write(&wrong, script).unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o755)).unwrap();
    let (output, report) = compare(&wrong, "1+1", "8");
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("difference in "), "{report}");
}

#[test]
fn reference_agrees_with_every_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let scenarios = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    let output = python::rules_script("scenarios.py").args(scenarios).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    assert!(files.len() >= 22, "only {} histories were found", files.len());
}
