//! What is true: the rules of the realm ledger, pure.
pub mod descriptor;
pub mod event;
pub mod ids;
pub mod limits;
pub mod policy;
pub mod realm;
pub mod state;
pub mod tenant;
pub mod time;
pub mod timeline;
