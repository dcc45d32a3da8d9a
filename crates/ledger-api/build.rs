//! Compiles the messages of `proto/` into their descriptors, comments included: what gRPC encodes by, what reflection
//! shows, and what the OpenAPI document is made from. The compiler is a Rust one: no `protoc` is needed.

use std::error::Error;
use std::path::Path;

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    // Where it is now, not where it was compiled: checkouts share a target directory.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.join("realmledger").display());
    println!("cargo::rerun-if-changed=build.rs");
    let descriptors = protox::compile([root.join("realmledger/v1/ledger.proto")], [&root])?;
    std::fs::write(
        Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    Ok(())
}
