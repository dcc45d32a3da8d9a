//! The event message of `proto/realmledger/v1/event.proto`, as prost generates it.

#![allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unreachable_pub,
    rustdoc::all,
    reason = "generated; the comments are those of the proto file, and messages that only hold an enum stay unused"
)]

include!(concat!(env!("OUT_DIR"), "/realmledger.v1.rs"));
