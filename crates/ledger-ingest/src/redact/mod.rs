//! Secrets never reach disk, logs, metrics, answers or the dead-letter topic. This module removes them
//! before anything is kept.
//!
//! On decoding, every free text that an event keeps goes through [`text()`]: actor, reason, version, URLs, the names
//! given by Atlassian, and the text of an oddly written setting. Keys (event id, client key, app key, migration id) are
//! never altered, as that would be another key: one that holds a token is refused instead. Of a refused message
//! [`crate::quarantine`] keeps as much.
//!
//! # What counts as a secret
//!
//! 1. The value of a *named secret*: a JSON member, header, URL parameter or `name: value` in text whose
//!    name, without regard to case and to `-`, `_`, `.` and spaces, contains one of
//!    `secret`, `token`, `jwt`, `bearer`, `authorization`, `password`, `passwd`, `passphrase`, `apikey`,
//!    `accesskey`, `privatekey`, `publickey`, `credential`, `cookie`, `forgeoauth`, `signature`. A JSON member
//!    is removed with its name; of a header, and in running text, the value becomes `***`.
//!    In JSON of any shape, a list or object in which such a name is a text of its own (`["Cookie", …]`,
//!    `{"name": "Cookie", "value": …}`) is emptied.
//! 2. What follows the words `Bearer` or `JWT` in running text, and `Basic` if it is base 64 with a colon
//!    inside.
//!    What follows `Authorization:` is a secret also in a key.
//! 3. Anything of the shape of a JSON web token (`eyJ….….…`), wherever it is.
//! 4. The user part of a URL (`https://user:password@host`).
//! 5. A PEM block (`-----BEGIN …`).
//! 6. A token of the service itself ([`ledger_record::token`]), of which `rl_` stays.
//!
//! Text that is itself JSON is redacted as JSON. The result is the same on every machine, and redacting it
//! again changes nothing, so a repeated event is still recognised as a repeat.
//!
//! What no program can do is recognise a secret without name and shape; that is why no value is kept but those of
//! the fields that the ledger knows.

use std::borrow::Cow;

mod quoted;
mod text;

pub(crate) use quoted::{json, json_text};
pub(crate) use text::is_tainted_key;
pub use text::text;

/// What a removed value leaves behind in running text. Legal in every part of a URL.
pub(crate) const REMOVED: &str = "***";

/// Whether a key of a refused message may be kept. The text there need not be a key, so names count too.
pub(crate) fn is_clean_key(key: &str) -> bool {
    !is_tainted_key(key) && matches!(text::plain(key), Cow::Borrowed(_))
}

/// Whether a value of this name is a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    // Nearly all names are short: this is asked for every colon of every text that is kept.
    let mut short = [0; 48];
    let mut long = Vec::new();
    let buffer = if name.len() <= short.len() {
        &mut short[..name.len()]
    } else {
        long.resize(name.len(), 0);
        &mut long[..]
    };
    let mut length = 0;
    for byte in name.bytes().filter(|b| !matches!(b, b'-' | b'_' | b'.' | b' ')) {
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let plain = &buffer[..length];
    (0..plain.len()).any(|at| secret_words(plain[at]).iter().any(|word| plain[at..].starts_with(word)))
}

/// The words of secret names that begin with a letter.
fn secret_words(first: u8) -> &'static [&'static [u8]] {
    match first {
        b'a' => &[b"authorization", b"apikey", b"accesskey"],
        b'b' => &[b"bearer"],
        b'c' => &[b"credential", b"cookie"],
        b'f' => &[b"forgeoauth"],
        b'j' => &[b"jwt"],
        b'p' => &[b"password", b"passwd", b"passphrase", b"privatekey", b"publickey"],
        b's' => &[b"secret", b"signature"],
        b't' => &[b"token"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_whatever_their_spelling() {
        for name in [
            "sharedSecret",
            "shared_secret",
            "SHARED-SECRET",
            "publicKey",
            "Authorization",
            "proxy-authorization",
            "accessToken",
            "X-Api-Key",
            "contextToken",
            "x-forge-oauth-system",
            "ce_jwt",
            "Set-Cookie",
            "a-name-that-is-longer-than-most-and-ends-in-a-pass-word",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["key", "clientKey", "appKey", "baseUrl", "oauthClientId", "reason", "description"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
