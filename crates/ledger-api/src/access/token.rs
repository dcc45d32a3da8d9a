//! Static tokens, by their hashes: [`ledger_record::token`] has their form.
//!
//! Only the SHA-256 of a token is configured. It is found by comparing with every one there is, in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

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
