//! Verifiers that do not share our code give the same verdicts: here the Python verifier, written from
//! `proto/AUDIT.md` alone, on the published cases; in [`handed_out`] it and foreign implementations of trees, tiles
//! and notes on what the program exports. (The tests of `ledger-record` cover trees of every size and other lines.)

mod handed_out;

use std::fs;

use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::verify::{BundleRefusal, verify};
use ledger_tests::{python, scratch};
use serde::{Deserialize, Serialize};
use serde_json::json;

const BUNDLES: &str = include_str!("../fixtures/bundles/cases.ndjson");

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    exit: i32,
    exit_without_rules: Option<i32>,
    keys: Vec<String>,
    pinned: Option<String>,
    bundle: String,
}

fn cases() -> Vec<Case> {
    BUNDLES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Case {
    /// The exit code of the ledger's own verifier.
    fn judged(&self) -> i32 {
        let keys: Vec<VerifierKey> = self.keys.iter().map(|key| VerifierKey::parse(key).unwrap()).collect();
        match verify(&self.bundle, &keys, self.pinned.as_deref()) {
            Ok(_) => 0,
            Err(BundleRefusal::Invalid(_)) => 3,
            Err(BundleRefusal::Undecided(_)) => 1,
        }
    }
}

#[test]
fn python_verifier_agrees_on_every_published_bundle() {
    let directory = scratch::directory();
    let (bundle, pinned) = (directory.path().join("bundle"), directory.path().join("pinned"));
    for case in cases() {
        fs::write(&bundle, &case.bundle).unwrap();
        let mut command = python::script("realm_ledger_verify.py");
        command.arg(&bundle);
        for key in &case.keys {
            command.args(["--key", key]);
        }
        if let Some(note) = &case.pinned {
            fs::write(&pinned, note).unwrap();
            command.arg("--pinned").arg(&pinned);
        }
        let output = command.output().unwrap();
        let expected = case.exit_without_rules.unwrap_or(case.exit);
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(expected), &[][..]), "{}", case.name);
        let reported = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            reported.contains("whether decisions follow: not checked"),
            expected == 0,
            "{}: {reported}",
            case.name
        );
    }
}

/// A malformed key decides nothing about a bundle.
#[test]
fn python_verifier_refuses_a_malformed_key() {
    let directory = scratch::directory();
    let bundle = directory.path().join("bundle");
    let whole = cases().into_iter().find(|case| case.name == "whole history").unwrap();
    fs::write(&bundle, &whole.bundle).unwrap();
    let key = &whole.keys[0];
    let mistyped = [
        "",
        "no key",
        "a+b",
        &key[..key.len() - 1],
        &key.replacen("realm", "raelm", 1),
        &key.replacen("+1", "+2", 1),
        &key.replacen('/', "\u{a0}", 1),
        &key.replacen('+', " +", 1),
    ];
    for key in mistyped {
        assert!(VerifierKey::parse(key).is_err(), "{key:?}");
        let output =
            python::script("realm_ledger_verify.py").arg(&bundle).args(["--key", key]).output().unwrap();
        let reported = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(1), &[][..]), "{key:?}: {reported}");
        assert!(reported.contains("is it mistyped?"), "{key:?}: {reported}");
    }
    let output = python::script("realm_ledger_verify.py").arg("/nowhere").output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(1), &[][..]));
}

/// Bundles of every case with one bit flipped, at many places: both verifiers give the same verdict.
#[test]
fn python_verifier_agrees_on_flipped_bundles() {
    const PLACES: usize = 60;
    let mut changed = Vec::new();
    let is_judged_alike = |case: &Case| !case.bundle.is_empty() && case.exit_without_rules.is_none();
    for case in cases().into_iter().filter(is_judged_alike) {
        for place in 0..PLACES {
            let at = (place * case.bundle.len() + place * 37) / PLACES % case.bundle.len();
            let mut bytes = case.bundle.clone().into_bytes();
            bytes[at] ^= 1 << (place % 7);
            // Bytes that are no text are refused before the verdict.
            let Ok(bundle) = String::from_utf8(bytes) else { continue };
            changed.push(Case { bundle, ..case.clone() });
        }
    }
    let input: Vec<String> = changed
        .iter()
        .map(|case| json!({"keys": case.keys, "pinned": case.pinned, "bundle": case.bundle}).to_string())
        .collect();
    let output = python::answer(python::script("judge_many.py"), &(input.join("\n") + "\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<i32> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(theirs.len(), changed.len());
    for (case, theirs) in changed.iter().zip(theirs) {
        assert_eq!(case.judged(), theirs, "{}: {}", case.name, case.bundle);
    }
    assert!(changed.len() > 2_000, "{}", changed.len());
}
