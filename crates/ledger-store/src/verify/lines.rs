//! Lines of imported files: each is in one shard or another, or blank. One shard cannot tell that, all together can.

use std::collections::BTreeMap;
use std::ops::Range;

use roaring::RoaringTreemap;

use super::Verified;

/// What a shard has of an imported file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedLines {
    /// So many lines were read.
    pub(super) read: u64,
    /// Those that are recorded, repeats among them.
    pub(super) recorded: RoaringTreemap,
    /// Those that are empty, in order; kept as ranges, however far these are said to go.
    pub(super) blank: Vec<Range<u64>>,
}

/// A line that went missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of {source_name} is in no shard, though all of them have read that far")]
pub struct MissingLine {
    /// The source, `import:<NAME>`.
    pub source_name: String,
    /// The line, from 1.
    pub line: u64,
}

/// The first line of an imported file that all shards have read and none has. `shards` are all those of a topic: what
/// one of them has not read yet may be in that one.
#[must_use]
pub fn missing_line(shards: &[Verified]) -> Option<MissingLine> {
    let mut files = BTreeMap::<&str, Vec<&ImportedLines>>::new();
    for (source, lines) in shards.iter().flat_map(|shard| &shard.imported) {
        files.entry(source).or_default().push(lines);
    }
    files.into_iter().filter(|(_, parts)| parts.len() == shards.len()).find_map(|(source, parts)| {
        let line = first_missing(&parts)?;
        Some(MissingLine { source_name: source.to_owned(), line })
    })
}

fn first_missing(parts: &[&ImportedLines]) -> Option<u64> {
    let read = parts.iter().map(|part| part.read).min()?;
    let recorded = parts.iter().fold(RoaringTreemap::new(), |all, part| all | &part.recorded);
    let mut blank: Vec<&Range<u64>> = parts.iter().flat_map(|part| &part.blank).collect();
    blank.sort_unstable_by_key(|range| range.start);
    let (mut recorded, mut blank) = (recorded.into_iter().peekable(), blank.into_iter().peekable());
    let mut next = 1;
    while next <= read {
        if let Some(range) = blank.next_if(|range| range.start <= next) {
            next = next.max(range.end);
        } else if let Some(line) = recorded.next_if(|line| *line <= next) {
            next = next.max(line.saturating_add(1));
        } else {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(read: u64, recorded: &[u64], blank: &[(u64, u64)]) -> ImportedLines {
        let blank = blank.iter().map(|(from, to)| *from..*to).collect();
        ImportedLines { read, recorded: recorded.iter().copied().collect(), blank }
    }

    #[test]
    fn a_line_is_in_one_part_or_another_or_blank() {
        let blank = part(8, &[1, 4, 8], &[(2, 3), (5, 7)]);
        assert_eq!(first_missing(&[&blank, &part(8, &[1, 3, 7], &[])]), None);
        assert_eq!(first_missing(&[&part(8, &[3, 7], &[]), &blank]), None);
        assert_eq!(first_missing(&[&blank, &part(8, &[1, 7], &[])]), Some(3));
        assert_eq!(first_missing(&[&blank, &part(9, &[1, 3], &[])]), Some(7));
        assert_eq!(first_missing(&[&blank, &part(6, &[3], &[])]), None, "not read that far yet");
        assert_eq!(first_missing(&[&part(2, &[], &[])]), Some(1));
        assert_eq!(first_missing(&[&part(u64::MAX - 1, &[], &[(0, u64::MAX)])]), None, "whatever is said");
        assert_eq!(first_missing(&[]), None);
    }
}
