//! Tokens of the service by their form: `rl_`, 32 random bytes in base 62, and 6 characters of checksum (CRC-32 of all
//! before them). So a scanner finds one that leaked, and one that was cut off is told apart from a wrong one.
//!
//! In: text. Out: whether a token is in it, and where. It is here, below the doors and below ingestion, since both keep
//! tokens out of what is recorded, logged and answered. Which tokens are good is another question.

use std::borrow::Cow;
use std::ops::Range;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "rl_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits of 32 bytes in base 62.
const RANDOM_DIGITS: usize = 43;

/// Digits of a CRC-32 in base 62.
const CHECKSUM_DIGITS: usize = 6;

const CHECKED_BYTES: usize = TOKEN_PREFIX.len() + RANDOM_DIGITS;
const TOKEN_BYTES: usize = CHECKED_BYTES + CHECKSUM_DIGITS;

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

/// Whether this is a token, whole.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.len() == TOKEN_BYTES && secret_at(text.as_bytes(), 0).is_some()
}

/// What is secret of a token that begins at this place: all behind its prefix.
#[must_use]
pub fn secret_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let token =
        bytes.get(at..)?.get(..TOKEN_BYTES).filter(|token| token.starts_with(TOKEN_PREFIX.as_bytes()))?;
    if !token[TOKEN_PREFIX.len()..].iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let (checked, checksum) = token.split_at(CHECKED_BYTES);
    let mut expected = String::new();
    push_base62(&mut expected, &mut crc32fast::hash(checked).to_be_bytes(), CHECKSUM_DIGITS);
    (checksum == expected.as_bytes()).then_some(at + TOKEN_PREFIX.len()..at + TOKEN_BYTES)
}

/// The text with `***` for what is secret of every token in it.
#[must_use]
pub fn without_tokens(text: &str) -> Cow<'_, str> {
    let mut kept = Cow::Borrowed(text);
    // Behind a token nothing begins before its end, so no place is looked at twice.
    let mut from = 0;
    while let Some(at) = kept[from..].find(TOKEN_PREFIX).map(|found| from + found) {
        from = at + TOKEN_PREFIX.len();
        if let Some(secret) = secret_at(kept.as_bytes(), at) {
            kept.to_mut().replace_range(secret, REMOVED);
        }
    }
    kept
}

/// What is left behind.
const REMOVED: &str = "***";

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
        assert!(is_token(&token));
        for at in 0..token.len() {
            let mut wrong = token.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert!(!is_token(&String::from_utf8(wrong).unwrap()), "{at}");
        }
        for wrong in ["", "rl_", "ü", &token[..51], "rl_ü", &format!("{token}0")] {
            assert!(!is_token(wrong), "{wrong}");
        }
    }

    #[test]
    fn tokens_are_found_wherever_they_are_in_a_text() {
        let (one, other) = (new_token([1; 32]), new_token([2; 32]));
        let given = format!("x{one}0, rl_ rl_{other}{one} rl_ü {}", &one[..51]);
        let kept = without_tokens(&given);
        assert_eq!(kept, format!("xrl_***0, rl_ rl_rl_***rl_*** rl_ü {}", &one[..51]));
        assert!(matches!(without_tokens(&kept), Cow::Borrowed(_)), "once is enough");
        assert!(matches!(without_tokens("a url_of_curl_tools"), Cow::Borrowed(_)));
    }
}
