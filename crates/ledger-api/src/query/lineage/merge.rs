//! What several shards have in one order, merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ledger_store::ReadError;

use crate::ledger::{QueryError, Reading, ShardSnapshot};

/// Items of one shard, in order.
pub(super) type Items<'a, T> = Box<dyn Iterator<Item = Result<T, ReadError>> + 'a>;

/// The items of all shards in order, each with the number of its shard.
pub(super) struct Merge<'a, T> {
    reading: &'a Reading<'a>,
    items: Vec<Items<'a, T>>,
    heads: BinaryHeap<Reverse<(T, usize)>>,
}

impl<'a, T: Ord> Merge<'a, T> {
    pub(super) fn new(
        reading: &'a Reading<'a>,
        items: impl Fn(&'a ShardSnapshot<'a>) -> Result<Items<'a, T>, ReadError>,
    ) -> Result<Self, QueryError> {
        let mut merge = Self { reading, items: Vec::new(), heads: BinaryHeap::new() };
        for (index, shard) in reading.shards.iter().enumerate() {
            merge.items.push(items(shard).map_err(|error| shard.unread(error))?);
            merge.refill(index)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, index: usize) -> Result<(), QueryError> {
        if let Some(item) = self.items[index].next() {
            let item = item.map_err(|error| self.reading.shards[index].unread(error))?;
            self.heads.push(Reverse((item, index)));
        }
        Ok(())
    }

    pub(super) fn peek(&self) -> Option<&T> {
        self.heads.peek().map(|Reverse((item, _))| item)
    }

    pub(super) fn next(&mut self) -> Result<Option<(T, usize)>, QueryError> {
        let Some(Reverse((item, index))) = self.heads.pop() else { return Ok(None) };
        self.refill(index)?;
        Ok(Some((item, index)))
    }
}
