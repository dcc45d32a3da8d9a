//! The messages of `proto/`, driven by their descriptors: what derives serde is encoded as the message that its JSON
//! mirrors, and a message is decoded into that JSON.
//!
//! ```text
//!   answer ─ serde ─► encode ─► bytes        bytes ─► decode ─► JSON members ─ serde ─► question
//!                       └──────── schema, from the descriptors ────┘
//! ```
//!
//! In: any value that serialises as [`ledger_record::json`] writes it. Out: the bytes of its message. So a message has
//! one field list, its `.proto`, and none in code; a member without a field is an error, and a test compares every
//! answer with its JSON. Nothing here knows a question or a door.

mod decode;
mod encode;
mod schema;
mod wire;

pub(crate) use decode::{InvalidMessage, members};
pub(crate) use encode::{append_framed, to_vec};
pub(crate) use schema::{DESCRIPTORS, Field, Kind, Message, Method, SERVICE, schema};
