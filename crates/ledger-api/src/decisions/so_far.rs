//! The same notices as a page: what is there now, and nothing that is waited for.

use std::time::Duration;

use super::filter::DecisionFilter;
use super::notices::{Gathering, Notice, PortionBounds};
use super::place::{DecisionCursor, Place, Rest};
use crate::ledger::{QueryError, ShardHandle};
use crate::limits::{LOOKED_AT_PER_PAGE, PAGE_FULL_BYTES};

/// Notices that were read together.
pub(crate) struct DecisionsSoFar {
    pub(crate) notices: Vec<Notice>,
    /// Behind them.
    pub(crate) cursor: DecisionCursor,
    /// Whether something is left that was not looked at.
    pub(crate) more: bool,
}

/// Reads the next notices of the shards, one shard after the other, until the page is full.
pub(crate) fn read_so_far(
    shards: &[ShardHandle],
    cursor: DecisionCursor,
    filter: &DecisionFilter,
    limit: usize,
) -> Result<DecisionsSoFar, QueryError> {
    let mut so_far = DecisionsSoFar { notices: Vec::new(), cursor, more: false };
    let (mut bytes_left, mut records_left) = (PAGE_FULL_BYTES, LOOKED_AT_PER_PAGE);
    for handle in shards {
        let end = handle.reader.next_position();
        let begin = if so_far.cursor.rest == Rest::Now { end } else { 0 };
        let place = so_far.cursor.places.get(&handle.id).cloned().unwrap_or_else(|| Place::start(begin));
        if place.position > end {
            let (shard, covered) = (handle.id.clone(), place.position);
            return Err(QueryError::CursorAhead { shard, here: end, covered });
        }
        let begun_at = place.position;
        let left = limit.saturating_sub(so_far.notices.len());
        let (mut next, mut mark) = (place, None);
        if left > 0 && bytes_left > 0 && records_left > 0 {
            let bounds = PortionBounds {
                bytes: bytes_left,
                notices: left,
                records: records_left,
                time: Duration::MAX,
            };
            let snapshot = handle.reader.snapshot();
            let mut portion = Gathering::new(&handle.id, filter, bounds, next).log(&snapshot, end)?;
            (next, mark) = (portion.next, portion.mark);
            // The notices of one record come together.
            if portion.notices.len() > left {
                portion.notices.truncate(left);
                if let Some(last) = portion.notices.last() {
                    (next, mark) = (last.place.after(), last.mark);
                }
            }
            bytes_left = bytes_left.saturating_sub(portion.bytes);
            let looked_at = usize::try_from(next.position - begun_at).unwrap_or(usize::MAX);
            records_left = records_left.saturating_sub(looked_at);
            so_far.notices.append(&mut portion.notices);
        }
        so_far.more |= next.position < end;
        so_far.cursor.set(&handle.id, next, mark);
    }
    Ok(so_far)
}
