//! Which file of the log is the newest at least, as RocksDB's manifest notes it.
//!
//! ```text
//! CURRENT            the name of the manifest
//! MANIFEST-<number>  in fragments like the log; a record is a change: fields of tag and value, all varints
//! field              log number (tag 2): nothing older is needed by a column family
//!                    log synced (tag 8199): a file that ended, and its size; so another one was begun
//! ```
//!
//! What does not read says nothing here: RocksDB checks the manifest itself.

use std::fs;
use std::path::Path;

use crate::db::wal::{BLOCK_BYTES, FIRST, Fragment, HEADER_BYTES, LAST, MIDDLE, WHOLE};

const LOG_NUMBER: u64 = 2;
/// Tags with this bit have a value that tells its length.
const WITH_LENGTH: u64 = 1 << 13;
const LOG_SYNCED: u64 = WITH_LENGTH + 7;
const COMPARATOR: u64 = 1;
/// Next file, last sequence, previous log, least log to keep, most column families: one number each.
const NUMBERS: [u64; 5] = [3, 4, 9, 10, 203];

/// The least number that the newest file has; 0 where nothing tells.
pub(super) fn noted(shard: &Path) -> u64 {
    let current = fs::read_to_string(shard.join("CURRENT")).unwrap_or_default();
    let manifest = fs::read(shard.join(current.trim_end())).unwrap_or_default();
    changes(&manifest).iter().filter_map(|change| newest_in(change)).max().unwrap_or(0)
}

/// The records of a manifest, as far as they read.
fn changes(manifest: &[u8]) -> Vec<Vec<u8>> {
    let (mut changes, mut begun) = (Vec::new(), Vec::new());
    for mut block in manifest.chunks(BLOCK_BYTES) {
        while let Some(fragment) = Fragment::read(block) {
            if matches!(fragment.kind, WHOLE | FIRST) {
                begun.clear();
            }
            begun.extend_from_slice(fragment.payload);
            match fragment.kind {
                WHOLE | LAST => changes.push(std::mem::take(&mut begun)),
                FIRST | MIDDLE => {}
                _ => return changes,
            }
            block = &block[fragment.length..];
        }
        if block.len() >= HEADER_BYTES {
            break;
        }
    }
    changes
}

/// The numbers come first in a change, or stand in one of their own: behind what is not known here there is none.
fn newest_in(mut change: &[u8]) -> Option<u64> {
    let mut newest = None;
    while let Some(tag) = number(&mut change) {
        match tag {
            LOG_NUMBER => newest = newest.max(number(&mut change)),
            _ if NUMBERS.contains(&tag) => drop(number(&mut change)),
            _ if tag == COMPARATOR || tag & WITH_LENGTH != 0 => {
                let Some(mut value) = with_length(&mut change) else { break };
                if tag == LOG_SYNCED {
                    newest = newest.max(number(&mut value).map(|ended| ended + 1));
                }
            }
            _ => break,
        }
    }
    newest
}

/// A varint.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn with_length<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}
