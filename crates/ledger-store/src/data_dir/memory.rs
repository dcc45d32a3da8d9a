//! What those who work on a data directory may use of the memory, and what is used.

use std::sync::Arc;

use crate::data_dir::DataDir;
use crate::db::memory::{Memory, MemoryPart};

impl DataDir {
    /// The memory that all shards of the directory share, and those that work on them.
    pub fn memory(&self) -> &Arc<Memory> {
        self.resources.memory()
    }

    /// What is in use of the parts of the memory that are counted.
    pub fn memory_used(&self) -> Vec<(MemoryPart, usize)> {
        self.resources.memory_used()
    }
}
