//! How hooks come in: what Atlassian sends to an app becomes events, durable before it is answered.
//!
//! ```text
//!   call ─► gateway: app, realm, hook ─► verify: one token ─► record: events ─► journal ─► Kafka, or the ledger
//!            │ by route or host           │ keys              │ stamped by the route
//!            └─ copy: a token of its own   └─ front: forward ─► the app ─► its answer, unchanged
//! ```
//!
//! A room imports only rooms below it.
//!
//! - [`options`]: what its owner decides.
//! - [`Gateway`]: its routes; `call` is the path of one call: start there.
//! - `verify`: who sent a call.
//! - `record`: the events of a call, `append`: their way into the journal; `sightings`: which Forge installations were seen.
//! - `links`: from Connect to Forge.
//! - `forward`: the app behind the gateway.
//! - [`Refusal`]: every code that stands in place of an answer.
//! - [`journal`]: events on disk, in order, until they are where they are to go. Knows nothing of hooks.
//!
//! # Invariants
//!
//! - The realm is that of the route or the host, which are configured. Nothing in a request can choose it.
//! - What is answered 2xx is on disk, or nothing of it was to be recorded, or the log raised an alarm.
//! - No secret of a call (`sharedSecret`, tokens, `x-forge-oauth-…`) is kept or logged; the app alone gets them.

mod append;
mod call;
mod forward;
mod gateway;
mod hook;
mod ids;
pub mod journal;
mod limits;
mod links;
mod metric;
pub mod options;
mod record;
mod refusal;
mod server;
mod sightings;
mod verify;

pub use gateway::{Gateway, GatewayError};
pub use hook::{Hook, Lifecycle, Phase};
pub use links::{KnownInstallation, KnownInstallations, LookupFailed};
pub use metric::describe;
pub use refusal::Refusal;
pub use server::{runtime, serve, serve_admin};
