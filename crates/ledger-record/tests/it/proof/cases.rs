//! Published bundles and logs with their verdicts, which every later release and every other verifier must give.
//!
//! `cases.ndjson` has for each case its name, the bundle, the verifier keys, the pinned note if there is one, and the
//! exit code of `verify`: 0 valid, 3 invalid, 1 inconclusive. A verifier without the rules stops before the
//! decisions; `exitWithoutRules` has its exit code where it differs. The `cases.ndjson` of logs have the files of a
//! directory, by path, in base64.

use std::collections::BTreeMap;
use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::tlog;
use ledger_record::proof::verify::{BundleRefusal, verify};
use serde::Deserialize;

use super::ledger::Ledger;
use super::published;

const CASES: &str = include_str!("../../../../../tests/fixtures/bundles/cases.ndjson");
const LOGS: &str = include_str!("../../../../../tests/fixtures/tlogs/cases.ndjson");

#[derive(Deserialize)]
struct LogCase {
    name: String,
    exit: u8,
    keys: Vec<String>,
    #[serde(default)]
    pinned: Option<String>,
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    exit: u8,
    keys: Vec<String>,
    #[serde(default)]
    pinned: Option<String>,
    bundle: String,
}

fn cases() -> Vec<Case> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn published_bundles_keep_their_verdicts() {
    let cases = cases();
    for exit in [0, 1, 3] {
        assert!(cases.iter().filter(|case| case.exit == exit).count() > 1, "exit {exit} has cases");
    }
    for case in cases {
        let keys: Vec<VerifierKey> = case.keys.iter().map(|key| VerifierKey::parse(key).unwrap()).collect();
        let verdict = verify(&case.bundle, &keys, case.pinned.as_deref());
        let exit = match &verdict {
            Ok(_) => 0,
            Err(BundleRefusal::Invalid(_)) => 3,
            Err(BundleRefusal::Undecided(_)) => 1,
        };
        assert_eq!(exit, case.exit, "{}: {verdict:?}", case.name);
    }
}

#[test]
fn published_bundle_is_written_unchanged() {
    let whole = cases().into_iter().find(|case| case.name == "whole history").unwrap();
    assert_eq!(Ledger::eventful().bundle("acme").write(), whole.bundle);
}

#[test]
fn odd_text_is_written_as_in_the_published_bundle() {
    let ledger = published::text_of_every_kind();
    let odd = cases().into_iter().find(|case| case.name == "text of every kind").map(|case| case.bundle);
    assert_eq!(Some(ledger.bundle("acme").write()), odd);
}

#[test]
fn published_logs_keep_their_verdicts() {
    for line in LOGS.lines() {
        let case: LogCase = serde_json::from_str(line).unwrap();
        let keys: Vec<VerifierKey> = case.keys.iter().map(|key| VerifierKey::parse(key).unwrap()).collect();
        let read =
            |path: &str| Ok::<_, Infallible>(case.files.get(path).map(|text| STANDARD.decode(text).unwrap()));
        let verdict = tlog::verify(read, &keys, case.pinned.as_deref(), |_, _| {});
        let exit = match &verdict {
            Ok(_) => 0,
            Err(tlog::TilesRefusal::Invalid(_)) => 3,
            Err(tlog::TilesRefusal::Undecided(_) | tlog::TilesRefusal::Unreadable(_)) => 1,
        };
        assert_eq!(exit, case.exit, "{}: {verdict:?}", case.name);
    }
}
