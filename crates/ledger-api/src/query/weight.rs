//! What a page weighs. A limit in items alone bounds nothing: an item can be as long as a message (I-8).

use ledger_record::json;
use serde::Serialize;

/// The items of a page so far, in bytes of JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    bytes: usize,
    /// A page of so many bytes is full.
    full: usize,
}

impl Weight {
    pub(super) const fn up_to(full: usize) -> Self {
        Self { bytes: 0, full }
    }

    pub(super) fn add(&mut self, item: &impl Serialize) {
        // What cannot be written is told when the answer is written.
        self.bytes += json::to_vec(item).map_or(0, |text| text.len());
    }

    pub(super) fn is_full(self) -> bool {
        self.bytes >= self.full
    }
}
