//! The table of all reasons to stop, as README shows it.

use std::fmt::Write as _;
use std::path::Path;

use ledger_store::{Ends, StopCode};

const HEAD: &str = "| code | is | what to do | goes on |\n| --- | --- | --- | --- |\n";

#[test]
fn readme_lists_every_reason_to_stop_and_what_to_do() {
    let mut table = HEAD.to_owned();
    for code in StopCode::ALL {
        let ends = match code.ends() {
            Ends::ByItself => "by itself",
            Ends::ByPerson => "after a restart",
        };
        writeln!(table, "| `{code}` | {} | {} | {ends} |", code.is(), code.remedy()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(HEAD).expect("README has the head of the table");
    let (_, after) = rest.split_once("\n\n").expect("README goes on behind the table");
    let expected = format!("{before}{table}\n{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected, "write it anew with BLESS=1");
}
