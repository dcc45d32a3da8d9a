//! Generates the Rust types of the event message. The compiler is a Rust one: no `protoc` is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    // Where it is now, not where it was compiled: checkouts share a target directory.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let event = root.join("realmledger/v1/event.proto");
    println!("cargo::rerun-if-changed={}", event.display());
    println!("cargo::rerun-if-changed=build.rs");

    let descriptors = protox::compile([&event], [&root])?;
    let mut config = prost_build::Config::new();
    // Ordered, so that encoding is deterministic.
    config.btree_map(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
