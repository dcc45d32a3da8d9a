//! The published cases of `cases.ndjson` before those of [`super::lies`]: true bundles and logs, and their changes in
//! transit. `BLESS=1` writes them again.

use std::collections::BTreeMap;
use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ledger_core::event::{Body, Event, InstallationFact};
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_record::proof::bundle::{Bundle, StreamPart};
use ledger_record::proof::line::Leaf;
use ledger_record::proof::note::{Checkpoint, VerifierKey};
use ledger_record::proof::tlog;
use ledger_record::proof::verify::{BundleRefusal, verify};

use super::ledger::{Ledger, Lie, app, client, key};
use super::lies::Case;
use super::tlog::{Files, directory, large};

fn keys() -> Vec<VerifierKey> {
    vec![key(1).verifier()]
}

fn bundle_case(
    name: &'static str,
    exit: u8,
    text: String,
    keys: &[VerifierKey],
    pinned: Option<String>,
) -> Case {
    let found = match verify(&text, keys, pinned.as_deref()) {
        Ok(_) => 0,
        Err(BundleRefusal::Invalid(_)) => 3,
        Err(BundleRefusal::Undecided(_)) => 1,
    };
    assert_eq!(found, exit, "{name}");
    let keys = keys.iter().map(VerifierKey::to_string).collect();
    Case { name, exit, exit_without_rules: None, keys, pinned, bundle: Some(text), files: None }
}

fn case(name: &'static str, exit: u8, text: String) -> Case {
    bundle_case(name, exit, text, &keys(), None)
}

fn acme() -> Bundle {
    Ledger::eventful().bundle("acme")
}

fn changed(change: impl FnOnce(&mut Bundle)) -> String {
    let mut bundle = acme();
    change(&mut bundle);
    bundle.write()
}

fn recounted(part: &mut StreamPart) {
    part.count = u64::try_from(part.records.len()).unwrap();
}

/// The eventful log and one more record, sealed.
fn grown() -> Ledger {
    let mut ledger = Ledger::eventful();
    ledger.fact("third", "app.two", 9, InstallationFact::Disabled);
    ledger.tick();
    ledger
}

fn grown_from_pinned(of: &str) -> String {
    let consistency = Some(grown().consistency(Ledger::eventful().size()));
    Bundle { consistency, ..grown().bundle(of) }.write()
}

/// Another log of the same size as the eventful one.
fn forked() -> Ledger {
    let mut ledger = Ledger::new();
    while ledger.size() + 1 < Ledger::eventful().size() {
        ledger.installed("acme", "app.one", 1, None);
    }
    ledger.tick();
    ledger
}

/// A log of many tenants.
fn crowded() -> Ledger {
    let mut ledger = Ledger::eventful();
    for number in 0..40 {
        ledger.installed(&format!("tenant-{number}"), "app.one", 9, None);
    }
    ledger.tick();
    ledger
}

fn busy() -> Ledger {
    let mut ledger = Ledger::eventful();
    for (round, product) in (0..10).zip(["US", "EU", "EU"].into_iter().cycle()) {
        ledger.installed("busy", "app.one", 10 + 2 * round, Some(product));
        let fact = InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None };
        ledger.fact("busy", "app.one", 11 + 2 * round, fact);
        for number in 0..round {
            ledger.installed(&format!("between-{round}-{number}"), "app.one", 9, None);
        }
    }
    ledger.tick();
    ledger
}

/// The payload is free text; writers of JSON easily differ in control characters and those near the ends of ASCII.
pub(super) fn text_of_every_kind() -> Ledger {
    let mut ledger = Ledger::new();
    let actor = "\u{1}\t\"\\\\u007f /~\u{7f}\u{80}\u{9f}\u{2028}\u{fffd}\u{10ffff}".to_owned();
    let body =
        Body::Installation { client: client("acme"), app: app("one"), fact: InstallationFact::Enabled };
    ledger.append(Event { actor: Some(actor), ..ledger.event(0, body) });
    ledger.tick();
    ledger
}

fn true_bundles() -> Vec<Case> {
    let eventful = Ledger::eventful();
    let whole = || acme().write();
    let two_keys = Bundle { note: eventful.checkpoint().sign(&[&key(1), &key(2)]), ..acme() };
    let crowded = crowded();
    let at_nothing = (0..).map(|number| crowded.bundle(&format!("nobody-{number}")));
    let at_nothing = at_nothing.into_iter().find(|bundle| bundle.history.other.is_none()).unwrap();
    let (pinned, newer) = (Some(eventful.note()), Some(grown().note()));
    vec![
        case("whole history", 0, whole()),
        case("key with other letters", 0, eventful.bundle("größe").write()),
        case("absence", 0, eventful.bundle("nobody").write()),
        case("absence at nothing", 0, at_nothing.write()),
        case("one app only", 0, eventful.bundle_of_one_app("acme", &app("app.one")).write()),
        case("signed by two keys", 0, two_keys.write()),
        bundle_case(
            "goes on from a pinned checkpoint",
            0,
            grown_from_pinned("third"),
            &keys(),
            pinned.clone(),
        ),
        bundle_case("pinned is the checkpoint itself", 0, whole(), &keys(), pinned.clone()),
        case("goes on from a checkpoint that is not given", 1, grown_from_pinned("third")),
        bundle_case("does not go on from the pinned checkpoint", 1, whole(), &keys(), newer),
        bundle_case("no key", 1, whole(), &[], None),
        bundle_case("another key", 1, whole(), &[key(2).verifier()], None),
        case("newer bundle", 1, whole().replacen(r#","v":1,"#, r#","v":2,"#, 1)),
        case("newer leaf", 1, whole().replacen(r#"{\"v\":1,"#, r#"{\"v\":2,"#, 1)),
        case("text of every kind", 0, text_of_every_kind().bundle("acme").write()),
        case("twenty records", 0, busy().bundle("busy").write()),
    ]
}

fn records_exchanged() -> Vec<Case> {
    let eventful = Ledger::eventful();
    let other = || eventful.bundle("größe");
    vec![
        bundle_case(
            "forked from the pinned checkpoint",
            3,
            grown_from_pinned("third"),
            &keys(),
            Some(forked().note()),
        ),
        case("first record dropped", 3, changed(|bundle| drop(bundle.history.records.remove(0)))),
        case(
            "last record dropped",
            3,
            changed(|bundle| {
                bundle.history.records.pop();
                recounted(&mut bundle.history);
            }),
        ),
        case(
            "history denied",
            3,
            changed(|bundle| {
                bundle.history.records.clear();
                bundle.apps.clear();
                recounted(&mut bundle.history);
            }),
        ),
        case("records swapped", 3, changed(|bundle| bundle.history.records.swap(0, 1))),
        case(
            "record repeated",
            3,
            changed(|bundle| {
                bundle.history.records.insert(0, bundle.history.records[0].clone());
                recounted(&mut bundle.history);
            }),
        ),
        case(
            "another tenant's record",
            3,
            changed(|bundle| bundle.history.records[0] = other().history.records[0].clone()),
        ),
        case("another tenant's history", 3, Bundle { client: client("acme"), ..other() }.write()),
        case(
            "another tenant's absence",
            3,
            Bundle { client: client("acme"), ..eventful.bundle("nobody") }.write(),
        ),
        case(
            "realm rewritten",
            3,
            changed(|bundle| {
                let entry = &mut bundle.history.records[0].entry;
                let Ok(Leaf::Record(mut leaf)) = Leaf::parse(entry) else { panic!("{entry}") };
                leaf.pinned_realm = Some(Realm::GLOBAL);
                *entry = leaf.write();
            }),
        ),
        case(
            "payload exchanged",
            3,
            changed(|bundle| {
                bundle.history.records[0].opening = bundle.history.records[4].opening.clone();
            }),
        ),
    ]
}

fn parts_exchanged() -> Vec<Case> {
    let eventful = Ledger::eventful();
    let mut unsealed = Ledger::eventful();
    unsealed.fact("acme", "app.one", 9, InstallationFact::Enabled);
    let mut cases = records_exchanged();
    cases.extend([
        case("count wrong", 3, changed(|bundle| bundle.history.count += 1)),
        case("older seal under a newer note", 3, Bundle { note: grown().note(), ..acme() }.write()),
        case("unsealed size", 3, unsealed.bundle("acme").write()),
        case(
            "app section shortened",
            3,
            changed(|bundle| {
                let (_, part) = &mut bundle.apps[0];
                part.records.pop();
                recounted(part);
            }),
        ),
        case("app section of another app", 3, {
            Bundle { apps: acme().apps, ..eventful.bundle("third") }.write()
        }),
        case("signature wrong", 3, {
            let (own, newer) = (eventful.note(), grown().note());
            let (text, _) = own.rsplit_once('\u{2014}').unwrap();
            let (_, signature) = newer.rsplit_once('\u{2014}').unwrap();
            Bundle { note: format!("{text}\u{2014}{signature}"), ..acme() }.write()
        }),
    ]);
    cases
}

fn other_spellings() -> Vec<Case> {
    let whole = || acme().write();
    let seal_proof = URL_SAFE_NO_PAD.encode(acme().seal.proof[0].0);
    // The last letter has two unused bits.
    let lenient = format!("{}{}", &seal_proof[..42], next_letter(&seal_proof[42..]));
    let lying = Ledger::lying(Lie::Rule(1, Rule::Persisted)).bundle("acme").write();
    let letters = Ledger::eventful().bundle("größe").write();
    vec![
        case("spaces", 3, whole().replacen(r#""v":1"#, r#""v": 1"#, 1)),
        case("letters not escaped", 3, letters.replacen(r"gr\u00f6\u00dfe", "größe", 1)),
        case("unknown field", 3, whole().replacen(r#""v":1,"#, r#""v":1,"x":1,"#, 1)),
        case("repeated field", 3, whole().replacen(r#""v":1,"#, r#""v":1,"v":1,"#, 1)),
        case("lenient base64", 3, whole().replacen(&seal_proof, &lenient, 1)),
        case("trailing line", 3, whole() + "\n"),
        case("no line end", 3, whole().trim_end().to_owned()),
        case("empty", 3, String::new()),
        Case { exit_without_rules: Some(0), ..case("rule that does not follow", 3, lying) },
    ]
}

fn next_letter(letter: &str) -> char {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    LETTERS.chars().nth(LETTERS.find(letter).unwrap() + 1).unwrap()
}

pub(super) fn bundles() -> Vec<Case> {
    [true_bundles(), parts_exchanged(), other_spellings()].into_iter().flatten().collect()
}

fn log_case(
    name: &'static str,
    exit: u8,
    files: &Files,
    keys: &[VerifierKey],
    pinned: Option<String>,
) -> Case {
    let read = |path: &str| Ok::<_, Infallible>(files.get(path).cloned());
    let found = match tlog::verify(read, keys, pinned.as_deref(), |_, _| {}) {
        Ok(_) => 0,
        Err(tlog::TilesRefusal::Invalid(_)) => 3,
        Err(tlog::TilesRefusal::Undecided(_) | tlog::TilesRefusal::Unreadable(_)) => 1,
    };
    assert_eq!(found, exit, "{name}");
    let files: BTreeMap<_, _> =
        files.iter().map(|(path, bytes)| (path.clone(), STANDARD.encode(bytes))).collect();
    let keys = keys.iter().map(VerifierKey::to_string).collect();
    Case { name, exit, exit_without_rules: None, keys, pinned, bundle: None, files: Some(files) }
}

fn whole_log() -> Files {
    directory(Ledger::eventful().lines())
}

/// A log that the operator signs after changing its lines.
fn signed(name: &'static str, change: impl FnOnce(&mut Vec<String>)) -> Case {
    let mut lines = Ledger::eventful().lines().to_vec();
    change(&mut lines);
    log_case(name, 3, &directory(&lines), &keys(), None)
}

fn with_file(name: &'static str, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Case {
    let mut files = whole_log();
    change(files.get_mut(path).unwrap());
    log_case(name, 3, &files, &keys(), None)
}

const HASHES: &str = "tile/0/000.p/15";
const LINES: &str = "tile/entries/000.p/15";

fn true_logs() -> Vec<Case> {
    let (eventful, large) = (Ledger::eventful(), large());
    let mut grown = large.clone();
    for number in 0..300 {
        grown.installed(&format!("late-{number}"), "app.one", 9, None);
    }
    grown.tick();
    let mut older = directory(grown.lines());
    older.insert("checkpoint".to_owned(), large.note().into_bytes());
    let level_1 = directory(large.lines()).remove("tile/1/000.p/2").unwrap();
    older.insert("tile/1/000.p/2".to_owned(), level_1);
    let mut newer_leaf = eventful.lines().to_vec();
    newer_leaf[3] = newer_leaf[3].replacen(r#"{"v":1,"#, r#"{"v":2,"#, 1);
    let mut fork = eventful.checkpoint();
    fork.root.0[0] ^= 1;
    let fork = Some(Checkpoint { ..fork }.sign(&[&key(1)]));
    vec![
        log_case("whole log", 0, &whole_log(), &keys(), None),
        log_case("older checkpoint, its partial tiles gone", 0, &older, &keys(), None),
        log_case(
            "goes on from a pinned checkpoint",
            0,
            &directory(large.lines()),
            &keys(),
            Some(eventful.note()),
        ),
        log_case("no key", 1, &whole_log(), &[], None),
        log_case("another key", 1, &whole_log(), &[key(2).verifier()], None),
        log_case("nothing there", 1, &Files::new(), &keys(), None),
        log_case("pinned is newer", 1, &whole_log(), &keys(), Some(large.note())),
        log_case("newer leaf", 1, &directory(&newer_leaf), &keys(), None),
        log_case("forked from the pinned checkpoint", 3, &whole_log(), &keys(), fork),
    ]
}

fn changed_logs() -> Vec<Case> {
    let without = |path: &str| {
        let mut files = whole_log();
        files.remove(path).unwrap();
        files
    };
    let seal = |change: fn(&mut ledger_record::proof::line::SealLeaf), index: usize| {
        move |lines: &mut Vec<String>| {
            let Ok(Leaf::Seal(mut seal)) = Leaf::parse(&lines[index]) else { panic!("a record") };
            change(&mut seal);
            lines[index] = seal.write().unwrap();
        }
    };
    let stale = |lines: &mut Vec<String>| {
        let roots: Vec<_> = [9, 14].map(|at| Leaf::parse(&lines[at]).unwrap()).into();
        let [Leaf::Seal(before), Leaf::Seal(last)] = &roots[..] else { panic!("records") };
        let last = ledger_record::proof::line::SealLeaf { map_root: before.map_root, ..last.clone() };
        lines[14] = last.write().unwrap();
    };
    vec![
        with_file("bit of a line flipped", LINES, |bytes| bytes[200] ^= 1),
        with_file("bit of a hash flipped", HASHES, |bytes| bytes[200] ^= 1),
        with_file("bit of the checkpoint flipped", "checkpoint", |bytes| bytes[40] ^= 1),
        log_case("lines missing", 3, &without(LINES), &keys(), None),
        log_case("hashes missing", 3, &without(HASHES), &keys(), None),
        with_file("last line cut", LINES, |bytes| {
            bytes.pop();
        }),
        signed("unsealed size", |lines| drop(lines.pop())),
        signed("record dropped", |lines| drop(lines.remove(7))),
        signed("records swapped", |lines| lines.swap(6, 7)),
        signed("map with stale heads", stale),
        signed("map of an earlier seal wrong", seal(|seal| seal.map_root.0[0] ^= 1, 9)),
        signed("refusal not counted", seal(|seal| seal.rejected -= 1, 14)),
        signed("streams miscounted", seal(|seal| seal.streams += 1, 14)),
        signed("seal says another index", seal(|seal| seal.index += 1, 14)),
        signed("two seals in a row", |lines| {
            let Ok(Leaf::Seal(mut seal)) = Leaf::parse(&lines[14]) else { panic!("a record") };
            seal.index += 1;
            lines.push(seal.write().unwrap());
        }),
    ]
}

pub(super) fn logs() -> Vec<Case> {
    [true_logs(), changed_logs()].into_iter().flatten().collect()
}
