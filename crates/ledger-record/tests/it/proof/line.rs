//! Leaf lines and payloads: frozen bytes, decoded strictly.
//!
//! `golden/leaf-v1.txt` has a name, the line and the payload of each kind of record, separated by tabs. Lines are
//! added, never changed.

use ledger_core::event::Body;
use ledger_core::realm::Realm;
use ledger_core::tenant::Outcome;
use ledger_core::time::Timestamp;
use ledger_record::proof::Hash;
use ledger_record::proof::line::{
    EVENT_TYPES, Leaf, LeafContext, LeafHasher, LeafLineError, LedgerSecret, RecordLeaf, SealLeaf, TooLarge,
    commitment, leaf_hash, pinned_realm, rule, stream_id,
};
use ledger_record::proof::payload;
use ledger_record::record::{Content, Record, Stream};
use proptest::prelude::*;

use crate::{samples, strategies};

const FROZEN: &str = include_str!("../../golden/leaf-v1.txt");

fn secret() -> LedgerSecret {
    LedgerSecret::from_bytes([7; 32])
}

fn beside() -> LeafContext {
    LeafContext { previous: Hash([1; 32]), pinned_realm: Realm::parse("EU").ok() }
}

/// Only the lines of events of an installation show a realm.
fn beside_of(record: &Record) -> LeafContext {
    let shows_realm = match &record.content {
        Content::Event { event, .. } => matches!(event.body, Body::Installation { .. }),
        Content::Refused(_) | Content::Seal(_) | Content::Succession(_) => false,
    };
    LeafContext { pinned_realm: beside().pinned_realm.filter(|_| shows_realm), ..beside() }
}

fn seal() -> SealLeaf {
    SealLeaf {
        index: 4096,
        map_root: Hash([2; 32]),
        streams: 12,
        next: "realm.lifecycle/7/884214".to_owned(),
        duplicates: 3,
        rejected: 1,
        recorded: Timestamp::from_millis(1_763_913_600_456),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the file is made by the test that checks it")]
fn golden_leaves_and_payloads_are_unchanged() {
    let mut written = Vec::new();
    let mut hasher = LeafHasher::new(secret());
    let succession = ("record-succession".to_owned(), samples::succession());
    for (name, record) in samples::records().into_iter().chain([succession]) {
        let leaf = RecordLeaf::from_record(&record, beside_of(&record), &secret()).unwrap();
        let leaf_of_it = hasher.hash(rule(&record), &record, leaf.stream, beside_of(&record));
        assert_eq!(leaf_of_it, leaf_hash(&leaf.write()), "{name}");
        written.push(format!("{name}\t{}\t{}", leaf.write(), payload::of(&record)));
    }
    written.push(format!("seal\t{}\t", seal().write().unwrap()));
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/leaf-v1.txt");
        return std::fs::write(path, written.join("\n") + "\n").unwrap();
    }
    let frozen: Vec<&str> = FROZEN.lines().collect();
    let differing: Vec<&String> = written.iter().filter(|line| !frozen.contains(&line.as_str())).collect();
    assert!(
        differing.is_empty(),
        "not written as it was written first, or not frozen yet:\n{}",
        differing.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(frozen.len(), written.len(), "frozen, but no longer written");
}

#[test]
fn every_event_type_has_a_leaf() {
    let mut names: Vec<&str> = samples::events().iter().map(|(_, event)| event.type_name()).collect();
    names.sort_unstable();
    names.dedup();
    let mut listed = EVENT_TYPES;
    listed.sort_unstable();
    assert_eq!(names, listed);
}

#[test]
fn leaves_round_trip() {
    for (name, record) in samples::records() {
        let leaf = RecordLeaf::from_record(&record, beside(), &secret()).unwrap();
        assert_eq!(Leaf::parse(&leaf.write()), Ok(Leaf::Record(leaf)), "{name}");
    }
    assert_eq!(Leaf::parse(&seal().write().unwrap()), Ok(Leaf::Seal(seal())));
}

#[test]
fn misspelled_leaves_are_refused() {
    let (_, record) = samples::records().swap_remove(0);
    let line = RecordLeaf::from_record(&record, beside(), &secret()).unwrap().write();
    for (from, to) in [
        (r#""n":7"#, r#""n":07"#),
        (r#""n":7"#, r#""n":7.0"#),
        (r#""n":7"#, r#""n": 7"#),
        (r#""n":7"#, r#""n":9007199254740992"#),
        (r#""r":"EU""#, r#""r":"eu""#),
        (r#""r":"EU""#, r#""r":"E""#),
        (r#""u":"""#, r#""u":"NO_RULE""#),
        (r#""y":"installed""#, r#""y":"install""#),
        (r#""y":"installed""#, r#""y":"seal""#),
        (r#""y":"installed""#, r#""y":"\u0069nstalled""#),
        (r#""u":"""#, r#""u":"","x":1"#),
        (r#""u":"""#, r#""u":"","u":"""#),
        (r#"{"v":1,"#, "{"),
        ("\"}", "\"}\n"),
        ("\"}", "=\"}"),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        assert_eq!(Leaf::parse(&changed), Err(LeafLineError::Malformed), "{to}");
    }
    let newer = line.replacen(r#"{"v":1,"#, r#"{"v":2,"#, 1);
    assert_eq!(Leaf::parse(&newer), Err(LeafLineError::UnknownVersion(2)));
    assert_eq!(Leaf::parse(""), Err(LeafLineError::Malformed));
}

#[test]
fn numbers_beyond_json_precision_have_no_leaf() {
    let (_, record) = samples::records().swap_remove(0);
    let large = Record { seq: 1 << 53, ..record.clone() };
    assert_eq!(RecordLeaf::from_record(&large, beside(), &secret()), Err(TooLarge));
    let early = Record { recorded: Timestamp::MIN, ..record };
    assert_eq!(RecordLeaf::from_record(&early, beside(), &secret()), Err(TooLarge));
    assert_eq!(SealLeaf { duplicates: 1 << 53, ..seal() }.write(), Err(TooLarge));
}

#[test]
fn stream_ids_and_salts_are_distinct() {
    let (client, app) = (samples::client(), samples::app());
    let ids = [Stream::Tenant(client), Stream::App(app), Stream::Rejected].map(|s| stream_id(&s));
    // SHA-256 of the context, 03, 0000, as `printf` and `sha256sum` compute it.
    assert_eq!(ids[2], Hash::of(&[b"realm-ledger/key/v1\0\x03\0\0"]));
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let salts = [(ids[0], 1), (ids[0], 2), (ids[1], 1)].map(|(stream, n)| secret().salt(stream, n));
    assert!(salts[0] != salts[1] && salts[0] != salts[2]);
    assert_ne!(salts[0], LedgerSecret::from_bytes([8; 32]).salt(ids[0], 1));
    assert_ne!(commitment(&salts[0], b"x"), commitment(&salts[1], b"x"));
    assert_eq!(format!("{:?}", secret()), "LedgerSecret(…)");
}

#[test]
fn leaf_has_the_rule_and_realm_of_the_events_installation() {
    let (_, event) = samples::events().swap_remove(0);
    let mut changes = samples::changes();
    let other = changes.iter().position(|change| change.app != samples::app()).unwrap();
    changes.swap(0, other);
    let tenant = samples::tenant();
    let expected = tenant.installations.get(&samples::app()).unwrap().pin.unwrap().realm;
    let record = samples::event_record(event, Outcome { late: false, changes: changes[..1].to_vec() });
    let leaf = RecordLeaf::from_record(&record, beside(), &secret()).unwrap();
    assert_eq!(leaf.rule, None, "another installation's change");
    assert_eq!(pinned_realm(&record, &tenant), Some(expected));
    for (name, record) in samples::records() {
        let shown = pinned_realm(&record, &tenant).is_some();
        assert_eq!(shown, beside_of(&record).pinned_realm.is_some(), "{name}");
    }
}

#[test]
fn stored_seal_becomes_a_seal_leaf() {
    let record = samples::seal();
    let leaf = SealLeaf {
        index: 0x0102_0304,
        map_root: Hash::of(&[b"a map"]),
        streams: 3,
        next: "realm.lifecycle/7/884213".to_owned(),
        duplicates: 2,
        rejected: 1,
        recorded: record.recorded,
    };
    assert_eq!(Leaf::from_record(&record, beside(), &secret()), Ok(Leaf::Seal(leaf.clone())));
    assert_eq!(Leaf::Seal(leaf.clone()).write(), leaf.write());
    assert_eq!(payload::of(&record), "");
}

#[test]
fn secrets_differ_by_fingerprint() {
    assert_eq!(secret().fingerprint(), secret().fingerprint());
    assert_ne!(secret().fingerprint(), LedgerSecret::from_bytes([8; 32]).fingerprint());
}

proptest! {
    #[test]
    fn event_round_trips_through_leaf_and_payload(record in strategies::record()) {
        let Content::Event { event, time_defaulted, .. } = &record.content else { return Ok(()) };
        let text = payload::of(&record);
        let opened = payload::open(&text, event.type_name(), event.app(), event.time);
        let opened = opened.map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(&opened.event, event);
        prop_assert_eq!(opened.time_defaulted, *time_defaulted);
        prop_assert_eq!(opened.rules, record.rules);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
    }

    #[test]
    fn every_written_leaf_is_read_back(record in strategies::record()) {
        let leaf = Leaf::from_record(&record, beside(), &secret());
        if let Ok((leaf, line)) = leaf.and_then(|leaf| Ok((leaf.clone(), leaf.write()?))) {
            prop_assert_eq!(Leaf::parse(&line), Ok(leaf));
        }
    }
}
