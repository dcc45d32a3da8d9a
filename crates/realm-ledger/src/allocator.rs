//! Options of the two allocators: Rust's, which is mimalloc, and the system's, which RocksDB and librdkafka use.
//!
//! Both are told to give back what is free. Each partition has three threads, and what these keep for later would be most
//! of the memory of a process with many of them.

use std::ffi::{c_int, c_long};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ledger_store::DataDir;
// Its options are set here, and linked with it.
use mimalloc as _;

use crate::background::Background;

/// What free pages of a partition's threads may wait for: the next batch takes them again, and they need not be cleared.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// From so much memory a partition on there is room for pages that wait: they take some megabytes of it.
const AMPLE_PARTITION_BYTES: usize = 48 << 20;

/// How often it is looked whether there is room.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

#[expect(unsafe_code, reason = "options of the allocators, which have no other interface")]
mod options {
    use super::{c_int, c_long};

    /// `mi_option_purge_delay`, in milliseconds.
    const PURGE_DELAY: c_int = 15;

    unsafe extern "C" {
        fn mi_option_set_default(option: c_int, value: c_long);
        fn mi_option_set(option: c_int, value: c_long);
    }

    /// The delay, unless the environment (`MIMALLOC_PURGE_DELAY`) has set it.
    pub(super) fn set_first_purge_delay(milliseconds: c_long) {
        // SAFETY: the signature is that of mimalloc.h, and the option exists in each of its versions. It sets a number.
        unsafe { mi_option_set_default(PURGE_DELAY, milliseconds) };
    }

    pub(super) fn set_purge_delay(milliseconds: c_long) {
        // SAFETY: as above; the number is read anew whenever pages become free.
        unsafe { mi_option_set(PURGE_DELAY, milliseconds) };
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(super) fn bound_system_allocator() {
        /// `M_ARENA_MAX`, `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of malloc.h.
        const OPTIONS: [(c_int, c_int); 3] = [(-8, 2), (-1, 128 * 1024), (-3, 128 * 1024)];
        unsafe extern "C" {
            fn mallopt(option: c_int, value: c_int) -> c_int;
        }
        for (option, value) in OPTIONS {
            // SAFETY: the signature is that of malloc.h. An option that it does not know changes nothing.
            unsafe { mallopt(option, value) };
        }
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    pub(super) const fn bound_system_allocator() {}
}

/// Makes both allocators give back what is free; for the start of the program.
pub fn give_back_free_memory() {
    options::set_first_purge_delay(0);
    options::bound_system_allocator();
}

/// Lets free pages wait a moment for as long as there is room for them, which saves a tenth of the CPU while catching up
/// (`proto/SPEED.md`).
pub(crate) fn keep_what_there_is_room_for(data: Arc<DataDir>) -> io::Result<Option<Background>> {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
        return Ok(None);
    }
    let mut kept = None;
    let look = move || {
        let is_ample = data.memory().bytes() / data.memory().shards().max(1) >= AMPLE_PARTITION_BYTES;
        if kept != Some(is_ample) {
            kept = Some(is_ample);
            let delay = if is_ample { KEPT_FOR } else { Duration::ZERO };
            options::set_purge_delay(c_long::try_from(delay.as_millis()).unwrap_or(0));
        }
        LOOK_INTERVAL
    };
    Background::start("memory", Duration::ZERO, look).map(Some)
}
