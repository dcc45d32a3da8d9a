//! The files of a journal, and how its lines tell that they are whole: for who writes it, and for who backs it up.

/// Where the journal of a data directory is.
pub const JOURNAL: &str = "journal";

/// Among its files: the journal is the source of the data directory, which no topic feeds.
pub const JOURNAL_IS_SOURCE: &str = "source";

/// The file in there that says how far it was published, if it was.
pub const JOURNAL_PUBLISHED: &str = "published";

/// What the name of a segment in there ends in, behind the number of its first line.
pub const JOURNAL_SEGMENT_SUFFIX: &str = ".ndjson";

/// What every line begins with, before the eight digits of its checksum.
const BEGIN: &[u8] = b"{\"crc\":\"";
const AFTER_CRC: &[u8] = b"\",";
const CRC_DIGITS: usize = 8;

/// Bytes of a line in front of its members.
pub const JOURNAL_CHECKSUM_BYTES: usize = BEGIN.len() + CRC_DIGITS + AFTER_CRC.len();

/// The line of these members, and of the brace behind them, with its line end.
#[must_use]
pub fn journal_line(members: &[u8]) -> Vec<u8> {
    let crc = format!("{:08x}", crc32c::crc32c(members));
    [BEGIN, crc.as_bytes(), AFTER_CRC, members, b"\n"].concat()
}

/// Whether a line is whole. Its line end is no part of it.
#[must_use]
pub fn is_journal_line(line: &[u8]) -> bool {
    let rest = line.strip_prefix(BEGIN).and_then(|rest| rest.split_at_checked(CRC_DIGITS));
    let Some((crc, rest)) = rest else { return false };
    let Some(members) = rest.strip_prefix(AFTER_CRC) else { return false };
    let crc = str::from_utf8(crc).ok().and_then(|crc| u32::from_str_radix(crc, 16).ok());
    crc == Some(crc32c::crc32c(members))
}
