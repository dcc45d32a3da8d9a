//! How events arrive and leave.
pub mod decode;
pub mod encode;
mod proto;
pub mod redact;
