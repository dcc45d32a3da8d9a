//! The sources of a shard, by number.

use std::sync::Arc;

use ledger_record::key::side::parse_carried;
use ledger_record::record::{Coordinates, Stream};
use ledger_record::rows::SourcePosition;

use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

/// In the order of [`Snapshot::source_positions`]; the logs before, which account for nothing, behind them.
#[derive(Debug)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    /// As coordinates name it: with the partition.
    name: String,
    of: Arc<str>,
    partition: u32,
    /// Those from here on, below `end`.
    first: u64,
    end: u64,
}

impl Sources {
    pub(super) fn of(snapshot: &Snapshot<'_>) -> Result<Self, ReadError> {
        let own = snapshot.database().id().partition;
        let mut sources = Vec::new();
        let positions = snapshot.source_positions()?;
        for (name, position) in &positions {
            let (of, partition) = parse_carried(name).unwrap_or((name, own));
            let (first, end) = match position {
                SourcePosition::Carried { end, .. } => (0, *end),
                _ => (carried_end(&positions, of, partition).unwrap_or(0), u64::MAX),
            };
            sources.push(Source { name: format!("{of}/{partition}"), of: of.into(), partition, first, end });
        }
        for record in snapshot.records(&Stream::Succession, 0)? {
            let Coordinates { source: of, partition, .. } = record?.source;
            sources.push(Source {
                name: format!("{of}/{partition}"),
                of,
                partition,
                first: 0,
                end: u64::MAX,
            });
        }
        Ok(Self(sources))
    }

    /// The number of the source of these coordinates.
    pub(super) fn number(&self, from: &Coordinates) -> Option<usize> {
        let is_of = |known: &Source| known.partition == from.partition && known.of == from.source;
        self.0.iter().position(|known| is_of(known) && (known.first..known.end).contains(&from.offset))
    }

    pub(super) fn name(&self, number: u16) -> &str {
        self.0.get(usize::from(number)).map_or("", |source| &source.name)
    }
}

/// The end of what was carried over of a partition of a source: what the shard read itself begins there.
pub(super) fn carried_end(
    positions: &[(String, SourcePosition)],
    source: &str,
    partition: u32,
) -> Option<u64> {
    positions.iter().find_map(|(name, position)| match position {
        SourcePosition::Carried { end, .. } if parse_carried(name) == Some((source, partition)) => Some(*end),
        _ => None,
    })
}
