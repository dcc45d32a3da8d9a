//! The harness of the integration tests: their access to the outside world.
//!
//! - [`gateway`]: scripts of `tests/gateway`: foreign signers, and an app behind the gateway.
//! - [`kafka`]: the real Kafka broker as a child process, and everything a test does to it.
//! - [`node`]: scripts of `tests/page`, in which a browser looks at the page.
//! - [`python`]: scripts of `tests/verifier`, `tests/rules`, `tests/deploy` and `tests/gateway`, which check the same things
//!   without any of our code.
//! - [`process`]: child processes that cannot outlive the test process.
//! - [`tools`]: the tools that check `deploy/`, each its own.
//! - [`scratch`]: directories that are gone afterwards, whatever happened.
//! - [`wait`]: polling for a condition.
//!
//! The tests are one binary, `tests/it/main.rs`; their data is in `tests/fixtures`. The product uses nothing of this
//! crate. There are no errors to handle: a failure here fails the calling test with a message that says what to do.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a harness that cannot go on fails the test, and a panic is how a test fails"
)]

use ledger_record::proof::line::LedgerSecret;

pub mod disk;
pub mod gateway;
pub mod kafka;
pub mod node;
pub mod process;
pub mod python;
pub mod scratch;
pub mod server;
pub mod tools;
pub mod wait;
pub mod workload;

/// The ledger secret of all ledgers that tests fill through the program, in the form of the environment.
pub const SECRET: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// The same secret.
pub fn secret() -> LedgerSecret {
    LedgerSecret::from_bytes([7; 32])
}

/// Shows the program's own logs with the output of the test, as loud as `RUST_LOG` says.
pub fn show_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    // Another test of this process may have installed it already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
