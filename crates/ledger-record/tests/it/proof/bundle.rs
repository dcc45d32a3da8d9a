//! Valid bundles: a whole history, an absence, one app's view, an earlier checkpoint.

use ledger_core::event::InstallationFact;
use ledger_core::state::Rule;
use ledger_record::proof::bundle::Bundle;
use ledger_record::proof::note::VerifierKey;
use ledger_record::proof::verify::{BundleFault, BundleRefusal, InconclusiveBundle, VerifiedBundle, verify};

use super::ledger::{Ledger, app, key};

pub(crate) fn keys() -> Vec<VerifierKey> {
    vec![key(1).verifier()]
}

pub(crate) fn judge(bundle: &Bundle) -> Result<VerifiedBundle, BundleRefusal> {
    verify(&bundle.write(), &keys(), None)
}

#[test]
fn bundle_round_trips() {
    let ledger = Ledger::eventful();
    for of in ["acme", "größe", "third", "nobody"] {
        let bundle = ledger.bundle(of);
        assert_eq!(Bundle::parse(&bundle.write()), Ok(bundle), "{of}");
    }
}

#[test]
fn whole_history_verifies_with_its_decisions() {
    let ledger = Ledger::eventful();
    let verified = judge(&ledger.bundle("acme")).unwrap();
    assert_eq!(verified.records.len(), 7);
    assert!(verified.decisions_follow());
    assert_eq!(verified.checkpoint, ledger.checkpoint());
    assert_eq!(verified.seal.index, ledger.size() - 1);
    let rules: Vec<Option<Rule>> = verified.records.iter().map(|shown| shown.leaf.rule).collect();
    assert_eq!(rules[0], Some(Rule::Fresh));
    assert!(rules[4].is_some_and(|rule| rule != Rule::Fresh), "a reinstall: {rules:?}");
    let realms: Vec<_> = verified.records.iter().map(|shown| shown.leaf.pinned_realm).collect();
    assert!(realms[0].is_some() && realms[3].is_none(), "{realms:?}");
    assert!(verified.records.iter().all(|shown| shown.opened.is_some()));
    for of in ["größe", "third"] {
        assert!(judge(&ledger.bundle(of)).unwrap().decisions_follow(), "{of}");
    }
}

#[test]
fn absence_verifies() {
    let mut ledger = Ledger::eventful();
    for number in 0..40 {
        ledger.installed(&format!("somebody-{number}"), "app.one", 9, None);
    }
    ledger.tick();
    let mut ends = [0; 2];
    for number in 0..60 {
        let bundle = ledger.bundle(&format!("nobody-{number}"));
        ends[usize::from(bundle.history.other.is_some())] += 1;
        assert_eq!(judge(&bundle).unwrap().records, []);
    }
    assert!(ends[0] > 0 && ends[1] > 0, "at nothing, and at another's leaf: {ends:?}");
}

#[test]
fn bundle_of_one_app_omits_other_payloads() {
    let ledger = Ledger::eventful();
    let bundle = ledger.bundle_of_one_app("acme", &app("app.one"));
    let verified = judge(&bundle).unwrap();
    assert!(!verified.decisions_follow(), "they rest on more than is shown");
    let hidden = verified.records.iter().filter(|shown| shown.opened.is_none());
    assert!(hidden.map(|shown| shown.leaf.app.clone()).eq([Some(app("app.two"))]));
}

#[test]
fn pinned_checkpoint_is_extended() {
    let before = Ledger::eventful();
    let mut ledger = before.clone();
    ledger.fact("third", "app.two", 9, InstallationFact::Disabled);
    ledger.tick();
    let pinned = before.note();
    let plain = ledger.bundle("acme");
    let from_pinned =
        Bundle { consistency: Some(ledger.consistency(before.size())), ..plain.clone() }.write();
    let plain = plain.write();
    assert!(verify(&from_pinned, &keys(), Some(&pinned)).is_ok());
    assert!(verify(&plain, &keys(), Some(&ledger.note())).is_ok(), "the very checkpoint");
    let undecided = |doubt: InconclusiveBundle| Err(BundleRefusal::Undecided(doubt));
    assert_eq!(verify(&from_pinned, &keys(), None), undecided(InconclusiveBundle::NoPinnedNote));
    assert_eq!(verify(&plain, &keys(), Some(&pinned)), undecided(InconclusiveBundle::NoConsistencyProof));
    assert_eq!(
        verify(&before.bundle("acme").write(), &keys(), Some(&ledger.note())),
        undecided(InconclusiveBundle::NoConsistencyProof)
    );
    assert_eq!(verify(&from_pinned, &[], Some(&pinned)), undecided(InconclusiveBundle::UnknownKey));
    let foreign = before.checkpoint().sign(&[&key(2)]);
    assert_eq!(
        verify(&from_pinned, &keys(), Some(&foreign)),
        undecided(InconclusiveBundle::PinnedUnknownKey)
    );

    // A log forked after or before the pinned checkpoint.
    let mut forked = Ledger::new();
    forked.installed("acme", "app.one", 0, None);
    while forked.size() + 1 < before.size() {
        forked.installed("acme", "app.one", 1, None);
    }
    forked.tick();
    assert_eq!(
        verify(&from_pinned, &keys(), Some(&forked.note())),
        Err(BundleRefusal::Invalid(BundleFault::Inconsistent))
    );
}

#[test]
fn newer_bundle_version_is_inconclusive() {
    let text = Ledger::eventful().bundle("acme").write();
    let newer = text.replacen(r#","v":1,"#, r#","v":2,"#, 1);
    assert_eq!(
        verify(&newer, &keys(), None),
        Err(BundleRefusal::Undecided(InconclusiveBundle::UnknownVersion(2)))
    );
}
