//! The program; everything it does is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    realm_ledger::run(std::env::args_os(), &mut realm_ledger::Surroundings::of_process()).into()
}
