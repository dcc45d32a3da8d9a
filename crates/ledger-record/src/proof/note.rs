//! Checkpoints and signed notes, as C2SP says (`tlog-checkpoint`, `signed-note`), signed with Ed25519.
//!
//! ```text
//! ledger.example.com/realm/7                      origin, also the name of the key
//! 4097                                            size
//! kp…=                                            root, base64
//!
//! — ledger.example.com/realm/7 Az3grl…=           em dash, key name, base64(key id u32 BE ‖ signature)
//! ```
//!
//! The text ends with its last line end; the signatures follow after an empty line. A key is known by its
//! name and id, the first four bytes of SHA-256(name ‖ 0a ‖ 01 ‖ public key). As text:
//!
//! ```text
//! verifier key   <name>+<id, 8 hex digits>+<base64(01 ‖ public key)>
//! signer key     PRIVATE+KEY+<name>+<id>+<base64(01 ‖ seed)>
//! ```
//!
//! Signatures of unknown keys are passed over; one wrong signature of a known key spoils the note, and so
//! does one that is there twice. Verification is strict: no low-order and no non-canonical points.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::hash::Hash;

const ED25519: u8 = 1;
const SIGNATURES_MAX: usize = 64;
const DASH: &str = "\u{2014} ";

/// The size and root of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// A key that signs.
#[derive(Clone)]
pub struct SignerKey {
    name: String,
    key: SigningKey,
}

/// A key that checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteKeyError {
    /// Not in the form of a key.
    #[error("not a key, expected name+id+base64 as C2SP signed-note has it")]
    Malformed,
    /// Empty, or with a space or a plus.
    #[error("the name of a key must not be empty, and have neither spaces nor a plus")]
    Name,
    /// Not Ed25519.
    #[error("the key is of kind {0}, but only Ed25519 (1) is known")]
    Kind(u8),
    /// Name, id and key do not belong together.
    #[error("the id of the key is not that of its name and bytes: is it mistyped?")]
    Id,
}

/// The note is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not in the form of a note.
    #[error("not a signed note")]
    Malformed,
    /// A known key's signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// None of the known keys signed.
    #[error("not signed by a key that is known here: give the ledger's verifier key")]
    UnknownKey,
    /// The text is no checkpoint.
    #[error("the text of the note is not a checkpoint")]
    NotACheckpoint,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a note; extension lines are refused.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::NotACheckpoint);
        };
        let root = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let (Ok(size), Some(root)) = (size.parse(), root) else { return Err(NoteError::NotACheckpoint) };
        let checkpoint = Self { origin: origin.to_owned(), size, root: Hash(root) };
        // Leading zeros, a plus and what follows are read, but never written.
        if !origin.is_empty() && checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(NoteError::NotACheckpoint)
        }
    }

    /// The checkpoint as a signed note.
    #[must_use]
    pub fn sign(&self, keys: &[&SignerKey]) -> String {
        let text = self.text();
        let signatures: String = keys.iter().map(|key| key.signature_line(&text)).collect();
        format!("{text}\n{signatures}")
    }

    /// As [`Self::open`]; none: none of the keys signed it.
    pub fn open_known(note: &str, keys: &[VerifierKey]) -> Result<Option<Self>, NoteError> {
        match Self::open(note, keys) {
            Err(NoteError::UnknownKey) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Reads a note that at least one of the keys signed.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, NoteError> {
        Self::parse(open(note, keys)?)
    }

    /// Whether a text has the form of a signed checkpoint, whichever key signed it.
    #[must_use]
    pub fn is_note(note: &str) -> bool {
        let text = note.rfind("\n\n").and_then(|split| note.get(..=split));
        matches!(open(note, &[]), Err(NoteError::UnknownKey))
            && text.is_some_and(|text| Self::parse(text).is_ok())
    }
}

/// The text of a note that at least one of the keys signed.
fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<&'a str, NoteError> {
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(NoteError::Malformed);
    }
    // Signature lines are never empty, so the last empty line is the one before them.
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let (mut seen, mut verified) = (Vec::new(), false);
    for line in signatures.split('\n') {
        let (name, id, signature) = read_signature(line).ok_or(NoteError::Malformed)?;
        if seen.len() == SIGNATURES_MAX || seen.contains(&(name, id)) {
            return Err(NoteError::Malformed);
        }
        seen.push((name, id));
        if let Some(key) = keys.iter().find(|key| key.name == name && key.id() == id) {
            if !is_signed(&key.key, text.as_bytes(), &signature) {
                return Err(NoteError::Signature);
            }
            verified = true;
        }
    }
    if verified { Ok(text) } else { Err(NoteError::UnknownKey) }
}

/// Whether the bytes are a signature of the message, judged strictly.
fn is_signed(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    let signature = Signature::from_slice(signature);
    signature.is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// Whether a signature holds: what notes are judged by, for tests with public vectors.
#[must_use]
pub fn verify_ed25519(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    VerifyingKey::from_bytes(public).is_ok_and(|key| is_signed(&key, message, signature))
}

fn read_signature(line: &str) -> Option<(&str, u32, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    let is_whole = is_name(name) && !signature.is_empty();
    is_whole.then(|| (name, u32::from_be_bytes(*id), signature.to_vec()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

fn key_id(name: &str, public: &[u8; 32]) -> u32 {
    let [a, b, c, d, ..] = Hash::of(&[name.as_bytes(), b"\n", &[ED25519], public]).0;
    u32::from_be_bytes([a, b, c, d])
}

/// Name, id and the 32 bytes of a key's text.
fn read_key(text: &str) -> Result<(&str, u32, [u8; 32]), NoteKeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteKeyError::Malformed);
    };
    if !is_name(name) {
        return Err(NoteKeyError::Name);
    }
    let is_id = id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number = u32::from_str_radix(id, 16).ok().filter(|_| is_id).ok_or(NoteKeyError::Malformed)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteKeyError::Malformed)?;
    let (kind, bytes) = bytes.split_first().ok_or(NoteKeyError::Malformed)?;
    if *kind != ED25519 {
        return Err(NoteKeyError::Kind(*kind));
    }
    Ok((name, number, bytes.try_into().map_err(|_| NoteKeyError::Malformed)?))
}

fn write_key(name: &str, id: u32, bytes: &[u8; 32]) -> String {
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[ED25519], &bytes[..]].concat()))
}

impl SignerKey {
    /// A key of a name, from 32 random bytes.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, NoteKeyError> {
        if !is_name(name) {
            return Err(NoteKeyError::Name);
        }
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(&seed) })
    }

    /// Reads a signer key.
    pub fn parse(text: &str) -> Result<Self, NoteKeyError> {
        let (name, id, seed) = read_key(text.strip_prefix("PRIVATE+KEY+").ok_or(NoteKeyError::Malformed)?)?;
        let key = Self::from_seed(name, seed)?;
        if key.verifier().id() == id { Ok(key) } else { Err(NoteKeyError::Id) }
    }

    /// The same key under another name: one key signs the logs of many origins.
    pub fn renamed(&self, name: &str) -> Result<Self, NoteKeyError> {
        Self::from_seed(name, self.key.to_bytes())
    }

    /// The name, which is the origin of the logs it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signer key as text: a secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        format!("PRIVATE+KEY+{}", write_key(&self.name, self.verifier().id(), &self.key.to_bytes()))
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    fn signature_line(&self, text: &str) -> String {
        let id = self.verifier().id().to_be_bytes();
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        format!("{DASH}{} {}\n", self.name, STANDARD.encode([&id[..], &signature].concat()))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}, …)", self.name)
    }
}

impl VerifierKey {
    /// Reads a verifier key.
    pub fn parse(text: &str) -> Result<Self, NoteKeyError> {
        let (name, id, public) = read_key(text)?;
        let key = VerifyingKey::from_bytes(&public).map_err(|_| NoteKeyError::Malformed)?;
        let key = Self { name: name.to_owned(), key };
        if key.id() == id { Ok(key) } else { Err(NoteKeyError::Id) }
    }

    /// The name, which is the origin of the logs it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells keys of one name apart; notes name it before each signature.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, self.key.as_bytes())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_key(&self.name, self.id(), self.key.as_bytes()))
    }
}
