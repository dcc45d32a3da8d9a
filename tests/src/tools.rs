//! The tools that check `deploy/`: each its own.
//!
//! `tests/run` makes them (`tests/deploy/tools`) in `<cache>/tools-<hash of what lists them>`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

use crate::process::forget_settings;
use crate::python;
use crate::scratch::cache;

/// In the order in which `tests/run` hashes them.
const LISTS: [&[u8]; 4] = [
    include_bytes!("../deploy/requirements.txt"),
    include_bytes!("../deploy/go.txt"),
    include_bytes!("../deploy/schemas.py"),
    include_bytes!("../deploy/tools"),
];

fn directory() -> PathBuf {
    let hash = hex::encode(Sha256::digest(LISTS.concat()));
    let directory = cache().join(format!("tools-{}", &hash[..12]));
    assert!(
        directory.exists(),
        "the tools that check deploy/ are not in {}: run tests/run once, it makes them",
        directory.display()
    );
    directory
}

/// A tool, to be given arguments and started.
pub fn tool(name: &str) -> Command {
    let path = directory().join("bin").join(name);
    assert!(
        path.exists(),
        "{} is missing: remove its directory, and tests/run makes it anew",
        path.display()
    );
    let mut command = Command::new(path);
    forget_settings(&mut command);
    command.stdin(Stdio::null());
    command
}

/// Where kubeconform finds the schema of a kind.
pub fn schema_location() -> String {
    format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", directory().join("schemas").display())
}

/// What a tool answers to an input.
pub fn answer(command: Command, input: &str) -> Output {
    python::answer(command, input)
}

/// All that it printed.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
