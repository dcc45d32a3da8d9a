//! The form of a Rust file.

use super::{File, assert_tidy, repository, samples};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const NAMES_THAT_SAY_NOTHING: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];
/// In pieces, or this file would violate its own rule.
const MARKS: [&str; 6] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("#[ig", "nore"),
];

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.is_rust())
}

fn long_files(files: &[File]) -> Vec<String> {
    let long = rust(files).filter(|file| file.text.lines().count() > FILE_LINES);
    long.map(|file| format!("{}: more than {FILE_LINES} lines: is it still one thing?", file.path)).collect()
}

#[test]
fn files_are_short() {
    assert_tidy(&long_files(repository()));
    let violations = long_files(&samples([
        ("crates/a/src/fits.rs", &"\n".repeat(FILE_LINES)),
        ("crates/a/src/long.rs", &"\n".repeat(FILE_LINES + 1)),
    ]));
    assert_eq!(violations.len(), 1);
    assert!(violations[0].starts_with("crates/a/src/long.rs: "), "{violations:?}");
}

/// Counts by rustfmt's indentation: a function ends at the first brace with the indentation of its declaration.
fn long_functions(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in rust(files) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = declared_function(line) else { continue };
            let length = function_length(&lines[start..]);
            if length > FUNCTION_LINES {
                violations.push(format!("{}:{}: {name} has {length} lines", file.path, start + 1));
            }
        }
    }
    violations
}

fn declared_function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifies = |word| matches!(word, "pub" | "pub(crate)" | "pub(super)" | "const" | "async" | "unsafe");
    let name = after.split(['(', '<']).next()?;
    before.split_whitespace().all(qualifies).then_some(name)
}

/// `lines` begin with the declaration; one without a body has no length.
fn function_length(lines: &[&str]) -> usize {
    let signature_end = lines.iter().position(|line| line.ends_with(['{', ';', '}']));
    if !signature_end.is_some_and(|end| lines[end].ends_with('{')) {
        return 0;
    }
    let indent = &lines[0][..lines[0].len() - lines[0].trim_start().len()];
    let closes = |line: &&str| line.strip_prefix(indent) == Some("}");
    lines.iter().position(closes).map_or(lines.len(), |end| end + 1)
}

#[test]
fn functions_are_short() {
    assert_tidy(&long_functions(repository()));
    let function =
        |lines: usize| format!("    pub async fn f() {{\n{}    }}\n", "        x\n".repeat(lines - 2));
    let text = format!(
        "trait T {{\n    fn without_body(\n        a: A,\n    );\n{}{}}}\n",
        function(FUNCTION_LINES),
        function(FUNCTION_LINES + 1)
    );
    let violations = long_functions(&samples([("crates/a/src/lib.rs", &text)]));
    assert_eq!(violations, ["crates/a/src/lib.rs:75: f has 71 lines"]);
}

fn empty_names(files: &[File]) -> Vec<String> {
    let says_nothing = |file: &&File| {
        let mut parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        parts.any(|part| NAMES_THAT_SAY_NOTHING.contains(&part))
    };
    let named = rust(files).filter(says_nothing);
    named.map(|file| format!("{}: a name that says what is in it, please", file.path)).collect()
}

#[test]
fn no_file_has_a_meaningless_name() {
    assert_tidy(&empty_names(repository()));
    let violations = empty_names(&samples([
        ("crates/a/src/util.rs", ""),
        ("crates/common/src/lib.rs", ""),
        ("crates/a/src/commonplace.rs", ""),
    ]));
    assert_eq!(violations.len(), 2, "{violations:?}");
}

fn marks(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    for file in rust(files) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = MARKS.iter().filter(|mark| line.contains(**mark));
            violations.extend(found.map(|mark| format!("{}:{number}: {mark}", file.path)));
        }
    }
    violations
}

#[test]
fn no_file_has_a_mark_of_unfinished_work() {
    assert_tidy(&marks(repository()));
    for mark in MARKS {
        assert_eq!(
            marks(&samples([("crates/a/src/lib.rs", &format!("fine\n    {mark}\n"))])),
            [format!("crates/a/src/lib.rs:2: {mark}")]
        );
    }
}

/// `lib.rs`, `main.rs`, and each file of `src/bin`.
fn is_crate_root(file: &File) -> bool {
    let (directory, stem) = file.directory_and_stem();
    let in_bin = directory.ends_with("src/bin");
    file.is_rust() && (matches!(stem, "lib" | "main") || in_bin)
}

fn rootless(files: &[File]) -> Vec<String> {
    let bare = rust(files).filter(|file| is_crate_root(file) && !file.text.trim_start().starts_with("//!"));
    bare.map(|file| format!("{}: no header (//!) that says what the crate is", file.path)).collect()
}

#[test]
fn every_crate_root_has_a_header() {
    assert_tidy(&rootless(repository()));
    let violations = rootless(&samples([
        ("crates/a/src/lib.rs", "\n//! What is true.\n"),
        ("crates/b/src/lib.rs", "pub mod x;\n"),
        ("crates/b/src/x.rs", ""),
        ("crates/b/src/bin/tool.rs", "fn main() {}\n"),
    ]));
    assert_eq!(violations.len(), 2, "{violations:?}");
}

/// Files under `src` and `tests/it` that no `mod` names: they look like code and are never compiled.
fn forgotten(files: &[File]) -> Vec<String> {
    let is_declared = |file: &File| {
        let module = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let Some((directory, name)) = module.rsplit_once('/') else { return false };
        let parents = ["", "/mod", "/lib", "/main"].map(|suffix| format!("{directory}{suffix}.rs"));
        let declares = |line: &str| line.trim_end().ends_with(&format!("mod {name};"));
        rust(files).any(|other| parents.contains(&other.path) && other.text.lines().any(declares))
    };
    let is_module = |file: &&File| {
        let in_tree = ["/src/", "tests/it/"].iter().any(|tree| file.path.contains(tree));
        in_tree && !is_crate_root(file)
    };
    let lost = rust(files).filter(is_module).filter(|file| !is_declared(file));
    lost.map(|file| format!("{}: no file declares it as a module", file.path)).collect()
}

#[test]
fn every_source_file_is_a_module() {
    assert_tidy(&forgotten(repository()));
    let violations = forgotten(&samples([
        ("tests/it/main.rs", "mod known;\n"),
        ("tests/it/known.rs", "pub(crate) mod inner;\n"),
        ("tests/it/known/inner/mod.rs", "mod deep;\n"),
        ("tests/it/known/inner/deep.rs", ""),
        ("tests/it/known/lost.rs", ""),
        ("tests/it/forgotten.rs", ""),
    ]));
    assert_eq!(
        violations,
        [
            "tests/it/known/lost.rs: no file declares it as a module",
            "tests/it/forgotten.rs: no file declares it as a module"
        ]
    );
}
