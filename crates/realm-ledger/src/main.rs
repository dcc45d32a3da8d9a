//! The program; everything it does is in the library, so that tests can call it.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// Folding and encoding make many small values: with the system's allocator they cost a fifth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    give_back_memory();
    realm_ledger::run(std::env::args_os(), &mut realm_ledger::Env::from_process()).into()
}

/// Makes both allocators give back what is free. Each partition has three threads, and what these keep for later would
/// be most of the memory of a process with many of them. While catching up it costs a tenth of the CPU (`proto/SPEED.md`).
#[expect(unsafe_code, reason = "options of the allocators, which have no other interface")]
fn give_back_memory() {
    /// `mi_option_purge_delay`, in milliseconds.
    const PURGE_DELAY: c_int = 15;
    unsafe extern "C" {
        fn mi_option_set_default(option: c_int, value: c_long);
    }
    // SAFETY: the signature is that of mimalloc.h, and the option exists in each of its versions. It sets a number
    // unless the environment (MIMALLOC_PURGE_DELAY) has set it.
    unsafe { mi_option_set_default(PURGE_DELAY, 0) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// `M_ARENA_MAX`, `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of malloc.h. RocksDB and librdkafka use it.
        const OPTIONS: [(c_int, c_int); 3] = [(-8, 2), (-1, 128 * 1024), (-3, 128 * 1024)];
        unsafe extern "C" {
            fn mallopt(option: c_int, value: c_int) -> c_int;
        }
        for (option, value) in OPTIONS {
            // SAFETY: the signature is that of malloc.h. An option that it does not know changes nothing.
            unsafe { mallopt(option, value) };
        }
    }
}
