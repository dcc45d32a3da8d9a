//! How decisions, dead letters, ticks, events and lines about access leave. In: the tail of the log, events of a file, or
//! lines. Out: messages.

mod access;
mod outbox;
mod publisher;
mod send;
mod ticker;

pub use access::AccessTopic;
pub use outbox::SendError;
pub use publisher::Publisher;
pub use send::{PublishError, Sender};
pub use ticker::{Tick, TickError, Ticker};
