//! The top level, and words that no file may contain.

use super::{File, assert_tidy, repository, sample, samples, tree};

const TOP_LEVEL: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "crates", "deploy", "proto", "tests"];

/// Paths of a machine. In pieces, or this file would violate its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/", "work"), concat!("/", "root"), concat!("../", "shared"), concat!("/", "home")];
/// Each machine's package managers configure registries, not a script.
const REGISTRIES: [&str; 11] = [
    concat!("crates", ".io-index"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("repo.maven", ".apache.org"),
    concat!("repo1", ".maven.org"),
    concat!("deb", ".debian.org"),
    concat!("archive", ".ubuntu.com"),
    concat!("docker", ".io/"),
    concat!("sh", ".rustup.rs"),
    concat!("static", ".rust-lang.org"),
    concat!("files", ".pythonhosted.org"),
];

fn strangers(top_level: &[String]) -> Vec<String> {
    let allowed = |name: &String| name.starts_with('.') || TOP_LEVEL.contains(&name.as_str());
    let strange = top_level.iter().filter(|name| !allowed(name));
    strange.map(|name| format!("{name}: the top level has a fixed list of entries")).collect()
}

#[test]
fn top_level_has_only_listed_entries() {
    assert_tidy(&strangers(&tree::top_level()));
    let names = [".clippy.toml", "Cargo.toml", "notes.txt"].map(str::to_owned);
    assert_eq!(strangers(&names), ["notes.txt: the top level has a fixed list of entries"]);
}

/// Whether the line has the path as a whole word.
fn names_path(line: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '*');
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(|c| is_word(c) && !path.starts_with('.')) && !after.is_some_and(is_word)
    })
}

fn places_elsewhere(files: &[File]) -> Vec<String> {
    let mut violations = Vec::new();
    // The lock file is cargo's own, and names the registry by design.
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in (1..).zip(file.text.lines()) {
            let paths = MACHINE_PATHS.into_iter().filter(|path| names_path(line, path));
            let hosts = REGISTRIES.into_iter().filter(|host| line.contains(host));
            violations
                .extend(paths.chain(hosts).map(|found| format!("{}:{number}: names {found}", file.path)));
        }
    }
    violations
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    assert_tidy(&places_elsewhere(repository()));
    for forbidden in MACHINE_PATHS.into_iter().chain(REGISTRIES) {
        let text = format!("fine\ncp \"{forbidden}/x\" .\n");
        assert_eq!(
            places_elsewhere(&[sample("deploy/up", &text)]),
            [format!("deploy/up:2: names {forbidden}")]
        );
    }
    let innocent = format!("tree{} and {}space\n", MACHINE_PATHS[1], MACHINE_PATHS[0]);
    assert_tidy(&places_elsewhere(&[sample("README.md", &innocent)]));
}

/// A fixture is used when a Rust file names it or its directory by the path from `tests`.
fn unused_fixtures(fixtures: &[&str], files: &[File]) -> Vec<String> {
    let is_named = |part: &str| files.iter().any(|file| file.is_rust() && file.text.contains(part));
    let is_used = |path: &str| {
        let mut part = path.strip_prefix("tests/").unwrap_or(path);
        while part != "fixtures" {
            if is_named(part) {
                return true;
            }
            part = part.rsplit_once('/').map_or("fixtures", |(directory, _)| directory);
        }
        false
    };
    let unused = fixtures.iter().filter(|path| !is_used(path));
    unused.map(|path| format!("{path}: no test names it or its directory")).collect()
}

#[test]
fn every_fixture_is_used() {
    let files = repository();
    let fixtures: Vec<&str> = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| path.starts_with("tests/fixtures/"))
        .collect();
    assert_tidy(&unused_fixtures(&fixtures, files));

    // In pieces: a path written out here would count as used.
    let [directory, single, lost] =
        ["worked/one.json", "single.json", "lost.json"].map(|name| format!("tests/fixtures/{name}"));
    let user = samples([("tests/it/user.rs", "read(\"fixtures/worked\"); read(\"fixtures/single.json\");")]);
    assert_eq!(
        unused_fixtures(&[&directory, &single, &lost], &user),
        [format!("{lost}: no test names it or its directory")]
    );
}
