//! The files of the repository, read once.

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

/// A text file; one that is not UTF-8 is left out.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// From the root of the repository, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// The directory of the file, and its name without extension.
    pub(crate) fn directory_and_stem(&self) -> (&str, &str) {
        let (directory, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        (directory, name.split('.').next().unwrap_or(name))
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Build output and files of version control.
fn is_foreign(name: &str) -> bool {
    matches!(name, ".git" | "target")
}

pub(crate) fn top_level() -> Vec<String> {
    names(root()).into_iter().filter(|name| !is_foreign(name)).collect()
}

pub(crate) fn repository() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let mut files = Vec::new();
        for name in top_level() {
            collect(&name, &mut files);
        }
        // A walk that finds nothing would pass every check.
        assert!(files.len() > 50, "only {} files found in {}", files.len(), root().display());
        files
    });
    &FILES
}

fn collect(path: &str, files: &mut Vec<File>) {
    let absolute = root().join(path);
    if absolute.is_dir() {
        for name in names(&absolute) {
            collect(&format!("{path}/{name}"), files);
        }
    } else if let Ok(text) = fs::read_to_string(&absolute) {
        files.push(File { path: path.to_owned(), text });
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
