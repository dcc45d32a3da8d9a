//! Waiting for a condition: it is polled until it holds; a test whose condition never holds fails with the last state.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any condition takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `done` holds.
pub fn until(what: &str, done: impl FnMut() -> bool) {
    until_or(done, || what.to_owned());
}

/// Waits until `done` holds; `state` describes the failure.
pub fn until_or(mut done: impl FnMut() -> bool, state: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {}", state());
        thread::sleep(POLL_INTERVAL);
    }
}

/// Waits until `attempt` gives a value instead of the present state.
pub fn for_value<T, S: Display>(mut attempt: impl FnMut() -> Result<T, S>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(state) => assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {state}"),
        }
        thread::sleep(POLL_INTERVAL);
    }
}
