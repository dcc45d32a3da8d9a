//! House rules that no compiler checks, as tests.
//!
//! A check is a function from the files of the repository ([`tree`]) or from its packages ([`walls`]) to a list of
//! violations. Each runs on the repository, where it must find nothing, and on a sample that violates it, where it
//! must find exactly that.

mod places;
mod sources;
mod tree;
mod walls;

pub(crate) use tree::root;
use tree::{File, repository};

#[track_caller]
fn assert_tidy(violations: &[String]) {
    assert!(violations.is_empty(), "\n  {}\n", violations.join("\n  "));
}

/// One file, as a check sees it.
fn sample(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn samples<const N: usize>(files: [(&str, &str); N]) -> Vec<File> {
    files.map(|(path, text)| sample(path, text)).to_vec()
}
