//! Offsets that are spread over the shards of a topic: lines of imported files, and what a refill carried over. One shard
//! alone cannot tell a missing offset from one of another shard; all shards together can.

use std::collections::BTreeMap;
use std::ops::Range;

use ledger_record::key::side::parse_carried;
use roaring::RoaringTreemap;

use crate::check::verify::VerifiedShard;

/// What a shard has of an imported file, or of what was carried over of a partition of a source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpreadOffsets {
    /// From here on it was read.
    pub(super) first: u64,
    /// Up to here, exclusive.
    pub(super) end: u64,
    /// Those that are recorded, repeats among them.
    pub(super) recorded: RoaringTreemap,
    /// Those of them that every shard has a copy of.
    pub(super) copies: RoaringTreemap,
    /// Those that are empty, in order; kept as ranges, however far these are said to go.
    pub(super) empty: Vec<Range<u64>>,
}

impl SpreadOffsets {
    /// The offsets that are recorded or repeated.
    pub(crate) const fn recorded(&self) -> &RoaringTreemap {
        &self.recorded
    }
}

/// The shards together do not have each offset once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpreadFault {
    /// A line of an imported file.
    #[error("line {line} of {source_name} is in no shard, though all of them have read that far")]
    MissingLine {
        /// The source, `import:<NAME>`.
        source_name: String,
        /// The line, from 1.
        line: u64,
    },
    /// An offset that was carried over.
    #[error("offset {offset} of {source_name} was read by the log before, and is in no shard")]
    Missing {
        /// The source, with its partition.
        source_name: String,
        /// The offset.
        offset: u64,
    },
    /// An offset that was carried over twice.
    #[error("offset {offset} of {source_name} is in two shards")]
    Twice {
        /// The source, with its partition.
        source_name: String,
        /// The offset.
        offset: u64,
    },
}

/// Checks that each offset is in one shard. `shards` are all those of a topic, as an offset that one of them has not
/// read yet may belong there.
pub fn check_spread(shards: &[VerifiedShard]) -> Result<(), SpreadFault> {
    let mut by_name = BTreeMap::<&str, Vec<&SpreadOffsets>>::new();
    for (name, offsets) in shards.iter().flat_map(|shard| &shard.spread) {
        by_name.entry(name).or_default().push(offsets);
    }
    let carried = |file: &str| {
        let of_file =
            by_name.iter().filter(move |(name, _)| parse_carried(name).is_some_and(|of| of.0 == file));
        of_file.flat_map(|(_, parts)| parts.iter().copied()).collect::<Vec<_>>()
    };
    for (name, parts) in &by_name {
        match parse_carried(name) {
            None if parts.len() == shards.len() => {
                let end = parts.iter().map(|part| part.end).min().unwrap_or(0);
                let all = [&parts[..], &carried(name)].concat();
                if let Some(line) = first_missing(&all, 1, end) {
                    return Err(SpreadFault::MissingLine { source_name: (*name).to_owned(), line });
                }
            }
            None => {}
            Some((source, partition)) => {
                let source_name = || format!("{source}/{partition}");
                if let Some(offset) = first_twice(parts) {
                    return Err(SpreadFault::Twice { source_name: source_name(), offset });
                }
                let (first, end) = parts.first().map_or((0, 0), |part| (part.first, part.end));
                let missing = if is_file(source) { None } else { first_missing(parts, first, end) };
                if let Some(offset) = missing {
                    return Err(SpreadFault::Missing { source_name: source_name(), offset });
                }
            }
        }
    }
    Ok(())
}

/// Of a file each partition has some lines only.
fn is_file(source: &str) -> bool {
    source.starts_with("import:")
}

fn first_twice(parts: &[&SpreadOffsets]) -> Option<u64> {
    let mut seen = RoaringTreemap::new();
    for part in parts {
        let own = &part.recorded - &part.copies;
        if let Some(twice) = (&seen & &own).min() {
            return Some(twice);
        }
        seen |= own;
    }
    None
}

/// The first one from `first` on, below `end`, that no part has.
fn first_missing(parts: &[&SpreadOffsets], first: u64, end: u64) -> Option<u64> {
    let recorded = parts.iter().fold(RoaringTreemap::new(), |all, part| all | &part.recorded);
    let mut empty: Vec<&Range<u64>> = parts.iter().flat_map(|part| &part.empty).collect();
    empty.sort_unstable_by_key(|range| range.start);
    let (mut recorded, mut empty) = (recorded.into_iter().peekable(), empty.into_iter().peekable());
    let mut next = first;
    while next < end {
        if let Some(range) = empty.next_if(|range| range.start <= next) {
            next = next.max(range.end);
        } else if let Some(offset) = recorded.next_if(|offset| *offset <= next) {
            next = next.max(offset.saturating_add(1));
        } else {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(end: u64, recorded: &[u64], empty: &[(u64, u64)]) -> SpreadOffsets {
        let empty = empty.iter().map(|(from, to)| *from..*to).collect();
        SpreadOffsets {
            first: 1,
            end,
            recorded: recorded.iter().copied().collect(),
            empty,
            ..Default::default()
        }
    }

    fn missing(parts: &[&SpreadOffsets]) -> Option<u64> {
        first_missing(parts, 1, parts.iter().map(|part| part.end).min().unwrap_or(0))
    }

    #[test]
    fn a_line_is_in_one_part_or_another_or_blank() {
        let blank = part(9, &[1, 4, 8], &[(2, 3), (5, 7)]);
        assert_eq!(missing(&[&blank, &part(9, &[1, 3, 7], &[])]), None);
        assert_eq!(missing(&[&part(9, &[3, 7], &[]), &blank]), None);
        assert_eq!(missing(&[&blank, &part(9, &[1, 7], &[])]), Some(3));
        assert_eq!(missing(&[&blank, &part(10, &[1, 3], &[])]), Some(7));
        assert_eq!(missing(&[&blank, &part(7, &[1, 3], &[])]), None, "not read that far yet");
        assert_eq!(missing(&[&part(3, &[], &[])]), Some(1));
        assert_eq!(missing(&[&part(u64::MAX, &[], &[(0, u64::MAX)])]), None, "whatever is said");
        assert_eq!(missing(&[]), None);
    }

    #[test]
    fn an_offset_that_two_parts_have_is_found_unless_both_are_copies() {
        let (one, other) = (part(9, &[1, 4], &[]), part(9, &[3, 4], &[]));
        assert_eq!(first_twice(&[&one, &other]), Some(4));
        let copy = SpreadOffsets { copies: [4].into_iter().collect(), ..other.clone() };
        assert_eq!(first_twice(&[&one, &copy]), None);
        assert_eq!(first_twice(&[&one, &one]), Some(1));
    }
}
