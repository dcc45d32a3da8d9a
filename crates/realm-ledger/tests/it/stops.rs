//! The tables of all reasons to stop and not to sign, as `proto/OPERATION.md` shows them, and keys in documents.

use std::fmt::Write as _;
use std::path::Path;

use ledger_record::proof::note::VerifierKey;
use ledger_store::{Ends, StopCode};

const HEAD: &str = "| code | is | what to do | goes on |\n| --- | --- | --- | --- |\n";

#[test]
fn operation_lists_every_reason_not_to_sign() {
    let operation = include_str!("../../../../proto/OPERATION.md");
    let (_, table) = operation.split_once("| `unsigned`, `stalled` | is, and what to do |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let signer = include_str!("../../../ledger-ingest/src/sign/signer.rs");
    let (codes, _) = signer.split_once("Signs the log of one shard").unwrap();
    let service = include_str!("../../../ledger-ingest/src/sign/service.rs");
    let (service, _) = service.split_once("#[cfg(test)]").unwrap();
    let named = [
        codes.split("=> \"").skip(1),
        service.split("unsigned(\"").skip(1),
        service.split("code: \"").skip(1),
    ];
    let mut found = 0;
    for code in named.into_iter().flatten().filter_map(|rest| rest.split('"').next()) {
        assert!(table.contains(&format!("| `{code}` |")), "{code} is not in the table");
        found += 1;
    }
    assert!(found >= 13, "{found}");
}

/// With a mistyped key no bundle can be judged.
#[test]
fn keys_in_readme_parse() {
    let readme = include_str!("../../../../README.md");
    let keys: Vec<&str> =
        readme.split('"').filter(|text| text.starts_with("realm.lifecycle/") && text.contains('+')).collect();
    assert!(!keys.is_empty());
    for key in keys {
        assert!(VerifierKey::parse(key).is_ok(), "{key}");
    }
}

#[test]
fn operation_lists_every_reason_to_stop_and_what_to_do() {
    let mut table = HEAD.to_owned();
    for code in StopCode::ALL {
        let ends = match code.ends() {
            Ends::ByItself => "by itself",
            Ends::ByPerson => "after a restart",
        };
        writeln!(table, "| `{code}` | {} | {} | {ends} |", code.is(), code.remedy()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/OPERATION.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(HEAD).expect("the document has the head of the table");
    let (_, after) = rest.split_once("\n\n").expect("the document goes on behind the table");
    let expected = format!("{before}{table}\n{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected, "write it anew with BLESS=1");
}
