//! Static tokens: `rl_`, 32 random bytes in base 62, and 6 characters of checksum (CRC-32 of all before them), so that a
//! scanner finds one that leaked and a token that was cut off is told apart from a wrong one.
//!
//! Only the SHA-256 of a token is configured. It is found by comparing with every one there is, in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "rl_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits of 32 bytes in base 62.
const RANDOM_DIGITS: usize = 43;

/// Digits of a CRC-32 in base 62.
const CHECKSUM_DIGITS: usize = 6;

/// A token of these random bytes.
#[must_use]
pub fn new_token(random: [u8; 32]) -> String {
    let mut token = TOKEN_PREFIX.to_owned();
    push_base62(&mut token, &mut random.clone(), RANDOM_DIGITS);
    let checksum = crc32fast::hash(token.as_bytes());
    push_base62(&mut token, &mut checksum.to_be_bytes(), CHECKSUM_DIGITS);
    token
}

/// Writes a number, big-endian, with so many digits.
fn push_base62(text: &mut String, number: &mut [u8], digits: usize) {
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut rest = 0;
        for byte in number.iter_mut() {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or_default();
            rest = value % 62;
        }
        reversed.push(DIGITS[rest as usize]);
    }
    text.extend(reversed.into_iter().rev().map(char::from));
}

/// Whether a token is of this form and its checksum fits.
pub(super) fn is_whole(token: &str) -> bool {
    let Some(at) = token.len().checked_sub(CHECKSUM_DIGITS).filter(|at| token.is_char_boundary(*at)) else {
        return false;
    };
    let (rest, checksum) = token.split_at(at);
    let mut expected = String::new();
    push_base62(&mut expected, &mut crc32fast::hash(rest.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
    rest.len() == TOKEN_PREFIX.len() + RANDOM_DIGITS && checksum == expected
}

/// The hash of a token, as configurations have it.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The place of a hash among others. Each of them is compared whole, so that the time tells nothing.
pub(super) fn find<'a>(hashes: impl Iterator<Item = &'a [u8; 32]>, hash: &[u8; 32]) -> Option<usize> {
    let mut found = None;
    for (place, known) in hashes.enumerate() {
        if bool::from(known.ct_eq(hash)) {
            found = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_form_and_a_checksum_that_finds_a_changed_character() {
        assert_eq!(new_token([0; 32])[..46], format!("rl_{}", "0".repeat(43)));
        let token = new_token([255; 32]);
        // 2^256 - 1 in base 62, by another program.
        assert_eq!(token[3..46], *"yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
        assert_eq!(token.len(), 52);
        assert!(is_whole(&token));
        for at in 0..token.len() {
            let mut wrong = token.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert!(!is_whole(&String::from_utf8(wrong).unwrap()), "{at}");
        }
        for wrong in ["", "rl_", "ü", &token[..51], "rl_ü", &format!("{token}0")] {
            assert!(!is_whole(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_found_among_others() {
        let known: Vec<_> = ["a", "b", "c"].map(token_hash).into();
        assert_eq!(find(known.iter(), &token_hash("b")), Some(1));
        assert_eq!(find(known.iter(), &token_hash("d")), None);
        assert_eq!(
            hex::encode(token_hash("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
