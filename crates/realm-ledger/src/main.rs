//! The program; everything it does is in the library, so that tests can call it.

use std::process::ExitCode;

/// Folding and encoding make many small values: with the system's allocator they cost a fifth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    realm_ledger::give_back_free_memory();
    realm_ledger::run(std::env::args_os(), &mut realm_ledger::Env::from_process()).into()
}
