//! Signed lies and ambiguous spellings: each is refused for its own reason and published as a case for every other
//! verifier.
//!
//! They are the cases of `cases.ndjson` after those of [`super::published`]; `BLESS=1` writes them again.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger_core::event::InstallationFact;
use ledger_record::proof::bundle::{Bundle, StreamPart};
use ledger_record::proof::line::{leaf_hash, stream_id};
use ledger_record::proof::log;
use ledger_record::proof::map::{self, MapEntry, StreamHead};
use ledger_record::proof::note::{Checkpoint, VerifierKey};
use ledger_record::proof::verify::{
    BundleFault, BundleRefusal, InconclusiveBundle, RecordFault, StreamName, verify,
};
use ledger_record::proof::{Hash, tlog};
use ledger_record::record::Stream;
use serde::Serialize;

use super::bundle::keys;
use super::ledger::{Ledger, Lie, client, key};
use super::published;
use super::tlog::{Files, directory};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) exit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_without_rules: Option<u8>,
    pub(super) keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pinned: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<BTreeMap<String, String>>,
}

fn case(name: &'static str, exit: u8) -> Case {
    let keys = keys().iter().map(VerifierKey::to_string).collect();
    Case { name, exit, exit_without_rules: None, keys, pinned: None, bundle: None, files: None }
}

/// A bundle and the reason of its refusal.
#[track_caller]
fn refused(
    name: &'static str,
    bundle: String,
    pinned: Option<String>,
    refusal: impl Into<BundleRefusal>,
) -> Case {
    let refusal = refusal.into();
    assert_eq!(verify(&bundle, &keys(), pinned.as_deref()).err().as_ref(), Some(&refusal), "{name}");
    let exit = if matches!(refusal, BundleRefusal::Invalid(_)) { 3 } else { 1 };
    Case { bundle: Some(bundle), pinned, ..case(name, exit) }
}

fn record(number: u64, fault: RecordFault) -> BundleFault {
    BundleFault::Record { number, stream: StreamName::Tenant, fault }
}

fn acme() -> Bundle {
    Ledger::eventful().bundle("acme")
}

fn with_history(change: impl FnOnce(&mut StreamPart)) -> String {
    let mut bundle = acme();
    change(&mut bundle.history);
    bundle.write()
}

fn lying(lie: Lie) -> String {
    Ledger::lying(lie).bundle("acme").write()
}

/// The last record of acme: no later record of its stream depends on it.
const LAST: u64 = 7;

fn of_another_log() -> Checkpoint {
    Checkpoint { origin: "ledger.example.com/realm/8".to_owned(), ..Ledger::eventful().checkpoint() }
}

fn around_the_records() -> Vec<Case> {
    let signed = Bundle { note: of_another_log().sign(&[&key(1)]), ..acme() }.write();
    let mut unsealed = acme();
    unsealed.seal.proof[0].0[0] ^= 1;
    let mut grown = Ledger::eventful();
    grown.fact("third", "app.two", 9, InstallationFact::Disabled);
    grown.tick();
    let pinned = Ledger::eventful();
    let continued = |change: fn(&mut Vec<Hash>)| {
        let mut part = grown.consistency(pinned.size());
        change(&mut part.proof);
        Bundle { consistency: Some(part), ..grown.bundle("acme") }.write()
    };
    let note = Some(pinned.note());
    let longer = continued(|proof| proof.push(Hash::ZERO));
    let shorter = continued(|proof| proof.truncate(proof.len() - 1));
    let itself = {
        let mut bundle = acme();
        bundle.consistency = Some(ledger_record::proof::bundle::ConsistencyPart {
            from: pinned.size(),
            proof: vec![Hash::ZERO],
        });
        bundle.write()
    };
    vec![
        refused("checkpoint of another log", signed, None, BundleFault::Origin),
        refused(
            "pinned checkpoint of another log",
            acme().write(),
            Some(of_another_log().sign(&[&key(1)])),
            BundleFault::PinnedOrigin,
        ),
        refused("seal is not in the log", unsealed.write(), None, BundleFault::SealNotIncluded),
        refused("consistency proof too long", longer, note.clone(), BundleFault::Inconsistent),
        refused("consistency proof too short", shorter, note.clone(), BundleFault::Inconsistent),
        refused("consistency proof between the same size", itself, note, BundleFault::Inconsistent),
    ]
}

fn ways_through_the_map() -> Vec<Case> {
    let stream = stream_id(&Stream::Tenant(client("acme")));
    let last = acme().history.records.pop().unwrap();
    let head = StreamHead { seq: LAST, index: last.index, leaf: leaf_hash(&last.entry) };
    let own = MapEntry { stream, commitment: head.commitment() };
    let denied = with_history(|history| {
        history.records.clear();
        (history.count, history.other) = (0, Some(own));
    });
    // A map with the lone leaf deeper than necessary, without siblings.
    let depth = acme().history.siblings.len();
    let sides = (0..=depth).rev().map(|at| stream.0[at / 8] >> (7 - at % 8) & 1 == 1);
    let siblings: Vec<Hash> = [Hash::ZERO].into_iter().chain(acme().history.siblings).collect();
    let leaf = map::root(&[own]);
    let root = sides.zip(&siblings).fold(leaf, |node, (is_right, sibling)| {
        if is_right { map::parent(*sibling, node) } else { map::parent(node, *sibling) }
    });
    let mut deeper = Ledger::eventful().with_map_root(root).bundle("acme");
    deeper.history.siblings = siblings;
    deeper.apps.clear();
    let incomplete = || BundleFault::Incomplete(StreamName::Tenant);
    vec![
        refused("history denied by its own leaf", denied, None, incomplete()),
        refused("nothing beside the end of a way", deeper.write(), None, incomplete()),
    ]
}

fn lines_and_payloads() -> Vec<Case> {
    let line = |name, lie: fn(&str) -> String| {
        refused(name, lying(Lie::Line(LAST, lie)), None, record(LAST, RecordFault::Line))
    };
    let seal =
        |name, lie: fn(&str) -> String| refused(name, lying(Lie::Seal(14, lie)), None, BundleFault::SealLine);
    let payload = |name, lie: fn(&str) -> String| {
        let fault = record(LAST, RecordFault::Payload);
        refused(name, lying(Lie::Payload(LAST, lie)), None, fault)
    };
    let by_events = |case: Case| Case { exit_without_rules: Some(0), ..case };
    vec![
        line("line of an unknown type", |line| line.replace("data-located", "foo")),
        line("line of a seal's type", |line| line.replace("data-located", "seal")),
        line("line with an unknown rule", |line| line.replace(r#""u":"""#, r#""u":"NO_RULE""#)),
        line("line with a word that is no realm", |line| line.replace(r#""r":"EU""#, r#""r":"NONE""#)),
        line("line with a realm in lower case", |line| line.replace(r#""r":"EU""#, r#""r":"eu""#)),
        line("line with a control character in its app", |line| line.replace("app.one", "app\\u0085one")),
        line("line with a number that is too large", |line| {
            line.replace(r#""t":1770026400000"#, r#""t":9007199254740992"#)
        }),
        line("line of version -1", |line| line.replace(r#"{"v":1,"#, r#"{"v":-1,"#)),
        line("line with two versions", |line| line.replace(r#"{"v":1,"#, r#"{"v":2,"v":2,"#)),
        seal("seal of version -1", |line| line.replace(r#"{"v":1,"#, r#"{"v":-1,"#)),
        seal("seal with a negative count", |line| line.replace(r#""dup":0"#, r#""dup":-1"#)),
        payload("payload of another tenant", |text| text.replace("acme", "other")),
        payload("payload without a tenant", |text| text.replace(r#""clientKey":"acme","#, "")),
        payload("payload of another app", |text| text.replace("app.one", "app.two")),
        payload("payload of another time", |text| text.replace("2026-", "2027-")),
        payload("payload of another event", |text| text.replace("data-located", "data-situated")),
        payload("payload out of order", |text| {
            let event =
                text.strip_prefix(r#"{"event":"#).and_then(|rest| rest.strip_suffix(r#","rules":2}"#));
            format!(r#"{{"rules":2,"event":{}}}"#, event.unwrap())
        }),
        payload("payload with spaces", |text| text.replace(',', ", ")),
        by_events(payload("payload of another type", |text| {
            text.replace(r#""realm":"#, r#""targetRealm":"#)
        })),
        by_events(payload("payload with an unknown field", |text| {
            text.replace(r#","rules""#, r#","more":1,"rules""#)
        })),
        Case {
            exit_without_rules: Some(0),
            ..refused(
                "unknown rule set",
                Ledger::by_rules(3).bundle("acme").write(),
                None,
                InconclusiveBundle::UnknownRules(3),
            )
        },
    ]
}

fn spellings() -> Vec<Case> {
    let text = acme().write();
    let malformed = |name, line, from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{name}");
        refused(name, changed, None, BundleFault::Malformed { line })
    };
    let note = |name, key_name: &str| {
        let line = format!("\u{2014} {key_name} {}\n", STANDARD.encode([7; 68]));
        let bundle = Bundle { note: acme().note + &line, ..acme() }.write();
        let fault = ledger_record::proof::note::NoteError::Malformed;
        refused(name, bundle, None, BundleFault::Checkpoint(fault))
    };
    vec![
        malformed("bundle of version -1", 1, r#""v":1"#, r#""v":-1"#),
        malformed("bundle with two versions", 1, r#""v":1"#, r#""v":2,"v":2"#),
        malformed("version where there is none", 2, r#""checkpoint","#, r#""checkpoint","v":2,"#),
        malformed("number beyond 64 bits", 3, r#""index":14"#, r#""index":18446744073709551630"#),
        note("key name with a space that does not break", "other\u{a0}key"),
        note("key name with a wide space", "other\u{2003}key"),
        note("key name with a line separator", "other\u{2028}key"),
    ]
}

/// The verifier reads the version first, at its one place; a version elsewhere is ignored.
fn versions_of_lines() -> Vec<Case> {
    let unknown = |name, version, lie: fn(&str) -> String| {
        refused(name, lying(Lie::Line(LAST, lie)), None, InconclusiveBundle::UnknownVersion(version))
    };
    let line = |name, lie: fn(&str) -> String| {
        refused(name, lying(Lie::Line(LAST, lie)), None, record(LAST, RecordFault::Line))
    };
    vec![
        unknown("newer line of a record", 2, |line| line.replacen(r#""v":1"#, r#""v":2"#, 1)),
        unknown("newer line that is no JSON", 3, |_| r#"{"v":3,"what":[1,"ever""#.to_owned()),
        unknown("newer line with v in a text", 2, |_| r#"{"v":2,"a":"\"v\":3,"}"#.to_owned()),
        unknown("line of version 0", 0, |line| line.replacen(r#""v":1"#, r#""v":0"#, 1)),
        unknown("line of the largest version alone", u64::MAX, |_| format!(r#"{{"v":{}}}"#, u64::MAX)),
        line("line of a version beyond 64 bits", |_| r#"{"v":18446744073709551616}"#.to_owned()),
        line("line that is a version in a list", |_| "[2]".to_owned()),
        line("line that is a version", |_| "2".to_owned()),
        line("line with a version in its version", |_| r#"{"v":{"v":2}}"#.to_owned()),
        line("line with a version in another field", |_| r#"{"y":{"v":2}}"#.to_owned()),
        line("newer line with another version in a field", |_| r#"{"v":2,"y":{"v":1}}"#.to_owned()),
        line("version behind another field", |line| {
            line.replacen(r#""v":1,"#, "", 1).replace('}', r#","v":2}"#)
        }),
        line("space before a version", |line| line.replacen(r#""v":1"#, r#""v": 2"#, 1)),
        line("space before the name of a version", |line| line.replacen(r#""v":1"#, r#" "v":2"#, 1)),
        line("version with a zero before it", |line| line.replacen(r#""v":1"#, r#""v":02"#, 1)),
        line("version with a plus", |line| line.replacen(r#""v":1"#, r#""v":+2"#, 1)),
        line("version with a fraction", |line| line.replacen(r#""v":1"#, r#""v":2.0"#, 1)),
        line("version that is a text", |line| line.replacen(r#""v":1"#, r#""v":"2""#, 1)),
        refused(
            "seal that is a version in a list",
            lying(Lie::Seal(14, |_| "[2]".to_owned())),
            None,
            BundleFault::SealLine,
        ),
    ]
}

fn versions_of_bundles() -> Vec<Case> {
    let text = acme().write();
    let (header, rest) = text.split_once('\n').unwrap();
    let unknown = |name, text: String| refused(name, text, None, InconclusiveBundle::UnknownVersion(2));
    let malformed = |name, from: &str, to: &str| {
        let changed = header.replacen(from, to, 1);
        assert_ne!(changed, header, "{name}");
        refused(name, format!("{changed}\n{rest}"), None, BundleFault::Malformed { line: 1 })
    };
    let newer = header.replacen(r#""v":1"#, r#""v":2"#, 1);
    vec![
        unknown(
            "newer bundle that is no JSON",
            r#"{"type":"realm-ledger-bundle","v":2,what ever"#.to_owned(),
        ),
        unknown("newer bundle without a line end", newer),
        malformed("bundle that begins with a version in a list", header, "[2]"),
        malformed("bundle with a space before its version", r#""v":1"#, r#""v": 2"#),
        malformed(
            "bundle with its version behind another field",
            r#""v":1,"clientKey":"acme""#,
            r#""clientKey":"acme","v":2"#,
        ),
        malformed("bundle of a version beyond 64 bits", r#""v":1"#, r#""v":18446744073709551616"#),
    ]
}

/// A log that is refused because of this leaf.
#[track_caller]
fn log_refused(name: &'static str, ledger: &Ledger, index: u64, fault: log::LogFault) -> Case {
    let files: Files = directory(ledger.lines());
    let read = |path: &str| Ok::<_, std::convert::Infallible>(files.get(path).cloned());
    match tlog::verify(read, &keys(), None, |_, _| {}) {
        Err(tlog::TilesRefusal::Invalid(found)) => {
            assert_eq!(found, tlog::TilesFault::Leaf { index, fault }, "{name}");
        }
        other => panic!("{name}: {other:?}"),
    }
    let files = files.into_iter().map(|(path, bytes)| (path, STANDARD.encode(bytes))).collect();
    Case { files: Some(files), ..case(name, 3) }
}

fn logs() -> Vec<Case> {
    let lying = Ledger::lying;
    // The record before the last of acme is of type `disabled` and has index 11.
    let earlier: fn(&str) -> String = |line| line.replacen(r#""q":17723592"#, r#""q":17723591"#, 1);
    let minute = {
        let mut ledger = Ledger::lying(Lie::NoSeals);
        ledger.installed("acme", "app.one", 8, None);
        ledger.wait(60_000);
        ledger.installed("acme", "app.one", 9, None);
        ledger.tick();
        ledger
    };
    vec![
        log_refused(
            "recorded before the record before it",
            &lying(Lie::Line(6, earlier)),
            11,
            log::LogFault::Recorded,
        ),
        log_refused(
            "read from before what was read",
            &lying(Lie::Line(6, |line| line.replacen("lifecycle/7/11", "lifecycle/7/1", 1))),
            11,
            log::LogFault::Source("realm.lifecycle/7/1".to_owned()),
        ),
        log_refused(
            "tenant's record of a type without app",
            &lying(Lie::Line(6, |line| line.replacen("disabled", "product-moved", 1))),
            11,
            log::LogFault::Stream,
        ),
        log_refused(
            "tenant's record of an app's type",
            &lying(Lie::Line(6, |line| line.replacen("disabled", "policy-set", 1))),
            11,
            log::LogFault::Stream,
        ),
        log_refused("no seal before a later minute", &minute, 16, log::LogFault::SealMissing),
        log_refused(
            "duplicates fall",
            &lying(Lie::Seal(4, |line| line.replacen(r#""dup":0"#, r#""dup":1"#, 1))),
            9,
            log::LogFault::Duplicates,
        ),
        log_refused(
            "seal of another time than the last record",
            &lying(Lie::Seal(9, |line| line.replacen(r#""t":17723592"#, r#""t":17723593"#, 1))),
            9,
            log::LogFault::SealRecorded,
        ),
        log_refused(
            "seal says that what was read is read next",
            &lying(Lie::Seal(9, |line| line.replacen("lifecycle/7/9", "lifecycle/7/8", 1))),
            9,
            log::LogFault::Next("realm.lifecycle/7/8".to_owned()),
        ),
        log_refused(
            "what a seal says is read next is not where it goes on",
            &lying(Lie::Seal(9, |line| line.replacen("lifecycle/7/9", "lifecycle/7/99", 1))),
            10,
            log::LogFault::Source("realm.lifecycle/7/10".to_owned()),
        ),
        log_refused(
            "line that is a version in a list",
            &lying(Lie::Line(LAST, |_| "[2]".to_owned())),
            13,
            log::LogFault::Line,
        ),
    ]
}

#[expect(clippy::disallowed_methods, reason = "fixtures are written when the environment asks for it")]
fn publish(file: &str, cases: &[Case]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(file);
    let published = std::fs::read_to_string(&path).unwrap();
    let made = cases.iter().map(|case| serde_json::to_string(case).unwrap());
    let expected: String = made.flat_map(|line| [line, "\n".to_owned()]).collect();
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(&path, &expected).unwrap();
    }
    assert!(published == expected, "{file}: write it anew with BLESS=1");
}

#[test]
fn signed_bundle_lies_match_the_published_cases() {
    let cases = [
        published::bundles(),
        around_the_records(),
        ways_through_the_map(),
        lines_and_payloads(),
        spellings(),
        versions_of_lines(),
        versions_of_bundles(),
    ];
    publish("bundles/cases.ndjson", &cases.into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn signed_log_lies_match_the_published_cases() {
    publish("tlogs/cases.ndjson", &published::logs().into_iter().chain(logs()).collect::<Vec<_>>());
}
