//! Changes of a bundle by a dishonest operator or a bad disk are all refused.

use ledger_core::event::{AppFact, InstallationFact};
use ledger_core::policy::Policy;
use ledger_core::realm::Realm;
use ledger_core::state::Rule;
use ledger_record::proof::Hash;
use ledger_record::proof::bundle::{Bundle, StreamPart};
use ledger_record::proof::line::{Leaf, RecordLeaf};
use ledger_record::proof::verify::{
    BundleFault, BundleRefusal, InconclusiveBundle, RecordFault, StreamName, verify,
};

use super::bundle::{judge, keys};
use super::ledger::{Ledger, Lie, app};
use crate::samples;

fn fault(bundle: &Bundle) -> BundleFault {
    match judge(bundle) {
        Err(BundleRefusal::Invalid(fault)) => fault,
        other => panic!("not noticed: {other:?}"),
    }
}

fn record(number: u64, fault: RecordFault) -> BundleFault {
    BundleFault::Record { number, stream: StreamName::Tenant, fault }
}

fn changed(change: impl FnOnce(&mut Bundle)) -> Bundle {
    let mut bundle = Ledger::eventful().bundle("acme");
    change(&mut bundle);
    bundle
}

fn with_history(change: impl FnOnce(&mut StreamPart)) -> Bundle {
    changed(|bundle| change(&mut bundle.history))
}

#[test]
fn every_flipped_bit_is_refused() {
    let mut ledger = Ledger::new();
    ledger.installed("acme", "app.one", 0, Some("EU"));
    ledger.tick();
    let pinned = ledger.note();
    let from = ledger.size();
    ledger.installed("other", "app.one", 1, None);
    ledger.tick();
    let bundle = Bundle { consistency: Some(ledger.consistency(from)), ..ledger.bundle("acme") };
    let text = bundle.write();
    assert!(verify(&text, &keys(), Some(&pinned)).is_ok());
    let mut tried = 0;
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // Text that is not UTF-8 is no bundle.
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            let verdict = verify(&flipped, &keys(), Some(&pinned));
            assert!(verdict.is_err(), "bit {bit} of byte {at}: {flipped}");
            tried += 1;
        }
    }
    assert_eq!(tried, 7 * text.len());
}

#[test]
fn one_flipped_bit_per_byte_of_a_long_bundle_is_refused() {
    let text = Ledger::eventful().bundle("acme").write();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let flipped = String::from_utf8(bytes).unwrap();
        assert!(verify(&flipped, &keys(), None).is_err(), "byte {at}");
    }
}

#[test]
fn truncated_bundle_is_refused_at_every_length() {
    let text = Ledger::eventful().bundle("acme").write();
    for end in 0..text.len() {
        let Ok(verified) = verify(&text[..end], &keys(), None) else { continue };
        // The app sections are optional; without them the bundle claims less.
        assert!(!verified.decisions_follow() && verified.records.len() == 7, "{end}");
        assert!(text[end..].starts_with(r#"{"type":"app","#), "{end}");
    }
}

#[test]
fn dropped_swapped_and_repeated_records_are_refused() {
    use RecordFault::Number;
    let count = 7;
    let recount = |history: &mut StreamPart| history.count = u64::try_from(history.records.len()).unwrap();
    for at in 0..count - 1 {
        let number = u64::try_from(at + 1).unwrap();
        for keep_count in [true, false] {
            let bundle = with_history(|history| {
                history.records.remove(at);
                if !keep_count {
                    recount(history);
                }
            });
            assert_eq!(fault(&bundle), record(number, Number));
        }
        let swapped = with_history(|history| history.records.swap(at, at + 1));
        assert_eq!(fault(&swapped), record(number, Number));
        let repeated = with_history(|history| {
            history.records.insert(at, history.records[at].clone());
            recount(history);
        });
        assert_eq!(fault(&repeated), record(number + 1, Number));
    }
    let truncated = with_history(|history| {
        history.records.pop();
        recount(history);
    });
    assert_eq!(fault(&truncated), BundleFault::Incomplete(StreamName::Tenant));
    let emptied = with_history(|history| {
        history.records.clear();
        recount(history);
    });
    assert_eq!(fault(&emptied), BundleFault::Incomplete(StreamName::Tenant));
    let miscounted = with_history(|history| history.count += 1);
    assert_eq!(fault(&miscounted), BundleFault::Incomplete(StreamName::Tenant));
}

#[test]
fn record_of_another_stream_is_refused() {
    let ledger = Ledger::eventful();
    let (foreign, own) = (ledger.bundle("größe"), ledger.bundle("acme"));
    let spliced = with_history(|history| history.records[0] = foreign.history.records[0].clone());
    assert_eq!(fault(&spliced), record(1, RecordFault::Stream));
    let appended = with_history(|history| history.records.push(foreign.history.records[0].clone()));
    assert_eq!(fault(&appended), record(8, RecordFault::Stream));
    // The whole history of another tenant under this tenant's name, and an absence copied from another tenant.
    let renamed = Bundle { client: own.client.clone(), ..foreign };
    assert_eq!(fault(&renamed), record(1, RecordFault::Stream));
    for name in 0..20 {
        let nobody = ledger.bundle(&format!("nobody-{name}"));
        let denied = Bundle { client: own.client.clone(), ..nobody };
        assert_eq!(fault(&denied), BundleFault::Incomplete(StreamName::Tenant));
    }
    let seal = with_history(|history| history.records[0].entry = own.seal.entry.clone());
    assert_eq!(fault(&seal), record(1, RecordFault::Line));
}

#[test]
fn rewritten_leaf_is_refused() {
    let rewritten = |number: usize, change: fn(&mut RecordLeaf)| {
        with_history(|history| {
            let Ok(Leaf::Record(mut leaf)) = Leaf::parse(&history.records[number].entry) else { panic!() };
            change(&mut leaf);
            history.records[number].entry = leaf.write();
        })
    };
    let realm = rewritten(0, |leaf| leaf.pinned_realm = Some(Realm::GLOBAL));
    assert_eq!(fault(&realm), record(1, RecordFault::NotIncluded));
    let rule = rewritten(0, |leaf| leaf.rule = Some(Rule::Persisted));
    assert_eq!(fault(&rule), record(1, RecordFault::NotIncluded));
    let link = rewritten(1, |leaf| leaf.previous = Hash::ZERO);
    assert_eq!(fault(&link), record(2, RecordFault::Previous));
    let moved = with_history(|history| history.records[1].index = history.records[0].index);
    assert_eq!(fault(&moved), record(2, RecordFault::Index));
    let beyond = with_history(|history| history.records[6].index += 9);
    assert_eq!(fault(&beyond), record(7, RecordFault::Index));
}

#[test]
fn exchanged_payload_is_refused() {
    let salted = with_history(|history| {
        if let Some((salt, _)) = &mut history.records[0].opening {
            salt.0[0] ^= 1;
        }
    });
    assert_eq!(fault(&salted), record(1, RecordFault::Commitment));
    let exchanged = with_history(|history| {
        let other = history.records[4].opening.clone();
        history.records[0].opening = other;
    });
    assert_eq!(fault(&exchanged), record(1, RecordFault::Commitment));
}

#[test]
fn older_seal_with_a_newer_note_is_refused() {
    let older = Ledger::eventful();
    let mut newer = older.clone();
    newer.fact("acme", "app.one", 9, InstallationFact::Enabled);
    newer.tick();
    let mixed = Bundle { note: newer.note(), ..older.bundle("acme") };
    assert_eq!(fault(&mixed), BundleFault::SealPlace);
    // With the note's own index, the older seal does not match its place.
    let mut moved = mixed.clone();
    moved.seal.index = newer.size() - 1;
    assert_eq!(fault(&moved), BundleFault::SealPlace);
    let history = Bundle { history: older.bundle("acme").history, ..newer.bundle("acme") };
    assert!(matches!(fault(&history), BundleFault::Record { fault: RecordFault::NotIncluded, .. }));
    let other_seal = Bundle { seal: newer.bundle("acme").seal, ..older.bundle("acme") };
    assert_eq!(fault(&other_seal), BundleFault::SealPlace);
}

#[test]
fn signed_but_unsealed_size_is_refused() {
    let mut ledger = Ledger::eventful();
    ledger.fact("acme", "app.one", 9, InstallationFact::Enabled);
    // The note is genuine, but its last leaf is a record.
    let unsealed = ledger.bundle("acme");
    assert_eq!(fault(&unsealed), BundleFault::SealLine);
    let sealed_before = Bundle { seal: Ledger::eventful().bundle("acme").seal, ..unsealed };
    assert_eq!(fault(&sealed_before), BundleFault::SealPlace);
}

#[test]
fn omitted_app_record_is_refused() {
    let hidden = changed(|bundle| {
        let (_, part) = &mut bundle.apps[0];
        part.records.pop();
        part.count -= 1;
    });
    assert!(matches!(fault(&hidden), BundleFault::Incomplete(StreamName::App(_))));
    // A true section of an app that the tenant does not have.
    let ledger = Ledger::eventful();
    let foreign = Bundle { apps: ledger.bundle("acme").apps, ..ledger.bundle("third") };
    assert_eq!(fault(&foreign), BundleFault::ForeignApp(app("app.one")));
    let without = changed(|bundle| drop(bundle.apps.pop()));
    assert!(!judge(&without).unwrap().decisions_follow(), "less is shown, so less is claimed");
}

#[test]
fn decision_that_does_not_follow_is_refused() {
    // The operator appends a record with a wrong rule to an otherwise consistent log.
    for (seq, lie) in [(1, Rule::Persisted), (5, Rule::Fresh)] {
        let bundle = Ledger::lying(Lie::Rule(seq, lie)).bundle("acme");
        assert_eq!(fault(&bundle), BundleFault::Decision { seq });
    }
}

#[test]
fn realm_that_does_not_follow_is_refused() {
    let honest = Ledger::eventful().bundle("acme");
    for (seq, record) in (1..).zip(&honest.history.records) {
        let Ok(Leaf::Record(leaf)) = Leaf::parse(&record.entry) else { panic!("{}", record.entry) };
        for lie in [None, Realm::parse("EU").ok(), Some(Realm::GLOBAL)] {
            if lie != leaf.pinned_realm {
                let bundle = Ledger::lying(Lie::Realm(seq, lie)).bundle("acme");
                assert_eq!(fault(&bundle), BundleFault::Decision { seq }, "{lie:?} in seq {seq}");
            }
        }
    }
}

/// Refolded with the late policy there is no window, and the reinstall has another rule.
#[test]
fn late_policy_must_change_the_later_leaves() {
    let ledger = |late: bool| {
        let mut ledger = Ledger::new();
        ledger.app_level("app.one", -2, AppFact::DescriptorPublished { descriptor: samples::descriptor() });
        ledger.app_level("app.one", -1, AppFact::PolicySet { policy: Policy::Indefinite });
        ledger.installed("acme", "app.one", 0, Some("EU"));
        ledger.fact(
            "acme",
            "app.one",
            4,
            InstallationFact::Uninstalled { endpoint_realm: None, installation_id: None },
        );
        ledger.app_level("app.one", if late { 3 } else { 5 }, AppFact::PolicySet { policy: Policy::Off });
        ledger.installed("acme", "app.one", 6, None);
        ledger.tick();
        ledger.bundle("acme")
    };
    for (late, rule) in [(false, Rule::Persisted), (true, Rule::PersistenceOff)] {
        let bundle = ledger(late);
        assert!(judge(&bundle).unwrap().decisions_follow());
        let Ok(Leaf::Record(leaf)) = Leaf::parse(&bundle.history.records[2].entry) else { panic!() };
        assert_eq!(leaf.rule, Some(rule));
    }
}

#[test]
fn decisions_by_unknown_rules_are_inconclusive() {
    let bundle = Ledger::by_rules(3).bundle("acme");
    assert!(matches!(judge(&bundle), Err(BundleRefusal::Undecided(InconclusiveBundle::UnknownRules(3)))));
    // A partial bundle claims nothing about decisions, and the rest is valid.
    let part = changed(|bundle| *bundle = Ledger::by_rules(3).bundle_of_one_app("acme", &app("app.one")));
    assert!(!judge(&part).unwrap().decisions_follow());
}
