//! Rows of entries by position: of `positions` and `leaves`.
//!
//! ```text
//! row = 32 × entry, the last row up to as many       key: position u64 of its first entry, a multiple of 32
//! entry = length u16 ‖ bytes                         bytes: a log key in `positions`, a leaf in `leaves`
//! ```
//!
//! A row for each entry costs the store more than what is in it. The last row is replaced as it grows, so it must not be
//! long: a message that comes alone writes it whole.

use std::ops::Range;

use super::KeyError;

/// Entries in a row that is full.
pub const ENTRIES: u64 = 32;

/// Key of the row that has the entry with a position: the position of its first one.
#[must_use]
pub const fn row_of(position: u64) -> u64 {
    position - position % ENTRIES
}

/// Adds the next entry to a row.
///
/// # Panics
///
/// When the entry has 64 KiB: none of these comes near it.
pub fn push(row: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len());
    assert!(length.is_ok(), "an entry of {} bytes has no place in a row", entry.len());
    row.extend_from_slice(&length.unwrap_or_default().to_be_bytes());
    row.extend_from_slice(entry);
}

/// Where in a row its entries are, in order; ends after the first that is cut off.
pub fn ranges(row: &[u8]) -> impl Iterator<Item = Result<Range<usize>, KeyError>> {
    let mut rest = row;
    std::iter::from_fn(move || {
        let truncated = KeyError::Truncated { length: rest.len() };
        if rest.is_empty() {
            return None;
        }
        let range = std::mem::take(&mut rest).split_first_chunk().and_then(|(length, after)| {
            let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = after;
            let end = row.len() - after.len();
            Some(end - entry.len()..end)
        });
        Some(range.ok_or(truncated))
    })
}

/// The entries of a row, in order; ends after the first that is cut off.
pub fn entries(row: &[u8]) -> impl Iterator<Item = Result<&[u8], KeyError>> {
    ranges(row).map(|range| range.map(|range| &row[range]))
}

/// The entry with a position in its row; none behind the end of the row.
pub fn entry_at(row: &[u8], position: u64) -> Result<Option<&[u8]>, KeyError> {
    let before = usize::try_from(position - row_of(position)).unwrap_or(usize::MAX);
    entries(row).nth(before).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_gives_back_its_entries() {
        let entries: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        let mut row = Vec::new();
        for entry in entries {
            push(&mut row, entry);
        }
        assert_eq!(row[..7], *b"\0\x03one\0\0");
        let read: Vec<&[u8]> = super::entries(&row).map(Result::unwrap).collect();
        assert_eq!(read, entries);
        assert_eq!(entry_at(&row, 34), Ok(Some(entries[2])));
        assert_eq!(entry_at(&row, 3), Ok(None));
    }

    #[test]
    fn row_cut_off_is_damaged() {
        for cut_off in [&b"\0"[..], b"\0\x02a"] {
            let read: Vec<_> = super::entries(cut_off).collect();
            assert_eq!(read, [Err(KeyError::Truncated { length: cut_off.len() })]);
        }
    }
}
