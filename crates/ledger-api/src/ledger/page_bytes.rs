//! The bytes of a page. A limit in items alone bounds nothing: an item can be as long as a message (I-8).

use ledger_record::json;
use serde::Serialize;

/// The items of a page so far, in bytes of JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageBytes {
    bytes: usize,
    /// A page of so many bytes is full.
    full: usize,
}

impl PageBytes {
    pub(crate) const fn new(full: usize) -> Self {
        Self { bytes: 0, full }
    }

    pub(crate) fn add(&mut self, item: &impl Serialize) {
        // An item that cannot be written is reported when the answer is written.
        self.bytes += json::to_vec(item).map_or(0, |text| text.len());
    }

    pub(crate) const fn len(self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_full(self) -> bool {
        self.bytes >= self.full
    }
}
