//! What `deploy/` has for those who run the ledger: alerts and their runbook, a dashboard, the manifests of Kubernetes, and
//! the tools that check each.

mod chart;
mod checked;
mod watched;

use std::fs;
use std::path::PathBuf;

use crate::tidy::root;

fn path(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

/// A file of `deploy/`.
fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}
