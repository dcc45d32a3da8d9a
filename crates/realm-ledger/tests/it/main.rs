//! The program as a user calls it: arguments in; output, messages and exit code out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is not as it should be")]

mod access;
mod answers;
mod audit;
mod backup;
mod frozen;
mod help;
mod keys;
mod lists;
mod lookup;
mod manners;
mod partial;
mod process;
mod proofs;
mod proving;
mod reconcile;
mod refill;
mod stops;
mod whatif;
mod world;
