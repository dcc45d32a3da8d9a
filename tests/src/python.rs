//! Python scripts, run with the packages that `tests/run` installs.
//!
//! It installs them into `<cache>/python-<hash of tests/verifier/requirements.txt>`, a virtual environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use sha2::{Digest, Sha256};

use crate::process::forget_settings;
use crate::scratch::cache;

const REQUIREMENTS: &[u8] = include_bytes!("../verifier/requirements.txt");

/// A script of `tests/verifier`, to be given arguments and started.
pub fn script(name: &str) -> Command {
    in_folder("verifier", name)
}

/// A script of `tests/rules`, likewise. It starts the program itself.
pub fn rules_script(name: &str) -> Command {
    in_folder("rules", name)
}

/// A script of `tests/gateway`, likewise.
pub(crate) fn gateway_script(name: &str) -> Command {
    in_folder("gateway", name)
}

/// A script of `tests/deploy`, likewise.
pub fn deploy_script(name: &str) -> Command {
    in_folder("deploy", name)
}

/// The interpreter of the environment with the packages.
pub fn interpreter() -> PathBuf {
    let environment = cache().join(format!("python-{}", &hex::encode(Sha256::digest(REQUIREMENTS))[..12]));
    let python = environment.join("bin/python");
    assert!(
        python.exists(),
        "the packages of the scripts are not in {}: run tests/run once, it installs them",
        environment.display()
    );
    python
}

fn in_folder(folder: &str, name: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let mut command = Command::new(interpreter());
    // No compiled files beside the sources, and no packages of the user.
    command.args(["-I", "-B"]).arg(script);
    forget_settings(&mut command);
    command
}

/// The output of a script for this input.
pub fn answer(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start Python");
    let mut stdin = child.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        // A script that ends early closes the pipe; its exit code is checked.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("wait for Python")
    })
}
