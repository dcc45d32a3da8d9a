//! One line: a native event with its checksum and its recorded time in front.

use ledger_core::time::Timestamp;
use ledger_record::json::time::{format_instant, parse_instant};
use ledger_store::{JOURNAL_CHECKSUM_BYTES, journal_line};

const RECORDED: &[u8] = b"\"recordedAt\":\"";
const INSTANT_DIGITS: usize = 24;

/// As much of a line as has its recorded time.
pub(super) const HEAD_BYTES: usize = JOURNAL_CHECKSUM_BYTES + RECORDED.len() + INSTANT_DIGITS;

/// The line of an event, with its line end.
pub(super) fn write(native: &[u8], recorded: Timestamp) -> Vec<u8> {
    let mut rest = Vec::with_capacity(native.len() + HEAD_BYTES);
    rest.extend_from_slice(RECORDED);
    rest.extend_from_slice(format_instant(recorded).as_bytes());
    rest.extend_from_slice(b"\",");
    rest.extend_from_slice(native.strip_prefix(b"{").unwrap_or(native));
    journal_line(&rest)
}

/// When it was recorded.
pub(super) fn recorded(line: &[u8]) -> Option<Timestamp> {
    let text = line.get(HEAD_BYTES - INSTANT_DIGITS..HEAD_BYTES)?;
    parse_instant(str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use ledger_store::is_journal_line;

    use super::*;

    #[test]
    fn any_flipped_bit_of_a_line_is_found() {
        let at = Timestamp::from_millis(1_767_225_600_123);
        let line = write(br#"{"id":"1","type":"tick","time":"2026-01-01T00:00:00Z"}"#, at);
        let text = line.strip_suffix(b"\n").unwrap();
        assert!(is_journal_line(text));
        assert_eq!(recorded(text), Some(at));
        assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok());
        for bit in 0..text.len() * 8 {
            let mut flipped = text.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The checksum reads the same in upper case.
            assert!(!is_journal_line(&flipped) || flipped.eq_ignore_ascii_case(text), "bit {bit}");
        }
        assert!(!is_journal_line(&text[..text.len() - 1]) && !is_journal_line(b""));
    }
}
