//! The help texts as a document.

use std::path::Path;

use crate::world::said;

const COMMANDS: &[&str] = &[
    "",
    "serve",
    "demo",
    "import",
    "topics create",
    "topics check",
    "config show",
    "config check",
    "publish",
    "state",
    "log",
    "explain",
    "preview",
    "drift",
    "windows",
    "split-brain",
    "anomalies",
    "migrations",
    "whatif",
    "replay",
    "reconcile",
    "rebuild",
    "refill",
    "quarantine list",
    "quarantine show",
    "quarantine retry",
    "checkpoint",
    "keys generate",
    "keys show",
    "keys retire",
    "prove",
    "export",
    "verify",
    "completions",
];

#[test]
fn help_document_matches_the_program() {
    let mut expected =
        String::from("# Command line\n\nWhat `realm-ledger … --help` says; made by a test, so it is true.\n");
    for command in COMMANDS {
        let help = said(&format!("{command} --help")).done();
        let title = format!("realm-ledger {command}");
        expected += "\n## ";
        expected += title.trim_end();
        expected += "\n\n```text\n";
        expected += help.trim_end();
        expected += "\n```\n";
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("HELP.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "write it anew with BLESS=1");
}

#[test]
fn completions_are_generated_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&format!("completions {shell}")).done();
        assert!(script.contains("realm-ledger") && script.contains("split-brain"), "{shell}");
    }
}

#[test]
fn version_is_printed_to_stdout() {
    assert_eq!(said("--version").done(), format!("realm-ledger {}\n", env!("CARGO_PKG_VERSION")));
}
