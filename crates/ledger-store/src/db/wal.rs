//! The write-ahead log of a shard, read before RocksDB replays it: is what it lacks a write that never ended, or
//! something that was durable?
//!
//! ```text
//! <shard>/<number>.log   blocks of 32 KiB, no fragment crosses one; fewer than 7 bytes at the end of a block are padding
//! fragment               crc32c, masked (4) ‖ length (2) ‖ type (1) ‖ payload        integers are little-endian
//!                        type 1 whole record, 2 its first fragment, 3 a middle one, 4 the last; the crc is over type and payload
//! record                 sequence of its first entry (8) ‖ number of entries (4) ‖ entries
//! ```
//!
//! RocksDB writes it; here it is only read. None of its recovery modes knows the difference. (All three were tried on
//! real files, `tests/wal.rs`; that zeros between two records are passed over is from its source.) Point in time ends
//! the replay at whatever does not read, without a word, and so drops every record behind one flipped bit. "Tolerate
//! corrupted tail records" refuses flipped bits, but takes a flipped length in the last block for the end of the file,
//! passes over zeros that begin between two records, and refuses after a power cut that left a hole. "Absolute
//! consistency" refuses every unfinished write. So a shard opens in the first mode, after this check.
//!
//! # What an unfinished write looks like
//!
//! A batch is synced before the next one is written (I-7). So at most the last batch is unfinished, and the cursors of
//! the publisher around it, which nobody waits for: records of a single entry, that nothing recorded rests on. A process
//! that was killed leaves the beginning of a record. A machine that lost power leaves the sectors that reached the disk,
//! and zeros for those that did not. Therefore:
//!
//! | what does not read | is |
//! | --- | --- |
//! | a fragment that the end of the file cuts off | unfinished, unless its checksum fits a shorter length: then the length was changed |
//! | a fragment with a sector of zeros, or the rest of one | unfinished |
//! | any other | damaged |
//! | an unfinished one with a batch behind it in the same file | damaged: the batch was begun, so the one before was durable |
//! | an unfinished one with a batch in a later file | damaged, unless that batch has the very next sequence: then the file was replayed up to the unfinished write before |
//!
//! The newest file is there in any case, however little is in it: RocksDB begins it before it notes that another one ended
//! (`newest`). One that is gone is damage.
//!
//! Not seen here: a last batch whose sectors were lost *after* it was synced, and a newest file that is shorter than it
//! was. RocksDB knows the sizes of the files before it; for the rest the shard is as it was a moment before, as a whole,
//! and both the offset that was committed to Kafka and the one noted beside the data
//! ([`DataDir::note_read_to`](crate::DataDir::note_read_to)) are ahead of it.
//!
//! Which file of the log is the newest at least, RocksDB's manifest notes:
//!
//! ```text
//! CURRENT            the name of the manifest
//! MANIFEST-<number>  in fragments like the log; a record is a change: fields of tag and value, all varints
//! field              log number (tag 2): nothing older is needed by a column family
//!                    log synced (tag 8199): a file that ended, and its size; so another one was begun
//! ```
//!
//! What does not read says nothing here: RocksDB checks the manifest itself.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crc32c::{crc32c, crc32c_append};

const BLOCK_BYTES: usize = 32 * 1024;

const HEADER_BYTES: usize = 7;

/// Sequence and number of entries.
const RECORD_HEADER_BYTES: usize = 12;

/// What a disk writes whole, or not at all.
const SECTOR_BYTES: usize = 512;

/// A shorter run of zeros at the end of a sector is no sign: values end in zeros too.
const ZEROS_AT_LEAST: usize = 16;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Where something that was durable does not read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalDamage {
    pub(crate) file: PathBuf,
    /// Of the first byte that does not read, within a fragment.
    pub(crate) offset: u64,
}

/// Why a log may not be replayed.
#[derive(Debug)]
pub(crate) enum WalError {
    /// The newest file is gone.
    Lost,
    Damaged(WalDamage),
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

/// Reads the write-ahead log of a shard.
pub(crate) fn check(shard: &Path) -> Result<(), WalError> {
    let failed = |path: &Path, source| WalError::Io { path: path.to_owned(), source };
    let mut check = WalCheck::default();
    // In this order: a file is begun before it is noted.
    let newest = newest_noted(shard);
    let files = files(shard).map_err(|source| failed(shard, source))?;
    if files.last().is_none_or(|(number, _)| *number < newest) {
        return Err(WalError::Lost);
    }
    for (_, path) in files {
        let mut file = match File::open(&path) {
            // The server beside a reader deletes what it has written out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(|source| failed(&path, source))?,
        };
        check.file(path, &mut file)?;
    }
    Ok(())
}

/// The files of a log by number, in the order in which they were written.
fn files(shard: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut numbered = Vec::new();
    for entry in fs::read_dir(shard)? {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        numbered.extend(number.filter(|_| is_log).map(|number| (number, path)));
    }
    numbered.sort_unstable();
    Ok(numbered)
}

/// What was read so far, of all files.
#[derive(Debug, Default)]
struct WalCheck {
    /// That is being read.
    file: PathBuf,
    /// Of the block that is read next.
    offset: u64,
    is_in_record: bool,
    /// What was read of the header of the record: fragments can be shorter.
    header: Vec<u8>,
    /// The sequence of the record.
    sequence: Option<u64>,
    /// The sequence that the next record has.
    next: Option<u64>,
    unfinished: Option<UnfinishedRecord>,
}

/// A write that seems not to have ended.
#[derive(Debug)]
struct UnfinishedRecord {
    at: WalDamage,
    /// The sequence that it has, if that is known.
    sequence: Option<u64>,
}

/// A fragment of a record.
struct Fragment<'b> {
    kind: u8,
    payload: &'b [u8],
    length: usize,
}

impl WalCheck {
    /// Reads the next file.
    fn file(&mut self, path: PathBuf, file: &mut impl Read) -> Result<(), WalError> {
        (self.file, self.offset, self.is_in_record) = (path, 0, false);
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        loop {
            block.clear();
            let read = file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block);
            read.map_err(|source| WalError::Io { path: self.file.clone(), source })?;
            self.block(&block).map_err(WalError::Damaged)?;
            if block.len() < BLOCK_BYTES {
                break;
            }
        }
        if self.is_in_record {
            self.note_unfinished(self.offset);
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8]) -> Result<(), WalDamage> {
        let mut at = 0;
        while at < block.len() {
            let rest = &block[at..];
            if rest.len() < HEADER_BYTES && block.len() == BLOCK_BYTES {
                break;
            }
            if let Some(fragment) = Fragment::read(rest) {
                self.take(&fragment, at)?;
                at += fragment.length;
            } else {
                self.refuse_damage(block, at)?;
                break;
            }
        }
        self.offset += block.len() as u64;
        Ok(())
    }

    fn take(&mut self, fragment: &Fragment<'_>, at: usize) -> Result<(), WalDamage> {
        let begins = matches!(fragment.kind, WHOLE | FIRST);
        if begins == self.is_in_record {
            // The end of a write that seems not to have ended; else a record within another one, or the end of none.
            let is_left_over = !begins && self.unfinished.is_some();
            return if is_left_over { Ok(()) } else { Err(self.damage(self.offset + at as u64)) };
        }
        if begins {
            self.header.clear();
            self.sequence = None;
        }
        self.is_in_record = matches!(fragment.kind, FIRST | MIDDLE);
        if self.header.len() < RECORD_HEADER_BYTES {
            self.header.extend(fragment.payload.iter().take(RECORD_HEADER_BYTES));
            if let Some((sequence, entries)) = record_header(&self.header) {
                self.begin_record(sequence, entries)?;
            }
        }
        Ok(())
    }

    fn begin_record(&mut self, sequence: u64, entries: u32) -> Result<(), WalDamage> {
        self.sequence = Some(sequence);
        if let Some(unfinished) = &self.unfinished {
            let is_next = unfinished.sequence.is_none_or(|expected| expected == sequence);
            match (unfinished.at.file != self.file && is_next, entries) {
                (true, _) => self.unfinished = None,
                (false, 0 | 1) => return Ok(()),
                (false, _) => return Err(unfinished.at.clone()),
            }
        }
        self.next = sequence.checked_add(u64::from(entries));
        Ok(())
    }

    /// Of a fragment that does not read: whether it was ever durable.
    fn refuse_damage(&mut self, block: &[u8], at: usize) -> Result<(), WalDamage> {
        let (rest, place) = (&block[at..], self.offset + at as u64);
        let is_cut_off = block.len() < BLOCK_BYTES && is_cut_off(rest);
        if !is_cut_off && !has_hole(rest, at) {
            return Err(self.damage(place));
        }
        self.note_unfinished(place);
        let behind = (1..rest.len()).filter_map(|skipped| Fragment::read(&rest[skipped..]));
        let mut begun = behind.filter(|fragment| matches!(fragment.kind, WHOLE | FIRST));
        if begun.any(|fragment| record_header(fragment.payload).is_some_and(|(_, entries)| entries > 1)) {
            return Err(self.damage(place));
        }
        Ok(())
    }

    fn note_unfinished(&mut self, place: u64) {
        let sequence = if self.is_in_record { self.sequence.or(self.next) } else { self.next };
        self.is_in_record = false;
        if self.unfinished.is_none() {
            self.unfinished = Some(UnfinishedRecord { at: self.damage(place), sequence });
        }
    }

    fn damage(&self, offset: u64) -> WalDamage {
        WalDamage { file: self.file.clone(), offset }
    }
}

impl<'b> Fragment<'b> {
    /// The fragment that the bytes begin with; none: they begin with no whole one.
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let kind = *header.last()?;
        let payload = rest.get(..payload_length(header))?;
        let is_intact = (WHOLE..=LAST).contains(&kind)
            && stored_checksum(header) == masked(crc32c_append(crc32c(&[kind]), payload));
        is_intact.then_some(Self { kind, payload, length: HEADER_BYTES + payload.len() })
    }
}

/// Sequence and number of entries of a record that begins with these bytes.
fn record_header(bytes: &[u8]) -> Option<(u64, u32)> {
    let (header, _) = bytes.split_at_checked(RECORD_HEADER_BYTES)?;
    let (sequence, entries) = header.split_at_checked(8)?;
    Some((u64::from_le_bytes(sequence.try_into().ok()?), u32::from_le_bytes(entries.try_into().ok()?)))
}

fn payload_length(header: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([header[4], header[5]]))
}

fn stored_checksum(header: &[u8]) -> u32 {
    u32::from_le_bytes([header[0], header[1], header[2], header[3]])
}

/// As RocksDB writes a checksum, so that one over bytes that hold checksums is none of them.
const fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether a fragment goes on behind the end of the file, which its bytes reach.
fn is_cut_off(bytes: &[u8]) -> bool {
    let Some((header, there)) = bytes.split_at_checked(HEADER_BYTES) else { return true };
    if payload_length(header) <= there.len() {
        return false;
    }
    let stored = stored_checksum(header);
    let mut checksum = crc32c(&header[HEADER_BYTES - 1..]);
    let is_longer = there.iter().all(|byte| {
        let is_other = masked(checksum) != stored;
        checksum = crc32c_append(checksum, &[*byte]);
        is_other
    });
    is_longer && masked(checksum) != stored
}

/// Whether a sector was never written: of those that the bytes lie in, from a place of a block on.
fn has_hole(bytes: &[u8], at: usize) -> bool {
    let first = SECTOR_BYTES - at % SECTOR_BYTES;
    let (begun, whole) = bytes.split_at(first.min(bytes.len()));
    let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let mut sectors = std::iter::once(begun).chain(whole.chunks(SECTOR_BYTES));
    is_empty(bytes) || sectors.any(|sector| sector.len() >= ZEROS_AT_LEAST && is_empty(sector))
}

#[cfg(test)]
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<(), WalError> {
    WalCheck::default().file(PathBuf::new(), &mut &*bytes)
}

const LOG_NUMBER: u64 = 2;
/// Tags with this bit have a value that tells its length.
const WITH_LENGTH: u64 = 1 << 13;
const LOG_SYNCED: u64 = WITH_LENGTH + 7;
const COMPARATOR: u64 = 1;
/// Next file, last sequence, previous log, least log to keep, most column families: one number each.
const NUMBERS: [u64; 5] = [3, 4, 9, 10, 203];

/// The least number that the newest file has; 0 where nothing tells.
fn newest_noted(shard: &Path) -> u64 {
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
