//! Allowed dependencies: `core ← record ← store ← {ingest, api} ← gateway ← realm-ledger ← tests`, never sideways, and each
//! native or outward library in one crate. Read from the manifests as cargo parses them.

use std::process::Command;
use std::{env, fs};

use serde_json::Value;

use super::{assert_tidy, tree};

/// The workspace crates that a crate may use.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("ledger-core", &[]),
    ("ledger-record", &["ledger-core"]),
    ("ledger-store", &["ledger-core", "ledger-record"]),
    ("ledger-ingest", &["ledger-core", "ledger-record", "ledger-store"]),
    ("ledger-api", &["ledger-core", "ledger-record", "ledger-store"]),
    ("ledger-gateway", &["ledger-api", "ledger-core", "ledger-ingest", "ledger-record", "ledger-store"]),
    (
        "realm-ledger",
        &["ledger-api", "ledger-core", "ledger-gateway", "ledger-ingest", "ledger-record", "ledger-store"],
    ),
    (
        "ledger-tests",
        &[
            "ledger-api",
            "ledger-core",
            "ledger-gateway",
            "ledger-ingest",
            "ledger-record",
            "ledger-store",
            "realm-ledger",
        ],
    ),
];

/// The dependencies of the pure crates. An auditor reads these too.
const PURE: [(&str, &[&str]); 2] = [
    ("ledger-core", &["serde", "thiserror"]),
    (
        "ledger-record",
        &[
            "base64",
            "bincode",
            "crc32fast",
            "ed25519-dalek",
            "fnv",
            "hex",
            "hmac",
            "itoa",
            "jiff",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    ),
];

/// Libraries that only one crate may use.
const ONLY_USED_BY: [(&str, &[&str]); 24] = [
    ("axum", &["ledger-api", "ledger-gateway", "ledger-tests"]),
    ("bincode", &["ledger-record"]),
    ("clap", &["realm-ledger"]),
    ("clap_complete", &["realm-ledger"]),
    ("comfy-table", &["realm-ledger"]),
    ("ed25519-dalek", &["ledger-record"]),
    ("hmac", &["ledger-record"]),
    ("indicatif", &["realm-ledger"]),
    ("jsonwebtoken", &["ledger-api", "ledger-gateway"]),
    ("metrics-exporter-prometheus", &["realm-ledger"]),
    ("opentelemetry", &["realm-ledger"]),
    ("opentelemetry-http", &["realm-ledger"]),
    ("opentelemetry-otlp", &["realm-ledger"]),
    ("opentelemetry_sdk", &["realm-ledger"]),
    ("rdkafka", &["ledger-ingest", "ledger-tests"]),
    ("ring", &["ledger-api"]),
    ("rocksdb", &["ledger-store"]),
    ("rusty-s3", &["realm-ledger"]),
    ("tokio-rustls", &["ledger-api"]),
    ("toml", &["realm-ledger"]),
    ("tonic", &["ledger-api", "ledger-tests"]),
    ("tower", &["ledger-api", "ledger-tests"]),
    ("tower-http", &["ledger-api", "ledger-tests"]),
    ("tracing-subscriber", &["ledger-tests", "realm-ledger"]),
];

#[derive(Debug, Eq, PartialEq)]
enum Kind {
    Normal,
    Build,
    Test,
}

struct Package {
    name: String,
    dependencies: Vec<(String, Kind)>,
}

fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

fn package(metadata: &Value) -> Package {
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let kind = |value: &Value| match value["kind"].as_str() {
        Some("build") => Kind::Build,
        Some("dev") => Kind::Test,
        _ => Kind::Normal,
    };
    let dependencies = metadata["dependencies"].as_array().unwrap();
    Package {
        name: name(metadata),
        dependencies: dependencies.iter().map(|value| (name(value), kind(value))).collect(),
    }
}

/// The entry of `name` in a table that must have every crate of the workspace.
fn listed<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(listed, _)| *listed == name).map(|(_, rule)| *rule)
}

fn breaches(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for Package { name, dependencies } in packages {
        let Some(may_use) = listed(&MAY_USE, name) else {
            violations.push(format!("{name}: a crate without a place in the house"));
            continue;
        };
        for (dependency, kind) in dependencies {
            let is_ours = listed(&MAY_USE, dependency).is_some();
            let breaks_order = is_ours && !may_use.contains(&dependency.as_str());
            let spoils_purity = !is_ours
                && *kind == Kind::Normal
                && listed(&PURE, name).is_some_and(|pure| !pure.contains(&dependency.as_str()));
            let passes_wall =
                listed(&ONLY_USED_BY, dependency).is_some_and(|users| !users.contains(&name.as_str()));
            if breaks_order || spoils_purity || passes_wall {
                violations.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    violations
}

#[test]
fn crate_dependencies_follow_the_walls() {
    let packages = packages();
    assert_tidy(&breaches(&packages));
    let mut names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut listed = MAY_USE.map(|(name, _)| name);
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed, "the walls know every crate, and no other");
}

#[test]
fn breach_of_the_walls_is_found() {
    let package = |name: &str, dependency: &str, kind| {
        vec![Package { name: name.to_owned(), dependencies: vec![(dependency.to_owned(), kind)] }]
    };
    let allowed = [
        ("ledger-core", "thiserror", Kind::Normal),
        ("ledger-core", "proptest", Kind::Test),
        ("ledger-store", "rocksdb", Kind::Normal),
        ("ledger-tests", "rdkafka", Kind::Normal),
        ("realm-ledger", "ledger-api", Kind::Normal),
    ];
    for (name, dependency, kind) in allowed {
        assert_tidy(&breaches(&package(name, dependency, kind)));
    }
    let forbidden = [
        ("ledger-core", "ledger-record", Kind::Test),
        ("ledger-core", "serde_json", Kind::Normal),
        ("ledger-record", "tokio", Kind::Normal),
        ("ledger-store", "ledger-ingest", Kind::Normal),
        ("ledger-api", "ledger-ingest", Kind::Normal),
        ("ledger-ingest", "ledger-api", Kind::Normal),
        ("ledger-store", "bincode", Kind::Normal),
        ("ledger-api", "rocksdb", Kind::Test),
        ("realm-ledger", "rdkafka", Kind::Normal),
        ("ledger-ingest", "axum", Kind::Build),
    ];
    for (name, dependency, kind) in forbidden {
        assert_eq!(
            breaches(&package(name, dependency, kind)),
            [format!("{name} must not depend on {dependency}")]
        );
    }
    assert_eq!(
        breaches(&package("ledger-common", "serde", Kind::Normal)),
        ["ledger-common: a crate without a place in the house"]
    );
}

#[test]
fn cargo_metadata_has_the_known_dependencies() {
    let packages = packages();
    let find = |wanted: &str| packages.iter().find(|package| package.name == wanted).unwrap();
    let uses = |name: &str, dependency: &str, kind: Kind| {
        find(name).dependencies.contains(&(dependency.to_owned(), kind))
    };
    assert!(uses("ledger-core", "thiserror", Kind::Normal));
    assert!(uses("ledger-core", "proptest", Kind::Test));
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    for file in tree::repository().iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        assert!(
            file.text.contains("[lints]\nworkspace = true"),
            "{} does not take the lints of the workspace",
            file.path
        );
    }
    let root: String = fs::read_to_string(tree::root().join("Cargo.toml")).unwrap();
    assert!(root.contains("[workspace.lints.clippy]"), "the workspace has lints to obey");
}
