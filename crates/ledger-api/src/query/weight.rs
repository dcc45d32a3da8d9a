//! What a page weighs. A limit in items alone bounds nothing: an item can be as long as a message (I-8).

use std::io::{self, Write};

use serde::Serialize;

use crate::limits::PAGE_FULL_BYTES;

/// The items of a page so far, in bytes of JSON.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight(usize);

impl Weight {
    pub(super) fn add(&mut self, item: &impl Serialize) {
        // What cannot be written is told when the answer is written.
        let _ = serde_json::to_writer(self, item);
    }

    pub(super) fn is_full(self) -> bool {
        self.0 >= PAGE_FULL_BYTES
    }
}

impl Write for Weight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
