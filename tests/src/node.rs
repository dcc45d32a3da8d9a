//! Scripts of `tests/page`: a browser looks at the page of a running server.
//!
//! `tests/run` installs their packages into `<cache>/page-<hash of tests/page/package-lock.json>`, and Debian's Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::process::forget_settings;
use crate::scratch::cache;

const LOCK: &[u8] = include_bytes!("../page/package-lock.json");

/// A script, to be given arguments and started.
pub fn script(name: &str) -> Command {
    let modules = cache().join(format!("page-{}", &hex::encode(Sha256::digest(LOCK))[..12]));
    assert!(
        modules.join("node_modules").exists(),
        "the packages of the scripts are not in {}: run tests/run once, it installs them",
        modules.display()
    );
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("page").join(name));
    command.env("PAGE_MODULES", modules).env("PAGE_CHROMIUM", chromium());
    forget_settings(&mut command);
    command
}

/// The browser, as Debian and others call it.
fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    found.find(|file| file.exists()).expect("Chromium: run tests/run once, it installs it")
}
