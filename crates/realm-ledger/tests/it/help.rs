//! The help texts as a document.

use std::path::Path;

use clap::CommandFactory as _;
use realm_ledger::Cli;

use crate::world::execute;

/// The program and every command without commands below it, in the order of the grammar.
fn commands() -> Vec<String> {
    fn collect(path: &str, command: &clap::Command, commands: &mut Vec<String>) {
        for below in command.get_subcommands() {
            collect(&format!("{path} {}", below.get_name()), below, commands);
        }
        if !command.has_subcommands() {
            commands.push(path.trim_start().to_owned());
        }
    }
    let mut commands = vec![String::new()];
    collect("", &Cli::command(), &mut commands);
    commands
}

#[test]
fn help_document_matches_the_program() {
    let mut expected =
        String::from("# Command line\n\nWhat `realm-ledger … --help` says; made by a test, so it is true.\n");
    for command in commands() {
        let help = execute(&format!("{command} --help")).done();
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
        let script = execute(&format!("completions {shell}")).done();
        assert!(script.contains("realm-ledger") && script.contains("split-brain"), "{shell}");
    }
}

#[test]
fn version_is_printed_to_stdout() {
    assert_eq!(execute("--version").done(), format!("realm-ledger {}\n", env!("CARGO_PKG_VERSION")));
}
