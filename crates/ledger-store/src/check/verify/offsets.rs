//! I-4: each offset that was read is exactly one of recorded, repeated, or empty, and none is left out.
//!
//! Of a topic the account begins at 0, or where its history begins late at the first offset that was there, and
//! goes on without a hole to where the next message is expected. Lines of an imported file belong to one shard
//! or another, so there it may have holes, and what is there is told ([`SpreadOffsets`]). The same goes for what a
//! refill carried over; what comes behind it begins where that ends.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use ledger_record::key::side::parse_carried;
use ledger_record::record::{Coordinates, Stream};
use ledger_record::rows::SourcePosition;

use crate::check::verify::spread::SpreadOffsets;
use crate::check::verify::{ShardFault, VerifyError};
use crate::error::ReadError;
use crate::read::snapshot::Snapshot;

type Ranges<'a> = Peekable<Box<dyn Iterator<Item = Result<(u64, u64), ReadError>> + 'a>>;

/// The accounts of all sources, in the order of [`Snapshot::source_positions`].
pub(super) struct Offsets<'a>(Vec<Account<'a>>);

struct Account<'a> {
    name: String,
    position: SourcePosition,
    /// Offset, position of the original.
    repeats: Ranges<'a>,
    /// First offset, the one after the last.
    empty: Ranges<'a>,
    /// What comes next; of lines that are imported here, once something came.
    next: Option<u64>,
    repeated: u64,
    /// Of what is spread over the shards.
    spread: SpreadOffsets,
}

/// What all accounts came to.
pub(super) struct Accounted {
    pub(super) repeats: u64,
    pub(super) spread: Vec<(String, SpreadOffsets)>,
}

impl<'a> Offsets<'a> {
    pub(super) fn new(snapshot: &'a Snapshot<'_>) -> Result<Self, ReadError> {
        let mut accounts = Vec::new();
        let late: BTreeMap<_, _> = snapshot.late_beginnings()?.into_iter().collect();
        let own = snapshot.database().id().partition;
        let positions = snapshot.source_positions()?;
        for (name, position) in positions.iter().cloned() {
            let repeats: Box<dyn Iterator<Item = _> + 'a> = Box::new(snapshot.duplicates(&name, 0)?);
            let empty: Box<dyn Iterator<Item = _> + 'a> = Box::new(snapshot.gaps(&name)?);
            let (repeats, empty) = (repeats.peekable(), empty.peekable());
            let next = match position {
                SourcePosition::Kafka { .. } => Some(
                    carried_end(&positions, &name, own).or_else(|| late.get(&name).copied()).unwrap_or(0),
                ),
                SourcePosition::Carried { first, .. } => Some(first),
                SourcePosition::Import { .. } => None,
            };
            let spread = SpreadOffsets::default();
            accounts.push(Account { name, position, repeats, empty, next, repeated: 0, spread });
        }
        Ok(Self(accounts))
    }

    /// Takes in a record; those of one source come in the order of their offsets. Of what was set for an app each
    /// shard has a copy.
    pub(super) fn record(&mut self, source: usize, offset: u64, is_of_app: bool) -> Result<(), VerifyError> {
        let Some(account) = self.0.get_mut(source) else { return Ok(()) };
        account.take_up_to(offset)?;
        account.take_one(offset)?;
        if is_of_app && !account.is_dense() {
            account.spread.copies.insert(offset);
        }
        Ok(())
    }

    /// Whether a seal that goes on at an offset of a source may say that there were so many repeats before it.
    /// Of other sources it does not tell how far they were read, so there may have been more of theirs.
    pub(super) fn agree(
        &mut self,
        source: Option<usize>,
        next: u64,
        repeats: u64,
    ) -> Result<bool, VerifyError> {
        if let Some(account) = source.and_then(|source| self.0.get_mut(source)) {
            account.take_up_to(next)?;
        }
        let counted: u64 = self.0.iter().map(|account| account.repeated).sum();
        Ok(if self.0.len() == 1 { counted == repeats } else { counted <= repeats })
    }

    /// Closes all accounts.
    pub(super) fn finish(self) -> Result<Accounted, VerifyError> {
        let mut accounted = Accounted { repeats: 0, spread: Vec::new() };
        for mut account in self.0 {
            account.take_up_to(u64::MAX)?;
            account.close()?;
            accounted.repeats += account.repeated;
            let (first, end) = match account.position {
                SourcePosition::Kafka { .. } => continue,
                SourcePosition::Import { lines, .. } => (1, lines.saturating_add(1)),
                SourcePosition::Carried { first, end, .. } => (first, end),
            };
            accounted.spread.push((account.name, SpreadOffsets { first, end, ..account.spread }));
        }
        Ok(accounted)
    }
}

impl Account<'_> {
    /// Takes in what was repeated or empty before an offset.
    fn take_up_to(&mut self, until: u64) -> Result<(), VerifyError> {
        loop {
            let repeat = peek(&mut self.repeats)?.map(|(offset, _)| (offset, offset.saturating_add(1)));
            let empty = peek(&mut self.empty)?;
            let is_repeat = match (repeat, empty) {
                (Some(repeat), Some(empty)) => repeat <= empty,
                (repeat, _) => repeat.is_some(),
            };
            let range = if is_repeat { repeat } else { empty };
            let Some((from, to)) = range.filter(|(from, _)| *from < until) else { return Ok(()) };
            if is_repeat {
                self.take_one(from)?;
                self.repeats.next();
                self.repeated += 1;
            } else {
                self.take(from, to)?;
                self.empty.next();
                if !self.is_dense() {
                    self.spread.empty.push(from..to);
                }
            }
        }
    }

    /// Takes in a message.
    fn take_one(&mut self, offset: u64) -> Result<(), ShardFault> {
        self.take(offset, offset.saturating_add(1))?;
        if !self.is_dense() {
            self.spread.recorded.insert(offset);
        }
        Ok(())
    }

    fn take(&mut self, from: u64, to: u64) -> Result<(), ShardFault> {
        let source_name = || self.name.clone();
        if let Some(next) = self.next {
            if from < next {
                return Err(ShardFault::OffsetTwice { source_name: source_name(), offset: from });
            }
            if from > next && self.is_dense() {
                return Err(ShardFault::OffsetsMissing {
                    source_name: source_name(),
                    from: next,
                    until: from,
                });
            }
        }
        self.next = Some(to);
        Ok(())
    }

    const fn is_dense(&self) -> bool {
        matches!(self.position, SourcePosition::Kafka { .. })
    }

    /// What was accounted for is what was read.
    fn close(&self) -> Result<(), ShardFault> {
        let read_to = match &self.position {
            SourcePosition::Kafka { next_offset, .. } => *next_offset,
            SourcePosition::Import { lines, .. } => lines.saturating_add(1),
            SourcePosition::Carried { end, .. } => *end,
        };
        match self.next {
            Some(next) if next > read_to => {
                Err(ShardFault::OffsetTwice { source_name: self.name.clone(), offset: next - 1 })
            }
            Some(next) if next < read_to && self.is_dense() => {
                Err(ShardFault::OffsetsMissing { source_name: self.name.clone(), from: next, until: read_to })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn peek(ranges: &mut Ranges<'_>) -> Result<Option<(u64, u64)>, ReadError> {
    match ranges.next_if(Result::is_err) {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(ranges.peek().and_then(|range| range.as_ref().ok()).copied()),
    }
}

/// In the order of [`Snapshot::source_positions`]; the logs before, which account for nothing, behind them.
#[derive(Debug)]
pub(super) struct Sources(Vec<KnownSource>);

#[derive(Debug)]
struct KnownSource {
    /// As coordinates name it: with the partition.
    name: String,
    of: Arc<str>,
    partition: u32,
    /// Those from here on, below `end`.
    first: u64,
    end: u64,
}

impl Sources {
    pub(super) fn read(snapshot: &Snapshot<'_>) -> Result<Self, ReadError> {
        let own = snapshot.database().id().partition;
        let mut sources = Vec::new();
        let positions = snapshot.source_positions()?;
        for (name, position) in &positions {
            let (of, partition) = parse_carried(name).unwrap_or((name, own));
            let (first, end) = match position {
                SourcePosition::Carried { end, .. } => (0, *end),
                _ => (carried_end(&positions, of, partition).unwrap_or(0), u64::MAX),
            };
            sources.push(KnownSource {
                name: format!("{of}/{partition}"),
                of: of.into(),
                partition,
                first,
                end,
            });
        }
        for record in snapshot.records(&Stream::Succession, 0)? {
            let Coordinates { source: of, partition, .. } = record?.source;
            sources.push(KnownSource {
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
        let is_of = |known: &KnownSource| known.partition == from.partition && known.of == from.source;
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
