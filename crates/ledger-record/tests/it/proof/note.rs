//! Notes against public vectors and a foreign implementation.

use ledger_record::proof::Hash;
use ledger_record::proof::note::{
    Checkpoint, NoteError, NoteKeyError, SignerKey, VerifierKey, verify_ed25519,
};
use serde_json::Value;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

const WYCHEPROOF: &str = include_str!("../../../../../tests/fixtures/vectors/wycheproof/ed25519_test.json");
const EDGES: &str = include_str!("../../../../../tests/fixtures/vectors/ed25519-edges/ed25519vectors.json");

const ORIGIN: &str = "ledger.example.com/realm/7";

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 4097, root: Hash::of(&[b"root"]) }
}

fn signer(seed: u8) -> SignerKey {
    SignerKey::from_seed(ORIGIN, [seed; 32]).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn wycheproof_verdicts_are_matched() {
    let suite: Value = serde_json::from_str(WYCHEPROOF).unwrap();
    let mut count = 0;
    for group in suite["testGroups"].as_array().unwrap() {
        let public = bytes(&group["publicKey"]["pk"]).try_into().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let accepted = verify_ed25519(&public, &bytes(&test["msg"]), &bytes(&test["sig"]));
            assert_eq!(accepted, test["result"] == "valid", "{test}");
            count += 1;
        }
    }
    assert_eq!(count, 151);
}

#[test]
fn signature_with_an_edge_point_is_refused() {
    let vectors: Vec<Value> = serde_json::from_str(EDGES).unwrap();
    let mut accepted = 0;
    for vector in &vectors {
        let public = bytes(&vector["A"]).try_into().unwrap();
        let signature = [bytes(&vector["R"]), bytes(&vector["S"])].concat();
        if verify_ed25519(&public, vector["M"].as_str().unwrap().as_bytes(), &signature) {
            accepted += 1;
            let flags = vector["Flags"].to_string();
            for edge in ["\"LowOrderA\"", "\"LowOrderR\"", "NonCanonical", "LowOrderResidue"] {
                assert!(!flags.contains(edge), "{vector}");
            }
        }
    }
    assert_eq!((vectors.len(), accepted), (768, ACCEPTED_EDGES));
}

/// Points of large order with a low-order component, canonically encoded, where nothing is left over.
const ACCEPTED_EDGES: usize = 43;

#[test]
fn note_opens_with_the_signing_key_only() {
    let note = checkpoint().sign(&[&signer(1)]);
    assert_eq!(Checkpoint::open(&note, &[signer(1).verifier()]), Ok(checkpoint()));
    assert_eq!(Checkpoint::open(&note, &[signer(2).verifier()]), Err(NoteError::UnknownKey));
    assert_eq!(Checkpoint::open(&note, &[]), Err(NoteError::UnknownKey));
    // During a key change either key is enough, but no signature may be wrong.
    let both = checkpoint().sign(&[&signer(1), &signer(2)]);
    for known in [1, 2] {
        assert_eq!(Checkpoint::open(&both, &[signer(known).verifier()]), Ok(checkpoint()));
    }
    let (text, _) = both.split_once("\n\n").unwrap();
    let forged = Checkpoint { size: 4098, ..checkpoint() }.sign(&[&signer(2)]);
    let first = note.lines().last().unwrap();
    let mixed = format!("{text}\n\n{first}\n{}\n", forged.lines().last().unwrap());
    let keys = [signer(1).verifier(), signer(2).verifier()];
    assert_eq!(Checkpoint::open(&mixed, &keys), Err(NoteError::Signature));
    assert_eq!(Checkpoint::open(&mixed, &keys[..1]), Ok(checkpoint()));
    let twice = format!("{note}{first}\n");
    assert_eq!(Checkpoint::open(&twice, &keys), Err(NoteError::Malformed));
}

#[test]
fn every_flipped_bit_of_a_note_is_refused() {
    let note = checkpoint().sign(&[&signer(1)]);
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(Checkpoint::open(&changed, &[signer(1).verifier()]).is_err(), "{changed}");
        }
    }
}

#[test]
fn other_checkpoint_spellings_are_refused() {
    let text = checkpoint().text();
    assert_eq!(Checkpoint::parse(&text), Ok(checkpoint()));
    for (from, to) in
        [("4097", "04097"), ("4097", "+4097"), ("4097", "-1"), ("=\n", "\n"), ("=\n", "=\nx\n"), (ORIGIN, "")]
    {
        let changed = text.replacen(from, to, 1);
        assert_eq!(Checkpoint::parse(&changed), Err(NoteError::NotACheckpoint), "{changed}");
    }
}

#[test]
fn keys_round_trip_through_text() {
    let key = signer(1);
    let vkey = key.verifier().to_string();
    assert_eq!(VerifierKey::parse(&vkey), Ok(key.verifier()));
    assert_eq!(SignerKey::parse(&key.to_secret_text()).unwrap().verifier(), key.verifier());
    assert_eq!(VerifierKey::parse(&vkey.replacen("realm/7", "realm/8", 1)), Err(NoteKeyError::Id));
    assert_eq!(VerifierKey::parse("name"), Err(NoteKeyError::Malformed));
    assert_eq!(VerifierKey::parse(&vkey.replacen(ORIGIN, "a name", 1)), Err(NoteKeyError::Name));
    assert_eq!(VerifierKey::parse("a+00000000+Ag=="), Err(NoteKeyError::Kind(2)));
    assert!(SignerKey::parse(&vkey).is_err());
    assert!(!format!("{key:?}").contains(&hex::encode([1; 32])));
}

#[test]
fn notes_are_interchangeable_with_signed_note() {
    let key = signer(1);
    let verifier = StandardVerifier::new(&key.verifier().to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let ours = checkpoint().sign(&[&key]);
    let (known_lines, other_lines) = Note::from_bytes(ours.as_bytes()).unwrap().verify(&known).unwrap();
    assert_eq!((known_lines.len(), other_lines.len()), (1, 0));

    let theirs = StandardSigner::new(&key.to_secret_text()).unwrap();
    let mut note = Note::new(checkpoint().text().as_bytes(), &[]).unwrap();
    note.add_sigs(&[&theirs]).unwrap();
    assert_eq!(
        String::from_utf8(note.to_bytes()).unwrap(),
        ours,
        "Ed25519 signatures are the same each time"
    );
}
