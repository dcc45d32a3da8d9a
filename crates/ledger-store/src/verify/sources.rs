//! The sources of a shard, by number.

use std::sync::Arc;

use ledger_record::record::Coordinates;

use crate::error::ReadError;
use crate::snapshot::Snapshot;

/// In the order of [`Snapshot::source_positions`].
#[derive(Debug)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    /// As coordinates name it: with the partition.
    name: String,
    of: Arc<str>,
    partition: u32,
}

impl Sources {
    pub(super) fn of(snapshot: &Snapshot<'_>) -> Result<Self, ReadError> {
        let partition = snapshot.database().id().partition;
        let of = |source: String| {
            let name = format!("{source}/{partition}");
            Source { name, of: source.into(), partition }
        };
        Ok(Self(snapshot.source_positions()?.into_iter().map(|(source, _)| of(source)).collect()))
    }

    /// The number of the source of these coordinates.
    pub(super) fn number(&self, from: &Coordinates) -> Option<usize> {
        self.0.iter().position(|known| known.partition == from.partition && known.of == from.source)
    }

    pub(super) fn name(&self, number: u16) -> &str {
        self.0.get(usize::from(number)).map_or("", |source| &source.name)
    }
}
