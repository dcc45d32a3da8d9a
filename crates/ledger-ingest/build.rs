//! Generates the Rust types of the event message, and the names of its fields in JSON. The compiler is a Rust one: no `protoc` is needed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    // Where it is now, not where it was compiled: checkouts share a target directory.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let event = root.join("realmledger/v1/event.proto");
    println!("cargo::rerun-if-changed={}", event.display());
    println!("cargo::rerun-if-changed=build.rs");

    let descriptors = protox::compile([&event], [&root])?;
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let event = messages.filter(|message| message.name() == "LifecycleEvent");
    let arms = event.flat_map(|event| &event.field).map(|field| {
        let name = field.json_name();
        format!("        {name:?} => Some({name:?}),\n")
    });
    let function = format!(
        "fn event_field(name: &str) -> Option<&'static str> {{\n    match name {{\n{}        _ => None,\n    }}\n}}\n",
        arms.collect::<String>()
    );
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("event_field.rs"), function)?;
    let mut config = prost_build::Config::new();
    // Ordered, so that encoding is deterministic.
    config.btree_map(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
