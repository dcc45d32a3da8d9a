//! How decisions, dead letters, ticks and events leave. In: the tail of the log, or events of a file. Out: messages.

mod outbox;
mod publisher;
mod send;
mod ticker;

pub use outbox::SendError;
pub use publisher::Publisher;
pub use send::{PublishError, Sender};
pub use ticker::{Tick, TickError, Ticker};
